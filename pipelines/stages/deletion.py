"""`deletion`: what is past its retention gets a tombstone, and what is left of deleted records beside them goes.

A tombstone is written first; the next candidate of the item leaves the record out of everything it writes, and its
release takes it out of the warehouse and the vault (curate, load). What is left then goes here: older snapshots at
their dated limit, and who the subject was once no record speaks of them. Files of deliveries have limits of their own
(sweep). Every part is safe to kill and to repeat.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.errors import UsageFault
from pipelines.model import Home, publish_json
from pipelines.stages.dedupe import lookups
from pipelines.stores import snapshots, tombstones
from pipelines.stores.engine import connect
from pipelines.stores.files import SPACES, Files, live
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Pinned
from schemas import life
from schemas.arrow import former_names, statement_schema, stored_schema
from schemas.model import Item
from schemas.record import key_text
from schemas.sql import literal

BY = "qiongxin"


def basis(item: Item) -> str:
    """Why a record of the item goes when its time is over."""
    return f"保存期限届满 retention is over: {item.retention_source}"


def past(
    home: Home, lake: Lake, item: Item, base: Pinned, clocks: life.Clocks, received: pa.Table, kept_from: date
) -> list[tuple[bytes, bytes | None]]:
    """(record_key, subject_id, None where the law lets nobody know it) of the records of an item that are shared no
    more, or that no statement shows any more, and were to be kept until a day before `kept_from`. `received` has
    columns delivery_id and received_on."""
    over, said = lake.files("ended", item.code, base.ended), lake.files("history", item.code, base.history)
    shown = _shown(over, lake.files("records", item.code, base.records))
    limit, former = f"DATE '{kept_from.isoformat()}'", former_names(item)
    shape, stated = stored_schema(item), statement_schema(item)
    with connect(home.work) as engine:
        engine.register("received", received)
        parts = []
        if over:
            stored = lake.relation(engine, "ended", item.code, shape, former, over)
            parts.append(f"SELECT record_key, subject_id FROM {life.with_receipt(stored)} WHERE {life.KEPT} < {limit}")
        if said:
            stored = lake.relation(engine, "history", item.code, stated, former, said)
            there = f"ANTI JOIN ({shown}) t USING (record_key)" if shown else ""
            alone = f"SELECT * FROM {life.with_receipt(stored)} {there}"
            parts.append(f"""SELECT record_key, any_value(subject_id) FROM ({alone}) GROUP BY record_key
                HAVING {life.kept_unshown(item, clocks)} < {limit}""")
        rows = engine.execute(" UNION ".join(parts)).fetchall() if parts else []
    return [_told(*row) for row in rows]


def _shown(*spaces: Files) -> str:
    """SQL of the keys of the records that are in these files; '' where there are none."""
    return " UNION ALL ".join(f"SELECT record_key FROM {live(files)}" for files in spaces if files)


def _told(key: bytes, subject: bytes | None) -> tuple[bytes, bytes | None]:
    return bytes(key), None if subject is None else bytes(subject)


def write(
    home: Home, lake: Lake, ledger: Ledger, items: Mapping[str, Item], item: Item,
    records: list[tuple[bytes, bytes | None]], on: date, why: str, by: str,
) -> None:  # fmt: skip
    """Tombstones of records of an item, and of the events that are about them; these go in the next night, since those
    of this one are gathered already."""
    pinned = ledger.current_snapshots()
    if (item.replacing_fields or item.sender_key) and records:
        records = _with_replaced(home, lake, item, pinned[item.code], records)
    tombstones.write(ledger, item.code, records, on, why, by)
    if item.document_field is None or not records:
        return
    with connect(home.work) as engine:
        engine.register("dead", pa.table({"record_key": pa.array([key for key, _ in records], pa.binary())}))
        said = _history(lake, engine, item, pinned[item.code])
        number = key_text(item.document_field)
        engine.execute(f"""CREATE TABLE documents AS SELECT DISTINCT subject_id, {number} AS document
            FROM {said} SEMI JOIN dead USING (record_key)""")
        for of in items.values():
            if of.refers and pinned.get(of.code, Pinned()).history is not None:
                told = _history(lake, engine, of, pinned[of.code])
                about = key_text(of.field(of.refers.document))
                rows = engine.execute(f"""SELECT DISTINCT record_key, subject_id FROM (
                    SELECT record_key, subject_id, {about} AS document FROM {told}
                        WHERE {of.refers.item} = {literal(item.code)})
                    SEMI JOIN documents USING (subject_id, document)""").fetchall()
                tombstones.write(ledger, of.code, [_told(*row) for row in rows], on, why, by)


def _with_replaced(
    home: Home, lake: Lake, item: Item, at: Pinned, records: list[tuple[bytes, bytes | None]]
) -> list[tuple[bytes, bytes | None]]:
    """These records, and those that show no more since they were replaced by them, by their key or the sender's own row
    key: the same under a wrong number, and nobody innocent may bear it once the right one is gone."""
    found = dict(records)
    shown = _shown(lake.files("records", item.code, at.records), lake.files("ended", item.code, at.ended))
    there = f"ANTI JOIN ({shown}) USING (record_key)"
    with connect(home.work) as engine:
        said = f"(SELECT *{lookups(item)} FROM {_history(lake, engine, item, at)})"
        while True:
            engine.register("dead", pa.table({"record_key": pa.array([*found], pa.binary())}))
            of_dead = f"SELECT * FROM {said} SEMI JOIN dead USING (record_key)"
            replaced = f"""SELECT replaces AS record_key FROM ({of_dead}) WHERE replaces IS NOT NULL
                UNION SELECT o.record_key FROM {said} o JOIN ({of_dead}) d ON o.row_key = d.row_key
                    AND (o.row_subject = d.row_subject OR o.row_document = d.row_document)"""
            more = f"SELECT record_key FROM ({replaced}) ANTI JOIN dead USING (record_key)"
            alone = f"SELECT record_key FROM ({more}) {there if shown else ''}"
            rows = engine.execute(f"""SELECT record_key, any_value(subject_id) FROM {said}
                SEMI JOIN ({alone}) a USING (record_key) GROUP BY record_key""").fetchall()
            if not rows:
                return [*found.items()]
            found |= dict(_told(*row) for row in rows)


def _history(lake: Lake, engine: duckdb.DuckDBPyConnection, item: Item, at: Pinned) -> str:
    """SQL of the statements of an item that has some."""
    files = lake.files("history", item.code, at.history)
    return lake.relation(engine, "history", item.code, statement_schema(item), former_names(item), files)


def found(home: Home, lake: Lake, items: Mapping[str, Item], ledger: Ledger, key: str) -> tuple[str, bytes | None]:
    """(item, subject_id, None where the law lets nobody know it) of a record key that the current release's history
    speaks of. Raises `UsageFault`."""
    pinned = ledger.current_snapshots()
    with connect(home.work) as engine:
        for code in sorted(pinned.keys() & items.keys()):
            if lake.files("history", code, pinned[code].history):
                stored = _history(lake, engine, items[code], pinned[code])
                sql = f"""SELECT record_key, any_value(subject_id) FROM {stored} WHERE record_key = unhex('{key}')
                    GROUP BY record_key"""
                for row in engine.execute(sql).fetchall():
                    return code, _told(*row)[1]
    raise UsageFault(f"--record {key}: no release speaks of it. Look for keys with 'qiongxin query'.")


def subjects_of(
    home: Home, lake: Lake, ledger: Ledger, item: Item, keys: Iterable[bytes]
) -> list[tuple[bytes, bytes | None]]:
    """(record_key, subject_id) of these keys; None where the current release's history of the item knows them not."""
    known: dict[bytes, bytes | None] = {}
    at = ledger.published(item.code)
    if lake.files("history", item.code, at.history):
        with connect(home.work) as engine:
            engine.register("asked", pa.table({"record_key": pa.array(sorted(keys), pa.binary())}))
            said = _history(lake, engine, item, at)
            sql = f"""SELECT record_key, any_value(subject_id) FROM {said} SEMI JOIN asked USING (record_key)
                GROUP BY record_key"""
            known = dict(_told(*row) for row in engine.execute(sql).fetchall())
    return [(key, known.get(key)) for key in keys]


