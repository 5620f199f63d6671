"""What an accepted row becomes: its subject, record key, content hash, and fields that may leave the vault.

Trees over the columns of `row_rules.accepted`. Two functions are the engine's to supply, since the key must not stand
in SQL: `subject_id_of(number)` and `keyed_hash(text)`, each text -> 16 bytes. Where the key was rotated, pseudonyms and
what is made of them here are those under the first key, and whoever writes the rows turns them.
"""

from __future__ import annotations

from sqlglot import exp

from schemas.model import FieldSpec, Item
from schemas.row_rules import LINKED, REPLACED
from schemas.sql import literal, tree
from schemas.third_persons import ThirdPersons

# 18 digits with a date inside: a citizen number wherever it stands. Free text is searched more widely.
STRICT = "[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])[0-9]{3}[0-9Xx]"
# Between the figures there may be one blank or dash, of any width. Fifteen figures or more are a number of somebody: of
# an identity card, of a bank card (16 to 19), of an account.
_BETWEEN = "[ \\t\u00a0\u3000‐‑–—−－-]?"
LOOSE = f"[1-9](?:{_BETWEEN}[0-9]){{13,}}{_BETWEEN}[0-9Xx]"
PHONE = f"1[3-9][0-9]{_BETWEEN}[0-9]{{4}}{_BETWEEN}[0-9]{{4}}"
LANDLINE = f"(^|[^0-9])0[0-9]{{2,3}}{_BETWEEN}[1-9][0-9]{{6,7}}($|[^0-9])"
NUMBER_MASK = "[证件号]"
# Cheap signs that a text may hold one of them; the searches above are paid for by few rows.
LONG = f"[0-9０-９](?:{_BETWEEN}[0-9０-９]){{10}}"


def select(item: Item, source: str, others: ThirdPersons | None = None) -> exp.Select:
    """Over the rows of `row_rules.accepted`: place, line, sheet, notes, subject_id, record_key, content_hash,
    credit_number, number_kind, name_hash (the engine's own, to find one number under two names), identity (JSON),
    action, source_time, redacted (fields), replaces where rows may name a wrong key, linked_number, linked_kind and
    linked_subject_id where they may tell another number of their subject, then the curated fields, each as o_<field>.
    The names of `others` are hidden in free text.
    """
    name, number = item.by_role("name").name, f"t_{item.by_role('credit_number').name}"
    texts = [f for f in item.curated_fields if f.type == "text"]
    action = next((f.name for f in item.fields if f.role == "action"), "NULL")
    known = exp.select(
        "*",
        _alias(identity(item), "identity"),
        _alias("subject_id_of(cn)", "subject_id"),
        *(_alias(redacted(f, name, number, others), f"r_{f.name}") for f in texts),
    ).from_(source)
    kept = {f.name: f"r_{f.name}" if f.type == "text" else f.name for f in item.curated_fields}
    # What is not said is left out and what is said carries the first name of its field, so that a field added, renamed
    # or moved leaves the hash of every record as it was.
    said_of = [(f, _stated(f)) for f in item.identifying_fields if f.role != "credit_number"]
    said_of += [(f, kept[f.name]) for f in item.curated_fields if f.name != item.source_time]
    said_of.sort(key=lambda pair: pair[0].first_name)
    content = ", ".join(f"'{f.first_name}=' || CAST({column} AS VARCHAR)" for f, column in said_of)
    differs = ", ".join(f"CASE WHEN r_{f.name} <> {f.name} THEN '{f.name}' END" for f in texts)
    return (
        exp.select("place", "line", "sheet", "notes", "subject_id")
        .select(
            _alias(record_key(item, "subject_id"), "record_key"),
            _alias(f"keyed_hash(md5(concat_ws(chr(31), {content})))", "content_hash"),
            _alias("cn", "credit_number"),
            _alias("cn_kind", "number_kind"),
            _alias(f"hash({name})", "name_hash"),
            exp.column("identity"),
            _alias(f"coalesce({action}, 'new')", "action"),
            _alias(f"CAST({item.source_time or 'NULL'} AS TIMESTAMP)", "source_time"),
            _alias(f"concat_ws(',', {differs})" if differs else "''", "redacted"),
            *([_alias(replaced_key(item), "replaces")] if item.replacing_fields else []),
            *(_alias(sql, name) for name, sql in linked(item).items()),
            *(_alias(column, f"o_{name}") for name, column in kept.items()),
        )
        .with_("said", as_=known, copy=False)
        .from_("said")
    )


def linked(item: Item) -> dict[str, str]:
    """Columns of the other number that a row tells of its subject, NULL where that is the same one in another form;
    none where the item is no register of persons."""
    if item.registers is None:
        return {}
    other = f"nullif({LINKED}, cn)"
    return {
        "linked_number": other,
        "linked_kind": f"CASE WHEN {other} IS NOT NULL THEN {LINKED}_kind END",
        "linked_subject_id": f"subject_id_of({other})",
    }


def identity(item: Item) -> str:
    """The identifying fields of a row but the number itself, as one JSON text."""
    parts = ", ".join(f"'{f.name}': {_stated(f)}" for f in item.identifying_fields if f.role != "credit_number")
    return f"CAST(to_json({{{parts}}}) AS VARCHAR)"


