"""Housekeeping of a home: what is past its limit, what nothing names any more, small data files, the statistics of the
database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipelines import run
from pipelines.integrate import CANDIDATES
from pipelines.night import Night
from pipelines.stages import datafiles, load
from pipelines.stages.candidate import Candidate, read_candidate
from pipelines.stages.compact import Limits, compact
from pipelines.stores.ledger import Ledger, Life
from pipelines.stores.still import turn
from schemas import in_force


def tidy(night: Night) -> dict[str, Any]:
    """Do all of it, in the turn of whoever changes the release; returns figures. Safe to kill and to repeat."""
    with turn(night.ledger, CANDIDATES):
        swept = run.sweep_files(night)
        expired = run.expire(night)
        datafiles.sweep_abandoned(night.home, night.lake)
        unnamed = night.lake.sweep_unnamed(datafiles.planned(night.home))
        compacted, release = _compact(night)
    vacuum(night.ledger)
    return {
        "files_past_limit": sum(s.files for s in swept), "items_expired": expired, "files_unnamed": unnamed,
        "items_compacted": [c.item for c in compacted],
        "files_merged": sum(len(change.removed) for c in compacted for change in c.changes.values()),
        "files_made": sum(len(change.added) for c in compacted for change in c.changes.values()),
        "release": release,
    }  # fmt: skip


def _compact(night: Night) -> tuple[list[Candidate], str | None]:
    """Merge the small data files of every item that has many, in one release; returns what was merged, and the id."""
    last = night.ledger.current_release()
    if last is None:
        return [], None
    limits = in_force.read(Limits, night.limit)
    lives, found = night.ledger.lives(), []
    for code, base in sorted(night.ledger.current_snapshots().items()):
        # A candidate that waits for the gate or the load stands on the files as they are.
        if code in night.catalog.items and read_candidate(night.home, code) is None:
            known = lives.get(code, Life("", ""))
            found.append(compact(night.home, night.lake, night.catalog.items[code], base, known, limits))
    made = [c for c in found if c is not None]
    if not made:
        return [], None
    # It shows what the last release shows, by the same catalogue and as of the same day.
    items, revision, as_of = night.catalog.items, last["revision"], last["as_of"]
    return made, load.load(night.home, night.ledger, night.lake, items, made, revision, as_of)


def vacuum(ledger: Ledger) -> None:
    """Give dead rows' room back to the tables and renew what the planner knows of them."""
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM (ANALYZE)"))
