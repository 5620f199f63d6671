"""Iceberg tables at another path: every absolute path in their metadata, and in the catalogue, is written anew.

Iceberg (format version 2) names files by absolute paths in five places: the catalogue's row names the metadata file;
that names manifest lists; these name manifests, with their lengths; these name data files; and files of struck places
name the data files that they are of. Snapshot ids, sequence numbers, counts and the data files stay as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFileContent
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from pipelines.model import publish

# Field ids of the specification: https://iceberg.apache.org/spec/#manifest-lists and #manifests
MANIFEST_PATH, MANIFEST_LENGTH, DATA_FILE, FILE_PATH, FILE_SIZE, CONTENT = 500, 501, 2, 100, 104, 134
Renamed = Callable[[str], str]


def renaming(old: Path, new: Path) -> Renamed:
    """What a path, or a `file` URL, at or under `old` is called under `new`; any other text stays."""

    def renamed(text: str) -> str:
        for scheme in ("file://", ""):
            before = f"{scheme}{old}"
            if text == before or text.startswith(before + "/"):
                return f"{scheme}{new}{text[len(before):]}"
        return text

    return renamed


def move_tables(curated: Path, renamed: Renamed) -> None:
    """Write the metadata of all tables anew, at the place where they lie now. Safe to repeat."""
    lists, struck = [], set[Path]()
    for path in sorted(curated.rglob("*.avro")):
        with AvroFile[Record](PyArrowFileIO().new_input(str(path))) as file:
            is_list = _at(file.schema, MANIFEST_PATH) is not None
            if is_list:
                lists.append(path)
                continue
            entries, inner = list(file), file.schema.find_field(DATA_FILE).field_type
        at, of, size, content = _at(file.schema, DATA_FILE), *(_at(inner, n) for n in (FILE_PATH, FILE_SIZE, CONTENT))
        for entry in entries:
            entry[at][of] = renamed(entry[at][of])
            named = Path(entry[at][of].removeprefix("file://"))
            if content is not None and entry[at][content] == DataFileContent.POSITION_DELETES and named.exists():
                if named not in struck:
                    _move_strikes(named, renamed)
                    struck.add(named)
                entry[at][size] = named.stat().st_size
        _write(path, file, entries)
    for path in lists:  # after the manifests, whose lengths they tell
        with AvroFile[Record](PyArrowFileIO().new_input(str(path))) as file:
            entries = list(file)
        at, length = _at(file.schema, MANIFEST_PATH), _at(file.schema, MANIFEST_LENGTH)
        for entry in entries:
            entry[at] = renamed(entry[at])
            manifest = Path(entry[at].removeprefix("file://"))
            if manifest.exists():  # else the list is one that no snapshot names any more
                entry[length] = manifest.stat().st_size
        _write(path, file, entries)
    for path in sorted(curated.rglob("*.metadata.json")):
        move_json(path, renamed)


def _move_strikes(path: Path, renamed: Renamed) -> None:
    """Write a file of struck places anew, in its order, with the data files renamed."""
    told = pq.read_table(path)
    files = pa.chunked_array([pa.array(map(renamed, told["file_path"].to_pylist()), pa.string())])
    moved = told.set_column(0, told.schema.field("file_path"), files)
    publish(path, lambda part: pq.write_table(moved, part, compression="zstd"))


def move_json(path: Path, renamed: Renamed) -> None:
    """Write a file of JSON anew, with the texts in it renamed."""
    told = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(_of_json(told, renamed), ensure_ascii=False)
    publish(path, lambda part: part.write_text(text, encoding="utf-8"))


def move_catalogue(url: str, renamed: Renamed) -> None:
    """Let the catalogue name the metadata files by their new paths."""
    engine = sa.create_engine(url)
    columns = ("metadata_location", "previous_metadata_location")
    with engine.begin() as connection:
        for column in columns:
            rows = connection.execute(sa.text(f"SELECT DISTINCT {column} FROM iceberg_tables"))
            moved = [{"old": old, "new": renamed(old)} for (old,) in rows.all() if old is not None]
            if moved:
                connection.execute(sa.text(f"UPDATE iceberg_tables SET {column} = :new WHERE {column} = :old"), moved)
    engine.dispose()


def _of_json(value: Any, renamed: Renamed) -> Any:
    if isinstance(value, dict):
        return {k: _of_json(v, renamed) for k, v in value.items()}
    if isinstance(value, list):
        return [_of_json(v, renamed) for v in value]
    return renamed(value) if isinstance(value, str) else value


def _at(schema: Any, field_id: int) -> Any:
    """The position of a field in the records of a schema or struct."""
    return next((n for n, f in enumerate(schema.fields) if f.field_id == field_id), None)


def _write(path: Path, like: AvroFile[Record], entries: list[Record]) -> None:
    """Entries in place of a file, under the schema, properties and compression that it had."""
    schema: Schema = like.schema
    name = json.loads(like.header.meta["avro.schema"])["name"]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    output = PyArrowFileIO().new_output(str(part))
    with AvroOutputFile[Record](output, schema, name, metadata=like.header.meta) as out:
        out.write_block(entries)
    os.replace(part, path)
