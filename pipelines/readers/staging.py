"""What every reader writes: `staged/` Parquet with line, sheet and the known columns as text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

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
                os.replace(self._part, self.target)
        finally:
            self._part.unlink(missing_ok=True)
