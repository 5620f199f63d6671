"""Sheets of every kind on one path; what is hidden, merged, never calculated or no row; archives and their limits.

What departments send is in tests/samples/Q09 to Q29; here are the edges of it.
"""

import gzip
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import DeliveryError
from pipelines.readers import Headers, archive, decode, limits, ooxml
from pipelines.readers.staging import Note, repairs_path
from tests.dirty_files.workbooks import book, page, rewritten, spreadsheet_2003, types_1904, zipped
from tests.test_readers.test_decode import FIELDS, lines, run

HEAD = ("姓名", "证件号码", "说明")
SHEET = "xl/worksheets/sheet1.xml"
CSV = "姓名,证件号码,说明\n甲,1,x\n乙,2,y\n"


def notes(found: Sequence[Note], code: str) -> list[tuple[str | None, str | None]]:
    return [(n.sheet, n.value) for n in found if n.code == code]


def repairs(folder: Path) -> list[tuple[Any, ...]]:
    path = repairs_path(folder / "staged.parquet")
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()] if path.exists() else []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("make", [page, spreadsheet_2003])
def test_markup_called_a_workbook_is_read_in_any_encoding(tmp_path: Path, make: Any, encoding: str) -> None:
    decoded, rows = run(tmp_path, make([HEAD, ("甲䶮", "007", ""), ("乙", "460106186003070037", "y")]).encode(encoding))
    assert [(r["line"], r["name"], r["credit_number"], r["note"]) for r in rows] == [
        (2, "甲䶮", "007", None), (3, "乙", "460106186003070037", "y"),
    ]  # fmt: skip
    assert not list((tmp_path / "work").glob("*"))


def test_a_page_keeps_spans_breaks_and_tables_apart(tmp_path: Path) -> None:
    text = """<html><body><table><tr><td>登录<table><tr><td>x</table><tr><td>y</table>
    <table><TR><TH>姓名<TH>证件<br>号码<TH colspan=2>说明
    <tr><td>甲<!-- 注 -->乙<td>1<td rowspan=2>第一<br/>
    第二<td>z<tr style="display:none"><td>丙<td>2<td>
    <tr><td colspan=4>&nbsp;<tr><td>丁<script>x()</script><td>3</table></body>"""
    decoded, rows = run(tmp_path, text.encode())
    assert [tuple(r.values()) for r in rows] == [
        (2, "#3", "甲乙", "1", "第一\n第二"), (3, "#3", "丙", "2", "第一\n第二"), (5, "#3", "丁", "3", None),
    ]  # fmt: skip
    assert (decoded.blank, repairs(tmp_path)) == (1, [(3, "#3", "", "F050", "说明")])
    assert notes(decoded.notes, "F051") == [("#1", "#1"), ("#2", "#2")]
    assert notes(decoded.notes, "F052") == [("#3", "1 行 rows")]


