"""One strict encoding for the whole file, and a count of its physical lines that owes nothing to any parser."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import DeliveryError
from pipelines.readers.characters import CONTROLS, DECODED, PRIVATE

CHUNK = 2 << 20
AHEAD = 8  # blocks in memory that wait to be looked at
Lines = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Decoder = codecs.IncrementalDecoder | io.IncrementalNewlineDecoder


def _none() -> Lines:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Text:
    """A file as UTF-8: where it lies, what it was, how many physical lines, and which of them (counted from 1)
    are `blanks` or lie inside quotes that an earlier line opened (`continued`).

    `before_quotes` are the bytes seen right before an opening quote, zero for a quote that never closes: a quote that
    opens anywhere but at the start of a cell may be text, and then `continued` cannot be trusted. `controls` are the
    control characters seen other than tab and line ends; `has_private` says that there are private-use characters.
    """

    path: Path
    encoding: str
    lines: int
    blanks: Lines = field(default_factory=_none)
    continued: Lines = field(default_factory=_none)
    before_quotes: frozenset[int] = frozenset()
    controls: frozenset[int] = frozenset()
    has_private: bool = False


def normalise(source: Path, work: Path, declared: str | None = None) -> Text:
    """The file as UTF-8 with line feeds: in place where it is already, else a copy under `work`. `declared`: the only
    encoding to try where no byte-order mark says another.

    Raises `DeliveryError` F001 (no encoding holds to the end) or F010 (binary).
    """
    with source.open("rb") as f:
        start = f.read(4096)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _copy(source, work, ("utf-16",))
    if declared is None and (unmarked := _unmarked_utf16(start)):
        return _copy(source, work, (unmarked,))
    # A byte-order mark is a promise: broken UTF-8 behind it is never read as something else.
    marked = "utf-8" if start.startswith(codecs.BOM_UTF8) else declared
    if marked in (None, "utf-8"):
        found = _scan(source)
        if found is not None:
            return found
    return _copy(source, work, (marked,) if marked else ("utf-8", "gb18030"))


def _unmarked_utf16(start: bytes) -> str | None:
    """UTF-16 without a byte-order mark, as database exports write it: every delimiter and line end has a zero as its
    other byte, and what it says is Chinese and ASCII, as no text in another encoding is when it is read so."""
    if start.count(0) * 40 < len(start):
        return None
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            said = codecs.getincrementaldecoder(encoding)().decode(start)
        except UnicodeError:
            continue
        if "\n" in said and len(_WRITTEN.findall(said)) > 0.9 * len(said):
            return encoding
    return None


_WRITTEN = re.compile(r"[\t\n\r -~\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


@dataclass(frozen=True)
class _Block:
    """What whole lines held: see `Text`; line numbers count from the block's own first line. `has_returns`: there are
    carriage returns that no line feed follows."""

    lines: int
    blanks: Lines
    continued: Lines
    before_quotes: frozenset[int]
    controls: frozenset[int]
    has_private: bool
    has_returns: bool


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
        opened = 0
        while True:
            chunk = f.read(CHUNK)
            # Only whole lines are looked at, so no character is ever cut in two; the rest waits for the next chunk.
            cut = chunk.rfind(b"\n") + 1 if chunk else 0
            block = b"".join([*rest, chunk[:cut]]) if cut or not chunk else b""
            rest = [chunk[cut:]] if cut else [*rest, chunk]
            if block:
                pending.append(pool.submit(_look, block, opened))
                opened = (opened + int(np.count_nonzero(np.frombuffer(block, np.uint8) == 34))) & 1
            while pending and (len(pending) > AHEAD or not chunk):
                seen = pending.popleft().result()
                if seen is None or seen.has_returns:
                    return None
                found.append(seen)
            if not chunk:
                break
    before = np.cumsum([0, *(b.lines for b in found)])
    lines = int(before[-1])
    blanks = np.concatenate([_none(), *(b.blanks + n for b, n in zip(found, before, strict=False))])
    inner = np.concatenate([_none(), *(b.continued + n for b, n in zip(found, before, strict=False))])
    inner = inner[inner <= lines]
    before_quotes = frozenset().union(*(b.before_quotes for b in found), {0} if opened else ())
    empty = np.setdiff1d(blanks, inner, assume_unique=True)
    controls = frozenset().union(*(b.controls for b in found))
    has_private = any(b.has_private for b in found)
    return Text(source, "utf-8-sig" if bom else "utf-8", lines, empty, inner, before_quotes, controls, has_private)


def _look(block: bytes, opened: int) -> _Block | None:
    """Whole lines, the last of a file perhaps without its line feed; `opened`: a quote is open before them. None where
    they are not UTF-8."""
    if not _is_text(block):
        return None
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == 10)
    controls, has_returns = _controls(block, data, ends)
    before_quotes: set[int] = set()
    continued = _inside(block, ends, opened, before_quotes) + 2
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    return _Block(
        len(ends), _blanks(block, ends, controls), continued, frozenset(before_quotes), controls,
        any(lead in block for lead in PRIVATE), has_returns,
    )  # fmt: skip


def _controls(block: bytes, data: Bytes, ends: Lines) -> tuple[frozenset[int], bool]:
    """Control characters but tab and line ends, and whether a carriage return stands without its line feed. Counting
    the bytes below the blank and taking off the line ends is all that a clean text costs."""
    returns = int(np.count_nonzero(data == 13)) if b"\r" in block else 0
    has_returns = returns > 0 and returns != np.count_nonzero(data[ends[ends > 0] - 1] == 13)
    low = int(np.count_nonzero(data < 32)) - len(ends) - returns
    if low == 0 or low == np.count_nonzero(data == 9):
        return frozenset(), has_returns
    return frozenset(np.unique(data[data < 32]).tolist()) & CONTROLS, has_returns


def _is_text(block: bytes) -> bool:
    """Whether the bytes are UTF-8."""
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


def _blanks(block: bytes, ends: Lines, controls: frozenset[int]) -> Lines:
    """Numbers, counted from 1, of the blank lines of a block of lines that end at `ends`; control characters are no
    text."""
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    first = np.frombuffer(block, np.uint8)[starts]
    blank = b" \t\r" + bytes(controls)
    maybe = np.flatnonzero(np.isin(first, np.frombuffer(blank + b"\n", np.uint8))).tolist()
    return np.array([n + 1 for n in maybe if not block[starts[n] : ends[n]].strip(blank)], np.int64)


def _copy(source: Path, work: Path, encodings: Sequence[str]) -> Text:
    """The whole file in the first encoding that holds to its end, written as UTF-8 under `work`: strictly, or but for
    characters that were cut in half at the end of a cell."""
    work.mkdir(parents=True, exist_ok=True)
    target = work / f"text.{source.name[:16]}.{os.getpid()}.part"
    stops = []
    try:
        for encoding in encodings:
            for errors in ("strict", HALF):
                try:
                    return replace(_transcoded(source, target, encoding, errors), encoding=encoding)
                except UnicodeError:
                    continue
            stops.append(f"not {encoding.upper()} {_stop(source, encoding)}")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    target.unlink(missing_ok=True)
    with source.open("rb") as f:
        if any(b"\0" in block for block in iter(lambda: f.read(CHUNK), b"")):
            raise binary()
    raise DeliveryError(
        "F001",
        "文件既不是 UTF-8 也不是 GB18030 编码。请另存为 UTF-8 的 CSV 后重新报送。",
        f"The text is {' and '.join(stops)}. Export it again as UTF-8 CSV.",
    )


def _transcoded(source: Path, target: Path, encoding: str, errors: str) -> Text:
    """Raises `UnicodeError` where the encoding does not hold."""
    _rewrite(source, target, codecs.getincrementaldecoder(encoding)(errors), {})
    found = _scan(target)
    if found is None:  # it is UTF-8 now, so carriage returns alone end lines: every line end becomes a line feed
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        _rewrite(source, target, io.IncrementalNewlineDecoder(decoder, translate=True), {})
        found = _scan(target)
    if found is not None and encoding == "gb18030" and found.has_private:
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        _rewrite(source, target, io.IncrementalNewlineDecoder(decoder, translate=True), DECODED)
        found = _scan(target)
    assert found is not None
    return found


def _rewrite(source: Path, target: Path, decoder: Decoder, moved: Mapping[int, str]) -> None:
    """Large blocks: a text file decodes eight kilobytes at a time, which takes half as long again."""
    with source.open("rb", buffering=0) as f, target.open("wb") as out:
        while block := f.read(CHUNK):
            text = decoder.decode(block)
            out.write((text.translate(moved) if moved else text).encode())
        out.write(decoder.decode(b"", True).encode())


HALF = "qiongxin.half"
CELL_ENDS = frozenset(b",;|\t\"\r\n\x00\x01&")


def _half(error: UnicodeError) -> tuple[str, int]:
    """Where a field of bytes was full, the source cut a character in two: its first part stands at the end of a cell.
    It becomes U+FFFD, which the rules tell of; anything else that is no text remains an error."""
    if isinstance(error, UnicodeDecodeError):
        first, after = error.object[error.start], error.object[error.end : error.end + 1]
        if first >= 0x81 and error.reason in CUT and (not after or after[0] in CELL_ENDS):
            return "\ufffd", error.end
    raise error


# What the decoders say of a character that lacks its second part.
CUT = (
    "invalid continuation byte", "unexpected end of data",  # UTF-8
    "illegal multibyte sequence", "incomplete multibyte sequence",  # GB18030
)  # fmt: skip
codecs.register_error(HALF, _half)


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


def binary() -> DeliveryError:
    return DeliveryError(
        "F010",
        "文件内容不是表格文本。请导出为 CSV 或 xlsx 后重新报送。",
        "The content is not tabular text. Export it as CSV or xlsx and send it again.",
    )
