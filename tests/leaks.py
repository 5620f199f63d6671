"""A scan of bytes for identifying values, and what departments' files hold of them, read without our readers.

What is looked for: every value as it was written; numbers also in canonical form, with 15 and 18 digits, and their
first 15 characters (statistics are cut there); days before 1900 also as ISO dates, later ones not at all, as they may
be the day of anything. In what: UTF-8, UTF-16-LE and GB18030 bytes.

A name of two common characters may stand in a text by chance. So a name is looked for as a part of anything if it has
three characters or more, or one outside GB 2312; a shorter common one only as a whole word between punctuation.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import psycopg
import pyarrow.parquet as pq
from lxml import etree
from psycopg import sql
from pyiceberg.catalog.sql import SqlCatalog

from pipelines.stores.files import SPACES

CATALOG = Path(__file__).resolve().parents[1] / "catalog"
ENCODINGS = ("utf-8", "utf-16-le", "gb18030")
GRAM = 6
PIECE = 1 << 22
KINDS = {"name": "name", "plate": "plate", "number": "credit_number", "_no": "credit_number"}


def forms(value: str, kind: str) -> set[str]:
    """What may stand for a value; `kind` is the catalogue's type or role of its field."""
    value = value.strip()
    found = {value}
    if kind == "date":
        figures = re.sub(r"\D", "", value)
        if len(figures) != 8 or figures >= "1900":
            return set()
        return found | {f"{figures[:4]}-{figures[4:6]}-{figures[6:8]}"}
    if kind == "credit_number":
        plain = re.sub(r"[^0-9A-Z]", "", unicodedata.normalize("NFKC", value).upper())
        found.add(plain)
        if re.fullmatch(r"\d{17}[\dX]", plain):
            found |= {plain[:15], plain[:6] + plain[8:17], plain.lower()}
        if re.fullmatch(r"\d{15}", plain):
            found.add(plain[:6] + "19" + plain[6:])
    return found


class Secrets:
    """Values to look for, each with its origin: `leaks` gives the origins whose values are found.

    Values shorter than two characters, and numbers shorter than eight, are words like 无 and are left out.
    """

    def __init__(self) -> None:
        self.patterns: dict[bytes, str] = {}
        self.words: dict[str, str] = {}
        self._grams: np.ndarray | None = None

    def add(self, value: str, kind: str, origin: str) -> None:
        for form in forms(value, kind):
            if kind == "name" and len(form) == 2 and _is_common(form):
                self.words.setdefault(form, origin)
            elif len(form) >= 8 or (len(form) >= 2 and kind in ("name", "plate") and not form.isascii()):
                for encoding in ENCODINGS:
                    self.patterns.setdefault(form.encode(encoding), origin)
        self._grams = None

    def __len__(self) -> int:
        return len(self.patterns) + len(self.words)

    def leaks(self, data: bytes) -> set[tuple[str, str]]:
        """(origin, value) of all that stands in `data`."""
        found = {(self.patterns[p], _shown(p)) for p in self._in(data)}
        if self.words:
            for encoding in ENCODINGS:
                tokens = set(re.findall(r"\w+", data.decode(encoding, "replace")))
                found |= {(self.words[t], t) for t in tokens & self.words.keys()}
        return found

    def _in(self, data: bytes) -> Iterator[bytes]:
        """Patterns found: windows of six bytes are looked up first, so that thousands of patterns cost one pass."""
        if self._grams is None:
            self._by_gram: dict[int, list[bytes]] = {}
            for pattern in self.patterns:
                if len(pattern) >= GRAM:
                    self._by_gram.setdefault(int.from_bytes(pattern[:GRAM], "little"), []).append(pattern)
            self._grams = np.array(sorted(self._by_gram), dtype=np.uint64)
            self._short = [p for p in self.patterns if len(p) < GRAM]
        yield from (p for p in self._short if p in data)
        for start in range(0, max(len(data) - GRAM + 1, 0), PIECE):
            piece = np.frombuffer(data[start : start + PIECE + GRAM - 1], dtype=np.uint8).astype(np.uint64)
            count = len(piece) - GRAM + 1
            windows = sum((piece[n : n + count] << np.uint64(8 * n) for n in range(GRAM)), np.zeros(count, np.uint64))
            at = np.searchsorted(self._grams, windows)
            at[at == len(self._grams)] = 0
            for hit in np.flatnonzero(self._grams[at] == windows):
                place = start + int(hit)
                yield from (p for p in self._by_gram[int(windows[hit])] if data.startswith(p, place))


def _is_common(text: str) -> bool:
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _shown(pattern: bytes) -> str:
    for encoding in ENCODINGS:
        try:
            return f"{pattern.decode(encoding)} ({encoding})"
        except UnicodeDecodeError:
            continue
    return repr(pattern)


# What departments wrote


