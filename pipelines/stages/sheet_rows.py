"""Rows of a tab, one below the other. Where there are many, they are written as text beside the library, which takes
15 µs for a cell; all else of the workbook is its own work.

`xlsxwriter` parks the rows of a large tab in a file as it will put them on the sheet (`constant_memory`). The rows here
go into that file; a test holds both ways to the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from io import StringIO
from typing import Any

from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

Value = str | int | None
# Of a value in one of the looks that cells have: what stands in the cell, and its format.
Look = Callable[[Value, str], tuple[Value, Any]]
LATELY = 4096  # Most cells of a row say what another one has said: codes, sentences, names of columns.
_ODD = re.compile(r"[&<>_]|^\s|\s$")
# Most others hold nothing to think about: neither a sign of XML, nor a blank at an end, nor the start of a formula.
_FIRST, _BETWEEN = "0-9A-Za-z\u4e00-\u9fff", " ，。、：；（）〔〕《》“”·.:/-"  # noqa: RUF001
_SIMPLE = re.compile(f"[{_FIRST}](?:[{_FIRST}{_BETWEEN}]{{0,400}}[{_FIRST}，。）〕》”])?").fullmatch  # noqa: RUF001


def put_text(tab: Worksheet, row: int, column: int, text: str, style: Any) -> None:
    """A text cell. What somebody sends as `<r>a</r>` is text as well; the library would take it for a form of its own
    and put it on the sheet as it is, but not where it is told in pieces."""
    if text.startswith("<r>") and text.endswith("</r>"):
        tab.write_rich_string(row, column, text[0], text[1], text[2:], style)
    else:
        tab.write_string(row, column, text, style)


class Rows:
    """Writes rows, each below the one before and below what was written by other means; `is_large`: of a workbook that
    keeps no row in memory."""

    def __init__(self, tab: Worksheet, look: Look, is_large: bool) -> None:
        self._tab, self._look, self._is_large = tab, look, is_large
        self._start: tuple[str, str] | None = None
        self._letters: list[str] = []
        self._body = lru_cache(LATELY)(self._written)
        self._simple = lru_cache(None)(self._begun_text)

    def write(self, row: int, cells: Iterable[tuple[int, Value, str]]) -> None:
        """`cells`: (column, value, look) from left to right; a value None leaves a cell with a format."""
        if not self._is_large:
            self._put(row, cells)
            return
        if self._start is None:
            self._start = self._begun(row)
        before, after = self._start
        number, last = row + 1, 0
        letters, body = self._letters, self._body
        text = [f"{before}{number}{after}"]
        for column, value, look in cells:
            while column >= len(letters):
                letters.append(xl_col_to_name(len(letters)))
            text.append(f'<c r="{letters[column]}{number}{body(value, look)}')
            last = column
        text.append("</row>")
        self._tab.row_data_fh.write("".join(text))
        self._tab._check_dimensions(row, last)
        self._tab.previous_row = row + 1

    def _put(self, row: int, cells: Iterable[tuple[int, Value, str]]) -> None:
        for column, value, look in cells:
            shown, style = self._look(value, look)
            if shown is None:
                self._tab.write_blank(row, column, None, style)
            elif isinstance(shown, int):
                self._tab.write_number(row, column, shown, style)
            else:
                put_text(self._tab, row, column, shown, style)

    def _begun(self, row: int) -> tuple[str, str]:
        """What stands before and behind the number of a row; what is above it goes into the file first."""
        self._tab._write_single_row(row)
        sign = 987_654
        with StringIO() as text:
            self._tab.fh = text
            self._tab._write_row(sign - 1, None)
            before, after = text.getvalue().split(str(sign))
        self._tab.fh = self._tab.row_data_fh
        return before, after

    def _written(self, value: Value, look: str) -> str:
        """A cell behind its place."""
        if isinstance(value, str) and _SIMPLE(value):
            return f"{self._simple(look)}{value}</t></is></c>"
        shown, style = self._look(value, look)
        style = style._get_xf_index()
        if shown is None:
            return f'" s="{style}"/>'
        if isinstance(shown, int):
            return f'" s="{style}"><v>{shown}</v></c>'
        if _ODD.search(shown) or not shown.isprintable():
            return self._odd(shown, style)
        return f"{_opened(style)}{shown}</t></is></c>"

    def _begun_text(self, look: str) -> str:
        """How a cell of a text begins to which nothing is done."""
        _, style = self._look("a", look)
        return _opened(style._get_xf_index())

    def _odd(self, shown: str, style: int) -> str:
        """The same of a text of which the library knows what is to be escaped."""
        with StringIO() as text:
            self._tab.fh = text
            told = self._tab._escape_control_characters(shown)
            keeps_blanks = told[:1].isspace() or told[-1:].isspace()
            self._tab._xml_inline_string(told, keeps_blanks, [("s", style)])
            cell = text.getvalue()
        self._tab.fh = self._tab.row_data_fh
        return f'"{cell.removeprefix("<c")}'


def _opened(style: int) -> str:
    return f'" s="{style}" t="inlineStr"><is><t>'


__all__ = ["Rows", "Value", "put_text"]
