"""What every reader writes: `staged/` Parquet of the known columns as text, each row with its line and sheet.

Readers that see rows one by one write `line` and `sheet` as columns. A delimited text that the engine parsed in
parallel has no line in its rows: beside it lie the physical lines that begin no row (header, blank, faulty, inside
quotes), from which the place of a row in the file tells its line. `open_staged` hides the difference.

Where a cell was repaired, or is to be told of though it can be read, that lies beside the rows too, with the value as
sent: `repairs_path`, one line per cell and finding code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import PythonUDFType

from pipelines.model import publish
from pipelines.readers.characters import CONTROLS, PRIVATE, repaired
from schemas.sql import literal

BATCH = 50_000
Lines = np.ndarray[Any, np.dtype[np.int64]]
Repair = tuple[int, str | None, str, str, str | None]  # line, sheet, field, code, value as sent


@dataclass(frozen=True)
class Fault:
    """A record that could not be read as a row: finding code, physical line (or sheet row), what was seen, and the
    record as it was sent where it is text."""

    code: str
    line: int
    sheet: str | None
    detail_en: str
    value: str | None = None


@dataclass(frozen=True)
class Note:
    """Something to tell of a sheet or of the whole file: finding code, sheet, what was seen. Of a row, see
    `StagedWriter.note`."""

    code: str
    sheet: str | None
    value: str | None


@dataclass(frozen=True)
class Decoded:
    """What a file held. `read` = rows + records with faults; blank lines, and those of totals, notes and repeated
    headers, are listed beside it."""

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
    notes: tuple[Note, ...] = ()


def schema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([("line", pa.int64()), ("sheet", pa.string()), *((c, pa.string()) for c in columns)])


def skipped_path(staged: Path) -> Path:
    return staged.with_suffix(".skipped.parquet")


def write_skipped(staged: Path, lines: Lines) -> None:
    """The lines of a delimited text that begin no staged row, ascending; written before the rows are published."""
    table = pa.table({"line": pa.array(lines, pa.int64())})
    publish(skipped_path(staged), lambda part: pq.write_table(table, part))


def lines_of(places: Lines, skipped: Lines) -> Lines:
    """The physical lines of rows that are all lines but the skipped ones: a row lies as many lines further down as
    lines were skipped before it."""
    numbers = places + 1
    return numbers + np.searchsorted(skipped - np.arange(len(skipped)), numbers, side="right")


REPAIRS = pa.schema(
    [("line", pa.int64()), *((n, pa.string()) for n in ("sheet", "field", "code", "value"))]
)  # fmt: skip


def repairs_path(staged: Path) -> Path:
    return staged.with_suffix(".repairs.parquet")


def open_staged(engine: duckdb.DuckDBPyConnection, staged: Path, view: str = "staged") -> list[str]:
    """Make a view of a staged file: place (BIGINT from 0), line, sheet, then the columns returned, as text."""
    source = f"read_parquet({literal(staged)}, file_row_number = true)"
    columns = [c for c in pq.read_schema(staged).names if c not in ("line", "sheet")]
    listed = ", ".join(f'"{c}"' for c in columns)
    if skipped_path(staged).exists():
        skipped = pq.read_table(skipped_path(staged))["line"].to_numpy()

        def line_of(places: pa.ChunkedArray) -> pa.Array:
            return pa.array(lines_of(places.to_numpy(), skipped))

        engine.create_function(f"line_of_{view}", line_of, ["BIGINT"], "BIGINT", type=PythonUDFType.ARROW)
        where = f"line_of_{view}(file_row_number) AS line, CAST(NULL AS VARCHAR) AS sheet"
    else:
        where = "line, sheet"
    engine.execute(f"CREATE VIEW {view} AS SELECT file_row_number AS place, {where}, {listed} FROM {source}")
    return columns


class StagedWriter:
    """Rows in, Parquet out; the target appears whole when the block ends well, else not at all. Control characters are
    taken out of every cell, characters in private places replaced by the standard ones, and that is noted."""

    def __init__(self, target: Path, columns: Sequence[str]) -> None:
        self.target, self.schema, self.rows = target, schema(columns), 0
        self._part = target.with_name(f".{target.name}.{os.getpid()}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._part, self.schema, compression="zstd")
        self._columns: list[list[Any]] = [[] for _ in self.schema]
        self._batches: list[pa.RecordBatch] = []
        self._notes: list[Repair] = []
        self._noted = Repairs(target)

    def add(self, line: int, sheet: str | None, values: Sequence[str | None]) -> None:
        for column, value in zip(self._columns, (line, sheet, *values), strict=True):
            column.append(value)
        self.rows += 1
        if len(self._columns[0]) >= BATCH:
            self._flush()

    def note(self, line: int, sheet: str | None, field: str, code: str, value: str | None) -> None:
        """A finding about a cell of a row (or, with no field, about the row) that does not keep it from being read;
        `value` as it was sent."""
        self._notes.append((line, sheet, field, code, value))

    def add_columns(self, lines: Sequence[int], sheet: str | None, columns: Sequence[pa.Array]) -> None:
        """Rows of one sheet at once: a text column for each of the writer's, in their order."""
        where = [pa.array(lines, pa.int64()), pa.repeat(pa.scalar(sheet, pa.string()), len(lines))]
        self.add_batch(self._repaired([*where, *columns]))

    def add_batch(self, rows: pa.RecordBatch) -> None:
        """Rows as they are to be written, repaired already."""
        self._gather()
        self._batches.append(rows)
        self.rows += rows.num_rows
        if sum(b.num_rows for b in self._batches) >= BATCH:
            self._flush()

    def _gather(self) -> None:
        """The rows that came one by one, behind those that came before them."""
        if self._columns[0]:
            arrays = [pa.array(c, f.type) for c, f in zip(self._columns, self.schema, strict=True)]
            self._columns = [[] for _ in self.schema]
            self._batches.append(self._repaired(arrays))

    def _flush(self) -> None:
        self._gather()
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
            self._batches = []
        self._noted.add(self._notes)
        self._notes = []

    def _repaired(self, arrays: list[pa.Array]) -> pa.RecordBatch:
        for n, name in enumerate(self.schema.names[2:], start=2):
            arrays[n], found = mended(arrays[n])
            for row, code, sent in found:
                self.note(arrays[0][row].as_py(), arrays[1][row].as_py(), name, code, sent)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def __enter__(self) -> StagedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
            self._writer.close()
            self._noted.close(kind is None)
            if kind is None:
                # What an earlier version of the program may have read another way.
                skipped_path(self.target).unlink(missing_ok=True)
                os.replace(self._part, self.target)
        finally:
            self._part.unlink(missing_ok=True)


