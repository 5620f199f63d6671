"""The parts of an xlsx looked through as bytes, which takes a fraction of reading them: what calamine does not tell.

Names of elements and attributes: ECMA-376 part 1, 18.3 (worksheets) and 18.2 (workbook).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from pipelines.readers.limits import AREA, PARTS, STRINGS, Room, beyond, check_archive

BLOCK = 4 << 20
NO_VALUE, ERROR = "F053", "F054"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_REF = re.compile(rb'\br\s*=\s*["\']([A-Z]{1,3})(\d{1,7})["\']')
_ROW = re.compile(rb'\br\s*=\s*["\'](\d{1,7})["\']')
_WIDE = re.compile(rb' r=["\']([A-Z]{2,3})(\d{1,7})["\'][^>]*[^/]>')
_ERROR = re.compile(rb' t=["\']e["\']')
_TEXT = re.compile(rb'\bt\s*=\s*["\']str["\']')


@dataclass(frozen=True)
class Parts:
    """Of one sheet: cells whose value is not in the file, (row from 1, column from 0) -> finding code, and the number
    of rows that are hidden or filtered out."""

    faults: dict[tuple[int, int], str] = field(default_factory=dict)
    hidden_rows: int = 0


def look_through(source: Path) -> dict[str, Parts]:
    """What each sheet of a zipped workbook holds, by name; of a binary one (xlsb) nothing.

    Raises `DeliveryError` F009 and F055, and what zipfile and lxml raise for a damaged file.
    """
    with zipfile.ZipFile(source) as archive:
        infos = {info.filename: info for info in check_archive(archive, PARTS, Room())}
        found = {}
        for name, path in _paths(archive, infos):
            if path in infos:
                found[name] = _scan(archive, infos[path])
        for path, info in infos.items():
            # What calamine reads into memory besides: the size a member states is proved before.
            if path.lower().endswith("sharedstrings.xml"):
                if info.file_size > STRINGS:
                    raise beyond("文字内容太多", "it holds too much text")
                with archive.open(info) as f:
                    while f.read(BLOCK):
                        pass
    return found


def _paths(archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo]) -> Iterator[tuple[str, str]]:
    """(name of a sheet, path of its part)."""
    if "xl/workbook.xml" not in infos or "xl/_rels/workbook.xml.rels" not in infos:
        return
    targets = {r.get("Id"): r.get("Target") for r in _parse(archive.read("xl/_rels/workbook.xml.rels"))}
    for sheet in _parse(archive.read("xl/workbook.xml")).iter("{*}sheet"):
        target = targets.get(sheet.get(_RELATION) or _strict(sheet))
        if target:
            yield str(sheet.get("name")), posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")


def _strict(sheet: etree._Element) -> str | None:
    """The relation in a workbook of the strict variant, whose namespaces are others."""
    return next((str(v) for k, v in sheet.attrib.items() if str(k).endswith("}id")), None)


def _parse(content: bytes) -> etree._Element:
    return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def _scan(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Parts:
    faults: dict[tuple[int, int], str] = {}
    hidden = rows = width = 0
    widest = ""
    for block, words in _blocks(archive, info):
        if words.formula in block:
            for match in words.no_value.finditer(block):
                # An empty text is a value too.
                if not (match[2] and _TEXT.search(match[1])):
                    faults[_place(block, match.start(), rows, words)] = NO_VALUE
        for match in _ERROR.finditer(block) if b't="e"' in block or b"t='e'" in block else ():
            start = block.rfind(words.cell, 0, match.start() + 1)
            if start >= 0 and b">" not in block[start : match.start()]:
                faults[_place(block, start, rows, words)] = ERROR
        if b"hidden=" in block:
            hidden += sum(1 for _ in words.hidden.finditer(block))
        for letters, number in _WIDE.findall(block):
            if (column := _column(letters)) >= width:
                width, widest = column + 1, (letters + number).decode()
        if not words.is_numbered:
            rows += block.count(words.row)
    if width * 1_048_576 > AREA and width * _last(archive, info) > AREA:
        raise beyond(
            f"工作表中有远离表格的单元格（如 {widest}）", f"a sheet has cells far away from its table ({widest}, say)"
        )
    return Parts(faults, hidden)


def _last(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """The greatest row number that a cell with content names; only asked of sheets that are wide."""
    found = re.compile(rb' r=["\'][A-Z]{1,3}(\d{1,7})["\'][^>]*[^/]>')
    return max((int(n) for block, _ in _blocks(archive, info) for n in found.findall(block)), default=1)


@dataclass(frozen=True)
class _Words:
    """Beginnings of elements as a sheet writes them, with or without a prefix; whether its rows say their number."""

    row: bytes
    cell: bytes
    formula: bytes
    end: bytes
    cells: re.Pattern[bytes]
    no_value: re.Pattern[bytes]
    hidden: re.Pattern[bytes]
    is_numbered: bool


def _words(start: bytes) -> _Words:
    found = re.search(rb"<(\w+:)?worksheet\b", start)
    p = found[1] if found and found[1] else b""
    value = rb"(<%bv\s*/>|<%bv>\s*</%bv>)?" % (p, p, p)
    formula = rb"<%bf\b(?:[^>]*/>|[^>]*>[^<]*</%bf>)" % (p, p)
    row = re.search(rb"<%brow\b[^>]*>" % p, start)
    return _Words(
        b"<%brow" % p, b"<%bc " % p, b"<%bf" % p, b"</%brow>" % p,
        re.compile(rb"<%bc[ />]" % p),
        re.compile(rb"<%bc\b([^>]*)>\s*%b\s*%b\s*</%bc>" % (p, formula, value, p)),
        re.compile(rb"<%brow\b[^>]*\bhidden\s*=\s*[\"'](?:1|true)[\"']" % p),
        row is not None and _ROW.search(row[0]) is not None,
    )  # fmt: skip


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[tuple[bytes, _Words]]:
    """Whole rows: what follows the last row of a block waits for the next one."""
    with archive.open(info) as f:
        rest = f.read(BLOCK)
        words = _words(rest[:65536])
        while chunk := f.read(BLOCK):
            block = rest + chunk
            cut = block.rfind(words.end) + 1
            if cut or len(block) > 8 * BLOCK:
                yield block[: cut or len(block)], words
                block = block[cut or len(block) :]
            rest = block
        yield rest, words


def _place(block: bytes, at: int, rows: int, words: _Words) -> tuple[int, int]:
    """Row and column of the cell that begins at `at`, after `rows` rows of earlier blocks. Both may go unsaid, and are
    the next ones then."""
    ref = _REF.search(block, at, block.find(b">", at))
    if ref:
        return int(ref[2]), _column(ref[1])
    start = block.rfind(words.row, 0, at)
    row = _ROW.search(block, start, block.find(b">", start))
    number = int(row[1]) if row else rows + block.count(words.row, 0, at)
    return number, len(words.cells.findall(block, start, at))


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1
