"""A JSON delivery of an item as JSON Schema 2020-12: a list of rows, each an object with the item's field names.

It says what a careful sender sends: plain dates, codes or their names. The readers take more (other date forms, header
aliases), and the rules that look at several fields or at the check digit of a number stay with `validate`.
"""

from __future__ import annotations

import json
from typing import Any

from schemas.model import Catalog, FieldSpec, Item
from schemas.row_rules import code_values, key_fields

DIGITS = {"integer": r"^[+-]?[0-9]{1,18}$", "decimal": r"^[+-]?[0-9]{1,18}([.][0-9]+)?$"}
FORMS: dict[str, dict[str, Any]] = {
    "date": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "timestamp": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?$"},
    "boolean": {"enum": [True, False, "是", "否"]},
}


def make(item: Item, catalog: Catalog) -> bytes:
    row = {
        "type": "object",
        "properties": {f.name: _field(f, catalog) for f in item.live_fields},
        **_required(item, catalog),
        "additionalProperties": False,
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:qiongxin:catalog:{catalog.revision}:{item.code}",
        "title": item.name_zh,
        "description": f"{item.name_en}. {'；'.join(item.legal_basis)}",
        "type": "array",
        "items": row,
    }
    return (json.dumps(schema, ensure_ascii=False, indent=2) + "\n").encode()


def _required(item: Item, catalog: Catalog) -> dict[str, Any]:
    """Which fields a row must have: to withdraw a record its key alone."""
    required = [f.name for f in item.live_fields if f.required]
    action = next((f for f in item.live_fields if f.role == "action"), None)
    if action is None:
        return {"required": required}
    words = [w for w, code in code_values(catalog.code_sets[str(action.code_set)]).items() if code == "withdraw"]
    key = key_fields(item)
    return {
        "if": {"properties": {action.name: {"enum": words}}, "required": [action.name]},
        "then": {"required": [name for name in required if name in key]},
        "else": {"required": required},
    }


def _field(field: FieldSpec, catalog: Catalog) -> dict[str, Any]:
    about = {"title": field.label_zh, "description": field.label_en + (f", {field.unit}" if field.unit else "")}
    value = _value(field, catalog)
    return about | (value if field.required else {"anyOf": [value, {"type": "null"}]})


def _value(field: FieldSpec, catalog: Catalog) -> dict[str, Any]:
    if field.type == "code":
        return {"enum": list(code_values(catalog.code_sets[str(field.code_set)]))}
    if field.type in FORMS:
        return dict(FORMS[field.type])
    if field.type in DIGITS:
        number: dict[str, Any] = {"type": "integer" if field.type == "integer" else "number"}
        for rule in field.rules:
            if rule.kind == "between" and rule.severity == "error":
                bounds = {"minimum": rule.options.get("low"), "maximum": rule.options.get("high")}
                number |= {k: v for k, v in bounds.items() if v is not None}
        return {"anyOf": [number, {"type": "string", "pattern": DIGITS[field.type]}]}
    text: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": field.length}
    for rule in field.rules:
        if rule.kind == "matches" and rule.severity == "error":
            text["pattern"] = f"^(?:{rule.options['pattern']})$"
    return text
