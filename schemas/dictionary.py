"""The data dictionary: every item, field, rule and code set of the catalogue as one page for people.

A catalogue row states what provincial credit regulations ask of it: code, name, provider, subject type, nature,
sharing, publicity, update cycle, retention, legal basis, fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.markdown import page, table
from schemas.model import Catalog, CodeSet, Effect, FieldSpec, Item, Rule

WORDS: dict[str, dict[str, str]] = {
    "nature": {"basic": "基础信息", "good": "守信信息", "adverse": "失信信息", "other": "其他信息"},
    "sharing": {"unconditional": "无条件共享", "conditional": "有条件共享", "none": "不予共享"},
    "publicity": {
        "public": "依法公开",
        "on_request": "依申请公开",
        "authorised": "授权查询",
        "government": "政务共享",
        "none": "不公开",
    },
    "update_cycle": {
        "realtime": "实时",
        "daily": "每日",
        "weekly": "每周",
        "monthly": "每月",
        "quarterly": "每季度",
        "half_yearly": "每半年",
        "yearly": "每年",
        "irregular": "不定期",
    },
    "subject_types": {"natural_person": "自然人", "sole_trader": "个体工商户", "organisation": "法人和非法人组织"},
    "type": {
        "text": "文本",
        "code": "代码",
        "date": "日期",
        "timestamp": "日期时间",
        "integer": "整数",
        "decimal": "小数",
        "boolean": "是否",
    },
    "sensitivity": {"identifying": "可识别身份", "personal": "个人信息", "internal": "内部", "public": "可公开"},
}

UNITS = {
    "CNY": "元", "10k CNY": "万元", "points": "分",
    "year": "年", "years": "岁", "months": "个月", "days": "天", "hours": "小时",
}  # fmt: skip
NAMING = ("field", "other", "when")  # the options of a rule that name fields


def dictionary(catalog: Catalog) -> str:
    """Markdown: an index of the items, one section per item, then the code sets and the departments."""
    items = sorted(catalog.items.values(), key=lambda i: i.code)
    lines = [
        "# 数据字典 · Data dictionary",
        "",
        "Made by `qiongxin catalog docs` from `catalog/`; do not edit it here.",
        "",
        *table(
            ("item", "名称", "name", "nature", "providers", "fields"),
            (
                (f"[`{i.code}`](#{i.code})", i.name_zh, i.name_en, i.nature, ", ".join(i.providers), len(i.fields))
                for i in items
            ),
        ),
    ]
    for item in items:
        lines += ["", f"## {item.code}", "", f"{item.name_zh} · {item.name_en}", "", *describe(item, catalog)]
    used: dict[str, list[str]] = {}
    for item in items:
        for name in sorted({f.code_set for f in item.fields if f.code_set}):
            used.setdefault(name, []).append(item.code)
    sets = sorted(catalog.code_sets.values(), key=lambda s: s.name)
    lines += [
        "",
        "## 代码集 · Code sets",
        "",
        "`codes` counts the codes, `past` those of them no longer in force, `wordings` what departments write for one.",
        "",
        *table(
            ("code set", "codes", "past", "wordings", "used by", "source"),
            (_set(s, used.get(s.name, []), len(items)) for s in sets),
        ),
        "",
        "## 报送单位 · Departments",
        "",
        *table(
            ("code", "名称", "name", "kind", "region", "items"),
            (
                (f"`{d.code}`", d.name_zh, d.name_en, d.kind, d.region_code, ", ".join(catalog.delivers(d.code)))
                for d in sorted(catalog.departments.values(), key=lambda d: d.code)
            ),
        ),
    ]
    return page(lines)


def describe(item: Item, catalog: Catalog) -> list[str]:
    """What an item is, its fields and its rules, as Markdown lines."""
    providers = "、".join(f"{catalog.departments[p].name_zh} `{p}`" for p in item.providers)
    domains = {c.code: c.label for c in catalog.code_sets["domain"].codes}
    until = f" – {item.valid_to}" if item.valid_to else " –"
    facts = [
        ("提供单位 providers, greatest precedence first", providers),
        ("信息性质 nature", _word("nature", item.nature)),
        ("领域 domain", f"{domains[item.domain]} `{item.domain}`"),
        ("主体类型 subject types", "、".join(_word("subject_types", t) for t in item.subject_types)),
        ("依据 legal basis", "；".join(item.legal_basis)),
        ("共享属性 sharing", _word("sharing", item.sharing)),
        ("公开属性 publicity", _word("publicity", item.publicity)),
        ("更新周期 update cycle", _word("update_cycle", item.update_cycle)),
        ("保存期限 retention", f"{item.retention_years} 年 years；{item.retention_source}"),
        ("业务主键 business key, beside the subject", "、".join(_field(item, k) for k in item.business_key)),
        ("事件日期 event date", _field(item, item.event_date) if item.event_date else "—"),
        *([("行为日期 day of the act", "、".join(_field(item, n) for n in item.acted_on))] if item.acted_on else []),
        ("来源时间 time at the source", _field(item, item.source_time) if item.source_time else "—"),
        *(
            [("列入依据 rests on", f"{_field(item, item.rests_on.document)}：`{item.rests_on.item}`")]
            if item.rests_on else []
        ),
        *([("关联号码 links numbers", _field(item, item.registers.number))] if item.registers else []),
        ("有效期 in force", f"{item.valid_from}{until}"),
        *(
            (f"版本 edition {e.code}", f"{e.valid_from} – {e.valid_to or ''}; {e.source}")
            for e in item.editions
        ),
    ]
    lines = table(("属性 attribute", "值 value"), facts)
    heads = ("field", "标签", "label", "type", "unit", "length", "required", "only", "code set", "sensitivity")
    lines += ["", *table(heads, (_row(f) for f in item.fields))]
    if item.effects:
        does = ("作用 effect", "does", "条件 while", "自 since", "至 until")
        lines += ["", *table(does, (_effect(e, catalog) for e in item.effects))]
    for states in item.states:
        head = (f"状态 state, `{states.field}`", "其后可为 may be followed by")
        named = ((f"`{s}`", "、".join(f"`{n}`" for n in following) or "—") for s, following in states.next.items())
        lines += ["", *table(head, named)]
    told = rules(item, catalog)
    if told:
        lines += ["", *table(("rule of", "规则", "rule", "code", "severity"), told)]
    return lines


def _effect(effect: Effect, catalog: Catalog) -> tuple[str, ...]:
    """What an event does to the record it is about, or a record says of itself."""
    (label,) = (c for c in catalog.code_sets["record_effect"].codes if c.code == effect.name)
    does = {"ends": "终止共享 ends it", "marks": "加标注 marks it"}[effect.does]
    met = " and ".join(f"`{name}` = {'/'.join(values)}" for name, values in effect.when.items())
    until = f"`{effect.until}`" if effect.until else "下一次更正 the next statement" if effect.until_restated else "—"
    return f"{label.label} `{effect.name}`", does, met or "—", " / ".join(f"`{f}`" for f in effect.since) or "—", until


class Stated(NamedTuple):
    """A rule as it is told: the fields it names, what they must satisfy in Chinese and English, what its breach is."""

    fields: tuple[str, ...]
    zh: str
    en: str
    code: str
    rule: Rule


def stated(item: Item, catalog: Catalog) -> list[Stated]:
    """Every declared rule of an item, those of its fields first."""
    told = []
    for field in item.fields:
        for rule in field.rules:
            kind = FIELD_KINDS[rule.kind]
            zh, en = kind.sentence(rule.options)
            told.append(Stated((field.name,), zh, en, rule.code or kind.CODE, rule))
    for rule in item.rules:
        kind = ITEM_KINDS[rule.kind]
        zh, _ = kind.sentence(_labelled(rule.options, item, catalog, "label_zh"))
        _, en = kind.sentence(_labelled(rule.options, item, catalog, "label_en"))
        told.append(Stated(rule.mentioned, zh, en, rule.code or kind.CODE, rule))
    return told


def rules(item: Item, catalog: Catalog) -> list[tuple[str, str, str, str, str]]:
    """Every declared rule of an item as (fields, sentence zh, sentence en, finding code, severity)."""
    return [
        (", ".join(f"`{name}`" for name in s.fields), s.zh, s.en, s.code, s.rule.severity)
        for s in stated(item, catalog)
    ]


def _labelled(options: dict[str, Any], item: Item, catalog: Catalog, label: str) -> dict[str, Any]:
    """The options with labels for field names and, where a code is named, with its meaning."""
    said = {k: getattr(item.field(v), label) if k in NAMING else v for k, v in options.items()}
    code_set = item.field(options["when"]).code_set if "when" in options else None
    for option in ("equals", "contains"):
        if code_set and option in options:
            meaning = {c.code: c.label for c in catalog.code_sets[code_set].codes}
            said[option] = meaning.get(options[option], options[option])
    return said


def _row(field: FieldSpec) -> Sequence[object]:
    length = field.length if field.length is not None else ""
    return (
        f"`{field.name}`",
        field.label_zh,
        field.label_en,
        f"{WORDS['type'][field.type]} {field.type}" + (f"({field.scale})" if field.scale is not None else ""),
        field.unit or "",
        length,
        "是 yes" if field.required else "",
        _only(field),
        f"`{field.code_set}`" if field.code_set else "",
        _word("sensitivity", field.sensitivity),
    )


def _only(field: FieldSpec) -> str:
    """The days and counties that a field is limited to."""
    days = f"{field.valid_from or ''} – {field.valid_to or ''}".strip() if field.valid_from or field.valid_to else ""
    return ", ".join([days, *field.counties] if days else field.counties)


def _set(code_set: CodeSet, users: list[str], items: int) -> Sequence[object]:
    sources = sorted({c.source for c in code_set.codes})
    past = sum(c.valid_to is not None for c in code_set.codes)
    shown = sources if len(sources) <= 3 else [*sources[:3], f"and {len(sources) - 3} more"]
    return (
        f"`{code_set.name}`",
        len(code_set.codes),
        past,
        len(code_set.variants),
        "every item" if len(users) == items else ", ".join(users) or "—",
        " · ".join(shown),
    )


def _word(group: str, value: str) -> str:
    return f"{WORDS[group][value]} `{value}`"


def _field(item: Item, name: str) -> str:
    return f"{item.field(name).label_zh} `{name}`"
