"""What the department gets back: a whole receipt, a workbook that changes no value, the same bytes each time."""

import hashlib
import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from pipelines.errors import StoreError
from pipelines.model import ACCOUNT
from pipelines.stages import workbook as stage
from pipelines.stages.receipt import Answer, Receipt, as_json, write_receipt
from pipelines.stages.sentences import rendered
from pipelines.stages.told import FINDINGS, ROWS, Told
from schemas.model import FindingCode

RECEIPT = Receipt(
    delivery_id="0123456789abcdef0123",
    department="tax",
    department_zh="省税务局",
    item="arrears",
    item_zh="欠税信息",
    file="欠税.csv",
    period="2026-11-22",
    sequence=1,
    mode="incremental",
    state="released",
    stage="final",
    as_of="2026-11-23",
    revision="r1",
    account={"read": 10, **dict.fromkeys(ACCOUNT, 0), "new": 7, "rejected": 2, "refused": 1},
    message_zh="",
    message_en="",
)
OWN_KEY, MESSAGE_ZH, FIX_ZH, LABEL, VALUE, EXPECTED, SHEET, LINE, SEVERITY, CODE, MESSAGE_EN, FIX_EN = range(12)
LABELS = {"name": "当事人姓名", "paid_on": "缴款日期", "amount": "金额"}


def code(name: str, severity: Any = "error", zh: str = "{label}“{value}”不对", en: str = "{label} {value} is wrong"):
    return FindingCode(
        code=name, severity=severity, title_en=name, message_zh=zh, message_en=en,
        fix_zh="请改正{label}", fix_en="Correct {label}", example="", source="",
    )  # fmt: skip


CODES = {
    "V001": code("V001", zh="{label}没有填写", en="{label} is missing"),
    "V002": code("V002"),
    "V012": code("V012", "warning"),
    "I008": code("I008", "info", zh="第 {line} 行已升位", en="row {line} was upgraded"),
    "D002": code("D002", "hold"),
}


def finding(line: int | None = 2, name: str = "V002", severity: str = "error", value: str | None = "x", **more: Any):
    own = {"sheet": None, "field": "paid_on", "label": "缴款日期", "own_key": "琼税〔2026〕1号", "echo": None}
    return {"line": line, "place": line, "code": name, "severity": severity, "value": value, **own, **more}


def row(line: int = 2, **cells: Any) -> dict[str, Any]:
    """A row to correct; `wrong` names its fields that are."""
    own = {"sheet": None, "verdict": "rejected", "wrong": "paid_on", "echo": None}
    return {"line": line, "place": line, **own, **dict.fromkeys(LABELS), **cells}


def answer(findings: Any, corrections: Any = (), size: int = 3) -> Answer:
    """In batches of `size`, as files give them."""
    texts = [(name, pa.string()) for name in (*ROWS[2:], *LABELS)]
    rows = pa.schema([("place", pa.int64()), ("line", pa.int64()), *texts])

    def batches(table: pa.Table) -> Any:
        return lambda: iter(table.to_batches(max_chunksize=size))

    told = Told(
        batches(pa.Table.from_pylist(list(findings), FINDINGS)), batches(pa.Table.from_pylist(list(corrections), rows))
    )
    return Answer(told, CODES, lambda field, code: f"{field} as {code}" if field else "", LABELS, "回传_")


def write(outbox: Path, *findings: dict[str, Any], rows: Any = (), **changes: Any) -> tuple[dict[str, Any], Any]:
    receipt_path, workbook_path = write_receipt(outbox, replace(RECEIPT, **changes), answer(findings, rows))
    return json.loads(receipt_path.read_text(encoding="utf-8")), openpyxl.load_workbook(workbook_path)


def as_dicts(*findings: dict[str, Any]) -> list[dict[str, Any]]:
    given = answer(findings)
    return [as_json(r) for r in rendered(given.told.findings, CODES, given.expected)]


def rows_of(tab: Any) -> list[tuple[Any, ...]]:
    return [tuple(c.value for c in row) for row in tab.iter_rows(min_row=2)]


