"""Curated storage: Iceberg tables of files the engine wrote. A release points at snapshot ids, never at a head."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.table import Table, TableProperties
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestampType,
)

from pipelines.model import literal

MARK = "qiongxin.candidate"
SPACES = ("records", "history", "ended")
Former = Mapping[str, tuple[str, ...]]  # column -> the names it had before, the first one first


class Commit(NamedTuple):
    """The snapshot a table stands at, and files that were written for it in vain."""

    snapshot: int | None
    unused: tuple[str, ...] = ()


class Lake:
    """`records.<item>`, what is shared, and `ended.<item>`, what is shared no more, rewritten file by file;
    `history.<item>` appended. `url`: SQLAlchemy, of the catalogue."""

    def __init__(self, url: str, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.catalog = SqlCatalog("qiongxin", uri=url, warehouse=self.root.as_uri())
        for namespace in SPACES:
            try:
                self.catalog.create_namespace(namespace)
            except NamespaceAlreadyExistsError:
                continue

    def files(self, space: str, item: str, snapshot: int | None) -> list[str]:
        """Paths of the data files of a snapshot; empty when there is none."""
        if snapshot is None:
            return []
        scan = self.catalog.load_table((space, item)).scan(snapshot_id=snapshot)
        return sorted(_path(task.file.file_path) for task in scan.plan_files())

    def relation(
        self,
        engine: duckdb.DuckDBPyConnection,
        space: str,
        item: str,
        shape: pa.Schema,
        former: Former,
        files: list[str],
    ) -> str:
        """SQL reading data files (at least one) in the shape of today: a column that came later is NULL in older files,
        a renamed one is found under its former names. The table itself may follow only with the next night, or with the
        release that is the first to have one."""
        listed = f"read_parquet([{', '.join(literal(Path(f)) for f in files)}], hive_partitioning = false"
        try:
            metadata = self.catalog.load_table((space, item)).metadata
        except NoSuchTableError:
            return f"{listed})"
        if len(metadata.schemas) == 1 and {*shape.names} <= {f.name for f in metadata.schema().fields}:
            return f"{listed})"
        united = f"{listed}, union_by_name = true)"
        there = {str(row[0]) for row in engine.execute(f"DESCRIBE SELECT * FROM {united}").fetchall()}
        columns = []
        for column in shape:
            found = [n for n in (column.name, *reversed(former.get(column.name, ()))) if n in there]
            value = f"coalesce({', '.join(found)})" if len(found) > 1 else found[0] if found else "NULL"
            columns.append(f"CAST({value} AS {sql_type(column.type)}) AS {column.name}")
        return f"(SELECT {', '.join(columns)} FROM {united})"

    def evolve(self, space: str, item: str, shape: pa.Schema, former: Former) -> list[str]:
        """Bring a table's columns to the shape of today, as far as they lack or bear a former name; what was done.

        Nothing is rewritten: snapshots and data files stay as they are, and readers find columns by id.
        """
        if not self.catalog.table_exists((space, item)):
            return []
        table = self.catalog.load_table((space, item))
        there, done = {f.name for f in table.schema().fields}, []
        with table.update_schema() as change:
            for column in shape:
                if column.name in there:
                    continue
                old = next((n for n in reversed(former.get(column.name, ())) if n in there), None)
                if old is not None:
                    change.rename_column(old, column.name)
                    done.append(f"Iceberg {space}.{item}: {old} is now {column.name}")
                else:
                    change.add_column(column.name, iceberg_type(column.type))
                    done.append(f"Iceberg {space}.{item}: {column.name} added")
        return done

    def new_file(self, space: str, item: str) -> Path:
        """A path no file has had."""
        folder = self.root / space / item / "data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{uuid.uuid4().hex}.parquet"

    def sweep(self, space: str, item: str, files: Iterable[str]) -> int:
        """Delete those of `files` that no snapshot of the table names: what a killed run left. Returns how many."""
        left = [Path(f) for f in files if Path(f).exists()]
        if not left:
            return 0
        try:
            table = self.catalog.load_table((space, item))
            named = {
                _path(entry.data_file.file_path)
                for snapshot in table.snapshots()
                for manifest in snapshot.manifests(table.io)
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
            }
        except NoSuchTableError:
            named = set()
        orphans = [f for f in left if str(f) not in named]
        for f in orphans:
            f.unlink(missing_ok=True)
        return len(orphans)

    def commit(
        self,
        space: str,
        item: str,
        schema: pa.Schema,
        base: int | None,
        candidate: str,
        add: list[str],
        remove: list[str],
    ) -> Commit:
        """Bring the table from the published snapshot `base` to the candidate.

        A head that already carries this candidate is adopted: the run before was killed after its commit, the same
        rows lie in its files, and those of `add` are not used. Any other head ahead of `base` belongs to a release
        that never was and is rolled back. Adding and removing files is one snapshot, so there is no state between.
        """
        table = self._table(space, item, schema)
        head = table.current_snapshot()
        if head is not None and head.summary is not None and head.summary.get(MARK) == candidate:
            return Commit(head.snapshot_id, unused=tuple(add))
        if head is not None and base is None:
            self.catalog.drop_table((space, item))
            table = self._table(space, item, schema)
        elif head is not None and base is not None and head.snapshot_id != base:
            table.manage_snapshots().set_current_snapshot(snapshot_id=base).commit()
            table = table.refresh()
        if not add and not remove:
            return Commit(base)
        gone = set(remove)
        old = [task.file for task in table.scan().plan_files() if _path(task.file.file_path) in gone] if gone else []
        with table.transaction() as change:
            made = [parquet_file_to_data_file(table.io, change.table_metadata, path) for path in add]
            update = change.update_snapshot(snapshot_properties={MARK: candidate})
            if old:
                with update.overwrite() as replacing:
                    for file in old:
                        replacing.delete_data_file(file)
                    for file in made:
                        replacing.append_data_file(file)
            else:
                with update.fast_append() as appending:
                    for file in made:
                        appending.append_data_file(file)
        after = table.refresh().current_snapshot()
        return Commit(after.snapshot_id if after else None)

    def _table(self, space: str, item: str, schema: pa.Schema) -> Table:
        try:
            return self.catalog.load_table((space, item))
        except NoSuchTableError:
            table = self.catalog.create_table((space, item), schema=schema)
            with table.transaction() as change:  # the engine's files carry names, not Iceberg's field ids
                mapping = table.metadata.schema().name_mapping.model_dump_json()
                change.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
            return self.catalog.load_table((space, item))


# Arrow type -> the engine's word and Iceberg's type for the columns of statements.
TYPES: dict[str, tuple[str, PrimitiveType]] = {
    "binary": ("BLOB", BinaryType()),
    "bool": ("BOOLEAN", BooleanType()),
    "date32[day]": ("DATE", DateType()),
    "int32": ("INTEGER", IntegerType()),
    "int64": ("BIGINT", LongType()),
    "string": ("VARCHAR", StringType()),
    "timestamp[us]": ("TIMESTAMP", TimestampType()),
}


def sql_type(kind: pa.DataType) -> str:
    return f"DECIMAL({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else TYPES[str(kind)][0]


def iceberg_type(kind: pa.DataType) -> PrimitiveType:
    return DecimalType(kind.precision, kind.scale) if pa.types.is_decimal(kind) else TYPES[str(kind)][1]


def _path(uri: str) -> str:
    return uri.removeprefix("file://")
