"""The records of an xls looked through: what calamine does not tell of cells and rows ([MS-XLS] 2.3 and 2.4).

A formula of an xls always has a value, if only the 0 of a program that never calculated; nothing tells that from a
real 0, so only errors are found here.
"""

from __future__ import annotations

import struct
from pathlib import Path

import olefile

from pipelines.readers.ooxml import ERROR, Parts

_HEAD = struct.Struct("<HH")
_CELL = struct.Struct("<HH")
BOF, EOF, SHEET, ROW, FORMULA, ERROR_OR_TRUTH = 0x0809, 0x000A, 0x0085, 0x0208, 0x0006, 0x0205
HIDDEN_ROW = 0x20  # fDyZero of a row's flags


def look_through(source: Path) -> list[Parts]:
    """What each sheet of an xls holds, in the order of the workbook; nothing where the file has no such records, or is
    encrypted. Raises what olefile and struct raise for a damaged file."""
    with olefile.OleFileIO(str(source)) as ole:
        name = next((n for n in ("Workbook", "Book") if ole.exists(n)), None)
        content = ole.openstream(name).read() if name else b""
    starts, at = [], 0
    while at + 4 <= len(content):
        kind, size = _HEAD.unpack_from(content, at)
        if kind == SHEET:
            starts.append(int.from_bytes(content[at + 4 : at + 8], "little"))
        at += 4 + size
        if kind == EOF:
            break
    return [_sheet(content, start) for start in starts]


def _sheet(content: bytes, at: int) -> Parts:
    faults: dict[tuple[int, int], str] = {}
    hidden = depth = 0
    end = len(content) - 4
    unpack = _HEAD.unpack_from
    while at <= end:
        kind, size = unpack(content, at)
        if kind == BOF:
            depth += 1
        elif kind == EOF:
            depth -= 1
            if depth <= 0:
                break
        elif depth > 1:
            pass  # a chart within the sheet
        elif kind == ROW and size >= 16:
            # Empty rows have records too: first and last column are 0.
            first, last = _CELL.unpack_from(content, at + 6)
            hidden += last > first and bool(content[at + 16] & HIDDEN_ROW)
        elif (kind == ERROR_OR_TRUTH and content[at + 11 : at + 12] == b"\1") or (
            kind == FORMULA and content[at + 10 : at + 11] == b"\2" and content[at + 16 : at + 18] == b"\xff\xff"
        ):
            row, column = _CELL.unpack_from(content, at + 4)
            faults[row + 1, column] = ERROR
        at += 4 + size
    return Parts(faults, hidden)
