"""Rows judged on a cluster: what the SQL of `schemas.compiled` is to the engine of this machine.

The cluster reads `staged/` and writes what its rows say, as Parquet that the engine here reads on. Keyed values are
joined: the cluster tells what is to be hashed, this process hashes it, and the cluster is given the answers. All of it
lies in the restricted folder of the cluster and goes when the delivery is judged.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from pipelines.readers.staging import skipped_path
from pipelines.stores.engine import pass_on
from pipelines.stores.keys import Keys
from pipelines.stores.spark import Cluster, guarded
from schemas import spark
from schemas.compiled import Trees
from schemas.model import Item
from schemas.sql import literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

AT_ONCE = 100_000  # rows whose keyed values are made at a time
NOWHERE = "CAST(0 AS BIGINT) AS line", "CAST(NULL AS STRING) AS sheet"
OWN = ("name_hash",)  # each engine's own, of a type of its own


class Judging:
    """One delivery on a cluster. `codes` are the code tables (value, code, valid_to) by name."""

    def __init__(
        self, cluster: Cluster, trees: Trees, item: Item, staged: Path, codes: Mapping[str, pa.Table], as_of: date
    ) -> None:
        self.cluster, self.trees, self.item, self.staged, self.as_of = cluster, trees, item, staged, as_of
        self.folder = cluster.folder / staged.stem
        self.codes = codes

    @guarded
    def __enter__(self) -> Judging:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cluster.worked["deliveries"] += 1
        for name, table in self.codes.items():
            path = self.folder / f"{name}.parquet"
            pq.write_table(table, path)
            self.cluster.read(path).createOrReplaceTempView(name)
        self._open(self._sent())
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @guarded
    def record(
        self, engine: duckdb.DuckDBPyConnection, keys: Keys, here: str, tell: Callable[[float], None] | None
    ) -> str:
        """What accepted rows become (schemas.record), as SQL for the engine here, of the types that its own SQL `here`
        has. `tell` hears the share done."""
        passing = self._ask(self.trees.passing, "passing", _part(tell, 0, 0.5))
        self.cluster.read(passing).createOrReplaceTempView("passing")
        asking, names = spark.asking(self.trees.record, "place")
        asked = self._ask(asking, "asked", _part(tell, 0.5, 0.6))
        answers = self.cluster.read(self._answered(asked, names, keys))
        self.cluster.read(passing).join(answers, "place").createOrReplaceTempView("passing")
        made = self._ask(spark.answered(self.trees.record), "record", _part(tell, 0.6, 1))
        return self._of(engine, made, here)

    @guarded
    def judged(self, engine: duckdb.DuckDBPyConnection, missing: str, here: str) -> str:
        """The rows at the places of the engine's table `missing`, with what stops them, in the same way."""
        places = self.folder / "places.parquet"
        pass_on(engine, f"SELECT place FROM {missing}", places)
        self._open(self._sent().join(self.cluster.read(places), "place", "left_semi"))
        return self._of(engine, self._ask(self.trees.judged, "judged"), here)

    def _open(self, rows: DataFrame) -> None:
        rows.createOrReplaceTempView("staged")
        for name, tree in (("texts", self.trees.texts), ("located", self.trees.located)):
            self.cluster.session.sql(spark.sql(tree)).createOrReplaceTempView(name)

    def _ask(self, tree: exp.Expr, name: str, tell: Callable[[float], None] | None = None) -> Path:
        return self.cluster.ask(spark.sql(tree), self.folder / name, tell)

    def _sent(self) -> DataFrame:
        """The rows of `staged/` as `pipelines.readers.staging.open_staged` has them; what their place tells of their
        line is left to the engine here."""
        there = pq.read_schema(self.staged).names
        place = ["_metadata.row_index AS place", *(("line", "sheet") if "line" in there else NOWHERE)]
        cells = [f.name if f.name in there else f"CAST(NULL AS STRING) AS {f.name}" for f in self.item.fields]
        return self.cluster.read(self.staged).selectExpr(*place, *cells, f"DATE '{self.as_of.isoformat()}' AS as_of")

    def _answered(self, asked: Path, names: tuple[str, ...], keys: Keys) -> Path:
        hashed = {"subject_id_of": keys.root_ids, "keyed_hash": keys.content_hashes}
        shape = pa.schema([("place", pa.int64()), *((f"key_{n}", pa.binary()) for n in range(len(names)))])
        path = self.folder / "answers.parquet"
        with pq.ParquetWriter(path, shape) as writer:
            for file in sorted(asked.glob("*.parquet")):
                for batch in pq.ParquetFile(file).iter_batches(AT_ONCE):
                    made = [hashed[name](batch[f"key_{n}"].cast(pa.string())) for n, name in enumerate(names)]
                    writer.write_batch(pa.RecordBatch.from_arrays([batch["place"], *made], schema=shape))
        return path

    def _of(self, engine: duckdb.DuckDBPyConnection, made: Path, here: str) -> str:
        """SQL of what the cluster has made, in columns as `here` has them."""
        columns = []
        for name, kind in ((row[0], row[1]) for row in engine.execute(f"DESCRIBE {here}").fetchall()):
            value = "line_of_sent_0(place)" if name == "line" and skipped_path(self.staged).exists() else f'"{name}"'
            columns.append(f'{value} AS "{name}"' if name in OWN else f'CAST({value} AS {kind}) AS "{name}"')
        return f"SELECT {', '.join(columns)} FROM read_parquet({literal(made / '*.parquet')})"


def _part(tell: Callable[[float], None] | None, first: float, last: float) -> Callable[[float], None] | None:
    """`tell` for a part of the whole."""
    return None if tell is None else lambda share: tell(first + (last - first) * share)
