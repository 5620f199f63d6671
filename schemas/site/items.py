"""What the page of an item shows: its fields, rules, codes, headers and senders, put into words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from schemas import overlay, patterns
from schemas.dictionary import Stated, stated
from schemas.model import Catalog, Code, CodeSet, Department, FieldSpec, Item
from schemas.site import words
from schemas.site.words import Said

CODES_SHOWN = 60  # a longer list has a page of its own and would bury the rest of this one
LAW = re.compile(r"《[^》]+》|[^（ ]*?〔\d{4}〕\d+号|.*?（\d{4}年版）|.*?第\d+号")
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class RuleView:
    """A rule in words; `pattern` is shown beside them where words do not say everything."""

    fields: tuple[FieldSpec, ...]
    said: Said
    code: str
    severity: str
    pattern: str = ""


@dataclass(frozen=True)
class FieldView:
    """A field as a department fills it. `need` is required, conditional or optional; `headers` are what everybody may
    write above the column, `own` what single departments may: (department, header)."""

    spec: FieldSpec
    need: str
    kind: Said
    example: str
    headers: tuple[str, ...]
    own: tuple[tuple[Department, str], ...]
    rules: tuple[RuleView, ...]


@dataclass(frozen=True)
class CodeView:
    """A code set: its codes with what departments write for each; `shown` are those worth listing on an item's page."""

    set: CodeSet
    fields: tuple[FieldSpec, ...]
    rows: tuple[tuple[Code, tuple[str, ...]], ...]

    @property
    def shown(self) -> tuple[tuple[Code, tuple[str, ...]], ...]:
        return self.rows if len(self.rows) <= CODES_SHOWN else ()


@dataclass(frozen=True)
class CountyView:
    """What a county asks beyond the item."""

    department: Department
    basis: str
    said: tuple[Said, ...]


class ItemView:
    """An item on a day. `item` is its edition of that day, or the last one where the item has ended."""

    def __init__(self, whole: Item, catalog: Catalog, on: date, rows: Rows) -> None:
        self.whole, self.catalog, self.on, self.rows = whole, catalog, on, rows
        self.is_in_force = whole.holds(on)
        day = on if self.is_in_force else max(whole.valid_from, min(on, whole.valid_to or on))
        self.day = day
        self.item = overlay.effective(catalog, whole.code, "", day)
        self.code = whole.code
        self.name: Said = (whole.name_zh, whole.name_en)
        self.senders = [catalog.departments[p] for p in whole.providers]
        self.laws = list(dict.fromkeys(law_of(basis) for basis in whole.legal_basis))

    @property
    def fields_now(self) -> tuple[FieldSpec, ...]:
        return self.item.live_fields

    @cached_property
    def domain(self) -> Said:
        return self._meaning("domain", self.whole.domain)

    @cached_property
    def category(self) -> Said:
        return self._meaning("catalogue_category", self.whole.category)

    @cached_property
    def groups(self) -> list[Said]:
        return [self._meaning("professional_group", g) for g in self.whole.groups]

    @cached_property
    def targets(self) -> list[Said]:
        return [self._meaning("supervision_target", t) for t in self.whole.supervision_targets]

    def _meaning(self, code_set: str, code: str) -> Said:
        return words.meaning(next(c for c in self.catalog.code_sets[code_set].codes if c.code == code))

    @cached_property
    def rules(self) -> list[RuleView]:
        return [rule_view(s, self.item, self.catalog) for s in stated(self.item, self.catalog)]

    @cached_property
    def fields(self) -> list[FieldView]:
        everybody, own = self._headers()
        depends = {str(r.options["field"]) for r in self.item.rules if r.kind == "required_if"}
        return [
            FieldView(
                spec=f,
                need="required" if f.required else "conditional" if f.name in depends else "optional",
                kind=kind(f),
                example=self.example(f),
                headers=tuple(dict.fromkeys([f.label_zh, *f.aliases, *everybody.get(f.name, ()), f.name, *f.formerly])),
                own=tuple(own.get(f.name, ())),
                rules=tuple(r for r in self.rules if r.fields == (f,)),
            )
            for f in self.fields_now
        ]

    def _headers(self) -> tuple[dict[str, list[str]], dict[str, list[tuple[Department, str]]]]:
        """By field: the headers of the header map that everybody may use, and those of single departments."""
        current = [e.code for e in self.item.editions]
        everybody: dict[str, list[str]] = {}
        own: dict[str, list[tuple[Department, str]]] = {}
        for row in self.catalog.headers.get(self.code, ()):
            if row.edition not in ("*", *current):
                continue
            if row.department == "*":
                everybody.setdefault(row.field, []).append(row.header)
            else:
                own.setdefault(row.field, []).append((self.catalog.departments[row.department], row.header))
        return everybody, own

    @cached_property
    def across(self) -> list[RuleView]:
        """The rules that look at several fields."""
        return [r for r in self.rules if len(r.fields) > 1]

    @cached_property
    def codes(self) -> list[CodeView]:
        used: dict[str, list[FieldSpec]] = {}
        for f in self.fields_now:
            if f.code_set:
                used.setdefault(f.code_set, []).append(f)
        return [code_view(self.catalog.code_sets[name], tuple(fields)) for name, fields in used.items()]

    @cached_property
    def counties(self) -> list[CountyView]:
        """The counties that ask more, in the order of the providers."""
        found = []
        for sender in self.senders:
            heard = [o for o in overlay.chain(self.catalog, sender.code, self.day) if self.code in o.items]
            if heard:
                judged = overlay.effective(self.catalog, self.code, sender.code, self.day)
                said = tuple(_beyond(self.item, judged, self.catalog))
                found.append(CountyView(sender, "；".join(dict.fromkeys(o.basis for o in heard)), said))
        return found

    def example(self, field: FieldSpec) -> str:
        """The first value that the invented rows show."""
        return next((row[field.name] for row in self.rows if row.get(field.name)), "")


