"""Sheets written as markup: web pages and XML of 2003 under the name of a workbook, and OpenDocument (ods).

Each is read once, row by row, into a file of rows under `work`; what a row says of the rows below it (merged cells) is
known by then, and neither a large file nor many tables lie in memory. No entity is expanded, nothing is fetched.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from lxml import etree

from pipelines.errors import DeliveryError
from pipelines.readers.encoding import normalise
from pipelines.readers.limits import PARTS, Room, beyond, check_archive
from pipelines.readers.ooxml import ERROR, NO_VALUE
from pipelines.readers.sheet import Line, Range, Sheet, read_sheets
from pipelines.readers.staging import Decoded
from pipelines.readers.workbook import locked

COLUMNS, ROWS = 16_384, 1_048_576  # of a sheet in the programs that write these files
SPREADSHEET = "urn:schemas-microsoft-com:office:spreadsheet"
_SS = "{" + SPREADSHEET + "}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_CALC = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}value-type"
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SAFE: dict[str, Any] = {"events": ("start", "end"), "no_network": True}


@dataclass
class _Table:
    """What was seen of one table, and where its rows begin and end in the file of rows."""

    at: int
    name: str | None
    start: int
    end: int = 0
    width: int = 0
    last: int = 0
    merged: list[Range] = field(default_factory=list)
    faults: dict[tuple[int, int], str] = field(default_factory=dict)
    is_hidden: bool = False
    hidden_rows: int = 0


class _Rows:
    """The rows of all tables of a file as lines of JSON, in a file that is gone when the block ends."""

    def __init__(self, work: Path, name: str) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._path = work / f"rows.{name[:16]}.{os.getpid()}.part"
        self._file = self._path.open("w+b")
        self.tables: list[_Table] = []

    def table(self, name: str | None) -> _Table:
        self.tables.append(_Table(len(self.tables), name, self._file.tell()))
        return self.tables[-1]

    def add(self, table: _Table, number: int, cells: list[str]) -> None:
        """The rows of one table come in order."""
        while cells and not cells[-1]:
            cells.pop()
        if number <= table.last or number > ROWS or len(cells) > COLUMNS:
            raise beyond("行号或列号超出表格的范围", "rows or columns lie outside of what a sheet can hold")
        table.last, table.width = number, max(table.width, len(cells))
        if cells or next(reversed(table.faults), (0, 0))[0] == number:
            line = json.dumps([table.at, number, cells], ensure_ascii=False)
            self._file.write(line.encode("utf-8", "replace") + b"\n")
        table.end = self._file.tell()

    def sheets(self) -> list[Sheet]:
        self._file.flush()
        return [
            Sheet(t.name, self._reader(t), t.merged, t.faults, t.is_hidden, t.hidden_rows) for t in self.tables
        ]

    def _reader(self, table: _Table) -> Callable[[], Iterator[Line]]:
        width = max([table.width, *(column + 1 for _, column in table.faults)])

        def rows() -> Iterator[Line]:
            with self._path.open("rb") as f:
                f.seek(table.start)
                while f.tell() < table.end:
                    at, number, cells = json.loads(f.readline())
                    if at == table.at:
                        yield number, [*cells, *[""] * (width - len(cells))]

        return rows

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def read_page(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Tables of a web page. A row's line is its number in its table, as a spreadsheet program would show it; where
    there are several tables they are numbered `#1`, `#2`. Raises `DeliveryError` F001, F004, F006, F010."""
    with _Rows(work, source.name) as rows:
        encoding = _through(source, work, lambda path: _page(path, rows))
        if rows.tables and not _is_whole(source, encoding):
            raise DeliveryError(
                "F014",
                "网页中的表格没有结束，文件可能没有传完。请重新导出、上传。",
                "The last table of the page has no end; the file may be incomplete. Export and upload it again.",
            )
        if not rows.tables:
            raise DeliveryError(
                "F010",
                "文件是没有表格的网页。请导出为 CSV 或 xlsx 后重新报送。",
                "The file is a web page without a table. Export it as CSV or xlsx and send it again.",
            )
        if len(rows.tables) > 1:
            for number, table in enumerate(rows.tables, start=1):
                table.name = f"#{number}"
        return read_sheets(rows.sheets(), target, fields, "html", encoding)


