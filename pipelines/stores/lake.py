"""Curated storage: Iceberg tables of files the engine wrote. A release points at snapshot ids, never at a head."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.expressions import BooleanExpression, In
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

MARK = "qiongxin.candidate"


class Lake:
    """`records.<item>` partitioned by bucket, `history.<item>` appended. `url`: SQLAlchemy, of the catalogue."""

    def __init__(self, url: str, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.catalog = SqlCatalog("qiongxin", uri=url, warehouse=self.root.as_uri())
        for namespace in ("records", "history"):
            try:
                self.catalog.create_namespace(namespace)
            except NamespaceAlreadyExistsError:
                continue

    def files(self, space: str, item: str, snapshot: int | None, buckets: list[int] | None = None) -> list[str]:
        """Paths of the data files of a snapshot; empty when there is none."""
        if snapshot is None:
            return []
        scan = self.catalog.load_table((space, item)).scan(snapshot_id=snapshot)
        if buckets is not None:
            scan = scan.filter(_in(buckets))
        return [task.file.file_path.removeprefix("file://") for task in scan.plan_files()]

    def new_file(self, space: str, item: str, bucket: int | None = None) -> Path:
        """A path no file has had; under the table, so that orphans can be swept by listing."""
        folder = self.root / space / item / "data"
        if bucket is not None:
            folder = folder / f"bucket={bucket}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{uuid.uuid4().hex}.parquet"

    def commit(
        self,
        space: str,
        item: str,
        schema: pa.Schema,
        base: int | None,
        candidate: str,
        files: list[str],
        replace: list[int] | None,
    ) -> int | None:
        """Bring the table from the published snapshot `base` to the candidate; returns its snapshot id.

        A head that already carries this candidate is adopted (the run before was killed after its commit); any other
        head ahead of `base` belongs to a release that never was and is rolled back.
        """
        table = self._table(space, item, schema)
        head = table.current_snapshot()
        if head is not None and head.summary is not None and head.summary.get(MARK) == candidate:
            return head.snapshot_id
        if head is not None and base is None:
            self.catalog.drop_table((space, item))
            table = self._table(space, item, schema)
        elif head is not None and base is not None and head.snapshot_id != base:
            table.manage_snapshots().set_current_snapshot(snapshot_id=base).commit()
            table = table.refresh()
        if not files and not replace:
            return base
        mark = {MARK: candidate}
        with table.transaction() as change:
            if replace and base is not None:
                change.delete(_in(replace), snapshot_properties=mark)
            if files:
                change.add_files(files, snapshot_properties=mark, check_duplicate_files=False)
        after = table.refresh().current_snapshot()
        return after.snapshot_id if after else None

    def _table(self, space: str, item: str, schema: pa.Schema) -> Table:
        try:
            return self.catalog.load_table((space, item))
        except NoSuchTableError:
            table = self.catalog.create_table((space, item), schema=schema)
            if space == "records":
                with table.update_spec() as spec:
                    spec.add_field("bucket", IdentityTransform(), "bucket")
            return self.catalog.load_table((space, item))


def _in(buckets: list[int]) -> BooleanExpression:
    return In("bucket", set(buckets))  # type: ignore[call-arg,arg-type]
