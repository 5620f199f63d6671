"""Files as departments send them: encodings, delimiters, exact lines, and defined answers to what cannot be read."""

import csv
import io
import json
from pathlib import Path

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.errors import DeliveryError
from pipelines.readers import Decoded, decode, normalise_header
from pipelines.readers import encoding as encoding_module
from pipelines.readers.characters import DECODED, STANDARD
from pipelines.readers.staging import open_staged, repairs_path
from schemas.model import Format
from tests.conftest import SOAK

FIELDS = {normalise_header(k): v for k, v in {"姓名": "name", "证件\n号码": "credit_number", "说明": "note"}.items()}


def run(folder: Path, content: bytes, name: str = "a.csv") -> tuple[Decoded, list[dict[str, object]]]:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / name
    source.write_bytes(content)
    target = folder / "staged.parquet"
    decoded = decode(source, target, FIELDS, folder / "work")
    assert decoded.read == decoded.rows + len(decoded.faults)
    with duckdb.connect() as engine:
        open_staged(engine, target)
        table = engine.sql("SELECT * EXCLUDE (place) FROM staged ORDER BY place").to_arrow_table()
    return decoded, table.to_pylist()


def lines(rows: list[dict[str, object]]) -> list[int]:
    return sorted(int(str(r["line"])) for r in rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encoding_and_delimiter_are_found(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    text = end.join(delimiter.join(r) for r in (("姓名", "证件号码", "说明"), ("甲䶮", "1", "x"), ("乙·丙", "2", "y")))
    decoded, rows = run(tmp_path, (text + end).encode(encoding))
    assert [(r["line"], r["name"], r["note"]) for r in rows] == [(2, "甲䶮", "x"), (3, "乙·丙", "y")]
    assert decoded.delimiter == delimiter


def test_quoted_newlines_blank_lines_and_title_rows_keep_lines_exact(tmp_path: Path) -> None:
    text = '某某局公示表\n姓名,证件号码,说明\n甲,1,"第一\n第二"\n\n乙,2,y\n'
    decoded, rows = run(tmp_path, text.encode())
    assert lines(rows) == [3, 6]
    assert decoded.blank == 1


def test_a_prefix_that_nothing_declares_is_a_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="F013: XML is incomplete or malformed near line 2"):
        run(tmp_path, "<rows>\n<r:row><姓名>甲</姓名>".encode())


def test_what_was_read_another_way_before_keeps_no_line_of_then(tmp_path: Path) -> None:
    run(tmp_path, "标题\n姓名,证件号码,说明\n甲,1,x\n".encode())
    _, rows = run(tmp_path, '{"姓名": "甲", "证件号码": "1"}\n{"姓名": "乙", "证件号码": "2"}\n'.encode())
    assert lines(rows) == [1, 2]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_ragged_rows_are_faults_with_their_lines_on_the_fast_way(tmp_path: Path, end: str, encoding: str) -> None:
    text = "姓名,证件号码,说明\n甲,1,a\n乙,2\n\n丙,3,c,d\n丁,4,d\n".replace("\n", end)
    decoded, rows = run(tmp_path, text.encode(encoding))
    assert {(r["line"], r["name"]) for r in rows} == {(2, "甲"), (6, "丁")}
    assert [(f.code, f.line) for f in decoded.faults] == [("F007", 3), ("F007", 5)]


def test_a_quote_that_never_closes_costs_one_line(tmp_path: Path) -> None:
    body = "".join(f"甲,{n},a\n" for n in range(300))
    decoded, rows = run(tmp_path, f'姓名,证件号码,说明\n乙,0,"open\n{body}'.encode())
    assert [(f.code, f.line) for f in decoded.faults] == [("F008", 2)]
    assert lines(rows) == list(range(3, 303))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "F002"),
        (b"\xef\xbb\xbf\r\n", "F002"),
        ("随便,什么\n1,2\n".encode(), "F004"),
        ("姓名,姓名,证件号码\n甲,乙,1\n".encode(), "F006"),
        (b"%PDF-1.7 ...", "F010"),
        (b"PK\x03\x04broken", "F014"),
        (b'[{"a": 1}, {"b"', "F013"),
        (b"<rows><row>", "F013"),
        ("姓名,证件号码\n".encode() + b"\xff\xff\xff,1\n", "F001"),
    ],
)
def test_what_cannot_be_read_has_its_code_and_two_languages(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        run(tmp_path, content)
    assert caught.value.code == code
    assert caught.value.message_zh
    assert caught.value.message_en


def test_header_only_is_no_row_and_no_fault(tmp_path: Path) -> None:
    decoded, rows = run(tmp_path, "姓名,证件号码,说明\n".encode())
    assert (decoded.rows, rows, decoded.faults) == (0, [], ())


def test_workbook_rows_have_sheet_and_row_and_footers_do_not_count(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "数据"
    for row in (
        ("XX局",),
        ("姓名", "证件号码（必填）"),
        ("甲", "007"),
        (None, None),
        ("乙", 460106186003070037),
        ("合计", 2),
    ):
        sheet.append(row)
    book.create_sheet("填报说明").append(("说明",))
    book.save(tmp_path / "b.xlsx")
    decoded, rows = run(tmp_path, (tmp_path / "b.xlsx").read_bytes(), "b.csv")
    assert [(r["sheet"], r["line"], r["credit_number"]) for r in rows] == [
        ("数据", 3, "007"),
        ("数据", 5, "4.60106186003070E+17"),
    ]
    assert (decoded.blank, decoded.total_lines) == (1, 1)


def test_json_numbers_keep_all_digits_and_lines_are_those_of_the_element(tmp_path: Path) -> None:
    text = '[\n {"姓名": "甲",\n  "证件号码": 460106186003070037},\n {"姓名": "乙", "证件号码": "2"}\n]'
    _, rows = run(tmp_path, text.encode())
    assert [(r["line"], r["credit_number"]) for r in rows] == [(2, "460106186003070037"), (4, "2")]
    jsonl = "\n".join(json.dumps({"姓名": "甲", "证件号码": str(n)}, ensure_ascii=False) for n in range(3))
    assert lines(run(tmp_path, jsonl.encode())[1]) == [1, 2, 3]


def test_xml_entities_are_not_expanded(tmp_path: Path) -> None:
    text = """<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>
<r><row><姓名>甲</姓名><证件号码>1</证件号码></row>
<row><姓名>&x;</姓名><证件号码>2</证件号码></row></r>"""
    _, rows = run(tmp_path, text.encode())
    assert [(r["line"], r["name"]) for r in rows] == [(2, "甲"), (3, None)]


def test_xml_keeps_text_around_comments_and_leaves_heads_out(tmp_path: Path) -> None:
    text = """<r><head><date>1</date></head>
<row><姓名>甲<!-- c -->乙</姓名><证件号码>1</证件号码><说明>前<b>中</b>后</说明></row>
<row><姓名>丙</姓名><证件号码>2</证件号码></row>
<row><姓名>丁</姓名><姓名>戊</姓名><证件号码>3</证件号码></row></r>"""
    decoded, rows = run(tmp_path, text.encode())
    assert [tuple(r.values()) for r in rows] == [(2, None, "甲乙", "1", "前中后"), (3, None, "丙", "2", None)]
    assert [(f.code, f.line) for f in decoded.faults] == [("F013", 4)]


@pytest.mark.parametrize("form", ["array", "lines"])
@pytest.mark.parametrize("second", ['{"姓名": "\\ud800"}', '{"姓名": "a\\u0000"}', '{"姓名": "a", "姓名": "b"}', "7"])
def test_json_that_nobody_can_store_is_a_fault_of_its_row(tmp_path: Path, form: str, second: str) -> None:
    first = '{"姓名": "甲", "证件号码": "1"}'
    text = f"[{first},\n{second}]" if form == "array" else f"{first}\n{second}"
    decoded, rows = run(tmp_path, text.encode())
    assert ([(f.code, f.line) for f in decoded.faults], lines(rows)) == ([("F013", 2)], [1])


@pytest.mark.parametrize(
    "text",
    [
        '{"code": 0, "data": [{"姓名": "甲", "证件号码": "1"}]}',
        '{\n "code": 0,\n "data": [\n  {"姓名": "甲",\n   "证件号码": "1"}\n ]\n}',
        '{"result": {"rows": []}}',
    ],
)
def test_rows_wrapped_in_an_object_are_returned_with_the_cure(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeliveryError, match="export the array alone") as caught:
        run(tmp_path, text.encode())
    assert caught.value.code == "F013"


def test_one_object_with_a_list_in_a_cell_is_a_row(tmp_path: Path) -> None:
    _, rows = run(tmp_path, '{"姓名": "甲", "证件号码": "1", "说明": ["a", "b"]}'.encode())
    assert [tuple(r.values()) for r in rows] == [(1, None, "甲", "1", '["a", "b"]')]


ROWS = ('{"姓名": "甲", "证件号码": 1}', '{"姓名": "乙", "姓名": "乙"}', '{"姓名": "丙", "证件号码": 3}')
ELEMENTS = ("<r><姓名>甲</姓名><证件号码>1</证件号码></r>", "<r><姓名>乙</姓名><姓名>乙</姓名></r>",
            "<r><姓名>丙</姓名><证件号码>3</证件号码></r>")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "on"),
    [
        (f"[{','.join(ROWS)}]", (1, 1, 1)),
        (f"[{ROWS[0]},\n{ROWS[1]}, {ROWS[2]}]", (1, 2, 2)),
        (f"<rows>{''.join(ELEMENTS)}</rows>", (1, 1, 1)),
        (f"<rows>\n{ELEMENTS[0]}{ELEMENTS[1]}\n{ELEMENTS[2]}</rows>", (2, 2, 3)),
    ],
)
def test_records_that_share_a_line_are_told_apart_by_their_number(
    tmp_path: Path, text: str, on: tuple[int, int, int]
) -> None:
    decoded, rows = run(tmp_path, text.encode())
    assert [(r["line"], r["sheet"], r["credit_number"]) for r in rows] == [(on[0], "#1", "1"), (on[2], "#3", "3")]
    assert [(f.code, f.line, f.sheet) for f in decoded.faults] == [("F013", on[1], "#2")]


