"""Delimited text: exact physical lines, no row lost in silence.

Two ways over the same text. The fast one lets DuckDB parse, and is trusted only where the lines that it made rows of
and the lines that it skipped add up to the lines that were counted without it; everything else is read record by
record, which is slower and exact.
"""

from __future__ import annotations

import csv
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from pipelines.errors import DeliveryError
from pipelines.model import PASSING_ON, memory_limit
from pipelines.readers.characters import BLANK, REMOVED, without_controls
from pipelines.readers.encoding import CHUNK, Text, binary, normalise
from pipelines.readers.headers import match, says_nothing
from pipelines.readers.staging import Decoded, Fault, StagedWriter, mend, repairs_path, write_skipped
from schemas.model import Format
from schemas.sql import literal

DELIMITERS = (",", "\t", ";", "|", "\x01", "&&", "，")
HEADER_LINES = 20
SMALL = 64_000  # bytes; up to here reading record by record is done before an engine has started
SPAN = 200  # physical lines one record may take; a longer run means a quote that never closes
SHOWN, SHOWN_LENGTH = 10_000, 500  # of how many faulty records the text is shown, and how much of it
csv.field_size_limit(16 << 20)


@dataclass(frozen=True)
class Dialect:
    """What stands between the cells and around them; `quote` as in `schemas.model.Format`."""

    delimiter: str
    quote: str = '"'

    @property
    def closing(self) -> str:
        return "”" if self.quote == "“”" else '"'


@dataclass(frozen=True)
class Layout:
    """How the rows are written, the last physical line of the header, and its cells."""

    dialect: Dialect
    at: int
    cells: list[str]


@dataclass(frozen=True)
class Record:
    """What stands in the physical lines `first` to `last`: `text`, and its cells where they can be told apart."""

    first: int
    last: int
    text: str
    cells: list[str] | None


def read_text(
    source: Path, target: Path, fields: Mapping[str, str], work: Path, declared: Format | None = None
) -> Decoded:
    """Decode, find the header, parse. `declared` goes before what the file looks like. Raises `DeliveryError` F001,
    F004, F006, F010."""
    declared = declared or Format()
    text = normalise(source, work, declared.encoding)
    try:
        if _is_nothing(text):
            with StagedWriter(target, []):
                pass
            return _decoded(text, None, (), (), 0, [], text.lines - 1, total_lines=1)
        layout = _layout(text, fields, declared)
        names = match(layout.cells, fields)
        unknown = tuple(c for c, n in zip(layout.cells, names, strict=True) if c.strip(BLANK) and n is None)
        columns = tuple(n for n in names if n)
        if _is_nil(text, layout):
            with StagedWriter(target, columns):
                pass
            blank = text.lines - layout.at - 1
            return _decoded(text, layout, columns, unknown, 0, [], blank, total_lines=1)
        fast = None if text.path.stat().st_size <= SMALL else _fast(text, target, layout, names, work)
        rows, faults, blank = fast or _exact(text, target, layout, names)
        return _decoded(text, layout, columns, unknown, rows, faults, blank)
    finally:
        if text.path != source:
            text.path.unlink(missing_ok=True)


def _decoded(
    text: Text, layout: Layout | None, columns: tuple[str, ...], unknown: tuple[str, ...], rows: int,
    faults: list[Fault], blank: int, total_lines: int = 0,
) -> Decoded:  # fmt: skip
    return Decoded(
        rows=rows, read=rows + len(faults), blank=blank, total_lines=total_lines, format="text", encoding=text.encoding,
        delimiter=layout.dialect.delimiter if layout else None, columns=columns, unknown_headers=unknown,
        faults=tuple(faults),
    )  # fmt: skip


def _start(text: Text, count: int) -> list[str]:
    with text.path.open(encoding="utf-8-sig", newline="\n") as f:
        return [line for line in (f.readline(1 << 20) for _ in range(count)) if line]


def _is_nothing(text: Text) -> bool:
    """Whether the whole file is the sentence that there is nothing to report."""
    if text.lines > HEADER_LINES:
        return False
    said = [line for line in _start(text, HEADER_LINES) if line.strip(BLANK)]
    return len(said) == 1 and says_nothing(re.split(r"[,;|\t，]", said[0]), is_only_row=False)


def _is_nil(text: Text, layout: Layout) -> bool:
    """Whether all that stands under the header is one row saying that there is nothing to report."""
    if text.lines - layout.at > HEADER_LINES:
        return False
    body = iter(_start(text, text.lines)[layout.at :])
    said = [r.cells for r in _parse(body, layout.dialect) if r.text.strip(BLANK)]
    return len(said) == 1 and said[0] is not None and says_nothing([c.strip(BLANK) for c in said[0]])


