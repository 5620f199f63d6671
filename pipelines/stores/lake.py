"""Curated storage: Iceberg tables of files the engine wrote. A release points at snapshot ids, never at a head."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Operation, Snapshot
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

from pipelines.model import publish_json
from pipelines.stores.files import PLACE, SPACES, Change, Files, live
from pipelines.stores.strikes import Striking, striking

MARK = "qiongxin.candidate"
# A manifest would tell the least and greatest values of a file, also after the file is gone; so it counts them alone.
COUNTS = {TableProperties.DEFAULT_WRITE_METRICS_MODE: "counts"}
Former = Mapping[str, tuple[str, ...]]  # column -> the names it had before, the first one first


class Commit(NamedTuple):
    """The snapshot a table stands at, and files that were written for it in vain."""

    snapshot: int | None
    unused: tuple[str, ...] = ()


class Lake:
    """`records.<item>`, what is shared, and `ended.<item>`, what is shared no more: of these, rows are struck out, and
    files of which many are, are written anew; `history.<item>` appended. `url`: SQLAlchemy, of the catalogue."""

    def __init__(self, url: str, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        # Iceberg takes the path of such a URL as it stands: a blank that were written %20 would be another folder.
        self.catalog = SqlCatalog("qiongxin", uri=url, warehouse=f"file://{self.root}")
        for namespace in SPACES:
            try:
                self.catalog.create_namespace(namespace)
            except NamespaceAlreadyExistsError:
                continue

    def close(self) -> None:
        """Leave the connections to the catalogue."""
        self.catalog.close()

    def files(self, space: str, item: str, snapshot: int | None) -> Files:
        """The files of a snapshot; none when there is none."""
        if snapshot is None:
            return Files()
        tasks = list(self.catalog.load_table((space, item)).scan(snapshot_id=snapshot).plan_files())
        strikes = {_path(file.file_path) for task in tasks for file in task.delete_files}
        return Files(tuple(sorted(_path(task.file.file_path) for task in tasks)), tuple(sorted(strikes)))

    def relation(
        self,
        engine: duckdb.DuckDBPyConnection,
        space: str,
        item: str,
        shape: pa.Schema,
        former: Former,
        files: Files,
        is_placed: bool = False,
    ) -> str:
        """SQL reading the rows of data files (at least one) that are not struck out, in the shape of today: a column
        that came later is NULL in older files, a renamed one is found under its former names. The table itself may
        follow only with the next night, or with the release that is the first to have one. Where `is_placed`, the place
        of each row stands beside it, as `live` tells it."""
        if self.is_uniform(space, item, shape):
            return live(files, is_placed=is_placed)
        united = live(files, is_united=True, is_placed=is_placed)
        there = {str(row[0]) for row in engine.execute(f"DESCRIBE SELECT * FROM {united}").fetchall()}
        columns = [*shaped(shape, former, there), *(PLACE if is_placed else ())]
        return f"(SELECT {', '.join(columns)} FROM {united})"

    def is_uniform(self, space: str, item: str, shape: pa.Schema) -> bool:
        """Whether all data files of a table have the columns of today."""
        try:
            metadata = self.catalog.load_table((space, item)).metadata
        except NoSuchTableError:
            return True
        return len(metadata.schemas) == 1 and {*shape.names} <= {f.name for f in metadata.schema().fields}

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
            named = _named(table, table.snapshots())
        except NoSuchTableError:
            named = set()
        orphans = [f for f in left if str(f) not in named]
        for f in orphans:
            f.unlink(missing_ok=True)
        return len(orphans)

    def sweep_unnamed(self, keep: set[str]) -> int:
        """Delete data files that no snapshot names, but those of `keep`; whoever calls this keeps everybody else from
        writing. Returns how many."""
        count = 0
        for space in SPACES:
            for folder in (self.root / space).glob("*/data"):
                item = folder.parent.name
                count += self.sweep(space, item, {str(f) for f in folder.glob("*.parquet")} - keep)
        return count

    def expire(self, space: str, item: str, stay: set[int], note: Path) -> int:
        """Let go of the snapshots of a table that are not among `stay`, and delete the files that they alone name;
        returns how many. What a killed run had to delete still stands in the file `note`."""
        if not self.catalog.table_exists((space, item)):
            return 0
        table = self.catalog.load_table((space, item))
        head = table.metadata.current_snapshot_id
        old = [s for s in table.snapshots() if s.snapshot_id not in stay and s.snapshot_id != head]
        files = set(json.loads(note.read_text(encoding="utf-8"))) if note.exists() else set()
        if not old and not files:
            return 0
        if old:
            files |= _named(table, old)
            publish_json(note, sorted(files))
            table.maintenance.expire_snapshots().by_ids([s.snapshot_id for s in old]).commit()
            table = table.refresh()
        gone = files - _named(table, table.snapshots())
        for f in gone:
            Path(f).unlink(missing_ok=True)
        note.unlink(missing_ok=True)
        return len(gone)

    def commit(
        self,
        space: str,
        item: str,
        schema: pa.Schema,
        base: int | None,
        candidate: str,
        change: Change,
    ) -> Commit:
        """Bring the table from the published snapshot `base` to the candidate.

        A head that already carries this candidate is adopted: the run before was killed after its commit, the same
        rows lie in its files, and the new ones of `change` are not used. Any other head ahead of `base` belongs to a
        release that never was and is rolled back. The change is one snapshot, so there is no state between.
        """
        table = self._table(space, item, schema)
        head = table.current_snapshot()
        if head is not None and head.summary is not None and head.summary.get(MARK) == candidate:
            return Commit(head.snapshot_id, unused=(*change.added, *change.strikes))
        if head is not None and base is None:
            self.catalog.drop_table((space, item))
            table = self._table(space, item, schema)
        elif head is not None and base is not None and head.snapshot_id != base:
            table.manage_snapshots().set_current_snapshot(snapshot_id=base).commit()
            table = table.refresh()
        if not change:
            return Commit(base)
        there = list(table.scan().plan_files()) if change.removed or change.strikes or change.lifted else []
        gone = [task.file for task in there if _path(task.file.file_path) in {*change.removed}]
        stay = [task for task in there if _path(task.file.file_path) not in {*change.removed}]
        struck = {file for task in stay for file in task.delete_files}  # what struck out of other files alone goes
        with table.transaction() as transaction:
            if not COUNTS.items() <= table.properties.items():  # a table that is older
                transaction.set_properties(COUNTS)
            metadata = transaction.table_metadata
            made = [parquet_file_to_data_file(table.io, metadata, path) for path in change.added]
            if there:
                mark = {MARK: candidate}
                with Striking(Operation.OVERWRITE, transaction, table.io, snapshot_properties=mark) as replacing:
                    for file in gone:
                        replacing.delete_data_file(file)
                    for file in made:
                        replacing.append_data_file(file)
                    replacing.strike(map(striking, change.strikes))
                    replacing.keep(file for file in struck if _path(file.file_path) not in {*change.lifted})
            else:
                with transaction.update_snapshot(snapshot_properties={MARK: candidate}).fast_append() as appending:
                    for file in made:
                        appending.append_data_file(file)
        after = table.current_snapshot()  # as the catalogue answered
        return Commit(after.snapshot_id if after else None)

    def _table(self, space: str, item: str, schema: pa.Schema) -> Table:
        try:
            return self.catalog.load_table((space, item))
        except NoSuchTableError:
            table = self.catalog.create_table((space, item), schema=schema)
            with table.transaction() as change:  # the engine's files carry names, not Iceberg's field ids
                mapping = table.metadata.schema().name_mapping.model_dump_json()
                change.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping, **COUNTS})
            return self.catalog.load_table((space, item))


def shaped(shape: pa.Schema, former: Former, there: Collection[str]) -> list[str]:
    """SQL of the columns of today over rows that have the columns `there`."""
    columns = []
    for column in shape:
        found = [n for n in (column.name, *reversed(former.get(column.name, ()))) if n in there]
        value = f"coalesce({', '.join(found)})" if len(found) > 1 else found[0] if found else "NULL"
        columns.append(f"CAST({value} AS {sql_type(column.type)}) AS {column.name}")
    return columns


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


def _named(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """The paths of all files that snapshots hold: manifest lists, manifests and data files; not what they took out."""
    named: set[str] = set()
    for snapshot in snapshots:
        named.add(_path(snapshot.manifest_list))
        for manifest in snapshot.manifests(table.io):
            if (path := _path(manifest.manifest_path)) in named:
                continue  # it is in every snapshot from its own on, and to read all of them each time is quadratic
            named.add(path)
            named |= {
                _path(entry.data_file.file_path)
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            }
    return named


def _path(uri: str) -> str:
    return uri.removeprefix("file://")