@pytest.mark.parametrize("tail", [" x", "", '{"姓名": "乙"}]', ",]"])
@pytest.mark.parametrize("nested", [0, 100_000])
def test_json_arrays_are_whole_or_returned(tmp_path: Path, tail: str, nested: int) -> None:
    text = '[{"姓名": "甲", "证件号码": ' + "[" * nested + "1" + "]" * nested + "}" + ("] x" if tail == " x" else tail)
    with pytest.raises(DeliveryError) as caught:
        run(tmp_path, text.encode())
    assert caught.value.code == "F013"


def test_json_longer_than_a_window_keeps_rows_and_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.readers.document.CHUNK", 7)
    rows_out = (json.dumps({"姓名": f"甲{n}", "证件号码": n}, ensure_ascii=False) for n in range(50))
    text = "[\n" + ",\n".join(rows_out) + "\n]"
    _, rows = run(tmp_path, text.encode())
    assert [(r["line"], r["name"], r["credit_number"]) for r in rows] == [(n + 2, f"甲{n}", str(n)) for n in range(50)]


def test_a_header_cell_with_a_line_break_moves_the_rows_down(tmp_path: Path) -> None:
    decoded, rows = run(tmp_path, '姓名,"证件\n号码",说明,\n甲,1,x,\n'.encode())
    assert (lines(rows), decoded.unknown_headers) == ([3], ())


