"""`settle`: which rejected and held rows begin to wait with a candidate, and which wait no more.

A row waits from the release of its delivery. It ends when its delivery, judged again, takes it; when a later delivery
of its department speaks of the same record (`schemas.own_key` tells how that is known); if two statements contradicted
each other, a withdrawal had no target, or a decision or row key stood for two records, when the fold finds that this
is so no more; or when its delivery is reverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.model import Home
from pipelines.stages.dedupe import Incoming
from pipelines.stores.waiting import OPEN
from schemas import own_key
from schemas.fold import ENDS
from schemas.model import Item
from schemas.sql import literal

PLACE = "delivery_id, line, sheet"
# What says the same or more lies not before the row: corrections often repeat period and sequence of what they correct.
NOT_BEFORE = "(o.period, o.sequence) >= (w.period, w.sequence)"


def settle(
    engine: duckdb.DuckDBPyConnection,
    home: Home,
    item: Item,
    incoming: list[Incoming],
    waiting: pa.Table,
    revision: str,
    reverted: Sequence[str] = (),
) -> None:
    """Reads what the fold and `curate` left in the engine (schemas.fold, `all_verdicts`), `rejected/` and `findings/`
    of the checked deliveries, and `waiting`, the open rows of the item. The engine knows `keyed_hash`. Leaves in it:

    Of a delivery that is `reverted` nothing waits any more: what was held is withdrawn, what was rejected stays so.

    `begun`: delivery_id, line, sheet, verdict, codes, record_key, name_key, is_stated, is_after (it takes the place of
    one that ends now) · `ended`: delivery_id, line, sheet, outcome, corrected_by (a delivery) or
    judged_under (the revision).
    """
    fresh, again = ([d for d in incoming if d.is_again is which] for which in (False, True))
    engine.register("open_rows", waiting)
    void = ", ".join(map(literal, reverted)) or "NULL"
    engine.execute(f"CREATE TABLE voided AS SELECT * FROM open_rows WHERE delivery_id IN ({void})")
    engine.execute("CREATE TABLE was_open AS SELECT * FROM open_rows ANTI JOIN voided USING (delivery_id)")
    engine.unregister("open_rows")
    senders = pa.table(
        {
            "delivery_id": pa.array([d.delivery_id for d in incoming], pa.string()),
            "department": pa.array([d.department for d in incoming], pa.string()),
            "period": pa.array([d.period for d in incoming], pa.string()).cast(pa.date32()),
            "sequence": pa.array([d.sequence for d in incoming], pa.int32()),
        }
    )
    engine.register("senders", senders)
    _not_taken(engine, home, fresh)
    _come_back(engine, home, again)
    held = """SELECT v.delivery_id, v.line, coalesce(v.sheet, '') AS sheet, 'held' AS verdict, v.code AS codes,
        a.record_key, NULL::BLOB AS name_key, TRUE AS is_stated, m.delivery_id IS NOT NULL AS is_after
        FROM verdicts v JOIN arrived a ON a.delivery_id = v.delivery_id AND a.line = v.line
            AND a.sheet IS NOT DISTINCT FROM v.sheet
        LEFT JOIN moves m ON m.delivery_id = v.delivery_id AND m.line = v.line AND m.sheet = coalesce(v.sheet, '')
        WHERE v.verdict = 'held'"""
    changed = f"""SELECT {PLACE}, m.outcome AS verdict, m.codes, w.record_key, w.name_key, FALSE AS is_stated,
        TRUE AS is_after FROM moves m JOIN was_open w USING ({PLACE}) WHERE m.outcome IN ('rejected', 'held')"""
    engine.execute(f"""CREATE TABLE begun AS SELECT *, FALSE AS is_stated, FALSE AS is_after FROM not_taken
        UNION ALL {held} UNION ALL {changed}""")
    columns = ", ".join(f"s.{n}" if n in senders.column_names[1:] else f"b.{n}" for n in OPEN.names)
    engine.execute(f"""CREATE TABLE waits AS
        SELECT {', '.join(OPEN.names)} FROM was_open ANTI JOIN moves USING ({PLACE})
        UNION ALL SELECT {columns} FROM begun b JOIN senders s USING (delivery_id) WHERE NOT b.is_after""")
    _offers(engine, item, incoming)
    engine.execute(f"""CREATE TABLE ended AS
        SELECT m.delivery_id, m.line, m.sheet, coalesce(v.verdict, m.outcome) AS outcome,
            NULL AS corrected_by, '{revision}' AS judged_under
            FROM moves m LEFT JOIN all_verdicts v ON m.outcome = 'accepted' AND v.delivery_id = m.delivery_id
                AND v.line = m.line AND coalesce(v.sheet, '') = m.sheet
        UNION ALL SELECT {PLACE}, 'superseded', arg_max(corrected_by, rank), NULL FROM ({_corrected()}) GROUP BY {PLACE}
        UNION ALL {_resolved()}
        UNION ALL SELECT {PLACE}, CASE verdict WHEN 'held' THEN 'withdrawn' ELSE verdict END, NULL, NULL FROM voided""")


def _files(paths: list[Path]) -> str:
    listed = ", ".join(literal(p) for p in paths)
    return f"read_parquet([{listed}], filename = true, union_by_name = true, hive_partitioning = false)"


DELIVERY = "regexp_extract(filename, '([0-9a-f]+)[.][^/]*$', 1) AS delivery_id"


def _not_taken(engine: duckdb.DuckDBPyConnection, home: Home, fresh: list[Incoming]) -> None:
    """Table `not_taken`: the rejected and held rows of the checked deliveries, and records that are no rows."""
    shape = f"{PLACE}, verdict, codes, record_key, name_key"
    rejected, findings = ([at(d.delivery_id) for d in fresh] for at in (home.rejected, home.findings))
    if not fresh:
        engine.execute("""CREATE TABLE not_taken (delivery_id VARCHAR, line BIGINT, sheet VARCHAR, verdict VARCHAR,
            codes VARCHAR, record_key BLOB, name_key BLOB)""")
        return
    said = not_taken(_files(rejected), _files(findings), PLACE, DELIVERY, ", record_key, name_key")
    engine.execute(f"CREATE TABLE not_taken AS SELECT {shape} FROM ({said}) WHERE verdict IN ('rejected', 'held')")


def not_taken(rejected: str, findings: str, names: str, first: str = "", keys: str = "") -> str:
    """SQL of the rows of `rejected/` and of records that are no rows, each with its place, verdict and the codes of the
    findings that stop it. `names` are those of the place, `first` SQL of one before line and sheet, if there is any;
    `keys` are columns of the rejected rows to go with them."""
    place = f"{first + ', ' if first else ''}line, coalesce(sheet, '') AS sheet"
    nothing = keys and ", NULL" * keys.count(",")
    return f"""WITH stopped AS (SELECT {place}, verdict{keys} FROM {rejected}),
        told AS (SELECT {names}, string_agg(DISTINCT code, ',' ORDER BY code) AS codes,
                bool_and(place IS NULL) AS no_row
            FROM (SELECT {place}, code, place FROM {findings}
                WHERE line IS NOT NULL AND severity IN ('error', 'hold')) GROUP BY {names})
        SELECT {names}, verdict, codes{keys} FROM stopped LEFT JOIN told USING ({names})
        UNION ALL SELECT {names}, 'rejected', codes{nothing} FROM told ANTI JOIN stopped USING ({names}) WHERE no_row"""


def _come_back(engine: duckdb.DuckDBPyConnection, home: Home, again: list[Incoming]) -> None:
    """Table `moves`: the rows that judging again takes, or sees otherwise."""
    engine.execute("""CREATE TABLE moves (delivery_id VARCHAR, line BIGINT, sheet VARCHAR, outcome VARCHAR,
        codes VARCHAR)""")
    if again:
        files = _files([home.again(d.delivery_id, "moves") for d in again])
        engine.execute(f"""INSERT INTO moves SELECT {PLACE}, outcome, codes
            FROM (SELECT {DELIVERY}, line, sheet, outcome, codes FROM {files}) SEMI JOIN was_open USING ({PLACE})""")


def _offers(engine: duckdb.DuckDBPyConnection, item: Item, incoming: list[Incoming]) -> None:
    """Table `offers`: what tonight's rows, and for the rows that begin to wait the stored ones, say of which record."""
    needed = """SELECT count(*) FROM waits w JOIN senders s USING (department)
        WHERE NOT is_stated AND w.record_key IS NULL AND w.name_key IS NOT NULL AND w.delivery_id <> s.delivery_id"""
    ((by_name,),) = engine.execute(needed).fetchall()
    columns = "department, delivery_id, period, sequence, record_key"
    tonight = f"""SELECT {columns}, NULL::BLOB AS name_key, 1 AS is_taken FROM (SELECT {columns} FROM arrived)
        SEMI JOIN waits USING (record_key)"""
    if by_name:
        named = " UNION ALL ".join(
            f"SELECT '{d.delivery_id}' AS delivery_id, line, sheet, {own_key.of_accepted(item)} AS name_key"
            f" FROM read_parquet({literal(Path(d.accepted))})"
            for d in incoming
        )
        tonight += f""" UNION ALL SELECT a.department, a.delivery_id, a.period, a.sequence, a.record_key, n.name_key, 1
            FROM arrived a JOIN (SELECT * FROM ({named}) SEMI JOIN waits USING (name_key)) n
                ON n.delivery_id = a.delivery_id AND n.line = a.line AND n.sheet IS NOT DISTINCT FROM a.sheet"""
    engine.execute(f"""CREATE TABLE offers AS {tonight}
        UNION ALL SELECT {columns}, NULL, 1 FROM (SELECT {columns} FROM past)
            WHERE record_key IN (SELECT record_key FROM not_taken WHERE record_key IS NOT NULL)
        UNION ALL SELECT s.department, s.delivery_id, s.period, s.sequence, record_key, name_key, 0
            FROM not_taken JOIN senders s USING (delivery_id)""")


