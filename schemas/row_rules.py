"""The row engine: an item compiled into one SELECT over its staged table, and the list of checks it evaluates.

Layers, each a subquery of the next, so that no expression is written twice:
`texts` (trimmed cells) -> `coded` (plain values, codes joined) -> layers of what was not plain, of the name and of the
credit number -> `located`; the checks are asked of that, twice: `accepted` keeps what none of them stops, `judged`
names what stopped the others.
All trees are SQLGlot; nothing is evaluated here. A check's expression is TRUE where the row fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from itertools import product

from sqlglot import exp

from schemas import characters, markup, names, sealed, types
from schemas.kinds import FIELD_KINDS, ITEM_KINDS, credit_number
from schemas.model import Catalog, CodeSet, FieldSpec, Item
from schemas.sql import tree
from schemas.third_persons import ThirdPersons

REFUSING = ("L001", "L004")
NO_BIRTH = "L005"
LETTERS = {"error": "E", "hold": "H", "warning": "W", "info": "I"}
STOPPING = "LEH"  # the first letters of tags that keep a row from being accepted
# Between a code and its label, and around a code.
SIGNS = ("-", " ", "", ":", "：", ".", "、", "_", "－", "—", "|", "/")
BRACKETS = (("(", ")"), ("（", "）"), ("[", "]"), ("【", "】"))
REPLACED = "rn"  # prefix of what is known of the wrong number that a row replaces
LINKED = "ln"  # ... and of another number of its subject
CREDIT_ERRORS = ("I001", "I002", "I003", "I004", "I005", "I006", "I010", "I014")
CREDIT_REPAIRS = ("I008", "I009", "I013")


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong with a row. `tag` is what the engine writes into `failed`. Where `guard`, a cheap
    expression that few rows meet, is not true, the check cannot fail and need not be asked. Where `unless`, the row
    says nothing that it is about: a withdrawal needs no more than a key."""

    tag: str
    field: str
    code: str
    severity: str
    violated: exp.Expr
    guard: str = ""
    unless: str = ""


@dataclass(frozen=True)
class Policy:
    """Dated limits in force on the as-of date; see catalog/policy. Somebody is of age `adult_after_days` days after the
    birthday that `adult_age` names; `birth_unknown` says, by the nature of an item, how grave it is that nobody can
    tell. `third_persons` are hidden in texts. Rows whose name begins like one of `test_names`, or
    whose number is one of `test_numbers`, are left over from a test; `withdrawal_words` in its remarks say that a row
    should not be."""

    minimum_birth_year: int
    adult_age: int
    adult_after_days: int = 0
    birth_unknown: tuple[tuple[str, str], ...] = ()
    third_persons: ThirdPersons | None = None
    test_names: tuple[str, ...] = ()
    test_numbers: tuple[str, ...] = ()
    withdrawal_words: tuple[str, ...] = ()


def code_values(code_set: CodeSet, on: date = date.max, department: str | None = None) -> dict[str, str]:
    """Everything a cell of a delivery of the period `on` may say -> code: the codes, what departments write, and the
    labels; what `department` itself writes goes before all of them. Codes that came later are not known yet; those that
    ended are, since facts of their time go on being sent.

    A label that several codes bore means the one in force, or else the one that was in force last (定安县 is 469021).
    Behind all that come code and label in one cell (01-身份证), where both mean the same, and codes of figures as a
    spreadsheet leaves them, without their leading nought or with a fraction (1, 1.0), where they can mean one code
    """
    codes = [c for c in code_set.codes if (c.valid_from or date.min) <= on]
    known = {c.code: c.code for c in codes}
    known |= {value: code for value, code in code_set.variants.items() if code in known}
    for code in sorted(codes, key=lambda c: c.valid_to or date.max, reverse=True):
        known.setdefault(code.label, code.code)
    for whose in ("*", department):
        known |= {v.value: v.code for v in code_set.own if v.department == whose and v.holds(on)}
    return {**_joined(known), **_as_numbers(known), **known}