def test_broken_text_behind_a_byte_order_mark_is_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="F001: The text is not UTF-8 at line 2"):
        run(tmp_path, b"\xef\xbb\xbf" + "姓名,证件号码\n".encode() + "甲,1\n".encode("gb18030"))


def repairs(folder: Path) -> list[tuple[object, ...]]:
    path = repairs_path(folder / "staged.parquet")
    return [tuple(r.values()) for r in pq.read_table(path).to_pylist()] if path.exists() else []


def test_a_long_gb18030_text_keeps_characters_of_four_bytes_wherever_a_block_ends(tmp_path: Path) -> None:
    body = "".join(f"符𠮷{n},{n},{'说明' * 60}\n" for n in range(20_000))
    decoded, rows = run(tmp_path, ("姓名,证件号码,说明\n" + body).encode("gb18030"))
    assert (decoded.encoding, decoded.read, repairs(tmp_path)) == ("gb18030", 20_000, [])
    assert all(r["name"] == f"符𠮷{n}" and r["line"] == n + 2 for n, r in enumerate(rows))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("end", [",2,x\n", "|2|x\n", '"\n', "\r\n", "\t\n", ""])
def test_half_a_character_is_lost_at_the_end_of_a_cell_only(tmp_path: Path, encoding: str, end: str) -> None:
    content = "姓名,证件号码,说明\n".encode(encoding) + "甲,1,龙华".encode(encoding)[:-1] + end.encode()
    if encoding == "gb18030" and end.startswith("|"):  # the bar is the second half: another character, and no error
        assert "\ufffd" not in str(run(tmp_path, content))
    else:
        assert "龙\ufffd" in encoding_module.normalise(put(tmp_path, content), tmp_path).path.read_text("utf-8")
    with pytest.raises(DeliveryError, match="F001"):
        run(tmp_path, content.replace(end.encode() or b"\0", b" x") if end else content + b" x")


