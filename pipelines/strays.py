"""Rows that move a case against the states that its item allows: who sent them is told which they are.

All statements of a case count by their own times (schemas/states.py), so a row that comes late can put one of an
earlier delivery in the wrong, or in the right again, and the receipt of that one is written anew.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.model import publish
from pipelines.night import Night
from pipelines.stages.told import PLACES
from pipelines.stores import reversals
from pipelines.stores.engine import connect
from schemas import states
from schemas.arrow import former_names, statement_schema
from schemas.model import Item
from schemas.sql import literal


def find(night: Night) -> None:
    """Enter in the ledger, of every released delivery of an item with states, which of its rows these are, and write
    them (`findings/*.strayed.parquet`). Looks only at items of which something was released, reverted or deleted since.
    The file is written first, so a kill in between leaves an item that is looked at again.
    """
    items = night.catalog.items
    rows = [r for r in night.ledger.deliveries("released") if r["item"] in items and items[r["item"]].states]
    for code in sorted({r["item"] for r in rows if r["strayed"] is None}):
        found = _strayed(night, items[code])
        # Those not looked at yet come last: until then the item is looked at again.
        for r in sorted((r for r in rows if r["item"] == code), key=lambda r: r["strayed"] is None):
            places = found.get(r["delivery_id"], [])
            said = hashlib.sha256(str(places).encode()).hexdigest()[:8] if places else ""
            if said != r["strayed"]:
                path = night.home.strayed(r["delivery_id"])
                if places or path.exists():
                    told = pa.Table.from_pylist(places, PLACES)
                    publish(path, partial(pq.write_table, told))
                night.ledger.update(r["delivery_id"], strayed=said)


def _strayed(night: Night, item: Item) -> dict[str, list[dict[str, Any]]]:
    """Delivery -> line and sheet of its rows, in order."""
    files = night.lake.files("history", item.code, night.ledger.published(item.code).history)
    void = [r["delivery_id"] for r in reversals.known(night.ledger, item.code) if r["release_id"] is not None]
    found: dict[str, list[dict[str, Any]]] = {}
    if not files:
        return found
    with connect(night.home.work) as engine:
        stated = night.lake.relation(engine, "history", item.code, statement_schema(item), former_names(item), files)
        counting = f" WHERE delivery_id NOT IN ({', '.join(map(literal, void))})" if void else ""
        sql = states.strayed(item, f"(SELECT * FROM {stated}{counting})").sql(dialect="duckdb")
        for delivery_id, line, sheet in engine.execute(f"SELECT * FROM ({sql}) ORDER BY ALL").fetchall():
            found.setdefault(delivery_id, []).append({"line": line, "sheet": sheet})
    return found


__all__ = ["find"]