def _joined(known: dict[str, str]) -> dict[str, str]:
    """A code (or what stands for one) and a label of it in one cell, in either order."""
    heads: dict[str, list[str]] = {}
    for value, code in known.items():
        heads.setdefault(code, []).append(value)
    found: dict[str, str] = {}
    for code, values in heads.items():
        marks = [v for v in values if v.isascii() and v.isalnum()]
        labels = [v for v in values if not v.isascii()]
        for mark, label in product(marks, labels):
            found |= {f"{mark}{sign}{label}": code for sign in SIGNS}
            found |= {f"{label}{left}{mark}{right}": code for left, right in BRACKETS}
            found |= {f"{left}{mark}{right}{label}": code for left, right in BRACKETS}
    return found


def _as_numbers(known: dict[str, str]) -> dict[str, str]:
    """Codes of figures as a spreadsheet writes them that took them for numbers."""
    meant: dict[str, set[str]] = {}
    for value, code in known.items():
        if value.isascii() and value.isdigit():
            number = value.lstrip("0") or "0"
            for writing in (number, f"{number}.0"):
                meant.setdefault(writing, set()).add(code)
    return {writing: code for writing, codes in meant.items() if len(codes) == 1 for code in codes}


def ended(code_set: CodeSet) -> dict[str, date]:
    """Codes that are in force no more -> their last day."""
    last: dict[str, date] = {}
    for code in code_set.codes:
        last[code.code] = max(last.get(code.code, date.min), code.valid_to or date.max)
    return {code: day for code, day in last.items() if day < date.max}


# A check as declared: field, code, severity, its expression as SQL or made by a kind when it is needed, and its guard.
Declared = tuple[str, str, str, str | Callable[[], exp.Expr], str]
ODD_VALUE, ODD_NAME, BAD_NUMBER, MENDED_NUMBER = (
    "is_odd", "NOT name_is_plain", "cn_error IS NOT NULL", "cn_repair IS NOT NULL",
)  # fmt: skip


def checks(item: Item, catalog: Catalog, policy: Policy) -> list[Check]:
    """All checks of an item in the order of its fields; the tag is severity letter (L = refused) + position."""
    withdraws = " OR ".join(f"{f.name} = 'withdraw'" for f in item.live_fields if f.role == "action")
    always = key_fields(item)
    return [
        Check(
            f"{'L' if code in REFUSING else LETTERS[severity]}{n}", field, code, severity,
            _sql(violated) if isinstance(violated, str) else violated(), guard,
            "" if (field in always and code != NO_BIRTH) or code in REFUSING else withdraws,
        )
        for n, (field, code, severity, violated, guard) in enumerate(_declared(item, catalog, policy))
    ]  # fmt: skip


def key_fields(item: Item) -> set[str]:
    """The fields that tell which record a row is about, and which of its statements is the later: all that a
    withdrawal has to say."""
    roles = ("credit_number", "certificate_type", "action")
    return {*item.business_key, item.source_time or "", *(f.name for f in item.live_fields if f.role in roles)}


def finding_codes(item: Item, catalog: Catalog) -> dict[str, str]:
    """The codes that the checks of an item may give -> a field that gives it."""
    unknown = ((item.nature, "hold"),) if birth_field(item) else ()
    policy = Policy(1900, 18, birth_unknown=unknown, test_names=("-",), withdrawal_words=("-",))
    return {code: field for field, code, *_ in _declared(item, catalog, policy)}


