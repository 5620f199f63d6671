"""Files of a lake's tables, as the engine reads them, and what a night makes of them; nothing here asks the lake."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from pipelines.model import literal

SPACES = ("records", "history", "ended")
PLACE = ["filename", "file_row_number"]


@dataclass(frozen=True)
class Files:
    """Data files of a table, and those that strike rows of them out by their places; false where there are no data."""

    data: tuple[str, ...] = ()
    strikes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.data)

    @property
    def all(self) -> tuple[str, ...]:
        return self.data + self.strikes

    def only(self, data: Iterable[str]) -> Files:
        """Some of these data files, as they are here."""
        return Files(tuple(data), self.strikes)

    def after(self, change: Change) -> Files:
        """What a change makes of them."""
        data, strikes = ({*there} - {*gone} | {*new} for there, gone, new in (
            (self.data, change.removed, change.added), (self.strikes, change.lifted, change.strikes)))  # fmt: skip
        return Files(tuple(sorted(data)), tuple(sorted(strikes)))


@dataclass(frozen=True)
class Change:
    """What becomes of a table: data files that come (`added`) and go (`removed`), files of struck places that come
    (`strikes`) and go (`lifted`)."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    strikes: list[str] = field(default_factory=list)
    lifted: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.strikes or self.lifted)


def live(files: Files, is_united: bool = False, is_placed: bool = False) -> str:
    """SQL of the rows of data files (at least one) that are not struck out; of files with different columns where
    `is_united`; where `is_placed` with `filename` and `file_row_number`, the place of each."""
    listed = f"[{', '.join(literal(Path(f)) for f in largest_first(files.data))}], hive_partitioning = false"
    listed += ", union_by_name = true" * is_united
    if not files.strikes and not is_placed:
        return f"read_parquet({listed})"
    placed = f"SELECT * FROM read_parquet({listed}, filename = true, file_row_number = true) r"
    if files.strikes:
        placed += f" ANTI JOIN {struck(files)} s ON s.file_path = r.filename AND s.pos = r.file_row_number"
    return f"({placed})" if is_placed else f"(SELECT * EXCLUDE (filename, file_row_number) FROM ({placed}))"


def largest_first(files: Iterable[str]) -> list[str]:
    """The engine takes the first of several files for the measure of all. After a small one it believes that millions
    of stored rows are few, and builds its joins of them, which takes five times as long; and names are random."""
    return sorted(files, key=lambda file: (-os.stat(file).st_size if os.path.exists(file) else 0, file))


def struck(files: Files) -> str:
    """SQL of the places (file_path, pos) that are struck out, also of data files that are there no more."""
    listed = ", ".join(literal(Path(f)) for f in files.strikes)
    return f"(SELECT file_path, pos FROM read_parquet([{listed}], hive_partitioning = false))"


def thinned(engine: duckdb.DuckDBPyConnection, files: Files) -> set[str]:
    """The data files that the strikes are of."""
    asked = f"SELECT DISTINCT file_path FROM {struck(files)}" if files.strikes else "SELECT NULL WHERE FALSE"
    return {str(file) for (file,) in engine.execute(asked).fetchall()}


def holding(engine: duckdb.DuckDBPyConnection, every: Iterable[Files], key: str) -> dict[str, set[str]]:
    """The data files that hold a record by its key, each with the files that strike it out there."""
    every = list(every)
    data, strikes = sorted({f for e in every for f in e.data}), sorted({f for e in every for f in e.strikes})
    if not data:
        return {}
    options = "filename = true, file_row_number = true, hive_partitioning = false, union_by_name = true"
    listed = ", ".join(literal(Path(f)) for f in data)
    engine.execute(f"""CREATE OR REPLACE TEMP TABLE holding AS SELECT filename AS file_path, file_row_number AS pos
        FROM read_parquet([{listed}], {options}) WHERE record_key = unhex('{key}')""")
    found: dict[str, set[str]] = {f: set() for (f,) in engine.execute("SELECT file_path FROM holding").fetchall()}
    if found and strikes:
        listed = ", ".join(literal(Path(f)) for f in strikes)
        asked = f"""SELECT file_path, filename FROM read_parquet([{listed}], filename = true, hive_partitioning = false)
            SEMI JOIN holding USING (file_path, pos)"""
        for file, strike in engine.execute(asked).fetchall():
            found[file].add(strike)
    return found


def shown_in(files: Files, holding: Mapping[str, set[str]]) -> str | None:
    """The data file of a snapshot in which it shows the record of `holding`; None where it does not."""
    return next((f for f in files.data if f in holding and not holding[f] & {*files.strikes}), None)
