"""A workbook for departments to fill: headers the readers know, ids as text, lists to choose from, notes in Chinese.

Only the first sheet is data. The two others name the fields one below the other and with their number, so that no
reader takes a row of theirs for a header; examples stand there and not where rows go.
"""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import xlsxwriter

from schemas.dictionary import UNITS, WORDS, rules
from schemas.model import Catalog, FieldSpec, Item

LAST_ROW = 20_000  # rows that the lists and formats are prepared for; more may be filled without them
NUMBER_FORMS = {"date": "yyyy-mm-dd", "timestamp": "yyyy-mm-dd hh:mm:ss", "integer": "0", "decimal": "0.######"}
EXAMPLES = {
    "date": "2098-01-05",
    "timestamp": "2098-01-05 09:30:00",
    "integer": "3",
    "decimal": "200.00",
    "boolean": "是",
}
ROLES = {"credit_number": "（18 位公民身份号码，文本格式）", "name": "（证件上的姓名）"}


def make(item: Item, catalog: Catalog) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False}) as book:
        # Without a fixed date two exports of one catalogue would differ.
        book.set_properties({"title": item.name_zh, "created": dt.datetime(2017, 6, 16)})
        forms = {t: book.add_format({"num_format": NUMBER_FORMS.get(t, "@")}) for t in WORDS["type"]}
        head = book.add_format({"bold": True, "bg_color": "#DDEBF7", "border": 1})
        must = book.add_format({"bold": True, "bg_color": "#F8CBAD", "border": 1})
        wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        data, notes, codes = (book.add_worksheet(name) for name in ("填报", "说明", "代码"))
        places = _codes(codes, item, catalog, head)
        data.freeze_panes(1, 0)
        for column, field in enumerate(item.live_fields):
            data.set_column(column, column, max(12, 2 * len(field.label_zh) + 2), forms[field.type])
            data.write_string(0, column, field.label_zh, must if field.required else head)
            data.write_comment(0, column, _note(field, item, catalog), {"x_scale": 2})
            source = places.get(field.name) or (["是", "否"] if field.type == "boolean" else None)
            if source:
                told = {"error_title": field.label_zh, "error_message": "请从列表中选择。", "ignore_blank": True}
                data.data_validation(1, column, LAST_ROW, column, {"validate": "list", "source": source, **told})
        _notes(notes, item, catalog, head, wrapped)
    return out.getvalue()


def _codes(sheet: Any, item: Item, catalog: Catalog, head: Any) -> dict[str, str]:
    """Write the codes in force, field below field; returns field -> range of its names."""
    for column, (text, width) in enumerate((("所属项", 24), ("可填内容", 36), ("代码值", 12))):
        sheet.write_string(0, column, text, head)
        sheet.set_column(column, column, width)
    row, places = 1, {}
    for number, field in enumerate(item.live_fields, start=1):
        if field.code_set is None:
            continue
        first = row
        for code in catalog.code_sets[field.code_set].codes:
            if code.valid_to is None:
                for column, text in enumerate((f"{number}. {field.label_zh}", code.label, code.code)):
                    sheet.write_string(row, column, text)
                row += 1
        places[field.name] = f"=代码!$B${first + 1}:$B${row}"
    return places


def _notes(sheet: Any, item: Item, catalog: Catalog, head: Any, wrapped: Any) -> None:
    providers = "、".join(catalog.departments[p].name_zh for p in item.providers)
    about = (
        ("事项", item.name_zh),
        ("提供单位", providers),
        ("更新周期", WORDS["update_cycle"][item.update_cycle]),
        ("依据", "；".join(item.legal_basis)),
        ("填法", "数据只填在“填报”表，第一行表头不要改动；橙色为必填；证件号码和编号保持文本格式。"),
    )
    for row, pair in enumerate(about):
        sheet.write_string(row, 0, pair[0], head)
        sheet.write_string(row, 1, pair[1])
    start = len(about) + 1
    heads = (("信息项", 26), ("要求", 10), ("类型", 14), ("填写说明", 70), ("示例", 34))
    for column, (text, width) in enumerate(heads):
        sheet.write_string(start, column, text, head)
        sheet.set_column(column, column, width)
    for number, field in enumerate(item.live_fields, start=1):
        need, kind = "必填" if field.required else "选填", WORDS["type"][field.type]
        cells = (f"{number}. {field.label_zh}", need, kind, _told(field, item, catalog), _example(field, catalog))
        for column, text in enumerate(cells):
            sheet.write_string(start + number, column, text, wrapped)


def _note(field: FieldSpec, item: Item, catalog: Catalog) -> str:
    need = "必填" if field.required else "选填"
    told = _told(field, item, catalog)
    return f"{need}，{WORDS['type'][field.type]}" + (f"\n{told}" if told else "")


def _told(field: FieldSpec, item: Item, catalog: Catalog) -> str:
    said = []
    if field.length is not None:
        said.append(f"不超过 {field.length} 个字")
    if field.unit is not None:
        said.append(f"单位：{UNITS.get(field.unit, field.unit)}")
    if field.code_set is not None:
        said.append("从列表中选择，见“代码”表")
    said += [zh for names, zh, _, _, _ in rules(item, catalog) if f"`{field.name}`" in names.split(", ")]
    return "；".join(said)


def _example(field: FieldSpec, catalog: Catalog) -> str:
    if field.code_set is not None:
        return next((c.label for c in catalog.code_sets[field.code_set].codes if c.valid_to is None), "")
    return ROLES.get(field.role) or EXAMPLES.get(field.type, "（文字）")
