"""What the history of an item costs a night: the same 100,000 changed records on top of more and more stored ones.

A home is filled to each size in turn; on each, a few nights bring changed records: four fifths of them among the newest
tenth of what is stored, 15 % among the newest half, the others anywhere, and one in a hundred with another day of
decision. Of an item without event date they are anywhere. Told are the median of wall and processor time, by step, its
ratio to the first size, and what lies on the disk then.

    .venv/bin/python -m tests.benchmarks.growth 1000000 10000000
    .venv/bin/python -m tests.benchmarks.growth --item identity_reference 1000000 3000000
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import schemas.load
from pipelines import sampling
from pipelines.model import Home
from pipelines.night import open_night
from pipelines.query import query
from pipelines.stages import sweep
from tests.benchmarks.life import FIRST, PIECE, corrected, night, nightly, write
from tests.conftest import discard

CHANGED, NIGHTS = 100_000, 3
FILES = 89  # whose documents bear different numbers, by their seeds (pipelines/sampling/rows.py)
Row = dict[str, str]


def ticket(row: Row, at: int, n: int) -> Row:
    """The row of number `at` as it is corrected in night `n`."""
    row = corrected(row) | {"违法事实": f"示例{n}"}
    return row | {"处罚决定日期": "2026-10-30"} if at % 100 == 0 else row


def reference(row: Row, at: int, n: int) -> Row:
    return row | {"签发机关": f"示例机关{n}", "更新时间": "2026-11-20 08:00:00"}


@dataclass(frozen=True)
class Kind:
    """What is stored, and which of it changes: `strata`, from which part of what is stored on which share of it."""

    sender: str
    strata: tuple[tuple[float, float], ...]
    changed: Callable[[Row, int, int], Row]


KINDS = {
    "traffic_penalty": Kind("public_security", ((0.9, 0.80), (0.5, 0.15), (0.0, 0.05)), ticket),
    "identity_reference": Kind("public_security", ((0.0, 1.0),), reference),
}


@dataclass(frozen=True)
class Change:
    """A night of changed records: which of the stored ones, by their numbers from the oldest on, and the file of them
    as they were sent, which grows while the home is filled."""

    n: int
    numbers: set[int]
    rows: Path


def filled(home: Home, item: str, pieces: range, changes: list[Change], place: Path) -> None:
    """Nights of new records, one for each of these pieces of what is to be stored. Of what they brought the rows that
    will change are kept, and nothing else but what the house needs: with the bytes as they were sent and with what was
    accepted of them, which a real house sweeps in its time, a hundred million records would not fit the disk."""
    for piece in pieces:
        day, started = FIRST + timedelta(piece), time.perf_counter()
        sampling.generate(home.root, rows=PIECE, seed=100 + piece, as_of=day, items=(item,))
        (source,) = [p for p in home.inbox.glob("*/*/*") if p.suffix in (".csv", ".json")
                     and not p.name.endswith(".manifest.json")]  # fmt: skip
        read = source
        if source.suffix != ".csv":
            as_csv(source, read := place / "piece.csv")
        take(read, piece * PIECE, changes)
        nightly(home, day, schemas.load.CATALOG)
        with open_night(home.root, day) as night:
            days = dict.fromkeys(sweep.PLACES, 10**6) | dict.fromkeys(("raw", "taken", "accepted"), -1)
            sweep.sweep(home, night.ledger, days, day)
        free = shutil.disk_usage(place).free // 10**9
        print(f"stored {piece + 1} pieces: {time.perf_counter() - started:.1f} s, {free} GB free", flush=True)


def take(file: Path, begin: int, changes: list[Change]) -> None:
    """Keep the rows of a file that will change; its first one has the number `begin`."""
    with file.open(encoding="utf-8-sig", newline="") as f, ExitStack() as opened:
        out = [csv.writer(opened.enter_context(c.rows.open("a", encoding="utf-8", newline=""))) for c in changes]
        reader = csv.reader(f)
        header = next(reader)
        for change, writer in zip(changes, out, strict=True):
            if not change.rows.stat().st_size:
                writer.writerow(["", *header])
        for at, cells in enumerate(reader, start=begin):
            for change, writer in zip(changes, out, strict=True):
                if at in change.numbers and len(cells) == len(header):  # a planted row may have another width
                    writer.writerow([at, *cells])


def as_csv(source: Path, target: Path) -> None:
    """A JSON array with an object on each line as CSV, which is read faster, night after night."""
    with source.open(encoding="utf-8") as read, target.open("w", encoding="utf-8", newline="") as written:
        rows = (json.loads(line.rstrip().rstrip(",")) for line in read if line.startswith("{"))
        first = next(rows)
        out = csv.DictWriter(written, list(first), extrasaction="ignore")
        out.writeheader()
        out.writerow(first)
        out.writerows(rows)


def chosen(rng: random.Random, stored: int, strata: tuple[tuple[float, float], ...]) -> set[int]:
    """Which of the stored rows change, by their numbers from the oldest on."""
    found: set[int] = set()
    for since, share in strata:
        wanted = len(found) + int(CHANGED * share)
        while len(found) < wanted:
            found.add(rng.randrange(int(since * stored), stored))
    return found


def changed(kind: Kind, change: Change) -> Iterator[Row]:
    with change.rows.open(encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            at = int(row.pop(""))
            yield kind.changed(row, at, change.n)


def room(home: Home) -> dict[str, int]:
    """Megabytes of data files, of what Iceberg tells of them, and of the database."""
    files = [p for p in (home.root / "curated").rglob("*") if p.is_file()]
    once = {p.stat().st_ino: p for p in files}.values()  # a statement that a record shows has two names
    data = sum(p.stat().st_size for p in once if p.suffix == ".parquet")
    base = Path(json.loads((home.root / "postgres.json").read_text())["data"])
    database = sum(p.stat().st_size for p in base.rglob("*") if p.is_file())
    told = sum(p.stat().st_size for p in once if p.suffix != ".parquet")
    return {"parquet": data // 10**6, "iceberg": told // 10**6, "postgresql": database // 10**6}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("sizes", type=int, nargs="*", default=[1_000_000, 10_000_000])
    asked.add_argument("--item", choices=KINDS, default="traffic_penalty")
    said = asked.parse_args()
    if max(said.sizes) > FILES * PIECE:
        asked.error(f"no more than {FILES * PIECE:,}: the numbers of invented documents begin anew then")
    item, kind = said.item, KINDS[said.item]
    place = Path(tempfile.mkdtemp(prefix="qiongxin-growth-", dir="/var/tmp"))
    home, rng = Home(place / "home"), random.Random(1)
    day, first, stored = FIRST + timedelta(400), None, 0
    planned = {
        size: [Change(n, chosen(rng, size, kind.strata), place / f"{size}-{n}.csv") for n in range(NIGHTS)]
        for size in said.sizes
    }
    try:
        for size, changes in planned.items():
            still = [c for other, cs in planned.items() if other >= size for c in cs]
            filled(home, item, range(stored, -(-size // PIECE)), still, place)
            stored = -(-size // PIECE)
            nights = []
            for change in changes:
                rows = changed(kind, change)
                write(home, kind.sender, item, rows, period=FIRST.isoformat(), sequence=day.toordinal())
                nights.append(night(home, day, schemas.load.CATALOG))
                day += timedelta(1)
                print(size, json.dumps(nights[-1]), flush=True)
            found: dict[str, Any] = {k: statistics.median(t[k] for t in nights) for k in ("wall", "processor")}
            for t in nights:  # a register is folded as soon as events are, before all others
                t["seconds"]["integrate"] += t["seconds"]["events"]
            found |= {k: statistics.median(t["seconds"][k] for t in nights) for k in ("check", "integrate", "load")}
            first = first or found
            ratios = {k: round(found[k] / first[k], 2) for k in found}
            print(f"{size:,}: {json.dumps(found)}, against the first {json.dumps(ratios)}, MB {room(home)}", flush=True)
        print("records:", query(home.root, f"SELECT count(*) FROM records.{item}", None)[1])
    finally:
        discard(home.root)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
