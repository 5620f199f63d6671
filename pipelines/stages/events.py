"""`events`: what the events of tonight say of the records of other items, gathered once for all of them.

A restoration, an objection, a complaint or a withdrawal is a record of an item of its own (`Item.refers`); what
it does to the record it is about is declared there (`Item.effects`, schemas/life.py). What is said of a person under
one number reaches the records under every other (stages/people.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from pipelines.errors import StoreError
from pipelines.model import Home
from pipelines.stages.people import of_everyone, open_people
from pipelines.stores.engine import connect, note_of, pass_on
from pipelines.stores.files import Files
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Pinned
from schemas import life
from schemas.arrow import former_names, stored_schema
from schemas.model import Catalog
from schemas.sql import literal

SHAPE = (
    "item VARCHAR, subject_id BLOB, document VARCHAR, department VARCHAR, name VARCHAR, does VARCHAR, since DATE,"
    " until DATE, until_restated BOOLEAN, event BLOB, event_item VARCHAR"
)


def gather(
    home: Home,
    lake: Lake,
    catalog: Catalog,
    told: dict[str, Files],
    listed: dict[str, Pinned],
    judged: Iterable[dict[str, Any]],
) -> None:
    """Write `work/events.parquet`: rows of `schemas.life.EVENTS` of the items of events. `told` are the items that go
    before the others, each with its records as they are going to be published, `listed` those whose
    listings keep records of others, as they are published, `judged` the judgements that stand. The file stays until the
    next night: to know of no event is not the same as to know that there is none."""
    with connect(home.work) as engine:
        engine.execute(f"CREATE TABLE events ({SHAPE})")
        for code, gathered in told.items():
            item = catalog.items[code]
            if not gathered or not item.refers:
                continue
            stored = lake.relation(engine, "records", item.code, stored_schema(item), former_names(item), gathered)
            engine.execute(f"INSERT INTO events {life.events(item, stored).sql('duckdb')}")
        for code, at in listed.items():
            item, shape = catalog.items[code], stored_schema(catalog.items[code])
            for space, snapshot in (("records", at.records), ("ended", at.ended)):
                if files := lake.files(space, code, snapshot):
                    stored = lake.relation(engine, space, code, shape, former_names(item), files)
                    engine.execute(f"INSERT INTO events {life.keeping(item, stored).sql('duckdb')}")
        open_people(engine, lake, catalog, told, judged, "events")
        engine.execute(f"CREATE TABLE everyone AS {of_everyone('events')}")
        row = ", ".join(f"CAST({c} AS VARCHAR)" for c in life.EVENTS.split(", "))
        found = engine.execute(f"""SELECT item, md5(string_agg(md5(concat_ws(chr(31), {row})), '' ORDER BY {row}))
            FROM everyone WHERE item IS NOT NULL GROUP BY item""").fetchall()
        # Every step asks for this, so it lies with the events, and whoever reads it needs no engine.
        order = "item, subject_id, document, name, since, event"
        pass_on(engine, f"SELECT * FROM everyone ORDER BY {order}", home.events, json.dumps(dict(found)))


def said(home: Home) -> dict[str, str]:
    """Item -> what the gathered events say of its records, as a fingerprint; an item nobody speaks of is not there."""
    found: dict[str, str] = json.loads(note_of(_gathered(home)))
    return found


def _gathered(home: Home) -> Path:
    if not home.events.exists() or not note_of(home.events):
        raise StoreError("work/events.parquet: the events of the night are not gathered. Run its step 'events' first.")
    return home.events


def open_events(engine: duckdb.DuckDBPyConnection, home: Home, item: str) -> bool:
    """Table `events`: those about records of the item; whether there are any."""
    select = f"SELECT * FROM read_parquet({literal(_gathered(home))}) WHERE item = {literal(item)}"
    engine.execute(f"CREATE TABLE events AS {select}")
    return bool(engine.execute("SELECT 1 FROM events LIMIT 1").fetchall())