def test_xml_of_2003_keeps_indices_spans_types_and_what_is_not_there(tmp_path: Path) -> None:
    text = """<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet" xmlns:x="urn:schemas-microsoft-com:office:excel">
<Worksheet ss:Name="一"><Table><Row ss:Index="3" ss:Span="1"/>
<Row><Cell ss:Index="2"><Data ss:Type="String">姓名</Data></Cell><Cell ss:MergeAcross="1">
<Data ss:Type="String">证件号码</Data></Cell><Cell><Data ss:Type="String">说明</Data></Cell></Row>
<Row><Cell ss:Index="2" ss:MergeDown="1"><Data ss:Type="String">甲</Data><Comment><ss:Data>注</ss:Data></Comment></Cell>
<Cell><Data ss:Type="Number">460106186003070037</Data></Cell>
<Cell ss:Index="5"><Data ss:Type="DateTime">2098-01-05T00:00:00.000</Data></Cell></Row>
<Row ss:Hidden="1"><Cell ss:Index="3"><Data ss:Type="Number">2</Data></Cell>
<Cell ss:Index="5"><Data ss:Type="DateTime">2098-01-05T08:00:01.000</Data></Cell></Row>
<Row ss:Index="10"><Cell ss:Index="2"><ss:Data ss:Type="String"><B>丙</B>丁</ss:Data></Cell>
<Cell><Data ss:Type="Boolean">1</Data></Cell></Row>
<Row><Cell ss:Index="2" ss:Formula="=R[1]C"/></Row>
<Row><Cell ss:Index="2"><Data ss:Type="String">戊</Data></Cell>
<Cell ss:Formula="=NA()"><Data ss:Type="Error">#N/A</Data></Cell></Row>
</Table><x:WorksheetOptions><x:Visible>SheetHidden</x:Visible></x:WorksheetOptions></Worksheet></Workbook>"""
    decoded, rows = run(tmp_path, text.encode())
    assert [tuple(r.values()) for r in rows] == [
        (6, "一", "甲", "460106186003070037", "2098-01-05"), (7, "一", "甲", "2", "2098-01-05 08:00:01"),
        (10, "一", "丙丁", "是", None),
    ]  # fmt: skip
    assert [(f.code, f.line, f.value) for f in decoded.faults] == [
        ("F053", 11, "姓名 B11"), ("F054", 12, "证件号码 C12"),
    ]  # fmt: skip
    assert notes(decoded.notes, "F052") == [("一", "工作表 sheet"), ("一", "1 行 rows")]


def test_no_entity_of_a_sheet_is_expanded(tmp_path: Path) -> None:
    text = spreadsheet_2003([HEAD, ("&x;", "1", "y")]).replace(
        "<Workbook", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>\n<Workbook'
    )
    _, rows = run(tmp_path, text.encode())
    assert [(r["name"], r["credit_number"]) for r in rows] == [(None, "1")]
    _, rows = run(tmp_path, text.replace("&x;", "甲<!-- 注 -->乙").encode())
    assert rows[0]["name"] == "甲乙"


@pytest.mark.parametrize("form", ["xlsx", "xls", "ods"])
def test_dates_of_1904_truth_values_and_numbers_are_what_the_sheet_shows(tmp_path: Path, form: str) -> None:
    content = types_1904() if form == "xlsx" else (Path(__file__).parent / f"types_1904.{form}").read_bytes()
    _, rows = run(tmp_path, content)
    # LibreOffice writes the truth values of others as numbers.
    true = "1" if form == "ods" else "是"
    assert [r["note"] for r in rows] == ["2098-01-05", "2098-01-05 08:00:00", true, "1.5"]
    assert [r["credit_number"] for r in rows][1:] == ["007", "x", "4.60106186003070E+17"]