@pytest.mark.parametrize("title", ["", "x"])
def test_zero_bytes_make_no_other_encoding_and_other_encodings_are_told_without_a_mark(
    tmp_path: Path, title: str
) -> None:
    text = title + "\n姓名,证件号码,说明\n" + '甲,1,"c"\0\n' * 9
    assert [run(tmp_path, text.encode(e))[0].encoding for e in ("utf-8", "gb18030")] == ["utf-8", "gb18030"]
    sent = (text.replace("\0", "").encode(e) for e in ("utf-16-le", "utf-16-be"))
    assert [run(tmp_path, content)[0].encoding for content in sent] == ["utf-16-le", "utf-16-be"]


def put(folder: Path, content: bytes) -> Path:
    (folder / "sent").write_bytes(content)
    return folder / "sent"


@pytest.mark.parametrize("way", ["lines", "workbook", "json"])
def test_what_is_mended_in_a_cell_is_noted_with_the_value_as_sent(tmp_path: Path, way: str) -> None:
    note = "y\x0bz" if way == "lines" else "y"
    table = [["姓名", "证件号码", "说明"], ["甲\ue863", "1", "x"], ["乙\ue000", "2", note]]
    if way == "lines":
        content = "".join(",".join(r) + "\n" for r in table).encode()
    elif way == "json":
        content = json.dumps([dict(zip(table[0], r, strict=True)) for r in table[1:]], indent=1).encode()
    else:
        book = openpyxl.Workbook()
        for row in table:
            book.active.append(row)
        book.save(tmp_path / "b.xlsx")
        content = (tmp_path / "b.xlsx").read_bytes()
    _, rows = run(tmp_path, content)
    assert [r["name"] for r in rows] == ["甲䶮", "乙\ue000"]
    found = {(n, "name", c, v) for n, _, f, c, v in repairs(tmp_path) if f == "name"}
    lines_of = [r["line"] for r in rows]
    assert found == {(lines_of[0], "name", "F032", "甲\ue863"), (lines_of[1], "name", "F033", "乙\ue000")}
    if way == "lines":
        assert (rows[1]["note"], repairs(tmp_path)[-1]) == ("y z", (3, None, "note", "F031", "y\x0bz"))


def test_what_was_mended_before_is_forgotten_with_the_rows_of_then(tmp_path: Path) -> None:
    run(tmp_path, "姓名,证件号码\n甲\x01,1\n".encode())
    assert len(repairs(tmp_path)) == 1
    run(tmp_path, "姓名,证件号码\n甲,1\n".encode())
    assert repairs(tmp_path) == []


def test_each_moved_character_has_a_place_of_its_own() -> None:
    assert not any("\ue000" <= c <= "\uf8ff" for c in STANDARD.values())
    assert len({*STANDARD.values()}) == len(STANDARD) == 105
    # What this codec reads as the standard of 2005 has them agrees with the table, but for the 24 of 2022.
    codes = [bytes((0xFE, n)) for n in range(0x50, 0xA1) if n != 0x7F]
    for at, code in enumerate(codes, start=0xE815):
        assert code.decode("gb18030") == (chr(at) if at in DECODED else STANDARD[at])
    assert len(DECODED) == 24