class Repairs:
    """The repairs beside a staged file: written as they come, there only where there are any."""

    def __init__(self, staged: Path) -> None:
        self.path = repairs_path(staged)
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._writer: pq.ParquetWriter | None = None

    def add(self, notes: Sequence[Repair]) -> None:
        if not notes:
            return
        self._writer = self._writer or pq.ParquetWriter(self._part, REPAIRS, compression="zstd")
        columns = [pa.array(c, f.type) for c, f in zip(zip(*notes, strict=True), REPAIRS, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=REPAIRS))

    def close(self, is_good: bool) -> None:
        """Published before the rows are, or forgotten with them."""
        if self._writer is not None:
            self._writer.close()
        if self._writer is not None and is_good:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)
            if is_good:
                self.path.unlink(missing_ok=True)


def mended(cells: pa.Array) -> tuple[pa.Array, list[tuple[int, str, str]]]:
    """A column of texts as it should have been sent, and row, code and text as sent of every cell to be told of."""
    if not _is_odd(cells):
        return cells, []
    texts = cells.to_pylist()
    found = []
    for row, sent in enumerate(texts):
        if sent is not None:
            text, codes = repaired(sent)
            texts[row] = text or None
            found += [(row, code, sent) for code in codes]
    return pa.array(texts, cells.type), found


def mend(part: Path, staged: Path, skipped: Lines) -> None:
    """Mend all texts of `part`, which is going to be `staged` and whose rows begin on all lines but the skipped."""
    other = part.with_name(f".mended{part.name}")
    notes, place = Repairs(staged), 0
    is_good = False
    try:
        with pq.ParquetFile(part) as rows, pq.ParquetWriter(other, rows.schema_arrow, compression="snappy") as writer:
            for batch in rows.iter_batches(30_000):
                columns, told = [], []
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    column, found = mended(column)
                    columns.append(column)
                    told += [(row, name, code, sent) for row, code, sent in found]
                places = np.array([row for row, *_ in told], np.int64) + place
                at = lines_of(places, skipped).tolist()
                notes.add([(line, None, *rest) for line, (_, *rest) in zip(at, told, strict=True)])
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=batch.schema))
                place += len(batch)
        os.replace(other, part)
        is_good = True
    finally:
        other.unlink(missing_ok=True)
        notes.close(is_good)


def _is_odd(cells: pa.Array) -> bool:
    """Whether a column of texts holds what `repaired` mends; a look at its bytes, which costs next to nothing."""
    content = cells.buffers()[2]
    if content is None:
        return False
    data = np.frombuffer(content, np.uint8)
    low = data[data < 32]
    if len(low) and not CONTROLS.isdisjoint(np.unique(low).tolist()):
        return True
    return any(bool((data == lead).any()) for lead in PRIVATE)