@pytest.mark.parametrize("prefix", ["", "x:"])
@pytest.mark.parametrize("with_refs", [True, False])
@pytest.mark.parametrize("block", [64, ooxml.BLOCK])
def test_what_calamine_does_not_tell_is_found_however_a_sheet_is_written(
    tmp_path: Path, prefix: str, with_refs: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ooxml, "BLOCK", block)

    def cell(ref: str, inside: str, more: str = "") -> str:
        return f"<c{f' r={chr(34)}{ref}{chr(34)}' if with_refs else ''} {more}>{inside}</c>"

    def words(ref: str, text: str) -> str:
        return cell(ref, f"<is><t>{text}</t></is>", 't="inlineStr"')

    body = "".join(
        f"<row{f' r={chr(34)}{n}{chr(34)}' if with_refs else ''}{hidden}>{cells}</row>"
        for n, hidden, cells in (
            (1, "", words("A1", "姓名") + words("B1", "证件号码") + words("C1", "说明")),
            (2, "", words("A2", "甲") + cell("B2", "<f>1+1</f><v></v>") + words("C2", "x")),
            (3, ' hidden="1"', words("A3", "乙") + words("B3", "2") + cell("C3", "<f>1</f><v></v>", 't="str"')),
            (4, "", words("A4", "丙") + cell("B4", "<f>1+1</f><v>2</v>") + cell("C4", '<f t="shared" si="0"/>')),
            (5, "", words("A5", "丁") + words("B5", "5") + cell("C5", "<f>NA()</f><v>#N/A</v>", 't="e"')),
            (6, "", cell("A6", "<f>Z9</f>") + cell("B6", "<f>Z9</f><v/>")),
            (7, "", words("A7", "戊") + words("B7", "7") + cell("C7", "<f>1&lt;2</f><v>1</v>", 't="b"')),
        )
    )
    if prefix:
        body = body.replace("</", "</ ").replace("<", f"<{prefix}").replace(f"<{prefix}/ ", f"</{prefix}")
    spelt = f"xmlns:{prefix.rstrip(':')}" if prefix else "xmlns"
    xml = (
        f'<{prefix}worksheet {spelt}="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<{prefix}sheetData>{body}</{prefix}sheetData></{prefix}worksheet>"
    )
    decoded, rows = run(tmp_path, rewritten(book(("一", [HEAD])), SHEET, lambda _: xml.encode()))
    assert [(f.code, f.line, f.value) for f in decoded.faults] == [
        ("F053", 2, "证件号码 B2"), ("F053", 4, "说明 C4"), ("F054", 5, "说明 C5"), ("F053", 6, "姓名 A6、证件号码 B6"),
    ]  # fmt: skip
    assert [(r["line"], r["note"]) for r in rows] == [(3, None), (7, "是")]
    assert notes(decoded.notes, "F052") == [("一", "1 行 rows")]


def test_a_formula_nobody_asks_for_costs_no_row(tmp_path: Path) -> None:
    decoded, rows = run(tmp_path, book(("一", [(*HEAD, "合计"), ("甲", "1", "x", "=1+1")])))
    assert (decoded.faults, lines(rows), decoded.unknown_headers) == ((), [2], ("合计",))


def test_a_value_that_is_missing_under_a_merged_cell_is_missing_in_each_of_its_rows(tmp_path: Path) -> None:
    def then(made: openpyxl.Workbook) -> None:
        made["一"].merge_cells("C2:C3")

    decoded, rows = run(tmp_path, book(("一", [HEAD, ("甲", "1", "=1+1"), ("乙", "2"), ("丙", "3", "z")]), then=then))
    assert ([(f.code, f.line) for f in decoded.faults], lines(rows)) == ([("F053", 2), ("F053", 3)], [4])


def test_a_merged_cell_is_never_filled_to_the_right_nor_into_a_blank_row(tmp_path: Path) -> None:
    def then(made: openpyxl.Workbook) -> None:
        made["一"].merge_cells("B2:C4")

    decoded, rows = run(tmp_path, book(("一", [HEAD, ("甲", "1"), ("乙",), (), ("丙", "3")]), then=then))
    assert [(r["line"], r["credit_number"]) for r in rows] == [(2, "1"), (3, "1"), (5, "3")]
    assert {r["note"] for r in rows} == {None}
    assert decoded.blank == 1


def test_a_record_is_never_taken_for_a_total(tmp_path: Path) -> None:
    number = "460106186003070037"
    body = [("合计", number, "x"), ("填表人：甲", number, "y"), (*HEAD[:1], number, "z"), ("乙", "", "说明：见附件")]
    decoded, rows = run(tmp_path, book(("一", [HEAD, *body])))
    assert (lines(rows), decoded.total_lines) == ([2, 3, 4, 5], 0)


def test_a_row_of_blanks_above_the_header_is_blank(tmp_path: Path) -> None:
    _, rows = run(tmp_path, book(("一", [(" ",), HEAD, ("甲", "1", "x"), HEAD, ("乙", "2", "y")])))
    assert lines(rows) == [3, 5]


def test_each_sheet_has_its_own_header_and_the_rows_keep_their_columns(tmp_path: Path) -> None:
    sheets = (("一", [("标题",), HEAD, ("甲", "1", "x")]), ("二", [HEAD[1::-1], ("2", "乙")]))
    _, rows = run(tmp_path, book(*sheets))
    assert [tuple(r.values()) for r in rows] == [(3, "一", "甲", "1", "x"), (2, "二", "乙", "2", None)]