def _corrected() -> str:
    """(delivery_id, line, sheet, corrected_by, rank) of waiting rows about whose record another delivery of their
    department says more. One that was not taken either ends an earlier one: nobody is asked for a row twice."""
    later = f"""FROM waits w JOIN offers o ON o.department = w.department AND o.delivery_id <> w.delivery_id
        AND {{same}} WHERE NOT w.is_stated AND {NOT_BEFORE}
        AND (o.is_taken = 1 OR (o.period, o.sequence) > (w.period, w.sequence))"""
    rank = "(o.is_taken, o.period, o.sequence, o.delivery_id)"
    said = f"SELECT w.delivery_id, w.line, w.sheet, o.delivery_id AS corrected_by, {rank} AS rank"
    by_key = later.format(same="o.record_key = w.record_key")
    by_name = later.format(same="o.name_key = w.name_key AND (o.record_key IS NULL OR w.record_key IS NULL)")
    return f"{said} {by_key} UNION ALL {said} {by_name}"


def _resolved() -> str:
    """Held statements that contradict nothing any more, or whose withdrawal has found its target."""
    place = "{0}.delivery_id = w.delivery_id AND {0}.line = w.line AND coalesce({0}.sheet, '') = w.sheet"
    return f"""SELECT {PLACE}, outcome, corrected_by, NULL FROM (
        SELECT w.delivery_id, w.line, w.sheet, CASE WHEN w.codes = 'D005' THEN g.delivery_id
            WHEN w.codes = 'D010' THEN coalesce(k.delivery_id, b.delivery_id)
            ELSE coalesce(n.delivery_id, b.delivery_id) END AS corrected_by,
            CASE WHEN w.codes = 'D002' AND c.record_key IS NOT NULL AND t.line IS NOT NULL THEN NULL
                WHEN w.codes IN ('D005', 'D010') AND r.record_key IS NOT NULL AND t.line IS NOT NULL THEN NULL
                WHEN w.codes IN ('D005', 'D010') AND {place.format("n")} THEN 'new'
                WHEN w.codes IN ('D002', 'D005', 'D010') AND n.content_hash = s.content_hash THEN 'duplicate'
                WHEN w.codes = 'D003' AND x.record_key IS NULL THEN NULL
                WHEN w.codes = 'D003' AND t.line IS NOT NULL THEN 'withdrawn'
                ELSE 'superseded' END AS outcome
        FROM was_open w JOIN stated s ON {place.format("s")} AND NOT s.is_new
        LEFT JOIN tops t ON {place.format("t")}
        LEFT JOIN conflicts c ON c.record_key = s.record_key AND c.department = s.department
        LEFT JOIN rivals r ON r.record_key = s.record_key AND r.department = s.department
        LEFT JOIN winners n ON n.record_key = s.record_key
        LEFT JOIN (SELECT DISTINCT record_key, department FROM stated WHERE action NOT IN {ENDS}) x
            ON x.record_key = s.record_key AND x.department = s.department
        LEFT JOIN (SELECT record_key, max(delivery_id) AS delivery_id FROM stated WHERE is_new GROUP BY record_key) b
            ON b.record_key = s.record_key
        LEFT JOIN (SELECT decision_key, max(delivery_id) AS delivery_id FROM stated WHERE is_new GROUP BY ALL) g
            ON g.decision_key = s.decision_key
        LEFT JOIN (SELECT row_key, max(delivery_id) AS delivery_id FROM stated WHERE is_new GROUP BY ALL) k
            ON k.row_key = s.row_key
        WHERE w.is_stated) WHERE outcome IS NOT NULL"""
