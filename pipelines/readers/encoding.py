"""One strict encoding for the whole file, and a count of its physical lines that owes nothing to any parser."""

from __future__ import annotations

import codecs
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import DeliveryError

CHUNK = 2 << 20
AHEAD = 8  # blocks in memory that wait to be looked at
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


@dataclass(frozen=True)
class _Block:
    """What whole lines held: see `Text`; line numbers count from the block's own first line."""

    lines: int
    blanks: Lines
    continued: Lines
    before_quotes: frozenset[int]


def _scan(source: Path) -> Text | None:
    """A pass over bytes that are UTF-8 already; None when they are not, or when lone CRs end the lines.

    Blocks are looked at side by side; all that one has to know of those before it is whether a quote is still open.
    """
    with ThreadPoolExecutor() as pool, source.open("rb") as f:
        pending: deque[Future[_Block | None]] = deque()
        found: list[_Block] = []
        bom = f.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
        f.seek(len(codecs.BOM_UTF8) if bom else 0)
        rest: list[bytes] = []
        opened, carriage, line_feeds = 0, False, False
        while True:
            chunk = f.read(CHUNK)
            carriage = carriage or b"\r" in chunk
            # Only whole lines are looked at, so no character is ever cut in two; the rest waits for the next chunk.
            cut = chunk.rfind(b"\n") + 1 if chunk else 0
            line_feeds = line_feeds or cut > 0
            block = b"".join([*rest, chunk[:cut]]) if cut or not chunk else b""
            rest = [chunk[cut:]] if cut else [*rest, chunk]
            if block:
                pending.append(pool.submit(_look, block, opened))
                opened = (opened + int(np.count_nonzero(np.frombuffer(block, np.uint8) == 34))) & 1
            while pending and (len(pending) > AHEAD or not chunk):
                seen = pending.popleft().result()
                if seen is None:
                    return None
                found.append(seen)
            if not chunk:
                break
    if carriage and not line_feeds:
        return None
    before = np.cumsum([0, *(b.lines for b in found)])
    lines = int(before[-1])
    blanks = np.concatenate([_none(), *(b.blanks + n for b, n in zip(found, before, strict=False))])
    inner = np.concatenate([_none(), *(b.continued + n for b, n in zip(found, before, strict=False))])
    inner = inner[inner <= lines]
    before_quotes = frozenset().union(*(b.before_quotes for b in found), {0} if opened else ())
    empty = np.setdiff1d(blanks, inner, assume_unique=True)
    return Text(source, "utf-8-sig" if bom else "utf-8", lines, empty, inner, before_quotes)


def _look(block: bytes, opened: int) -> _Block | None:
    """Whole lines, the last of a file perhaps without its line feed; `opened`: a quote is open before them. None where
    they are not UTF-8. Raises `DeliveryError` F010 where they hold a NUL."""
    if not _is_text(block):
        return None
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
    before_quotes: set[int] = set()
    continued = _inside(block, ends, opened, before_quotes) + 2
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    return _Block(len(ends), _blanks(block, ends), continued, frozenset(before_quotes))


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


def _inside(block: bytes, ends: Lines, opened: int, before_quotes: set[int]) -> Lines:
    """Which line feeds of `block` stand inside quotes; adds the bytes before opening quotes to `before_quotes`.

    A line feed stands inside where an odd number of quotes is before it; a doubled quote does not change that.
    """
    if b'"' not in block:
        return np.arange(len(ends)) if opened else _none()
    quotes = np.flatnonzero(np.frombuffer(block, np.uint8) == 34)
    opening = quotes[opened::2]
    before = np.frombuffer(block, np.uint8)[opening - 1]
    if len(opening) and opening[0] == 0:
        before[0] = 10  # blocks begin where a line begins
    before_quotes.update(np.flatnonzero(np.bincount(before, minlength=256)).tolist())
    is_inside = (np.searchsorted(quotes, ends) + opened) & 1
    return np.flatnonzero(is_inside)


def _blanks(block: bytes, ends: Lines) -> Lines:
    """Numbers, counted from 1, of the blank lines of a block of lines that end at `ends`."""
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
