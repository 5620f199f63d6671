"""Readers: any file a department may send, as staged rows. The form is told by content, never by the file's name."""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import DeliveryError
from pipelines.readers.archive import Read, read_gzip, read_zip
from pipelines.readers.document import read_json, read_xml
from pipelines.readers.fixed import Column, Layout, is_dbase, read_dbase, read_fixed
from pipelines.readers.headers import ECHO, Headers, normalise_header
from pipelines.readers.limits import Room, intact
from pipelines.readers.markup import SPREADSHEET, read_open_document, read_page, read_spreadsheet_2003
from pipelines.readers.staging import Decoded, Fault, StagedWriter
from pipelines.readers.text import read_text
from pipelines.readers.workbook import locked, read_workbook
from schemas.model import Format

__all__ = ["ECHO", "Column", "Decoded", "Fault", "Headers", "Layout", "decode", "empty", "normalise_header"]

NO_TABLES = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"Rar!", b"7z\xbc\xaf", b"GIF8", b"{\\rtf")
# What systems write when they export "to Excel" without a library for it (domain Q09).
PAGES = (b"<html", b"<!doctype html", b"<table", b"<head", b"<meta", b"<style", b"<body")
SPREADSHEET_2003 = SPREADSHEET.encode()
OPEN_DOCUMENT = b"application/vnd.oasis.opendocument.spreadsheet"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
GZIP = b"\x1f\x8b"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def decode(
    source: Path, target: Path, fields: Mapping[str, str], work: Path, declared: Format | None = None,
    layout: Layout | None = None, room: Room | None = None,
) -> Decoded:  # fmt: skip
    """Read `source` into staged Parquet at `target`. `fields`: normalised header -> field name; `declared`:
    how the sender writes delimited text; `layout`: where the fields stand in its lines of fixed width; `room`: what the
    archives it lies in have left to unfold.

    Raises `DeliveryError` where the whole file goes back: F001 encoding, F002 empty, F004 layout, F006 two columns for
    one field, F009 password, F010 not a table, F013 broken JSON or XML, F014 damaged, F055 beyond limits.
    """
    room = room or Room()

    def inner(member: Path, staged: Path) -> Decoded:
        return decode(member, staged, fields, work, declared, layout, room)

    with source.open("rb") as f:
        start = f.read(4096)
    if not start.strip(b" \t\r\n\x1a\x00\xef\xbb\xbf"):
        raise DeliveryError(
            "F002",
            "文件是空的。若本期没有数据，请在清单中写明 nil；否则请重新报送。",
            "The file is empty. If there is nothing to report, say nil in the manifest; else send it again.",
        )
    if start.startswith(ZIP):
        return _zipped(source, target, fields, work, inner, room)
    if start.startswith(OLE):
        content = source.read_bytes()
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise locked()
        if not any(name.encode("utf-16-le") in content for name in ("Workbook", "Book")):
            raise _no_table()
        return read_workbook(source, target, fields, work)
    if start.startswith(GZIP):
        return read_gzip(source, target, work, inner, room)
    if is_dbase(start, source.stat().st_size):
        return read_dbase(source, target, fields)
    if start.startswith(NO_TABLES):
        raise _no_table()
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = start[: len(start) & ~1].decode("utf-16", "replace").encode().lstrip()
    else:
        text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.lower().startswith(PAGES):
        return read_page(source, target, fields, work)
    if SPREADSHEET_2003 in text:
        return read_spreadsheet_2003(source, target, fields, work)
    if text.startswith(b"<"):
        return read_xml(source, target, fields, work)
    if text.startswith(b"{") or (text.startswith(b"[") and text[1:].lstrip()[:1] in (b"{", b"]", b"")):
        return read_json(source, target, fields, work)
    fixed = read_fixed(source, target, layout, work, declared) if layout else None
    return fixed or read_text(source, target, fields, work, declared)


def empty(target: Path) -> Decoded:
    """What a declared nil return of no bytes holds: nothing, staged as no rows."""
    with StagedWriter(target, []):
        pass
    return Decoded(
        rows=0, read=0, blank=0, total_lines=0, format="nil", encoding=None, delimiter=None, columns=(),
        unknown_headers=(), faults=(),
    )  # fmt: skip


def _no_table() -> DeliveryError:
    return DeliveryError(
        "F010",
        "文件不是表格（例如 PDF、图片、文档或 rar 压缩包）。请导出为 CSV 或 xlsx 后重新报送，需要压缩的请用 zip。",
        "The file is not a table (a PDF, a picture, a document, a rar archive). Export it as CSV or xlsx and resend it,"
        " packed as zip if need be.",
    )


def _zipped(
    source: Path, target: Path, fields: Mapping[str, str], work: Path, inner: Read, room: Room
) -> Decoded:
    damaged = DeliveryError(
        "F014",
        "文件没有传完或已损坏。请重新上传。",
        "The file is incomplete or damaged. Upload it again.",
    )
    with intact(damaged), zipfile.ZipFile(source) as archive:
        names = archive.namelist()
        kind = archive.open("mimetype").read(100) if "mimetype" in names else b""
    if kind.startswith(OPEN_DOCUMENT):
        return read_open_document(source, target, fields, work)
    if "[Content_Types].xml" in names:
        if not any(name.startswith("xl/") for name in names):
            raise _no_table()
        return read_workbook(source, target, fields, work)
    return read_zip(source, target, work, inner, room)
