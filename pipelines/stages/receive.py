"""`receive`: finished files of an inbox become archived bytes and deliveries in the ledger."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from io import FileIO
from pathlib import Path
from typing import Any

from pipelines.errors import StoreError
from pipelines.model import Delivery, Home, delivery_id, publish, publish_json, sweep_parts
from pipelines.stores.ledger import Ledger

UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
BLOCK = 1 << 20  # small enough to stay in the processor's cache between those who read it
# People put identity numbers into file names; the ledger and all that is printed of it do without.
NUMBER = re.compile(r"[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx]")
MANIFEST, DONE, TAKEN = ".manifest.json", ".done", ".taken"


@dataclass(frozen=True)
class Arrival:
    """A file in an inbox and what its sidecar says."""

    path: Path
    department: str
    item: str
    manifest: dict[str, Any] | None
    is_declared_finished: bool
    look: tuple[int, int]


@dataclass(frozen=True)
class Received:
    """What one look at the inboxes gave: new deliveries, files known before, files still being written."""

    deliveries: tuple[Delivery, ...]
    again: tuple[str, ...]
    waiting: tuple[str, ...]
    strangers: tuple[str, ...]


def receive(home: Home, ledger: Ledger, known: Mapping[str, Iterable[str]], as_of: date, pause: float) -> Received:
    """Take every finished file. Reads the inboxes; writes `raw/`, the ledger, and moves originals to `.taken/`.

    `known` maps department -> its items. A file is finished when it has a manifest or `.done`, or looks the same
    (size, time) after `pause` seconds. Nothing leaves the inbox before its archived copy is verified, so a kill
    between any two steps only means that the next run does the step again. Raises `StoreError`.
    """
    sweep_parts(home)
    _finish_moves(home)
    arrivals, strangers, waiting = _look(home.inbox, known)
    if any(not a.is_declared_finished for a in arrivals):
        time.sleep(pause)
    new: list[Delivery] = []
    again: list[str] = []
    for a in arrivals:
        name = a.path.relative_to(home.root).as_posix()
        if not a.is_declared_finished and _stamp(a.path) != a.look:
            waiting.append(name)
            continue
        delivery = _archive(home, a, as_of)
        if ledger.register(delivery, as_of):
            new.append(delivery)
        else:
            again.append(name)
        _move_away(home, a.path)
    return Received(tuple(new), tuple(again), tuple(waiting), tuple(strangers))


def _look(inbox: Path, known: Mapping[str, Iterable[str]]) -> tuple[list[Arrival], list[str], list[str]]:
    """What lies in the inboxes: arrivals, files in folders of no department or item, uploads under way."""
    arrivals: list[Arrival] = []
    strangers: list[str] = []
    waiting: list[str] = []
    for path in sorted(inbox.glob("*/*/*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.name.endswith(UNFINISHED):
            waiting.append("/".join(path.parts[-4:]))
            continue
        if path.name.endswith((MANIFEST, DONE)):
            continue
        department, item = path.parts[-3], path.parts[-2]
        if item not in known.get(department, ()):
            strangers.append("/".join(path.parts[-4:]))
            continue
        manifest = _manifest(path.with_name(path.name + MANIFEST))
        done = manifest is not None or path.with_name(path.name + DONE).exists()
        arrivals.append(Arrival(path, department, item, manifest, done, _stamp(path)))
    return arrivals, strangers, waiting


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError):
        return {}  # a manifest that cannot be read still says that the sender has finished
    return value if isinstance(value, dict) else {}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _archive(home: Home, arrival: Arrival, as_of: date) -> Delivery:
    """Copy into `raw/` under the content hash, then read the copy back before trusting it."""
    (home.root / "work").mkdir(parents=True, exist_ok=True)
    part = home.root / "work" / f"receive.{os.getpid()}.part"
    try:
        sha256 = _copied(arrival.path, part)
        target = home.raw(sha256)
        if not target.exists():
            publish(target, lambda place: shutil.move(part, place))
    finally:
        part.unlink(missing_ok=True)
    manifest = arrival.manifest or {}
    period = _period(manifest.get("period"), as_of)
    sequence = manifest.get("sequence", 1)
    sequence = sequence if isinstance(sequence, int) and 0 < sequence < 1 << 31 else 1
    mode = manifest.get("mode", "incremental")
    mode = mode if mode in ("incremental", "full") else "incremental"
    rows = manifest.get("rows")
    claimed = manifest.get("sha256")
    is_nil = manifest.get("nil") is True
    rows = 0 if is_nil else rows
    declared = -1 if claimed and str(claimed).lower() != sha256 else rows if isinstance(rows, int) else None
    return Delivery(
        delivery_id=delivery_id(arrival.department, arrival.item, period, sequence, mode, sha256),
        department=arrival.department,
        item=arrival.item,
        file=NUMBER.sub("[证件号]", arrival.path.name),
        period=period,
        sequence=sequence,
        mode=mode,
        sha256=sha256,
        size=arrival.look[0],
        declared_rows=declared,
        is_nil=is_nil,
    )


def _copied(source: Path, copy: Path) -> str:
    """The SHA-256 of what was copied, proved by hashing both sides, which costs hardly any time of its own: while a
    block is written, one thread hashes it and another the block before, as it lies in the copy. Raises `StoreError`."""
    sent, archived = hashlib.sha256(), hashlib.sha256()
    block, again = memoryview(bytearray(BLOCK)), memoryview(bytearray(BLOCK))
    with (
        ThreadPoolExecutor(2) as pool,
        source.open("rb", buffering=0) as read,
        copy.open("wb", buffering=0) as written,
        copy.open("rb", buffering=0) as back,
    ):
        proving: Future[None] | None = None
        while size := read.readinto(block):
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
    size = 0
    while size < len(block) and (got := source.readinto(block[size:])):
        size += got
    digest.update(block[:size])


def _period(text: object, as_of: date) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return as_of


def _move_away(home: Home, path: Path) -> None:
    """Move a file and its sidecars to `.taken/`. They are several renames, and a file without its manifest would be
    another delivery; so what is going to move is noted first, and the next run finishes what a kill cut short."""
    names = [n for n in (path.name + MANIFEST, path.name + DONE, path.name) if (path.parent / n).exists()]
    folder = path.parent.relative_to(home.root).as_posix()
    note = home.work / f"moves.{os.getpid()}.json"
    publish_json(note, {"folder": folder, "files": {n: _stamp(path.parent / n) for n in names}})
    _move(home, note)


def _finish_moves(home: Home) -> None:
    for note in home.work.glob("moves.*.json"):
        if not Path(f"/proc/{note.name.split('.')[1]}").exists():
            _move(home, note)


def _move(home: Home, note: Path) -> None:
    """Move what the note names, unless the sender has put something else in its place since."""
    plan = json.loads(note.read_text(encoding="utf-8"))
    folder = home.root / plan["folder"]
    (folder / TAKEN).mkdir(exist_ok=True)
    for name, stamp in plan["files"].items():
        if (folder / name).exists() and list(_stamp(folder / name)) == list(stamp):
            os.replace(folder / name, folder / TAKEN / name)
    note.unlink()