def summary_text(book: Any) -> str:
    return "\n".join(str(c.value) for row in book.worksheets[0].iter_rows() for c in row if c.value is not None)


def test_the_receipt_holds_every_fact_the_counts_and_the_checksum_of_its_workbook(tmp_path: Path) -> None:
    told, _ = write(tmp_path, finding(2), finding(3, label="金额"), finding(3, "V012", "warning"))
    workbook = tmp_path / "tax" / "0123456789abcdef0123.findings.xlsx"
    assert {k: told[k] for k in ("department_zh", "state", "stage", "account")} == {
        "department_zh": "省税务局",
        "state": "released",
        "stage": "final",
        "account": RECEIPT.account,
    }
    assert told["findings_total"] == 3
    assert [(f["code"], f["count"], f["severities"]) for f in told["findings"]] == [
        ("V002", 2, {"error": 2}),
        ("V012", 1, {"warning": 1}),
    ]
    assert told["findings"][0]["labels"] == {"缴款日期": 1, "金额": 1}
    assert told["findings"][0]["message_zh"] == "缴款日期、金额“…”不对"
    assert told["findings"][0]["fix_en"] == "Correct 缴款日期、金额"
    assert told["workbook"] == {"file": workbook.name, "sha256": hashlib.sha256(workbook.read_bytes()).hexdigest()}


def test_the_receipt_is_readable_chinese_not_escapes(tmp_path: Path) -> None:
    write(tmp_path)
    assert "省税务局" in (tmp_path / "tax" / "0123456789abcdef0123.receipt.json").read_text(encoding="utf-8")


def test_the_findings_stand_as_they_were_told_key_message_and_cure_first(tmp_path: Path) -> None:
    _, book = write(tmp_path, finding(None, "I008", "info", field="", label=""), finding(3), finding(9, "D002", "hold"))
    head, *rows = book["问题 Findings"].iter_rows(values_only=True)
    assert [name.partition("\n")[0] for name in head][:8] == [
        "业务主键", "问题", "改正办法", "信息项", "原值", "应填", "工作表/#序号", "行号"
    ]  # fmt: skip
    assert [(r[LINE], r[CODE], r[SEVERITY], r[EXPECTED]) for r in rows] == [
        (None, "I008", "提示 info", None),
        (3, "V002", "错误 error", "paid_on as V002"),
        (9, "D002", "暂缓 hold", "paid_on as D002"),
    ]


def test_echo_columns_come_back_untouched(tmp_path: Path) -> None:
    sent = {"回传_编号": "00017", "ECHO_x": "=1+1"}
    echo = json.dumps(sent, ensure_ascii=False)
    _, book = write(tmp_path, finding(None), finding(2, echo=echo), rows=[row(2, echo=echo)])
    for tab, head, first in (("问题 Findings", 1, 3), ("改正 Corrections", 3, 4)):
        names = [c.value for c in book[tab][head]]
        cells = {name: book[tab].cell(first, names.index(name) + 1) for name in sent}
        assert {name: c.value for name, c in cells.items()} == sent
        assert cells["ECHO_x"].data_type == "s" and cells["ECHO_x"].quotePrefix


def test_rows_to_correct_stand_under_the_labels_with_what_is_wrong_marked(tmp_path: Path) -> None:
    _, book = write(tmp_path, finding(), rows=[row(7, name="甲", paid_on="2026-13-05", wrong="paid_on,amount")])
    tab = book["改正 Corrections"]
    assert [c.value for c in tab[3]] == ["回传_行号", "当事人姓名", "缴款日期", "金额"]
    assert [c.value for c in tab[4]] == ["7", "甲", "2026-13-05", None]
    assert [c.fill.fgColor.rgb[2:] for c in tab[4]][1:] == ["000000", "F8CBAD", "F8CBAD"]
    assert {c.number_format for c in tab[4]} == {"@"} and tab.column_dimensions["B"].width >= 10
    assert tab.freeze_panes == "A4" and tab.merged_cells.ranges == set()
    assert "放回原来的收件箱" in tab["A1"].value


