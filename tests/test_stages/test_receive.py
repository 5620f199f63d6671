"""What is taken from an inbox, when, and what a kill in between leaves behind."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pipelines.errors import StoreError
from pipelines.model import Delivery, Home
from pipelines.stages import receive as stage
from pipelines.stages.receive import receive
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Look

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


def take(home: Home, book: Book, pause: float = 0.0) -> stage.Received:
    return receive(home, book, KNOWN, DAY, pause, Keys(bytes(32)))  # type: ignore[arg-type]


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


def test_manifest_with_another_hash_marks_the_upload_as_incomplete(tmp_path: Path) -> None:
    home, book = Home(tmp_path), Book()
    put(home, "a.csv", b"x", {"sha256": "0" * 64, "rows": 5})
    (delivery,) = take(home, book).deliveries
    assert delivery.declared_rows == -1
