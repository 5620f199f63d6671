"""Delimited text: one strict encoding for the whole file, exact physical lines, no row lost in silence.

Two ways over the same text. The fast one lets DuckDB parse and is trusted only where the count of physical lines
proves that no record spans lines; everything else is read record by record, which is slower and exact.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipelines.errors import DeliveryError
from pipelines.readers.headers import match
from pipelines.readers.staging import Decoded, Fault, StagedWriter

CHUNK = 4 << 20
DELIMITERS = (",", "\t", ";", "|")
HEADER_LINES = 20
SPAN = 200  # physical lines one record may take; a longer run means a quote that never closes
csv.field_size_limit(16 << 20)


@dataclass(frozen=True)
class Text:
    """A file as UTF-8: where it lies, what it was, how many physical lines and which of them are blank."""

    path: Path
    encoding: str
    lines: int
    blanks: tuple[int, ...]
    has_quotes: bool


def read_text(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Decode, find the header, parse. Raises `DeliveryError` F001, F004, F006, F010."""
    text = normalise(source, work)
    try:
        delimiter, at, cells, unknown = _header(text.path, fields)
        names = match(cells, fields)
        columns = [n for n in names if n]
        decoded = _fast(text, target, delimiter, at, names) or _exact(text, target, delimiter, at, names)
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


def normalise(source: Path, work: Path) -> Text:
    """The file as UTF-8 with line feeds: in place where it is already, else a copy under `work`."""
    with source.open("rb") as f:
        start = f.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _copy(source, work, "utf-16")
    found = _scan(source)
    if found is not None:
        return found
    return _copy(source, work, "gb18030")


def _scan(source: Path) -> Text | None:
    """A pass over bytes that are UTF-8 already; None when they are not, or when lone CRs end the lines."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    lines, quotes, carriage, line_feeds, last = 0, False, False, False, b"\n"
    blanks: list[int] = []
    rest = b""
    with source.open("rb") as f:
        bom = f.read(3) == codecs.BOM_UTF8
        f.seek(0)
        while chunk := f.read(CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return None
            if b"\0" in chunk:
                raise _binary()
            quotes = quotes or b'"' in chunk
            carriage = carriage or b"\r" in chunk
            line_feeds = line_feeds or b"\n" in chunk
            block = rest + chunk
            if _BLANK.search(block) or (lines == 0 and block.startswith((b"\n", b"\r\n"))):
                for m in re.finditer(rb"(?:^|\n)(?=[ \t]*\r?\n)", block):
                    if m.start() == 0 and not m.group() and lines and rest == b"":
                        continue
                    number = lines + block.count(b"\n", 0, m.end()) + 1
                    if not blanks or blanks[-1] < number:
                        blanks.append(number)
            cut = block.rfind(b"\n")
            # Keep the last line feed in the rest, so that a blank line across two chunks is seen once.
            lines += block.count(b"\n", 0, max(cut, 0))
            rest, last = block[max(cut, 0) :], chunk[-1:]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    if carriage and not line_feeds:
        return None
    total = lines + rest.count(b"\n") + (0 if last == b"\n" else 1)
    return Text(source, "utf-8-sig" if bom else "utf-8", total, tuple(blanks), quotes)


_BLANK = re.compile(rb"\n[ \t]*\r?\n")


def _copy(source: Path, work: Path, encoding: str) -> Text:
    """The whole file in one strict encoding, written as UTF-8 under `work`."""
    work.mkdir(parents=True, exist_ok=True)
    target = work / f"text.{os.getpid()}.{source.name[:16]}.utf8"
    lone_returns = b"\n" not in source.read_bytes()[: CHUNK * 4]
    for attempt in ("utf-8", encoding) if lone_returns else (encoding,):
        try:
            with (
                source.open(encoding=attempt, errors="strict", newline="") as f,
                target.open("w", encoding="utf-8", newline="") as out,
            ):
                while block := f.read(CHUNK):
                    if "\0" in block:
                        raise _binary()
                    out.write(block.replace("\r", "\n") if lone_returns else block)
        except UnicodeError as e:
            target.unlink(missing_ok=True)
            if attempt == encoding:
                where = getattr(e, "start", 0)
                raise DeliveryError(
                    "F001",
                    "文件既不是 UTF-8 也不是 GB18030 编码。请另存为 UTF-8 的 CSV 后重新报送。",
                    f"Neither UTF-8 nor {encoding} (stops near byte {where} of a block). Export it again as UTF-8 CSV.",
                ) from None
            continue
        found = _scan(target)
        if found is None:
            raise _binary()
        return Text(target, attempt, found.lines, found.blanks, found.has_quotes)
    raise AssertionError("one attempt always returns or raises")


def _binary() -> DeliveryError:
    return DeliveryError(
        "F010",
        "文件内容不是表格文本。请导出为 CSV 或 xlsx 后重新报送。",
        "The content is not tabular text. Export it as CSV or xlsx and send it again.",
    )


def _header(path: Path, fields: Mapping[str, str]) -> tuple[str, int, list[str], tuple[str, ...]]:
    """(delimiter, physical line of the header, its cells, unknown cells)."""
    with path.open(encoding="utf-8-sig", newline="\n") as f:
        first = [line for _, line in zip(range(HEADER_LINES), f, strict=False)]
    best: tuple[int, str, int, list[str]] = (0, ",", 0, [])
    for number, line in enumerate(first, start=1):
        for delimiter in DELIMITERS:
            try:
                cells = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
            except csv.Error:
                continue
            known = sum(n is not None for n in match(cells, fields))
            if known > best[0]:
                best = (known, delimiter, number, cells)
    check_layout(best[3], fields)
    known, delimiter, at, cells = best
    unknown = tuple(c for c, n in zip(cells, match(cells, fields), strict=True) if n is None)
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
    text: Text, target: Path, delimiter: str, at: int, names: Sequence[str | None]
) -> tuple[int, list[Fault], int] | None:
    """DuckDB's parser; None where the count of lines does not prove every line number."""
    given = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    path = str(text.path).replace("'", "''")
    read = f"""read_csv('{path}', delim='{delimiter}', quote='"', escape='"', header=false, skip={at},
        columns={{{given}}}, strict_mode=true, null_padding=false, store_rejects=true, rejects_limit=0,
        auto_detect=false, max_line_size=16777216, nullstr='')"""
    blanks = [b for b in text.blanks if b > at]
    with duckdb.connect(config={"memory_limit": os.environ.get("QIONGXIN_MEMORY_LIMIT", "2GB")}) as engine:
        kept = ", ".join(f"c{i} AS {n}" for i, n in enumerate(names) if n)
        every = " , ".join(f"c{i}" for i in range(len(names)))
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = "COPY ({}) TO '" + str(part).replace("'", "''") + "' (FORMAT parquet, COMPRESSION zstd)"
        try:
            engine.execute(f"CREATE TABLE parsed AS SELECT {every} FROM {read}")
            rejects = engine.execute(
                "SELECT DISTINCT line_byte_position, error_type FROM reject_errors ORDER BY 1"
            ).fetchall()
        except duckdb.Error:
            return None
        if any(kind not in ("TOO MANY COLUMNS", "MISSING COLUMNS") for _, kind in rejects):
            return None
        lost = _lines_at(text.path, sorted({int(p) for p, _ in rejects}))
        row = engine.execute("SELECT count(*) FROM parsed").fetchone()
        rows = int(row[0]) if row else 0
        skipped = sorted({*lost, *blanks})
        if rows + len(skipped) != text.lines - at or len(skipped) != len(lost) + len(blanks):
            return None
        # Accepted row n lies `count(skipped lines before it)` lines further down than n + header.
        before = [(line - at - place - 1, place + 1) for place, line in enumerate(skipped)]
        engine.execute("CREATE TABLE shifts (rows_before BIGINT, shift BIGINT)")
        if before:
            engine.executemany("INSERT INTO shifts VALUES (?, ?)", before)
        numbered = f"SELECT row_number() OVER () AS n, {kept} FROM parsed"
        columns = ", ".join(n for n in names if n)
        if before:
            select = f"""SELECT n + {at} + coalesce(shift, 0) AS line, CAST(NULL AS VARCHAR) AS sheet, {columns}
                FROM ({numbered}) ASOF LEFT JOIN
                (SELECT rows_before, max(shift) AS shift FROM shifts GROUP BY 1) ON n > rows_before"""
        else:
            select = f"SELECT n + {at} AS line, CAST(NULL AS VARCHAR) AS sheet, {columns} FROM ({numbered})"
        try:
            engine.execute(copy.format(select))
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return rows, [Fault("F007", line, None, "wrong number of columns") for line in lost], len(blanks)


