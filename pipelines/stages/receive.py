"""`receive`: finished files of the inboxes become archived bytes and deliveries in the ledger."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.errors import PlaceError, StoreError
from pipelines.model import Delivery, Home, publish
from pipelines.stages import manifest
from pipelines.stages.manifest import MANIFEST, Manifest, described, readable
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Ledger, Look
from pipelines.stores.places import BLOCK, Entry, Folder, Place, Source

UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
DONE = ".done"
NOBODY = ""  # the department of what lies beside all inboxes


@dataclass(frozen=True)
class Inbox:
    """A place from which deliveries of a department are taken; `items` are those it delivers. An original is moved
    away once it is archived, or left."""

    department: str
    place: Place
    items: tuple[str, ...]
    is_left: bool = False

    def named(self, entry: Entry) -> str:
        """A file for people to read."""
        return "/".join(part for part in (self.place.shown, readable(entry.folder), readable(entry.name)) if part)


@dataclass(frozen=True)
class Arrival:
    """A file in an inbox with its sidecars, what its manifest says, and the keyed hash of its name."""

    inbox: Inbox
    entry: Entry
    sidecars: tuple[Entry, ...]
    name: bytes
    before: Look | None
    manifest: Manifest | None = None
    is_declared_finished: bool = False

    @property
    def stamp(self) -> str:
        return " ".join(f"{e.size}/{e.time}" for e in (self.entry, *self.sidecars))

    @property
    def is_taken(self) -> bool:
        """Whether this very file was taken before; then it waits for nothing but to be moved away, if it is."""
        return self.before is not None and self.before.taken == self.stamp

    def is_finished(self, pause: float) -> bool:
        """Whether its sender says so, or it has not changed for so many seconds."""
        is_same = self.before is not None and self.before.stamp == self.stamp and self.before.age >= pause
        return self.is_declared_finished or is_same


@dataclass(frozen=True)
class Looked:
    """What lies in an inbox: arrivals, uploads under way, what stands in no folder of an item or is no file."""

    inbox: Inbox
    arrivals: tuple[Arrival, ...]
    waiting: tuple[str, ...]
    strangers: tuple[str, ...]


@dataclass(frozen=True)
class Received:
    """What one look at the inboxes gave: new deliveries, files known before, files still being written, strangers, the
    inboxes that failed, as (department, place, message), and the departments left to somebody who takes from them now.
    """

    deliveries: tuple[Delivery, ...]
    again: tuple[str, ...]
    waiting: tuple[str, ...]
    strangers: tuple[str, ...]
    failed: tuple[tuple[str, str, str], ...] = ()
    left: tuple[str, ...] = ()


def receive(
    home: Home,
    ledger: Ledger,
    known: Mapping[str, Iterable[str]],
    as_of: date,
    pause: float,
    keys: Keys,
    elsewhere: Sequence[Inbox] = (),
    only: date | None = None,
    is_asked: Callable[[str], bool] = lambda department: True,
    others: Collection[str] = (),
) -> Received:
    """Take every finished file of the departments that are asked. Reads their inboxes in the home and `elsewhere`;
    writes `raw/`, the ledger, and moves originals to `.taken/` beside them. `others` are the places of those that are
    not asked.

    `known` maps department -> its items. A file is finished when it has a manifest or `.done`, or looks the same (size,
    time) as `pause` seconds before; looks are kept in the ledger. `only`: what a manifest says to be of this period,
    all else stays where it is, untold. Nothing leaves an inbox before its archived copy is verified, so a kill between
    any two steps only means that the next run does the step again. An inbox that fails is told in the answer and stops
    no other one; a fault of the archive raises `StoreError`.
    """
    inboxes = _inboxes(home, known, elsewhere)
    taking = Taking(home, ledger, keys, as_of, only)
    taking.strangers += _loose(home) if is_asked(NOBODY) else []
    mine = [inbox for inbox in inboxes if is_asked(inbox.department)]
    looked = taking.look(taking.finish_moves(mine, {*others, *(inbox.place.shown for inbox in inboxes)}))

    def ready(arrival: Arrival) -> bool:
        return arrival.is_taken or arrival.is_finished(pause)

    if unsure := [at.inbox for at in looked if not all(map(ready, filter(taking.is_asked, at.arrivals)))]:
        time.sleep(pause)
        looked = [at for at in looked if at.inbox not in unsure] + taking.look(unsure)
    for at in sorted(looked, key=lambda at: mine.index(at.inbox)):
        with taking.telling(at.inbox):
            taking.take(at)
    return taking.received()


def arrived(
    home: Home,
    ledger: Ledger,
    known: Mapping[str, Iterable[str]],
    pause: float,
    keys: Keys,
    elsewhere: Sequence[Inbox],
    is_asked: Callable[[str], bool],
) -> str:
    """A fingerprint of the finished files that `receive` would take now, '' for none; the look is remembered."""
    inboxes = [inbox for inbox in _inboxes(home, known, elsewhere) if is_asked(inbox.department)]
    looked = Taking(home, ledger, keys, date.min).look(inboxes)
    found = sorted(
        a.name + a.stamp.encode() for at in looked for a in at.arrivals if not a.is_taken and a.is_finished(pause)
    )
    return hashlib.sha256(b"\0".join(found)).hexdigest()[:16] if found else ""


@dataclass
class Taking:
    """The work of one `receive`, as far as it has come."""

    home: Home
    ledger: Ledger
    keys: Keys
    as_of: date
    only: date | None = None
    new: list[Delivery] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)

    @contextmanager
    def telling(self, inbox: Inbox) -> Iterator[None]:
        """An inbox that fails is told, and everybody else's is looked at all the same."""
        try:
            yield
        except PlaceError as e:
            self.failed.append((inbox.department, inbox.place.shown, str(e)))

    def finish_moves(self, inboxes: Sequence[Inbox], places: Collection[str]) -> list[Inbox]:
        """Move what a killed or failed run had begun to move; the inboxes where nothing is half moved. `places` are all
        that there are."""
        ready: list[Inbox] = []
        begun: dict[str, list[Path]] = {}
        for note in self.home.work.glob("moves.*.json"):
            if _is_over(int(note.name.split(".")[1])):
                begun.setdefault(_plan(note)["place"], []).append(note)
        for inbox in inboxes:
            with self.telling(inbox):
                for note in begun.pop(inbox.place.shown, ()):
                    _move(inbox.place, note)
                ready.append(inbox)
        for note in chain.from_iterable(notes for place, notes in begun.items() if place not in places):
            note.unlink(missing_ok=True)  # no longer a place of ours
        return ready

    def look(self, inboxes: Sequence[Inbox]) -> list[Looked]:
        """What lies in the inboxes that answer."""
        found = []
        for inbox in inboxes:
            with self.telling(inbox):
                found.append(_look(self.ledger, self.keys, inbox))
        return found

    def take(self, at: Looked) -> None:
        """Archive and register what is finished, then move it away. Raises `PlaceError`, `StoreError`."""
        self.waiting += at.waiting
        self.strangers += at.strangers
        moved = []
        for a in filter(self.is_asked, at.arrivals):
            if a.is_taken:
                self.again.append(at.inbox.named(a.entry))
            elif not a.is_finished(0) or (delivery := _archive(self.home, a, self.as_of)) is None:
                self.waiting.append(at.inbox.named(a.entry))
                continue
            elif self.ledger.register(delivery, self.as_of, at.inbox.place.shown, a.name, a.stamp):
                self.new.append(delivery)
            else:
                self.again.append(at.inbox.named(a.entry))
            if not at.inbox.is_left:
                _move_away(self.home, a)
                moved.append(a.name)
        self.ledger.note_looks(at.inbox.place.shown, {}, moved)  # the same name may come again, and be another file

    def is_asked(self, arrival: Arrival) -> bool:
        return self.only is None or (arrival.manifest is not None and arrival.manifest.period == self.only)

    def received(self) -> Received:
        seen = (tuple(self.again), tuple(self.waiting), tuple(self.strangers))
        return Received(tuple(self.new), *seen, tuple(sorted(self.failed)))


