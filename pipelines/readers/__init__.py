"""Readers: any file a department may send, as staged rows. The form is told by content, never by the file's name."""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import DeliveryError
from pipelines.readers.document import read_json, read_xml
from pipelines.readers.headers import ECHO, Headers, normalise_header
from pipelines.readers.staging import Decoded, Fault, StagedWriter
from pipelines.readers.text import read_text
from pipelines.readers.workbook import locked, read_workbook
from schemas.model import Format

__all__ = ["ECHO", "Decoded", "Fault", "Headers", "decode", "empty", "normalise_header"]

NO_TABLES = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"GIF8", b"{\\rtf")
# What systems write when they export "to Excel" without a library for it (domain Q09).
PAGES = (b"<html", b"<!doctype html", b"<table", b"<head", b"<meta", b"<style", b"<body")
SPREADSHEET_2003 = b"urn:schemas-microsoft-com:office:spreadsheet"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def decode(
    source: Path, target: Path, fields: Mapping[str, str], work: Path, declared: Format | None = None
) -> Decoded:
    """Read `source` into staged Parquet at `target`. `fields`: normalised header -> field name; `declared`: how the
    sender writes delimited text.

    Raises `DeliveryError` where the whole file goes back: F001 encoding, F002 empty, F004 layout, F006 two columns for
    one field, F009 password, F010 not a table, F013 broken JSON or XML, F014 damaged.
    """
    with source.open("rb") as f:
        start = f.read(4096)
    if not start.strip(b" \t\r\n\x1a\x00\xef\xbb\xbf"):
        raise DeliveryError(
            "F002",
            "文件是空的。若本期没有数据，请在清单中写明 nil；否则请重新报送。",
            "The file is empty. If there is nothing to report, say nil in the manifest; else send it again.",
        )
    if start.startswith(b"PK"):
        return _zipped(source, target, fields, work)
    if start.startswith(OLE):
        content = source.read_bytes()
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise locked()
        if not any(name.encode("utf-16-le") in content for name in ("Workbook", "Book")):
            raise _no_table()
        return read_workbook(source, target, fields, work)
    if start.startswith(NO_TABLES):
        raise _no_table()
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = start[: len(start) & ~1].decode("utf-16", "replace").encode().lstrip()
    else:
        text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.lower().startswith(PAGES) or SPREADSHEET_2003 in text:
        raise DeliveryError(
            "F010",
            "文件是网页或 XML 表格，只是名字像工作簿。请用表格软件打开，另存为 xlsx 后重新报送。",
            "The file is a web page or an XML spreadsheet under the name of a workbook. Open it in a spreadsheet"
            " program, save it as xlsx and send it again.",
        )
    if text.startswith(b"<"):
        return read_xml(source, target, fields, work)
    if text.startswith(b"{") or (text.startswith(b"[") and text[1:].lstrip()[:1] in (b"{", b"]", b"")):
        return read_json(source, target, fields, work)
    return read_text(source, target, fields, work, declared)


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
        "文件不是表格（例如 PDF、图片、文档或压缩包）。请导出为 CSV 或 xlsx 后重新报送。",
        "The file is not a table (a PDF, a picture, a document or an archive). Export it as CSV or xlsx and resend.",
    )


def _zipped(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as e:
        raise DeliveryError(
            "F014",
            "文件没有传完或已损坏。请重新上传。",
            "The file is incomplete or damaged. Upload it again.",
        ) from e
    if "[Content_Types].xml" in names:
        if not any(name.startswith("xl/") for name in names):
            raise _no_table()
        return read_workbook(source, target, fields, work)
    raise DeliveryError(
        "F010",
        "暂不接收压缩包。请解压后报送其中的 CSV 或 xlsx。",
        "Archives are not taken yet. Send the CSV or xlsx inside.",
    )