def test_the_sheet_of_a_row_stands_beside_its_line_where_there_are_sheets(tmp_path: Path) -> None:
    _, book = write(tmp_path, rows=[row(7, sheet="一月"), row(8)])
    assert [[c.value for c in r][:3] for r in book["改正 Corrections"]["A3:C5"]] == [
        ["回传_行号", "回传_工作表", "当事人姓名"],
        ["7", "一月", None],
        ["8", None, None],
    ]


def test_a_place_that_came_back_is_replaced_by_the_place_in_this_file(tmp_path: Path) -> None:
    _, book = write(tmp_path, rows=[row(3, echo='{"回传_行号": "379"}')])
    tab = book["改正 Corrections"]
    assert [[c.value for c in r] for r in tab["A3:B4"]] == [["回传_行号", "当事人姓名"], ["3", None]]


def test_no_rows_to_correct_give_no_tab(tmp_path: Path) -> None:
    assert write(tmp_path, finding())[1].sheetnames == ["摘要 Summary", "问题 Findings"]


def test_a_row_that_no_cell_holds_whole_is_left_out_and_told(tmp_path: Path) -> None:
    _, book = write(tmp_path, rows=[row(2, name="长" * 16_001), row(3)])
    tab = book["改正 Corrections"]
    assert [c.value for c in tab["A"]][2:] == ["回传_行号", "3"]
    assert "另有 1 行的文字超过单元格容量" in tab["A1"].value and "1 rows with a text too long" in tab["A2"].value


def test_the_rows_to_correct_end_with_the_tab_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "ROWS_PER_TAB", 6)
    _, book = write(tmp_path, rows=[row(n) for n in range(2, 9)])
    tab = book["改正 Corrections"]
    assert [c.value for c in tab["A"]][2:] == ["回传_行号", "2", "3", "4"]
    assert "容不下其余 4 行" in tab["A1"].value and "4 more rows do not fit" in tab["A2"].value


@pytest.mark.parametrize("rows_in_memory", [0, 5_000])
def test_a_large_workbook_says_what_a_small_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_memory: int
) -> None:
    monkeypatch.setattr(stage, "ROWS_IN_MEMORY", rows_in_memory)
    _, book = write(tmp_path, *(finding(n) for n in range(2, 9)), rows=[row(3, name="=1", wrong="name")])
    said = [[[c.value for c in r] for r in tab] for tab in book.worksheets]
    assert [r[LINE] for r in said[1][1:]] == [2, 3, 4, 5, 6, 7, 8] and said[2][3] == ["3", "=1", None, None]
    assert sorted(p.name for p in (tmp_path / "tax").iterdir()) == [
        "0123456789abcdef0123.findings.xlsx", "0123456789abcdef0123.receipt.json"
    ]  # fmt: skip


@pytest.mark.parametrize("rows_in_memory", [0, 5_000])
def test_a_value_that_looks_like_the_inside_of_a_workbook_is_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_memory: int
) -> None:
    """The library would put these on the sheet as they are, and no program would open it."""
    odd = ("<r>a</b></r>", "<r></r>", "<r><t> & </t></r>", "<r>")
    monkeypatch.setattr(stage, "ROWS_IN_MEMORY", rows_in_memory)
    echo = json.dumps({odd[0]: odd[1]})
    rows = [row(n, name=value, wrong="name") for n, value in enumerate(odd, start=2)]
    _, book = write(tmp_path, *(finding(n, value=v, echo=echo) for n, v in enumerate(odd, start=2)), rows=rows)
    _, found, corrections = book.worksheets
    assert [r[VALUE].value for r in found.iter_rows(min_row=2)] == list(odd)
    assert odd[0] in [c.value for c in found[1]] and odd[1] in [c.value for c in found[2]]
    assert [r[1].value for r in corrections.iter_rows(min_row=4)] == list(odd)


