"""Delimited text: exact physical lines, no row lost in silence.

Two ways over the same text. The fast one lets DuckDB parse, and is trusted only where the lines that it made rows of
and the lines that it skipped add up to the lines that were counted without it; everything else is read record by
record, which is slower and exact.
"""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np

from pipelines.errors import DeliveryError
from pipelines.model import PASSING_ON
from pipelines.readers.encoding import CHUNK, Lines, Text, normalise
from pipelines.readers.headers import match
from pipelines.readers.staging import Decoded, Fault, StagedWriter, literal, write_skipped

DELIMITERS = (",", "\t", ";", "|")
HEADER_LINES = 20
SPAN = 200  # physical lines one record may take; a longer run means a quote that never closes
csv.field_size_limit(16 << 20)


def read_text(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Decode, find the header, parse. Raises `DeliveryError` F001, F004, F006, F010."""
    text = normalise(source, work)
    try:
        delimiter, at, cells, unknown = _header(text.path, fields)
        names = match(cells, fields)
        columns = [n for n in names if n]
        decoded = _fast(text, target, delimiter, at, names, work) or _exact(text, target, delimiter, at, names)
        rows, faults, blank = decoded
        return Decoded(
            rows=rows,
            read=rows + len(faults),
            blank=blank,
            total_lines=0,
            format="text",
            encoding=text.encoding,
            delimiter=delimiter,
            columns=tuple(columns),
            unknown_headers=unknown,
            faults=tuple(faults),
        )
    finally:
        if text.path != source:
            text.path.unlink(missing_ok=True)


def _header(path: Path, fields: Mapping[str, str]) -> tuple[str, int, list[str], tuple[str, ...]]:
    """(delimiter, last physical line of the header, its cells, unknown cells).

    Spreadsheets write a cell with a forced line break as a quoted line feed: a header may span lines.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as f:
        first = [line for line in (f.readline(1 << 20) for _ in range(HEADER_LINES)) if line]
    best: tuple[int, str, int, list[str]] = (0, ",", 0, [])
    for delimiter in DELIMITERS:
        for number, last, cells in _parse(iter(first), delimiter):
            known = sum(n is not None for n in match(cells or [], fields))
            # Of two rows that know as many fields, the first is the header.
            if cells and (known, -number) > (best[0], -best[2] if best[0] else 0):
                best = (known, delimiter, last, cells)
    check_layout(best[3], fields)
    known, delimiter, at, cells = best
    unknown = tuple(c for c, n in zip(cells, match(cells, fields), strict=True) if c.strip() and n is None)
    return delimiter, at, cells, unknown


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
        raise DeliveryError(
            "F006",
            f"有两列对应同一字段 {twice[0]}。请只保留一列。",
            f"Two columns mean the field {twice[0]}. Keep one of them.",
        )


def _fast(
    text: Text, target: Path, delimiter: str, at: int, names: Sequence[str | None], work: Path
) -> tuple[int, list[Fault], int] | None:
    """DuckDB's parser; None where the count of lines does not prove every line number."""
    given = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    kept = ", ".join(f'c{i} AS "{n}"' for i, n in enumerate(names) if n)
    read = f"""read_csv({literal(text.path)}, delim='{delimiter}', quote='"', escape='"', header=false, skip={at},
        columns={{{given}}}, strict_mode=true, null_padding=false, store_rejects=true, rejects_limit=0,
        auto_detect=false, nullstr='')"""
    if text.before_quotes - {ord(delimiter), ord("\n"), ord('"')}:
        return None
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": os.environ.get("QIONGXIN_MEMORY_LIMIT", "2GB"),
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
        lost = np.setdiff1d(_lines_at(text.path, sorted({int(p) for p, _ in rejects})), blanks)
        skipped = np.unique(np.concatenate([blanks, lost, text.continued[text.continued > at]]))
        if rows + len(skipped) != text.lines - at:
            return None
        write_skipped(target, np.concatenate([np.arange(1, at + 1), skipped]))
        os.replace(part, target)
    except duckdb.Error:
        return None
    finally:
        part.unlink(missing_ok=True)
    return rows, [Fault("F007", line, None, "wrong number of columns") for line in lost.tolist()], len(blanks)


def _one(engine: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = engine.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _lines_at(path: Path, positions: list[int]) -> Lines:
    """Physical line numbers of 1-based byte positions, in one pass over the file."""
    if not positions:
        return np.zeros(0, np.int64)
    starts = _record_starts(path, positions)
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
    return np.array(found, np.int64)


def _record_starts(path: Path, positions: list[int]) -> list[int]:
    """0-based offsets of the records' first bytes: the parser may point at line ends or blank lines before them."""
    starts = []
    with path.open("rb") as f:
        for position in positions:
            f.seek(position - 1)
            at = position - 1
            while (byte := f.read(1)) in (b"\r", b"\n"):
                at += 1
            if byte:
                starts.append(at)
    return starts


def _exact(
    text: Text, target: Path, delimiter: str, at: int, names: Sequence[str | None]
) -> tuple[int, list[Fault], int]:
    """Record by record. A quote that never closes costs its own line, not the rest of the file."""
    keep = [i for i, n in enumerate(names) if n]
    faults: list[Fault] = []
    blank = 0
    with (
        text.path.open(encoding="utf-8-sig", newline="\n") as lines,
        StagedWriter(target, [n for n in names if n]) as writer,
    ):
        for _ in range(at):
            next(lines, None)
        for line, _, record in _parse(lines, delimiter, at):
            if record is None:
                faults.append(Fault("F008", line, None, "quotes do not pair"))
            elif not record or (len(record) == 1 and not record[0].strip()):
                blank += 1
            elif len(record) < len(names) or any(record[len(names) :]):
                # Empty cells behind the last column carry nothing; the fast way takes such rows too.
                faults.append(Fault("F007", line, None, f"{len(record)} columns instead of {len(names)}"))
            else:
                writer.add(line, None, [record[i] or None for i in keep])
    return writer.rows, faults, blank


def _parse(lines: Iterator[str], delimiter: str, number: int = 0) -> Iterator[tuple[int, int, list[str] | None]]:
    """(first physical line, last one, cells) of each record; None for cells that cannot be told apart."""
    waiting: deque[str] = deque()
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        number += 1
        parts = [line]
        record, is_open = _cells(parts, delimiter)
        while is_open and len(parts) < SPAN:
            more = waiting.popleft() if waiting else next(lines, None)
            if more is None:
                break
            parts.append(more)
            if '"' in more:
                record, is_open = _cells(parts, delimiter)
        if record is None:
            waiting.extendleft(reversed(parts[1:]))
            yield number, number, None
            continue
        yield number, number + len(parts) - 1, record
        number += len(parts) - 1


def _cells(parts: Sequence[str], delimiter: str) -> tuple[list[str] | None, bool]:
    """The cells of one record, and whether a quote is still open at its end."""
    text = "".join(parts)
    if '"' not in text and (at := text.find("\r")) in (-1, len(text) - 2):
        return text[: at if at >= 0 else None].removesuffix("\n").split(delimiter), False
    try:
        return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter, strict=True), []), False
    except csv.Error as e:
        return None, "unexpected end of data" in str(e)
