"""Rows that are written beside the library are those that the library writes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import xlsxwriter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.stages.sheet_rows import Rows, Value
from pipelines.stages.workbook import _Styles
from tests.conftest import SOAK

Cells = list[tuple[Value, str]]
KINDS = ("text", "plain", "wrong")
ODD = (
    "", " a", "a\n", "\t", "_x0041_", "<r>a", "a & b < c > d", '"', "=1+1", "＝", "\u3000", "a\x7fb", "\U00020000",
    "\r", "\u2028", "\ufffd", "'", "\xa0a", "\x85",
)  # fmt: skip
usual = st.text("ab09中文，。：（）〔〕 -:/.=+", max_size=12)  # noqa: RUF001
texts = st.one_of(st.sampled_from(ODD), usual, st.text(max_size=20))  # the library takes <r>…</r> for what it is not
cells = st.one_of(
    st.tuples(texts, st.sampled_from(KINDS)), st.tuples(st.integers(0, 2**40), st.just("number")),
    st.tuples(st.none(), st.just("wrong")), st.none(),
)  # fmt: skip


def parts(path: Path, rows: list[Cells], is_large: bool) -> dict[str, bytes]:
    """The parts of a workbook with a header and these rows; None is a cell that is not there."""
    with xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)}) as book:
        styles = _Styles(book)
        tab = book.add_worksheet()
        tab.set_column(1, 1, 9, styles.plain)
        tab.set_default_row(45)
        tab.set_row(0, 30)
        tab.write_string(0, 0, "head", styles.head)
        written = Rows(tab, styles.look, is_large)
        for row, listed in enumerate(rows, start=1):
            written.write(row, [(n, *cell) for n, cell in enumerate(listed) if cell is not None])
        tab.autofilter(0, 0, len(rows), 3)
    with zipfile.ZipFile(path) as z:
        return {name: z.read(name) for name in z.namelist() if name != "docProps/core.xml"}  # it tells the time


@settings(max_examples=1000 if SOAK else 60, deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=30).filter(any), min_size=1, max_size=4))
@example([[(text, kind) for text in ODD for kind in KINDS]])
def test_both_ways_give_the_same_bytes(tmp_path: Path, rows: list[Cells]) -> None:
    assert parts(tmp_path / "ours.xlsx", rows, True) == parts(tmp_path / "theirs.xlsx", rows, False)


def test_a_text_that_looks_like_a_form_of_the_library_is_text(tmp_path: Path) -> None:
    sheet = parts(tmp_path / "ours.xlsx", [[("<r>a</b></r>", "text")]], True)["xl/worksheets/sheet1.xml"]
    assert b"<t>&lt;r&gt;a&lt;/b&gt;&lt;/r&gt;</t>" in sheet


def test_a_text_longer_than_a_cell_is_not_let_through(tmp_path: Path) -> None:
    """The library cuts it; here the look has cut it before."""
    long = parts(tmp_path / "ours.xlsx", [[("长" * 40_000, "text")]], True)
    assert "已截断".encode() in long["xl/worksheets/sheet1.xml"]
    assert len(long["xl/worksheets/sheet1.xml"].decode()) < 20_000
