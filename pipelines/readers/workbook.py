"""Workbooks through calamine: xlsx, xlsm, xlsb and xls, whatever the file is called (WPS writes xls and xlsx as `.et`).

Calamine gives a cell nothing at all where its formula was never calculated or came to an error, and takes as much
memory as the outermost cell asks for; so the parts of the file are looked through first.

A workbook of findings may come back with its tab of corrections filled in; what else it holds is our own answer, and is
passed over (pipelines.model.ANSWER_TABS, see read_sheets).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from pipelines.errors import DeliveryError
from pipelines.readers import biff, ooxml
from pipelines.readers.ooxml import Parts
from pipelines.readers.sheet import Line, Range, Sheet, read_sheets
from pipelines.readers.staging import Decoded


def read_workbook(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Raises `DeliveryError` F004, F006, F009, F014, F055."""
    return read_sheets(_sheets(source), target, fields, "workbook")


def _sheets(source: Path) -> list[Sheet]:
    with source.open("rb") as f:
        is_zip = f.read(2) == b"PK"
    try:
        parts = ooxml.look_through(source) if is_zip else {}
        book = CalamineWorkbook.from_path(str(source))
        if not is_zip:
            parts = dict(zip(book.sheet_names, biff.look_through(source), strict=True))
        about = {m.name: m for m in book.sheets_metadata}
        return [
            _sheet(
                book.get_sheet_by_name(name), parts.get(name, Parts()),
                about[name].visible != SheetVisibleEnum.Visible,
            )
            for name in book.sheet_names
            if about[name].typ == SheetTypeEnum.WorkSheet
        ]  # fmt: skip
    except DeliveryError:
        raise
    except Exception as e:  # calamine raises many kinds; each means that the workbook cannot be opened
        if "password" in str(e).lower():
            raise locked() from e
        raise damaged() from e


def _sheet(sheet: CalamineSheet, parts: Parts, is_hidden: bool) -> Sheet:
    left = (sheet.start or (0, 0))[1]

    def rows() -> Iterator[Line]:
        if not left:
            return enumerate(sheet.iter_rows(), start=1)  # type: ignore[arg-type]
        return ((n, [*[""] * left, *row]) for n, row in enumerate(sheet.iter_rows(), start=1))

    merged = sheet.merged_cell_ranges
    ranges: list[Range] | None = None if merged is None else [(t + 1, a, b + 1, z) for (t, a), (b, z) in merged]
    return Sheet(sheet.name, rows, ranges, parts.faults, is_hidden, parts.hidden_rows)


def locked() -> DeliveryError:
    return DeliveryError(
        "F009",
        "工作簿有密码，无法读取。请去掉密码后重新报送。",
        "The workbook is password-protected. Remove the password and send it again.",
    )


def damaged() -> DeliveryError:
    return DeliveryError(
        "F014",
        "工作簿打不开，可能没有传完或已损坏。请重新保存后报送。",
        "The workbook cannot be opened; it may be incomplete or damaged. Save it again and send it.",
    )
