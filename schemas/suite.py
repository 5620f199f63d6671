"""An item compiled into Great Expectations suites: the dataset gate, over figures and over the staged table.

Two suites, because they look at two things: `profile` at the one-row frame of batch figures (pandas), `staged` at
the warehouse's staging table by SQL. Aggregates only; no suite asks for values.
"""

from __future__ import annotations

from typing import Any

from schemas.model import Item
from schemas.tables import record_schema


def profile(item: Item, as_of: str) -> list[tuple[str, dict[str, Any]]]:
    """Expectations over the batch profile: (class name in great_expectations.expectations, arguments)."""
    same = ("ExpectColumnPairValuesToBeEqual", {"column_A": "rows", "column_B": "record_keys"})
    subjects = ("ExpectColumnPairValuesToBeEqual", {"column_A": "rows", "column_B": "subjects_present"})
    asked: list[tuple[str, dict[str, Any]]] = [same, subjects]
    for f in item.curated_fields:
        if f.required:
            asked.append(
                ("ExpectColumnValuesToBeBetween", {"column": f"nulls_{f.name}", "min_value": 0, "max_value": 0})
            )
    return asked


def staged(item: Item, rows: int) -> list[tuple[str, dict[str, Any]]]:
    """Expectations over the staging table: its columns in order, its row count, its key."""
    return [
        ("ExpectTableColumnsToMatchOrderedList", {"column_list": list(record_schema(item).names)}),
        ("ExpectTableRowCountToEqual", {"value": rows}),
        ("ExpectColumnValuesToBeUnique", {"column": "record_key"}),
        ("ExpectColumnValuesToNotBeNull", {"column": "record_key"}),
    ]