def _declared(item: Item, catalog: Catalog, policy: Policy) -> list[Declared]:
    found: list[Declared] = []
    for field in item.live_fields:
        value = exp.column(field.name)
        if field.role == "credit_number":
            found += [_credit(field.name, code, "cn_error", catalog) for code in CREDIT_ERRORS]
            found += [_credit(field.name, code, "cn_repair", catalog) for code in CREDIT_REPAIRS]
            found += _person(item, field.name, policy)
            continue
        if field.replaces == item.by_role("credit_number").name:
            found += _other_number(field, REPLACED, catalog)
        if item.registers is not None and field.name == item.registers.number:
            found += _linked_number(field, catalog)
        found += _value(item, field)
        if field.code_set in catalog.code_sets and ended(catalog.code_sets[field.code_set]):
            day = item.event_date or "as_of"
            found.append((field.name, "V013", "warning", f"until_{field.name} < {day}", ""))
        if field.length is not None and field.type == "text":
            found.append((field.name, "V005", "error", f"LENGTH(t_{field.name}) > {field.length}", ""))
        if field.type == "text":
            found.append((field.name, "F015", "hold", characters.lost(field), ""))
        if field.role == "name" or field.is_free_text:
            found.append((field.name, "F034", "hold", characters.misread(field), ""))
        if characters.may_be_cut(field):
            found.append((field.name, "F035", "warning", characters.cut(f"t_{field.name}"), ""))
        if field.role == "name":
            found.append((field.name, "F033", "warning", characters.placeholder(field), ""))
            found += _name(field, takes_organisations(item), policy)
        elif is_tidied(item, field):
            found.append((field.name, "V022", "info", partial(_tidied, field), ""))
        if field.role == "remarks" and policy.withdrawal_words:
            found.append((field.name, "V024", "hold", _asks_withdrawal(item, field, policy), ""))
        for rule in field.rules:
            kind = FIELD_KINDS[rule.kind]
            violated = partial(kind.violated, value, rule.options)
            found.append((field.name, rule.code or kind.CODE, rule.severity, violated, ""))
    if listed := sealed.of(item, catalog):
        at = next((f for f in item.live_fields if f.is_free_text), item.by_role("credit_number"))
        found.append((at.name, "L004", "error", sealed.says(item, listed), sealed.guard(item, listed)))
    for rule in item.rules:
        kind = ITEM_KINDS[rule.kind]
        violated = partial(kind.violated, rule.options)
        found.append((rule.options["field"], rule.code or kind.CODE, rule.severity, violated, ""))
    return found


def _tidied(field: FieldSpec) -> exp.Expr:
    """Other characters stand for it than its usual writings have."""
    uncut = types.plain(field, exp.column(f"t_{field.name}")).sql(dialect="duckdb")
    return _sql(f"CASE WHEN {field.name} <> t_{field.name} THEN {field.name} <> {uncut} ELSE FALSE END")


def _other_number(field: FieldSpec, prefix: str, catalog: Catalog) -> list[Declared]:
    """A second number of a row, known as `prefix`: one that nobody can have is wrong itself."""
    given = f"t_{field.name} IS NOT NULL"
    codes = [catalog.findings[code] for code in CREDIT_ERRORS if code in catalog.findings and code != "I001"]
    return [(field.name, c.code, c.severity, f"{given} AND {prefix}_error = '{c.code}'", given) for c in codes]


def _linked_number(field: FieldSpec, catalog: Catalog) -> list[Declared]:
    """Another number of the subject is held to all that a number is: it joins what is said of two numbers."""
    given = f"t_{field.name} IS NOT NULL"
    return [
        *_other_number(field, LINKED, catalog),
        (field.name, "I010", "error", f"{given} AND {LINKED}_kind = 'uscc'", given),
        (field.name, "I015", "hold", f"{given} AND ends_with({LINKED}, '000') AND {LINKED}_birth IS NOT NULL", given),
        (field.name, "V016", "info", f"{given} AND {LINKED}_error = 'I001'", given),
    ]


def takes_organisations(item: Item) -> bool:
    """Whether a row may be about a business, whose name follows no rule."""
    return set(item.subject_types) != {"natural_person"}


def is_tidied(item: Item, field: FieldSpec) -> bool:
    """Whether leftovers of web pages are taken out of a field: of what people read, and of what tells records apart."""
    is_key = field.name in item.business_key or field.replaces in item.business_key
    return field.type == "text" and (field.is_free_text or is_key)