def _inboxes(home: Home, known: Mapping[str, Iterable[str]], elsewhere: Sequence[Inbox]) -> list[Inbox]:
    """The inboxes of the home, those of no department among them, and those elsewhere."""
    folders = sorted(home.inbox.iterdir()) if home.inbox.is_dir() else []
    at_home = [
        Inbox(p.name, Folder(f"inbox/{p.name}", p), tuple(known.get(p.name, ())))
        for p in folders
        if p.is_dir() and not p.name.startswith(".")
    ]
    return [*at_home, *elsewhere]


def _loose(home: Home) -> list[str]:
    """Files that lie in nobody's inbox."""
    files = sorted(home.inbox.iterdir()) if home.inbox.is_dir() else []
    files = [p for p in files if not p.name.startswith(".") and not p.name.endswith((MANIFEST, DONE))]
    return [f"inbox/{readable(p.name)}" for p in files if not p.is_dir()]


def _look(ledger: Ledger, keys: Keys, inbox: Inbox) -> Looked:
    """What lies in an inbox now and what is remembered of it; remembers how it looks. Raises `PlaceError`."""
    place = inbox.place
    files = {(e.folder, e.name): e for e in place.files()}
    mine = [e for e in files.values() if e.folder in inbox.items and e.is_file and not e.name.endswith(UNFINISHED)]
    mine = [e for e in mine if not e.name.endswith((MANIFEST, DONE))]
    others = [e for e in files.values() if e.folder not in inbox.items or not e.is_file]
    others = [e for e in others if not e.name.endswith((*UNFINISHED, MANIFEST, DONE))]
    names = _hashed(keys, place, mine)
    before = ledger.looks(place.shown)
    arrivals = []
    for entry, name in zip(mine, names, strict=True):
        sides = tuple(e for s in (MANIFEST, DONE) if (e := files.get((entry.folder, entry.name + s))) and e.is_file)
        a = Arrival(inbox, entry, sides, name, before.get(name))
        if not a.is_taken:
            texts = [_manifest(place, e) for e in sides if e.name.endswith(MANIFEST)]
            said = texts[0] if texts else None
            is_done = (said is not None and said.is_readable) or any(e.name.endswith(DONE) for e in sides)
            a = replace(a, manifest=said, is_declared_finished=is_done)
        arrivals.append(a)
    changed = {a.name: a.stamp for a in arrivals if a.before is None or a.before.stamp != a.stamp}
    ledger.note_looks(place.shown, changed, before.keys() - set(names))
    unfinished = [e for e in files.values() if e.is_file and e.name.endswith(UNFINISHED)]
    waiting, strangers = ([inbox.named(e) for e in es] for es in (unfinished, others))
    return Looked(inbox, tuple(arrivals), tuple(waiting), tuple(strangers))


