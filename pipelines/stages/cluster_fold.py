"""The fold on a cluster: the same SQL over the same files, and what it makes as files that the engine here reads on.

The cluster is given what the night brings, and reads what is stored by itself, the data files of the release as plain
Parquet, without the rows that are struck out. Each table is written where the engine here has it as a view of the same
name. Data files move into the lake under planned names; who commits them is the driver.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.stages import dedupe
from pipelines.stages.datafiles import Planned
from pipelines.stages.dedupe import Reverted
from pipelines.stores.engine import pass_on
from pipelines.stores.files import PLACE, Files
from pipelines.stores.lake import Lake, shaped
from pipelines.stores.spark import Cluster, guarded
from schemas import spark
from schemas.arrow import former_names, statement_schema, stored_schema
from schemas.model import Item
from schemas.sql import literal, tree

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

RECORDS, HISTORY = "stored_records", "stored_history"  # relations on the cluster
GIVEN = ("arrived", "fulls", "lifted", "precedence", "due")


class Folding:
    """The fold of one item, as `datafiles.Making` has it. `files` are the stored ones by space."""

    def __init__(
        self, cluster: Cluster, engine: duckdb.DuckDBPyConnection, lake: Lake, item: Item, files: Mapping[str, Files]
    ) -> None:
        self.cluster, self.engine, self.lake, self.item, self.stored = cluster, engine, lake, item, files
        self.folder = cluster.folder / item.code
        self.made: dict[str, list[Path]] = {}
        self.count = 0

    def __enter__(self) -> Folding:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cluster.worked["items"] += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @guarded
    def open(self, reverted: Sequence[Reverted], has_tombstones: bool, has_events: bool) -> None:
        """What `dedupe.open_statements` opened here, there as well."""
        self.engine.execute("DROP VIEW published_all")  # the cluster alone looks through what is stored
        for name in (*GIVEN, *(["tombstones"] * has_tombstones), *(["events"] * has_events)):
            path = self.folder / f"{name}.parquet"
            pass_on(self.engine, f"FROM {name}", path)
            self._show(name, [path])
        shape = statement_schema(self.item)
        history = self._of("history", shape)
        (history if history is not None else self._nothing(shape)).createOrReplaceTempView(HISTORY)
        whole = stored_schema(self.item)
        found = [frame for space in ("records", "ended") if (frame := self._of(space, whole, True)) is not None]
        placed = pa.schema([*whole, (PLACE[0], pa.string()), (PLACE[1], pa.int64())])
        records = reduce(lambda one, other: one.unionByName(other), found) if found else self._nothing(placed)
        records.createOrReplaceTempView(RECORDS)
        views = dedupe.of_stored(self.item, {HISTORY: False}, reverted, has_tombstones)
        for name, sql in {**views, "published_all": dedupe.of_records(RECORDS, is_placed=True)}.items():
            self.cluster.session.sql(spark.sql(tree(sql))).createOrReplaceTempView(name)

    @guarded
    def make(self, name: str, sql: str) -> None:
        self._keep(name, [self._ask(name, sql)])

    @guarded
    def add(self, name: str, sql: str) -> None:
        self._keep(name, [*self.made.get(name, ()), self._ask(name, sql)])

    def is_empty(self, name: str) -> bool:
        return not self.engine.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchall()

    @guarded
    def files(self, plan: Planned, space: str, sql: str) -> tuple[list[str], int]:
        return self._moved(plan, space, self._ask(space, sql))

    @guarded
    def record_files(self, plan: Planned, sql: str) -> tuple[list[str], int, list[str]]:
        self.make("lived", sql)
        shared, rows = self.files(plan, "records", "SELECT * FROM lived WHERE ended_on IS NULL")
        return shared, rows, self.files(plan, "ended", "SELECT * FROM lived WHERE ended_on IS NOT NULL")[0]

    def _moved(self, plan: Planned, space: str, made: Path) -> tuple[list[str], int]:
        moved, rows = [], 0
        for part in sorted(made.glob("*.parquet")):
            if count := pq.read_metadata(part).num_rows:
                with part.open("rb") as written:
                    os.fsync(written.fileno())
                path = plan.file(space)
                os.replace(part, path)
                moved.append(str(path))
                rows += count
        return moved, rows

    def _ask(self, name: str, sql: str) -> Path:
        self.count += 1
        return self.cluster.ask(spark.sql(tree(sql)), self.folder / f"{name}.{self.count}")

    def _keep(self, name: str, paths: list[Path]) -> None:
        """The table of that name, there and here; one that the engine here has by itself stays as it is."""
        self._show(name, paths)
        if name not in GIVEN:
            listed = ", ".join(literal(path / "*.parquet") for path in paths)
            self.engine.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")

    def _show(self, name: str, paths: Sequence[Path]) -> None:
        self.cluster.read(*paths).createOrReplaceTempView(name)
        self.made[name] = list(paths)

    def _of(self, space: str, shape: pa.Schema, is_placed: bool = False) -> DataFrame | None:
        """The live rows of stored data files in the columns of today; None where there are no files."""
        files = self.stored[space]
        if not files:
            return None
        if self.lake.is_uniform(space, self.item.code, shape):
            frame = self.cluster.read(*map(Path, files.data))
        else:
            united = self.cluster.session.read.option("mergeSchema", "true")
            frame = united.parquet(*(Path(f).as_uri() for f in files.data))
        there = frame.columns
        # No two data files have one name, and paths are written in more than one way.
        frame = frame.selectExpr("*", "_metadata.file_name AS file_name", f"_metadata.row_index AS {PLACE[1]}")
        if files.strikes:
            struck = self.cluster.read(*map(Path, files.strikes))
            of = struck.selectExpr("substring_index(file_path, '/', -1) AS file_name", f"pos AS {PLACE[1]}")
            frame = frame.join(of, ["file_name", PLACE[1]], "left_anti")
        columns = [spark.sql(tree(c)) for c in shaped(shape, former_names(self.item), there)]
        if not is_placed:
            return frame.selectExpr(*columns)
        names = self.folder / f"{space}.names.parquet"
        pq.write_table(pa.table({"file_name": [Path(f).name for f in files.data], PLACE[0]: files.data}), names)
        return frame.join(self.cluster.read(names), "file_name").selectExpr(*columns, *PLACE)

    def _nothing(self, shape: pa.Schema) -> DataFrame:
        self.count += 1
        path = self.folder / f"nothing.{self.count}.parquet"
        pq.write_table(shape.empty_table(), path)
        return self.cluster.read(path)
