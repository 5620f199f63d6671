"""zip and gz: the tables inside, each read as if it had been sent alone.

An archive of one table is that table. Of several, each has to be a table of the item; their rows are read as sheets
named by their member (`3月.xlsx/数据`). What is no table at all (a scan, a letter) is told and left out.
"""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipelines.errors import DeliveryError
from pipelines.readers.encoding import CHUNK
from pipelines.readers.limits import MEMBERS, RATIO, SMALL, Room, check_archive, intact
from pipelines.readers.staging import BATCH, Decoded, Note, StagedWriter, open_staged, repairs_path

Read = Callable[[Path, Path], Decoded]  # a file, and where to stage its rows
# What operating systems put into archives beside what was packed.
_BY_THE_WAY = ("__MACOSX/", "Thumbs.db", "desktop.ini")
NOT_A_TABLE = ("F002", "F010")


def read_zip(source: Path, target: Path, work: Path, read: Read, room: Room) -> Decoded:
    """Raises `DeliveryError` F009, F014, F055, and what reading a member does, with its number in the archive: its name
    may be that of a person."""
    room.enter()
    parts: list[tuple[str, Path, Decoded]] = []
    notes: list[Note] = []
    refused: DeliveryError | None = None
    folder = work / f"archive.{room.depth}.{source.name[:16]}.{os.getpid()}.part"
    folder.mkdir(parents=True, exist_ok=True)
    room.depth += 1
    try:
        with zipfile.ZipFile(source) as archive:
            infos = [i for i in check_archive(archive, MEMBERS, room) if not _is_by_the_way(i.filename)]
            for number, info in enumerate(infos, start=1):
                name, member, staged = member_name(info), folder / f"{number}", folder / f"{number}.parquet"
                try:
                    _unpack(archive, info, member)
                    parts.append((name, staged, read(member, staged)))
                except DeliveryError as e:
                    told = e if len(infos) == 1 else _of_member(e, number)
                    if e.code not in NOT_A_TABLE:
                        raise told from e
                    refused = refused or told
                    notes.append(Note("F051", name, name))
                finally:
                    member.unlink(missing_ok=True)
        if not parts:
            raise refused or DeliveryError(
                "F002",
                "压缩包里没有文件。若本期没有数据，请在清单中写明 nil；否则请重新报送。",
                "The archive holds no file. If there is nothing to report, say nil in the manifest; else resend it.",
            )
        if len(parts) == 1:
            parts = [("", *parts[0][1:])]
        decoded = _together(parts, target)
    finally:
        room.depth -= 1
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return replace(decoded, format=f"zip {decoded.format}", notes=(*decoded.notes, *notes))


def read_gzip(source: Path, target: Path, work: Path, read: Read, room: Room) -> Decoded:
    """Raises `DeliveryError` F014, F055, and what reading the file inside does."""
    room.enter()
    work.mkdir(parents=True, exist_ok=True)
    member = work / f"gunzip.{room.depth}.{source.name[:16]}.{os.getpid()}.part"
    try:
        most = max(SMALL, RATIO * source.stat().st_size)
        with gzip.open(source) as f, member.open("wb") as out:
            while chunk := f.read(CHUNK):
                out.write(chunk)
                if out.tell() > min(most, room.left):
                    break
            room.take(out.tell(), source.stat().st_size)
        room.depth += 1
        try:
            decoded = read(member, target)
        finally:
            room.depth -= 1
    except (OSError, EOFError, zlib.error) as e:
        if isinstance(e, OSError) and not isinstance(e, gzip.BadGzipFile):
            raise
        raise _damaged() from e
    finally:
        member.unlink(missing_ok=True)
    return replace(decoded, format=f"gz {decoded.format}")


def member_name(info: zipfile.ZipInfo) -> str:
    """The name as its owner reads it: without the mark of UTF-8 it is in the code page of the computer that packed it,
    here UTF-8 or GBK, and zipfile takes it for code page 437 (APPNOTE.TXT, appendix D)."""
    if info.flag_bits & 0x800:
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _is_by_the_way(name: str) -> bool:
    last = name.rpartition("/")[2]
    return name.startswith(_BY_THE_WAY) or last.startswith(".") or last in _BY_THE_WAY


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    with intact(_damaged()):
        try:
            with archive.open(info) as f, target.open("wb") as out:
                while chunk := f.read(CHUNK):
                    out.write(chunk)
        except NotImplementedError as e:
            raise DeliveryError(
                "F014",
                "压缩包的压缩方式无法解开。请用普通的 zip 格式重新压缩后报送。",
                "The archive is packed in a way that cannot be unpacked. Pack it again as an ordinary zip and send it.",
            ) from e


def _damaged() -> DeliveryError:
    return DeliveryError(
        "F014",
        "压缩包没有传完或已损坏。请重新压缩、上传。",
        "The archive is incomplete or damaged. Pack and upload it again.",
    )


def _of_member(e: DeliveryError, number: int) -> DeliveryError:
    return DeliveryError(
        e.code, f"压缩包中第 {number} 个文件：{e.message_zh}", f"File {number} of the archive: {e.message_en}"
    )


def _together(parts: list[tuple[str, Path, Decoded]], target: Path) -> Decoded:
    """The rows of all members in their order, their sheets named by them."""
    columns = dict.fromkeys(column for _, _, decoded in parts for column in decoded.columns)
    with StagedWriter(target, list(columns)) as writer:
        for name, staged, decoded in parts:
            _add(writer, columns, staged, decoded, name)
    found = [decoded for _, _, decoded in parts]
    faults = [replace(f, sheet=_joined(name, f.sheet)) for name, _, d in parts for f in d.faults]
    notes = [replace(n, sheet=_joined(name, n.sheet)) for name, _, d in parts for n in d.notes]
    encodings, delimiters = {d.encoding for d in found}, {d.delimiter for d in found}
    return Decoded(
        rows=sum(d.rows for d in found), read=sum(d.read for d in found), blank=sum(d.blank for d in found),
        total_lines=sum(d.total_lines for d in found), format=" ".join(sorted({d.format for d in found})),
        encoding=encodings.pop() if len(encodings) == 1 else None,
        delimiter=delimiters.pop() if len(delimiters) == 1 else None,
        columns=tuple(columns),
        unknown_headers=tuple(dict.fromkeys(h for d in found for h in d.unknown_headers)),
        faults=tuple(faults), notes=tuple(notes),
    )  # fmt: skip


def _joined(member: str, sheet: str | None) -> str | None:
    return f"{member}/{sheet}" if member and sheet else member or sheet


def _add(writer: StagedWriter, columns: Iterable[str], staged: Path, decoded: Decoded, member: str) -> None:
    there = set(decoded.columns)
    cells = ", ".join(f'"{c}"' if c in there else f'CAST(NULL AS VARCHAR) AS "{c}"' for c in columns)
    with duckdb.connect() as engine:
        open_staged(engine, staged)
        sheet = "CASE WHEN ? = '' THEN sheet WHEN sheet IS NULL THEN ? ELSE ? || '/' || sheet END"
        rows = engine.sql(f"SELECT line, {sheet} AS sheet, {cells} FROM staged ORDER BY place", params=[member] * 3)
        for batch in rows.to_arrow_reader(BATCH):
            writer.add_batch(batch)
    if repairs_path(staged).exists():
        for note in pq.read_table(repairs_path(staged)).to_pylist():
            writer.note(**note | {"sheet": _joined(member, note["sheet"])})
