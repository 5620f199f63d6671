"""JSON, JSON lines and XML: one object or element is a row, its keys are the headers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from pipelines.errors import DeliveryError
from pipelines.readers.headers import normalise_header
from pipelines.readers.staging import Decoded, Fault, StagedWriter
from pipelines.readers.text import check_layout, normalise

Row = tuple[int, dict[str, str | None] | None]


def read_json(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """An array of objects, or one object per line. Raises `DeliveryError` F001, F004, F006, F013."""
    text = normalise(source, work)
    try:
        content = text.path.read_text(encoding="utf-8-sig")
    finally:
        if text.path != source:
            text.path.unlink(missing_ok=True)
    whole = content.lstrip().startswith("[")
    rows = list(_array(content) if whole else _lines(content))
    return _write(rows, target, fields, "json" if whole else "jsonl", text.encoding)


def read_xml(source: Path, target: Path, fields: Mapping[str, str], work: Path) -> Decoded:
    """Children of the root (or of its only child) are rows. No entity is expanded, nothing is fetched."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.parse(str(source), parser).getroot()
    except etree.XMLSyntaxError as e:
        raise _broken("XML", e.lineno or 0) from e
    while len(root) == 1 and len(root[0]) and len(root[0][0]):
        root = root[0]
    rows: list[Row] = []
    for element in root:
        if isinstance(element.tag, str):
            cells = {etree.QName(c).localname: c.text for c in element if isinstance(c.tag, str)}
            rows.append((element.sourceline or 0, cells or dict(element.attrib)))
    return _write(rows, target, fields, "xml", None)


def _broken(kind: str, line: int) -> DeliveryError:
    return DeliveryError(
        "F013",
        f"{kind} 在第 {line} 行附近不完整或有语法错误。请重新导出后报送。",
        f"{kind} is incomplete or malformed near line {line}. Export it again and send it.",
    )


def _decoder() -> json.JSONDecoder:
    # Numbers keep their literal text: 18 digits must not pass through a float.
    return json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


def _array(content: str) -> Iterator[Row]:
    decoder = _decoder()
    at, line, counted = content.index("[") + 1, 1, 0
    while True:
        while at < len(content) and content[at] in " \t\r\n,":
            at += 1
        line += content.count("\n", counted, at)
        counted = at
        if at >= len(content):
            raise _broken("JSON", line)
        if content[at] == "]":
            return
        try:
            value, at = decoder.raw_decode(content, at)
        except json.JSONDecodeError as e:
            raise _broken("JSON", e.lineno) from e
        yield line, _cells(value)


def _lines(content: str) -> Iterator[Row]:
    decoder = _decoder()
    for number, text in enumerate(content.split("\n"), start=1):
        if not text.strip():
            continue
        try:
            yield number, _cells(decoder.decode(text.strip()))
        except json.JSONDecodeError:
            yield number, None


def _cells(value: Any) -> dict[str, str | None] | None:
    if not isinstance(value, dict):
        return None
    return {
        k: None
        if v is None
        else ("true" if v else "false")
        if isinstance(v, bool)
        else v
        if isinstance(v, str)
        else json.dumps(v, ensure_ascii=False)
        for k, v in value.items()
    }


def _write(rows: list[Row], target: Path, fields: Mapping[str, str], form: str, encoding: str | None) -> Decoded:
    headers = list(dict.fromkeys(h for _, cells in rows if cells for h in cells))
    if form == "jsonl" and not any(cells for _, cells in rows):
        raise _broken("JSON", 1)
    if rows:
        check_layout(headers, fields)
    known = {h: fields[normalise_header(h)] for h in headers if normalise_header(h) in fields}
    columns = list(known.values())
    faults = []
    with StagedWriter(target, columns) as writer:
        for line, cells in rows:
            if cells is None:
                faults.append(Fault("F013", line, None, "not a JSON object"))
            else:
                writer.add(line, None, [cells.get(h) or None for h in known])
        count = writer.rows
    unknown = tuple(h for h in headers if h not in known)
    return Decoded(count, count + len(faults), 0, 0, form, encoding, None, tuple(columns), unknown, tuple(faults))
