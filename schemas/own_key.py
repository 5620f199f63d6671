"""By what a row that was not taken is known again when it comes once more, as far as it can be read.

Its record key, where nothing is wrong with its number and its business key; else the hash of its business key and the
name in it, since the number is what senders most often have to correct. Both are keyed or pseudonymous: they may lie in
the ledger. Of a row that the law refuses nothing but the key may be known, so that what was taken in before ends. SQL
over the typed rows of `schemas.row_rules.located` (t_<field> too) or over accepted rows.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.compiled import Check
from schemas.model import Item
from schemas.record import business_key, record_key, replaced_key
from schemas.row_rules import NO_BIRTH, STOPPING


def name_key(item: Item, name: str) -> str:
    """NULL where `name`, SQL of the person's name, is."""
    plain = f"regexp_replace({name}, '[\\s\u3000]', '', 'g')"
    said = f"keyed_hash(concat_ws(chr(31), 'own key', '{item.code}', {plain}, {business_key(item)}))"
    return f"CASE WHEN {name} IS NOT NULL THEN {said} END"


def of_accepted(item: Item) -> str:
    """name_key of a row of `accepted/`."""
    return name_key(item, f"json_extract_string(identity, '$.{item.by_role('name').name}')")


def of_judged(item: Item, checks: Iterable[Check]) -> tuple[str, str]:
    """(record_key, name_key) of a row that was not taken, NULL where a check stops it at what the key is made of."""
    listed = list(checks)
    number, name = (item.by_role(role).name for role in ("credit_number", "name"))
    key_is_read = f"NOT ({_stopped(listed, item.business_key)})"
    by_number = f"cn IS NOT NULL AND NOT ({_stopped(listed, (number,))}) AND {key_is_read}"
    by_name = f"NOT ({_stopped(listed, (name,))}) AND {key_is_read}"
    return (
        f"CASE WHEN {by_number} THEN {record_key(item, 'subject_id_of(cn)')} END",
        f"CASE WHEN {by_name} THEN {name_key(item, f't_{name}')} END",
    )


def of_refused(item: Item, checks: Iterable[Check]) -> tuple[str, str]:
    """(record_key, replaces) of a row that the law refuses, NULL where a check stops it at what they are made of. A
    refusal is no fault of the field where it is found, and an unknown day of birth none of the number."""
    listed = [c for c in checks if c.tag[0] in "EH" and c.code != NO_BIRTH]
    number = item.by_role("credit_number").name
    is_read = f"cn IS NOT NULL AND NOT ({_stopped(listed, (number, *item.business_key))})"
    key = f"CASE WHEN {is_read} THEN {record_key(item, 'subject_id_of(cn)')} END"
    if not item.replacing_fields:
        return key, "CAST(NULL AS BLOB)"
    other = f"NOT ({_stopped(listed, tuple(f.name for f in item.replacing_fields))})"
    return key, f"CASE WHEN {is_read} AND {other} THEN {replaced_key(item, 'subject_id_of(cn)')} END"


def _stopped(checks: list[Check], fields: tuple[str, ...]) -> str:
    tags = ", ".join(f"'{c.tag}'" for c in checks if c.field in fields and c.tag[0] in STOPPING)
    return f"list_has_any(string_split(failed, ','), [{tags}])" if tags else "FALSE"
