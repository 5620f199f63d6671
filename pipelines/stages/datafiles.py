"""Data files of candidates: noted before they are written, durable as they are named, and swept up where a run was
killed; and what becomes of the stored rows of records that change."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow.parquet as pq

from pipelines.model import Home, publish, publish_json
from pipelines.stages import dedupe
from pipelines.stores.files import SPACES, Change, Files, live, struck
from pipelines.stores.lake import Lake
from pipelines.stores.strikes import FIELD_IDS
from schemas.arrow import former_names, stored_schema
from schemas.model import Item
from schemas.sql import literal

STRIKES = 8  # files of struck places of a table, from which on they are written as one


@dataclass(frozen=True)
class Limits:
    """Dated limits of catalog/policy/operations.toml: a data file is written anew where less than `strike_spared_rows`
    rows of it are left, or `strike_share` of them are struck out."""

    strike_share: float
    strike_spared_rows: float


class Planned:
    """The data files a candidate is going to have, noted before they are written, so that the next run of this item
    can sweep up those that no snapshot ever named. The note goes when the release is made."""

    def __init__(self, home: Home, lake: Lake, item: Item) -> None:
        self.home, self.lake, self.item, self.note = home, lake, item.code, plan_note(home, item.code)
        self.files: list[tuple[str, str]] = []

    def __enter__(self) -> Planned:
        sweep_planned(self.home, self.lake, self.item)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def file(self, space: str) -> Path:
        path = self.lake.new_file(space, self.item)
        self.files.append((space, str(path)))
        publish_json(self.note, self.files)
        return path


def sweep_planned(home: Home, lake: Lake, item: str) -> None:
    """Delete the planned data files of a candidate that no snapshot names."""
    if (note := plan_note(home, item)).exists():
        files = json.loads(note.read_text(encoding="utf-8"))
        for space in SPACES:
            lake.sweep(space, item, [path for where, path in files if where == space])


def sweep_abandoned(home: Home, lake: Lake) -> None:
    """The same of every candidate that a killed run left unwritten; nobody else writes any meanwhile."""
    for note in plan_note(home, "x").parent.glob("*.files.json"):
        item = note.name.removesuffix(".files.json")
        if not home.candidate(item).exists():
            sweep_planned(home, lake, item)
            note.unlink()


def planned(home: Home) -> set[str]:
    """Data files of candidates that wait for the gate or the load."""
    notes = plan_note(home, "x").parent.glob("*.files.json")
    return {path for note in notes for _, path in json.loads(note.read_text(encoding="utf-8"))}


def plan_note(home: Home, item: str) -> Path:
    return home.work / "candidates" / f"{item}.files.json"


def _one(engine: duckdb.DuckDBPyConnection, sql: str) -> int:
    ((value,),) = engine.execute(sql).fetchall()
    return int(value)


def copy(engine: duckdb.DuckDBPyConnection, select: str, target: Path, more: str = "") -> int:
    """A data file of the lake; a kill leaves a file that no snapshot names. Returns its rows."""
    # Level 1 is as small as the default here, at two thirds of its time.
    form = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1" + more
    rows = _one(engine, f"COPY ({select}) TO {literal(target)} ({form})")
    with target.open("rb") as written:  # the release that names this file will be durable, so the file has to be
        os.fsync(written.fileno())
    return rows


def data_file(
    engine: duckdb.DuckDBPyConnection, plan: Planned, space: str, select: str, more: str = ""
) -> tuple[list[str], int]:
    """Write a planned data file; returns it, or nothing where it would be empty, and its rows."""
    path = plan.file(space)
    if rows := copy(engine, select, path, more):
        return [str(path)], rows
    path.unlink()
    return [], 0


class Making(dedupe.Tables, Protocol):
    """Where the fold makes its tables, and its data files of these."""

    def files(self, plan: Planned, space: str, sql: str) -> tuple[list[str], int]:
        """Planned data files of what a query gives, none that is empty; and the rows."""

    def record_files(self, plan: Planned, sql: str) -> tuple[list[str], int, list[str]]:
        """Records with what events and time make of them: data files of those that are shared, how many these are, and
        data files of those that have ended."""


class Local(dedupe.Here):
    def files(self, plan: Planned, space: str, sql: str) -> tuple[list[str], int]:
        return data_file(self.engine, plan, space, sql)

    def record_files(self, plan: Planned, sql: str) -> tuple[list[str], int, list[str]]:
        shared, rows = self.files(plan, "records", f"SELECT * FROM ({sql}) WHERE ended_on IS NULL")
        # Few ever have, so the columns that tell are looked at before the rest is read once more.
        if not self.engine.execute(f"SELECT 1 FROM ({sql}) WHERE ended_on IS NOT NULL LIMIT 1").fetchall():
            return shared, rows, []
        return shared, rows, self.files(plan, "ended", f"SELECT * FROM ({sql}) WHERE ended_on IS NOT NULL")[0]


def linked(path: str, name: Path) -> str:
    """The same file under another name, so that each table owns what it names and may drop it; a copy where the
    storage has no hard links."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)
        with name.open("rb") as written:
            os.fsync(written.fileno())
    return str(name)


