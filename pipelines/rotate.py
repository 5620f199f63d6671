"""`keys rotate`: every pseudonym, and every key and hash made under the pseudonym key, becomes another one.

A value that is stored becomes what the new key makes of it (stores/keys.py), so equal ones stay equal and no number is
read but in the vault, where numbers are sealed anew. All is written beside what is in use: data files of every item,
tables of ledger and vault, files of deliveries. One transaction puts it in its place, with a release that shows the
same records, and there the ledger learns of the new key. Killed before, nothing has changed; killed after, whoever
opens the home next finishes it.

Nothing in a release depends on which of two pseudonyms is the lesser one but this: of several events that end a record
on one day for one reason, the one with the least key is named. The next night names them by their new keys.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.errors import StoreError, UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stages import datafiles, load
from pipelines.stages.candidate import read_candidate
from pipelines.stages.rotate import rotate as taken_over
from pipelines.stores import postgres, rotation
from pipelines.stores.keys import Keys, add_key, key_file, read_keys
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Life
from pipelines.stores.own_keys import own_keys
from pipelines.stores.still import still
from pipelines.tidy import vacuum
from schemas.model import Catalog

Tell = Callable[[str], None]


def rotate(home: str | Path, tell: Tell = lambda text: None) -> dict[str, Any]:
    """Rotate the key; returns the `release`, how many `items` and `files` of deliveries were taken over, the items that
    were held at the gate and are `held_again` with the next night, and where the `key` lies.

    No night runs meanwhile. Raises `StoreError` where one is at work or not at its end, `UsageFault` where nothing is
    released yet.
    """
    place = Home(Path(home).resolve())
    catalog, url = kept_catalogue(place), postgres.ensure(place.root)
    with Ledger(url) as ledger:
        ledger.prepare()
        with still(ledger, "keys rotate") as session, closing(open_lake(place, url)) as lake:
            place.make_restricted()
            rotation.settle(place, ledger)
            release = ledger.current_release()
            if release is None:
                raise UsageFault(f"{home}: no release yet, so no pseudonym is stored. Run 'qiongxin nightly' first.")
            pinned = ledger.current_snapshots()
            if ledger.applied() != catalog.revision or not pinned.keys() <= catalog.items.keys():
                raise StoreError(
                    "keys rotate: the stores follow another catalogue than today's. Run 'qiongxin catalog apply' first."
                )
            old = own_keys(place.root, ledger)
            held = _put_away(place, ledger, lake, catalog)
            new = _next(place, old)
            rotation.begin(place, new)
            files = rotation.write_files(place, new, tell)
            with load.database("keys rotate failed"):
                rotation.write_tables(ledger, old, new, tell)
            lives, made = ledger.lives(), []
            for n, (code, base) in enumerate(sorted(pinned.items()), start=1):
                tell(f"items {n}/{len(pinned)}: {code}")
                known = lives.get(code, Life("", ""))
                made.append(taken_over(place, lake, catalog.items[code], base, known, new, tell))
                with load.database(f"staging of {code} failed"):
                    load.stage_records(ledger, catalog.items[code], made[-1])

            def first(cursor: Any, release_id: str) -> None:
                rotation.switch_tables(cursor, session, new, release_id, release["as_of"])
                load.empty(cursor, [catalog.items[c.item] for c in made])

            tell("release")
            # It shows what the last release shows, by the same catalogue and as of the same day.
            number = load.load(place, ledger, lake, catalog.items, made, release["revision"], release["as_of"], first)
            rotation.settle(place, ledger)
            vacuum(ledger)
    return {
        "release": number, "items": len(made), "files": files, "held_again": held, "key": str(key_file(place.root)),
    }


def _put_away(home: Home, ledger: Ledger, lake: Lake, catalog: Catalog) -> list[str]:
    """Put away the candidates that the gate has not let pass, since the next night makes them anew, and return their
    items. Raises `StoreError` where one waits for the gate or the load."""
    found = [c for code in sorted(catalog.items) if (c := read_candidate(home, code)) is not None]
    waiting = [c.item for c in found if ledger.gate_verdict(c.candidate) in (None, "passed")]
    if waiting:
        raise StoreError(
            f"keys rotate: {', '.join(waiting)} waits for the gate or the release, so a night is not at its end. Run"
            " 'qiongxin nightly' for its day first."
        )
    for c in found:
        datafiles.sweep_planned(home, lake, c.item)
        load.forget(home, c)
    return [c.item for c in found]


def _next(home: Home, old: Keys) -> Keys:
    """The keys after the rotation. A secret of the key file that is not in use yet is the next one: it was put there by
    a run that was killed, or on purpose; else one is added."""
    path = key_file(home.root)
    known = read_keys(path)
    if known.fingerprint == old.fingerprint:
        try:
            add_key(home.root)
        except OSError as e:
            raise StoreError(
                f"{path}: {e.strerror}. The new secret is added to this file: let it and its folder be written for so"
                " long, or add the secret yourself (docs/runbook.md)."
            ) from e
        known = read_keys(path)
    return known.next(old)
