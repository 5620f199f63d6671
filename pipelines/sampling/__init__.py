"""Invented deliveries with known faults: `generate` fills the inboxes of a home and writes down what it planted.

Shares no code with the rules, so that a fault in a rule cannot hide behind the same fault here; of the catalogue it
reads the declarations (labels, types, ranges, code sets), as a department would read the printed standard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from pipelines.sampling.defects import Defects, clean_before
from pipelines.sampling.persons import Ints, Persons, salt
from pipelines.sampling.rows import DAY_FORMS, Rows, chance, read_catalogue
from pipelines.sampling.writers import FORMATS, SHEET, WORKBOOK_ROWS, Format, open_writer, sha256

CATALOG = Path(os.environ.get("QIONGXIN_CATALOG") or Path(__file__).parents[2] / "catalog")
CHUNK = 200_000
FORMAT_ORDER = ("csv_gb18030", "workbook", "lines", "csv_bom", "tab", "xml", "semicolon", "array", "pipe", "csv")
OVERLAPPING = ("administrative_penalty", ("market_supervision", "haikou", "danzhou"))
PROVIDERS_AT_MOST = 3
MINIMUM_BIRTH_YEAR = 1850

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Block:
    """Serial numbers [start, stop) of an item, sent in one version."""

    start: int
    stop: int
    version: int = 0

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Shipment:
    """One delivery to be written."""

    department: str
    item: str
    format: Format
    day_form: str
    header: int
    period: date
    sequence: int
    blocks: tuple[Block, ...]

    @property
    def rows(self) -> int:
        return sum(b.rows for b in self.blocks)


def generate(
    home: Path,
    *,
    rows: int,
    seed: int,
    dirty: float = 0.02,
    items: Sequence[str] | None = None,
    nights: int = 1,
    as_of: date,
    progress: Progress | None = None,
    catalog: Path = CATALOG,
) -> Path:
    """Write `rows` data rows as deliveries under home/inbox, each with its manifest; returns the path of truth.json.

    `dirty` is the fraction of rows with one planted defect. With several `nights` the rows are spread over periods that
    end on `as_of`; a later night also sends rows of the night before again, some unchanged, some changed. `progress` is
    called with the number of rows just written. Same arguments and catalogue, same bytes. Memory does not grow with
    `rows`. Unknown items raise ValueError. Marks the home as a sample home (sample.json).
    """
    known = read_catalogue(catalog)
    chosen = list(items) if items else list(known.items)
    if missing := [i for i in chosen if i not in known.items]:
        raise ValueError(f"--items: no item {', '.join(missing)} in the catalogue. Known: {', '.join(known.items)}.")
    if not chosen:
        raise ValueError("catalog/items: no items declared. Add one before making samples.")
    home.mkdir(parents=True, exist_ok=True)
    mark = {"seed": seed, "minimum_birth_year": MINIMUM_BIRTH_YEAR}
    (home / "sample.json").write_text(json.dumps(mark) + "\n", encoding="utf-8")
    persons = Persons(seed)
    pool = max(100, rows // 3)
    truth = home / "truth.json"
    with truth.with_name("truth.json.part").open("w", encoding="utf-8", newline="\n") as out:
        out.write('{"deliveries": [')
        first = True
        for code, share in shares(chosen, rows).items():
            made = Rows(known.items[code], known, persons, seed, as_of)
            for shipment in shipments(made.item, list(known.items).index(code), share, nights, as_of):
                out.write("\n" if first else ",\n")
                write(home, shipment, made, pool, seed, dirty, out, progress)
                first = False
        out.write("\n]}\n")
    os.replace(truth.with_name("truth.json.part"), truth)
    return truth


def examples(items: Sequence[str], *, rows: int, seed: int, as_of: date) -> dict[str, list[dict[str, str]]]:
    """A few rows of each item by field, without a defect, as a careful department writes them: names of codes, plain
    dates. An empty cell is an empty text. Same arguments and catalogue, same rows."""
    known = read_catalogue(CATALOG)
    names: dict[str, dict[str, tuple[str, ...]]] = {
        name: {code: (writings[1:2] or writings) * 2 for code, writings in codes.items()}
        for name, codes in known.codes.items()
    }
    plain = replace(known, codes=names)
    persons, serials = Persons(seed), np.arange(rows, dtype=np.int64)
    found = {}
    for code in items:
        made = Rows(plain.items[code], plain, persons, seed, as_of)
        columns = made.columns(serials, np.zeros_like(serials), max(100, rows), DAY_FORMS[0], serials)
        cells = {name: [text or "" for text in column.to_pylist()] for name, column in columns.items()}
        found[code] = [{name: texts[n] for name, texts in cells.items()} for n in range(rows)]
    return found


def shares(items: Sequence[str], rows: int) -> dict[str, int]:
    """Rows of each item: half for traffic_penalty, the rest in equal parts; the parts add up to `rows`."""
    weights = [len(items) - 1 if i == "traffic_penalty" and len(items) > 1 else 1 for i in items]
    return dict(zip(items, split(rows, weights), strict=True))


def split(rows: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of `rows` in proportion to `weights`."""
    total, ends, seen = sum(weights), [0], 0
    for weight in weights:
        seen += weight
        ends.append(rows * seen // total)
    return [b - a for a, b in zip(ends, ends[1:], strict=False)]


def shipments(item: dict[str, Any], place: int, rows: int, nights: int, as_of: date) -> Iterator[Shipment]:
    """The deliveries of one item: every provider, every night; earliest night first."""
    code, providers = item["code"], item["providers"][:PROVIDERS_AT_MOST]
    overlaps = code == OVERLAPPING[0]
    if overlaps:
        providers = [p for p in OVERLAPPING[1] if p in item["providers"]] or providers
    per_night = split(rows, [1] * nights)
    next_serial = 0
    before: dict[str, Block] = {}
    for night, tonight in enumerate(per_night):
        lead: Block | None = None
        for n, (department, count) in enumerate(zip(providers, split(tonight, [1] * len(providers)), strict=True)):
            again: list[Block] = []
            if last := before.get(department):
                same = min(last.rows, count // 10)
                changed = min(last.rows - same, count // 10)
                again += [Block(last.start, last.start + same)]
                again += [Block(last.start + same, last.start + same + changed, 1)]
            if overlaps and lead is not None:
                shared = min(lead.rows, count * 3 // 10)
                unlike = min(lead.rows - shared, count // 50)
                again += [Block(lead.start, lead.start + shared)]
                again += [Block(lead.start + shared, lead.start + shared + unlike, 1)]
            fresh = count - sum(b.rows for b in again)
            own = Block(next_serial, next_serial + fresh)
            next_serial += fresh
            before[department], lead = own, lead or own
            if count:
                yield Shipment(
                    department, code, format_of(code, place + n, count), DAY_FORMS[(place + n) % len(DAY_FORMS)], n,
                    as_of - timedelta(nights - 1 - night), night + 1, (own, *(b for b in again if b.rows)),
                )  # fmt: skip


def format_of(item: str, place: int, rows: int) -> Format:
    """Each department keeps to its format; big deliveries do not fit a worksheet and come as CSV."""
    if item == "traffic_penalty":
        return FORMATS["csv"]
    form = FORMATS[FORMAT_ORDER[place % len(FORMAT_ORDER)]]
    return FORMATS["csv_gb18030"] if form.kind == "workbook" and rows > WORKBOOK_ROWS else form


def chunks(blocks: Sequence[Block]) -> Iterator[tuple[Ints, Ints]]:
    """Serial numbers and versions in the order of the file, at most CHUNK rows at a time."""
    for block in blocks:
        for start in range(block.start, block.stop, CHUNK):
            serials = np.arange(start, min(start + CHUNK, block.stop), dtype=np.int64)
            yield serials, np.full(len(serials), block.version, dtype=np.int64)


def headers_of(rows: Rows, turn: int) -> list[str]:
    """Labels as the catalogue prints them; every other department uses the first other name it knows."""
    found = []
    for spec in rows.fields.values():
        aliases = spec.get("aliases", [])
        found.append(str(aliases[0] if turn % 2 and aliases else spec["label_zh"]))
    return found


def quoted_of(rows: Rows) -> list[bool]:
    """Free text, codes and made-up words are quoted; numbers, dates and names are not."""
    plain = ("credit_number", "name")
    return [s["type"] in ("text", "code") and s.get("role", "attribute") not in plain for s in rows.fields.values()]


def write(
    home: Path,
    shipment: Shipment,
    rows: Rows,
    pool: int,
    seed: int,
    dirty: float,
    out: TextIO,
    progress: Progress | None,
) -> None:
    """Write one delivery with its manifest, and its truth to `out`; the file appears whole, before its manifest."""
    s = shipment
    folder = home / "inbox" / s.department / s.item
    folder.mkdir(parents=True, exist_ok=True)
    title = str(rows.item["name_zh"]).replace("/", "、")
    path = folder / f"{title}_{s.period:%Y%m%d}_{s.sequence:02d}.{s.format.extension}"
    part = path.with_name(f".{path.name}.part")
    defects = Defects(rows, delimited=s.format.kind == "delimited")
    mark = salt(seed, s.department, s.item, s.period, s.sequence)
    head = {"department": s.department, "item": s.item, "file": path.relative_to(home).as_posix(), "rows": s.rows}
    out.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "defects": [')
    writer = open_writer(s.format, part, headers_of(rows, s.header), quoted_of(rows), s.period)
    sheet = SHEET if s.format.kind == "workbook" else None
    planted = done = 0
    for serials, versions in chunks(s.blocks):
        hit: npt.NDArray[np.bool_] = chance(np.arange(done, done + len(serials), dtype=np.int64), mark) < dirty
        hits = np.flatnonzero(hit).astype(np.int64)
        plan = defects.plan(hits, planted, mark)
        struck = set(hits.tolist())
        for twice in plan.at("D001").tolist():
            source = clean_before(twice, struck)
            serials[twice] = serials[source if source is not None else twice]
        resident = np.setdiff1d(hits, plan.at("D001"))
        columns = rows.columns(serials, versions, pool, s.day_form, resident)
        defects.spoil(plan, columns, serials, s.day_form, mark)
        lines = writer.write(list(columns.values()), plan.at("F007"))
        for position, code, field in zip(plan.positions, plan.codes, plan.fields, strict=True):
            defect = {"line": int(lines[position]), "sheet": sheet, "field": field, "code": code}
            out.write((",\n " if planted else "\n ") + json.dumps(defect, ensure_ascii=False))
            planted += 1
        done += len(serials)
        if progress is not None:
            progress(len(serials))
    writer.close()
    out.write("]}")
    os.replace(part, path)
    manifest = {
        "rows": s.rows, "sha256": sha256(path), "period": s.period.isoformat(), "sequence": s.sequence,
        "mode": "incremental", "nil": False,
    }  # fmt: skip
    sidecar = path.with_name(f"{path.name}.manifest.json")
    sidecar.write_text(json.dumps(manifest, ensure_ascii=False) + "\n", encoding="utf-8")


__all__ = ["CATALOG", "examples", "generate"]
