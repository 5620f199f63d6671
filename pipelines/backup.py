"""`backup`: one consistent point of a home, database and files, in a folder of its own; never the pseudonym key.

reads: the database, and the places of the home. writes: `FOLDER/<as-of>-<release>/` with `database.dump` (pg_dump),
`home/` (the places, as they are), `SHA256SUMS` of both, and `backup.json`, which tells what it is. A folder of this
name is a whole backup: it is renamed when all of it is written. No night changes the home meanwhile (stores/still.py).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import StoreError, UsageFault
from pipelines.model import Home, publish_json
from pipelines.night import open_lake
from pipelines.stores import postgres
from pipelines.stores.copies import copy, regular, sha256, write_sums
from pipelines.stores.dump import dump
from pipelines.stores.files import SPACES
from pipelines.stores.keys import key_file
from pipelines.stores.ledger import Ledger
from pipelines.stores.own_keys import own_keys
from pipelines.stores.rotation import settle
from pipelines.stores.still import still

# What is compiled is made again; the server's folder is in the dump; the key, and Airflow's secrets, stay out.
PLACES = ("inbox", "raw", "staged", "accepted", "rejected", "findings", "outbox", "curated", "reports", "work")
ALONE = ("sample.json",)
DUMP, SUMS, NOTE, FILES = "database.dump", "SHA256SUMS", "backup.json", "home"
Tell = Callable[[str], None]


def backup(home: str | Path, folder: Path, tell: Tell = lambda text: None) -> dict[str, Any]:
    """Back a home up; returns what `backup.json` says, with `folder` and where the `key` lies, which is not in it.

    Raises `StoreError` where a night is at work or a file is missing, `UsageFault` where nothing is released yet.
    """
    place = Home(Path(home).resolve())
    target = folder.resolve()
    if target.is_relative_to(place.root):
        raise UsageFault(f"--to {folder}: lies in the home. Name a folder elsewhere, best on another disk.")
    url = postgres.ensure(place.root)
    with Ledger(url) as ledger:
        ledger.prepare()
        with still(ledger):
            release = ledger.current_release()
            if release is None:
                raise UsageFault(f"{home}: no release yet, so there is nothing to back up. Run 'qiongxin nightly'.")
            settle(place, ledger)
            key, keys = key_file(place.root), own_keys(place.root, ledger)
            with _written(target, f"{release['as_of']}-{release['release_id']}") as (part, name):
                tell("backup: database")
                dump(url, part / DUMP)
                sums = {DUMP: sha256(part / DUMP)}
                size = (part / DUMP).stat().st_size
                tell("backup: files")
                for path, digest, length in copy(place.root, part / FILES, _names(place)):
                    sums[f"{FILES}/{path}"] = digest
                    size += length
                _complain(_left_out(place, ledger, url, sums))
                write_sums(part / SUMS, sums)
                note = {k: release[k] for k in ("as_of", "release_id", "number", "revision")}
                note |= {"home": str(place.root), "key_fingerprint": keys.fingerprint}
                note |= {"files": len(sums), "bytes": size, "sums_sha256": sha256(part / SUMS)}
                note |= {"database_sha256": sums[DUMP]}
                publish_json(part / NOTE, note)
    return {**note, "folder": str(target / name), "key": str(key)}


def _names(home: Home) -> Iterator[str]:
    """The files of a home that a backup has, by their paths in it."""
    for name in ALONE:
        if (home.root / name).exists():
            yield name
    for place in PLACES:
        for path in regular(home.root / place):
            yield path.relative_to(home.root).as_posix()


def _left_out(home: Home, ledger: Ledger, url: str, sums: dict[str, str]) -> list[str]:
    """Files that the current release or the ledger names, and that were not copied: data files, and archived bytes
    that the home has."""
    with closing(open_lake(home, url)) as lake:
        pinned = ledger.current_snapshots().items()
        named = {Path(f) for item, at in pinned for space, s in zip(SPACES, at, strict=True)
                 for f in lake.files(space, item, s).all}  # fmt: skip
    named |= {p for p in {home.raw(r["sha256"]) for r in ledger.deliveries()} if p.exists()}
    return sorted(str(p) for p in named if not _is_in(home, p, sums))


def _is_in(home: Home, path: Path, sums: dict[str, str]) -> bool:
    return path.is_relative_to(home.root) and f"{FILES}/{path.relative_to(home.root).as_posix()}" in sums


def _complain(missing: list[str]) -> None:
    if missing:
        raise StoreError(
            f"backup: {len(missing):,} files that the release names could not be copied, the first is {missing[0]}."
            " Run it again; where it says so again, the home has lost them."
        )


@contextmanager
def _written(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A new folder, its owner's alone, that gets its name when the block has filled it, and else is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.part"):  # of a process that was killed
        if not Path(f"/proc/{left.name.rsplit('.', 2)[-2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    taken = {p.name for p in folder.iterdir()}
    name = next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    part = folder / f".{name}.{os.getpid()}.part"
    part.mkdir(mode=0o700)
    try:
        yield part, name
        os.sync()
        os.rename(part, folder / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
