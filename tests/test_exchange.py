"""Places of departments within nights: what the ledger remembers of them, and what is tried again."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines import run, steps
from pipelines.exchange import deliver, groups, take
from pipelines.model import publish_json
from pipelines.night import Night
from pipelines.stages.receive import Received
from schemas.model import Inbox, Place
from tests.servers import PASSWORD, S3Server, SftpServer, needs_moto
from tests.waiting import eventually

DAY = date(2026, 11, 22)
TAX, COURT = "tax_service", "high_court"
ITEM = {TAX: "tax_arrears", COURT: "judgment_defaulter"}
HEAD = "无关\n"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, applied: Callable[[], str]) -> Iterator[Night]:
    with pytest.MonkeyPatch.context() as named:
        named.setenv("QIONGXIN_DATABASE_URL", applied())
        with run.open_night(tmp_path_factory.mktemp("night") / "home", DAY) as night:
            yield night


@pytest.fixture
def night(
    opened: Night, server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Night]:
    """A night of a day, with places for departments: `inbox_tax_service=…`."""
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    monkeypatch.setenv("QIONGXIN_KNOWN_HOSTS", str(server.known_hosts(tmp_path / "known_hosts")))
    for word, value in (("PASSWORD", PASSWORD), ("ACCESS_KEY", "tax"), ("SECRET_KEY", "tax")):
        monkeypatch.setenv(f"QIONGXIN_PLACE_TAX_{word}", value)

    def of(days: int = 0, **places: Place) -> Night:
        departments = dict(opened.catalog.departments)
        for name, place in places.items():
            key, _, code = name.partition("_")
            departments[code] = departments[code].model_copy(update={key: place})
        catalog = opened.catalog.model_copy(update={"departments": departments})
        return replace(opened, catalog=catalog, as_of=DAY + timedelta(days))

    return of


def sftp(server: SftpServer, user: str, kind: type[Place] = Inbox, **more: str) -> Place:
    return kind(url=server.url(user, ""), credentials="tax", **more)  # type: ignore[arg-type]


def test_a_place_that_fails_is_remembered_until_it_answers(
    night: Callable[..., Night], server: SftpServer, tmp_path: Path
) -> None:
    (server.add("fails") / ITEM[TAX]).mkdir()
    (server.root / "fails" / ITEM[TAX] / "a.csv").write_text(HEAD + "1\n")
    court = tmp_path / "court" / ITEM[COURT]
    court.mkdir(parents=True)
    (court / "b.csv").write_text(HEAD + "2\n")
    places = {
        f"inbox_{TAX}": sftp(server, "fails"), f"inbox_{COURT}": Inbox(url=f"file://{tmp_path}/court")
    }  # fmt: skip
    server.stop()
    first = night(0, **places)
    assert [d.department for d in take(first).deliveries] == [COURT]
    assert [(f["department"], f["since"]) for f in first.ledger.unreachable()] == [(TAX, DAY)]
    take(night(1, **places))
    assert [(f["department"], f["since"]) for f in first.ledger.unreachable()] == [(TAX, DAY)]
    server.start(server.host_key)
    assert [(d.department, d.period) for d in take(night(2, **places)).deliveries] == [(TAX, DAY + timedelta(2))]
    assert first.ledger.unreachable() == []


def test_a_slow_place_delays_nobody(night: Callable[..., Night], server: SftpServer, tmp_path: Path) -> None:
    """While its file is fetched, everybody else's is taken: by the same look, and by others, which leave it alone."""
    (server.add("slow") / ITEM[TAX]).mkdir()
    (server.root / "slow" / ITEM[TAX] / "a.csv").write_text(HEAD + "10\n")
    court = tmp_path / "court" / ITEM[COURT]
    court.mkdir(parents=True)
    (court / "b.csv").write_text(HEAD + "11\n")
    here = night(0, **{f"inbox_{TAX}": sftp(server, "slow"), f"inbox_{COURT}": Inbox(url=f"file://{tmp_path}/court")})
    at_home = here.home.inbox / "education" / "student_loan_default"
    at_home.mkdir(parents=True)
    (at_home / "c.csv").write_text(HEAD + "12\n")
    server.slow["slow"] = 50
    known = {r["delivery_id"] for r in here.ledger.deliveries()}

    def news() -> set[str]:
        return {r["department"] for r in here.ledger.deliveries() if r["delivery_id"] not in known}

    with ThreadPoolExecutor(1) as other:
        first = other.submit(take, here)
        eventually(lambda: news() == {COURT, "education"})
        eventually(lambda: take(here, DAY, groups(here.catalog, [COURT])).left == ())  # it is done with that place, too
        eventually(lambda: f"/{ITEM[TAX]}/a.csv" in server.opened)
        (at_home / "d.csv").write_text(HEAD + "13\n")
        second = take(here)
        assert (len(second.deliveries), second.left) == (1, (TAX,))
        assert take(here, of=groups(here.catalog, ["home"])).left == ()
        assert take(here, DAY, groups(here.catalog, [TAX])).left == (TAX,)
        assert not first.done()
        server.slow.clear()
        assert {d.department for d in first.result().deliveries} == {TAX, COURT, "education"}
    assert take(here) == Received((), (), (), ())