def planted(path: Path) -> Iterator[tuple[str, str]]:
    """(value, kind) of every identifying cell of a file that lies in inbox/<department>/<item>.

    A text, as the name of a unit, that the file also has as a whole cell of another column is no secret of its cell.
    """
    known = identifying(path.parts[-2], path.parts[-3])
    cells = [(known.get(_plain(h)), str(v)) for row in rows_of(path) for h, v in row.items() if h and v]
    others = {value for kind, value in cells if kind is None}
    yield from ((value, kind) for kind, value in cells if kind and not (kind == "text" and value in others))


def identifying(item: str, department: str) -> dict[str, str]:
    """Header -> kind of the fields that the catalogue marks identifying, by every name a department may use."""
    fields = tomllib.loads((CATALOG / "items" / f"{item}.toml").read_text(encoding="utf-8"))["fields"]
    kinds = {n: _kind(n, spec) for n, spec in fields.items() if spec.get("sensitivity") == "identifying"}
    headers = {_plain(h): kinds[n] for n in kinds for h in (fields[n]["label_zh"], *fields[n].get("aliases", ()), n)}
    extra = CATALOG / "headers" / f"{item}.csv"
    if extra.exists():
        for row in csv.DictReader(io.StringIO(extra.read_text(encoding="utf-8-sig"))):
            if row["field"] in kinds and row["department"] in ("*", department):
                headers[_plain(row["header"])] = kinds[row["field"]]
    return headers


def _kind(name: str, spec: dict[str, Any]) -> str:
    if spec["type"] == "date" or "role" in spec:
        return str(spec.get("role", "date"))
    return next((kind for word, kind in KINDS.items() if word in name), "text")


def _plain(header: str) -> str:
    return re.sub(r"[^\w]", "", unicodedata.normalize("NFKC", header)).upper()


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a file as header -> text, by the plainest reader there is."""
    data = path.read_bytes()
    if data.startswith(b"PK"):
        sheet = openpyxl.load_workbook(path, read_only=True).worksheets[0]
        cells = [[str(c) if c is not None else "" for c in row] for row in sheet.iter_rows(values_only=True)]
        yield from (dict(zip(cells[0], row, strict=False)) for row in cells[1:])
    elif data.lstrip().startswith(b"<"):
        for row in etree.fromstring(data):
            yield {str(cell.tag): cell.text or "" for cell in row}
    elif data.lstrip().startswith((b"[", b"{")):
        text = data.decode("utf-8-sig").strip()
        yield from json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("gb18030")
        delimiter = max(",\t;|", key=text.partition("\n")[0].count)
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)


# Places


def parquet_bytes(path: Path) -> bytes:
    """All values of a Parquet file, decoded, and its metadata with the statistics as they lie in the footer."""
    file = pq.ParquetFile(path)
    parts = [repr(file.metadata.metadata).encode(), _footer(path)]
    for batch in file.iter_batches():
        for column in batch.columns:
            parts += [_bytes(value) for value in column.to_pylist() if value is not None]
    return b"\x1f".join(parts)


def _footer(path: Path) -> bytes:
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    return data[-8 - length :]


def manifest_bytes(catalog: SqlCatalog) -> bytes:
    """What the manifests of all tables and snapshots say of their data files, unpacked: bounds above all."""
    parts: list[bytes] = []
    for space in SPACES:
        for identifier in catalog.list_tables(space):
            table = catalog.load_table(identifier)
            for snapshot in table.snapshots():
                parts.append(repr(snapshot.summary).encode())
                for manifest in snapshot.manifests(table.io):
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                        file = entry.data_file
                        parts += [str(file.file_path).encode(), repr(file.partition).encode()]
                        for bounds in (file.lower_bounds, file.upper_bounds):
                            parts += list((bounds or {}).values())
    return b"\x1f".join(parts)


def database_bytes(url: str, without: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """(table, all its cells) of every table of a PostgreSQL database, and the planner's statistics of the columns."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for space, table in tables:
            if space not in without:
                connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(space, table)))
                rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(space, table)))
                yield f"{space}.{table}", b"\x1e".join(b"\x1f".join(map(_bytes, row)) for row in rows)
        hidden = connection.execute(
            "SELECT most_common_vals::text, histogram_bounds::text, most_common_elems::text FROM pg_stats"
            " WHERE schemaname <> ALL(%s)"
            " AND schemaname NOT IN ('pg_catalog', 'information_schema')", [list(without)],
        ).fetchall()  # fmt: skip
        yield "pg_stats", repr(hidden).encode()
        said = connection.execute("SELECT obj_description(oid) FROM pg_class UNION SELECT query FROM pg_stat_activity")
        yield "comments and queries", repr(said.fetchall()).encode()


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"\x1f".join(map(_bytes, value))
    return (json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)).encode()