def law_of(basis: str) -> str:
    """The law or document of a citation, without articles: what items can be looked up by."""
    found = LAW.match(basis)
    return found[0] if found else basis


def kind(field: FieldSpec) -> Said:
    """Type, length and unit of a field."""
    if field.role == "credit_number":
        return "证件号码，文本格式", "number of the certificate, as text"
    zh, en = words.word("type", field.type)
    if field.type == "text" and field.length is not None:
        zh, en = f"{zh}，最多 {field.length} 字", f"{en}, up to {field.length} characters"
    if field.type == "decimal":
        zh, en = f"{zh}，最多 {field.scale} 位小数", f"{en}, up to {field.scale} decimals"
    if field.unit is not None:
        unit_zh, unit_en = words.unit(field.unit)
        zh, en = f"{zh}，单位：{unit_zh}", f"{en}, in {unit_en}"
    return zh, en


def rule_view(rule: Stated, item: Item, catalog: Catalog) -> RuleView:
    fields = tuple(item.field(name) for name in rule.fields)
    said, pattern = (rule.zh, rule.en), ""
    if rule.rule.kind == "matches":
        said, pattern = _matching(rule.rule.options["pattern"], fields[0], catalog)
    return RuleView(fields, said, rule.code, rule.rule.severity, pattern)


def _matching(pattern: str, field: FieldSpec, catalog: Catalog) -> tuple[Said, str]:
    """A pattern in words, and the pattern itself where the words leave something out."""
    listed = patterns.alternatives(pattern)
    if field.code_set and listed:
        known = {c.code: c for c in catalog.code_sets[field.code_set].codes}
        names = [known[code].label if code in known else code for code in listed]
        return (f"只能是：{'、'.join(names)}", f"only: {', '.join(names)}"), ""
    if told := patterns.told(pattern):
        return (f"写法：{told[0]}", f"written as {told[1]}"), ""
    return ("写法须符合规定的格式", "written in the prescribed form"), pattern


def code_view(code_set: CodeSet, fields: tuple[FieldSpec, ...] = ()) -> CodeView:
    written: dict[str, list[str]] = {}
    for variant, code in code_set.variants.items():
        written.setdefault(code, []).append(variant)
    return CodeView(code_set, fields, tuple((c, tuple(written.get(c.code, ()))) for c in code_set.codes))


def _beyond(item: Item, judged: Item, catalog: Catalog) -> list[Said]:
    """What a county's edition of the item asks more than the item itself."""
    said: list[Said] = []
    if judged.retention_years != item.retention_years:
        said.append((f"保存 {judged.retention_years} 年", f"Kept for {judged.retention_years} years"))
    if judged.publicity != item.publicity:
        said.append(words.PUBLICITY[judged.publicity])
    if judged.sharing != item.sharing:
        said.append(words.SHARING[judged.sharing])
    before = {f.name: f for f in item.live_fields}
    for f in judged.live_fields:
        zh, en = f"“{f.label_zh}”", f'"{f.label_en}"'
        was = before.get(f.name)
        if was is None:
            need = ("必填", "required") if f.required else ("选填", "optional")
            kind_zh, kind_en = kind(f)
            said.append((f"另有一项{zh}（{need[0]}，{kind_zh}）", f"One more field, {en} ({need[1]}, {kind_en})"))
            continue
        if f.required and not was.required:
            said.append((f"{zh}必填", f"{en} is required"))
        if f.length != was.length:
            said.append((f"{zh}最多 {f.length} 字", f"{en} has at most {f.length} characters"))
        if more := [a for a in f.aliases if a not in was.aliases]:
            said.append((f"{zh}的表头也可以写：{'、'.join(more)}", f"{en} may also be headed {', '.join(more)}"))
    old = stated(item, catalog)
    for rule in stated(judged, catalog):
        if rule not in old and rule.fields[0] in before:
            view = rule_view(rule, judged, catalog)
            zh, en = words.severity(view.severity)
            label = view.fields[0]
            about = (f"“{label.label_zh}”：", f'"{label.label_en}": ') if len(rule.fields) == 1 else ("", "")
            said.append((f"{about[0]}{view.said[0]}（{zh}）", f"{about[1]}{view.said[1]} ({en})"))
    return said

