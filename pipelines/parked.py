"""Rows of events about records that nobody has delivered yet: they wait, and who sent them is told which they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.life import reach
from pipelines.model import publish
from pipelines.night import Night
from pipelines.stages.told import PLACES
from pipelines.stores import judgements
from pipelines.stores.engine import connect
from pipelines.stores.ledger import Pinned
from schemas import life
from schemas.arrow import former_names, stored_schema
from schemas.sql import literal


def count(night: Night) -> None:
    """Enter in the ledger, of every released delivery of events, how many of its rows are about no record of the
    release, and write which (`findings/*.no_record.parquet`). Looks only at those that were not looked at since their
    release, and after a release again at those of which rows waited. The file is written first, so a kill in between
    leaves a delivery that is looked at again.
    """
    rows = [r for r in night.ledger.deliveries("released") if _is_open(night, r)]
    release = night.ledger.current_release()
    is_new = release is not None and release["as_of"] == night.as_of
    if not is_new and all(r["no_record"] is not None for r in rows):
        return
    found = _without_record(night, rows)
    for r in rows:
        places = found.get(r["delivery_id"], [])
        if len(places) != r["no_record"]:
            told = pa.Table.from_pylist(places, PLACES)
            publish(night.home.no_record(r["delivery_id"]), partial(pq.write_table, told))
            night.ledger.update(r["delivery_id"], no_record=len(places))


def _is_open(night: Night, row: Mapping[str, Any]) -> bool:
    item = night.catalog.items.get(row["item"])
    return item is not None and item.refers is not None and row["no_record"] != 0


def _without_record(night: Night, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Delivery -> line and sheet of its rows that show as records of events and are about no record."""
    asked: dict[str, list[str]] = {}
    for r in rows:
        asked.setdefault(r["item"], []).append(r["delivery_id"])
    pinned = night.ledger.current_snapshots()
    found: dict[str, list[dict[str, Any]]] = {}
    with connect(night.home.work) as engine:
        said = []
        for code, deliveries in asked.items():
            item = night.catalog.items[code]
            if files := night.lake.files("records", code, pinned.get(code, Pinned()).records):
                stored = night.lake.relation(engine, "records", code, stored_schema(item), former_names(item), files)
                own = f"(SELECT * FROM {stored} WHERE delivery_id IN ({', '.join(map(literal, deliveries))}))"
                said.append(life.named(item, own).sql(dialect="duckdb"))
        if said:
            engine.execute(f"CREATE TABLE told AS {' UNION ALL '.join(said)}")
            reach(engine, night.lake, night.catalog, pinned, judgements.standing(night.ledger))
            sql = "SELECT delivery_id, line, sheet FROM told ANTI JOIN reached USING (event) ORDER BY ALL"
            for delivery_id, line, sheet in engine.execute(sql).fetchall():
                found.setdefault(delivery_id, []).append({"line": line, "sheet": sheet})
    return found


__all__ = ["count"]
