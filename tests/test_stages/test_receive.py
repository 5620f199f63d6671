"""What is taken from an inbox, when, and what a kill in between leaves behind."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.errors import StoreError
from pipelines.model import Delivery, Home
from pipelines.stages import receive as stage
from pipelines.stages.receive import Inbox, receive
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Look
from pipelines.stores.places import Folder
from pipelines.stores.sftp import Sftp
from tests.servers import PASSWORD, SftpServer, sftp_server

KNOWN = {"tax": ("arrears",)}
DAY = date(2026, 11, 22)


class Book:
    """What `receive` asks of the ledger, kept in memory."""

    def __init__(self) -> None:
        self.known: dict[str, Delivery] = {}
        self.seen: dict[tuple[str, bytes], Look] = {}

    def looks(self, place: str) -> dict[bytes, Look]:
        return {name: look for (where, name), look in self.seen.items() if where == place}

    def note_looks(self, place: str, stamps: Mapping[bytes, str], gone: Iterable[bytes]) -> None:
        for name in gone:
            self.seen.pop((place, name), None)
        for name, stamp in stamps.items():
            old = self.seen.get((place, name), Look("", 0.0, None, None, None))
            self.seen[place, name] = replace(old, stamp=stamp)

    def register(self, new: Delivery, received_on: date, place: str, name: bytes, stamp: str) -> bool:
        old = self.seen[place, name]
        self.seen[place, name] = replace(old, taken=stamp, sha256=new.sha256, period=new.period)
        return self.known.setdefault(new.delivery_id, new) is new


def put(home: Home, name: str, content: bytes, manifest: dict[str, object] | None = None, place: str = "tax/arrears"):
    path = home.inbox / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if manifest is not None:
        path.with_name(name + ".manifest.json").write_text(json.dumps(manifest))
    return path


def take(
    home: Home, book: Book, pause: float = 0.0, elsewhere: Sequence[Inbox] = (), day: date = DAY
) -> stage.Received:
    return receive(home, book, KNOWN, day, pause, Keys(bytes(32)), elsewhere)  # type: ignore[arg-type]


def test_bytes_are_archived_under_their_hash_and_the_original_moves_away(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    path = put(home, "a.csv", b"x,y\n1,2\n", {"rows": 1, "period": "2026-11-20", "sequence": 3})
    (delivery,) = take(home, book).deliveries
    assert home.raw(delivery.sha256).read_bytes() == b"x,y\n1,2\n"
    assert (delivery.period, delivery.sequence, delivery.declared_rows) == (date(2026, 11, 20), 3, 1)
    assert not path.exists()
    assert (path.parent / ".taken" / "a.csv").exists()


@pytest.mark.parametrize("size", [0, 1, stage.BLOCK - 1, stage.BLOCK, stage.BLOCK + 1, 3 * stage.BLOCK + 5])
def test_every_byte_is_archived_whatever_the_size(tmp_path: Path, size: int) -> None:
    home, content = Home(tmp_path), bytes(n * 7 & 255 for n in range(size))
    put(home, "a.csv", content, {})
    (delivery,) = take(home, Book()).deliveries
    assert delivery.sha256 == hashlib.sha256(content).hexdigest()
    assert home.raw(delivery.sha256).read_bytes() == content


@pytest.mark.parametrize("bad", ["a byte", "the tail"])
def test_a_copy_that_differs_is_not_archived_and_the_original_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    home, book, write = Home(tmp_path), Book(), stage._write
    path = put(home, "a.csv", b"x,y\n1,2\n", {})
    spoil = (lambda b: bytes(b).replace(b"1", b"2")) if bad == "a byte" else (lambda b: bytes(b)[:-1])
    monkeypatch.setattr(stage, "_write", lambda file, block: write(file, memoryview(spoil(block))))
    with pytest.raises(StoreError, match="differs"):
        take(home, book)
    assert path.exists() and not book.known
    assert not [p for p in (home.root / "raw").rglob("*") if p.is_file()]
    monkeypatch.undo()
    assert len(take(home, book).deliveries) == 1


def test_same_tuple_again_is_the_same_delivery_and_another_period_a_new_one(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    put(home, "a.csv", b"1", {"period": "2026-11-20"})
    take(home, book)
    put(home, "renamed.csv", b"1", {"period": "2026-11-20"})
    again = take(home, book)
    assert (again.deliveries, len(again.again)) == ((), 1)
    put(home, "a.csv", b"1", {"period": "2026-11-21"})
    assert len(take(home, book).deliveries) == 1


def test_a_file_that_grows_between_two_looks_is_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, book = Home(tmp_path), Book()
    path = put(home, "a.csv", b"half")

    def write_on(seconds: float) -> None:
        path.write_bytes(b"half and more")

    monkeypatch.setattr(stage.time, "sleep", write_on)
    taken = take(home, book)
    assert taken.waiting == ("inbox/tax/arrears/a.csv",)
    assert path.exists()


def test_unfinished_names_wait_and_dotfiles_are_left_alone(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    for name in ("a.csv.part", "b.tmp", ".c.csv"):
        put(home, name, b"x")
    assert take(home, book) == stage.Received((), (), ("inbox/tax/arrears/a.csv.part", "inbox/tax/arrears/b.tmp"), ())


def test_a_stranger_is_named_and_left_where_it_is(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    path = put(home, "a.csv", b"x", {}, place="tax/unheard")
    assert take(home, book).strangers == ("inbox/tax/unheard/a.csv",)
    assert path.exists()


@pytest.mark.parametrize("step", ["register", "_move_away"])
def test_a_kill_between_two_steps_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    home, book = Home(tmp_path), Book()
    put(home, "a.csv", b"x", {"period": "2026-11-20"})

    def killed(*args: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(book if step == "register" else stage, step, killed)
        with pytest.raises(KeyboardInterrupt):
            take(home, book)
    take(home, book)
    assert len(book.known) == 1
    assert list(home.inbox.rglob("*.csv")) == [home.inbox / "tax/arrears/.taken/a.csv"]


def test_what_lies_in_no_folder_of_an_item_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for place in ("tax/arrears/2026", "tax", "."):
        put(home, "a.csv", b"x", {}, place=place)
    put(home, ".hidden", b"x", place="tax")
    assert take(home, Book()).strangers == ("inbox/a.csv", "inbox/tax/a.csv", "inbox/tax/arrears/2026")


def test_a_link_into_another_departments_folder_is_not_taken(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = put(home, "a.csv", b"of another", place="court/cases")
    (home.inbox / "tax" / "arrears").mkdir(parents=True)
    (home.inbox / "tax" / "arrears" / "b.csv").symlink_to(path)
    taken = take(home, Book())
    assert (taken.deliveries, taken.strangers) == ((), ("inbox/court/cases/a.csv", "inbox/tax/arrears/b.csv"))


def test_a_manifest_that_comes_between_two_looks_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, book = Home(tmp_path), Book()
    put(home, "a.csv", b"x")
    monkeypatch.setattr(stage.time, "sleep", lambda seconds: put(home, "a.csv", b"x", {"period": "2026-11-20"}))
    (delivery,) = take(home, book).deliveries
    assert delivery.period == date(2026, 11, 20)


def test_a_half_written_manifest_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, book = Home(tmp_path), Book()
    path = put(home, "a.csv", b"x")
    path.with_name("a.csv.manifest.json").write_text('{"period": "2026-')
    monkeypatch.setattr(stage.time, "sleep", lambda seconds: put(home, "a.csv", b"x", {"period": "2026-11-20"}))
    (delivery,) = take(home, book).deliveries
    assert delivery.period == date(2026, 11, 20)


def test_a_look_of_an_earlier_run_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, book = Home(tmp_path), Book()
    path = put(home, "a.csv", b"half")
    monkeypatch.setattr(stage.time, "sleep", lambda seconds: path.write_bytes(b"half and more"))
    assert len(take(home, book, pause=5.0).waiting) == 1

    def not_again(seconds: float) -> None:
        raise AssertionError("it was looked at long ago")

    monkeypatch.setattr(stage.time, "sleep", not_again)
    book.seen = {key: replace(look, age=60.0) for key, look in book.seen.items()}
    assert len(take(home, book, pause=5.0).deliveries) == 1


def test_a_name_in_gb18030_is_read_and_a_number_in_it_is_not_kept(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    path = os.fsencode(put(home, "a.csv", b"x")).replace(b"a.csv", "欠税 469099209001011239.csv".encode("gb18030"))
    assert path.decode(), "these bytes are UTF-8 as well, by chance"
    os.replace(home.inbox / "tax/arrears/a.csv", path)
    (delivery,) = take(home, book).deliveries
    assert delivery.file == "欠税 [证件号].csv"
    assert os.listdir(os.path.dirname(path) + b"/.taken") == [os.path.basename(path)]
    waiting = put(home, "469099209001011239.csv.part", b"x")
    assert take(home, book).waiting == ("inbox/tax/arrears/[证件号].csv.part",)
    assert waiting.exists()


# -- inboxes elsewhere --


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpServer]:
    with sftp_server(tmp_path / "server") as made:
        made.add("tax").joinpath("arrears").mkdir()
        monkeypatch.setenv("QIONGXIN_PLACE_TAX_PASSWORD", PASSWORD)
        monkeypatch.setenv("QIONGXIN_KNOWN_HOSTS", str(made.known_hosts(tmp_path / "known_hosts")))
        yield made


def send(server: SftpServer, name: str, content: bytes, manifest: dict[str, object] | None = None) -> Path:
    path = server.root / "tax" / "arrears" / name
    path.write_bytes(content)
    if manifest is not None:
        path.with_name(name + ".manifest.json").write_text(json.dumps(manifest))
    return path


def fetch(home: Home, book: Book, server: SftpServer, is_left: bool = False, day: date = DAY) -> stage.Received:
    """One night of a department that has its inbox on the server."""
    with Sftp(server.url("tax", ""), "tax") as place:
        return take(home, book, elsewhere=[Inbox("tax", place, ("arrears",), is_left)], day=day)


def test_a_file_of_a_server_is_archived_and_moved(tmp_path: Path, server: SftpServer) -> None:
    home, book = Home(tmp_path / "home"), Book()
    path = send(server, "a.csv", b"x,y\n1,2\n", {"period": "2026-11-20"})
    send(server, "b.csv.part", b"x")
    taken = fetch(home, book, server)
    assert [(d.department, d.item, d.file, d.period) for d in taken.deliveries] == [
        ("tax", "arrears", "a.csv", date(2026, 11, 20))
    ]
    assert home.raw(taken.deliveries[0].sha256).read_bytes() == b"x,y\n1,2\n"
    assert taken.waiting == (f"sftp://tax@127.0.0.1:{server.port}/arrears/b.csv.part",)
    assert sorted(p.name for p in path.parent.iterdir()) == [".taken", "b.csv.part"]
    assert sorted(p.name for p in (path.parent / ".taken").iterdir()) == ["a.csv", "a.csv.manifest.json"]
    assert book.seen == {}, "the next file of this name is another one"


def test_a_file_that_is_left_is_fetched_once_and_is_one_delivery(tmp_path: Path, server: SftpServer) -> None:
    home, book = Home(tmp_path / "home"), Book()
    path = send(server, "a.csv", b"first")
    assert len(fetch(home, book, server, is_left=True).deliveries) == 1
    assert path.read_bytes() == b"first"
    opened = len(server.opened)
    again = fetch(home, book, server, is_left=True, day=DAY + timedelta(1))
    assert (again.deliveries, len(again.again), len(server.opened)) == ((), 1, opened)
    # The department's system writes the same content anew: fetched, but no news.
    os.utime(path, (1, 1))
    again = fetch(home, book, server, is_left=True, day=DAY + timedelta(2))
    assert (again.deliveries, len(again.again), len(server.opened)) == ((), 1, opened + 1)
    send(server, "a.csv", b"second")
    (delivery,) = fetch(home, book, server, is_left=True, day=DAY + timedelta(3)).deliveries
    assert delivery.period == DAY + timedelta(3)


def test_a_changed_file_is_fetched_though_a_look_of_it_was_kept(tmp_path: Path, server: SftpServer) -> None:
    """The night that sees the new content dies before it has taken it: the next one must not think it did."""
    home, book = Home(tmp_path / "home"), Book()
    send(server, "a.csv", b"first")
    fetch(home, book, server, is_left=True)
    send(server, "a.csv", b"the second")
    with pytest.MonkeyPatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(stage, "_archive", killed)
        fetch(home, book, server, is_left=True)
    assert len(fetch(home, book, server, is_left=True).deliveries) == 1


def killed(*arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("nth", [1, 2], ids=["before the manifest", "between manifest and file"])
def test_a_kill_within_the_moves_on_a_server_makes_no_other_delivery(
    tmp_path: Path, server: SftpServer, nth: int
) -> None:
    home, book = Home(tmp_path / "home"), Book()
    path = send(server, "a.csv", b"x", {"period": "2026-11-20"})
    real, calls = Sftp.take, iter(range(1, 100))
    with pytest.MonkeyPatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(Sftp, "take", lambda self, e: killed() if next(calls) == nth else real(self, e))
        fetch(home, book, server)
    opened = len(server.opened)
    assert fetch(home, book, server, day=DAY + timedelta(1)).deliveries == ()
    assert (len(book.known), len(server.opened)) == (1, opened)
    assert sorted(p.name for p in path.parent.rglob("*")) == [".taken", "a.csv", "a.csv.manifest.json"]
    assert not list(home.work.glob("moves.*"))


def test_a_server_that_forbids_to_move_is_told_and_nothing_is_fetched_twice(
    tmp_path: Path, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, book = Home(tmp_path / "home"), Book()
    send(server, "a.csv", b"x", {})
    monkeypatch.setattr(server, "read_only", True)
    taken = fetch(home, book, server)
    ((department, _, message),) = taken.failed
    assert (len(taken.deliveries), department) == (1, "tax")
    assert message.endswith("Ask the owner for the right to read and move, or say after_archiving = 'leave'.")
    opened = len(server.opened)
    assert len(fetch(home, book, server).failed) == 1
    monkeypatch.setattr(server, "read_only", False)
    assert (fetch(home, book, server).failed, len(server.opened)) == ((), opened)
    assert (server.root / "tax" / "arrears" / ".taken" / "a.csv").exists()


def test_a_server_that_is_down_stops_no_other_inbox(tmp_path: Path, server: SftpServer) -> None:
    home, book, other = Home(tmp_path / "home"), Book(), tmp_path / "exchange"
    put(home, "a.csv", b"1", {})
    (other / "arrears").mkdir(parents=True)
    (other / "arrears" / "b.csv").write_bytes(b"2")
    server.stop()
    with Sftp(server.url("tax", ""), "tax") as down:
        places = (down, Folder("file:///exchange", other), Folder("file:///missing", tmp_path / "missing"))
        taken = take(home, book, elsewhere=[Inbox(f"d{n}", p, ("arrears",)) for n, p in enumerate(places)])
    server.start(server.host_key)
    assert [(d.department, d.file) for d in taken.deliveries] == [("tax", "a.csv"), ("d1", "b.csv")]
    assert [(department, place) for department, place, _ in taken.failed] == [
        ("d0", down.shown), ("d2", "file:///missing")
    ]  # fmt: skip


def test_a_file_that_changes_while_it_is_fetched_waits(
    tmp_path: Path, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, book = Home(tmp_path / "home"), Book()
    path = send(server, "a.csv", b"x" * 100, {})
    real = stage._copied

    def meanwhile(*arguments: object) -> str:
        told = real(*arguments)  # type: ignore[arg-type]
        path.write_bytes(b"x" * 200)
        return told

    with monkeypatch.context() as busy:
        busy.setattr(stage, "_copied", meanwhile)
        taken = fetch(home, book, server)
    assert (taken.deliveries, len(taken.waiting), path.exists()) == ((), 1, True)
    assert not [p for p in (home.root / "raw").rglob("*") if p.is_file()]
    (delivery,) = fetch(home, book, server).deliveries
    assert delivery.size == 200


def test_a_file_that_comes_short_is_not_taken(
    tmp_path: Path, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, book = Home(tmp_path / "home"), Book()
    path = send(server, "a.csv", b"x" * 100, {})
    monkeypatch.setattr(server, "ends_at", 60)
    taken = fetch(home, book, server)
    assert (taken.deliveries, book.known, path.exists()) == ((), {}, True)
    assert "a file came short" in taken.failed[0][2]


def test_manifest_with_another_hash_marks_the_upload_as_incomplete(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    put(home, "a.csv", b"x", {"sha256": "0" * 64, "rows": 5})
    (delivery,) = take(home, book).deliveries
    assert delivery.declared_rows == -1