def test_a_sheet_that_begins_to_the_right_is_named_by_its_own_columns(tmp_path: Path) -> None:
    body = [("", "", *HEAD), ("", "", "甲", "1", "=1+1"), ("", "", "乙", "2", "y")]
    decoded, rows = run(tmp_path, book(("一", body)))
    assert ([f.value for f in decoded.faults], [r["note"] for r in rows]) == (["说明 E2"], ["y"])


def test_cells_are_repaired_in_every_format_and_an_archive_passes_it_on(tmp_path: Path) -> None:
    table = [HEAD, ("甲\ue863", "1", "x"), ("乙", "2", "y")]
    for form, content in (("a.xls", page(table).encode()), ("b.xml", spreadsheet_2003(table).encode())):
        _, rows = run(tmp_path / form, content)
        assert rows[0]["name"] == "甲䶮"
    _, rows = run(tmp_path, zipped(("a.xlsx", book(("一", table))), ("b.csv", CSV.replace("甲", "甲\x0b"))))
    assert [r["name"] for r in rows] == ["甲䶮", "乙", "甲 ", "乙"]
    assert [(line, sheet, code) for line, sheet, _, code, _ in repairs(tmp_path)] == [
        (2, "a.xlsx/一", "F032"), (2, "b.csv", "F031"),
    ]  # fmt: skip


def test_echo_columns_make_no_row_and_stop_none(tmp_path: Path) -> None:
    fields = Headers(FIELDS, lambda header: header.startswith("回传"))
    (tmp_path / "a.xlsx").write_bytes(
        book(("一", [(*HEAD, "回传号"), ("甲", "1", "x", "7"), ("乙", "2", "y", "=1+1"), ("", "", "", "9")]))
    )
    decoded = decode(tmp_path / "a.xlsx", tmp_path / "a.parquet", fields, tmp_path)
    staged = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert ([r["echo 回传号"] for r in staged], decoded.faults, decoded.total_lines) == (["7", None], (), 1)


def test_a_sheet_may_say_that_there_is_nothing_to_report(tmp_path: Path) -> None:
    decoded, rows = run(tmp_path, book(("一", [HEAD, ("本月无数据",)])))
    assert (rows, decoded.read, decoded.total_lines) == ([], 0, 1)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([("a.csv", CSV), ("b.csv", "甲列,乙列\n1,2\n")], "F004"),
        ([("/a.csv", CSV)], "F055"),
        ([("..\\a.csv", CSV)], "F055"),
        ([("C:a.csv", CSV)], "F055"),
        ([("a.pdf", "%PDF"), ("b.png", b"\x89PNG")], "F010"),
        ([], "F002"),
        ([("__MACOSX/a", "x")], "F002"),
        ([("a.csv", CSV), ("b.csv", CSV.encode() + b"\xff\xff,1\n")], "F001"),
        ([("a.zip", zipped(("b.zip", zipped(("c.csv", CSV)))))], "F055"),
        ([("a.zip", zipped(("b.gz", gzip.compress(CSV.encode()))))], "F055"),
        ([("a.csv", bytes(1 << 27))], "F055"),
        ([("a.gz", gzip.compress(bytes(1 << 27)))], "F055"),
    ],
)
def test_an_archive_that_is_not_taken_says_why_and_leaves_nothing(
    tmp_path: Path, members: list[tuple[str, Any]], code: str
) -> None:
    with pytest.raises(DeliveryError) as caught:
        run(tmp_path, zipped(*members))
    assert caught.value.code == code
    assert not any(name in caught.value.message_en for name, _ in members), "it may be the name of a person"
    assert not list((tmp_path / "work").glob("*"))


