"""File formats that departments really send. Each writer takes chunks of text columns and says where each row begins.

A cell is text; null is an empty cell. Lines are physical and 1-based, as an editor shows them: a row begins on the line
of its first character, and a line break inside a cell counts. In a workbook a line is the sheet's row number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter

from pipelines.sampling.persons import Ints

SHEET = "数据"
WORKBOOK_ROWS = 50_000


@dataclass(frozen=True)
class Format:
    """How one department writes its files. `kind` is delimited, workbook, array, lines or xml."""

    kind: str
    extension: str
    encoding: str = "utf-8"
    delimiter: str = ","
    end: str = "\n"


FORMATS = {
    "csv": Format("delimited", "csv"),
    "csv_bom": Format("delimited", "csv", encoding="utf-8-sig"),
    "csv_gb18030": Format("delimited", "csv", encoding="gb18030", end="\r\n"),
    "tab": Format("delimited", "tsv", delimiter="\t"),
    "semicolon": Format("delimited", "csv", delimiter=";"),
    "pipe": Format("delimited", "txt", encoding="gb18030", delimiter="|", end="\r\n"),
    "workbook": Format("workbook", "xlsx"),
    "array": Format("array", "json"),
    "lines": Format("lines", "jsonl"),
    "xml": Format("xml", "xml"),
}


class Writer(Protocol):
    def write(self, columns: Sequence[pa.Array], extra: Ints) -> Ints:
        """Append rows; `extra` are positions in this chunk that get a column too many. Returns each row's line."""

    def close(self) -> None: ...


def open_writer(form: Format, path: Path, headers: Sequence[str], quoted: Sequence[bool], created: date) -> Writer:
    """A writer for `path`; `quoted` marks the columns that a delimited file puts in quotes."""
    if form.kind == "delimited":
        return Delimited(form, path, headers, quoted)
    if form.kind == "workbook":
        return Workbook(path, headers, created)
    return Marked(form, path, headers)


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def begins(at: int, breaks: Ints) -> tuple[Ints, int]:
    """Lines on which rows begin when the first begins on `at` and each holds `breaks` line breaks; the next free."""
    after = at + np.cumsum(breaks + 1)
    return after - breaks - 1, int(after[-1]) if len(after) else at


class Delimited:
    """CSV and its relatives. A chunk becomes one Arrow buffer that is written as it lies."""

    def __init__(self, form: Format, path: Path, headers: Sequence[str], quoted: Sequence[bool]) -> None:
        self.form, self.quoted, self.line = form, quoted, 2
        self.file: BinaryIO = path.open("wb")
        self.codec = "gb18030" if form.encoding == "gb18030" else "utf-8"
        head = form.delimiter.join(headers) + form.end
        self.file.write(head.encode(form.encoding))

    def write(self, columns: Sequence[pa.Array], extra: Ints) -> Ints:
        rows = len(columns[0])
        breaks = np.zeros(rows, dtype=np.int64)
        pieces: list[pa.Array | str] = []
        joint = ""
        for column, quoted in zip(columns, self.quoted, strict=True):
            mark = '"' if quoted else ""
            pieces += [joint + mark, pc.fill_null(column, "")]
            joint = mark + self.form.delimiter
            if quoted:
                breaks += pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy().astype(np.int64)
        tail = joint[:-1]
        ends = pa.array([tail + self.form.end, tail + self.form.delimiter + "多余" + self.form.end])
        surplus = np.zeros(rows, dtype=np.int64)
        surplus[extra] = 1
        joined = pc.binary_join_element_wise(*pieces, ends.take(pa.array(surplus)), "")
        _, offsets, data = joined.buffers()
        text = memoryview(data)[: np.frombuffer(offsets, dtype=np.int32)[rows]]
        self.file.write(text if self.codec == "utf-8" else bytes(text).decode().encode(self.codec))
        lines, self.line = begins(self.line, breaks)
        return lines

    def close(self) -> None:
        self.file.close()


class Workbook:
    """One sheet, all cells text, written row by row so that memory stays flat."""

    def __init__(self, path: Path, headers: Sequence[str], created: date) -> None:
        self.book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "in_memory": False})
        self.book.set_properties({"created": datetime(created.year, created.month, created.day)})
        self.sheet = self.book.add_worksheet(SHEET)
        self.row = 0
        self._row(headers)

    def _row(self, cells: Sequence[str | None]) -> None:
        for n, cell in enumerate(cells):
            if cell:
                self.sheet.write_string(self.row, n, cell)
        self.row += 1

    def write(self, columns: Sequence[pa.Array], extra: Ints) -> Ints:
        lines = np.arange(len(columns[0]), dtype=np.int64) + self.row + 1
        for cells in zip(*(c.to_pylist() for c in columns), strict=True):
            self._row(cells)
        return lines

    def close(self) -> None:
        self.book.close()


class Marked:
    """JSON array, JSON lines and XML, one element begun per line; line breaks in text are real ones in XML only."""

    def __init__(self, form: Format, path: Path, headers: Sequence[str]) -> None:
        self.form = form
        self.names = [tag(h) for h in headers] if form.kind == "xml" else list(headers)
        self.file = path.open("w", encoding="utf-8", newline="\n")
        opening = {"array": "[\n", "lines": "", "xml": '<?xml version="1.0" encoding="UTF-8"?>\n<rows>\n'}[form.kind]
        self.line = 1 + opening.count("\n")
        self.begun = False
        self.file.write(opening)

    def write(self, columns: Sequence[pa.Array], extra: Ints) -> Ints:
        rows = []
        breaks = np.zeros(len(columns[0]), dtype=np.int64)
        for n, cells in enumerate(zip(*(c.to_pylist() for c in columns), strict=True)):
            if self.form.kind == "xml":
                inner = "".join(f"<{k}>{escape(v or '')}</{k}>" for k, v in zip(self.names, cells, strict=True))
                rows.append(f"<row>{inner}</row>")
                breaks[n] = inner.count("\n")
            else:
                rows.append(json.dumps(dict(zip(self.names, cells, strict=True)), ensure_ascii=False))
        between = ",\n" if self.form.kind == "array" else "\n"
        if rows:
            self.file.write((between if self.begun else "") + between.join(rows))
            self.begun = True
        lines, self.line = begins(self.line, breaks)
        return lines

    def close(self) -> None:
        closing = {"array": "\n]\n", "lines": "\n", "xml": "\n</rows>\n"}[self.form.kind]
        self.file.write(closing)
        self.file.close()


def tag(header: str) -> str:
    """A header as an XML name: brackets go, as readers drop them anyway."""
    plain = re.sub(r"[^\w.-]", "", header)
    return plain if re.match(r"[^\W\d]", plain) else f"_{plain}"