def _value(item: Item, field: FieldSpec) -> list[Declared]:
    """What may be wrong with a value as its type reads it, and what was repaired.

    A placeholder counts as no value, which is told where none is needed. Only what is not plain is asked what it is.
    """
    name, text = field.name, f"t_{field.name}"
    if field.type == "text":
        return [(name, "V001", "error", f"{name} IS NULL", "")] if field.required and field.role != "name" else []
    unread = f"h_{name} IS NOT NULL AND {name} IS NULL"
    none, day_or_month, serial = f"n_{name}", types.is_ambiguous(name), types.is_serial(name)

    def of_unread(what: str) -> str:
        return f"CASE WHEN {unread} THEN {what} ELSE FALSE END"

    found: list[Declared] = []
    if field.required:
        absent = f"CASE WHEN {name} IS NULL THEN {text} IS NULL OR {none} ELSE FALSE END"
        found.append((name, "V001", "error", absent, ""))
    if field.type == "date":
        found.append((name, "V002", "error", of_unread(f"NOT ({none} OR {day_or_month})"), ODD_VALUE))
        found.append((name, "V011", "error", of_unread(day_or_month), ODD_VALUE))
        found.append((name, "V015", "warning", f"{name} IS NOT NULL AND {serial}", ODD_VALUE))
    else:
        found.append((name, types.CODES[field.type], "error", of_unread(f"NOT {none}"), ODD_VALUE))
    if field.type in types.TWO_STEPS:
        repaired = f"h_{name} IS NOT NULL AND {name} IS NOT NULL"
        if field.type == "date":
            repaired += f" AND NOT {serial}"
        found.append((name, "V014", "info", repaired, ODD_VALUE))
    if not field.required:
        found.append((name, "V016", "info", f"{unread} AND {none}", ODD_VALUE))
    return found


def _name(field: FieldSpec, takes_organisations: bool, policy: Policy) -> list[Declared]:
    """What may be wrong with the name of a person, and what was repaired."""
    name = field.name
    tests = [f"starts_with({name}, '{word}')" for word in policy.test_names]
    numbers = ", ".join(f"'{number}'" for number in policy.test_numbers)
    tests += [f"cn IN ({numbers})"] if numbers else []
    several, nobody = (ask(name, takes_organisations) for ask in (names.is_several, names.is_nobody))
    found: list[Declared] = [
        *([(name, "V001", "error", f"t_{name} IS NULL", "")] if field.required else []),
        (name, "V017", "info", _if_legible(f"{name} <> t_{name}", field), ODD_NAME),
        (name, "V018", "error", several, ODD_NAME),
        (name, "V019", "error", f"t_{name} IS NOT NULL AND {nobody}", ODD_NAME),
    ]
    if not takes_organisations:
        found.append((name, "V020", "warning", _if_legible(names.is_unlike(name), field), ""))
    if tests:
        found.append((name, "V021", "hold", " OR ".join(tests), ""))
    return found


def _asks_withdrawal(item: Item, field: FieldSpec, policy: Policy) -> str:
    """SQL: the remarks ask for what only the row's action may say (Q85)."""
    asks = " OR ".join(f"strpos({field.name}, '{word}') > 0" for word in policy.withdrawal_words)
    said = [f"coalesce({f.name}, 'new') <> 'withdraw'" for f in item.live_fields if f.role == "action"]
    return " AND ".join([f"({asks})", *said])


def _if_legible(test: str, field: FieldSpec) -> str:
    """What was read in the wrong encoding is told so, and nothing else of it."""
    return f"CASE WHEN {test} THEN NOT ({characters.misread(field)}) ELSE FALSE END"


def texts(item: Item) -> exp.Select:
    """place, line, sheet, as_of, and t_<field>, the trimmed text of every field, of the rows of `staged`, which has a
    text column for each field and the as-of date in `as_of`."""
    cells = [exp.alias_(types.trimmed(exp.column(f.name)), f"t_{f.name}", copy=False) for f in item.fields]
    return exp.select("place", "line", "sheet", "as_of", *cells, copy=False).from_("staged", copy=False)


def accepted(listed: list[Check]) -> exp.Select:
    """The rows of `located` that no check stops, with `notes`, the comma-separated tags of what is still worth saying.
    """
    stops = _any([c for c in listed if c.tag[0] in STOPPING])
    notes = _tags([c for c in listed if c.tag[0] not in STOPPING])
    passing = exp.not_(exp.Coalesce(this=stops, expressions=[exp.false()]), copy=False)
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
    tags = [exp.Case().when(_asked(c), exp.Literal.string(c.tag), copy=False) for c in listed]
    named = exp.Anonymous(this="CONCAT_WS", expressions=[exp.Literal.string(","), *tags])
    return exp.Case().when(_any(listed), named, copy=False).else_(exp.Literal.string(""), copy=False)


def _asked(check: Check) -> exp.Expr:
    """Whether a check fails, of whatever row."""
    if not check.unless:
        return check.violated.copy()
    return _unless(check.unless, check.violated.copy())