def test_ids_stay_text_digit_for_digit(tmp_path: Path) -> None:
    ids = ("469099188001010000", "00012", "4.69099E+17", "http://a.example/", "2026-11-22")
    _, book = write(tmp_path, *(finding(n, value=v, own_key=v) for n, v in enumerate(ids, start=2)))
    cells = list(book["问题 Findings"].iter_rows(min_row=2))
    assert [row[VALUE].value for row in cells] == list(ids)
    assert {(row[i].data_type, row[i].number_format) for row in cells for i in (OWN_KEY, VALUE)} == {("s", "@")}
    assert all(row[VALUE].hyperlink is None for row in cells)
    assert {row[LINE].data_type for row in cells} == {"n"}


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "＝1"])
def test_a_value_that_looks_like_a_formula_stays_text_unchanged(tmp_path: Path, value: str) -> None:
    _, book = write(tmp_path, finding(value=value, own_key=value, sheet=value, label=value))
    (row,) = book["问题 Findings"].iter_rows(min_row=2)
    for column in (SHEET, OWN_KEY, LABEL, VALUE, MESSAGE_ZH):
        assert row[column].data_type == "s"
        assert row[column].quotePrefix
    # openpyxl leaves the escape of a carriage return (ECMA-376, ST_Xstring) as it is.
    assert row[VALUE].value.replace("_x000D_", "\r") == value
    with zipfile.ZipFile(tmp_path / "tax" / "0123456789abcdef0123.findings.xlsx") as z:
        sheets = [z.read(n).decode() for n in z.namelist() if n.startswith("xl/worksheets/sheet")]
    assert not any("<f>" in s for s in sheets)


def test_a_file_name_is_no_formula_either(tmp_path: Path) -> None:
    _, book = write(tmp_path, file="=HYPERLINK(1).csv")
    assert [c.quotePrefix for row in book.worksheets[0] for c in row if c.value == "=HYPERLINK(1).csv"] == [True]


def test_characters_that_xml_cannot_carry_are_removed(tmp_path: Path) -> None:
    told, book = write(tmp_path, finding(value="a\x00b\x1fc\ufffed_x0041_\ne"), file="bad\udcff.csv")
    assert rows_of(book["问题 Findings"])[0][VALUE].replace("_x005F", "") == "abcd_x0041_\ne"
    assert told["file"] == "bad\ufffd.csv"


def test_braces_in_a_value_break_nothing(tmp_path: Path) -> None:
    _, book = write(tmp_path, finding(value="{label}{0}{", label="{value}"))
    assert rows_of(book["问题 Findings"])[0][MESSAGE_ZH] == "{value}“{label}{0}{”不对"


def test_a_finding_without_value_or_field_still_reads_as_a_sentence() -> None:
    assert [(r["message_zh"], r["message_en"]) for r in as_dicts(finding(None, value=None, field="", label=""))] == [
        ("本行“（空）”不对", "the row (empty) is wrong")
    ]


def test_a_code_the_catalogue_no_longer_knows_is_still_reported(tmp_path: Path) -> None:
    told, book = write(tmp_path, finding(name="V099"))
    assert rows_of(book["问题 Findings"])[0][MESSAGE_EN] == "The catalogue does not explain code V099."
    assert [f["code"] for f in told["findings"]] == ["V099"]


def test_a_value_longer_than_a_cell_is_cut_and_says_so(tmp_path: Path) -> None:
    _, book = write(tmp_path, finding(value="𠀀" * 20_000))
    row = rows_of(book["问题 Findings"])[0]
    assert row[VALUE].endswith("cut, 20000 characters）")
    assert len(row[MESSAGE_ZH]) < 150


def test_more_findings_than_a_tab_holds_go_on_in_further_tabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "ROWS_PER_TAB", 4)
    _, book = write(tmp_path, *(finding(n) for n in range(2, 9)))
    assert book.sheetnames == ["摘要 Summary", "问题 Findings", "问题 Findings 2", "问题 Findings 3"]
    assert [[r[LINE] for r in rows_of(tab)] for tab in book.worksheets[1:]] == [[2, 3, 4], [5, 6, 7], [8]]
    assert [tab.auto_filter.ref for tab in book.worksheets[1:]] == ["A1:L4", "A1:L4", "A1:L2"]