def write(engine: duckdb.DuckDBPyConnection, select: str, target: Path) -> int:
    rows = [0]

    def write(part: Path) -> None:
        rows[0] = copy(engine, select, part)

    publish(target, write)
    return rows[0]


def rows_of(engine: duckdb.DuckDBPyConnection, files: Files) -> int:
    """Rows of data files that are not struck out; those that lie in them tell their footers."""
    rows = _one(engine, f"SELECT count(*) FROM {live(Files(files.data))}") if files else 0
    if rows and files.strikes:
        listed = ", ".join(literal(f) for f in files.data)
        rows -= _one(engine, f"SELECT count(*) FROM {struck(files)} WHERE file_path IN ({listed})")
    return rows


def without(
    engine: duckdb.DuckDBPyConnection,
    plan: Planned,
    lake: Lake,
    item: Item,
    space: str,
    files: Files,
    touched: str,
    limits: Limits | None,
) -> Change:
    """What lets a table hold no record of the engine's table `touched` (record_key, file_path, pos: where it lies, in
    whichever table): their rows are struck out, or the data files that hold them are written anew without them. That is
    so by `limits`, where there are none, and of records that are deleted (`doomed`), of which no struck row may be left
    either."""
    change = Change()
    if not files:
        return change
    places = f"SELECT file_path, pos FROM {touched} WHERE file_path IN ({', '.join(map(literal, files.data))})"
    hit, before = (
        dict(engine.execute(f"SELECT file_path, count(*) FROM {of} GROUP BY ALL").fetchall()) if of else {}
        for of in (f"({places})", struck(files) if files.strikes else "")
    )

    def is_worth_it(file: str) -> bool:
        if limits is None:
            return True
        rows, gone = int(pq.read_metadata(file).num_rows), int(hit[file] + before.get(file, 0))
        return rows - gone < limits.strike_spared_rows or gone >= limits.strike_share * rows

    every = live(Files(files.data), is_placed=True)
    doomed = f"SELECT DISTINCT filename FROM {every} SEMI JOIN doomed USING (record_key)"
    renewed = {str(file) for (file,) in engine.execute(doomed).fetchall()} | {f for f in hit if is_worth_it(f)}
    change.removed.extend(sorted(renewed))
    columns = ", ".join(stored_schema(item).names)
    for old in change.removed:
        kept = lake.relation(engine, space, item.code, stored_schema(item), former_names(item), files.only([old]))
        select = f"SELECT {columns} FROM {kept} ANTI JOIN {touched} USING (record_key)"
        change.added.extend(data_file(engine, plan, space, select)[0])
    if hit.keys() <= renewed:
        return change
    left = ", ".join(literal(f) for f in files.data if f not in renewed)
    new = f"SELECT file_path, pos FROM {touched} WHERE file_path IN ({left})"
    if len(files.strikes) >= STRIKES:
        new += f" UNION ALL SELECT file_path, pos FROM {struck(files)} WHERE file_path IN ({left})"
        change.lifted.extend(files.strikes)
    made, _ = data_file(engine, plan, space, f"FROM ({new}) ORDER BY file_path, pos", f", FIELD_IDS {FIELD_IDS}")
    change.strikes.extend(made)
    return change
