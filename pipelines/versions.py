"""What a record said from when to when: the valid time of statements, as their departments tell it.

The current record is a function of all statements about it (`schemas.fold`). What it said at a moment is the same
function of the statements made until then, so the fold is asked of every moment at which something about the record
was said, all at once: a record at a moment is a record of its own, and so is a department at a moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from pipelines.stages import dedupe
from pipelines.stages.dedupe import Full, Reverted
from pipelines.stores import reversals
from pipelines.stores.ledger import Ledger
from schemas import fold
from schemas.arrow import statement_schema
from schemas.model import Item

WHEN = (("valid_from", pa.timestamp("us")), ("valid_to", pa.timestamp("us")))


def schema(item: Item) -> pa.Schema:
    """Arrow schema of a version: the statement that the record shows from `valid_from` until before `valid_to` (NULL:
    until further notice)."""
    return pa.schema([*WHEN, *statement_schema(item)])


def counting(ledger: Ledger, item: str, number: int) -> tuple[list[Full], list[Reverted]]:
    """What decides, beside the statements, what the records of an item show in the release of that number: its complete
    full deliveries that count, and the deliveries that were reverted by then."""
    numbers = {r["release_id"]: r["number"] for r in ledger.releases()}
    reverted = [
        Reverted(
            r["delivery_id"], r["department"], r["period"].isoformat(), r["sequence"],
            r["mode"] == "full" and r["is_complete"], is_new=False,
        )
        for r in reversals.known(ledger, item)
        if r["release_id"] is not None and numbers[r["release_id"]] <= number
    ]  # fmt: skip
    out = {r.delivery_id for r in reverted}
    fulls = [
        Full(r["department"], r["period"].isoformat(), r["sequence"])
        for r in ledger.deliveries("released", item=item)
        if r["mode"] == "full" and r["is_complete"] and numbers[r["release_id"]] <= number
        and r["delivery_id"] not in out
    ]  # fmt: skip
    return fulls, reverted


def versions(
    engine: duckdb.DuckDBPyConnection, item: Item, history: str, fulls: Iterable[Full], reverted: Iterable[str]
) -> str:
    """SQL of all versions of the records of an item. `history` is a relation over its statements, `fulls` all complete
    full deliveries, of which every one counts from its own time; `reverted` are deliveries that count no more."""
    out = list(reverted)
    engine.register("reverted_rows", pa.table({"delivery_id": pa.array(out, pa.string())}))
    columns = ", ".join(statement_schema(item).names)
    counted = f"SELECT {columns} FROM {history} ANTI JOIN reverted_rows USING (delivery_id)"
    engine.execute(f"CREATE TABLE told AS SELECT *{dedupe.lookups(item)}, {fold.MADE} AS made FROM ({counted}) s")
    made = [(f.department, date.fromisoformat(f.period), f.sequence) for f in fulls]
    engine.register("fulls_rows", pa.table({
        "department": pa.array([f[0] for f in made], pa.string()),
        "period": pa.array([f[1] for f in made], pa.date32()),
        "sequence": pa.array([f[2] for f in made], pa.int32()),
        "made": pa.array([f[1] + timedelta(1) for f in made], pa.date32()),
    }))  # fmt: skip
    _moments(engine)
    at = "encode(CAST(m.made AS VARCHAR))"
    said = "'@' || CAST(m.made AS VARCHAR)"
    other = {"record_key": f"p.record_key || {at}", "department": f"p.department || {said}",
             "decision_key": f"p.decision_key || {said}", "replaces": f"p.replaces || {at}",
             "row_key": f"p.row_key || {said}"}  # fmt: skip
    narrow = [f"{other.get(c, f'p.{c}')} AS {c}" for c in fold.NARROW.replace(",", " ").split()]
    engine.execute(f"""CREATE VIEW past AS SELECT {', '.join(narrow)} FROM told p
        JOIN moments m ON m.record_key = p.record_key AND p.made <= m.made""")
    for name in ("arrived", "dropped"):
        engine.execute(f"CREATE VIEW {name} AS SELECT * FROM past WHERE FALSE")
    engine.execute(f"CREATE VIEW published_all AS SELECT {dedupe.SHOWN}, TRUE AS was_shared FROM past WHERE FALSE")
    engine.execute("CREATE TABLE due AS SELECT DISTINCT record_key FROM past")
    engine.execute("CREATE TABLE lifted (department VARCHAR, period DATE, sequence INTEGER)")
    engine.execute(f"""CREATE TABLE fulls AS SELECT p.department || {said} AS department, f.period, f.sequence,
            FALSE AS is_new
        FROM (SELECT DISTINCT made FROM moments) m JOIN fulls_rows f ON f.made <= m.made
        JOIN (SELECT DISTINCT department FROM told) p ON p.department = f.department
        QUALIFY row_number() OVER (PARTITION BY f.department, m.made ORDER BY f.period DESC, f.sequence DESC) = 1""")
    order = ", ".join(f"('{code}', {n})" for n, code in enumerate(item.providers))
    engine.execute(f"""CREATE TABLE precedence AS SELECT o.department || {said} AS department, o.precedence
        FROM (VALUES {order}) o(department, precedence), (SELECT DISTINCT made FROM moments) m""")
    dedupe.run_fold(dedupe.Here(engine), item)
    # A moment at which the record goes on showing what it showed begins no version.
    engine.execute(f"""CREATE TABLE versions AS SELECT record_key, made AS valid_from, until AS valid_to, delivery_id,
            line, sheet FROM (
        SELECT *, lead(made) OVER (PARTITION BY record_key ORDER BY made) AS until FROM (
            SELECT m.record_key, m.made, w.delivery_id, w.line, w.sheet, concat_ws(':', w.delivery_id, w.line, w.sheet)
                AS place, lag(place) OVER (PARTITION BY m.record_key ORDER BY m.made) AS before
            FROM moments m LEFT JOIN winners w ON w.record_key = m.record_key || {at})
        WHERE place IS DISTINCT FROM before)
        WHERE delivery_id IS NOT NULL""")
    listed = ", ".join(f"t.{c}" for c in statement_schema(item).names)
    return f"""SELECT v.valid_from, v.valid_to, {listed} FROM versions v JOIN told t ON t.record_key = v.record_key
        AND t.delivery_id = v.delivery_id AND t.line = v.line AND t.sheet IS NOT DISTINCT FROM v.sheet"""


def _moments(engine: duckdb.DuckDBPyConnection) -> None:
    """Table `moments` (record_key, made): when something was said that may change what a record shows. Records that
    one decision, a row key or a replacement ties together have all their moments in common."""
    engine.execute("CREATE TABLE tied AS SELECT record_key, min(record_key) AS head FROM told GROUP BY record_key")
    engine.execute("""CREATE TABLE ties AS SELECT DISTINCT record_key AS a, replaces AS b FROM told
            WHERE replaces IS NOT NULL
        UNION SELECT record_key, first_key FROM (SELECT record_key, min(record_key) OVER (PARTITION BY decision_key)
            AS first_key FROM told WHERE decision_key IS NOT NULL) WHERE record_key <> first_key
        UNION SELECT record_key, first_key FROM (SELECT record_key, min(record_key) OVER (PARTITION BY row_key)
            AS first_key FROM told WHERE row_key IS NOT NULL) WHERE record_key <> first_key""")
    engine.execute("INSERT INTO ties SELECT b, a FROM ties")
    engine.execute("INSERT INTO tied SELECT DISTINCT a, a FROM ties ANTI JOIN tied ON tied.record_key = ties.a")
    while True:
        ((moved,),) = engine.execute("""UPDATE tied SET head = n.head FROM (
                SELECT t.a AS record_key, min(h.head) AS head FROM ties t JOIN tied h ON h.record_key = t.b
                GROUP BY t.a) n
            WHERE n.record_key = tied.record_key AND n.head < tied.head""").fetchall()
        if not moved:
            break
    engine.execute("""CREATE TABLE moments AS WITH own AS (
            SELECT record_key, made FROM told
            UNION SELECT t.record_key, CAST(f.made AS TIMESTAMP) FROM told t JOIN fulls_rows f USING (department))
        SELECT DISTINCT t.record_key, o.made FROM tied t JOIN tied u ON u.head = t.head
            JOIN own o ON o.record_key = u.record_key""")
