"""Rows that are struck out where they lie: Iceberg's position deletes, which `pyiceberg` reads but does not write.

A struck place is the path of a data file and the number of a row in it, from 0 on. Files of them are data files of the
table, too, named by manifests of their own (format version 2, https://iceberg.apache.org/spec/#position-delete-files).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.typedef import Record

# Field ids that the specification reserves for the columns of such a file.
FIELD_IDS = "{file_path: 2147483546, pos: 2147483545}"


def striking(path: str) -> DataFile:
    """A file of struck places as a manifest names it."""
    return DataFile.from_args(
        content=DataFileContent.POSITION_DELETES, file_path=path, file_format=FileFormat.PARQUET, partition=Record(),
        record_count=pq.read_metadata(path).num_rows, file_size_in_bytes=Path(path).stat().st_size, spec_id=0,
    )  # fmt: skip


class _StrikesManifest(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class Striking(_OverwriteFiles):
    """One snapshot that adds and removes data files and files of struck places."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._strikes: list[DataFile] = []
        self._kept: set[DataFile] = set()

    def __enter__(self) -> Striking:
        return self

    def strike(self, files: Iterable[DataFile]) -> None:
        self._strikes += files

    def keep(self, files: Iterable[DataFile]) -> None:
        """Which of the former files of struck places stay; the others strike nothing that is there."""
        self._kept |= {*files}

    def _existing_manifests(self) -> list[ManifestFile]:
        return [manifest for manifest in super()._existing_manifests() if manifest.content == ManifestContent.DATA]

    def _manifests(self) -> list[ManifestFile]:
        """Those of data files, and one that names all files of struck places that are left."""
        entries = [
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, sequence_number=None,
                file_sequence_number=None, data_file=file,
            )
            for file in self._strikes
        ]  # fmt: skip
        gone: list[ManifestEntry] = []
        for entry in self._former():
            is_lifted = entry.data_file not in self._kept
            told = ManifestEntry.from_args(
                status=ManifestEntryStatus.DELETED if is_lifted else ManifestEntryStatus.EXISTING,
                snapshot_id=self._snapshot_id if is_lifted else entry.snapshot_id,
                sequence_number=entry.sequence_number, file_sequence_number=entry.file_sequence_number,
                data_file=entry.data_file,
            )  # fmt: skip
            (gone if is_lifted else entries).append(told)
        manifests = super()._manifests()
        for some in (entries, gone):
            if some:
                with self._strikes_writer() as writer:
                    for entry in some:
                        writer.add_entry(entry)
                manifests.append(writer.to_manifest_file())
        return manifests

    def _former(self) -> list[ManifestEntry]:
        """The files of struck places that the snapshot before names."""
        metadata = self._transaction.table_metadata
        before = metadata.snapshot_by_id(self._parent_snapshot_id) if self._parent_snapshot_id is not None else None
        manifests = before.manifests(self._io) if before else []
        return [
            entry
            for manifest in manifests
            if manifest.content == ManifestContent.DELETES
            for entry in manifest.fetch_manifest_entry(self._io, discard_deleted=True)
        ]

    def _strikes_writer(self) -> ManifestWriter:
        metadata = self._transaction.table_metadata
        return _StrikesManifest(
            metadata.spec(), self.schema(), self.new_manifest_output(), self._snapshot_id, self._compression
        )

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Any:
        """With the files of struck places counted."""
        data = self._added_data_files, self._deleted_data_files
        lifted = {entry.data_file for entry in self._former()} - self._kept
        self._added_data_files, self._deleted_data_files = [*data[0], *self._strikes], {*data[1], *lifted}
        try:
            return super()._summary(snapshot_properties or {})
        finally:
            self._added_data_files, self._deleted_data_files = data