def _layout(text: Text, fields: Mapping[str, str], declared: Format) -> Layout:
    """Raises `DeliveryError` F004, F006, or F010 where the text has zero bytes and no header.

    Spreadsheets write a cell with a forced line break as a quoted line feed: a header may span lines.
    """
    start = _start(text, 2 * HEADER_LINES)
    delimiters = (declared.delimiter,) if declared.delimiter else DELIMITERS
    best, header, dialect = 0, Record(0, 0, "", []), Dialect(",")
    for delimiter in delimiters:
        tried = Dialect(delimiter, declared.quote or '"')
        for record in _parse(iter(start[:HEADER_LINES]), tried):
            known = sum(n is not None for n in match(record.cells or [], fields))
            # Of two rows that know as many fields, the first is the header.
            if known and (known, -record.first) > (best, -header.first if best else 0):
                best, header, dialect = known, record, tried
    cells = list(header.cells or [])
    if len({n for n in match(cells, fields) if n}) < 2:
        if 0 in text.controls:
            raise binary()
        if _is_misread(start, fields):
            raise _misread(text.encoding)
    check_layout(cells, fields)
    named = list(cells)
    while not named[-1].strip(BLANK):
        named.pop()
    body = start[header.last :]
    dialect = _dialect(header, body, dialect, len(named), declared)
    # Delimiters behind the last header are columns without a name only where the rows have them too.
    has_nameless = any(len(r.cells or ()) >= len(cells) for r in _parse(iter(body), dialect))
    return Layout(dialect, header.last, cells if has_nameless else named)


def _is_misread(start: list[str], fields: Mapping[str, str]) -> bool:
    """Whether a header stands among lines of UTF-8 that were read as GBK or Windows Latin and saved again."""
    for line in start[:HEADER_LINES]:
        for wrong in ("gb18030", "cp1252", "latin-1"):
            right = line.encode(wrong, "ignore").decode("utf-8", "ignore")
            cells = re.split(r"[,;|\t]", right.strip(BLANK))
            if len({n for n in match(cells, fields) if n}) >= 2:
                return True
    return False


def _misread(encoding: str) -> DeliveryError:
    if encoding == "gb18030":  # it is this reader that had no other way to read it
        return DeliveryError(
            "F001",
            "文件是 UTF-8 编码，但其中有损坏的字节，或目录声明了其他编码。请重新导出为 UTF-8 的 CSV 后报送。",
            "The text is UTF-8 with broken bytes in it, or the catalogue declares another encoding. Export it again as"
            " UTF-8 CSV.",
        )
    return DeliveryError(
        "F001",
        "表头是按错误的编码读出的乱码，整个文件在报送前已损坏。请从源系统按 UTF-8 重新导出，不要另存打开后的文件。",
        "The header was read in the wrong encoding before sending, and so was the whole file. Export it again from the"
        " source as UTF-8; do not save a file that was opened with wrong characters.",
    )


def _dialect(header: Record, body: list[str], found: Dialect, width: int, declared: Format) -> Dialect:
    """How the rows are written, which may differ from the header: somebody typed that. “” are quotes only where they
    stand around every cell of the first rows, or of the header above none; around one here and there, they are text."""
    tried = [found.delimiter, *(d for d in DELIMITERS if d != found.delimiter and not declared.delimiter)]
    fits = {d: sum(_is_row(r, width) for r in _parse(iter(body), Dialect(d, found.quote))) for d in tried}
    delimiter = found.delimiter if fits[found.delimiter] else max(tried, key=lambda d: fits[d])
    if declared.quote:
        return Dialect(delimiter, declared.quote)
    said = [line for line in body if line.strip(BLANK)] or [header.text]
    return Dialect(delimiter, "“”" if all(_is_wrapped(line, delimiter) for line in said) else '"')


def _is_row(record: Record, width: int) -> bool:
    return record.cells is not None and len(record.cells) >= width and not any(record.cells[width:])


def _is_wrapped(line: str, delimiter: str) -> bool:
    """Whether “ and ” stand around every cell that is not empty."""
    plain = line.rstrip("\r\n")
    cells = _curly(plain, delimiter)[0] or []
    wrapped = delimiter.join(f"“{c}”" if c else "" for c in cells)
    return "“" in wrapped and wrapped == plain.replace("“”", "")


