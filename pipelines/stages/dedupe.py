"""`dedupe`: statements folded into current records, and a verdict for every row.

The fold is a pure function of all statements of a record, so the order of arrival decides nothing (design.md 2):
within a department the greatest (source time, period, sequence) wins; between departments declared precedence; a
withdrawn winner lets the next department show; different contents that tie hold the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.stores.engine import quoted
from schemas.model import Item
from schemas.tables import record_schema

BUCKETS = 16


@dataclass(frozen=True)
class Incoming:
    """One checked delivery as the fold sees it."""

    delivery_id: str
    department: str
    period: str
    sequence: int
    accepted: str


def statements(engine: duckdb.DuckDBPyConnection, item: Item, incoming: Iterable[Incoming], history: list[str]) -> None:
    """Tables `arrived` (new statements with `copy_of` > 1 for exact repeats in their file) and `stated` (all that any
    touched record has: stored ones of the published release and new ones)."""
    fields = ", ".join(f.name for f in item.curated_fields)
    selects = [
        f"""SELECT record_key, subject_id, content_hash,
            '{d.department}' AS department, '{d.delivery_id}' AS delivery_id,
            line, sheet, DATE '{d.period}' AS period, {d.sequence}::INTEGER AS sequence, source_time, {fields},
            CAST(('0x' || substr(hex(record_key), 1, 2))::INTEGER % {BUCKETS} AS INTEGER) AS bucket, action
            FROM read_parquet('{d.accepted.replace("'", "''")}')"""
        for d in incoming
    ]
    engine.execute(f"""CREATE TABLE arrived AS SELECT *, row_number() OVER (
        PARTITION BY delivery_id, record_key, content_hash, action, source_time ORDER BY sheet NULLS FIRST, line
        ) AS copy_of FROM ({" UNION ALL ".join(selects)})""")
    columns = ", ".join([*record_schema(item).names, "action"])
    stored = f"SELECT {columns} FROM {parquet(history)}" if history else f"SELECT {columns} FROM arrived WHERE FALSE"
    engine.execute(f"""CREATE TABLE stated AS
        SELECT *, FALSE AS is_new FROM ({stored}) WHERE record_key IN (SELECT record_key FROM arrived)
        UNION ALL SELECT {columns}, TRUE FROM arrived WHERE copy_of = 1""")


def fold(engine: duckdb.DuckDBPyConnection, item: Item) -> None:
    """From `stated` the tables `tops` (best statements per record and department, `contents` of them differing),
    `conflicts` (held records) and `current` (the winning statement of each record that shows one)."""
    precedence = pa.table(
        {"department": list(item.providers), "precedence": pa.array(range(len(item.providers)), pa.int32())}
    )
    engine.register("precedence", precedence)
    engine.execute("""CREATE TABLE tops AS
        SELECT r.*, CASE WHEN min(hex(content_hash) || action) OVER (PARTITION BY record_key, department)
                = max(hex(content_hash) || action) OVER (PARTITION BY record_key, department) THEN 1 ELSE 2
            END AS contents, coalesce(p.precedence, 1000) AS precedence
        FROM (SELECT *, rank() OVER (PARTITION BY record_key, department
                ORDER BY source_time DESC NULLS LAST, period DESC, sequence DESC) AS place FROM stated) r
        LEFT JOIN precedence p USING (department) WHERE place = 1""")
    engine.execute("""CREATE TABLE ranked AS
        SELECT *, row_number() OVER (PARTITION BY record_key ORDER BY precedence, period DESC, sequence DESC,
            delivery_id, sheet NULLS FIRST, line) AS place_overall
        FROM tops WHERE action <> 'withdraw' OR contents > 1""")
    engine.execute(
        "CREATE TABLE conflicts AS SELECT record_key, department FROM ranked WHERE place_overall = 1 AND contents > 1"
    )
    engine.execute("CREATE TABLE current AS SELECT * FROM ranked WHERE place_overall = 1 AND contents = 1")


def verdicts(engine: duckdb.DuckDBPyConnection, records: list[str]) -> None:
    """Table `judged`: delivery_id, line, sheet, verdict (one of the row account's words), code (D001, D002, D003)."""
    source = (
        f"SELECT record_key, content_hash FROM {parquet(records)}"
        if records
        else ("SELECT record_key, content_hash FROM arrived WHERE FALSE")
    )
    engine.execute(f"""CREATE TABLE before AS SELECT * FROM ({source})
        WHERE record_key IN (SELECT record_key FROM arrived)""")
    engine.execute("""CREATE TABLE judged AS
        SELECT a.delivery_id, a.line, a.sheet,
            CASE WHEN a.copy_of > 1 THEN 'duplicate'
                WHEN c.record_key IS NOT NULL AND t.line IS NOT NULL THEN 'held'
                WHEN a.action = 'withdraw' AND x.record_key IS NULL THEN 'held'
                WHEN a.action = 'withdraw' AND t.line IS NOT NULL THEN 'withdrawn'
                WHEN a.action = 'withdraw' THEN 'superseded'
                WHEN w.content_hash IS DISTINCT FROM a.content_hash THEN 'superseded'
                WHEN b.content_hash = a.content_hash THEN 'unchanged'
                WHEN w.delivery_id <> a.delivery_id OR w.line <> a.line
                    OR w.sheet IS DISTINCT FROM a.sheet THEN 'duplicate'
                WHEN b.record_key IS NOT NULL THEN 'changed' ELSE 'new' END AS verdict,
            CASE WHEN a.copy_of > 1 THEN 'D001'
                WHEN c.record_key IS NOT NULL AND t.line IS NOT NULL THEN 'D002'
                WHEN a.action = 'withdraw' AND x.record_key IS NULL THEN 'D003' END AS code
        FROM arrived a
        LEFT JOIN current w ON w.record_key = a.record_key
        LEFT JOIN before b ON b.record_key = a.record_key
        LEFT JOIN conflicts c ON c.record_key = a.record_key AND c.department = a.department
        LEFT JOIN (SELECT DISTINCT record_key, department FROM stated WHERE action <> 'withdraw') x
            ON x.record_key = a.record_key AND x.department = a.department
        LEFT JOIN (SELECT record_key, delivery_id, line, sheet, content_hash FROM tops) t
            ON t.record_key = a.record_key AND t.delivery_id = a.delivery_id AND t.line = a.line
            AND t.sheet IS NOT DISTINCT FROM a.sheet""")


def parquet(files: list[str]) -> str:
    """SQL reading data files; the partition column is in the files themselves."""
    return f"read_parquet([{', '.join(quoted(Path(f)) for f in files)}], hive_partitioning=false)"