def _stated(field: FieldSpec) -> str:
    """What the vault keeps of an identifying field: text as it was sent, but the tidy name; of the rest, the value."""
    if field.type != "text":
        return f"CAST({field.name} AS VARCHAR)"
    return field.name if field.role == "name" else f"t_{field.name}"


def redacted(field: FieldSpec, name: str, number: str, others: ThirdPersons | None = None) -> str:
    """The text without identity numbers and, in free text, without phones, the names of `others`, and the row's own
    number (column `number`) and name (tidy in column `name`, and as the row writes it), the name also with blanks
    between its characters."""
    text = field.name
    if not field.is_free_text:
        found = f"regexp_replace({text}, '{STRICT}', '{NUMBER_MASK}', 'g')"
        return f"CASE WHEN length({text}) >= 18 THEN {found} ELSE {text} END"
    own = f"CASE WHEN length({name}) > 1 THEN {name} ELSE '' END"
    apart = f"CASE WHEN length({name}) > 1 THEN trim(regexp_replace({name}, '(.)', '\\1 ', 'g')) ELSE '' END"
    wide = f"replace({apart}, ' ', '\u3000')"
    sent = f"CASE WHEN length(t_{name}) > 1 AND NOT name_is_plain THEN t_{name} ELSE '' END"
    # One search for both: nearly every text holds neither.
    odd = literal(f"{LONG}|{others.sign}" if others else LONG)
    sign = f"""regexp_matches({text}, {odd}) OR (length({name}) > 1 AND strpos({text}, {name}) > 0)
        OR CASE WHEN name_is_plain THEN FALSE ELSE strpos({text}, nullif({sent}, '')) > 0 END
        OR (length({number}) >= 6 AND strpos({text}, {number}) > 0)
        OR (strpos({text}, ' ') > 0 AND strpos({text}, nullif({apart}, '')) > 0)
        OR (strpos({text}, '\u3000') > 0 AND strpos({text}, nullif({wide}, '')) > 0)"""
    clean = f"replace({text}, CASE WHEN length({number}) >= 6 THEN {number} ELSE '' END, '{NUMBER_MASK}')"
    clean = f"translate({clean}, '０１２３４５６７８９Ｘｘ', '0123456789Xx')"
    clean = f"regexp_replace(regexp_replace({clean}, '{LOOSE}', '{NUMBER_MASK}', 'g'), '{PHONE}', '[电话]', 'g')"
    clean = f"regexp_replace({clean}, '{LANDLINE}', '\\1[电话]\\2', 'g')"
    for said in (sent, own, apart, wide):
        clean = f"replace({clean}, {said}, '[当事人]')"
    clean = others.hidden(clean) if others else clean
    return f"CASE WHEN {sign} THEN {clean} ELSE {text} END"


def record_key(item: Item, subject: str) -> str:
    """Which fact a row states: `subject` is SQL of its subject id."""
    return _key(item, subject, business_key(item))


def _key(item: Item, subject: str, of: str) -> str:
    return f"unhex(md5(concat_ws(chr(31), '{item.code}', hex({subject}), {of})))"


def replaced_key(item: Item, own: str = "subject_id") -> str:
    """The key of the record that a row replaces, NULL where it names no other: what it says of the wrong number or
    document number, and for the rest its own key. `own` is SQL of its subject id."""
    wrong = {f.replaces: f for f in item.replacing_fields}
    said = [REPLACED if of == item.by_role("credit_number").name else f.name for of, f in wrong.items()]
    parts = [[key_text(f) for f in (wrong.get(k), item.field(k)) if f] for k in item.business_key]
    subject = f"coalesce(subject_id_of({REPLACED}), {own})" if REPLACED in said else own
    other = _key(item, subject, ", ".join(f"coalesce({', '.join(p)}, '')" for p in parts))
    given = " OR ".join(f"{column} IS NOT NULL" for column in said)
    return f"CASE WHEN {given} THEN nullif({other}, {record_key(item, own)}) END"


def business_key(item: Item, is_canonical: bool = False) -> str:
    """The business key of a row in the form that keys compare, as arguments of concat_ws."""
    return ", ".join(f"coalesce({key_text(item.field(k), is_canonical)}, '')" for k in item.business_key)


def key_text(field: FieldSpec, is_canonical: bool = False) -> str:
    """A key field in the form that keys compare: brackets 〔〕, no blanks, no 第, upper case (domain 4.6); as it is
    where it is known to have this form."""
    if field.type == "text" and is_canonical:
        return field.name
    if field.type != "text":
        return f"CAST({field.name} AS VARCHAR)"
    brackets = f"translate({field.name}, '()（）[]［］【】{{}}', '〔〕〔〕〔〕〔〕〔〕〔〕')"
    form = f"upper(replace(regexp_replace({brackets}, '[\\s\u3000]', '', 'g'), '第', ''))"
    return f"CASE WHEN regexp_matches({field.name}, '^[0-9A-Z]+$') THEN {field.name} ELSE {form} END"


def _alias(sql: str, name: str) -> exp.Expr:
    return exp.alias_(tree(sql), name)