def test_who_has_a_place_elsewhere_is_asked_by_itself(night: Callable[..., Night], tmp_path: Path) -> None:
    """Its inbox in the home with it; what is known of its place stays while others are asked."""
    here = night(0, **{f"inbox_{TAX}": Inbox(url=f"file://{tmp_path}/missing")})
    path = here.home.inbox / TAX / ITEM[TAX] / "e.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + "14\n")
    (here.home.inbox / "loose.csv").write_text("x")
    home, tax = ([group] for group in groups(here.catalog))
    assert groups(here.catalog, [COURT]) == [], "its places are those of the home"
    assert [d.department for d in take(here, of=tax).deliveries] == [TAX]
    assert [f["department"] for f in here.ledger.unreachable()] == [TAX]
    path.write_text(HEAD + "15\n")
    taken = take(here, of=home)
    assert (taken.deliveries, taken.strangers) == ((), ("inbox/loose.csv",))
    assert [f["department"] for f in here.ledger.unreachable()] == [TAX]
    assert deliver(here, home) == 0
    (tmp_path / "missing").mkdir()
    (here.home.inbox / "loose.csv").unlink()
    assert len(take(here, of=tax).deliveries) == 1 and here.ledger.unreachable() == []


def test_what_others_take_meanwhile_is_no_surprise(
    opened: Night, night: Callable[..., Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that comes while a step asks what there is to check is checked by this step or by the one it is of."""
    real = steps.unchecked

    def after_another_came(at: Night) -> list[str]:
        path = opened.home.inbox / TAX / ITEM[TAX] / "f.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + "16\n")
        came.append(take(night(0)).deliveries[0].delivery_id)
        return real(at)

    came: list[str] = []
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", opened.ledger.engine.url.render_as_string(hide_password=False))
    monkeypatch.setattr(steps, "unchecked", after_another_came)
    portions = steps.receive(str(opened.home.root), DAY.isoformat(), None, ["home"])
    assert came[0] in [key for portion in portions for key in portion]


def test_what_is_left_on_a_server_is_remembered_over_nights(night: Callable[..., Night], server: SftpServer) -> None:
    folder = server.add("left") / ITEM[TAX]
    folder.mkdir()
    (folder / "a.csv").write_text(HEAD + "3\n")
    inbox = sftp(server, "left", after_archiving="leave")
    assert len(take(night(0, **{f"inbox_{TAX}": inbox})).deliveries) == 1
    opened = len(server.opened)
    again = take(night(1, **{f"inbox_{TAX}": inbox}))
    assert (again.deliveries, len(again.again), len(server.opened)) == ((), 1, opened)
    os.utime(folder / "a.csv", (1, 1))
    touched = take(night(2, **{f"inbox_{TAX}": inbox}))
    assert (touched.deliveries, len(touched.again), len(server.opened)) == ((), 1, opened + 1)
    (folder / "a.csv").write_text(HEAD + "4\n")
    assert [d.period for d in take(night(3, **{f"inbox_{TAX}": inbox})).deliveries] == [DAY + timedelta(3)]


@needs_moto
def test_a_bucket_is_an_inbox_as_well(night: Callable[..., Night], service: S3Server) -> None:
    root = f"exchange/tax/{ITEM[TAX]}"
    service.store.create_dir("exchange")
    service.write(f"{root}/a.csv", (HEAD + "5\n").encode())
    service.write(f"{root}/a.csv.manifest.json", b'{"period": "2026-11-01"}')
    places = {f"inbox_{TAX}": Inbox(url="s3://exchange/tax", endpoint=service.endpoint, credentials="tax")}
    (delivery,) = take(night(0, **places)).deliveries
    assert (delivery.file, delivery.period) == ("a.csv", date(2026, 11, 1))
    assert service.names(root) == [".taken/a.csv", ".taken/a.csv.manifest.json"]
    assert take(night(1, **places)) == Received((), (), (), ())


def answered(night: Night, content: str) -> str:
    """A delivery of the tax service with a receipt in the home's outbox; its id."""
    path = night.home.inbox / TAX / ITEM[TAX] / "a.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + content)
    path.with_name("a.csv.done").touch()
    (delivery,) = take(night).deliveries
    tell(night, delivery.delivery_id, "checked")
    return delivery.delivery_id


def tell(night: Night, delivery: str, stage: str) -> None:
    folder = night.home.outbox / TAX
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{delivery}.findings.xlsx").write_text(f"findings {stage}")
    publish_json(folder / f"{delivery}.receipt.json", {"stage": stage})
    night.ledger.update(delivery, receipted=stage)


def test_an_answer_is_sent_once_and_again_when_it_says_more(night: Callable[..., Night], server: SftpServer) -> None:
    theirs, places = server.add("answers"), {f"outbox_{TAX}": sftp(server, "answers", Place)}
    here = night(0, **places)
    delivery = answered(here, "6\n")
    deliver(here)
    names = [f"{delivery}.findings.xlsx", f"{delivery}.receipt.json"]
    assert set(names) <= {p.name for p in theirs.iterdir()} and not list(theirs.glob(".*"))
    opened = len(server.opened)
    assert (deliver(here), len(server.opened)) == (0, opened)
    tell(here, delivery, "final")
    assert deliver(here) == 1
    assert server.opened[opened:] == [f"/.{name}.part" for name in names], "the receipt names the workbook: it is last"
    assert "final" in (theirs / names[0]).read_text() and "final" in (theirs / names[1]).read_text()


def test_an_answer_that_could_not_be_sent_is_sent_the_next_night(
    night: Callable[..., Night], server: SftpServer, tmp_path: Path
) -> None:
    theirs = server.add("later")
    deliver(night(0, **{f"outbox_{TAX}": Place(url=f"file://{tmp_path}")}))  # what other tests left
    outbox = {f"outbox_{TAX}": sftp(server, "later", Place)}
    here = night(0, **outbox)
    delivery = answered(here, "7\n")
    server.stop()
    assert deliver(here) == 0
    assert [(f["direction"], f["department"]) for f in here.ledger.unreachable()] == [("outbox", TAX)]
    server.start(server.host_key)
    assert deliver(night(1, **outbox)) == 1
    assert (theirs / f"{delivery}.receipt.json").exists()
    assert here.ledger.unreachable() == []


def test_departments_without_an_outbox_elsewhere_have_theirs_in_the_home(night: Callable[..., Night]) -> None:
    here = night(0)
    answered(here, "8\n")
    assert deliver(here) == 0
