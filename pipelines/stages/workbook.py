"""The workbook that answers a delivery: a summary, all findings, and the rows to correct, which may be sent back.

For a clerk, and for a phone: no merged cells, frozen headers, the sentence beside the key, widths that fit. Every text
is a text cell, whatever it looks like. The same input gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter

from pipelines.model import FINDINGS_TAB, SUMMARY_TAB
from pipelines.stages.sentences import Rendered, Tally
from pipelines.stages.sheet_rows import Rows, Value, put_text
from pipelines.stages.told import ROWS, Batches

# A sheet has 1,048,576 rows (ECMA-376, limits of the application).
ROWS_PER_TAB = 1_048_576
# A cell holds 32,767 UTF-16 units; a character is at most two. The full value stays in `findings/`.
CELL_CHARACTERS = 16_000
# So many rows are kept in memory; more are parked in files as they come.
ROWS_IN_MEMORY = 5_000
MOST_FREQUENT = 5
ADVICE_ROWS = 2  # above the header of the corrections: how to use them, in Chinese and in English

SEVERITIES = {"error": "错误", "hold": "暂缓", "warning": "警告", "info": "提示"}
KEY, LINE, SHEET = (FINDINGS_TAB, 20), ("行号\nline", 8), ("工作表/#序号\nsheet/#no.", 13)
BEFORE_ECHO = (
    KEY,
    ("问题\nmessage", 34),
    ("改正办法\nfix", 34),
    ("信息项\nfield", 14),
    ("原值\nvalue", 20),
    ("应填\nexpected", 26),
    SHEET,
    LINE,
)
AFTER_ECHO = (("级别\nseverity", 10), ("代码\ncode", 8), ("问题\nmessage en", 44), ("改正办法\nfix en", 44))
ECHO_WIDTH = 14
# Height of a line of text; lines of the tallest row, and of every row of a large tab, since the height of each would be
# kept until the end.
LINE_POINTS, LINES_AT_MOST, LINES_OF_MANY = 15, 12, 3
CAUSE_COLUMNS = (
    *("信息项\nfield", "问题\nmessage", "改正办法\nfix", "个数\ncount", "级别\nseverity", "代码\ncode"),
)
SUMMARY_WIDTHS = (20, 46, 46, 9, 12, 9)

# What XML 1.0 cannot carry (section 2.2): xlsxwriter would write most of these as visible _x0001_.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Full-width signs too: a Chinese input method's ＝ starts a formula when the cell is entered again.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True)
class Summary:
    """What the first tab says above the causes: pairs of a label and a text or a number of rows."""

    title: str
    as_of: str
    facts: Sequence[tuple[str, str]]
    account: Sequence[tuple[str, int]]
    steps: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Corrections:
    """The rows to correct (`stages.told`), under the labels of their fields in the catalogue, field -> label. `prefix`
    is that of echo columns: the columns that name a row's place are such, so that they may come back too."""

    rows: Batches
    labels: dict[str, str]
    prefix: str

    @property
    def place(self) -> tuple[str, str]:
        return f"{self.prefix}行号", f"{self.prefix}工作表"


def write_workbook(
    target: Path, parking: Path, summary: Summary, tally: Tally, findings: Iterable[Rendered], corrections: Corrections
) -> None:
    """Write the workbook to `target`. A large one parks its rows in `parking` meanwhile, as they show values."""
    extent = _extent(corrections.rows)
    options: dict[str, Any] = {
        "strings_to_numbers": False, "strings_to_formulas": False, "strings_to_urls": False, "use_zip64": True,
    }  # fmt: skip
    rows = tally.total + extent.listed
    is_large = rows > ROWS_IN_MEMORY
    with _parked(parking, target, is_large, options), xlsxwriter.Workbook(str(target), options) as book:
        book.set_properties({"title": summary.title, "created": datetime.fromisoformat(summary.as_of)})
        styles = _Styles(book)
        _summary(book.add_worksheet("摘要 Summary"), styles, summary, tally)
        _findings(book, styles, tally, iter(findings), is_large)
        if extent.listed or extent.unfit:
            _corrections(book.add_worksheet("改正 Corrections"), styles, corrections, extent, is_large)


