"""A place in a bucket of an S3 service: a name with slashes stands for folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from pipelines.errors import PlaceError
from pipelines.stores.places import TAKEN, Entry, Guarded, Place, Source, T, credential

CONNECT_SECONDS, STEP_SECONDS = 15, 60
AHEAD = 8 << 20  # bytes asked for at a time: one request each
REGION = "us-east-1"  # what services that know no regions take
CODE = re.compile(r"AWS Error ([A-Z_]+)")
CURES = {
    "ACCESS_DENIED": "Ask the owner for the rights to list, read, write and delete there, or correct the credentials.",
    "INVALID_ACCESS_KEY_ID": "Correct the access key.",
    "SIGNATURE_DOES_NOT_MATCH": "Correct the secret key.",
    "NO_SUCH_BUCKET": "Ask the owner to make the bucket, or correct the url.",
}


class Bucket(Place):
    """`url` is s3://bucket/folder. The environment gives the ACCESS_KEY and SECRET_KEY of the credentials `name`;
    without a name they are those of the machine."""

    def __init__(self, url: str, name: str | None, endpoint: str | None = None, region: str | None = None) -> None:
        super().__init__(url.rstrip("/"))
        parts = urlsplit(url)
        self.root = f"{parts.hostname}/{unquote(parts.path).strip('/')}".rstrip("/")
        self.credentials, self.endpoint, self.region = name, endpoint, region

    @cached_property
    def _store(self) -> fs.S3FileSystem:
        keys = credential(self.shown, self.credentials, "ACCESS_KEY", "SECRET_KEY")
        service = urlsplit(self.endpoint or "")
        return fs.S3FileSystem(
            access_key=keys.get("ACCESS_KEY"), secret_key=keys.get("SECRET_KEY"), scheme=service.scheme or "https",
            endpoint_override=service.netloc or None, region=self.region or (REGION if self.endpoint else None),
            connect_timeout=CONNECT_SECONDS, request_timeout=STEP_SECONDS, allow_delayed_open=True,
        )  # fmt: skip

    def files(self) -> list[Entry]:
        with self._telling():
            found = []
            tops = self._listed(self.root)
            if not tops:  # which is what a missing bucket looks like
                self._store.get_file_info(fs.FileSelector(self.root.partition("/")[0]))
            for top in tops:
                if top.type != fs.FileType.Directory:
                    found.append(_entry("", top))
                    continue
                found += [_entry(top.base_name, inner) for inner in self._listed(top.path)]
            return found

    def _listed(self, path: str) -> list[fs.FileInfo]:
        """A folder of a bucket is there as long as something is in it."""
        infos = self._store.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted((i for i in infos if not i.base_name.startswith(".")), key=lambda i: i.base_name)

    def find(self, folder: str, name: str) -> Entry | None:
        with self._telling():
            info = self._store.get_file_info(self._path(folder, name))
            return None if info.type == fs.FileType.NotFound else _entry(folder, info)

    def fetch(self, entry: Entry, into: Callable[[Source], T]) -> T | None:
        with self._telling():
            try:
                source = self._store.open_input_stream(self._path(entry.folder, entry.name), buffer_size=AHEAD)
            except FileNotFoundError:
                return None
        with source:
            return into(Guarded(source, self._told))

    def take(self, entry: Entry) -> None:
        with self._telling():
            if self.find(entry.folder, entry.name) == entry:
                here, there = self._path(entry.folder, entry.name), self._path(entry.folder, TAKEN, entry.name)
                self._store.move(here, there)

    def put(self, source: Path, name: str) -> None:
        """One object, which is there when it is complete: no other name is needed meanwhile."""
        with self._telling():
            content = pa.py_buffer(source.read_bytes())
            with self._store.open_output_stream(self._path("", name)) as written:
                written.write(content)
            if self._store.get_file_info(self._path("", name)).size != content.size:
                raise OSError("what arrived is shorter than what was sent")

    def _path(self, *parts: str) -> str:
        return "/".join((self.root, *(p for p in parts if p)))

    def _told(self, error: Exception) -> PlaceError:
        """The service's word for it; the rest of what it says has names of files in it."""
        code = found[1] if (found := CODE.search(str(error))) else type(error).__name__
        cure = CURES.get(code, "Ask whoever runs the service. Nothing was lost: the next run tries again.")
        return PlaceError(f"{self.shown}: {code.lower().replace('_', ' ')}. {cure}")


def _entry(folder: str, info: fs.FileInfo) -> Entry:
    return Entry(folder, info.base_name, max(info.size or 0, 0), info.mtime_ns or 0, info.type == fs.FileType.File)