def finish(
    home: Home, ledger: Ledger, lake: Lake, items: Mapping[str, Item], days: int, releases_days: int, as_of: date
) -> list[str]:
    """What is left of deleted records beside files of deliveries: their subjects, where no record speaks of them any
    more, and snapshots from before the deletion, or from before a rotation of the key, once it is `days` ago; and those
    of releases of which the next one is `releases_days` old (0: none). Returns the items of which snapshots went."""
    _forget_subjects(home, ledger, lake, items)
    until = as_of - timedelta(days)
    due = snapshots.deleted(ledger, until)
    over = snapshots.superseded(ledger, as_of - timedelta(releases_days)) if releases_days else {}
    for item, number in (*over.items(), *snapshots.rotated(ledger, until).items()):
        due[item] = max(number, due.get(item, number))
    done = []
    for item, number in _unfinished(home, due):
        note = _note(home, item)
        publish_json(note, number)
        stay = snapshots.expire(ledger, item, number, as_of)
        for space in SPACES:
            lake.expire(space, item, stay, note.with_name(f"{space}.{item}.files.json"))
        note.unlink()
        done.append(item)
    snapshots.end_rotations(ledger, until, as_of)
    return done


def _note(home: Home, item: str) -> Path:
    return home.work / "expiring" / f"{item}.json"


def _unfinished(home: Home, due: Mapping[str, int]) -> list[tuple[str, int]]:
    """What is due, and what a killed run had begun."""
    begun = {p.stem: int(json.loads(p.read_text())) for p in _note(home, "x").parent.glob("*.json")
             if not p.name.endswith(".files.json")}  # fmt: skip
    return sorted({**begun, **due}.items())


def _forget_subjects(home: Home, ledger: Ledger, lake: Lake, items: Mapping[str, Item]) -> None:
    if not (seen := tombstones.subjects(ledger)):
        return
    left = set(seen)
    pinned = ledger.current_snapshots()
    for code in sorted(pinned.keys() & items.keys()):
        if left and lake.files("history", code, pinned[code].history):
            left -= _speaks_of(home, lake, items[code], pinned[code], left)
    tombstones.forget_subjects(ledger, seen, left)


def _speaks_of(home: Home, lake: Lake, item: Item, at: Pinned, subjects: Iterable[bytes]) -> set[bytes]:
    with connect(home.work) as engine:
        engine.register("asked", pa.table({"subject_id": pa.array(sorted(subjects), pa.binary())}))
        stored = _history(lake, engine, item, at)
        known = [f"SELECT subject_id FROM asked SEMI JOIN {stored} s USING (subject_id)"]
        if item.registers:
            known.append(f"SELECT subject_id FROM asked SEMI JOIN {stored} s ON s.linked_subject_id = asked.subject_id")
        found = engine.execute(" UNION ".join(known)).fetchall()
    return {bytes(s) for (s,) in found}
