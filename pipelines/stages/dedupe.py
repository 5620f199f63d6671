"""`dedupe`: statements folded into current records, and a verdict for every row; `schemas.fold` says how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from sqlglot import exp

from schemas import fold
from schemas.arrow import statement_schema
from schemas.model import Item
from schemas.record import business_key, key_text
from schemas.sql import literal

ALIVE = " ANTI JOIN tombstones USING (record_key)"
SHOWN = "record_key, content_hash, delivery_id, line, sheet"


@dataclass(frozen=True)
class Incoming:
    """One checked delivery as the fold sees it. `rejected` holds the rows that the law refused. `is_full`: a complete
    full-mode delivery, whose absences count. `is_again`: a released one of which `accepted` holds only the rows that
    come back, and `moves` which rows are seen otherwise now."""

    delivery_id: str
    department: str
    period: str
    sequence: int
    accepted: str
    rejected: str = ""
    moves: str = ""
    is_full: bool = False
    is_again: bool = False


@dataclass(frozen=True)
class Full:
    """A complete full-mode delivery that was released on an earlier night."""

    department: str
    period: str
    sequence: int


@dataclass(frozen=True)
class Reverted:
    """A released delivery that a person has reverted; `is_new`: since the last release."""

    delivery_id: str
    department: str
    period: str
    sequence: int
    is_full: bool
    is_new: bool


def open_statements(
    engine: duckdb.DuckDBPyConnection,
    item: Item,
    incoming: Iterable[Incoming],
    history: str | None,
    records: str | None,
    fulls: Iterable[Full] = (),
    reverted: Iterable[Reverted] = (),
    tombstones: pa.Table | None = None,
    is_placed: bool = False,
    canonical: str | None = None,
) -> None:
    """Views `arrived`, `past`, `dropped`, `published`, tables `fulls`, `lifted`, `precedence` and `due`: what the fold
    reads. `due` has the records that are to be deleted and those that stood behind them, and is open for more.
    `history` and `records` are relations over the stored statements and over the records that they show, shared or
    ended (columns of `schemas.arrow.stored_schema`); None where there are none. `canonical` is a relation over further
    statements, of which the key texts are stored as keys compare them (stages/canonical.py). `is_placed`: `records`
    tells where they lie (`filename`, `file_row_number`), and `published` does, too (`file_path`, `pos`). `tombstones`
    (columns of `stores.tombstones.SHAPE`) are those of the item: the fold knows no statement of these records.

    Table `repeats`: rows that come back and only repeat a statement of their own delivery; table `barred`: rows of
    records with a tombstone. `arrived` is without either. A row that was refused is in neither: it is counted already.
    """
    columns = ", ".join(statement_schema(item).names)
    if has_tombstones := tombstones is not None and tombstones.num_rows > 0:
        engine.register("tombstone_rows", tombstones)
        engine.execute("CREATE TABLE tombstones AS SELECT * FROM tombstone_rows")
        engine.unregister("tombstone_rows")
    alive = ALIVE if has_tombstones else ""
    incoming, reverted = list(incoming), list(reverted)
    once = " UNION ALL ".join(f"SELECT {columns} FROM ({sql})" for d in incoming for sql in _statements(item, d))
    if not once:
        engine.register("nothing", statement_schema(item).empty_table())
        once = f"SELECT {columns} FROM nothing"
    stored = {relation: is_canonical for relation, is_canonical in ((history, False), (canonical, True)) if relation}
    for name, sql in of_stored(item, stored or {f"({once} LIMIT 0)": False}, reverted, has_tombstones).items():
        engine.execute(f"CREATE VIEW {name} AS {sql}")
    _repeats(engine, once, [d.delivery_id for d in incoming if d.is_again])
    if any(d.is_again for d in incoming):
        placed = f"SELECT *, coalesce(sheet, '') AS place_sheet FROM ({once})"
        once = f"SELECT * FROM ({placed}) ANTI JOIN repeats USING (delivery_id, line, place_sheet)"
    engine.execute("CREATE TABLE barred (delivery_id VARCHAR, line BIGINT, sheet VARCHAR, record_key BLOB)")
    engine.execute("CREATE TABLE due (record_key BLOB)")
    if has_tombstones:
        engine.execute(f"""INSERT INTO barred SELECT delivery_id, line, sheet, record_key FROM ({once})
            SEMI JOIN tombstones USING (record_key) WHERE action <> 'refuse'""")
        engine.execute("INSERT INTO due SELECT record_key FROM tombstones WHERE is_new")
        if stored and (item.one_subject or item.replacing_fields or item.sender_key):
            # What stood behind a deleted record, as a rival or replaced, is to be as if that had never come.
            newly = "SELECT record_key FROM tombstones WHERE is_new"
            every = " UNION ALL ".join(f"SELECT {columns} FROM {relation}" for relation in stored)
            dead = f"SELECT {columns} FROM ({every}) SEMI JOIN ({newly}) t USING (record_key)"
            dead = f"(SELECT *{lookups(item)} FROM ({dead}))"
            engine.execute(f"""INSERT INTO due SELECT replaces FROM {dead} WHERE replaces IS NOT NULL
                UNION SELECT record_key FROM (SELECT record_key, decision_key FROM past) SEMI JOIN {dead}
                    USING (decision_key)
                UNION SELECT record_key FROM (SELECT record_key, row_key FROM past) SEMI JOIN {dead} USING (row_key)
                """)
    engine.execute(f"CREATE VIEW arrived AS SELECT {columns}{lookups(item)} FROM ({once}){alive}")
    nowhere = ", CAST(NULL AS VARCHAR) AS file_path, CAST(NULL AS BIGINT) AS pos" if is_placed else ""
    none = f"SELECT {SHOWN}{nowhere}, CAST(NULL AS DATE) AS kept_until, TRUE AS was_shared FROM arrived WHERE FALSE"
    engine.execute(f"CREATE VIEW published_all AS {of_records(records, is_placed) if records else none}")
    _fulls(engine, incoming, fulls)
    engine.execute("CREATE TABLE lifted (department VARCHAR, period DATE, sequence INTEGER)")
    for r in reverted:
        if r.is_new and r.is_full:
            engine.execute("INSERT INTO lifted VALUES (?, ?, ?)", [r.department, r.period, r.sequence])
    precedence = pa.table(
        {"department": list(item.providers), "precedence": pa.array(range(len(item.providers)), pa.int32())}
    )
    engine.register("precedence_rows", precedence)
    engine.execute("CREATE TABLE precedence AS SELECT * FROM precedence_rows")


def of_stored(
    item: Item, history: Mapping[str, bool], reverted: Sequence[Reverted], has_tombstones: bool
) -> dict[str, str]:
    """SQL of `past` and `dropped` over relations, each with whether its key texts are canonical."""
    alive, columns = ALIVE if has_tombstones else "", ", ".join(statement_schema(item).names)
    said = (
        f"SELECT *{lookups(item, is_canonical)} FROM (SELECT {columns} FROM {relation}{alive})"
        for relation, is_canonical in history.items()
    )
    past = f"SELECT * FROM ({' UNION ALL '.join(said)})"
    out, now = (", ".join(literal(r.delivery_id) for r in reverted if r.is_new or not new) for new in (False, True))
    return {
        "past": past + (f" WHERE delivery_id NOT IN ({out})" if out else ""),
        "dropped": f"{past} WHERE " + (f"delivery_id IN ({now})" if now else "FALSE"),
    }


def of_records(records: str, is_placed: bool) -> str:
    """SQL of `published_all` over the relation `records`."""
    place = ", filename AS file_path, file_row_number AS pos" if is_placed else ""
    return f"SELECT {SHOWN}{place}, kept_until, ended_on IS NULL AS was_shared FROM {records}"


def lookups(item: Item, is_canonical: bool = False) -> str:
    """What the fold finds other records by, as further columns: the decision of a statement where one decision has one
    subject (a refusal tells none), the key of the record that it replaces where rows may name one, and the sender's own
    row key where that is unique, with what a correction would leave as it is."""
    none, document = "CAST(NULL AS VARCHAR)", business_key(item, is_canonical)
    if len(item.business_key) > 1:  # to put one text together costs a fifth of looking all decisions through
        document = f"concat_ws(chr(31), {document})"
    decision = f"CASE WHEN action <> 'refuse' THEN {document} END" if item.one_subject else none
    other = "" if item.replacing_fields else ", CAST(NULL AS BLOB) AS replaces"
    row_key, subject, left = none, "CAST(NULL AS BLOB)", none
    if item.sender_key is not None:
        unique = " OR ".join(
            f"department = {literal(u.department)} AND period >= DATE '{u.valid_from.isoformat()}'"
            + (f" AND period <= DATE '{u.valid_to.isoformat()}'" if u.valid_to else "")
            for u in item.sender_key.unique
        )
        own = f"department || chr(31) || nullif({key_text(item.field(item.sender_key.field), is_canonical)}, '')"
        row_key, subject, left = f"CASE WHEN {unique} THEN {own} END", "subject_id", document
    row = f"{row_key} AS row_key, {subject} AS row_subject, {left} AS row_document"
    return f", {decision} AS decision_key{other}, {row}"


def _repeats(engine: duckdb.DuckDBPyConnection, arrived: str, again: list[str]) -> None:
    engine.execute("CREATE TABLE repeats (delivery_id VARCHAR, line BIGINT, place_sheet VARCHAR)")
    if again:
        listed = ", ".join(f"'{d}'" for d in again)
        said = "delivery_id, record_key, content_hash, action, source_time"
        engine.execute(f"""INSERT INTO repeats SELECT delivery_id, line, coalesce(sheet, '') FROM ({arrived}) a
            WHERE delivery_id IN ({listed}) AND action <> 'refuse' AND EXISTS (SELECT 1 FROM (SELECT {said} FROM past) p
                WHERE p.delivery_id = a.delivery_id AND p.record_key = a.record_key AND p.action = a.action
                AND p.content_hash = a.content_hash AND p.source_time IS NOT DISTINCT FROM a.source_time)""")


def _statements(item: Item, d: Incoming) -> Iterator[str]:
    """SQL of the accepted rows, and of those of which the law lets nothing be known but their key."""
    own = f"""'{d.department}' AS department, '{d.delivery_id}' AS delivery_id, DATE '{d.period}' AS period,
        {d.sequence}::INTEGER AS sequence"""
    yield f"SELECT *, {own} FROM read_parquet({literal(Path(d.accepted))})"
    if d.rejected:
        known = ("record_key", "line", "sheet", "source_time", "replaces", "department", "delivery_id", "period",
                 "sequence", "content_hash", "action")  # fmt: skip
        others = "".join(f", NULL AS {c}" for c in statement_schema(item).names if c not in known)
        again = f"""SEMI JOIN (SELECT line, sheet FROM read_parquet({literal(Path(d.moves))})
            WHERE outcome = 'refused') m ON m.line = r.line AND m.sheet = coalesce(r.sheet, '')""" if d.moves else ""
        # Files that wait since before refused rows had a key lack some of the columns.
        rows = f"""SELECT NULL::TIMESTAMP AS source_time, NULL::BLOB AS replaces WHERE FALSE
            UNION ALL BY NAME SELECT * FROM read_parquet({literal(Path(d.rejected))})"""
        yield f"""SELECT record_key, line, sheet, source_time, replaces, {own}, unhex(md5('')) AS content_hash,
            'refuse' AS action{others} FROM ({rows}) r {again}
            WHERE verdict = 'refused' AND record_key IS NOT NULL"""


def _fulls(engine: duckdb.DuckDBPyConnection, incoming: list[Incoming], fulls: Iterable[Full]) -> None:
    """Of each department only its greatest full delivery can make a record absent."""
    greatest: dict[str, tuple[str, int, bool]] = {}
    for department, order in [
        *((f.department, (f.period, f.sequence, False)) for f in fulls),
        *((d.department, (d.period, d.sequence, True)) for d in incoming if d.is_full),
    ]:
        greatest[department] = max(greatest.get(department, order), order)
    engine.execute("CREATE TABLE fulls (department VARCHAR, period DATE, sequence INTEGER, is_new BOOLEAN)")
    for department, order in greatest.items():
        engine.execute("INSERT INTO fulls VALUES (?, ?, ?, ?)", [department, *order])


class Tables(Protocol):
    """Where the fold makes its tables of what `open_statements` opens; what is asked of them is SQL of schemas."""

    def make(self, name: str, sql: str) -> None:
        """Table `name` anew; it may have been read for it."""

    def add(self, name: str, sql: str) -> None:
        """Rows to a table."""

    def is_empty(self, name: str) -> bool: ...


@dataclass(frozen=True)
class Here:
    """Tables of the engine of one machine."""

    engine: duckdb.DuckDBPyConnection

    def make(self, name: str, sql: str) -> None:
        self.engine.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")

    def add(self, name: str, sql: str) -> None:
        self.engine.execute(f"INSERT INTO {name} {sql}")

    def is_empty(self, name: str) -> bool:
        return not self.engine.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchall()


def run_fold(tables: Tables, item: Item) -> None:
    """From what `open_statements` opens the tables of `schemas.fold`: `involved`, then each of its STEPS; in the end
    `published` holds only the records that change or show no more."""
    tables.make("heard", _sql(fold.heard))
    tables.make("spoken", _sql(fold.spoken, "heard"))
    tables.make("involved", _sql(fold.involved))
    _hear(tables)
    # What ends a record under its row key may let another show that bears the same decision.
    for is_asked, more in (
        (item.replacing_fields, (fold.replaced,)),
        (item.sender_key, (fold.sharing, "row_key")),
        (item.one_subject, (fold.sharing, "decision_key")),
    ):
        if is_asked:
            tables.add("involved", _sql(fold.more_involved, *more))
            _hear(tables)
    tables.make("published", _sql(fold.shown_now))
    for name, step in fold.STEPS:
        tables.make(name, _sql(step))
    tables.make("published", _sql(fold.shown_no_more))


def _hear(tables: Tables) -> None:
    """Look up what is stored of the involved records of which nothing arrives. Few nights have any, and to look up is
    to read through all that is stored."""
    tables.make("unheard", _sql(fold.unheard))
    if not tables.is_empty("unheard"):
        tables.add("spoken", _sql(fold.spoken, "unheard"))
        tables.add("heard", "SELECT record_key FROM unheard")


@cache
def _sql(step: Callable[..., exp.Expr], *arguments: Any) -> str:
    """Once in a process: to read and write the trees takes as long as the engine takes for a small night."""
    return step(*arguments).sql(dialect="duckdb")


def parquet(files: Iterable[str]) -> str:
    """SQL reading data files of the lake."""
    return f"read_parquet([{', '.join(literal(Path(f)) for f in files)}], hive_partitioning = false)"
