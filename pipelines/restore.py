"""`restore`: a home from a backup, under any path and any empty database.

reads: a folder that `backup` made, the pseudonym key, and a list of deletions since. writes: the home and the database.
Everything is looked through before anything is written; from then on until the end the home bears a mark, and no
command takes it for a home.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.backup import DUMP, FILES, NOTE, SUMS
from pipelines.errors import StoreError, UsageFault
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stages import deletion
from pipelines.stores import dump, postgres, tombstones
from pipelines.stores.copies import copy, read_sums, regular, sha256
from pipelines.stores.keys import Keys, read_keys
from pipelines.stores.ledger import Ledger
from pipelines.stores.moving import move_catalogue, move_json, move_tables, renaming
from schemas.load import load
from schemas.model import Item

Tell = Callable[[str], None]
Deletion = tuple[str, bytes, date, str, str]  # item, record_key, written_on, basis, written_by


def restore(
    source: Path, home: str | Path, key: Path | None, deleted: Path | None, tell: Tell = lambda text: None
) -> dict[str, Any]:
    """Restore a home; returns what `backup.json` says, with the number of `tombstones` that are new to it.

    `key`: a file that is put into the home; without it `QIONGXIN_KEY_FILE` has to name the key. `deleted`: what
    `qiongxin deletions --keys --json` printed; the next night deletes these records. Raises `UsageFault`, `StoreError`.
    """
    place = Home(Path(home).resolve())
    if place.root.exists() and (not place.root.is_dir() or any(place.root.iterdir())):
        raise UsageFault(f"--home {home}: not empty. Name a new folder; a home is never restored over another one.")
    note = _note(source)
    keys = _fitting(note, key)
    items = load().items
    deletions = _deletions(deleted, keys, note["key_fingerprint"]) if deleted else []
    if unknown := {d[0] for d in deletions} - items.keys():
        raise UsageFault(f"--tombstones {deleted}: no such item: {min(unknown)}. Use the catalogue of then.")
    named = os.environ.get("QIONGXIN_DATABASE_URL")
    if named and not dump.is_empty(named):
        raise UsageFault("QIONGXIN_DATABASE_URL: the database is not empty. Name a new one.")
    tell("restore: sums")
    sums = _looked_through(source, note)
    place.root.mkdir(parents=True, exist_ok=True)
    (place.root / postgres.UNFINISHED).touch()
    tell("restore: files")
    names = [n.removeprefix(f"{FILES}/") for n in sums if n != DUMP]
    if key is not None:
        _put_key(key, place.root / "pseudonym.key")
    for name, digest, _ in copy(source / FILES, place.root, names):
        if digest != sums[f"{FILES}/{name}"]:
            raise StoreError(f"{source.name}: {name} changed while it was read. Remove {home}, then restore again.")
    place.make_restricted()
    tell("restore: database")
    url = named or postgres.up(place.root)
    dump.restore(url, source / DUMP)
    renamed = renaming(Path(note["home"]), place.root)
    move_tables(place.root / "curated", renamed)
    move_catalogue(url, renamed)
    for path in regular(place.work):
        if path.suffix == ".json":
            move_json(path, renamed)
    entered = _enter(place, url, items, deletions, note["key_fingerprint"])
    (place.root / postgres.UNFINISHED).unlink()
    return {**note, "tombstones": entered}


def _note(source: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads((source / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        inside = sorted(path.parent for path in source.glob(f"*/{NOTE}"))
        cure = f"Name one of those in it; the latest: {inside[-1]}" if inside else "Name a folder that 'backup' made."
        raise UsageFault(f"--from {source}: no backup; it has no {NOTE}. {cure}") from e
    return note


def _fitting(note: dict[str, Any], key: Path | None) -> Keys:
    """All keys of the file that is named. Every one that is named fits the backup, and may hold later ones; at least
    one is."""
    outer = os.environ.get("QIONGXIN_KEY_FILE")
    files = {n: p for n, p in (("--key-file", key), ("QIONGXIN_KEY_FILE", Path(outer) if outer else None)) if p}
    if not files:
        raise UsageFault("restore: a backup holds no key. Name the pseudonym key with --key-file or QIONGXIN_KEY_FILE.")
    for named, path in files.items():
        if not path.is_file():
            raise UsageFault(f"{named}: no such file. Name the pseudonym key of the home that was backed up.")
        keys = read_keys(path)
        if keys.at(note["key_fingerprint"]) is None:
            raise UsageFault(f"{named}: another key than that of the backup. Name the one that was in use then.")
    return keys


def _deletions(path: Path, keys: Keys, fingerprint: str) -> list[Deletion]:
    """What a list of deletions tells, with record keys as they are under the key of the backup, `fingerprint`: the list
    may have been made before or after a rotation."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found = [(d["item"], bytes.fromhex(d["record_key"]), date.fromisoformat(d["written_on"]), d["basis"],
                 d["written_by"]) for d in told]  # fmt: skip
        made_under = told[0].get("key", "") if told else fingerprint  # a list that tells none is older than rotations
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageFault(f"--tombstones {path}: no list of deletions. Make it with 'qiongxin deletions --keys --json'."
                         ) from e  # fmt: skip
    *_, oldest = keys.before()
    source, target = keys.at(made_under) if made_under else oldest, keys.at(fingerprint)
    if source is None or target is None:
        raise UsageFault(f"--tombstones {path}: made under another key. Name the key file that was in use then.")
    record_keys = target.of_today(source.roots(pa.array([key for _, key, *_ in found], pa.binary()))).to_pylist()
    return [(item, key, on, basis, by) for (item, _, on, basis, by), key in zip(found, record_keys, strict=True)]


def _looked_through(source: Path, note: dict[str, Any]) -> dict[str, str]:
    """The sums of all files, after every file was read and found to be as it was."""
    if not (source / SUMS).is_file() or sha256(source / SUMS) != note["sums_sha256"]:
        raise StoreError(f"{source.name}/{SUMS}: missing or changed since the backup. Take another backup.")
    sums = read_sums(source / SUMS)
    for name, digest in sums.items():
        if not (source / name).is_file() or sha256(source / name) != digest:
            raise StoreError(f"{source.name}/{name}: missing or changed since the backup. Take another backup.")
    return sums


def _put_key(source: Path, target: Path) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f, source.open("rb") as g:
        shutil.copyfileobj(g, f)


def _enter(home: Home, url: str, items: Mapping[str, Item], deletions: list[Deletion], fingerprint: str) -> int:
    """Enter what was deleted since, so that the next night deletes it; returns how many tombstones are new.
    `fingerprint` is that of the key, which the ledger of an older home does not know."""
    together: dict[tuple[str, date, str, str], list[bytes]] = defaultdict(list)
    for item, record_key, on, basis, by in deletions:
        together[item, on, basis, by].append(record_key)
    new = 0
    with Ledger(url) as ledger, closing(open_lake(home, url)) as lake:
        ledger.prepare()
        ledger.known_key(fingerprint)
        for (item, on, basis, by), keys in together.items():
            records = deletion.subjects_of(home, lake, ledger, items[item], keys)
            new += tombstones.write(ledger, item, records, on, basis, by)
    return new