@pytest.mark.parametrize(("count", "tabs"), [(3, 1), (4, 2), (6, 2)])
def test_a_full_tab_is_followed_by_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, tabs: int
) -> None:
    monkeypatch.setattr(stage, "ROWS_PER_TAB", 4)
    _, book = write(tmp_path, *(finding(n) for n in range(2, 2 + count)))
    assert len(book.sheetnames) == 1 + tabs


def test_findings_have_a_frozen_header_a_filter_widths_and_wrapped_text(tmp_path: Path) -> None:
    _, book = write(tmp_path, finding())
    tab = book["问题 Findings"]
    assert (tab.freeze_panes, tab.auto_filter.ref) == ("A2", "A1:L2")
    assert tab.column_dimensions["B"].width > 30
    assert tab["B2"].alignment.wrap_text and tab.merged_cells.ranges == set()


def test_no_findings_give_a_header_and_say_so(tmp_path: Path) -> None:
    account = {"read": 1, **dict.fromkeys(ACCOUNT, 0), "new": 1}
    told, book = write(tmp_path, account=account)
    assert rows_of(book["问题 Findings"]) == []
    assert "没有逐行的问题" in summary_text(book)
    assert told["next_step_zh"] == "通过检查的行已发布。无需处理。"


def test_the_summary_shows_state_account_next_step_and_causes_by_count(tmp_path: Path) -> None:
    told, book = write(tmp_path, finding(2, "V001"), finding(3), finding(4), message_zh="注意", message_en="Note")
    text = summary_text(book)
    places = [text.index(s) for s in ("已发布 released", told["next_step_zh"], "读入", "退回，需改正", "V002", "V001")]
    assert places == sorted(places)
    assert "注意\nNote" in text
    assert {told["next_step_zh"], told["next_step_en"]} <= set(text.split("\n"))


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({}, "2 行被退回：请在“改正”表中改正标红的内容", "整批暂缓"),
        ({}, "1 行依法不得归集", "无需处理"),
        ({"mode": "full"}, "重新报送完整文件", "“改正”表"),
        ({"state": "held"}, "整批暂缓", "“改正”表"),
        ({"state": "returned"}, "整个文件没有入库", "无需处理"),
        ({"state": "checked", "stage": "checked"}, "等待发布", "无需处理"),
        ({"state": "checked", "stage": "trial"}, "按“问题”表改正后再报送整个文件", "等待发布"),
        ({"state": "held", "stage": "trial"}, "这样报送会整批暂缓", "没有入库。请按"),
        ({"state": "returned", "stage": "trial"}, "这样报送会整批退回", "没有入库。请按"),
    ],
)
def test_the_next_step_fits_the_state(tmp_path: Path, changes: dict[str, Any], said: str, unsaid: str) -> None:
    told, _ = write(tmp_path, finding(), **changes)
    assert said in told["next_step_zh"]
    assert unsaid not in told["next_step_zh"]


def test_rows_that_could_not_be_read_are_not_looked_for_among_the_corrections(tmp_path: Path) -> None:
    lost = [finding(n, place=None, field="", label="") for n in (5, 5, 8)]
    told, _ = write(tmp_path, finding(2), *lost, finding(None, place=None))
    assert "其中 2 行没能读成行" in told["next_step_zh"] and "Of them 2 could not be read" in told["next_step_en"]


def test_the_five_most_frequent_causes_stand_before_the_others(tmp_path: Path) -> None:
    labels = ["甲", "乙", "丙", "丁", "戊", "己"]
    found = [finding(n, label=label) for count, label in enumerate(labels, start=1) for n in range(count)]
    told, book = write(tmp_path, *found)
    assert [(c["label"], c["count"]) for c in told["causes"]] == list(zip(labels[:0:-1], range(6, 1, -1), strict=True))
    text = summary_text(book)
    places = [text.index(s) for s in ("最常见的五个原因", "己“…”不对", "乙“…”不对", "其余原因", "甲“…”不对")]
    assert places == sorted(places)


