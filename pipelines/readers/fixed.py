"""Fixed widths: text by a layout that the catalogue declares, and dBase, which brings its layout along.

Neither is told by a file's name: a text is of fixed width where a layout is declared and its first line has exactly the
declared length; a dBase file by its head (dBASE III, IV, FoxPro: version, date, lengths that fit the file).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO

from pipelines.errors import DeliveryError
from pipelines.readers.encoding import normalise
from pipelines.readers.headers import match
from pipelines.readers.sheet import LISTED
from pipelines.readers.staging import Decoded, Fault, Note, StagedWriter
from pipelines.readers.text import check_layout
from schemas.model import Format


@dataclass(frozen=True)
class Column:
    """`start` counts from 0, in the unit of the layout."""

    name: str
    start: int
    length: int


@dataclass(frozen=True)
class Layout:
    """Where the fields of a line of `width` stand. `in_bytes`: counted in bytes of the file's own encoding, else in
    characters."""

    columns: tuple[Column, ...]
    in_bytes: bool
    width: int


def read_fixed(
    source: Path, target: Path, layout: Layout, work: Path, declared: Format | None = None
) -> Decoded | None:
    """Lines of fixed width; None where the first line is of another length. Raises `DeliveryError` F001, F010."""
    text = normalise(source, work, declared.encoding if declared else None)
    try:
        in_bytes = layout.in_bytes and text.encoding != "utf-16"
        encoding = text.encoding.removesuffix("-sig") if in_bytes else "utf-8"
        lines = _lines(source if in_bytes else text.path, encoding, in_bytes)
        first = next(((n, line) for n, line in lines if line.strip()), None)
        if first is None or len(first[1]) != layout.width:
            return None
        faults: list[Fault] = []
        blank = 0
        with StagedWriter(target, [c.name for c in layout.columns]) as writer:
            for number, line in _lines(source if in_bytes else text.path, encoding, in_bytes):
                if not line.strip():
                    blank += 1
                    continue
                cells = _cut(line, layout, encoding) if len(line) == layout.width else None
                if cells is None:
                    told = f"{len(line)} ≠ {layout.width}"
                    faults.append(Fault("F057", number, None, "another length, or a character cut in two", told))
                else:
                    writer.add(number, None, cells)
        return Decoded(
            rows=writer.rows, read=writer.rows + len(faults), blank=blank, total_lines=0, format="fixed width",
            encoding=text.encoding, delimiter=None, columns=tuple(c.name for c in layout.columns),
            unknown_headers=(), faults=tuple(faults),
        )  # fmt: skip
    finally:
        if text.path != source:
            text.path.unlink(missing_ok=True)


def _lines(path: Path, encoding: str, in_bytes: bool) -> Iterator[tuple[int, bytes | str]]:
    with path.open("rb") as f:
        for number, line in enumerate(f, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            line = line.rstrip(b"\r\n").removesuffix(b"\x1a")
            yield number, line if in_bytes else line.decode(encoding)


def _cut(line: bytes | str, layout: Layout, encoding: str) -> list[str | None] | None:
    cells: list[str | None] = []
    for column in layout.columns:
        cell = line[column.start : column.start + column.length]
        try:
            text = cell.decode(encoding) if isinstance(cell, bytes) else cell
        except UnicodeDecodeError:
            return None
        cells.append(text.strip() or None)
    return cells


# --- dBase

_START = struct.Struct("<B3BIHH")
VERSIONS = frozenset((0x02, 0x03, 0x30, 0x31, 0x32, 0x43, 0x63, 0x83, 0x8B, 0xCB, 0xF5, 0xFB))
UTF_8, DELETED = "utf-8", b"*"
# Of what is no text: numbers are written out, the rest is binary (Visual FoxPro).
_PLAIN, _BINARY = "CNFDL", {"I": 4, "T": 8, "Y": 8, "B": 8}


@dataclass(frozen=True)
class _Field:
    label: str
    kind: str
    start: int
    length: int


def is_dbase(start: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins so is a dBase table, cut off or not."""
    if len(start) < 65 or start[0] not in VERSIONS:
        return False
    _, _, month, day, _, head, length = _START.unpack_from(start)
    return 1 <= month <= 12 and 1 <= day <= 31 and 65 <= head <= size and length >= 2 and (head - 33) % 32 in (0, 7)


