"""Curated storage: Iceberg tables of files the engine wrote. A release points at snapshot ids, never at a head."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.table import Table, TableProperties

MARK = "qiongxin.candidate"


class Commit(NamedTuple):
    """The snapshot a table stands at, and files that were written for it in vain."""

    snapshot: int | None
    unused: tuple[str, ...] = ()


class Lake:
    """`records.<item>` rewritten file by file, `history.<item>` appended. `url`: SQLAlchemy, of the catalogue."""

    def __init__(self, url: str, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.catalog = SqlCatalog("qiongxin", uri=url, warehouse=self.root.as_uri())
        for namespace in ("records", "history"):
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


def _path(uri: str) -> str:
    return uri.removeprefix("file://")
