"""What those who run the platform are told: each kind from its edge on, once to everybody, and never about a person."""

import email
import email.policy
import hashlib
import hmac
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import schemas.load
from pipelines import notify
from pipelines.alerts import CHINA, KINDS, Alert, Figures, find, look
from pipelines.errors import StoreError, UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.notify import Digest, Notifier, SmtpNotifier, WebhookNotifier
from pipelines.stages import obligations
from pipelines.stores import alerts as store
from pipelines.stores import ledger as tables
from pipelines.stores.ledger import Ledger
from schemas.load import effective, load
from schemas.model import Inbox
from tests import leaks
from tests.conftest import every_row
from tests.dirty_files import csv, honour, number
from tests.nights import begin
from tests.servers import PASSWORD, HookServer, SmtpServer, certificate
from tests.test_privacy import name

DAY = date(2026, 11, 20)  # a Friday
SECOND = timedelta(seconds=1)
CATALOGUE = load()
ROOM, NOWHERE = Figures(100, 50, {}), Home(Path("/nowhere"))
TAX = "tax_service"
TABLES = ("alert", "delivery", "look", "unreachable", "release", "life", "tombstone", "reversal")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CHINA)


@pytest.fixture(scope="module")
def url(applied: Callable[[], str]) -> str:
    return applied()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """A ledger to which a catalogue was applied on 2026-11-01, and nothing else."""
    with Ledger(url) as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(sa.text(f"TRUNCATE {', '.join(f'ledger.{t}' for t in TABLES)}"))
        yield ledger


