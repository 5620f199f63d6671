"""`compact`: the many small data files of an item, merged into few by a release that shows the same rows.

Every night adds a small file to each space of an item, and every later night opens all of them. What is merged stays
in the snapshots of older releases, so its room comes back only as these go. A statement that a record shows lies in
one file with a name in each table until then; merged, it lies in two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipelines.errors import StoreError
from pipelines.model import Home
from pipelines.stages.candidate import Candidate
from pipelines.stages.datafiles import Planned, data_file
from pipelines.stores.engine import connect
from pipelines.stores.files import SPACES, Change, Files
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Life, Pinned
from schemas.arrow import former_names, stored_schema
from schemas.model import Item

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Dated limits of catalog/policy/operations.toml: a file is small below the first, and where a space of an item has
    more small files than the second, they are merged into files of about the third."""

    compact_small_megabytes: float
    compact_small_files: int
    compact_target_megabytes: float


def compact(home: Home, lake: Lake, item: Item, base: Pinned, known: Life, limits: Limits) -> Candidate | None:
    """The candidate that merges the small files of a release's snapshots `base`, proven to hold the same rows; None
    where they are few. It carries on what the records have taken in (`known`), brings no delivery and needs no gate.

    Running it again first sweeps up what a killed run left. Raises `StoreError`.
    """
    there = {space: lake.files(space, item.code, at) for space, at in zip(SPACES, base, strict=True)}
    groups = {space: grouped(files.data, limits) for space, files in there.items()}
    if not any(groups.values()):
        return None
    with Planned(home, lake, item) as plan, connect(home.work) as engine:
        made = {
            space: [file for group in listed for file in _merged(engine, plan, lake, item, space, files.only(group))]
            for (space, listed), files in zip(groups.items(), there.values(), strict=True)
        }
    gone = {space: [file for group in listed for file in group] for space, listed in groups.items()}
    changes = {space: Change(made[space], gone[space]) for space in SPACES}
    # Of the release alone, so that a rerun adopts what a killed run has committed.
    name = hashlib.sha256("\0".join(["compact", item.code, str(tuple(base))]).encode()).hexdigest()[:20]
    changes_on, keeps_until = (day.isoformat() if day else None for day in (known.changes_on, known.keeps_until))
    return Candidate(
        candidate=name, item=item.code,
        base_records=base.records, base_history=base.history, base_ended=base.ended,
        changes=changes, upserts=[], upsert_rows=0, touched="", touched_rows=0, published_rows=0,
        deliveries=[], accounts={},
        events=known.events, rules=known.rules, changes_on=changes_on, keeps_until=keeps_until,
    )  # fmt: skip


def grouped(files: Iterable[str], limits: Limits) -> list[list[str]]:
    """The files to merge, each list into one; none where there are few."""
    sizes = sorted((Path(f).stat().st_size, f) for f in files)
    small = [(size, f) for size, f in sizes if size < limits.compact_small_megabytes * MEGABYTE]
    if len(small) <= limits.compact_small_files:
        return []
    groups: list[list[str]] = []
    room = 0.0
    for size, file in small:
        if not groups or size > room:
            groups.append([])
            room = limits.compact_target_megabytes * MEGABYTE
        groups[-1].append(file)
        room -= size
    return [group for group in groups if len(group) > 1]


def _merged(
    engine: duckdb.DuckDBPyConnection, plan: Planned, lake: Lake, item: Item, space: str, files: Files
) -> list[str]:
    source = lake.relation(engine, space, item.code, stored_schema(item), former_names(item), files)
    fault = (
        f"{len(files.data):,} merged files do not hold the rows that they were made of, and are not used. Check disk"
        " and memory, then run 'qiongxin tidy' again."
    )
    return rewritten(engine, plan, lake, item, space, source, fault)


def rewritten(
    engine: duckdb.DuckDBPyConnection, plan: Planned, lake: Lake, item: Item, space: str, source: str, fault: str
) -> list[str]:
    """Data files with the rows of the relation `source`, none where it has none. Raises `StoreError`, which says
    `fault`, where they do not hold the same."""
    shape, former = stored_schema(item), former_names(item)
    columns = ", ".join(shape.names)
    made, _ = data_file(engine, plan, space, f"SELECT {columns} FROM {source}")
    nothing = f"(SELECT * FROM {source} LIMIT 0)"
    written = lake.relation(engine, space, item.code, shape, former, Files(tuple(made))) if made else nothing
    if fingerprint(engine, source, columns) != fingerprint(engine, written, columns):
        raise StoreError(f"curated/{space}/{item.code}: {fault}")
    return made


def fingerprint(engine: duckdb.DuckDBPyConnection, source: str, columns: str) -> tuple[int, ...]:
    """Count and hashes of the rows of a relation, over all columns and whatever their order; rows that are there twice
    count twice."""
    row = f"hash({columns})"
    (found,) = engine.execute(f"SELECT count(*), sum({row}), bit_xor({row}) FROM {source}").fetchall()
    return found