def _lines_at(path: Path, positions: list[int]) -> list[int]:
    """Physical line numbers of 1-based byte positions, in one pass over the file."""
    if not positions:
        return []
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
    return found


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
    with StagedWriter(target, [n for n in names if n]) as writer:
        for line, record in _records(text.path, at, delimiter):
            if record is None:
                faults.append(Fault("F008", line, None, "quotes do not pair"))
            elif not record or (len(record) == 1 and not record[0].strip()):
                blank += 1
            elif len(record) != len(names):
                faults.append(Fault("F007", line, None, f"{len(record)} columns instead of {len(names)}"))
            else:
                writer.add(line, None, [record[i] or None for i in keep])
        rows = writer.rows
    return rows, faults, blank


def _records(path: Path, at: int, delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """(first physical line, cells) of each record behind line `at`; None for cells that cannot be told apart."""
    with path.open(encoding="utf-8-sig", newline="\n") as f:
        waiting: list[str] = []
        number = 0

        def next_line() -> str | None:
            return waiting.pop(0) if waiting else next(f, None)

        while (line := next_line()) is not None:
            number += 1
            if number <= at:
                continue
            parts = [line]
            quotes = line.count('"')
            while quotes % 2 and len(parts) < SPAN and (more := next_line()) is not None:
                parts.append(more)
                quotes += more.count('"')
            if quotes % 2:
                waiting = parts[1:] + waiting
                yield number, None
                continue
            try:
                record = next(csv.reader(["".join(parts).rstrip("\r\n")], delimiter=delimiter, strict=True), [])
            except csv.Error:
                waiting = parts[1:] + waiting
                yield number, None
                continue
            yield number, record
            number += len(parts) - 1
