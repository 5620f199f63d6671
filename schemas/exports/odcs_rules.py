"""What a data contract asks of the published records: rules of the Open Data Contract Standard, as PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlglot import exp, parse_one

from schemas.dictionary import rules
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.model import Catalog, Dated, FieldSpec, Item, Rule
from schemas.record import NUMBER_MASK

DIMENSIONS = {"D": "uniqueness", "H": "consistency", "I": "accuracy", "X": "consistency", "G": "coverage"}
# No rule looks further ahead than the night of the latest release.
AS_OF = parse_one("(SELECT MAX(as_of) FROM public.release_snapshots)", dialect="postgres")


def of_field(field: FieldSpec, item: Item, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """The codes and the declared rules of a column."""
    if field.code_set is not None:
        known = list(dict.fromkeys(c.code for c in catalog.code_sets[field.code_set].codes))
        yield {
            "id": "known_codes",
            "name": f"{field.name}: known codes",
            "description": f"“{field.label_zh}”都在代码集 {field.code_set} 中。Only codes of {field.code_set}.",
            "type": "library",
            "metric": "invalidValues",
            "arguments": {"validValues": known},
            "mustBe": 0,
            "dimension": "conformity",
            "severity": "error",
        }
    for number, rule in enumerate(field.rules, start=1):
        kind = FIELD_KINDS[rule.kind]
        zh, en = kind.sentence(rule.options)
        violated = kind.violated(exp.column(field.name), rule.options)
        if is_masked(field):
            mask = exp.StrPosition(this=exp.column(field.name), substr=exp.Literal.string(NUMBER_MASK))
            violated = exp.and_(violated, exp.EQ(this=mask, expression=exp.Literal.number(0)))
        # Free text is published with names and numbers replaced, and may fail a rule that the delivered text met.
        query = counting(item.code, violated) if stops(rule) and not field.is_free_text else None
        told = f"“{field.label_zh}”{zh}。{field.name}: {en}."
        yield _rule(f"{rule.kind}_{number}", field.name, told, rule, rule.code or kind.CODE, query)


def of_item(item: Item, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """The rules across fields; one that looks at an identifying field, which is no column, is told as text."""
    stated = rules(item, catalog)[sum(len(f.rules) for f in item.fields) :]
    curated = {f.name for f in item.curated_fields if is_undated(f) and not f.counties}
    for number, (rule, (_, zh, en, code, _)) in enumerate(zip(item.rules, stated, strict=True), start=1):
        violated = ITEM_KINDS[rule.kind].violated(rule.options)
        # A field of some editions or counties only is empty in the records of all others.
        is_seen = set(rule.mentioned) <= curated
        query = counting(item.code, violated) if stops(rule) and is_seen else None
        yield _rule(f"{rule.kind}_{number}", item.code, f"{zh}。{en[0].upper()}{en[1:]}.", rule, code, query)


def of_subject(item: Item, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """What is asked of the subject's number, which only the vault holds."""
    label = item.by_role("credit_number")
    for code in ("I003", "L001"):
        known = catalog.findings[code]
        zh = known.message_zh.format(label=label.label_zh, line="", value="")
        en = known.message_en.format(label=label.label_en, line="", value="")
        yield {
            "id": f"subject_{code}",
            "name": f"subject: {known.title_en}",
            "description": f"不发布的行：{zh} Kept out: {en}",
            "type": "text",
            "dimension": "accuracy" if code[0] == "I" else "conformity",
            "severity": known.severity,
            "customProperties": properties({"findingCode": code}),
        }


def _rule(name: str, of: str, told: str, rule: Rule, code: str, query: str | None) -> dict[str, Any]:
    dimension = "completeness" if code == "V001" else DIMENSIONS.get(code[0], "conformity")
    return {
        "id": name,
        "name": f"{of}: {rule.kind}",
        "description": told,
        **({"type": "sql", "query": query, "mustBe": 0, "unit": "rows"} if query else {"type": "text"}),
        "dimension": dimension,
        "severity": rule.severity,
        "customProperties": properties({"findingCode": code}),
    }


def stops(rule: Rule) -> bool:
    """Whether no record may be against the rule, whatever the edition and the day that its delivery was judged by."""
    kind = FIELD_KINDS.get(rule.kind) or ITEM_KINDS[rule.kind]
    return not getattr(kind, "WHEN_TAKEN", False) and rule.severity in ("error", "hold") and is_undated(rule)


def is_undated(declared: Dated) -> bool:
    return declared.valid_from is None and declared.valid_to is None


def is_masked(field: FieldSpec) -> bool:
    """Whether an identity number may have been masked in the text, as 18 characters are needed for one."""
    return field.type == "text" and (field.length is None or field.length >= 18)


def counting(item: str, violated: exp.Expr) -> str:
    """PostgreSQL that counts the records of an item of which `violated` is true."""
    asked = violated.transform(_in_postgresql)
    table = exp.table_(item, db="records")
    return exp.select(exp.Count(this=exp.Star())).from_(table).where(asked).sql(dialect="postgres", identify=True)


def _in_postgresql(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Column) and node.name == "as_of":
        return AS_OF.copy()
    if isinstance(node, exp.RegexpExtract):  # of a pattern with one group, the group; NULL where nothing matches
        return exp.Anonymous(this="substring", expressions=[node.this, node.expression])
    return node


def properties(stated: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"property": name, "value": value} for name, value in stated.items()]