def _hashed(keys: Keys, place: Place, entries: Iterable[Entry]) -> list[bytes]:
    """What the ledger knows files of a place by."""
    named = ["\0".join((place.shown, e.folder, e.name)).encode("utf-8", "surrogateescape") for e in entries]
    return [bytes(h) for h in keys.content_hashes(pa.array(named, pa.binary())).to_pylist()]


def _manifest(place: Place, entry: Entry) -> Manifest:
    """What a manifest says. One that cannot be read may still be being written: it declares nothing finished."""
    block = memoryview(bytearray(min(entry.size, manifest.LARGEST) + 1))
    size = place.fetch(entry, lambda source: _fill(source, block))
    return manifest.parse(bytes(block[: size or 0]))


def _archive(home: Home, arrival: Arrival, as_of: date) -> Delivery | None:
    """Copy into `raw/` under the content hash, and read the copy back before trusting it; None where the file went or
    became another one meanwhile. Raises `PlaceError`, `StoreError`."""
    place, entry = arrival.inbox.place, arrival.entry
    (home.root / "work").mkdir(parents=True, exist_ok=True)
    part = home.root / "work" / f"receive.{_key(place)}.{os.getpid()}.part"
    try:
        sha256 = place.fetch(entry, lambda source: _copied(source, part))
        if sha256 is None or place.find(entry.folder, entry.name) != entry:
            return None
        if part.stat().st_size != entry.size:
            raise PlaceError(f"{place.shown}: a file came short. Nothing was taken of it: the next run tries again.")
        target = home.raw(sha256)
        if not target.exists():
            publish(target, lambda place: shutil.move(part, place))
    finally:
        part.unlink(missing_ok=True)
    said = arrival.manifest or Manifest()
    # What is left where it lies comes by again every night: the same content says nothing of another period.
    before = arrival.before if arrival.inbox.is_left else None
    period = (before.period if before and before.sha256 == sha256 else None) or as_of
    return described(arrival.inbox.department, entry.folder, entry.name, entry.size, sha256, said, period)


