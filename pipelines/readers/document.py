"""JSON, JSON lines and XML: one object or element is a row, its keys are the headers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from lxml import etree

from pipelines.errors import DeliveryError
from pipelines.readers.encoding import CHUNK, normalise
from pipelines.readers.headers import match, normalise_header
from pipelines.readers.staging import Decoded, Fault, StagedWriter
from pipelines.readers.text import check_layout

ELEMENT = 64 << 20  # characters one element of an array may take
Cells = dict[str, str | None]
Row = tuple[int, Cells | None]


def read_json(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """An array of objects, or one object per line. Raises `DeliveryError` F001, F004, F006, F013."""
    text = normalise(source, work)
    try:
        with text.path.open(encoding="utf-8-sig") as f:
            whole = f.read(CHUNK).lstrip().startswith("[")

        def rows() -> Iterator[Row]:
            with text.path.open(encoding="utf-8-sig", newline="\n") as f:
                yield from _array(f) if whole else _lines(f)

        return _write(rows, target, fields, "json" if whole else "jsonl", text.encoding)
    finally:
        if text.path != source:
            text.path.unlink(missing_ok=True)


def read_xml(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Rows are the elements that hold known fields, and their like-named neighbours. No entity is expanded,
    nothing is fetched. Raises `DeliveryError` F004, F006, F013.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    any_row = False
    for path, _, cells in _elements(source, 2):
        any_row = True
        seen[path] += sum(normalise_header(h) in fields for h in cells or ())
    seen = +seen
    if not seen and any_row:
        check_layout([], fields)
    # The path that names the most known fields is the row; a row may hold lists of its own, so the outer one wins.
    depth = min((len(path) for path in seen if seen[path] == max(seen.values())), default=0)
    paths = {path for path in seen if len(path) == depth}

    def rows() -> Iterator[Row]:
        return ((line, cells) for path, line, cells in _elements(source, depth) if path in paths)

    return _write(rows, target, fields, "xml", None)


def _elements(source: Path, depth: int) -> Iterator[tuple[tuple[str, ...], int, Cells | None]]:
    """(path of tags, line, cells) of each element below the root that has leaves or attributes.

    What ended at `depth` is let go, so that a large file never lies in memory; anything deeper is still a row's cell.
    """
    path: list[str] = []
    try:
        events = etree.iterparse(
            str(source), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False,
            huge_tree=False,
        )  # fmt: skip
        for event, element in events:
            if event == "start":
                path.append(_name(element))
                continue
            if len(path) > 1 and (len(element) or element.attrib):
                yield tuple(path), element.sourceline or 0, _leaves(element)
            path.pop()
            if len(path) + 1 == depth:
                element.clear(keep_tail=True)
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except etree.XMLSyntaxError as e:
        raise _broken("XML", e.lineno or 0) from e


def _leaves(element: etree._Element) -> Cells | None:
    """Children by name, else attributes; None where a name occurs twice, as one of the two would be lost."""
    children = [c for c in element if isinstance(c.tag, str)]
    if not children:
        return {str(k): str(v) for k, v in element.attrib.items()}
    cells = {_name(c): _text(c) for c in children}
    return cells if len(cells) == len(children) else None


def _name(element: etree._Element) -> str:
    """The tag without its namespace, or without a prefix that nothing declares (the parser says so only later)."""
    return str(element.tag).rpartition("}")[2].rpartition(":")[2]


def _text(element: etree._Element) -> str | None:
    """All text inside, across comments and inner elements."""
    parts = [element.text]
    for child in element:
        parts += [_text(child) if isinstance(child.tag, str) else None, child.tail]
    return "".join(p for p in parts if p) or None


def _broken(kind: str, line: int) -> DeliveryError:
    return DeliveryError(
        "F013",
        f"{kind} 在第 {line} 行附近不完整或有语法错误。请重新导出后报送。",
        f"{kind} is incomplete or malformed near line {line}. Export it again and send it.",
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """None for an object that names a key twice: which of the two is meant, nobody can say."""
    cells = dict(pairs)
    return cells if len(cells) == len(pairs) else None


# Numbers keep their literal text: 18 digits must not pass through a float.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once)
_SPACE = re.compile(r"[ \t\r\n]*")


def _array(f: TextIO) -> Iterator[Row]:
    """Elements of one array, with the line each starts on; a window of the text is held, not the whole."""
    window, at, line, ended = "", 0, 1, False

    def skip() -> str:
        """The next character that is no blank, or nothing at the end of the file."""
        nonlocal window, at, line, ended
        while True:
            end = _SPACE.match(window, at).end()  # type: ignore[union-attr]
            line += window.count("\n", at, end)
            at = end
            if at < len(window):
                return window[at]
            window, at = f.read(CHUNK), 0
            if not window:
                ended = True
                return ""

    if skip() != "[":
        raise _broken("JSON", line)
    at += 1
    is_first = True
    while (mark := skip()) != "]":
        if not is_first:
            if mark != ",":
                raise _broken("JSON", line)
            at += 1
            skip()
        while True:
            try:
                value, end = _DECODER.raw_decode(window, at)
                # A number or word at the very end of the window may go on in the next one.
                if end < len(window) or ended:
                    break
            except RecursionError as e:
                raise _broken("JSON", line) from e
            except json.JSONDecodeError as e:
                if ended or len(window) - at > ELEMENT:
                    raise _broken("JSON", line) from e
            more = f.read(CHUNK)
            ended = not more
            window, at = window[at:] + more, 0
        yield line, _cells(value)
        line += window.count("\n", at, end)
        at, is_first = end, False
    at += 1
    if skip():
        raise _broken("JSON", line)


def _lines(f: TextIO) -> Iterator[Row]:
    for number, text in enumerate(f, start=1):
        if not text.strip():
            continue
        try:
            yield number, _cells(_DECODER.decode(text.strip()))
        except (json.JSONDecodeError, RecursionError):
            yield number, None


def _cells(value: Any) -> Cells | None:
    if not isinstance(value, dict):
        return None
    try:
        cells = {k: _cell(v) for k, v in value.items()}
        # Half a surrogate pair and NUL are legal in JSON and can be stored nowhere.
        "".join(v for v in cells.values() if v).encode()
        "".join(cells).encode()
    except (UnicodeEncodeError, RecursionError):
        return None
    return None if any(v and "\0" in v for v in cells.values()) else cells


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def _is_wrapper(cells: Cells | None, fields: Mapping[str, str]) -> bool:
    """Whether an object is no row but holds rows: none of its keys is known, and a value is a list or object."""
    named = any(normalise_header(key) in fields for key in cells or ())
    return not named and any((value or "").startswith(("[", "{")) for value in (cells or {}).values())


def _write(
    rows: Callable[[], Iterator[Row]], target: Path, fields: Mapping[str, str], form: str, encoding: str | None
) -> Decoded:
    """Two passes: which headers occur, then the rows; so that a large file never lies in memory.

    Where two records begin on one line, as in files that a program wrote without line breaks, the line alone is no
    place: then every record of the file has its number as well, counted from 1 and written `#17` in place of a sheet.
    """
    seen: dict[str, None] = {}
    cells: Cells | None = None
    read = broken = last = 0
    share_lines = False
    for line, cells in rows():
        read, broken = read + 1, broken + (cells is None)
        share_lines, last = share_lines or line <= last, line
        seen.update(dict.fromkeys(cells or ()))
    headers = list(seen)
    if form == "jsonl" and (read == broken or (read == 1 and _is_wrapper(cells, fields))):
        raise DeliveryError(
            "F013",
            "JSON 应当是一个对象数组，或者每行一个对象。数据包在另一个对象里的，请只导出其中的数组后重新报送。",
            "JSON has to be one array of objects, or one object per line. Where the rows are wrapped in another object,"
            " export the array alone and send it again.",
        )
    if read:
        check_layout(headers, fields)
    known = {h: name for h, name in zip(headers, match(headers, fields), strict=True) if name}
    columns = list(known.values())
    faults = []
    with StagedWriter(target, columns) as writer:
        for number, (line, cells) in enumerate(rows(), start=1):
            place = f"#{number}" if share_lines else None
            if cells is None:
                what = "an element twice" if form == "xml" else "no object, a key twice, or text none can store"
                faults.append(Fault("F013", line, place, what))
            else:
                writer.add(line, place, [cells.get(h) or None for h in known])
    unknown = tuple(h for h in headers if h not in known)
    return Decoded(writer.rows, read, 0, 0, form, encoding, None, tuple(columns), unknown, tuple(faults))
