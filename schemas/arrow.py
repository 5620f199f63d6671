"""What an item's curated files look like: Arrow schemas, from which the Iceberg tables are made."""

from __future__ import annotations

import pyarrow as pa

from schemas.life import STATED
from schemas.model import FieldSpec, Item

_KINDS = (pa.binary(), pa.binary(), pa.binary(), pa.string(), pa.string(), pa.int64(), pa.string(), pa.date32(),
          pa.int32(), pa.timestamp("us"))  # fmt: skip
OWN = tuple(zip(STATED, _KINDS, strict=True))
# What time and events make of a record (schemas/life.py): first what readers of it see.
SEEN = (
    ("marks", pa.string()),
    ("public_from", pa.date32()),
    ("public_until", pa.date32()),
    ("kept_until", pa.date32()),
)
ENDED = (("ended_on", pa.date32()), ("ended_by", pa.string()), ("ended_event", pa.binary()))
CLOCK = ("changes_on", pa.date32())


def record_schema(item: Item) -> pa.Schema:
    """Arrow schema of a current record as readers see it."""
    return pa.schema([*_stated(item), *SEEN])


def stored_schema(item: Item) -> pa.Schema:
    """Arrow schema of the data files: a statement, and all columns of `schemas.life` of the record that shows it.

    Those of history have them too, since one file serves both where a record shows a new statement; there they tell how
    the record was on that night, and nobody is shown them."""
    return pa.schema([*statement_schema(item), *SEEN, *ENDED, CLOCK])


def ended_schema(item: Item) -> pa.Schema:
    """Arrow schema of a record that is shared no more, as readers see it."""
    return pa.schema([*_stated(item), *SEEN, *ENDED])


def _stated(item: Item) -> pa.Schema:
    """All nullable: the engine's writer, not the table, knows what is never null."""
    return pa.schema(
        [
            *OWN,
            *((f.name, arrow_type(f)) for f in item.curated_fields),
            *([("linked_subject_id", pa.binary())] if item.registers else []),
        ]
    )


def statement_schema(item: Item) -> pa.Schema:
    """Arrow schema of a statement: the record's columns, the row's action and, where rows may name one, the key of the
    record that it replaces."""
    shape = _stated(item).append(pa.field("action", pa.string()))
    return shape.append(pa.field("replaces", pa.binary())) if item.replacing_fields else shape


def former_names(item: Item) -> dict[str, tuple[str, ...]]:
    """Column -> the names it had before, of the columns that were renamed."""
    return {f.name: f.formerly for f in item.curated_fields if f.formerly}


def arrow_type(field: FieldSpec) -> pa.DataType:
    if field.type == "decimal":
        return pa.decimal128(18, field.scale or 0)
    return {
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
    }.get(field.type, pa.string())
