"""`dedupe`: statements folded into current records, and a verdict for every row; `schemas.fold` says how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.stores.engine import quoted
from schemas import fold
from schemas.arrow import statement_schema
from schemas.model import Item

SHOWN = "record_key, content_hash, delivery_id, line, sheet"


@dataclass(frozen=True)
class Incoming:
    """One checked delivery as the fold sees it. `is_full`: a complete full-mode delivery, whose absences count."""

    delivery_id: str
    department: str
    period: str
    sequence: int
    accepted: str
    is_full: bool = False


@dataclass(frozen=True)
class Full:
    """A complete full-mode delivery that was released on an earlier night."""

    department: str
    period: str
    sequence: int


def open_statements(
    engine: duckdb.DuckDBPyConnection,
    item: Item,
    incoming: Iterable[Incoming],
    history: str | None,
    records: str | None,
    fulls: Iterable[Full] = (),
) -> None:
    """Views `arrived`, `past`, `published`, tables `fulls` and `precedence`: what the fold reads. `history` and
    `records` are relations over the stored statements and records, None where there are none."""
    columns = ", ".join(statement_schema(item).names)
    incoming = list(incoming)
    selects = [f"SELECT {columns} FROM ({_statements(d)})" for d in incoming]
    engine.execute(f"CREATE VIEW arrived AS {' UNION ALL '.join(selects)}")
    past = history or "arrived WHERE FALSE"
    engine.execute(f"CREATE VIEW past AS SELECT {columns} FROM {past}")
    shown = records or "arrived WHERE FALSE"
    engine.execute(f"CREATE VIEW published_all AS SELECT {SHOWN} FROM {shown}")
    _fulls(engine, incoming, fulls)
    precedence = pa.table(
        {"department": list(item.providers), "precedence": pa.array(range(len(item.providers)), pa.int32())}
    )
    engine.register("precedence_rows", precedence)
    engine.execute("CREATE TABLE precedence AS SELECT * FROM precedence_rows")


def _statements(d: Incoming) -> str:
    return f"""SELECT *, '{d.department}' AS department, '{d.delivery_id}' AS delivery_id,
        DATE '{d.period}' AS period, {d.sequence}::INTEGER AS sequence FROM read_parquet({quoted(Path(d.accepted))})"""


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


def run_fold(engine: duckdb.DuckDBPyConnection) -> None:
    """From the views of `open_statements` the tables of `schemas.fold`: `involved`, then each of its STEPS; in the end
    `published` holds only the records that change or show no more."""
    parts = fold.involved()
    for name, tree in parts.items():
        engine.execute(f"CREATE TABLE {name} AS {tree.sql(dialect='duckdb')}")
    union = " UNION ".join(f"SELECT record_key FROM {name}" for name in parts)
    engine.execute(f"CREATE TABLE involved AS {union}")
    engine.execute("""CREATE TABLE published AS SELECT * FROM published_all SEMI JOIN involved USING (record_key)""")
    for name, step in fold.STEPS:
        engine.execute(f"CREATE TABLE {name} AS {step().sql(dialect='duckdb')}")
    engine.execute("DELETE FROM published WHERE record_key IN (SELECT record_key FROM kept)")


def parquet(files: list[str]) -> str:
    """SQL reading data files of the lake."""
    return f"read_parquet([{', '.join(quoted(Path(f)) for f in files)}], hive_partitioning = false)"
