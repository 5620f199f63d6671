"""What a home holds of the golden scenario, and what it has to hold, both in the words of its tables.

A row is what it says: field -> text, without fields that say nothing. A key is told as the person and the business key,
an event as its item and its own number; that one key never stands for two of them is asserted on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

from pipelines.query import query
from pipelines.stores.keys import Keys
from schemas.arrow import ended_schema, record_schema, statement_schema
from tests.golden import CONSTANTS, ITEMS, PEOPLE, SPECS, day, rows_of
from tests.nights import Home

Row = dict[str, str]
State = dict[str, list[Row]]  # `<space>.<item>` -> its rows, in order

# What depends on which file came when.
ARRIVAL = ("delivery_id", "line", "sheet", "content_hash")
KEYS = ("record_key", "subject_id", "replaces", "ended_event")
SHAPES = {
    "records": record_schema, "ended": ended_schema, "history": statement_schema, "versions": statement_schema,
}  # fmt: skip


@cache
def people() -> dict[str, str]:
    """subject_id in hexadecimal -> person."""
    ids = Keys(bytes(range(64))).subject_ids(pa.array([number for _, number in PEOPLE.values()]))
    return {i.as_py().hex().upper(): person for i, person in zip(ids, PEOPLE, strict=True)}


def state(home: Home, spaces: Sequence[str], as_of: int | None = None) -> State:
    """All rows of these spaces of every item in the current release, or in that of a night."""
    parts = []
    for item in ITEMS:
        for space in spaces:
            keys = [k for k in KEYS if k in SHAPES[space](SPECS[item]).names]
            hexes = ", ".join(f"hex({k}) AS {k}" for k in keys)
            told = f"SELECT * EXCLUDE ({', '.join(ARRIVAL)}) REPLACE ({hexes}) FROM {space}.{item}"
            parts.append(f"SELECT '{space}.{item}', CAST(to_json(t) AS VARCHAR) FROM ({told}) t")
    home.told().close()
    found: dict[str, list[dict[str, Any]]] = {f"{space}.{item}": [] for space in spaces for item in ITEMS}
    for place, text in query(home.place, " UNION ALL ".join(parts), day(as_of).isoformat() if as_of else None)[1]:
        found[place].append(json.loads(text, parse_float=Decimal))
    return _worded(found)


def _worded(found: dict[str, list[dict[str, Any]]]) -> State:
    keys: dict[str, tuple[str, str, str]] = {}
    for place, rows in found.items():
        item = place.partition(".")[2]
        for row in rows:
            key = " ".join(_text(row[k]) for k in SPECS[item].business_key)
            meant = (item, people()[row["subject_id"]], key)
            assert keys.setdefault(row["record_key"], meant) == meant
    assert len(set(keys.values())) == len(keys)
    told: State = {}
    for place, rows in found.items():
        told[place] = []
        for row in rows:
            item, person, _ = keys[row["record_key"]]
            said = {k: _text(v) for k, v in row.items() if k not in KEYS} | {"person": person}
            if row.get("replaces"):
                said["replaces"] = " ".join(keys[row["replaces"]][1:])
            if row.get("ended_event"):
                of, _, key = keys[row["ended_event"]]
                said["ended_event"] = f"{of} {key.split()[0]}"
            assert said.pop("source_time") == said["updated_at"]
            told[place].append({k: v for k, v in said.items() if v})
        told[place].sort(key=_in_order)
    return told


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | Decimal):
        return f"{Decimal(value).normalize():f}"
    return str(value).removesuffix(" 00:00:00")


def _in_order(row: Row) -> list[tuple[str, str]]:
    return sorted(row.items())


def expected(space: str, item: str, night: int) -> list[Row]:
    """What `<space>.<item>` has to hold after a night, as the tables beside this module say."""
    if space in ("records", "ended"):
        rows = [dict(r) for r in rows_of(f"current/{item}.csv")]
        rows = [r for r in rows if str(night) in r.pop("nights").split()]
        rows = [r for r in rows if (space == "ended") == bool(r.get("ended_on"))]
        if space == "records":
            rows = [{k: v for k, v in r.items() if not k.startswith("ended_")} for r in rows]
    else:
        rows = [dict(r) for r in rows_of(f"{space}/{item}.csv")]
    return sorted((_filled(space, item, row) for row in rows), key=_in_order)


def _filled(space: str, item: str, row: Row) -> Row:
    """The row with the constants of its item, its cells in one writing, and its columns in the order of the table."""
    constant = {} if row.get("action") == "withdraw" else CONSTANTS[item]["curated"]
    said = {**constant, **row}
    order = ["valid_from", "valid_to", *SHAPES[space](SPECS[item]).names, "person"]
    unknown = said.keys() - set(order)
    assert not unknown, f"{space}.{item} has no column {sorted(unknown)}"
    numbers = {f.name for f in SPECS[item].fields if f.type in ("integer", "decimal")} | {"sequence"}
    if space == "versions":
        said["action"] = "new"
    told = {k: _text(Decimal(v)) if k in numbers and v else v for k, v in said.items()}
    return {k: told[k] for k in order if told.get(k)}


def differences(found: State, night: int) -> dict[str, tuple[list[Row], list[Row]]]:
    """`<space>.<item>` -> (rows that should be there and are not, rows that are there and should not)."""
    told = {}
    for place, rows in found.items():
        space, _, item = place.partition(".")
        wanted = expected(space, item, night)
        if wanted != rows:
            told[place] = (_without(wanted, rows), _without(rows, wanted))
    return told


def _without(rows: Iterable[Row], others: Sequence[Row]) -> list[Row]:
    left = list(others)
    return [row for row in rows if row not in left or left.remove(row)]