def _unless(test: str, violated: exp.Expr) -> exp.Expr:
    return exp.Case().when(_sql(test).copy(), exp.false(), copy=False).else_(violated, copy=False)


def _any(listed: list[Check]) -> exp.Expr:
    """Whether any check fails; those behind one guard are asked together, and those that a row may do without."""
    parts = []
    for test in {c.unless: None for c in listed}:
        some = _guarded([c for c in listed if c.unless == test])
        parts.append(_unless(test, some) if test else some)
    return exp.or_(*parts, copy=False)


def _guarded(listed: list[Check]) -> exp.Expr:
    guarded: dict[str, list[exp.Expr]] = {}
    for check in listed:
        guarded.setdefault(check.guard, []).append(check.violated.copy())
    unguarded = guarded.pop("", [])
    cases = [
        exp.Case().when(_sql(guard).copy(), exp.or_(*some, copy=False), copy=False).else_(exp.false(), copy=False)
        for guard, some in guarded.items()
    ]
    return exp.or_(*unguarded, *cases, copy=False)


def located(item: Item) -> exp.Select:
    """What the rows of `texts` say: its columns, <field> (typed), h_<field> (its spelling where it was not plain),
    is_odd (whether any was not), until_<field> (a code's last day), name_is_plain, cn*, known_region.

    Code tables are `codes_<set>(value, code, valid_to)`.
    """
    # Built in place: by default each call copies all that was built so far, seconds for a delivery of ten rows.
    def over(below: exp.Select, added: Iterable[tuple[str, exp.Expr]]) -> exp.Select:
        """One more layer: all columns of the one below and those `added`."""
        named = (exp.alias_(value, name, copy=False) for name, value in added)
        return exp.select(exp.Star(), *named, copy=False).from_(below.subquery("below", copy=False), copy=False)

    person = item.by_role("name")
    coded = exp.select(exp.column(exp.Star(), table="texts")).from_("texts")
    for f in item.fields:
        if f.type == "code":
            table = f"codes_{f.name}"
            coded.select(exp.alias_(exp.column("code", table=table), f.name), copy=False)
            coded.select(exp.alias_(exp.column("valid_to", table=table), f"until_{f.name}"), copy=False)
            on = f"{table}.value = t_{f.name}"
            coded.join(f"codes_{f.code_set} AS {table}", on=on, join_type="left", copy=False)
        elif f.role != "name":
            text = exp.column(f"t_{f.name}")
            value = _tidy(f) if is_tidied(item, f) else types.plain(f, text)
            name = f"p_{f.name}" if f.type in types.TWO_STEPS else f.name
            coded.select(exp.alias_(value, name, copy=False), copy=False)
    last = coded
    number = exp.column(f"t_{item.by_role('credit_number').name}")
    certificate = exp.column(item.by_role("certificate_type").name)
    numbers = credit_number.columns(number, certificate)
    if wrong := [f for f in item.replacing_fields if f.replaces == item.by_role("credit_number").name]:
        others = credit_number.columns(exp.column(f"t_{wrong[0].name}"), certificate, REPLACED)
        numbers = [[*layer, *other] for layer, other in zip(numbers, others, strict=True)]
    if item.registers is not None:
        said = [exp.column(name) for name in (item.registers.certificate_type, certificate.name) if name]
        kind = exp.Coalesce(this=said[0], expressions=said[1:])
        others = credit_number.columns(exp.column(f"t_{item.registers.number}"), kind, LINKED)
        numbers = [[*layer, *other] for layer, other in zip(numbers, others, strict=True)]
    for added in (
        *types.steps(item.fields),
        *names.columns(exp.column(f"t_{person.name}"), person.name),
        *numbers,
    ):
        last = over(last, added)
    region = exp.column("code", table="regions").as_("known_region")
    regions = exp.to_table("codes_region").as_("regions")
    whole = exp.select(exp.column(exp.Star(), table="below"), region, copy=False)
    whole.from_(last.subquery("below", copy=False), copy=False)
    return whole.join(regions, on="regions.value = cn_region", join_type="left", copy=False)


