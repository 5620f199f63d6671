"""What an item's curated files look like: Arrow schemas, from which the Iceberg tables are made."""

from __future__ import annotations

import pyarrow as pa

from schemas.model import FieldSpec, Item


def record_schema(item: Item) -> pa.Schema:
    """Arrow schema of a current record. All nullable: the engine's writer, not the table, knows what is never null."""
    return pa.schema(
        [
            ("record_key", pa.binary()),
            ("subject_id", pa.binary()),
            ("content_hash", pa.binary()),
            ("department", pa.string()),
            ("delivery_id", pa.string()),
            ("line", pa.int64()),
            ("sheet", pa.string()),
            ("period", pa.date32()),
            ("sequence", pa.int32()),
            ("source_time", pa.timestamp("us")),
            *((f.name, arrow_type(f)) for f in item.curated_fields),
        ]
    )


def statement_schema(item: Item) -> pa.Schema:
    """Arrow schema of a statement, and of the data files of both tables: the record's columns, the row's action and,
    where rows may name one, the key of the record that it replaces."""
    shape = record_schema(item).append(pa.field("action", pa.string()))
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
