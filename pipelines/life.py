"""How a record stood in every release and why, and which events found the record they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import duckdb

from pipelines.errors import UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stages.people import of_everyone, open_people
from pipelines.stores import judgements, tombstones
from pipelines.stores.engine import connect
from pipelines.stores.files import Files, holding, shown_in
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Pinned
from pipelines.trace import digits
from schemas import life
from schemas.arrow import former_names, stored_schema
from schemas.model import Catalog, Item
from schemas.record import key_text
from schemas.sql import literal

STOOD = ("department", "delivery_id", "line", "sheet", *life.COLUMNS[:-1])


def record_life(home: Home, ledger: Ledger, key: str) -> list[dict[str, Any]]:
    """How the record stood, the oldest first: `first` and `last`, the numbers of the releases of which it holds, with
    their dates `since` and `until`, `state` (shared, ended, none, or deleted, on the basis `ended_by`), the statement
    it showed, and what events and time made of it (`schemas.life`). Releases whose snapshots are gone are not among
    them. Raises `UsageFault` where no release has such a record."""
    wanted = digits(key)
    lake, releases = open_lake(home, ledger.url), ledger.releases()
    spans: list[dict[str, Any]] = []
    with connect(home.work) as engine:
        for item in kept_catalogue(home).items.values():
            stood = _by_snapshots(engine, lake, item, releases, wanted)
            if not stood:
                continue
            for r in releases:
                at = r["snapshots"].get(item.code, Pinned())
                told = stood.get(at, {"state": "none"})
                told = {"item": item.code, **dict.fromkeys(STOOD), **told}
                if spans and spans[-1]["item"] == item.code and {k: spans[-1][k] for k in told} == told:
                    spans[-1] |= {"last": r["number"], "until": r["as_of"]}
                elif told["state"] != "none" or (spans and spans[-1]["item"] == item.code):
                    spans.append({"first": r["number"], "last": r["number"], "since": r["as_of"], "until": r["as_of"],
                                  **told})  # fmt: skip
    if gone := tombstones.find(ledger, bytes.fromhex(wanted)):
        day = gone["as_of"] or gone["written_on"]
        told = {**dict.fromkeys(STOOD), "item": gone["item"], "state": "deleted", "ended_on": gone["written_on"]}
        spans.append({"first": None, "last": None, "since": day, "until": None, **told, "ended_by": gone["basis"]})
    if not spans:
        raise UsageFault(f"--record {key}: no release speaks of it. Look for keys with 'qiongxin query'.")
    return spans


def _by_snapshots(
    engine: duckdb.DuckDBPyConnection, lake: Lake, item: Item, releases: list[dict[str, Any]], key: str
) -> dict[Pinned, dict[str, Any]]:
    """Snapshots of releases that have the record -> how they tell it. Every file is read once, however many name it."""
    pinned = {r["snapshots"].get(item.code, Pinned()) for r in releases}
    shape = stored_schema(item)
    found: dict[Pinned, dict[str, Any]] = {}
    for space, state in (("ended", "ended"), ("records", "shared")):
        files = {at: lake.files(space, item.code, at.ended if space == "ended" else at.records) for at in pinned}
        where = holding(engine, files.values(), key)
        rows = {}
        for file in where:
            stored = lake.relation(engine, space, item.code, shape, former_names(item), Files((file,)))
            sql = f"SELECT {', '.join(STOOD)} FROM {stored} WHERE record_key = unhex('{key}')"
            (row,) = engine.execute(sql).fetchall()
            rows[file] = {"state": state, **dict(zip(STOOD, row, strict=True))}
        found |= {at: rows[shown] for at, there in files.items() if (shown := shown_in(there, where))}
    return found


def events(home: Home, ledger: Ledger, only_waiting: bool = False) -> Iterator[dict[str, Any]]:
    """The events of the current release, each effect with the record it is about: `event`, the key of the event's own
    record, its item, what it does since and until when, `item`, `subject_id`, and `record_key`, None where no release
    has a record it could be about: it waits. An event whose item is none, or has no document numbers, waits for ever.
    With them the listings that go on and so keep a record that they rest on; these wait for none.
    """
    lake, catalog = open_lake(home, ledger.url), kept_catalogue(home)
    pinned = ledger.current_snapshots()
    with connect(home.work) as engine:
        said = []
        for code, item in catalog.items.items():
            does = life.events if item.refers else life.keeping if item.rests_on and not only_waiting else None
            if does and (files := lake.files("records", code, pinned.get(code, Pinned()).records)):
                stored = lake.relation(engine, "records", code, stored_schema(item), former_names(item), files)
                said.append(does(item, stored).sql(dialect="duckdb"))
        if not said:
            return
        engine.execute(f"CREATE TABLE told AS {' UNION ALL '.join(said)}")
        reach(engine, lake, catalog, pinned, judgements.standing(ledger))
        sql = f"""SELECT lower(hex(t.event)) AS event, t.event_item, t.name, t.does, t.since, t.until, t.item,
                lower(hex(t.subject_id)) AS subject_id, lower(hex(r.record_key)) AS record_key
            FROM told t LEFT JOIN reached r ON r.event = t.event
            {'WHERE r.record_key IS NULL' if only_waiting else ''} ORDER BY t.since, event, t.name, record_key"""
        rows = engine.execute(sql)
        names = [c[0] for c in rows.description]
        for row in rows.fetchall():
            yield dict(zip(names, row, strict=True))


def reach(
    engine: duckdb.DuckDBPyConnection,
    lake: Lake,
    catalog: Catalog,
    pinned: Mapping[str, Pinned],
    judged: Iterable[dict[str, Any]],
) -> None:
    """Table `reached` (event, record_key): the records of a release, shared or not, that the events of `told` (event,
    item, subject_id, document, department) are about, under every number of their person. `judged` are the judgements
    of people that stand."""
    registers = {c: lake.files("records", c, pinned.get(c, Pinned()).records)
                 for c, i in catalog.items.items() if i.registers}  # fmt: skip
    open_people(engine, lake, catalog, registers, judged)
    engine.execute(f"CREATE TABLE reaching AS {of_everyone('told')}")
    engine.execute("CREATE TABLE reached (event BLOB, record_key BLOB)")
    for (code,) in engine.execute("SELECT DISTINCT item FROM told").fetchall():
        item, at = catalog.items.get(str(code)), pinned.get(str(code), Pinned())
        if item is None or item.document_field is None or item.refers is not None:
            continue
        files = lake.files("history", item.code, at.history)
        if not files:
            continue
        stored = lake.relation(engine, "history", item.code, stored_schema(item), former_names(item), files)
        mine = f"(SELECT * FROM reaching WHERE item = {literal(item.code)})"
        # Few subjects have events, so the numbers of all others need not be brought into the form that keys compare.
        own = f"""SELECT record_key, subject_id, department, {key_text(item.document_field)} AS document
            FROM {stored} SEMI JOIN {mine} USING (subject_id)"""
        engine.execute(f"""INSERT INTO reached SELECT DISTINCT t.event, s.record_key FROM {mine} t
            JOIN ({own}) s ON s.subject_id = t.subject_id AND s.document = t.document
                AND (t.department IS NULL OR t.department = s.department)""")


__all__ = ["events", "reach", "record_life"]
