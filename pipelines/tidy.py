"""Housekeeping of a home: what is past its limit, what nothing names any more, the statistics of the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipelines import run
from pipelines.night import Night
from pipelines.stages import curate, deletion
from pipelines.stores.still import turn


def tidy(night: Night) -> dict[str, Any]:
    """Do all of it, in the turn of whoever changes the release; returns figures. Safe to kill and to repeat."""
    with turn(night.ledger, run.CANDIDATES):
        swept = run.sweep_files(night)
        finished = deletion.finish(
            night.home, night.ledger, night.lake, night.catalog.items, night.limit("keep_snapshots_days"), night.as_of
        )
        unnamed = night.lake.sweep_unnamed(curate.planned(night.home))
    vacuum(night)
    return {
        "files_past_limit": sum(s.files for s in swept), "items_expired": finished, "files_unnamed": unnamed,
    }  # fmt: skip


def vacuum(night: Night) -> None:
    """Give dead rows' room back to the tables and renew what the planner knows of them."""
    with night.ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM (ANALYZE)"))
