"""Where a record comes from, and where the rows of a delivery went: row, file, line, run, revision, releases.

Read from the ledger and the curated store alone; no identifying value is in either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from pipelines.errors import UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import ACCOUNT, Home
from pipelines.night import open_lake
from pipelines.stages import dedupe
from pipelines.stores import reversals, waiting
from pipelines.stores.engine import connect
from pipelines.stores.files import holding, shown_in
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from schemas import fold
from schemas.arrow import former_names, statement_schema
from schemas.model import Item
from schemas.sql import literal

DELIVERY = ("delivery_id", "department", "item", "file", "sha256", "size", "period", "sequence", "mode", "received_on",
            "state", "revision", "edition", "release_id", "message_code")  # fmt: skip
AT = "line, coalesce(sheet, '') AS sheet"
STATED = "hex(record_key) AS record_key, delivery_id, line, sheet, department, period, sequence, source_time, action"


def digits(key: str) -> str:
    """The hexadecimal digits of a record key, in capitals. Raises `UsageFault` where it is none."""
    try:
        wanted = bytes.fromhex(key).hex().upper()
    except ValueError:
        wanted = ""
    if len(wanted) != 32:
        raise UsageFault(f"--record {key}: not a record key. Write its 32 hexadecimal digits.")
    return wanted


def trace_record(home: Home, ledger: Ledger, url: str, key: str) -> list[dict[str, Any]]:
    """Every statement about the record, the latest period first: its place (delivery, file, line, sheet), how it was
    judged (night, revision, edition, release), `shown`, the numbers of the first and last release that show it, as
    pairs, `replaces`, the key of the record whose wrong key it corrects, said by itself or by the sender's own row key,
    and `reverted`, the number of the release from which its delivery counts no more. A statement about another record
    that replaces this one is among them, with the action `replaced` and its own `record_key`. Raises `UsageFault`
    where no release has such a record.
    """
    wanted = digits(key)
    found: list[dict[str, Any]] = []
    lake, releases = open_lake(home, url), ledger.releases()
    with connect(home.work) as engine:
        for item in kept_catalogue(home).items.values():
            last = releases[-1]["snapshots"].get(item.code) if releases else None
            if last is None or not (files := lake.files("history", item.code, last[1])):
                continue
            stored = lake.relation(engine, "history", item.code, statement_schema(item), former_names(item), files)
            sql = f"""SELECT {STATED}, hex(replaces) AS replaces FROM ({_with_replaced(item, stored, wanted)})
                WHERE record_key = unhex('{wanted}') OR replaces = unhex('{wanted}')"""
            stated = [s if s["record_key"] == wanted else {**s, "action": "replaced"} for s in _rows(engine, sql)]
            if stated:
                shown = _shown(engine, lake, item, releases, wanted)
                own = [shown.get(_place(s), []) if s["record_key"] == wanted else [] for s in stated]
                found += [{"item": item.code, **s, "shown": spans} for s, spans in zip(stated, own, strict=True)]
    if not found:
        raise UsageFault(f"--record {key}: no release speaks of it. Look for keys with 'qiongxin query'.")
    known = {r["delivery_id"]: r for r in ledger.deliveries()}
    numbers = {r["release_id"]: r["number"] for r in releases}
    back: dict[tuple[Any, ...], tuple[str, str]] = {}  # of rows that came back: revision, release
    for delivery_id in {s["delivery_id"] for s in found}:
        for moved in waiting.ended(ledger, delivery_id):
            if moved["judged_under"]:
                back[_place(moved)] = moved["judged_under"], moved["ended_release"]
    void = {r["delivery_id"]: numbers.get(r["release_id"]) for r in reversals.known(ledger)}
    for s in found:
        row = known[s["delivery_id"]]
        revision, came_with = back.get(_place(s), (row["revision"], row["release_id"]))
        s |= {"file": row["file"], "sha256": row["sha256"], "received_on": row["received_on"]}
        s |= {"revision": revision, "edition": row["edition"], "release": numbers.get(came_with)}
        s["reverted"] = void.get(s["delivery_id"])
    return sorted(found, key=lambda s: (str(s["period"]), s["sequence"], s["delivery_id"], s["line"]), reverse=True)


def _with_replaced(item: Item, stored: str, key: str) -> str:
    """SQL of the statements of an item with `replaces`, as the fold knows it; of what the sender's own row key tells,
    for the record of that key and for those that it replaces, or is replaced by, alone."""
    said = f"SELECT *{dedupe.lookups(item)}, {fold.MADE} AS made FROM {stored} s"
    if item.sender_key is None:
        return said
    row = "unhex('" + key + "')"
    near = f"SELECT * FROM said WHERE row_key IN (SELECT row_key FROM said WHERE record_key = {row})"
    # The latest of what it corrects; a record that was stated again since then, under another key, is not among it.
    last = f"""SELECT s.delivery_id, s.line, s.sheet, arg_max(o.record_key, (o.made, o.period, o.sequence)) AS other
        FROM near s JOIN near o ON {fold.corrects('s', 'o')} AND o.action NOT IN {fold.ENDS} GROUP BY ALL"""
    return f"""WITH said AS ({said}), near AS ({near}), last AS ({last})
        SELECT s.* REPLACE (coalesce(s.replaces, l.other) AS replaces) FROM said s LEFT JOIN last l
            ON l.delivery_id = s.delivery_id AND l.line = s.line AND l.sheet IS NOT DISTINCT FROM s.sheet"""


def trace_delivery(home: Home, ledger: Ledger, url: str, row: dict[str, Any]) -> dict[str, Any]:
    """A delivery: how it was judged, its account, and `rows`: of every row that is known one by one line, sheet,
    verdict, codes, record_key (of those that became statements) and, of those that waited, since when, what ended it
    and by what."""
    told = {name: row[name] for name in DELIVERY} | {"account": {name: row[name] for name in ("read", *ACCOUNT)}}
    told["releases"] = sorted(
        {row["release_id"]} | {m["ended_release"] for m in waiting.ended(ledger, row["delivery_id"])} - {None}
    ) if row["release_id"] else []  # fmt: skip
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    with connect(home.work) as engine:
        verdicts = home.verdicts(row["delivery_id"])
        if verdicts.exists():
            sql = f"SELECT {AT}, verdict, code AS codes FROM read_parquet({literal(verdicts)})"
            rows = {(r["line"], r["sheet"]): r for r in _rows(engine, sql)}
        item = kept_catalogue(home).items.get(row["item"])
        releases = ledger.releases()
        last = releases[-1]["snapshots"].get(row["item"]) if releases else None
        lake = open_lake(home, url)
        if item and last and (files := lake.files("history", item.code, last[1])):
            stored = lake.relation(engine, "history", item.code, statement_schema(item), former_names(item), files)
            where = f"delivery_id = '{row['delivery_id']}'"
            sql = f"SELECT {AT}, hex(record_key) AS record_key FROM {stored} WHERE {where}"
            for r in _rows(engine, sql):
                rows.setdefault((r["line"], r["sheet"]), {**r, "verdict": None, "codes": None})
                rows[r["line"], r["sheet"]]["record_key"] = r["record_key"]
    for w in waiting.history(ledger, row["delivery_id"]):
        place = w["line"], w["sheet"]
        one = rows.setdefault(place, {"line": w["line"], "sheet": w["sheet"]})
        one |= {"verdict": w["outcome"] or w["verdict"], "codes": w["codes"], "waited_since": w["since"]}
        one |= {name: w[name] for name in ("ended", "corrected_by", "judged_under")}
    told["rows"] = [{"record_key": None, **rows[place]} for place in sorted(rows, key=lambda p: (p[1], p[0]))]
    return told


def _shown(
    engine: duckdb.DuckDBPyConnection, lake: Lake, item: Item, releases: list[dict[str, Any]], key: str
) -> dict[tuple[Any, ...], list[list[int]]]:
    """Place of a statement -> pairs of the first and last number of the releases in which the record shows it. Every
    data file is read once, however many snapshots name it."""
    pinned = {at.records for r in releases if (at := r["snapshots"].get(item.code))}
    files = {snapshot: lake.files("records", item.code, snapshot) for snapshot in pinned}
    held = holding(engine, files.values(), key)
    if not held:
        return {}
    listed = ", ".join(literal(Path(f)) for f in held)
    sql = f"""SELECT filename, delivery_id, line, sheet FROM read_parquet([{listed}], filename = true,
        hive_partitioning = false, union_by_name = true) WHERE record_key = unhex('{key}')"""
    where = {f["filename"]: _place(f) for f in _rows(engine, sql)}
    found: dict[tuple[Any, ...], list[list[int]]] = {}
    for r in releases:
        at = r["snapshots"].get(item.code)
        if at and (file := shown_in(files[at.records], held)):
            spans = found.setdefault(where[file], [])
            if spans and spans[-1][1] == r["number"] - 1:
                spans[-1][1] = r["number"]
            else:
                spans.append([r["number"], r["number"]])
    return found


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["delivery_id"], row["line"], row["sheet"] or ""


def _rows(engine: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = engine.execute(sql)
    names = [c[0] for c in result.description]
    return [dict(zip(names, r, strict=True)) for r in result.fetchall()]


__all__ = ["digits", "trace_delivery", "trace_record"]
