"""The row engine: an item compiled into one SELECT over its staged table, and the list of checks it evaluates.

Layers, each a common table expression of one SELECT, so that no expression is written twice:
`texts` (trimmed cells) -> `coded` (typed values, codes joined) -> credit-number layers -> `located`; the checks are
asked of that, twice: `accepted` keeps what none of them stops, `judged` names what stopped the others.
All trees are SQLGlot; nothing is evaluated here. A check's expression is TRUE where the row fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial

from sqlglot import exp, parse_one

from schemas import characters, types
from schemas.kinds import FIELD_KINDS, ITEM_KINDS, credit_number
from schemas.model import Catalog, CodeSet, Item

REFUSING = ("L001",)
LETTERS = {"error": "E", "hold": "H", "warning": "W", "info": "I"}
STOPPING = "LEH"  # the first letters of tags that keep a row from being accepted
CREDIT_ERRORS = ("I001", "I002", "I003", "I004", "I005", "I006", "I010", "I014")
CREDIT_REPAIRS = ("I008", "I009", "I013")


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong with a row. `tag` is what the engine writes into `failed`."""

    tag: str
    field: str
    code: str
    severity: str
    violated: exp.Expr


@dataclass(frozen=True)
class Policy:
    """Dated limits in force on the as-of date; see catalog/policy."""

    minimum_birth_year: int
    adult_age: int


def code_values(code_set: CodeSet, on: date = date.max, department: str | None = None) -> dict[str, str]:
    """Everything a cell of a delivery of the period `on` may say -> code: the codes, what departments write, and the
    labels; what `department` itself writes goes before all of them. Codes that came later are not known yet; those that
    ended are, since facts of their time go on being sent.

    A label that several codes bore means the one in force, or else the one that was in force last (定安县 is 469021).
    """
    codes = [c for c in code_set.codes if (c.valid_from or date.min) <= on]
    known = {c.code: c.code for c in codes}
    known |= {value: code for value, code in code_set.variants.items() if code in known}
    for code in sorted(codes, key=lambda c: c.valid_to or date.max, reverse=True):
        known.setdefault(code.label, code.code)
    for whose in ("*", department):
        known |= {v.value: v.code for v in code_set.own if v.department == whose and v.holds(on)}
    return known


def ended(code_set: CodeSet) -> dict[str, date]:
    """Codes that are in force no more -> their last day."""
    last: dict[str, date] = {}
    for code in code_set.codes:
        last[code.code] = max(last.get(code.code, date.min), code.valid_to or date.max)
    return {code: day for code, day in last.items() if day < date.max}


# A check as declared: field, code, severity, and its expression as SQL or made by a kind when it is needed.
Declared = tuple[str, str, str, str | Callable[[], exp.Expr]]


def checks(item: Item, catalog: Catalog, policy: Policy) -> list[Check]:
    """All checks of an item in the order of its fields; the tag is severity letter (L = refused) + position."""
    return [
        Check(
            f"{'L' if code in REFUSING else LETTERS[severity]}{n}", field, code, severity,
            _sql(violated) if isinstance(violated, str) else violated(),
        )
        for n, (field, code, severity, violated) in enumerate(_declared(item, catalog, policy))
    ]  # fmt: skip


def finding_codes(item: Item, catalog: Catalog) -> dict[str, str]:
    """The codes that the checks of an item may give -> a field that gives it."""
    policy = Policy(minimum_birth_year=1900, adult_age=18)
    return {code: field for field, code, _, _ in _declared(item, catalog, policy)}


def _declared(item: Item, catalog: Catalog, policy: Policy) -> list[Declared]:
    found: list[Declared] = []
    for field in item.live_fields:
        value = exp.column(field.name)
        if field.role == "credit_number":
            found += [_credit(field.name, code, "cn_error", catalog) for code in CREDIT_ERRORS]
            found += [_credit(field.name, code, "cn_repair", catalog) for code in CREDIT_REPAIRS]
            found += _person(item, field.name, policy)
            continue
        if field.required:
            found.append((field.name, "V001", "error", f"t_{field.name} IS NULL"))
        if field.type in types.CODES:
            unreadable = f"t_{field.name} IS NOT NULL AND {field.name} IS NULL"
            found.append((field.name, types.CODES[field.type], "error", unreadable))
        if field.code_set in catalog.code_sets and ended(catalog.code_sets[field.code_set]):
            day = item.event_date or "as_of"
            found.append((field.name, "V013", "warning", f"until_{field.name} < {day}"))
        if field.length is not None and field.type == "text":
            found.append((field.name, "V005", "error", f"LENGTH(t_{field.name}) > {field.length}"))
        if field.type == "text":
            found.append((field.name, "F015", "hold", characters.lost(field)))
        if field.role == "name" or field.is_free_text:
            found.append((field.name, "F034", "hold", characters.misread(field)))
        if field.role == "name":
            found.append((field.name, "F033", "warning", characters.placeholder(field)))
        if characters.may_be_cut(field):
            found.append((field.name, "F035", "warning", characters.cut(f"t_{field.name}")))
        for rule in field.rules:
            kind = FIELD_KINDS[rule.kind]
            violated = partial(kind.violated, value, rule.options)
            found.append((field.name, rule.code or kind.CODE, rule.severity, violated))
    for rule in item.rules:
        kind = ITEM_KINDS[rule.kind]
        violated = partial(kind.violated, rule.options)
        found.append((rule.options["field"], rule.code or kind.CODE, rule.severity, violated))
    return found