def check_layout(cells: Sequence[str], fields: Mapping[str, str]) -> None:
    """Raises `DeliveryError` F004 (fewer than two known headers) or F006 (two columns for one field)."""
    names = [n for n in match(cells, fields) if n]
    if len(set(names)) < 2:
        raise DeliveryError(
            "F004",
            "前 20 行内找不到本目录项的表头。请使用该目录项的模板，第一行写字段名称。",
            "No header of this item within the first 20 rows. Use the item's template; name the fields in row 1.",
        )
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        told = [c.strip(BLANK) for c, n in zip(cells, match(cells, fields), strict=True) if n == twice[0]]
        raise DeliveryError(
            "F006",
            f"“{'”和“'.join(told)}”这几列对应同一信息项。请只保留一列。",
            f"The columns {' and '.join(told)} mean one field ({twice[0]}). Keep one of them.",
        )


def _fast(
    text: Text, target: Path, layout: Layout, names: Sequence[str | None], work: Path
) -> tuple[int, list[Fault], int] | None:
    """DuckDB's parser; None where the count of lines does not prove every line number."""
    delimiter, at = layout.dialect.delimiter, layout.at
    if text.before_quotes and (layout.dialect.quote != '"' or len(delimiter.encode()) > 1):
        return None
    if layout.dialect.quote == "“”" or text.before_quotes - {ord(delimiter[0]), ord("\n"), ord('"')}:
        return None
    given = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    kept = ", ".join(f'c{i} AS "{n}"' for i, n in enumerate(names) if n)
    read = f"""read_csv({literal(text.path)}, delim='{delimiter}', quote='"', escape='"', header=false, skip={at},
        columns={{{given}}}, strict_mode=true, null_padding=false, store_rejects=true, rejects_limit=0,
        auto_detect=false, nullstr='')"""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit(),
        "temp_directory": str(work),
        # A column that nobody asks for would be neither counted nor checked.
        "disabled_optimizers": "unused_columns",
    }
    try:
        with duckdb.connect(config=config) as engine:
            rows = _one(engine, f"COPY (SELECT {kept} FROM {read}) TO {literal(part)} ({PASSING_ON})")
            rejects = engine.execute("SELECT DISTINCT line_byte_position, error_type FROM reject_errors").fetchall()
        if any(kind not in ("TOO MANY COLUMNS", "MISSING COLUMNS") for _, kind in rejects):
            return None
        # A line of spaces is a blank line, not a row with too few columns.
        blanks = text.blanks[text.blanks > at]
        found = dict(zip(*_lines_at(text.path, sorted({int(p) for p, _ in rejects})), strict=True))
        lost = np.setdiff1d(np.array([*found], np.int64), blanks)
        skipped = np.unique(np.concatenate([blanks, lost, text.continued[text.continued > at]]))
        if rows + len(skipped) != text.lines - at:
            return None
        skipped = np.concatenate([np.arange(1, at + 1), skipped])
        if text.has_private or text.controls - {ord(delimiter[0])}:
            mend(part, target, skipped)
        else:
            repairs_path(target).unlink(missing_ok=True)
        write_skipped(target, skipped)
        os.replace(part, target)
    except duckdb.Error:
        return None
    finally:
        part.unlink(missing_ok=True)
    faults = [Fault("F007", line, None, "wrong number of columns", found[line]) for line in lost.tolist()]
    return rows, faults, len(blanks)