def read_dbase(source: Path, target: Path, fields: Mapping[str, str]) -> Decoded:
    """Records of a dBase table; a row's line is its record number. Records marked as deleted are counted and told.
    Raises `DeliveryError` F004, F006, F010 (a field of the item lies in a memo file), F014 (fewer records than told).
    """
    with source.open("rb") as f:
        start = f.read(32)
        _, _, _, _, records, head, length = _START.unpack_from(start)
        found = _fields(f.read(head - 32))
        present = (source.stat().st_size - head) // length
        if present < records or sum(d.length for d in found) + 1 > length:
            raise DeliveryError(
                "F014",
                f"dBase 文件写明 {records} 条记录，实有 {present} 条，可能没有传完。请重新上传。",
                f"The dBase file states {records} records and holds {present}; it may be incomplete. Upload it again.",
            )
        check_layout([d.label for d in found], fields)
        names = match([d.label for d in found], fields)
        kept = [(d, name) for d, name in zip(found, names, strict=True) if name]
        for d, _ in kept:
            if d.kind not in _PLAIN and _BINARY.get(d.kind) != d.length:
                raise DeliveryError(
                    "F010",
                    f"dBase 字段 {d.label} 的类型（{d.kind}）无法读取，内容可能在备注文件中。"
                    "请改为字符型，或导出为 CSV 后报送。",
                    f"The dBase field {d.label} is of a type ({d.kind}) that cannot be read; its text may lie in a memo"
                    " file. Make it a character field, or export the table as CSV, and send it.",
                )
        encoding = _encoding(f, head, records, length, [d for d, _ in kept if d.kind == "C"])
        deleted: list[int] = []
        blank = 0
        with StagedWriter(target, [name for _, name in kept]) as writer:
            for number, record in _records(f, head, records, length):
                if record[:1] == DELETED:
                    deleted.append(number)
                    continue
                cells = [_cell(record[d.start : d.start + d.length], d.kind, encoding) for d, _ in kept]
                if any(cells):
                    writer.add(number, None, cells)
                else:
                    blank += 1
    listed = "、".join(map(str, deleted[:LISTED])) + ("…" if len(deleted) > LISTED else "")
    return Decoded(
        rows=writer.rows, read=writer.rows, blank=blank, total_lines=len(deleted), format="dbase", encoding=encoding,
        delimiter=None, columns=tuple(name for _, name in kept),
        unknown_headers=tuple(d.label for d, name in zip(found, names, strict=True) if name is None and d.kind != "0"),
        faults=(), notes=(Note("F056", None, f"{len(deleted)}: {listed}"),) if deleted else (),
    )  # fmt: skip


def _fields(head: bytes) -> list[_Field]:
    """The field descriptors, 32 bytes each up to the 0D that ends them."""
    found: list[_Field] = []
    start = 1
    for at in range(0, len(head) - 31, 32):
        if head[at] == 0x0D:
            break
        raw = head[at : at + 11].partition(b"\0")[0]
        try:
            label = raw.decode(UTF_8)
        except UnicodeDecodeError:
            label = raw.decode("gb18030", "replace")
        kind = chr(head[at + 11])
        # Clipper and FoxPro write the high byte of a long text's length where decimals stand.
        size = head[at + 16] + (head[at + 17] << 8 if kind == "C" else 0)
        found.append(_Field(label, kind, start, size))
        start += size
    return found


def _records(f: BinaryIO, head: int, records: int, length: int) -> Iterator[tuple[int, bytes]]:
    f.seek(head)
    for number in range(1, records + 1):
        yield number, f.read(length)


def _encoding(f: BinaryIO, head: int, records: int, length: int, texts: Sequence[_Field]) -> str:
    """UTF-8 where all texts are, else GBK with what came after it; the code page a file states is often a default."""
    for _, record in _records(f, head, records, length):
        for d in texts:
            try:
                record[d.start : d.start + d.length].decode(UTF_8)
            except UnicodeDecodeError:
                return "gb18030"
    return UTF_8


def _cell(cell: bytes, kind: str, encoding: str) -> str | None:
    """A cell's text. A character cut in two at the end of a field shows as lost, so that its row is held."""
    if kind == "I":
        return str(int.from_bytes(cell, "little", signed=True))
    if kind == "Y":
        return f"{int.from_bytes(cell, 'little', signed=True) / 10_000:.4f}"
    if kind == "B":
        return repr(struct.unpack("<d", cell)[0]).removesuffix(".0")
    if kind == "T":
        day, milliseconds = struct.unpack("<II", cell)
        if not day:
            return None
        # Julian day 1,721,425 is the first of the proleptic calendar; a day beyond it is no date.
        if not 1_721_426 <= day <= 5_373_484:
            return str(day)
        when = date.fromordinal(day - 1_721_425).isoformat()
        return f"{when} {timedelta(seconds=milliseconds // 1000)!s:0>8}" if milliseconds else when
    text = cell.decode(encoding, "replace").replace("\0", " ").strip()
    if kind == "D" and len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if kind == "L":
        return {"T": "是", "Y": "是", "F": "否", "N": "否"}.get(text.upper())
    return text or None
