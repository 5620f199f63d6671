"""What every reader writes: `staged/` Parquet of the known columns as text, each row with its line and sheet.

Readers that see rows one by one write `line` and `sheet` as columns. A delimited text that the engine parsed in
parallel has no line in its rows: beside it lie the physical lines that begin no row (header, blank, faulty, inside
quotes), from which the place of a row in the file tells its line. `open_staged` hides the difference.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import PythonUDFType

from pipelines.model import publish

BATCH = 50_000


@dataclass(frozen=True)
class Fault:
    """A record that could not be read as a row: finding code, physical line (or sheet row), what was seen."""

    code: str
    line: int
    sheet: str | None
    detail_en: str


@dataclass(frozen=True)
class Decoded:
    """What a file held. `read` = rows + records with faults; blank and total lines are listed beside it."""

    rows: int
    read: int
    blank: int
    total_lines: int
    format: str
    encoding: str | None
    delimiter: str | None
    columns: tuple[str, ...]
    unknown_headers: tuple[str, ...]
    faults: tuple[Fault, ...]


def schema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([("line", pa.int64()), ("sheet", pa.string()), *((c, pa.string()) for c in columns)])


def skipped_path(staged: Path) -> Path:
    return staged.with_suffix(".skipped.parquet")


def write_skipped(staged: Path, lines: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """The lines of a delimited text that begin no staged row, ascending; written before the rows are published."""
    table = pa.table({"line": pa.array(lines, pa.int64())})
    publish(skipped_path(staged), lambda part: pq.write_table(table, part))


def literal(path: Path) -> str:
    """A path as an SQL string literal."""
    return "'" + str(path).replace("'", "''") + "'"


def open_staged(engine: duckdb.DuckDBPyConnection, staged: Path, view: str = "staged") -> list[str]:
    """Make a view of a staged file: place (BIGINT from 0), line, sheet, then the columns returned, as text."""
    source = f"read_parquet({literal(staged)}, file_row_number = true)"
    columns = [c for c in pq.read_schema(staged).names if c not in ("line", "sheet")]
    listed = ", ".join(f'"{c}"' for c in columns)
    if skipped_path(staged).exists():
        lines = pq.read_table(skipped_path(staged))["line"].to_numpy()
        # Row n lies as many lines further down as lines were skipped before it.
        before = lines - np.arange(len(lines))

        def line_of(places: pa.ChunkedArray) -> pa.Array:
            numbers = places.to_numpy() + 1
            return pa.array(numbers + np.searchsorted(before, numbers, side="right"))

        engine.create_function("line_of", line_of, ["BIGINT"], "BIGINT", type=PythonUDFType.ARROW)
        where = "line_of(file_row_number) AS line, CAST(NULL AS VARCHAR) AS sheet"
    else:
        where = "line, sheet"
    engine.execute(f"CREATE VIEW {view} AS SELECT file_row_number AS place, {where}, {listed} FROM {source}")
    return columns


class StagedWriter:
    """Rows in, Parquet out; the target appears whole when the block ends well, else not at all."""

    def __init__(self, target: Path, columns: Sequence[str]) -> None:
        self.target, self.schema, self.rows = target, schema(columns), 0
        self._part = target.with_name(f".{target.name}.{os.getpid()}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._part, self.schema, compression="zstd")
        self._columns: list[list[object]] = [[] for _ in self.schema]

    def add(self, line: int, sheet: str | None, values: Sequence[str | None]) -> None:
        for column, value in zip(self._columns, (line, sheet, *values), strict=True):
            column.append(value)
        self.rows += 1
        if len(self._columns[0]) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        arrays = [pa.array(c, f.type) for c, f in zip(self._columns, self.schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        self._columns = [[] for _ in self.schema]

    def __enter__(self) -> StagedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
            self._writer.close()
            if kind is None:
                # What an earlier version of the program may have read another way.
                skipped_path(self.target).unlink(missing_ok=True)
                os.replace(self._part, self.target)
        finally:
            self._part.unlink(missing_ok=True)
