"""A CSV delivery of an item as a Data Package with a Table Schema: the headers and values that a careful sender writes.

Each field bears its Chinese label, as the template does; `aliases` are the other headers that the readers know, and
`departmentHeaders` what a department calls the field, which goes before everything else that the word may mean. The
readers take more (other forms of dates and amounts), and the rules that look at several fields or at the check digit of
a number stay with `validate`.
"""

from __future__ import annotations

import json
from typing import Any

from schemas import types
from schemas.dictionary import WORDS
from schemas.editions import named
from schemas.model import Catalog, FieldSpec, Item
from schemas.row_rules import code_values

TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "code": {"type": "string"},
    "date": {"type": "date", "format": "%Y-%m-%d"},
    "timestamp": {"type": "datetime", "format": "%Y-%m-%d %H:%M:%S"},
    "integer": {"type": "integer"},
    "decimal": {"type": "number"},
    "boolean": {
        "type": "boolean",
        "trueValues": list(types.TRUE_WORDS),
        "falseValues": list(types.FALSE_WORDS),
    },
}
MISSING = ["", *(blank for blank in types.BLANKS if blank not in "\r\n")]


def make(item: Item, catalog: Catalog) -> bytes:
    edition, first = named(item)
    schema: dict[str, Any] = {
        "fields": [_field(f, item, catalog) for f in item.live_fields],
        "missingValues": MISSING,
    }
    if key := _key(item):
        schema["primaryKey"] = key
    package = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": item.code,
        "id": f"urn:qiongxin:catalog:{item.code}",
        "title": item.name_zh,
        "description": item.name_en,
        "version": f"{first.year}.{first.month}.{first.day}+{catalog.revision}",
        "keywords": [item.nature, item.domain],
        "contributors": [
            {"title": catalog.departments[p].name_zh, "code": p, "roles": ["provider"]} for p in item.providers
        ],
        "sources": [{"title": basis} for basis in item.legal_basis],
        "edition": edition,
        "revision": catalog.revision,
        "updateCycle": item.update_cycle,
        "resources": [
            {
                "name": item.code,
                "type": "table",
                "title": item.name_zh,
                "description": f"更新周期：{WORDS['update_cycle'][item.update_cycle]}。",
                "path": f"{item.code}.csv",
                "scheme": "file",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": schema,
            }
        ],
    }
    return (json.dumps(package, ensure_ascii=False, indent=2) + "\n").encode()


def _field(field: FieldSpec, item: Item, catalog: Catalog) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": field.label_zh,
        "title": field.name,
        "description": field.label_en + (f", {field.unit}" if field.unit else ""),
        **TYPES[field.type],
    }
    if constraints := _constraints(field, catalog):
        found["constraints"] = constraints
    if field.code_set:
        found["codeSet"] = field.code_set
    current = item.editions[0].code if len(item.editions) == 1 else None
    rows = [row for row in catalog.headers.get(item.code, ()) if row.field == field.name]
    rows = [row for row in rows if row.edition in ("*", current)]
    everybody = [row.header for row in rows if row.department == "*"]
    if aliases := [a for a in dict.fromkeys([*field.aliases, *field.formerly, *everybody]) if a != field.label_zh]:
        found["aliases"] = aliases
    own: dict[str, list[str]] = {}
    for row in rows:
        if row.department != "*":
            own.setdefault(row.department, []).append(row.header)
    if own:
        found["departmentHeaders"] = own
    return found


def _constraints(field: FieldSpec, catalog: Catalog) -> dict[str, Any]:
    found: dict[str, Any] = {"required": True} if field.required else {}
    if field.type == "code":
        return found | {"enum": list(code_values(catalog.code_sets[str(field.code_set)]))}
    if field.type == "text" and field.length is not None:
        found["maxLength"] = field.length
    for rule in field.rules:
        if rule.severity != "error":
            continue
        if rule.kind == "between":
            bounds = {"minimum": rule.options.get("low"), "maximum": rule.options.get("high")}
            found |= {k: v for k, v in bounds.items() if v is not None}
        if rule.kind == "matches":
            # Tools put ^ and $ around it: without brackets they would bind to the first and last alternative only.
            found["pattern"] = f"({rule.options['pattern']})"
    return found


def _key(item: Item) -> list[str]:
    """What tells the rows of a delivery apart. Where a row says when it was changed, or may take another back, a
    delivery rightly holds several rows of one record; and what may be empty is no key."""
    fields = [item.by_role("credit_number"), *(item.field(name) for name in item.business_key)]
    may_repeat = item.source_time is not None or any(f.role == "action" for f in item.live_fields)
    return [] if may_repeat or not all(f.required for f in fields) else [f.label_zh for f in fields]