def test_rows_waiting_for_release_are_not_called_held(tmp_path: Path) -> None:
    account = {**RECEIPT.account, "new": 0, "held": 7}
    waiting, _ = write(tmp_path, account=account, state="checked")
    released, _ = write(tmp_path, account=account)
    assert "暂缓" not in waiting["next_step_zh"]
    assert "有行暂缓" in released["next_step_zh"]


def files(outbox: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in outbox.rglob("*") if p.is_file()}


def test_the_same_input_gives_the_same_bytes_whatever_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [finding(n, value=str(n % 3), sheet=s) for n in range(2, 40) for s in (None, "表1")]
    write(tmp_path / "a", *rows)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        write_receipt(tmp_path / "b", RECEIPT, answer(rows, size=7))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_workbook_is_dated_by_the_as_of_date(tmp_path: Path) -> None:
    _, book = write(tmp_path)
    assert book.properties.created.isoformat() == "2026-11-23T00:00:00"


def test_nothing_but_the_two_files_is_left(tmp_path: Path) -> None:
    write(tmp_path, finding())
    write(tmp_path, finding(), stage="checked")
    assert sorted(p.name for p in (tmp_path / "tax").iterdir()) == [
        "0123456789abcdef0123.findings.xlsx",
        "0123456789abcdef0123.receipt.json",
    ]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), ValueError("a bug")])
def test_a_failed_write_keeps_the_earlier_receipt_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    write(tmp_path, finding())
    before = files(tmp_path)

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(stage, "_findings", fail)
    with pytest.raises(StoreError if isinstance(fault, OSError) else ValueError) as stopped:
        write(tmp_path, finding(3))
    assert "No space left" in str(stopped.value) or isinstance(fault, ValueError)
    assert files(tmp_path) == before
    assert len(list((tmp_path / "tax").iterdir())) == 2


def test_the_leftovers_of_a_killed_run_are_swept_but_only_of_this_delivery(tmp_path: Path) -> None:
    folder = tmp_path / "tax"
    (folder / ".0123456789abcdef0123.abc").mkdir(parents=True)
    (folder / ".0123456789abcdef0123.abc" / "rows").write_text("values")
    (folder / ".0123456789abcdef0123.findings.xlsx.99.part").write_text("half")
    (folder / ".ffffffffffffffffffff.findings.xlsx.99.part").write_text("somebody's")
    write(tmp_path, finding())
    assert [p.name for p in folder.glob(".*")] == [".ffffffffffffffffffff.findings.xlsx.99.part"]


def test_values_are_parked_in_the_outbox_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o500)
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere / "missing"))
    write(tmp_path / "outbox", finding())
    assert list(elsewhere.iterdir()) == []


def test_rendered_findings_have_the_columns_of_the_command() -> None:
    assert as_dicts(finding(7, value="2026-13-05")) == [{
        "line": 7,
        "sheet": None,
        "field": "paid_on",
        "code": "V002",
        "severity": "error",
        "value": "2026-13-05",
        "message_zh": "缴款日期“2026-13-05”不对",
        "message_en": "缴款日期 2026-13-05 is wrong",
        "fix": "请改正缴款日期 / Correct 缴款日期",
    }]  # fmt: skip


def test_no_batches_render_nothing() -> None:
    assert as_dicts() == []


def test_a_batch_without_a_row_to_correct_is_no_fault(tmp_path: Path) -> None:
    """The law refuses all its rows, or they were corrected since."""
    given = answer([finding()], [row()])
    (batch,) = given.told.rows()
    for rows in ([batch.slice(0, 0)], [batch.slice(0, 0), batch]):
        told = replace(given, told=replace(given.told, rows=lambda rows=rows: rows))
        assert write_receipt(tmp_path, RECEIPT, told)[1].exists()