@lru_cache(maxsize=8192)
def _sql(text: str) -> exp.Expr:
    """Shared: whoever builds it into a tree copies it. Reading the catalogue asks for most texts many times."""
    return tree(text)


def _tidy(field: FieldSpec) -> exp.Expr:
    text = types.plain(field, exp.column(f"t_{field.name}")).sql(dialect="duckdb")
    cleaned = f"nullif(trim({markup.cleaned(text)}, '{types.BLANKS}'), '')"
    return tree(f"CASE WHEN {markup.is_likely(text)} THEN {cleaned} ELSE {text} END")


def _credit(field: str, code: str, column: str, catalog: Catalog) -> Declared:
    known = catalog.findings.get(code)
    severity = known.severity if known else ("error" if column == "cn_error" else "info")
    return field, code, severity, f"{column} = '{code}'", BAD_NUMBER if column == "cn_error" else MENDED_NUMBER


def birth_field(item: Item) -> FieldSpec | None:
    """Where a row tells the day of birth: the field that is compared with what the number tells of it."""
    return next((f for f in item.live_fields if any(r.kind == "birth_of_number" for r in f.rules)), None)


def _person(item: Item, field: str, policy: Policy) -> list[Declared]:
    """What the law and the policy ask of the person behind the number."""
    found: list[Declared] = [
        (field, "I007", "warning", "STARTS_WITH(cn_region, '46') AND known_region IS NULL", "known_region IS NULL"),
        (field, "I011", "error", f"EXTRACT(YEAR FROM cn_birth) < {policy.minimum_birth_year}", ""),
        (field, "I012", "error", "cn_birth > as_of", ""),
        (field, "I015", "hold", "ends_with(cn, '000') AND cn_birth IS NOT NULL", ""),
        (item.event_date or field, "L001", "error", _is_minor(item, policy), ""),
    ]
    if severity := dict(policy.birth_unknown).get(item.nature):
        told = birth_field(item)
        nobody_knows = f"cn IS NOT NULL AND cn_kind <> 'uscc' AND {_birth(item)} IS NULL"
        found.append((told.name if told else field, NO_BIRTH, severity, nobody_knows, "cn_birth IS NULL"))
    if not takes_organisations(item):
        found.append((field, "I010", "error", "cn_kind = 'uscc'", ""))
        return found
    kinds = [f.name for f in item.live_fields if f.code_set == "subject_type"]
    found += [(n, "X007", "warning", f"cn_kind = 'uscc' AND {n} = 'natural_person'", "") for n in kinds]
    if "organisation" not in item.subject_types:  # of the bodies with a code only sole traders stand for a person
        found.append((field, "I010", "error", "cn_kind = 'uscc' AND NOT starts_with(cn, '92')", ""))
    return found


def _birth(item: Item) -> str:
    """SQL of the day of birth: the number's, else what the row says."""
    told = birth_field(item)
    return f"coalesce(cn_birth, {told.name})" if told else "cn_birth"


def _is_minor(item: Item, policy: Policy) -> str:
    """SQL: the person was not of age at the act, if the row tells its day, or at the event. Of 29 February the birthday
    is the last day of the month (《民法典》第二百零二条). Where neither day can be read the as-of date stands for it:
    who is a minor now was one then; but a withdrawal needs no day, and takes away what should not be here."""
    live = {f.name for f in item.live_fields}
    acts = [name for name in item.acted_on if name in live]
    act = [f"coalesce({', '.join(acts)})"] if len(acts) > 1 else acts
    days = [*act, *([item.event_date] if item.event_date else [])]
    first = f"least({', '.join(days)})" if len(days) > 1 else "".join(days)
    withdraws = " OR ".join(f"{f.name} = 'withdraw'" for f in item.live_fields if f.role == "action")
    today = f"CASE WHEN {withdraws} THEN NULL ELSE as_of END" if withdraws else "as_of"
    event = f"coalesce({first}, {today})" if first else "as_of"
    later = f" + INTERVAL {policy.adult_after_days} DAY" if policy.adult_after_days else ""
    grown = f"INTERVAL {policy.adult_age} YEAR{later}"
    # Who is not born yet on the as-of date has a wrong number; only those born are minors, whom the law keeps out.
    return f"{_birth(item)} <= as_of AND {_birth(item)} + {grown} > {event}"
