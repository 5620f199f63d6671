"""Workbooks through calamine: every sheet whose header the item knows, with sheet name and row number.

A workbook of findings may come back with its tab of corrections filled in; what else it holds is our own answer.

A float in the credit-number column is written in scientific notation, never as digits: the file has lost them already,
and plausible wrong digits would be worse than none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from python_calamine import CalamineWorkbook

from pipelines.errors import DeliveryError
from pipelines.model import ANSWER_TABS
from pipelines.readers.headers import match
from pipelines.readers.staging import Decoded, StagedWriter
from pipelines.readers.text import HEADER_LINES, check_layout

FOOTERS = ("合计", "小计", "总计", "填表", "制表", "审核人", "填报人")


def read_workbook(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Raises `DeliveryError` F004, F006, F009, F014."""
    try:
        book = CalamineWorkbook.from_path(str(source))
        sheets = [(name, book.get_sheet_by_name(name).to_python(skip_empty_area=False)) for name in book.sheet_names]
    except Exception as e:  # calamine raises many kinds; each means that the workbook cannot be opened
        if "password" in str(e).lower():
            raise locked() from e
        raise DeliveryError(
            "F014",
            "工作簿打不开，可能没有传完或已损坏。请重新保存后报送。",
            "The workbook cannot be opened; it may be incomplete or damaged. Save it again and send it.",
        ) from e
    found = []
    for name, rows in sheets:
        if rows and rows[0] and rows[0][0] in ANSWER_TABS:
            continue
        best: tuple[int, int] = (0, 0)
        for number, row in enumerate(rows[:HEADER_LINES]):
            known = sum(n is not None for n in match([_cell(c, None) or "" for c in row], fields))
            best = max(best, (known, -number))
        if best[0] >= 2:
            found.append((name, rows, -best[1]))
    if not found:
        check_layout([], fields)
    columns: list[str] = []
    unknown: list[str] = []
    for _, rows, at in found:
        cells = [_cell(c, None) or "" for c in rows[at]]
        check_layout(cells, fields)
        columns += [n for n in match(cells, fields) if n and n not in columns]
        unknown += [c for c, n in zip(cells, match(cells, fields), strict=True) if c and n is None]
    blank = totals = 0
    with StagedWriter(target, columns) as writer:
        for name, rows, at in found:
            names = match([_cell(c, None) or "" for c in rows[at]], fields)
            place = {n: i for i, n in enumerate(names) if n}
            for number, row in enumerate(rows[at + 1 :], start=at + 2):
                first = next((_cell(c, None) for c in row if _cell(c, None)), None)
                if first is None:
                    blank += 1
                elif first.startswith(FOOTERS):
                    totals += 1
                else:
                    writer.add(number, name, [_cell(row[place[c]], c) if c in place else None for c in columns])
        rows_read = writer.rows
    return Decoded(rows_read, rows_read, blank, totals, "workbook", None, None, tuple(columns), tuple(unknown), ())


def locked() -> DeliveryError:
    return DeliveryError(
        "F009",
        "工作簿有密码，无法读取。请去掉密码后重新报送。",
        "The workbook is password-protected. Remove the password and send it again.",
    )


def _cell(value: object, field: str | None) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, float):
        if field == "credit_number":
            return f"{value:.14E}"
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)
