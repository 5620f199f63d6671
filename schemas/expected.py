"""What a field takes, in a few words beside a finding about it: the allowed form, range or codes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from schemas import patterns
from schemas.dictionary import UNITS, Stated, stated
from schemas.model import Catalog, FieldSpec, Item

LISTED = 40  # characters that the codes of a field may take
REQUIRED = ("V001", "I001", "X002")
FORMS = {
    "date": "2098-01-05",
    "timestamp": "2098-01-05 08:30:00",
    "boolean": "是 / 否",
    "integer": "整数 whole number",
}
# What the law or the file as a whole asks is no matter of the field.
OF_NO_FIELD = "FDHGL"
REPAIRED = ("I008", "I009", "I013")


def expected(item: Item, catalog: Catalog) -> Callable[[str, str], str]:
    """Gives, for the name of a field and a finding code, what the field takes; '' where there is nothing to say."""
    fields = {f.name: f for f in item.fields}
    rules = stated(item, catalog)
    adult = "事件发生时年满十八周岁 at least 18 at the event"

    @cache
    def told(name: str, code: str) -> str:
        field = fields.get(name)
        if code == "L001":
            return adult
        if field is None or code[:1] in OF_NO_FIELD or code in REPAIRED:
            return ""
        said = ["必填 required"] if code in REQUIRED else []
        said += [_plain(r, field, catalog) for r in rules if r.fields[0] == name and r.code == code]
        if not said or (code in REQUIRED and field.type != "text"):
            said.append(_form(field, catalog))
        return "；".join(dict.fromkeys(s for s in said if s))

    return told


def _plain(rule: Stated, field: FieldSpec, catalog: Catalog) -> str:
    """A rule as its sentence; a pattern only where it can be told in words, and of a code by the names of codes."""
    pattern = rule.rule.options.get("pattern")
    if pattern is None:
        return f"{rule.zh} {rule.en}"
    listed = patterns.alternatives(pattern)
    if field.code_set is not None and listed is not None:
        return _one_of([c.label for c in catalog.code_sets[field.code_set].codes if c.code in listed])
    words = patterns.told(pattern)
    return " ".join(words) if words else "写法见模板“说明”表 the form is told in the template, tab 说明"


def _form(field: FieldSpec, catalog: Catalog) -> str:
    if field.role == "credit_number":
        return "证件上的完整号码，文本格式 the full number of the document, as text"
    if field.code_set is not None:
        return _one_of([c.label for c in catalog.code_sets[field.code_set].codes if c.valid_to is None])
    if field.type == "decimal":
        form = f"数字，小数不超过 {field.scale} 位 number, at most {field.scale} decimals"
    else:
        form = FORMS.get(field.type, "")
    if field.length is not None:
        form = f"不超过 {field.length} 个字 at most {field.length} characters"
    return f"{form}，单位 unit：{UNITS.get(field.unit, field.unit)}" if field.unit else form


def _one_of(labels: list[str]) -> str:
    """The names of codes, as many as fit."""
    shown: list[str] = []
    for label in labels:
        if shown and sum(map(len, shown)) + len(label) > LISTED:
            return f"{' / '.join(shown)} / ……共 {len(labels)} 项，见模板“代码”表 one of {len(labels)}, see the template"
        shown.append(label)
    return " / ".join(shown)
