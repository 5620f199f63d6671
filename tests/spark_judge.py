"""Rows through the same compiled checks on Spark: the other half of what `tests.rule_samples.Judge` does on DuckDB.

Both read the same files, so that only the engines differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from pipelines.stages.validate import keyed_functions
from pipelines.stores.keys import Keys
from pipelines.stores.spark import columns
from schemas import own_key, record, row_rules, spark
from schemas.model import Catalog
from schemas.row_rules import Check
from schemas.sql import tree
from tests.rule_samples import AS_OF, Case, Cells, code_table, policy

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Row = dict[str, Any]


@dataclass
class Both:
    """Judges rows on both engines. `folder` must be one that all executors see."""

    catalog: Catalog
    session: SparkSession
    folder: Path
    engine: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def judge(self, case: Case, rows: Sequence[Cells], listed: Sequence[Check]) -> tuple[list[Row], list[Row]]:
        """What DuckDB and what Spark says of each row: all columns of `row_rules.judged`, and whether it is kept among
        the accepted and with which notes."""
        item = case.item
        columns = {f.name: pa.array([r.get(f.name) for r in rows], pa.string()) for f in item.fields}
        places = pa.array(range(len(rows)), pa.int64())
        as_of = pa.array([AS_OF] * len(rows), pa.date32())
        self.table("staged", pa.table({"place": places, "line": places, "sheet": places, **columns, "as_of": as_of}))
        for name in sorted({f.code_set for f in item.fields if f.code_set} | {"region"}):
            self.table(f"codes_{name}", code_table(self.catalog, name, case.on), f"codes_{name}_{case.on}")
        texts, located = row_rules.texts(item), row_rules.located(item)
        judged, accepted = row_rules.judged(list(listed)), row_rules.accepted(list(listed))
        self.engine.execute(f"CREATE OR REPLACE VIEW texts AS {texts.sql(dialect='duckdb')}")
        self.engine.execute(f"CREATE OR REPLACE TABLE located AS {located.sql(dialect='duckdb')}")
        self.engine.execute(f"CREATE OR REPLACE TABLE passing AS {accepted.sql(dialect='duckdb')}")
        self.engine.execute(f"CREATE OR REPLACE TABLE judged AS {judged.sql(dialect='duckdb')}")
        duck = [self.engine.table(name).to_arrow_table() for name in ("judged", "passing")]
        self.session.sql(spark.sql(texts)).createOrReplaceTempView("texts")
        self._passed_on("located", self.session.sql(spark.sql(located)))
        self._passed_on("passing", self.session.sql(spark.sql(accepted)))
        self.session.sql(spark.sql(judged)).createOrReplaceTempView("judged")
        other = [self.session.table(name).toArrow() for name in ("judged", "passing")]
        return _judged(*duck), _judged(*other)

    def record(self, case: Case) -> tuple[list[Row], list[Row]]:
        """What both make of the accepted rows of the last `judge`: all columns of `schemas.record`."""
        return self._keyed(record.select(case.item, "passing", policy(self.catalog).third_persons), "passing")

    def own_keys(self, case: Case, listed: Sequence[Check]) -> tuple[list[Row], list[Row]]:
        """By what both would know the rows of the last `judge` again, had they not been taken."""
        keys = (*own_key.of_judged(case.item, listed), *own_key.of_refused(case.item, listed))
        columns = [exp.alias_(tree(sql), f"known_{n}") for n, sql in enumerate(keys)]
        return self._keyed(exp.select("place", *columns).from_("judged"), "judged")

    def _keyed(self, select: exp.Select, source: str) -> tuple[list[Row], list[Row]]:
        """A select over `source` that asks for keyed values. On Spark they are joined: no key leaves this process."""
        keys = Keys(bytes(32))
        keyed_functions(self.engine, keys)
        duck = self.engine.sql(select.sql(dialect="duckdb")).to_arrow_table()
        for name in spark.KEYED:
            self.engine.remove_function(name)
        asking, names = spark.asking(select, "place")
        asked = self.session.sql(spark.sql(asking)).toArrow()
        answers = {"subject_id_of": keys.root_ids, "keyed_hash": keys.content_hashes}
        found = {f"key_{n}": answers[name](asked[f"key_{n}"].cast(pa.string())) for n, name in enumerate(names)}
        self.table("answers", pa.table({"place": asked["place"], **found}))
        self.session.sql(f"SELECT * FROM {source} JOIN answers USING (place)").createOrReplaceTempView(source)
        other = self.session.sql(spark.sql(spark.answered(select))).toArrow()
        return _but_name_hash(duck), _but_name_hash(other)

    def asked(self, select: exp.Select) -> tuple[list[Row], list[Row]]:
        """What both say to one select over tables that both have; it gives the place of each row."""
        duck = self.engine.sql(select.sql(dialect="duckdb")).to_arrow_table()
        return by_place(duck), by_place(self.session.sql(spark.sql(select)).toArrow())

    def _passed_on(self, name: str, made: DataFrame) -> None:
        """Written and read back, as a stage passes rows on; to plan the whole again each time would take as long."""
        path = str(self.folder / name)
        made.write.mode("overwrite").parquet(path)
        self.session.read.schema(made.schema).parquet(path).createOrReplaceTempView(name)

    def table(self, name: str, table: pa.Table, file: str | None = None) -> None:
        path = self.folder / f"{file or name}.parquet"
        if file is None or not path.exists():
            pq.write_table(table, path)
        self.engine.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
        self.session.read.schema(columns(path)).parquet(path.as_uri()).createOrReplaceTempView(name)


def by_place(table: pa.Table) -> list[Row]:
    """Rows in the order of their places. Moments as numbers: Python knows none after 9999."""
    moments = {f.name for f in table.schema if pa.types.is_timestamp(f.type)}
    for name in moments:
        column = table[name].cast(pa.timestamp("us")).cast(pa.int64())
        table = table.set_column(table.column_names.index(name), name, column)
    return sorted(table.to_pylist(), key=lambda row: int(row["place"]))


def _but_name_hash(table: pa.Table) -> list[Row]:
    """`name_hash` is each engine's own: what counts is which rows have the same."""
    first: dict[int, int] = {}
    rows = by_place(table)
    return [
        {**row, "name_hash": first.setdefault(row["name_hash"], row["place"])} if "name_hash" in row else row
        for row in rows
    ]


def _judged(judged: pa.Table, kept: pa.Table) -> list[Row]:
    notes = {row["place"]: row["notes"] for row in kept.select(["place", "notes"]).to_pylist()}
    return [{**row, "notes": notes.get(row["place"])} for row in by_place(judged)]


def differences(duck: Sequence[Row], other: Sequence[Row]) -> list[str]:
    """Where Spark says something else: row, column, both values."""
    assert [r["place"] for r in duck] == [r["place"] for r in other]
    return [
        f"row {one['place']}: {name} is {one[name]!r} on DuckDB, {two.get(name)!r} on Spark"
        for one, two in zip(duck, other, strict=True)
        for name in one
        if one[name] != two.get(name, ...)
    ]