@pytest.mark.parametrize(
    ("text", "is_nothing"),
    [
        ("本期无数据", True), ("本月无。", True), ("2025年11月无数据", True), ("无", True), ("本季暂无处罚信息", True),
        ("零报告", True), ("本单位未发生相关业务", True), ("符无", False), ("无数据来源", False), ("2025年11月", False),
    ],
)  # fmt: skip
def test_a_row_that_says_nothing_is_no_row(tmp_path: Path, text: str, is_nothing: bool) -> None:
    decoded, _ = run(tmp_path, f"姓名,证件号码,说明\n{text},,\n".encode())
    assert (decoded.read, decoded.total_lines) == ((0, 1) if is_nothing else (1, 0))


def test_declared_delimiter_and_encoding_go_before_what_the_text_looks_like(tmp_path: Path) -> None:
    source = put(tmp_path, "姓名|证件号码,姓名\n甲|1,乙\n".encode())
    with pytest.raises(DeliveryError, match="F004"):
        decode(source, tmp_path / "staged.parquet", FIELDS, tmp_path, Format(delimiter=";"))
    decoded = decode(source, tmp_path / "staged.parquet", {"姓名": "name", "证件号码,姓名": "no"}, tmp_path,
                     Format(delimiter="|"))  # fmt: skip
    assert (decoded.columns, decoded.delimiter) == (("name", "no"), "|")
    source, as_gb18030 = put(tmp_path, "姓名,证件号码\n甲乙,1\n".encode()), Format(encoding="gb18030")
    with pytest.raises(DeliveryError, match="catalogue declares another encoding"):
        decode(source, tmp_path / "staged.parquet", FIELDS, tmp_path, as_gb18030)


@pytest.mark.parametrize("behind", ["", ",", ",5"])
def test_a_column_without_a_header_is_left_out_and_its_rows_are_read(tmp_path: Path, behind: str) -> None:
    decoded, rows = run(tmp_path, f"姓名,证件号码,\n甲,1{behind}\n乙,2{behind}\n".encode())
    assert (decoded.read, decoded.faults, [r["credit_number"] for r in rows]) == (2, (), ["1", "2"])


def test_the_record_that_is_no_row_is_told(tmp_path: Path) -> None:
    for extra in ("", "丁\x01,4,d\n"):
        decoded, _ = run(tmp_path, f"姓名,证件号码,说明\n甲,1,a\n乙,2\n{extra}".encode())
        assert [(f.code, f.line, f.value) for f in decoded.faults] == [("F007", 3, "乙,2")]


PIECE = st.sampled_from([
    "甲", "1", "", " ", '"q"', '"a,b"', '"a""b"', '"l\nm"', '"l\n\nm"', '5"x', '"open', 'a"b"c', '"x"y', "\x1a",
    "a\x0bb", "乙\ue863", '"\0"', '"c"\0',
])  # fmt: skip
LINE = st.lists(PIECE, min_size=3, max_size=3) | st.lists(PIECE, max_size=5)


@settings(max_examples=300 if SOAK else 60, deadline=None)
@given(st.lists(LINE, max_size=9), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "标题\n", "\n"]))
def test_both_ways_over_one_text_agree(tmp_path: Path, table: list[list[str]], end: str, title: str) -> None:
    text = title + "姓名,证件号码,说明\n" + "\n".join(",".join(r) for r in table)
    content = text.replace("\n", end).encode()
    fast, rows = run(tmp_path, content)
    noted = repairs(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.readers.text._fast", lambda *_: None)
        exact, same = run(tmp_path, content)
    assert rows == same
    assert sorted(noted, key=str) == sorted(repairs(tmp_path), key=str)
    assert [(f.code, f.line) for f in fast.faults] == [(f.code, f.line) for f in exact.faults]
    assert (fast.read, fast.blank) == (exact.read, exact.blank)


CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff"), max_size=8) | st.just(
    "a\nb"
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12))
def test_write_then_read_returns_the_rows_on_their_lines(tmp_path: Path, table: list[tuple[str, str, str]]) -> None:
    assume("".join(table[-1]).strip() not in {str(n) for n in range(13)})  # a last line that counts the others is none
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(("姓名", "证件号码", "说明"))
    expected = []
    for row in table:
        expected.append((out.getvalue().count("\n") + 1, *(c or None for c in row)))
        writer.writerow(row)
    decoded, rows = run(tmp_path, out.getvalue().encode())
    assert decoded.faults == ()
    assert [(r["line"], r["name"], r["credit_number"], r["note"]) for r in rows] == expected
