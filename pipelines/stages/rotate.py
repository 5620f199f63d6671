"""`rotate`: the records and statements of an item as they are under a new pseudonym key, in data files of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.model import Home
from pipelines.stages.candidate import Candidate
from pipelines.stages.compact import rewritten
from pipelines.stages.datafiles import Planned, linked, rows_of
from pipelines.stores.engine import connect
from pipelines.stores.files import SPACES, Change, Files, thinned
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Life, Pinned
from pipelines.stores.rotation import renew_in
from schemas.arrow import former_names, stored_schema
from schemas.model import Item

Tell = Callable[[str], None]


def rotate(home: Home, lake: Lake, item: Item, base: Pinned, known: Life, keys: Keys, tell: Tell) -> Candidate:
    """The candidate that takes a release's snapshots `base` over to `keys`, file by file, each proven to hold the same
    rows. It carries on what the records have taken in (`known`), brings no delivery and needs no gate.

    Running it again first sweeps up what a killed run left. Raises `StoreError`.
    """
    there = {space: lake.files(space, item.code, at) for space, at in zip(SPACES, base, strict=True)}
    made: dict[str, list[str]] = {space: [] for space in SPACES}
    # A statement that a record shows is one file with a name in each table, and stays so.
    twins: dict[tuple[int, int], str] = {}
    with Planned(home, lake, item) as plan, connect(home.work) as engine:
        renew_in(engine, keys)
        for space, files in there.items():
            less = thinned(engine, files)
            for n, file in enumerate(files.data, start=1):
                stat = Path(file).stat()
                twin = twins.get((stat.st_dev, stat.st_ino))
                if twin and file not in less:
                    made[space].append(linked(twin, plan.file(space)))
                elif new := _taken_over(engine, plan, lake, item, space, files.only([file])):
                    made[space].append(new)
                    if file not in less:  # else it has not all that its twin has
                        twins[stat.st_dev, stat.st_ino] = new
                tell(f"{item.code} {n}/{len(files.data)}: {space}")
        rows = rows_of(engine, Files(tuple(made["records"])))
    # Of the release and the key alone, so that a rerun adopts what a killed run has committed.
    parts = ["rotate", item.code, str(tuple(base)), keys.fingerprint]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    changes_on, keeps_until = (day.isoformat() if day else None for day in (known.changes_on, known.keeps_until))
    return Candidate(
        candidate=name, item=item.code,
        base_records=base.records, base_history=base.history, base_ended=base.ended,
        changes={space: Change(made[space], [*files.data]) for space, files in there.items()},
        stated=made["history"], upserts=made["records"], upsert_rows=rows, touched="", touched_rows=0, published_rows=0,
        deliveries=[], accounts={}, events=known.events, rules=known.rules, changes_on=changes_on,
        keeps_until=keeps_until,
    )  # fmt: skip


def _taken_over(
    engine: duckdb.DuckDBPyConnection, plan: Planned, lake: Lake, item: Item, space: str, file: Files
) -> str | None:
    """The new data file; None where the old one is empty."""
    shape, former = stored_schema(item), former_names(item)
    # The hash of a refusal is a constant, as nothing is known of its content.
    said = {"content_hash": "CASE WHEN action = 'refuse' THEN content_hash ELSE renewed(content_hash) END"}
    new = ", ".join(
        f"{said.get(f.name, f'renewed({f.name})')} AS {f.name}" if pa.types.is_binary(f.type) else f.name
        for f in shape
    )  # fmt: skip
    source = f"(SELECT {new} FROM {lake.relation(engine, space, item.code, shape, former, file)})"
    fault = (
        "a file that was taken over does not hold the rows of the old one, and is not used. Check disk and memory, then"
        " run 'qiongxin keys rotate' again."
    )
    made = rewritten(engine, plan, lake, item, space, source, fault)
    return made[0] if made else None
