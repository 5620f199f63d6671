"""One strict encoding for the whole file, and a count of its physical lines that owes nothing to any parser."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import DeliveryError

CHUNK = 4 << 20
Lines = np.ndarray[Any, np.dtype[np.int64]]


def _none() -> Lines:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Text:
    """A file as UTF-8: where it lies, what it was, how many physical lines, and which of them (counted from 1)
    are `blanks` or lie inside quotes that an earlier line opened (`continued`).

    `before_quotes` are the bytes seen right before an opening quote, zero for a quote that never closes: a quote that
    opens anywhere but at the start of a cell may be text, and then `continued` cannot be trusted.
    """

    path: Path
    encoding: str
    lines: int
    blanks: Lines = field(default_factory=_none)
    continued: Lines = field(default_factory=_none)
    before_quotes: frozenset[int] = frozenset()


def normalise(source: Path, work: Path) -> Text:
    """The file as UTF-8 with line feeds: in place where it is already, else a copy under `work`.

    Raises `DeliveryError` F001 (no encoding holds to the end) or F010 (binary).
    """
    with source.open("rb") as f:
        start = f.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _copy(source, work, ("utf-16",))
    found = _scan(source)
    if found is not None:
        return found
    # A byte-order mark is a promise: broken UTF-8 behind it is never read as something else.
    return _copy(source, work, ("utf-8",) if start.startswith(codecs.BOM_UTF8) else ("utf-8", "gb18030"))


def _scan(source: Path) -> Text | None:
    """A pass over bytes that are UTF-8 already; None when they are not, or when lone CRs end the lines."""
    lines, opened, bom = 0, 0, False
    blanks: list[Lines] = []
    continued: list[Lines] = []
    before_quotes: set[int] = set()
    rest, carriage, line_feeds, is_first = b"", False, False, True
    with source.open("rb") as f:
        while chunk := f.read(CHUNK):
            # Only whole lines are looked at, so no character is ever cut in two; the rest waits for the next chunk.
            cut = chunk.rfind(b"\n") + 1
            block, rest = (rest + chunk[:cut], chunk[cut:]) if cut else (b"", rest + chunk)
            carriage = carriage or b"\r" in chunk
            if not block:
                continue
            line_feeds = True
            if is_first:
                bom, is_first = block.startswith(codecs.BOM_UTF8), False
                block = block[3:] if bom else block
            if not _is_text(block):
                return None
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
            inside, opened = _inside(block, ends, opened, before_quotes)
            continued.append(inside + lines + 2)
            blanks.append(_blanks(block, ends) + lines)
            lines += len(ends)
    if rest.startswith(codecs.BOM_UTF8) and is_first:
        bom, rest = True, rest[3:]
    if not _is_text(rest) or (carriage and not line_feeds):
        return None
    if rest:
        _, opened = _inside(rest, _none(), opened, before_quotes)
        lines += 1
        blanks.append(np.array([] if rest.strip(b" \t\r") else [lines], np.int64))
    inner = np.concatenate([_none(), *continued])
    inner = inner[inner <= lines]
    empty = np.setdiff1d(np.concatenate([_none(), *blanks]), inner, assume_unique=True)
    if opened:
        before_quotes.add(0)
    return Text(source, "utf-8-sig" if bom else "utf-8", lines, empty, inner, frozenset(before_quotes))


def _is_text(block: bytes) -> bool:
    """Whether the bytes are UTF-8. Raises `DeliveryError` F010 where they hold a NUL."""
    if b"\0" in block:
        raise _binary()
    offsets = pa.py_buffer(np.array([0, len(block)], np.int64).tobytes())
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(block)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _inside(block: bytes, ends: Lines, opened: int, before_quotes: set[int]) -> tuple[Lines, int]:
    """(which line feeds of `block` stand inside quotes, whether a quote is open behind it).

    A line feed stands inside where an odd number of quotes is before it; a doubled quote does not change that.
    """
    if b'"' not in block:
        return (np.arange(len(ends)) if opened else _none()), opened
    quotes = np.flatnonzero(np.frombuffer(block, np.uint8) == 34)
    opening = quotes[opened::2]
    before = np.frombuffer(block, np.uint8)[opening - 1]
    if len(opening) and opening[0] == 0:
        before[0] = 10  # blocks begin where a line begins
    before_quotes.update(np.flatnonzero(np.bincount(before, minlength=256)).tolist())
    is_inside = (np.searchsorted(quotes, ends) + opened) & 1
    return np.flatnonzero(is_inside), (opened + len(quotes)) & 1


def _blanks(block: bytes, ends: Lines) -> Lines:
    """Numbers, counted from 1, of the blank lines of a block of whole lines that end at `ends`."""
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    first = np.frombuffer(block, np.uint8)[starts]
    maybe = np.flatnonzero((first == 10) | (first == 13) | (first == 32) | (first == 9)).tolist()
    return np.array([n + 1 for n in maybe if not block[starts[n] : ends[n]].strip(b" \t\r")], np.int64)


def _copy(source: Path, work: Path, encodings: Sequence[str]) -> Text:
    """The whole file in the first strict encoding that holds to its end, written as UTF-8 under `work`."""
    work.mkdir(parents=True, exist_ok=True)
    target = work / f"text.{source.name[:16]}.{os.getpid()}.part"
    with source.open("rb") as f:
        lone_returns = all(b"\n" not in block for block in iter(lambda: f.read(CHUNK), b""))
    stops = []
    for encoding in encodings:
        try:
            _transcode(source, target, encoding, lone_returns)
            found = _scan(target)
            if found is None:
                raise _binary()
            return replace(found, encoding=encoding)
        except UnicodeError:
            target.unlink(missing_ok=True)
            stops.append(f"not {encoding.upper()} {_stop(source, encoding)}")
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    raise DeliveryError(
        "F001",
        "文件既不是 UTF-8 也不是 GB18030 编码。请另存为 UTF-8 的 CSV 后重新报送。",
        f"The text is {' and '.join(stops)}. Export it again as UTF-8 CSV.",
    )


def _transcode(source: Path, target: Path, encoding: str, lone_returns: bool) -> None:
    with (
        source.open(encoding=encoding, errors="strict", newline="") as f,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        while block := f.read(CHUNK):
            if "\0" in block:
                raise _binary()
            out.write(block.replace("\r", "\n") if lone_returns else block)


def _stop(source: Path, encoding: str) -> str:
    """Where a strict decoder stops: the line, counted by line feeds, of the first byte it refuses."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    number = 0
    with source.open("rb") as f:
        while line := f.readline(CHUNK):
            number += 1
            try:
                decoder.decode(line)
            except UnicodeError:
                return f"at line {number}"
    return f"at line {number}"


def _binary() -> DeliveryError:
    return DeliveryError(
        "F010",
        "文件内容不是表格文本。请导出为 CSV 或 xlsx 后重新报送。",
        "The content is not tabular text. Export it as CSV or xlsx and send it again.",
    )