def texts(item: Item) -> exp.Select:
    """place, line, sheet, as_of, and t_<field>, the trimmed text of every field, of the rows of `staged`, which has a
    text column for each field and the as-of date in `as_of`."""
    cells = [exp.alias_(types.trimmed(exp.column(f.name)), f"t_{f.name}", copy=False) for f in item.fields]
    return exp.select("place", "line", "sheet", "as_of", *cells, copy=False).from_("staged", copy=False)


def accepted(listed: list[Check]) -> exp.Select:
    """The rows of `located` that no check stops, with `notes`, the comma-separated tags of what is still worth saying.
    """
    stops = exp.or_(*(c.violated.copy() for c in listed if c.tag[0] in STOPPING))
    notes = _tags([c for c in listed if c.tag[0] not in STOPPING])
    passing = exp.not_(exp.Coalesce(this=stops, expressions=[exp.false()]))
    said = exp.select(exp.Star(), exp.alias_(notes, "notes", copy=False), copy=False)
    return said.from_("located", copy=False).where(passing, copy=False)


def judged(listed: list[Check]) -> exp.Select:
    """All rows of `located`, with `failed`, the tags of all failed checks, and `verdict`: refused, rejected, held or
    accepted."""
    verdict = _sql(
        "CASE WHEN STRPOS(failed, 'L') > 0 THEN 'refused' WHEN STRPOS(failed, 'E') > 0 THEN 'rejected'"
        " WHEN STRPOS(failed, 'H') > 0 THEN 'held' ELSE 'accepted' END"
    )
    tagged = exp.select(exp.Star(), exp.alias_(_tags(listed), "failed", copy=False), copy=False)
    whole = tagged.from_("located", copy=False).subquery("tagged", copy=False)
    return exp.select(exp.Star(), exp.alias_(verdict, "verdict")).from_(whole, copy=False)


def _tags(listed: list[Check]) -> exp.Expr:
    """Most rows pass: they pay for one OR, not for a text of all tags."""
    if not listed:
        return exp.Literal.string("")
    tags = [exp.Case().when(c.violated.copy(), exp.Literal.string(c.tag)) for c in listed]
    named = exp.Anonymous(this="CONCAT_WS", expressions=[exp.Literal.string(","), *tags])
    return exp.Case().when(exp.or_(*(c.violated.copy() for c in listed)), named).else_(exp.Literal.string(""))


def located(item: Item) -> exp.Select:
    """What the rows of `texts` say: its columns, <field> (typed), until_<field> (a code's last day), cn*, known_region.

    Code tables are `codes_<set>(value, code, valid_to)`.
    """
    # Built in place: by default each call copies all that was built so far, seconds for a delivery of ten rows.
    layers: dict[str, exp.Select] = {}

    coded = exp.select(exp.column(exp.Star(), table="texts")).from_("texts")
    for f in item.fields:
        if f.type == "code":
            table = f"codes_{f.name}"
            coded.select(exp.alias_(exp.column("code", table=table), f.name), copy=False)
            coded.select(exp.alias_(exp.column("valid_to", table=table), f"until_{f.name}"), copy=False)
            on = f"{table}.value = t_{f.name}"
            coded.join(f"codes_{f.code_set} AS {table}", on=on, join_type="left", copy=False)
        else:
            coded.select(exp.alias_(types.typed(f, exp.column(f"t_{f.name}")), f.name, copy=False), copy=False)
    layers["coded"] = coded

    last = "coded"
    number = exp.column(f"t_{item.by_role('credit_number').name}")
    certificate = exp.column(item.by_role("certificate_type").name)
    for n, layer in enumerate(credit_number.columns(number, certificate)):
        body = exp.select(exp.Star(), *(exp.alias_(e, name, copy=False) for name, e in layer)).from_(last, copy=False)
        last = f"credit_{n}"
        layers[last] = body

    region = exp.column("code", table="regions").as_("known_region")
    known_region = exp.select(exp.column(exp.Star(), table=last), region)
    known_region = known_region.from_(last).join(
        "codes_region AS regions", on="regions.value = cn_region", join_type="left"
    )
    for name, body in layers.items():
        known_region.with_(name, as_=body, copy=False)
    return known_region


@lru_cache(maxsize=8192)
def _sql(text: str) -> exp.Expr:
    """Shared: whoever builds it into a tree copies it. Reading the catalogue asks for most texts many times."""
    return parse_one(text, dialect="duckdb")


def _credit(field: str, code: str, column: str, catalog: Catalog) -> Declared:
    known = catalog.findings.get(code)
    severity = known.severity if known else ("error" if column == "cn_error" else "info")
    return field, code, severity, f"{column} = '{code}'"


def _person(item: Item, field: str, policy: Policy) -> list[Declared]:
    """What the law and the policy ask of the person behind the number."""
    event = item.event_date or "as_of"
    # Who is not born yet on the as-of date has a wrong number; only those born are minors, whom the law keeps out.
    minor = f"cn_birth <= as_of AND cn_birth + INTERVAL {policy.adult_age} YEAR > {event}"
    found: list[Declared] = [
        (field, "I007", "warning", "STARTS_WITH(cn_region, '46') AND known_region IS NULL"),
        (field, "I011", "error", f"EXTRACT(YEAR FROM cn_birth) < {policy.minimum_birth_year}"),
        (field, "I012", "error", "cn_birth > as_of"),
        (item.event_date or field, "L001", "error", minor),
    ]
    if set(item.subject_types) == {"natural_person"}:
        found.append((field, "I010", "error", "cn_kind = 'uscc'"))
    return found