def test_rows_of_an_archive_have_member_sheet_and_line(tmp_path: Path) -> None:
    content = zipped(
        ("一/a.csv", 'x\n姓名,证件号码,说明\n甲,1,"第一\n第二"\n乙,2\n丙,3,z\n'),
        ("b.xlsx", book(("表", [HEAD[:2], ("丁", "=1"), ("戊", "5")]))),
        ("c.zip", zipped(("d.jsonl", '{"姓名": "己", "证件号码": "6"}'), ("e.csv", "姓名,证件号码\n庚,7\n"))),
        ("f.csv.gz", gzip.compress(CSV.encode())),
    )
    decoded, rows = run(tmp_path, content)
    assert [(r["line"], r["sheet"], r["name"]) for r in rows] == [
        (3, "一/a.csv", "甲"), (6, "一/a.csv", "丙"), (3, "b.xlsx/表", "戊"), (1, "c.zip/d.jsonl", "己"),
        (2, "c.zip/e.csv", "庚"), (2, "f.csv.gz", "甲"), (3, "f.csv.gz", "乙"),
    ]  # fmt: skip
    assert [(f.code, f.line, f.sheet) for f in decoded.faults] == [("F007", 5, "一/a.csv"), ("F053", 2, "b.xlsx/表")]


def test_archives_within_an_archive_share_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = zipped(("a.csv", CSV * 50))
    room = limits.Room(left=4 * len(CSV.encode()) * 50)
    monkeypatch.setattr("pipelines.readers.Room", lambda: limits.Room(left=room.left))
    assert run(tmp_path / "a", zipped(("1.zip", inner), ("2.zip", inner)))[0].rows > 0
    with pytest.raises(DeliveryError, match="F055"):
        run(tmp_path / "b", zipped(*((f"{n}.zip", inner) for n in range(5))))


def test_a_header_of_a_text_may_begin_like_an_archive(tmp_path: Path) -> None:
    _, rows = run(tmp_path, "PK编号,姓名,证件号码\n1,甲,2\n".encode())
    assert lines(rows) == [2]


@pytest.mark.parametrize("name", ["行政处罚3月.xls", "plain.csv", "䶮.csv"])
@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_names_without_a_mark_are_utf_8_or_gbk(name: str, encoding: str) -> None:
    info = zipfile.ZipInfo(name.encode(encoding).decode("cp437"))
    assert archive.member_name(info) == name


CELL = st.sampled_from(
    ["", " ", "甲", "1", "合计", "姓名", "证件号码", "说明", "460106186003070037", 7, 1.5, True, "=1+1"]
)
RANGE = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9), st.integers(1, 4))
ROW = st.lists(CELL, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=7), st.lists(RANGE, max_size=3), st.floats(0, 1, exclude_max=True))
def test_no_sheet_breaks_the_reader_or_loses_a_line(
    tmp_path: Path, body: list[list[Any]], ranges: list[tuple[int, int, int, int]], where: float
) -> None:
    """Every line below the header is a row, a fault, blank or told, whatever is merged; and a file may be cut anywhere.
    """

    def then(made: openpyxl.Workbook) -> None:
        for row, column, to_row, to_column in ranges:
            made["一"].merge_cells(
                start_row=min(row, to_row, len(body) + 1), end_row=min(max(row, to_row), len(body) + 1),
                start_column=min(column, to_column), end_column=max(column, to_column),
            )  # fmt: skip

    content = book(("一", [HEAD, *body, ("终", "9", "z")]), then=then)
    try:
        decoded, rows = run(tmp_path, content)
    except DeliveryError as e:
        assert e.code in ("F004", "F006")
    else:
        places = sorted([*lines(rows), *(f.line for f in decoded.faults)])
        assert all(a < b for a, b in pairwise(places))
        header = len(body) + 2 - (decoded.read + decoded.blank + decoded.total_lines)
        assert 1 <= header <= len(body) + 1 and all(line > header for line in places)
    at = int(where * len(content))
    for broken in (content[:at], content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :]):
        try:
            run(tmp_path, broken)
        except DeliveryError as e:
            assert e.message_zh