def _copied(source: Source, copy: Path) -> str:
    """The SHA-256 of what was copied, proved by hashing both sides, which costs hardly any time of its own: while a
    block is written, one thread hashes it and another the block before, as it lies in the copy. Raises `StoreError`."""
    sent, archived = hashlib.sha256(), hashlib.sha256()
    block, again = memoryview(bytearray(BLOCK)), memoryview(bytearray(BLOCK))
    with (
        ThreadPoolExecutor(2) as pool,
        copy.open("wb", buffering=0) as written,
        copy.open("rb", buffering=0) as back,
    ):
        proving: Future[None] | None = None
        while size := source.readinto(block):
            hashing = pool.submit(sent.update, block[:size])
            _write(written, block[:size])
            if proving:
                proving.result()
            hashing.result()
            proving = pool.submit(_hash_back, back, again[:size], archived)
        if proving:
            proving.result()
        os.fsync(written.fileno())
    if sent.digest() != archived.digest():
        raise StoreError("raw/: the archived copy differs from what was read. Check the disk, then run again.")
    return sent.hexdigest()


def _write(target: FileIO, block: memoryview) -> None:
    while block:
        block = block[target.write(block) :]


def _hash_back(source: FileIO, block: memoryview, digest: hashlib._Hash) -> None:
    digest.update(block[: _fill(source, block)])


def _fill(source: Source, block: memoryview) -> int:
    """How many bytes there were for the block, which is less than its length only at the end."""
    size = 0
    while size < len(block) and (got := source.readinto(block[size:])):
        size += got
    return size


def _move_away(home: Home, arrival: Arrival) -> None:
    """Move a file and its sidecars to `.taken/`. They are several renames, and a file without its manifest would be
    another delivery; so what is going to move is noted first, and the next run finishes what a kill cut short."""
    place = arrival.inbox.place
    files = {e.name: (e.size, e.time) for e in (*arrival.sidecars, arrival.entry)}
    plan = json.dumps({"place": place.shown, "folder": arrival.entry.folder, "files": files})
    note = home.work / f"moves.{os.getpid()}.{_key(place)}.json"
    publish(note, lambda part: part.write_text(plan, encoding="utf-8"))
    _move(place, note)


def _key(place: Place) -> str:
    """What a place is called in names of files."""
    return hashlib.sha256(place.shown.encode()).hexdigest()[:12]


def _plan(note: Path) -> dict[str, Any]:
    """What a note says; an older one knew only folders of the home."""
    plan = json.loads(note.read_text(encoding="utf-8"))
    place, _, folder = plan["folder"].rpartition("/")
    return plan if "place" in plan else {**plan, "place": place, "folder": folder}


def _move(place: Place, note: Path) -> None:
    """Move what the note names, unless the sender has put something else in its place since."""
    plan = _plan(note)
    for name, (size, changed) in plan["files"].items():
        place.take(Entry(plan["folder"], name, size, changed))
    note.unlink()


def _is_over(process: int) -> bool:
    return process == os.getpid() or not Path(f"/proc/{process}").exists()