@pytest.fixture
def home(tmp_path: Path, url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setattr(notify, "kept_catalogue", lambda place: CATALOGUE)  # read once, and not for every home
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


def came(ledger: Ledger, on: date = DAY, n: int = 1, **more: Any) -> str:
    """A delivery of honours that was received on a day, released by default."""
    row = {
        "delivery_id": f"d{n:019d}", "department": "civilization_office", "item": "honour", "file": f"{name(n)}.csv",
        "period": on, "sequence": 1, "mode": "incremental", "sha256": f"{n:064d}", "size": 9, "received_on": on,
        "state": "released", "read": 5, **more,
    }  # fmt: skip
    with ledger.engine.begin() as connection:
        connection.execute(sa.insert(tables.delivery).values(row))
    return str(row["delivery_id"])


def holding(
    ledger: Ledger, now: datetime, kind: str, figures: Figures = ROOM, catalog: Any = CATALOGUE,
    home: Home = NOWHERE,
) -> list[Alert]:  # fmt: skip
    """The alerts of one kind, all of which say what to do."""
    found = [a for a in find(ledger, catalog, home, figures, now) if a.kind == kind]
    for a in found:
        assert a.zh and a.en and a.fix_zh and a.fix_en and a.command.startswith("qiongxin ") and "{" not in a.command
    return found


def edge(ledger: Ledger, moment: datetime, kind: str, **more: Any) -> Alert:
    """The one alert that begins at a moment and not a second earlier."""
    assert holding(ledger, moment - SECOND, kind, **more) == []
    (found,) = holding(ledger, moment, kind, **more)
    assert found.since == moment
    return found


# Kinds


@pytest.mark.parametrize(
    ("last", "begins"),
    [
        (date(2026, 11, 19), "2026-11-21T07:00"),
        (date(2026, 11, 20), "2026-11-24T07:00"),  # nobody delivers on a weekend,
        (date(2026, 9, 30), "2026-10-09T07:00"),  # nor in the week of the national day
    ],
)
def test_silence_counts_working_days(ledger: Ledger, last: date, begins: str) -> None:
    came(ledger, last, state="returned")
    assert str(last) in edge(ledger, at(begins), "nothing_arrived").en


def test_a_home_that_never_received_anything_is_silent_since_its_first_night(ledger: Ledger) -> None:
    assert store.first_night(ledger) == date(2026, 11, 1)
    edge(ledger, at("2026-11-03T07:00"), "nothing_arrived")


@pytest.mark.parametrize("state", ["received", "checked"])
def test_a_delivery_is_stuck_a_day_after_its_night(ledger: Ledger, state: str) -> None:
    key = came(ledger, state=state)
    came(ledger, n=2), came(ledger, n=3, state="returned"), came(ledger, n=4, state="checked", message_code="G003")
    found = edge(ledger, at("2026-11-22T00:00"), "stuck")
    assert (found.department, found.item, found.delivery_id) == ("civilization_office", "honour", key)
    assert key in found.zh and key in found.en and name(1) not in found.zh


def test_a_delivery_of_a_past_day_that_came_just_now_is_not_stuck_yet(ledger: Ledger, tmp_path: Path) -> None:
    came(ledger, state="received")
    archived, home = at("2026-12-24T09:00"), Home(tmp_path)
    raw = home.raw(f"{1:064d}")
    raw.parent.mkdir(parents=True)
    raw.touch()
    os.utime(raw, (archived.timestamp(), archived.timestamp()))
    edge(ledger, archived + timedelta(hours=24), "stuck", home=home)


def test_a_file_that_nobody_takes_is_stuck_wherever_it_lies(ledger: Ledger, tmp_path: Path) -> None:
    moment = at("2026-11-22T15:30")
    lying = {("civilization_office", "honour"): moment - timedelta(hours=24)}
    assert edge(ledger, moment, "stuck", figures=Figures(1, 1, lying)).item == "honour"

    place = "sftp://platform@files.example/out"
    there = CATALOGUE.departments[TAX].model_copy(update={"inbox": Inbox(url=place + "/", credentials="tax")})
    catalog = CATALOGUE.model_copy(update={"departments": {**CATALOGUE.departments, TAX: there}})
    seen = {"place": place, "stamp": "1/1", "seen_at": moment - timedelta(hours=24)}
    with ledger.engine.begin() as connection:
        is_taken = {"name": b"b", "taken": "1/1", "seen_at": at("2026-11-01")}
        rows = [{**seen, "name": b"a", "taken": None}, {**seen, **is_taken}]
        connection.execute(sa.insert(tables.look), rows)
    assert edge(ledger, moment, "stuck", catalog=catalog).department == TAX


def test_a_look_at_the_home_sees_what_lies_in_the_inboxes_of_departments(tmp_path: Path) -> None:
    mine = "civilization_office/honour"
    for file in (f"{mine}/a.csv.part", f"{mine}/b.csv.manifest.json", f"{mine}/.taken/c.csv",
                 "tax_service/honour/d.csv", "a stranger/honour/e.csv"):  # fmt: skip
        (tmp_path / "inbox" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "inbox" / file).touch()
    seen = look(Home(tmp_path), CATALOGUE)
    assert [*seen.files] == [("civilization_office", "honour")] and 0 < seen.free < seen.total


def test_a_release_lags_when_something_waited_for_it_two_nights(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        row = {"release_id": "r1", "number": 1, "as_of": date(2026, 11, 10), "revision": "x"}
        connection.execute(sa.insert(tables.release).values(row))
    assert holding(ledger, at("2026-12-24T00:00"), "no_release") == []
    came(ledger, state="checked")
    assert "2026-11-10" in edge(ledger, at("2026-11-23T00:00"), "no_release").zh
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(tables.release).values(as_of=date(2026, 11, 21)))
    edge(ledger, at("2026-11-24T00:00"), "no_release")


def test_records_that_time_should_have_changed_wait_for_a_release_too(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(sa.insert(tables.life).values(item="honour", events="", rules="", changes_on=DAY))
        connection.execute(sa.insert(tables.life).values(item="gone", events="", rules="", changes_on=date(2026, 1, 1)))
    edge(ledger, at("2026-11-23T00:00"), "no_release")


@pytest.mark.parametrize(("free", "count"), [(100, 0), (99, 1), (0, 1)])
def test_a_disk_with_less_than_a_tenth_free_is_told(ledger: Ledger, free: int, count: int) -> None:
    assert len(holding(ledger, at("2026-11-22T00:00"), "disk", Figures(1000, free, {}))) == count


def test_a_cut_off_is_missed_from_the_morning_after_the_due_day_until_the_delivery_is_in(ledger: Ledger) -> None:
    pair = {"department": "public_security", "item": "traffic_penalty"}

    def owed(now: datetime) -> list[str]:
        return [a.period for a in holding(ledger, now, "cut_off_missed") if (a.department, a.item) == (*pair.values(),)]

    # The period of Friday is owed by Monday.
    friday, morning = "2026-11-20/2026-11-20", at("2026-11-24T07:00")
    assert friday not in owed(morning - SECOND) and friday in owed(morning)
    (found,) = [a for a in holding(ledger, morning, "cut_off_missed") if (a.item, a.period) == (pair["item"], friday)]
    assert found.since == morning and "2026-11-23" in found.zh and pair["department"] in found.command
    came(ledger, DAY, state="returned", **pair)
    assert friday in owed(morning), "what went back settles nothing"
    came(ledger, DAY + timedelta(4), n=2, period=DAY, manifest={"stated": ["period"]}, **pair)
    assert friday not in owed(morning)


def test_what_was_due_before_the_first_night_is_nobodys_alert(ledger: Ledger) -> None:
    found = holding(ledger, at("2026-11-05T07:00"), "cut_off_missed")
    assert found and min(a.since for a in found) >= at("2026-11-02T07:00"), "the catalogue was applied on 1 November"


def test_a_place_that_failed_is_told_without_the_names_of_strangers(ledger: Ledger) -> None:
    places = [(TAX, "sftp://x/out", "sftp://x/out: no answer. Ask the owner (张三)."),
              (name(1), f"inbox/{name(1)}", f"inbox/{name(1)}: not readable.")]  # fmt: skip
    ledger.note_unreachable("inbox", places, DAY, lambda department: True)
    stranger, known = holding(ledger, at("2026-11-21T00:00"), "unreachable")
    assert known.department == TAX and known.since == at("2026-11-20T00:00")
    assert "no answer. Ask the owner" in known.en and "张三" not in known.en
    assert name(1) not in json.dumps(stranger.as_dict(), ensure_ascii=False)
    ledger.note_unreachable("inbox", [], DAY, lambda department: department == TAX)
    assert [a.department for a in holding(ledger, at("2026-11-21T00:00"), "unreachable")] == [stranger.department]
    ledger.note_unreachable("inbox", [], DAY, lambda department: department != TAX)
    assert holding(ledger, at("2026-11-21T00:00"), "unreachable") == []


def test_what_is_held_is_told_with_the_rule_and_its_cure(ledger: Ledger) -> None:
    said = {"message_zh": f"{name(1)}", "message_en": f"{name(1)}"}
    came(ledger, n=1, state="held", message_code="F011", **said)
    came(ledger, n=2, state="held", message_code="H001", message_zh="本次 1 行", message_en="1 row")
    came(ledger, n=3, state="checked", message_code="G003", message_zh="主键", message_en="primary key")
    came(ledger, n=4, state="returned", message_code="F002")
    came(ledger, n=5, state="checked", message_code="G007", message_zh=name(5), message_en=name(5))  # no hold
    found = holding(ledger, at("2026-11-21T00:00"), "held")
    assert [(a.code, a.delivery_id[-1]) for a in found] == [("F011", "1"), ("H001", "2"), ("G003", "3")]
    assert "清单" in found[0].zh and name(1) not in found[0].zh + found[0].en, "only what kind of finding it is"
    assert "本次 1 行" in found[1].zh and "primary key" in found[2].en
    for a in found:
        assert a.fix_zh == CATALOGUE.findings[a.code].fix_zh and a.fix_en == CATALOGUE.findings[a.code].fix_en
        assert CATALOGUE.departments[a.department].name_zh in a.zh and a.delivery_id in a.command


def test_an_item_that_is_held_without_a_delivery_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        candidate, deliveries = "c1", ()

    monkeypatch.setattr("pipelines.alerts.read_candidate", lambda home, item: Waiting() if item == "honour" else None)
    assert holding(ledger, at("2026-11-21T00:00"), "held") == []
    ledger.gate("c1", "honour", "failed", {})
    (found,) = holding(ledger, at("2026-11-21T00:00"), "held")
    assert (found.item, found.code, found.department) == ("honour", "G003", "")


def test_a_failed_task_holds_until_it_succeeds_and_tells_only_what_is_ours(home: Home, ledger: Ledger) -> None:
    now, secret = at("2026-11-21T02:00"), f"{name(1)} {number(1)}"
    notify.failed(home.root, "nightly 2026-11-20 check", "builtins.ValueError", f"bad row {secret}", now)
    notify.failed(home.root, "nightly 2026-11-20 load", "pipelines.errors.StoreError", f"raw/: full {secret}.", now)
    check, load_ = holding(ledger, now + SECOND, "failed")
    assert check.en.endswith("check failed: ValueError") and load_.en.endswith("StoreError: raw/: full … ….")
    told = every_row(ledger.url, "t::text", "1")["ledger.alert"]
    assert len(told) == 2 and name(1) not in str(told) and number(1) not in str(told)
    notify.succeeded(home.root, "nightly 2026-11-20 check", now)
    assert holding(ledger, now, "failed") == [load_]


# Rounds


class Heard:
    """A notifier that remembers, and fails as long as `is_down`."""

    def __init__(self, name: str) -> None:
        self.name, self.is_down, self.digests = name, False, list[Digest]()

    def send(self, digest: Digest) -> None:
        if self.is_down:
            raise StoreError(f"{self.name}: down. Mend it.")
        self.digests.append(digest)

    def heard(self) -> tuple[list[str], list[str]]:
        """Keys of what holds and of what is over in the mails since the last time."""
        found = [[a.key for d in self.digests for a in part(d)] for part in (lambda d: d.holding, lambda d: d.over)]
        self.digests.clear()
        return found[0], found[1]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody owes anything, so that rounds tell what a test brings about."""
    monkeypatch.setattr(obligations, "obligations", lambda *_: [])
    monkeypatch.setattr("pipelines.alerts.look", lambda *_: ROOM)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one department owes anything: the others say nothing else, and there are many."""
    whole = obligations.obligations
    monkeypatch.setattr(
        obligations, "obligations", lambda *asked: [o for o in whole(*asked) if o.department == "public_security"]
    )


def test_an_alert_is_told_once_again_after_a_day_and_when_it_is_over(home: Home, ledger: Ledger, quiet: None) -> None:
    key, heard = came(ledger, state="held", message_code="F011"), Heard("smtp")
    told = ([f"held/{key}/F011"], [])
    first = at("2026-11-21T02:00")

    def after(spent: timedelta) -> tuple[list[str], list[str]]:
        assert notify.send(home.root, first + spent, [heard]).failed == ()
        return heard.heard()

    assert after(timedelta()) == told
    assert after(timedelta(hours=24) - SECOND) == ([], [])
    assert after(timedelta(hours=24)) == told
    ledger.update(key, state="released", message_code="")
    assert after(timedelta(hours=25)) == ([], told[0])
    assert after(timedelta(hours=26)) == ([], []), "over is told once"
    ledger.update(key, state="held", message_code="F011")
    assert after(timedelta(hours=27)) == told, "what comes back is new"


def test_what_was_never_told_is_not_told_to_be_over(home: Home, ledger: Ledger, quiet: None) -> None:
    heard, now = Heard("smtp"), at("2026-11-21T02:00")
    came(ledger)
    notify.failed(home.root, "load", "StoreError", "full", now)
    notify.succeeded(home.root, "load", now)
    assert notify.send(home.root, now, [heard]) == notify.Sent(0, 0, ()) and heard.digests == []


def test_a_task_that_succeeds_during_a_round_is_over(
    home: Home, ledger: Ledger, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, now = Heard("smtp"), at("2026-11-21T02:00")
    came(ledger)
    notify.failed(home.root, "load", "StoreError", "full", now)

    def then_succeeds(*asked: Any) -> list[Alert]:
        found = find(*asked)
        notify.succeeded(home.root, "load", now)
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("pipelines.alerts.find", then_succeeds)
        notify.send(home.root, now, [heard])
    assert heard.digests == [] and holding(ledger, now, "failed") == []


def test_a_notifier_that_fails_stops_no_other_and_is_tried_again(home: Home, ledger: Ledger, quiet: None) -> None:
    mail, hook = Heard("smtp"), Heard("webhook")
    both: list[Notifier] = [hook, mail]
    key = f"held/{came(ledger, state='held', message_code='F011')}/F011"
    now, hook.is_down = at("2026-11-21T02:00"), True
    assert notify.send(home.root, now, both) == notify.Sent(1, 0, ("webhook: down. Mend it.",))
    assert mail.heard() == ([key], [])
    hook.is_down = False
    assert notify.send(home.root, now + timedelta(hours=1), both) == notify.Sent(1, 0, ())
    assert (mail.heard(), hook.heard()) == (([], []), ([key], [])), "nobody hears twice"
    hook.is_down = True
    ledger.update(came(ledger, n=2), state="released")
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(tables.delivery).values(state="released", message_code=""))
    assert notify.send(home.root, now + timedelta(hours=2), both).failed
    hook.is_down = False
    notify.send(home.root, now + timedelta(hours=3), both)
    assert (mail.heard(), hook.heard()) == (([], [key]), ([], [key]))


def test_two_rounds_at_once_tell_once(home: Home, ledger: Ledger, quiet: None) -> None:
    class Slow(Heard):
        def send(self, digest: Digest) -> None:
            time.sleep(0.3)
            super().send(digest)

    heard, now = Slow("smtp"), at("2026-11-21T02:00")
    came(ledger, state="held", message_code="F011")
    with ThreadPoolExecutor(2) as pool:
        counts = [s.holding for s in pool.map(lambda _: notify.send(home.root, now, [heard]), range(2))]
    assert sorted(counts) == [0, 1] and len(heard.digests) == 1


def test_a_period_that_is_out_of_sight_is_not_told_to_be_in(home: Home, ledger: Ledger, few: None) -> None:
    heard, now = Heard("smtp"), at("2026-12-30T07:00")
    days = effective(CATALOGUE, "obligations_window_days", now.date())
    assert notify.send(home.root, now, [heard]).holding > 30
    owed = {k for k in heard.heard()[0] if k.startswith("cut_off_missed/")}
    notify.send(home.root, now + timedelta(days=days + 60), [heard])
    again, over = heard.heard()
    assert owed - {*again} and not any(k.startswith("cut_off_missed/") for k in over)


def test_a_database_that_cannot_be_asked_is_told_and_what_failed_since(
    home: Home, ledger: Ledger, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, now, url = Heard("smtp"), at("2026-11-21T02:00"), ledger.url
    came(ledger)
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", "postgresql+psycopg://nobody:hidden@127.0.0.1:1/none")
    notify.failed(home.root, "nightly load", "StoreError", "database: down.", now)
    for hours, keys in ((0, ["failed/database", "failed/nightly load"]), (1, [])):
        notify.send(home.root, now + timedelta(hours=hours), [heard])
        assert sorted(heard.heard()[0]) == keys
    assert "hidden" not in "".join(p.read_text() for p in (home.work / "alerts").iterdir())
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    notify.send(home.root, now + timedelta(hours=2), [heard])
    assert heard.heard() == ([], ["failed/database"]) and not [*(home.work / "alerts").iterdir()]
    notify.succeeded(home.root, "nightly load", now + timedelta(hours=3))
    notify.send(home.root, now + timedelta(hours=3), [heard])
    assert heard.heard() == ([], ["failed/nightly load"])


def test_a_catalogue_that_cannot_be_read_is_told(
    home: Home, ledger: Ledger, quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came(ledger)
    (tmp_path / "catalog" / "policy").mkdir(parents=True)
    (tmp_path / "catalog" / "policy" / "national.toml").write_text("= broken")
    heard, now = Heard("smtp"), at("2026-11-21T02:00")
    with monkeypatch.context() as broken:
        broken.setattr(schemas.load, "CATALOG", tmp_path / "catalog")
        broken.setattr(notify, "kept_catalogue", kept_catalogue)
        notify.send(home.root, now, [heard])
    ((digest,),) = [heard.digests]
    assert [a.key for a in digest.holding] == ["failed/catalogue"] and "policy/national.toml" in digest.holding[0].en
    heard.digests.clear()
    notify.send(home.root, now, [heard])
    assert heard.heard() == ([], ["failed/catalogue"])


# Notifiers

PERIODS = tuple(
    Alert(f"cut_off_missed/taxation/tax_arrears/{n}", "cut_off_missed", at(f"2026-11-{n:02d}T07:00"), f"甲{n}", f"A{n}",
          "请催报。", "Ask.", "qiongxin obligations", TAX, "tax_arrears")
    for n in range(3, 6)
)  # fmt: skip
FULL = Alert("disk", "disk", at("2026-11-05T00:00"), "磁盘已满", "full disk", "扩容", "Make room", "qiongxin sweep")
SAID = Digest(at("2026-11-06T08:00"), (FULL, *PERIODS), PERIODS[:1], (DAY, 3))


@pytest.fixture
def served() -> Iterator[Callable[..., SmtpServer]]:
    made: list[SmtpServer] = []

    def new(**more: Any) -> SmtpServer:
        made.append(SmtpServer(**more))
        return made[-1]

    yield new
    for server in made:
        server.close()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[HookServer]:
    monkeypatch.setenv("no_proxy", "*")
    server = HookServer()
    yield server
    server.close()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    path, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return context


def read(mail: bytes) -> tuple[str, str]:
    """Subject and text as a reader shows them."""
    told = email.message_from_bytes(mail, policy=email.policy.default)
    assert told["From"] == "platform@hn.example" and told["To"] == "a@hn.example, b@hn.example" and told["Message-ID"]
    return str(told["Subject"]), told.get_content().replace("\r\n", "\n")


def mailer(server: SmtpServer, scheme: str = "smtp", who: str = "", more: str = "") -> SmtpNotifier:
    to = "from=platform@hn.example&to=a@hn.example,b@hn.example"
    return SmtpNotifier(f"{scheme}://{who}127.0.0.1:{server.port}/?{to}{more}")


WHO = f"robot:{PASSWORD.replace(' ', '%20')}@"


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_goes_to_a_server_that_is_trusted_with_the_password(
    scheme: str, served: Callable[..., SmtpServer], trusted: ssl.SSLContext
) -> None:
    server = served(context=trusted, users={"robot": PASSWORD}, is_tls=scheme == "smtps")
    mailer(server, scheme, WHO).send(SAID)
    assert server.logins == ["robot"]
    (mail,) = server.mails
    subject, text = read(mail)
    assert subject == "琼信告警 4 条，解除 1 条 · Qiongxin alerts: 4, over: 1"
    chinese, english = text.split("—" * 20)
    assert "1. [磁盘空间不足] 磁盘已满\n" in chinese and "处理: 扩容\n   下一步: qiongxin sweep\n" in chinese
    assert "2. [逾期未报] 甲3（另有 2 条同类）\n   自 2026-11-03 07:00\n" in chinese and "甲4" not in chinese
    assert "- [cut-off missed] A3\n" in english and "3 deliveries of 2026-11-20 went back" in english


def test_no_password_is_sent_in_the_open_or_to_a_stranger(
    served: Callable[..., SmtpServer], tmp_path: Path
) -> None:
    users = {"robot": PASSWORD}
    plain, strange = served(users=users), served(users=users, context=certificate(tmp_path)[1])
    for server, why in ((plain, "no STARTTLS"), (strange, "SSLCertVerificationError")):
        with pytest.raises(StoreError, match=why):
            mailer(server, who=WHO).send(SAID)
        assert server.logins == []
    mailer(plain, who=WHO, more="&tls=none").send(SAID)
    assert plain.logins == ["robot"] and len(plain.mails) == 1


def test_what_a_mail_server_refuses_is_told_without_address_and_password(
    served: Callable[..., SmtpServer], trusted: ssl.SSLContext
) -> None:
    server = served(context=trusted, users={"robot": "another"})
    full = served()
    full.answer = "552 no room for a@hn.example"
    gone = served()
    gone.close()
    for notifier, why in ((mailer(server, who=WHO), "SMTPAuthenticationError 535"), (mailer(full), "SMTPDataError 552"),
                          (mailer(gone), "ConnectionRefusedError")):  # fmt: skip
        with pytest.raises(StoreError) as refused:
            notifier.send(SAID)
        assert why in str(refused.value) and PASSWORD not in str(refused.value) and "@" not in str(refused.value)


def test_a_webhook_gets_json_that_bears_its_seal(hook: HookServer) -> None:
    WebhookNotifier(hook.url, "our secret").send(SAID)
    (body,), (headers,) = hook.bodies, hook.headers
    assert headers[notify.SIGNATURE] == "sha256=" + hmac.new(b"our secret", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert told["returned"] == {"day": "2026-11-20", "deliveries": 3} and told["platform"] == "qiongxin"
    assert [(a["key"], a["more"]) for a in told["alerts"]] == [("disk", 0), (PERIODS[0].key, 2)]
    assert [a["key"] for a in told["over"]] == [PERIODS[0].key]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_told_without_its_token_and_never_followed(hook: HookServer, status: int) -> None:
    hook.status = status
    with pytest.raises(StoreError, match=f"answered {status}") as refused:
        WebhookNotifier(hook.url).send(SAID)
    assert "hidden-token" not in str(refused.value) and hook.bodies == []
    hook.close()
    with pytest.raises(StoreError, match="ConnectionRefusedError"):
        WebhookNotifier(hook.url).send(SAID)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (notify.SMTP, "mail.hn.example"), (notify.SMTP, "smtp://u:hidden@h:x/?from=a@b&to=c@d"),
        (notify.SMTP, "smtp://u:hidden@h/?from=a@b"), (notify.WEBHOOK, "http://hooks.example/hidden"),
        (notify.WEBHOOK, "file:///hidden"), (notify.WEBHOOK, "https://"),
    ],
)  # fmt: skip
def test_a_miswritten_address_is_refused_without_being_shown(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(UsageFault, match=name) as refused:
        notify.configured()
    assert "hidden" not in str(refused.value)


def test_a_long_digest_says_how_much_it_leaves_out() -> None:
    since, count = at("2026-11-05"), notify.MOST + 7
    many = tuple(Alert(f"held/{n}", "held", since, "暂缓", "held", "", "", "") for n in range(count))
    told = notify.text(Digest(at("2026-11-06"), many, many))
    assert "另有 7 项：qiongxin alerts" in told and "7 more: qiongxin alerts" in told and "(+7)" in told


def test_every_kind_has_its_words() -> None:
    for kind, (zh, en, _, _, command) in KINDS.items():
        assert zh and en and command.startswith("qiongxin "), kind


# A night


def test_nothing_that_is_told_after_a_night_is_about_a_person(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch, served: Callable[..., SmtpServer],
    hook: HookServer, few: None,
) -> None:  # fmt: skip
    people = range(1, 6)
    home = begin(tmp_path / "home", applied(), monkeypatch)
    file = f"{name(1)}{number(1)}"
    rows = home.night(0, **{
        "good": csv(honour(1), honour(2)), file: (csv(honour(3)), {"rows": 7, "sequence": 2}),
        f"{name(5)}": (csv(honour(4)).partition("\n")[2], {"sequence": 3}),
    })  # fmt: skip
    assert sorted(r["state"] for r in rows.values()) == ["held", "released", "returned"]
    inbox = home.place / "inbox" / "civilization_office" / "honour"
    (inbox / f"{file}.csv.part").touch()
    notify.failed(home.place, "nightly check", "ValueError", file)
    server = served()
    to = f"smtp://127.0.0.1:{server.port}/?from=platform@hn.example&to=a@hn.example,b@hn.example"
    monkeypatch.setenv(notify.SMTP, to)
    monkeypatch.setenv(notify.WEBHOOK, hook.url)
    later = (datetime.now(CHINA) + timedelta(days=3)).isoformat()  # the file lies there since now

    code, shown = home.command("alerts", "--json", "--now", later)
    found = json.loads(shown)
    assert code == 0 and {a["kind"] for a in found} >= {"failed", "held", "stuck", "cut_off_missed"}
    _, screen = home.command("alerts", "--now", later)
    code, said = home.command("alerts", "--send", "--now", later, "--json")
    told = json.loads(said)
    assert (code, told["failed"], told["over"]) == (0, [], 0) and told["sent"] == len(found)
    assert home.command("alerts", "--send", "--now", later)[1] == "sent: 0 that hold, 0 that are over\n"
    assert (len(server.mails), len(hook.bodies)) == (1, 1)
    mail = " ".join(read(server.mails[0]))
    assert "F011" in mail and "civilization_office" in mail and "went back" in mail

    secrets = leaks.Secrets()
    for n in people:
        secrets.add(name(n), "name", "planted")
        secrets.add(number(n), "credit_number", "planted")
    table = repr(every_row(home.url, "t::text", "1")["ledger.alert"])
    for text in (shown, screen, said, mail, table, hook.bodies[0].decode()):
        assert secrets.leaks(text.encode()) == set()

    hook.status = 500
    notify.failed(home.place, "nightly load", "StoreError", "full")
    assert home.command("alerts", "--send", "--now", later)[0] == 4
    assert len(server.mails) == 2, "the other one is served"
    monkeypatch.delenv(notify.SMTP), monkeypatch.delenv(notify.WEBHOOK)
    assert home.command("alerts", "--send")[0] == 2