def _one(engine: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = engine.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _lines_at(path: Path, positions: list[int]) -> tuple[list[int], list[str | None]]:
    """Physical line numbers of 1-based byte positions, in one pass over the file, and what the lines say."""
    if not positions:
        return [], []
    starts, said = _record_starts(path, positions)
    found: list[int] = []
    line, offset = 1, 0
    waiting = iter(starts)
    wanted = next(waiting, None)
    with path.open("rb") as f:
        while wanted is not None and (chunk := f.read(CHUNK)):
            start = 0
            while wanted is not None and wanted < offset + len(chunk):
                line += chunk.count(b"\n", start, wanted - offset)
                start = wanted - offset
                found.append(line)
                wanted = next(waiting, None)
            line += chunk.count(b"\n", start)
            offset += len(chunk)
    return found, said


def _record_starts(path: Path, positions: list[int]) -> tuple[list[int], list[str | None]]:
    """0-based offsets of the records' first bytes: the parser may point at line ends or blank lines before them; and
    the lines that begin there."""
    starts: list[int] = []
    said: list[str | None] = []
    with path.open("rb") as f:
        for position in positions:
            f.seek(position - 1)
            at = position - 1
            while (byte := f.read(1)) in (b"\r", b"\n"):
                at += 1
            if byte:
                starts.append(at)
                line = byte + f.readline(4 * SHOWN_LENGTH)
                said.append(_shown(line.decode("utf-8", "ignore"), len(said)))
    return starts, said


def _shown(record: str, number: int) -> str | None:
    """What is kept of a record that is no row: enough to find it by in the source; all of it stays in `raw/`."""
    return record.rstrip("\r\n")[:SHOWN_LENGTH] if number < SHOWN else None


def _exact(
    text: Text, target: Path, layout: Layout, names: Sequence[str | None]
) -> tuple[int, list[Fault], int]:
    """Record by record. A quote that never closes costs its own line, not the rest of the file."""
    keep = [i for i, n in enumerate(names) if n]
    faults: list[Fault] = []
    blank = 0
    with (
        text.path.open(encoding="utf-8-sig", newline="\n") as lines,
        StagedWriter(target, [n for n in names if n]) as writer,
    ):
        for _ in range(layout.at):
            next(lines, None)
        for record in _parse(lines, layout.dialect, layout.at):
            line, cells = record.first, record.cells
            if cells is None:
                shown = _shown(record.text, len(faults))
                faults.append(Fault("F008", line, None, "quotes do not pair", shown))
            elif not record.text.strip(BLANK):
                blank += 1
            elif len(cells) < len(names) or any(cells[len(names) :]):
                # Empty cells behind the last column carry nothing; the fast way takes such rows too.
                what = f"{len(cells)} columns instead of {len(names)}"
                faults.append(Fault("F007", line, None, what, _shown(record.text, len(faults))))
            else:
                writer.add(line, None, [cells[i] or None for i in keep])
                if text.controls and _has_lost_controls(record, layout.dialect):
                    writer.note(line, None, "", REMOVED, _shown(record.text, 0))
    return writer.rows, faults, blank


def _has_lost_controls(record: Record, dialect: Dialect) -> bool:
    """Whether control characters stood between a quote and a delimiter, so that no cell holds them."""
    said = record.text.replace(dialect.delimiter, "")
    return len(said) - len(without_controls(said)) > sum(len(c) - len(without_controls(c)) for c in record.cells or ())


def _parse(lines: Iterator[str], dialect: Dialect, number: int = 0) -> Iterator[Record]:
    """The records, one after the other; a line whose quote never closes is one of its own."""
    waiting: deque[str] = deque()
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        number += 1
        parts = [line]
        cells, is_open = _cells(parts, dialect)
        while is_open and len(parts) < SPAN:
            more = waiting.popleft() if waiting else next(lines, None)
            if more is None:
                break
            parts.append(more)
            if dialect.closing in more:
                cells, is_open = _cells(parts, dialect)
        if cells is None:
            waiting.extendleft(reversed(parts[1:]))
            yield Record(number, number, line, None)
            continue
        yield Record(number, number + len(parts) - 1, "".join(parts), cells)
        number += len(parts) - 1


def _cells(parts: Sequence[str], dialect: Dialect) -> tuple[list[str] | None, bool]:
    """The cells of one record, and whether a quote is still open at its end."""
    text, delimiter = "".join(parts), dialect.delimiter
    if dialect.quote == "“”":
        return _curly(text.rstrip("\r\n"), delimiter)
    if dialect.quote == "none" or '"' not in text:
        return text.removesuffix("\n").removesuffix("\r").split(delimiter), False
    cells, is_open = _quoted(text, delimiter)
    if cells is None and not is_open and (plain := without_controls(text, delimiter)) != text:
        return _quoted(plain, delimiter)
    return cells, is_open


def _quoted(text: str, delimiter: str) -> tuple[list[str] | None, bool]:
    single = delimiter if len(delimiter) == 1 else "\x1f"  # the parser knows single characters only
    if single != delimiter:
        text = without_controls(text).replace(delimiter, single)
    try:
        cells = next(csv.reader([text.rstrip("\r\n")], delimiter=single, strict=True), [])
    except csv.Error as e:
        return None, "unexpected end of data" in str(e)
    return cells if single == delimiter else [c.replace(single, delimiter) for c in cells], False


def _curly(text: str, delimiter: str) -> tuple[list[str] | None, bool]:
    """The same where “ and ” stand around cells: a ” closes where a delimiter or the end follows."""
    cells: list[str] = []
    at = 0
    while True:
        if text.startswith("“", at):
            closed = text.find("”" + delimiter, at)
            end = closed if closed >= 0 else len(text) - 1 if text.endswith("”") else -1
            if end < 0:
                return None, True
            cells.append(text[at + 1 : end])
            at = end + 1
        else:
            end = text.find(delimiter, at)
            cells.append(text[at : end if end >= 0 else None])
            at = end if end >= 0 else len(text)
        if at >= len(text):
            return cells, False
        at += len(delimiter)