def read_spreadsheet_2003(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """The XML form of a workbook that Excel 2003 brought. Raises `DeliveryError` F001, F004, F006, F013."""
    with _Rows(work, source.name) as rows:
        encoding = _through(source, work, lambda path: _spreadsheet_2003(path, rows))
        return read_sheets(rows.sheets(), target, fields, "xml 2003", encoding)


def read_open_document(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """The workbooks of LibreOffice and others. Raises `DeliveryError` F004, F006, F009, F013, F014, F055."""
    with _Rows(work, source.name) as rows, zipfile.ZipFile(source) as archive:
        check_archive(archive, PARTS, Room())
        if b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise locked()
        with archive.open("content.xml") as f:
            _parsed(lambda: _open_document(f, rows))
        return read_sheets(rows.sheets(), target, fields, "ods")


def _through(source: Path, work: Path, read: Callable[[Path], None]) -> str:
    """Reads the file as UTF-8, whatever it declares: many declare GB2312 and hold characters that it does not have."""
    text = normalise(source, work)
    try:
        _parsed(lambda: read(text.path))
    finally:
        if text.path != source:
            text.path.unlink(missing_ok=True)
    return text.encoding


def _parsed(read: Callable[[], None]) -> None:
    try:
        read()
    except etree.XMLSyntaxError as e:
        line = e.lineno or 0
        raise DeliveryError(
            "F013",
            f"文件在第 {line} 行附近不完整或有语法错误。请重新导出后报送。",
            f"The file is incomplete or malformed near line {line}. Export it again and send it.",
        ) from e


def _number(element: etree._Element, name: str, least: int, most: int) -> int:
    """A number in an attribute; `least` where it is missing or none."""
    value = element.get(name)
    if value is None:
        return least
    return min(max(int(value), least), most) if re.fullmatch(r"[0-9]{1,9}", value) else least


def _let_go(element: etree._Element) -> None:
    element.clear(keep_tail=True)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


# --- web pages


def _is_whole(source: Path, encoding: str) -> bool:
    """Whether a table ends after the last row begins: a parser of pages mends what was cut off, and says nothing."""
    wide = encoding.startswith("utf-16")
    with source.open("rb") as f:
        f.seek(max(0, source.stat().st_size - (1 << 20)))
        tail = f.read().replace(b"\0", b"") if wide else f.read()
    tail = tail.lower()
    return tail.rfind(b"</table") > tail.rfind(b"<tr")


def _page(path: Path, rows: _Rows) -> None:
    """Tables may lie in one another, to lay out a page: each is one of its own, in the order of their beginnings."""
    within: list[tuple[_Table, dict[int, int]]] = []
    events = etree.iterparse(str(path), html=True, tag=("table", "tr"), encoding="utf-8", huge_tree=True, **_SAFE)
    for event, element in events:
        if element.tag == "table" and event == "start":
            within.append((rows.table(None), {}))
        elif element.tag == "table" and within:
            within.pop()
        elif element.tag == "tr" and event == "end" and within:
            table, covered = within[-1]
            cells = _cells_page(element, table, covered)
            table.hidden_rows += _HIDDEN.search(str(element.get("style") or "")) is not None and any(cells)
            rows.add(table, table.last + 1, cells)
            _let_go(element)


def _cells_page(row: etree._Element, table: _Table, covered: dict[int, int]) -> list[str]:
    """A row's cells, each in the column that those above it leave free; `covered`: rows that a column is taken for."""
    cells: list[str] = []
    number = table.last + 1

    def skip() -> None:
        while covered.get(len(cells), 0):
            covered[len(cells)] -= 1
            cells.append("")

    for cell in row:
        if cell.tag not in ("td", "th"):
            continue
        skip()
        # Limits of HTML: 1,000 columns, 65,534 rows.
        across, down = _number(cell, "colspan", 1, 1000), _number(cell, "rowspan", 1, 65_534)
        column = len(cells)
        if across > 1 or down > 1:
            table.merged.append((number, column, number + down - 1, column + across - 1))
        lines = (" ".join(line.split()) for line in _words_of(cell).split("\n"))
        cells += ["\n".join(lines).strip(), *[""] * (across - 1)]
        for at in range(column, column + across):
            covered[at] = down - 1
    for at in sorted(covered):
        if at >= len(cells) and covered[at]:
            cells += [""] * (at - len(cells))
            skip()
    return cells


def _words_of(element: etree._Element) -> str:
    """What a reader of the page sees of a cell: blanks of the source are one blank, a break is a line feed."""
    parts = [" ".join(re.split(r"[ \t\r\n]+", element.text or ""))]
    for child in element:
        if child.tag == "br":
            parts.append("\n")
        elif isinstance(child.tag, str) and child.tag not in ("table", "script", "style"):
            parts.append(_words_of(child))
        parts.append(" ".join(re.split(r"[ \t\r\n]+", child.tail or "")))
    return "".join(parts)


# --- XML of 2003


def _spreadsheet_2003(path: Path, rows: _Rows) -> None:
    table: _Table | None = None
    events = etree.iterparse(
        str(path), tag=(_SS + "Worksheet", _SS + "Row", "{*}Visible"), encoding="utf-8", resolve_entities=False,
        load_dtd=False, huge_tree=False, **_SAFE,
    )  # fmt: skip
    for event, element in events:
        if event == "start":
            if element.tag == _SS + "Worksheet":
                table, last = rows.table(element.get(_SS + "Name")), 0
        elif table is None:
            continue
        elif element.tag == _SS + "Row":
            number = _number(element, _SS + "Index", last + 1, 10 * ROWS)
            cells = _cells_2003(element, number, table)
            rows.add(table, number, cells)
            table.hidden_rows += element.get(_SS + "Hidden") == "1" and any(cells)
            # A row may stand for empty ones like it.
            last = number + _number(element, _SS + "Span", 0, ROWS)
            _let_go(element)
        elif str(element.tag).endswith("}Visible"):
            table.is_hidden = (element.text or "").startswith("SheetHidden") or element.text == "SheetVeryHidden"


def _cells_2003(row: etree._Element, number: int, table: _Table) -> list[str]:
    cells: list[str] = []
    for cell in row.iterchildren(_SS + "Cell"):
        column = _number(cell, _SS + "Index", len(cells) + 1, 10 * COLUMNS) - 1
        if column > COLUMNS:
            raise beyond("列号超出表格的范围", "columns lie outside of what a sheet can hold")
        cells += [""] * (column - len(cells))
        data = cell.find(_SS + "Data")
        value, code = _data_2003(data, cell.get(_SS + "Formula") is not None)
        if code:
            table.faults[number, column] = code
        across, down = _number(cell, _SS + "MergeAcross", 0, ROWS), _number(cell, _SS + "MergeDown", 0, ROWS)
        if across or down:
            table.merged.append((number, column, number + down, min(column + across, COLUMNS)))
        cells += [value, *[""] * min(across, COLUMNS)]
    return cells


def _data_2003(data: etree._Element | None, is_formula: bool) -> tuple[str, str | None]:
    """A cell's text, and the code of what is wrong with it."""
    if data is None:
        return "", NO_VALUE if is_formula else None
    # Neither comments nor entities are text.
    value, kind = str(data.xpath("string()")) if len(data) else data.text or "", data.get(_SS + "Type")
    if kind == "Error":
        return "", ERROR
    if kind == "DateTime":
        return _moment(value), None
    if kind == "Boolean":
        return "是" if value.strip() == "1" else "否", None
    return value, None


def _moment(value: str) -> str:
    """`2098-01-05` or `2098-01-05 08:00:00` of an XML date and time."""
    day, _, clock = value.strip().partition("T")
    clock = clock.partition(".")[0].rstrip("Z")
    return day if clock in ("", "00:00:00") else f"{day} {clock}"


# --- OpenDocument


def _open_document(f: IO[bytes], rows: _Rows) -> None:
    hidden_styles: set[str] = set()
    table: _Table | None = None
    depth = 0
    tags = (_TABLE + "table", _TABLE + "table-row", _STYLE + "style")
    events = etree.iterparse(f, tag=tags, resolve_entities=False, load_dtd=False, huge_tree=False, **_SAFE)
    for event, element in events:
        if element.tag == _TABLE + "table":
            # Tables may lie in cells, or be copies of what a link showed; those are no sheets.
            depth += 1 if event == "start" else -1
            if event == "start" and depth == 1:
                table, last = rows.table(element.get(_TABLE + "name")), 0
                table.is_hidden = element.get(_TABLE + "style-name") in hidden_styles
        elif event == "start" or depth > 1:
            continue
        elif element.tag == _STYLE + "style":
            if any(p.get(_TABLE + "display") == "false" for p in element.iterchildren(_STYLE + "table-properties")):
                hidden_styles.add(str(element.get(_STYLE + "name")))
        elif element.tag == _TABLE + "table-row" and table is not None:
            times = _number(element, _TABLE + "number-rows-repeated", 1, ROWS)
            cells = _cells_open(element, last + 1, table)
            if any(cells):
                for number in range(last + 1, last + times + 1):
                    rows.add(table, number, list(cells))
                table.hidden_rows += times * (element.get(_TABLE + "visibility") in ("collapse", "filter"))
            last += times
            _let_go(element)


def _cells_open(row: etree._Element, number: int, table: _Table) -> list[str]:
    cells: list[str] = []
    for cell in row:
        if cell.tag not in (_TABLE + "table-cell", _TABLE + "covered-table-cell"):
            continue
        value, code = _value_open(cell) if cell.tag == _TABLE + "table-cell" else ("", None)
        if code:
            table.faults[number, len(cells)] = code
        right, down = (
            _number(cell, _TABLE + f"number-{what}-spanned", 1, ROWS) for what in ("columns", "rows")
        )
        if right > 1 or down > 1:
            table.merged.append((number, len(cells), number + down - 1, min(len(cells) + right, COLUMNS) - 1))
        times = _number(cell, _TABLE + "number-columns-repeated", 1, COLUMNS)
        if len(cells) + times > COLUMNS and value:
            raise beyond("列号超出表格的范围", "columns lie outside of what a sheet can hold")
        cells += [value] * min(times, COLUMNS + 1 - len(cells))
    return cells


def _value_open(cell: etree._Element) -> tuple[str, str | None]:
    """A cell's text, and the code of what is wrong with it."""
    kind = cell.get(_OFFICE + "value-type")
    if cell.get(_CALC) == "error":
        return "", ERROR
    if kind == "date":
        return _moment(str(cell.get(_OFFICE + "date-value") or "")), None
    if kind == "boolean":
        return "是" if cell.get(_OFFICE + "boolean-value") == "true" else "否", None
    if kind in ("float", "currency", "percentage"):
        return _amount(str(cell.get(_OFFICE + "value") or "")), None
    paragraphs = cell.findall(_TEXT + "p")
    if kind is None and cell.get(_TABLE + "formula") and not paragraphs:
        return "", NO_VALUE
    return "\n".join(_paragraph(p) for p in paragraphs), None


def _amount(value: str) -> str:
    """A number has 15 digits here, whatever its text shows: beyond them it is said as one, like in other workbooks."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:.14E}" if abs(number) >= 1e15 else repr(number).removesuffix(".0")


def _paragraph(element: etree._Element) -> str:
    """Text with the blanks and breaks that OpenDocument writes as elements."""
    parts = [element.text or ""]
    for child in element:
        if child.tag == _TEXT + "s":
            parts.append(" " * _number(child, _TEXT + "c", 1, 1000))
        elif child.tag in (_TEXT + "tab", _TEXT + "line-break"):
            parts.append("\t" if child.tag == _TEXT + "tab" else "\n")
        elif isinstance(child.tag, str) and child.tag != _OFFICE + "annotation":
            parts.append(_paragraph(child))
        parts.append(child.tail or "")
    return "".join(parts)
