"""Q09, Q10, Q20–Q29: workbooks, and what is only called one.

`Q10/locked.xlsx` was encrypted by hand, with the password `secret`; here its rows are written, not its cipher. The
formats xls and ods are written by LibreOffice.
"""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import xlsxwriter
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from tests.dirty_data import SAMPLES
from tests.dirty_files import HEADER, csv, honour, put

Grid = Sequence[Sequence[Any]]


def grid(*rows: dict[str, str], header: Sequence[str] = HEADER) -> Grid:
    return [tuple(header), *(tuple(row.values()) for row in rows)]


def book(*sheets: tuple[str, Grid], then: Callable[[openpyxl.Workbook], object] | None = None) -> bytes:
    made = openpyxl.Workbook()
    made.remove(made.worksheets[0])
    for name, rows in sheets:
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append([None if cell == "" else cell for cell in row])
    if then:
        then(made)
    made.properties.created = made.properties.modified = datetime(2098, 1, 5)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def first(made: openpyxl.Workbook) -> Worksheet:
    sheet: Worksheet = made.worksheets[0]
    return sheet


def converted(content: bytes, to: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.xlsx").write_bytes(content)
        command = ["soffice", "--headless", "--convert-to", to, "--outdir", folder, f"{folder}/a.xlsx"]
        subprocess.run(command, check=True, capture_output=True)
        return (Path(folder) / f"a.{to}").read_bytes()


def zipped(*members: tuple[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (2098, 1, 5, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def page(rows: Grid, title: str = "") -> str:
    lines = ["".join(f'<td style="mso-number-format:\'@\'">{cell or "&nbsp;"}</td>' for cell in row) for row in rows]
    head = f'<tr><td colspan="{len(rows[0])}">{title}</td></tr>' if title else ""
    return (
        '<html xmlns:x="urn:schemas-microsoft-com:office:excel"><head>'
        '<meta http-equiv="Content-Type" content="text/html; charset=gb2312"></head><body>'
        f'<table border="1">{head}{"".join(f"<tr>{line}</tr>" for line in lines)}</table></body></html>'
    )


def spreadsheet_2003(rows: Grid) -> str:
    lines = [
        "".join(
            f'<Cell ss:Index="{n}"><Data ss:Type="String">{cell}</Data></Cell>'
            for n, cell in enumerate(row, start=1)
            if cell
        )
        for row in rows
    ]
    return (
        '<?xml version="1.0" encoding="GB2312"?>\n<?mso-application progid="Excel.Sheet"?>\n'
        '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"'
        ' xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="荣誉"><Table>\n'
        + "\n".join(f"<Row>{line}</Row>" for line in lines)
        + "\n</Table></Worksheet></Workbook>\n"
    )


def q09() -> None:
    rows = grid(honour(1), honour(2, 备注="䶮"))
    plain = book(("荣誉", rows))
    put("Q09", "page.xls", page(rows, "示例局荣誉信息公示表").encode("gb18030"))
    put("Q09", "tabs.xls", csv(honour(1), honour(2), delimiter="\t", end="\r\n").encode("gb18030"))
    put("Q09", "xml_2003.xls", spreadsheet_2003(rows).encode("gb18030"))
    put("Q09", "workbook.csv", plain)
    put("Q09", "wps.et", converted(plain, "xls"))
    put("Q09", "libreoffice.ods", converted(plain, "ods"))
    put("Q09", "twice.zip", zipped(("荣誉.zip", zipped(("荣誉.xlsx", plain)))))
    put("Q09", "three_times.zip", zipped(("1.zip", zipped(("2.zip", zipped(("荣誉.xlsx", plain)))))))
    put("Q09", "page_without_table.xls", "<html><body>登录已超时，请重新登录。</body></html>")
    put("Q09", "page_cut_off.xls", page(rows).encode("gb18030")[:-120])


def without_value(made: openpyxl.Workbook) -> None:
    """openpyxl writes formulas and never calculates."""
    sheet = first(made)
    sheet["B3"] = '=VLOOKUP("身份证",Z1:Z2,1,0)'
    sheet["A4"] = "=Z9"
    sheet["M5"] = "=Z9&Z8"


def calculated() -> bytes:
    """Formulas with their values: a text, an error, an empty text, and a link into another workbook."""
    out = io.BytesIO()
    made = xlsxwriter.Workbook(out, {"in_memory": True})
    sheet = made.add_worksheet("荣誉")
    sheet.write_row(0, 0, HEADER)
    for at, row in enumerate((honour(1), honour(2), honour(3), honour(4)), start=1):
        sheet.write_row(at, 0, [*row.values()])
    sheet.write_formula(1, 4, '="示例"&"荣誉"', None, "示例荣誉")
    sheet.write_formula(2, 12, '=IF(1=1,"","x")', None, "?")
    sheet.write_formula(3, 8, "='file:///C:/[目录.xlsx]Sheet1'!$A$1", None, "示例文件")
    sheet.write_formula(4, 12, "=VLOOKUP(1,Z1:Z2,1,0)", None, "#N/A")
    made.close()
    # As Excel writes the value of a formula that comes to an empty text; xlsxwriter cannot.
    return rewritten(out.getvalue(), "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<v>?</v>", b"<v></v>"))


def rewritten(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    return zipped(*((name, change(text) if name == part else text) for name, text in parts))


def with_macro() -> bytes:
    out = io.BytesIO()
    made = xlsxwriter.Workbook(out, {"in_memory": True})
    made.add_vba_project(io.BytesIO(b"a project that nothing ever opens"), is_stream=True)
    sheet = made.add_worksheet("荣誉")
    sheet.write_row(0, 0, HEADER)
    sheet.write_row(1, 0, [*honour(1).values()])
    made.close()
    return out.getvalue()


def locked_xls(content: bytes) -> bytes:
    """The record that says a stream is encrypted (FILEPASS) in the place of one that says nothing."""
    at = content.find(struct.pack("<HHH", 0x809, 16, 0x600))
    interface = at + 20
    assert content[interface : interface + 2] == b"\xe1\x00"
    return content[:interface] + b"\x2f\x00" + content[interface + 2 :]


def q10() -> None:
    rows = grid(*(honour(n) for n in range(1, 9)))
    put("Q10", "without_value.xlsx", book(("荣誉", rows), then=without_value))
    put("Q10", "calculated.xlsx", calculated())
    put("Q10", "errors.xls", converted(calculated(), "xls"))
    put("Q10", "macro.xlsm", with_macro())
    put("Q10", "locked.xls", locked_xls(converted(book(("荣誉", rows)), "xls")))


def merge(*ranges: str) -> Callable[[openpyxl.Workbook], None]:
    def then(made: openpyxl.Workbook) -> None:
        for one in ranges:
            first(made).merge_cells(one)

    return then


def q20() -> None:
    above = [("附件1",), ("海口市示例局荣誉信息公示表",), ("填报单位：海口市示例局", "", "", "填报人：甲"),
             ("填报日期：2025年7月1日",)]  # fmt: skip
    rows = [*above, *grid(honour(1), honour(2))]
    put("Q20", "titles.xlsx", book(("荣誉", rows), then=merge("A2:N2")))
    put("Q20", "titles.xls", converted(book(("荣誉", rows), then=merge("A2:N2")), "xls"))
    put("Q20", "header_too_low.xlsx", book(("荣誉", [("说明",)] * 20 + [*grid(honour(1))])))


def q21() -> None:
    upper = ["序号", "当事人", "", "", "荣誉", "", "", "", "", "", "", "", "", "备注", "更新时间"]
    lower = ["", *HEADER[:12], "", ""]
    rows = [upper, lower, *((str(n), *honour(n).values()) for n in (1, 2))]
    merged = merge("A1:A2", "B1:D1", "E1:M1", "N1:N2", "O1:O2")
    put("Q21", "two_levels.xlsx", book(("荣誉", rows), then=merged))
    put("Q21", "two_levels.ods", converted(book(("荣誉", rows), then=merged), "ods"))
    cells = "".join(f"<td>{cell}</td>" for cell in HEADER[:12])
    head = (
        '<tr><td rowspan=2>序号<td colspan=3>当事人<td colspan=9>荣誉<td rowspan=2>备注<td rowspan=2>更新时间</tr>'
        f"<tr>{cells}</tr>"
    )
    body = page([("1", *honour(1).values()), ("2", *honour(2).values())])
    put("Q21", "two_levels.xls", body.replace("<tr>", head + "<tr>", 1))
    twice = [
        ["当事人", "", "", "推荐人", "", *[""] * 11],
        [*HEADER[:3], "姓名", "证件号码", *HEADER[3:]],
        [*honour(1).values()][:3] + ["", ""] + [*honour(1).values()][3:],
    ]
    put("Q21", "whose_name.xlsx", book(("荣誉", twice), then=merge("A1:C1", "D1:E1")))


def q22() -> None:
    rows = [list(row) for row in grid(*(honour(n, 认定文号="琼验字〔2025〕22号") for n in range(1, 6)))]
    for at in (2, 3):
        for column in (4, 7, 8, 9):
            rows[at][column] = ""
    rows[4][7] = rows[5][7] = ""
    merged = merge("E2:E4", "H2:H4", "I2:I4", "J2:J4", "M5:N5", "H7:H9")
    put("Q22", "merged.xlsx", book(("荣誉", rows), then=merged))
    put("Q22", "merged.xls", converted(book(("荣誉", rows), then=merged), "xls"))


def hide(made: openpyxl.Workbook) -> None:
    made["上月"].sheet_state = "hidden"
    sheet = made["本月"]
    sheet.auto_filter.ref = "A1:N4"
    sheet.row_dimensions[3].hidden = True


def q23() -> None:
    sheets = (
        ("填报说明", [("填报说明",), ("1．姓名、证件号码为必填项。",)]),
        ("本月", grid(honour(1), honour(2), honour(3))),
        ("代码", [("代码", "名称"), ("01", "道德模范")]),
        ("上月", grid(honour(4))),
        ("Sheet2", []),
    )
    put("Q23", "sheets.xlsx", book(*sheets, then=hide))
    put("Q23", "sheets.xls", converted(book(*sheets, then=hide), "xls"))
    put("Q23", "no_sheet_fits.xlsx", book(sheets[0], sheets[2]))


def q24() -> None:
    rows = [
        ("荣誉信息公示表",),
        *grid(honour(1), honour(2)),
        ("小计", "2"),
        ("荣誉信息公示表",),
        *grid(honour(3)),
        ("小　计", "", 1),
        (),
        ("合计", "", 3),
        ("填表说明：",),
        ("1．本表由各单位填写。",),
        ("制表人：甲", "", "审核人：乙"),
    ]
    put("Q24", "totals.xlsx", book(("荣誉", rows)))
    put("Q24", "totals.xls", page([(*row, *[""] * (14 - len(row))) for row in rows]))
    serials = [("序号", *HEADER), *((n, *honour(n).values()) for n in (1, 2)), *((n,) for n in range(3, 20))]
    put("Q24", "numbered_in_advance.xlsx", book(("荣誉", serials)))
    put("Q24", "a_name_like_a_total.xlsx", book(("荣誉", grid(honour(1, 姓名="合计发"), honour(2)))))


def q25() -> None:
    header = ["序号", "*姓名(必填)", "证件类型", "证件\n号码", "荣誉类型（选填）", "荣誉\u00a0名称", "【荣誉级别】",
              "评价年度", " 认定文号 ", "文件名称", "认定日期", "认 定 部 门", "", "是否同意公示", "备注",
              "更新时间"]  # fmt: skip
    cells = [[*honour(n).values()] for n in (1, 2)]
    rows = [header, *([n, *c[:11], "", *c[11:]] for n, c in enumerate(cells, start=1))]
    put("Q25", "header.xlsx", book(("荣誉", rows)))


def q26() -> None:
    common = {"姓名": "获奖人姓名", "证件号码": "身份证号", "荣誉名称": "称号", "认定部门": "表彰单位"}
    put("Q26", "aliases.xlsx", book(("荣誉", grid(honour(1), header=[common.get(h, h) for h in HEADER]))))
    slip = {"文件名称": "文件的名称"}
    put("Q26", "slip.xlsx", book(("荣誉", grid(honour(1), header=[slip.get(h, h) for h in HEADER]))))
    slip = {"认定日期": "认定日起"}
    put("Q26", "slip_of_a_required_one.xlsx", book(("荣誉", grid(honour(1), header=[slip.get(h, h) for h in HEADER]))))
    twice = [[*HEADER, "身份证号"], [*honour(1).values(), ""]]
    put("Q26", "two_for_one.xlsx", book(("荣誉", twice)))


def q27() -> None:
    labels = {"证件号码": "身份证号", "认定文号": "表彰文号", "认定日期": "表彰日期"}
    put("Q27", "until_june.xlsx", book(("荣誉", grid(honour(1), honour(2)))))
    header = [labels.get(h, h) for h in reversed(HEADER)]
    put("Q27", "from_july.xlsx", book(("荣誉", [header, *([*reversed(honour(n).values())] for n in (3, 4))])))


def q28() -> None:
    put("Q28", "scan.pdf", b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")
    document = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    put("Q28", "letter.docx", zipped(("[Content_Types].xml", document), ("word/document.xml", "<w/>")))
    wrapped = {"证件号码": "证件号\n码", "认定部门": "认定\r\n部门", "是否同意公示": "是否同意\n公示"}
    put("Q28", "wrapped.xlsx", book(("荣誉", grid(honour(1), header=[wrapped.get(h, h) for h in HEADER]))))


def q29() -> None:
    out = io.BytesIO()
    made = xlsxwriter.Workbook(out, {"constant_memory": True})
    sheet, border = made.add_worksheet("荣誉"), made.add_format({"border": 1})
    sheet.write_row(0, 0, HEADER)
    sheet.write_row(1, 0, [*honour(1).values()])
    for row in range(2, 65_536):
        sheet.write_blank(row, 0, None, border)
    made.close()
    put("Q29", "formatted_to_65536.xlsx", out.getvalue())
    for file, column, text in (("a_blank_at_the_end.xlsx", 0, " "), ("far_away.xlsx", 16_383, "x")):
        out = io.BytesIO()
        made = xlsxwriter.Workbook(out)
        sheet = made.add_worksheet("荣誉")
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, [*honour(1).values()])
        sheet.write(1_048_575, column, text)
        made.close()
        put("Q29", file, out.getvalue())


def types_1904() -> bytes:
    """Every type of cell, in the date system of 1904."""

    def then(made: openpyxl.Workbook) -> None:
        made.epoch = CALENDAR_MAC_1904

    rows = [
        ("姓名", "证件号码", "说明"),
        ("甲", 7, date(2098, 1, 5)),
        ("乙", "007", datetime(2098, 1, 5, 8)),
        ("丙", "x", True),
        ("丁", 460106186003070037, 1.5),
    ]
    return book(("一", rows), then=then)


if __name__ == "__main__":
    for form in ("xls", "ods"):
        (SAMPLES.parent / "test_readers" / f"types_1904.{form}").write_bytes(converted(types_1904(), form))
    for make in (q09, q10, q20, q21, q22, q23, q24, q25, q26, q27, q28, q29):
        make()