@contextmanager
def _parked(parking: Path, target: Path, is_large: bool, options: dict[str, Any]) -> Iterator[None]:
    if not is_large:
        options["in_memory"] = True
        yield
        return
    name = target.name.lstrip(".").partition(".")[0]
    # What a killed run leaves is swept up by its name.
    with TemporaryDirectory(prefix=f".{name}.", suffix=f".{os.getpid()}.part", dir=parking) as folder:
        options |= {"constant_memory": True, "tmpdir": folder}
        yield


class _Styles:
    """The formats of the workbook, and the one way text enters a cell.

    A text that Excel could read as a formula is stored as text and marked with quotePrefix, the attribute Excel itself
    sets for a typed apostrophe: it stays text when somebody edits the cell, and no character is added, so the value
    can be searched for and copied back as the department wrote it.
    """

    def __init__(self, book: Any) -> None:
        text = {"num_format": "@", "text_wrap": True, "valign": "top"}
        wrong = {"num_format": "@", "valign": "top", "bg_color": "#F8CBAD"}
        self.text = book.add_format(text)
        self.text_quoted = book.add_format({**text, "quote_prefix": True})
        self.plain = book.add_format({"num_format": "@", "valign": "top"})
        self.plain_quoted = book.add_format({"num_format": "@", "valign": "top", "quote_prefix": True})
        self.wrong = book.add_format(wrong)
        self.wrong_quoted = book.add_format({**wrong, "quote_prefix": True})
        self.number = book.add_format({"num_format": "0", "valign": "top", "align": "left"})
        head = {"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#D9E2F3", "bottom": 1}
        self.head = book.add_format(head)
        self.title = book.add_format({"bold": True, "font_size": 14})

    def put(self, tab: Any, row: int, column: int, text: str | None) -> None:
        """Write `text` as a text cell; None leaves the cell empty."""
        if text is not None:
            legal, style = self.look(text, "text")
            put_text(tab, row, column, str(legal), style)

    def look(self, value: Value, kind: str) -> tuple[Value, Any]:
        """What stands in a cell, and its format. Kinds: `text`, `number`; of cells to be corrected and sent back
        `plain` and `wrong`, which is marked even where it is empty."""
        if not isinstance(value, str):
            return value, getattr(self, kind)
        legal = _legal(value)
        return legal, getattr(self, f"{kind}_quoted" if legal.startswith(_FORMULA) else kind)


def encodable(text: str) -> str:
    """File names may hold bytes that were no text; UTF-8 cannot carry what stands for them."""
    return _SURROGATE.sub("\ufffd", text)


def _legal(text: str) -> str:
    # Almost every text is printable throughout, and asking is far cheaper than two substitutions.
    legal = text if text.isprintable() else _ILLEGAL.sub("", encodable(text))
    if len(legal) > CELL_CHARACTERS:
        return f"{legal[:CELL_CHARACTERS]}…（原文 {len(legal)} 字，已截断 / cut, {len(legal)} characters）"
    return legal


def _summary(tab: Any, styles: _Styles, summary: Summary, tally: Tally) -> None:
    for column, width in enumerate(SUMMARY_WIDTHS):
        tab.set_column(column, column, width)
    tab.write_string(0, 0, SUMMARY_TAB, styles.title)
    row = 1
    for label, text in summary.facts:
        row = _line(tab, styles, row, (label, text))
    row = _head(tab, styles, row + 1, ("下一步\nwhat to do next", ""))
    for label, text in summary.steps:
        row = _line(tab, styles, row, (label, text))
    row = _head(tab, styles, row + 1, ("行数账\nrow account", "行数 rows"))
    for label, count in summary.account:
        row = _line(tab, styles, row, (label, count))
    most, others = tally.causes[:MOST_FREQUENT], tally.causes[MOST_FREQUENT:]
    row = _causes(tab, styles, row + 1, "最常见的五个原因 The five most frequent causes", most)
    if others:
        _causes(tab, styles, row + 1, "其余原因 Other causes", others)
    tab.freeze_panes(1, 0)
    _print_on_width(tab)


def _print_on_width(tab: Any) -> None:
    """On paper too: as wide as a page, the header on each of them."""
    tab.set_landscape()
    tab.set_paper(9)  # A4
    tab.fit_to_pages(1, 0)
    tab.repeat_rows(0)


def _causes(tab: Any, styles: _Styles, row: int, title: str, causes: list[dict[str, Any]]) -> int:
    tab.write_string(row, 0, title, styles.title)
    row = _head(tab, styles, row + 1, CAUSE_COLUMNS)
    for c in causes:
        message, cure = f"{c['message_zh']}\n{c['message_en']}", f"{c['fix_zh']}\n{c['fix_en']}"
        row = _line(tab, styles, row, (c["label"], message, cure, c["count"], _severity(c["severity"]), c["code"]))
    return row if causes else _line(tab, styles, row, ("没有逐行的问题 no findings about rows",))


def _set_height(tab: Any, row: int, cells: Iterable[tuple[object, int]]) -> None:
    """Not every program finds out for itself how high a row of wrapped texts has to be. `cells`: (text, width)."""
    lines = 1
    for text, width in cells:
        if isinstance(text, str) and (len(text) * 2 > width or "\n" in text):
            lines = max(lines, sum(max(1, -(-shown_width(part) // width)) for part in text.split("\n")))
    if lines > 1:
        tab.set_row(row, LINE_POINTS * min(lines, LINES_AT_MOST))


def shown_width(text: str) -> int:
    """In columns of a digit: what takes three bytes is about twice as wide as what takes one."""
    return (len(text) + len(text.encode())) // 2


def _head(tab: Any, styles: _Styles, row: int, names: Sequence[str]) -> int:
    tab.set_row(row, LINE_POINTS * (1 + max(name.count("\n") for name in names)))
    for column, name in enumerate(names):
        put_text(tab, row, column, name, styles.head)
    return row + 1


def _line(tab: Any, styles: _Styles, row: int, cells: Sequence[str | int]) -> int:
    _set_height(tab, row, zip(cells, SUMMARY_WIDTHS, strict=False))
    for column, cell in enumerate(cells):
        if isinstance(cell, int):
            tab.write_number(row, column, cell, styles.number)
        else:
            styles.put(tab, row, column, cell)
    return row + 1


def _severity(word: str) -> str:
    return f"{SEVERITIES[word]} {word}" if word in SEVERITIES else word


def _findings(book: Any, styles: _Styles, tally: Tally, found: Iterator[Rendered], is_large: bool) -> None:
    """All findings, no cap: as many tabs as it takes, at least one."""
    echoes = tuple((header, ECHO_WIDTH) for header in tally.echoes)
    columns = (*BEFORE_ECHO, *echoes, *AFTER_ECHO)
    line, widths, places = BEFORE_ECHO.index(LINE), [width for _, width in columns], range(len(columns))
    kinds = ["number" if column == line else "text" for column in places]
    per_tab = ROWS_PER_TAB - 1
    for number in range(1, max(1, -(-tally.total // per_tab)) + 1):
        tab = book.add_worksheet("问题 Findings" + (f" {number}" if number > 1 else ""))
        for column, (_, width) in enumerate(columns):
            tab.set_column(column, column, width)
        if is_large:
            tab.set_default_row(LINES_OF_MANY * LINE_POINTS)
        _head(tab, styles, 0, tuple(_legal(name) for name, _ in columns))
        held = min(per_tab, tally.total - (number - 1) * per_tab)
        rows = Rows(tab, styles.look, is_large)
        for row, r in zip(range(1, held + 1), found, strict=False):
            texts = (
                r.own_key, r.message_zh, r.fix_zh, r.label, r.value, r.expected, r.sheet, r.line,
                *(r.echo.get(header) for header in tally.echoes),
                _severity(r.severity), r.code, r.message_en, r.fix_en,
            )  # fmt: skip
            rows.write(row, ((n, t, k) for n, t, k in zip(places, texts, kinds, strict=True) if t))
            if not is_large:
                _set_height(tab, row, zip(texts, widths, strict=True))
        tab.freeze_panes(1, 0)
        _print_on_width(tab)
        tab.print_area(0, 0, held, line)
        tab.autofilter(0, 0, held, len(columns) - 1)
        # Ids are text on purpose; without this Excel marks each of them as a mistake.
        tab.ignore_errors({"number_stored_as_text": f"A1:{_letter(len(columns))}{held + 1}"})


def _letter(columns: int) -> str:
    return str(xlsxwriter.utility.xl_col_to_name(columns - 1))


@dataclass(frozen=True)
class _Extent:
    """Rows that the tab of corrections lists, those behind the last row of a tab, and those with a text that no cell
    holds whole: sent back it would be cut."""

    listed: int
    beyond: int
    unfit: int
    has_sheets: bool
    echoes: tuple[str, ...]
    widths: dict[str, int]


def _extent(rows: Batches) -> _Extent:
    """`widths`: field -> columns of a digit that its longest text takes."""
    total = fit = 0
    has_sheets = False
    echoes: tuple[str, ...] = ()
    widths: dict[str, int] = {}
    for batch in rows():
        total, fit = total + len(batch), fit + _fitting(batch).num_rows
        for name, column in zip(batch.schema.names[len(ROWS) :], batch.columns[len(ROWS) :], strict=True):
            shown = pc.max(pc.add(pc.utf8_length(column), pc.binary_length(column))).as_py() or 0
            widths[name] = max(widths.get(name, 0), shown // 2)
        has_sheets = has_sheets or batch["sheet"].null_count < len(batch)
        if not echoes and (echo := batch["echo"].drop_null().slice(0, 1).to_pylist()):
            echoes = tuple(json.loads(echo[0]))
    listed = min(fit, ROWS_PER_TAB - ADVICE_ROWS - 1)
    return _Extent(listed, fit - listed, total - fit, has_sheets, echoes, widths)


def _fitting(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of which every cell holds its text whole."""
    fits = pa.array([True] * len(batch), pa.bool_())
    for column in batch.columns[len(ROWS) :]:
        fits = pc.and_(fits, pc.less_equal(pc.fill_null(pc.utf8_length(column), 0), CELL_CHARACTERS))
    return batch.filter(fits)


def _corrections(tab: Any, styles: _Styles, corrections: Corrections, extent: _Extent, is_large: bool) -> None:
    """How to use the tab, the header, and a row per row, which the readers take as a delivery."""
    for row, text in enumerate(_advice(corrections, extent)):
        tab.write_string(row, 0, text)
    places = [0, 1] if extent.has_sheets else [0]
    echoes = [header for header in extent.echoes if header not in corrections.place]
    heads = [*(corrections.place[n] for n in places), *corrections.labels.values(), *echoes]
    taken = [*(0 for _ in places), *(extent.widths.get(name, 0) for name in corrections.labels), *(0 for _ in echoes)]
    for column, (name, width) in enumerate(zip(heads, taken, strict=True)):
        tab.set_column(column, column, min(max(shown_width(name), width, 8), 28) + 2, styles.plain)
    _head(tab, styles, ADVICE_ROWS, [_legal(name) for name in heads])
    tab.freeze_panes(ADVICE_ROWS + 1, 0)
    rows, row = Rows(tab, styles.look, is_large), ADVICE_ROWS + 1
    for batch in corrections.rows():
        for cells in _fitting(batch).to_pylist():
            if row == extent.listed + ADVICE_ROWS + 1:
                return
            wrong = set((cells["wrong"] or "").split(","))
            place = (str(cells["line"]), cells["sheet"])
            sent = json.loads(cells["echo"]) if cells["echo"] else {}
            told = [(place[n], "plain") for n in places]
            told += [(cells[name], "wrong" if name in wrong else "plain") for name in corrections.labels]
            told += [(sent.get(header), "plain") for header in echoes]
            rows.write(row, ((n, t, k) for n, (t, k) in enumerate(told) if t is not None or k == "wrong"))
            row += 1


def _advice(corrections: Corrections, extent: _Extent) -> tuple[str, str]:
    prefix = corrections.prefix
    zh = (
        "改正标红的内容后，把本工作簿放回原来的收件箱文件夹，即为新的一批报送。"
        f"表头和“{prefix}”各列请勿改动；不改的行请整行删去。"
    )
    en = (
        "Correct what is marked red and put this workbook back into the same inbox folder: it is a new delivery. Leave"
        f" the header and the columns {prefix} as they are, and delete rows that you do not correct."
    )
    if extent.beyond:
        zh += f"工作表容不下其余 {extent.beyond} 行，见“问题”表。"
        en += f" {extent.beyond:,} more rows do not fit on a sheet; see the tab Findings."
    if extent.unfit:
        zh += f"另有 {extent.unfit} 行的文字超过单元格容量，未列入，请在源系统中改正。"
        en += f" {extent.unfit:,} rows with a text too long for a cell are left out; correct them at their source."
    return zh, en
