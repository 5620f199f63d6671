"""What the life of records costs a night: nights with 1 % of the stored records corrected, without and with events
about another 1 %, as a ratio; and against nights that know nothing of it.

Night 0 brings corrections alone to a home whose catalogue has no clocks, no retention and no events; night A brings the
same to one that follows the catalogue. They take turns, and the median of each counts. On the home of A night B brings
as many corrections and the events, night C corrections again while the events of B are in force, night D nothing at all
on a day on which nothing is due. All stand on the same stored records.

    .venv/bin/python -m tests.benchmarks.life 10000000
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import schemas.load
from pipelines import run, sampling
from pipelines.model import Home
from pipelines.query import query
from tests.benchmarks.nightly import processor_seconds
from tests.conftest import discard
from tests.test_life import CATALOG, SAID

ITEM, SENDER = "traffic_penalty", "public_security"
PIECE = 1_000_000
FIRST = date(2026, 11, 1)
SHARE = 100  # one record of so many
TURNS = 3


def lifeless(target: Path) -> Path:
    """A copy of the catalogue in which no record of the item ends, is marked, or has a last day."""
    shutil.copytree(schemas.load.CATALOG, target)
    for item in CATALOG.items.values():
        if item.refers:
            (target / f"items/{item.code}.toml").unlink()
            (target / f"headers/{item.code}.csv").unlink(missing_ok=True)
    for file, said, instead in (
        (f"items/{ITEM}.toml", 'document = "decision_no"\n', ""),
        ("policy/lifecycle.toml", 'value = ["adverse"]', "value = []"),
    ):
        text = (target / file).read_text(encoding="utf-8")
        assert text.count(said) == 1, f"{file} does not say {said!r} any more"
        (target / file).write_text(text.replace(said, instead), encoding="utf-8")
    return target


def stored(homes: dict[Home, Path], rows: int, copies: Path) -> list[Path]:
    """Nights that fill the stores of all homes with the same; the files they brought."""
    files = []
    first, *others = homes
    for n in range(0, rows, PIECE):
        day = FIRST + timedelta(len(files))
        sampling.generate(first.root, rows=min(PIECE, rows - n), seed=100 + len(files), as_of=day, items=(ITEM,))
        (source,) = [p for p in first.inbox.glob("*/*/*") if p.suffix == ".csv"]
        files.append(copies / f"{len(files)}.csv")
        shutil.copyfile(source, files[-1])
        for home in others:
            (home.inbox / SENDER / ITEM).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(first.root / "sample.json", home.root / "sample.json")
            for part in source.parent.glob(f"{source.name}*"):
                shutil.copyfile(part, home.inbox / SENDER / ITEM / part.name)
        for home, catalogue in homes.items():
            started = time.perf_counter()
            nightly(home, day, catalogue)
            print(f"stored {n + PIECE:,} in {home.root.name}: {time.perf_counter() - started:.1f} s", flush=True)
    return files


def some(files: list[Path], offset: int, share: int = SHARE) -> Iterator[dict[str, str]]:
    """One row of `share` of what was stored, another one for each offset."""
    for file in files:
        with file.open(encoding="utf-8-sig", newline="") as f:
            for row in islice(csv.DictReader(f), offset, None, share):
                if None not in row and None not in row.values():  # a planted row of another width has no cells by name
                    yield row


def write(home: Home, sender: str, item: str, rows: Iterator[dict[str, str]], **manifest: Any) -> int:
    folder = home.inbox / sender / item
    folder.mkdir(parents=True, exist_ok=True)
    first = next(rows)
    count = 1
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as f:
        out = csv.DictWriter(f, list(first))
        out.writeheader()
        out.writerow(first)
        for row in rows:
            out.writerow(row)
            count += 1
    (folder / "rows.csv.manifest.json").write_text(json.dumps(manifest))
    return count


def corrected(row: dict[str, str]) -> dict[str, str]:
    return row | {"违法地点": "示例路口", "更新时间": "2026-11-20 08:00:00"}


def events(rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    item = "withdrawal_event"
    for n, row in enumerate(rows):
        cells = {
            "subject_name": row["当事人姓名"], "certificate_type": row["证件类型"], "credit_number": row["证件号码"],
            "referred_department": SENDER, "referred_item": ITEM, "referred_document_no": row["处罚决定书编号"],
            **SAID[item], "basis_no": f"琼撤〔2026〕{n}号", "effective_date": "2026-11-01", "basis_date": "2026-11-01",
        }  # fmt: skip
        yield {CATALOG.items[item].field(f).label_zh: value for f, value in cells.items()}


def nightly(home: Home, day: date, catalogue: Path) -> dict[str, Any]:
    schemas.load.CATALOG = catalogue
    os.environ["QIONGXIN_CATALOG"] = str(catalogue)  # of the processes that the night starts
    told = run.nightly(home.root, day, lambda line: print("  ", line) if "gate" in line else None)
    assert told["exit_code"] == 0, told
    return told


def night(home: Home, day: date, catalogue: Path) -> dict[str, Any]:
    used, started = processor_seconds(home), time.perf_counter()
    told = nightly(home, day, catalogue)
    spent = {"wall": time.perf_counter() - started, "processor": processor_seconds(home) - used}
    return spent | {"seconds": told["seconds"]}


def main(rows: int) -> None:
    place = Path(tempfile.mkdtemp(prefix="qiongxin-life-", dir="/var/tmp"))
    home, plain = Home(place / "home"), Home(place / "plain")
    homes = {home: schemas.load.CATALOG, plain: lifeless(place / "catalog")}
    try:
        files = stored(homes, rows, place)
        day = FIRST + timedelta(len(files))
        turns: dict[str, list[dict[str, Any]]] = {"0": [], "A": []}
        for n in range(TURNS):
            again = {"period": FIRST.isoformat(), "sequence": 2 + n}  # a supplement has no usual size
            for name, of in (("0", plain), ("A", home)) if n % 2 else (("A", home), ("0", plain)):
                write(of, SENDER, ITEM, map(corrected, some(files, 10 + n)), **again)
                turns[name].append(night(of, day + timedelta(n), homes[of]))
                print(name, json.dumps(turns[name][-1]), flush=True)
        found: dict[str, dict[str, float]] = {
            name: {k: statistics.median(t[k] for t in of) for k in ("wall", "processor")} for name, of in turns.items()
        }
        for n, name in enumerate("BCD", start=TURNS):
            if name != "D":
                again = {"period": FIRST.isoformat(), "sequence": 2 + n}
                write(home, SENDER, ITEM, map(corrected, some(files, 10 + n)), **again)
            if name == "B":
                print(f"events: {write(home, SENDER, 'withdrawal_event', events(some(files, 50))):,}")
            found[name] = night(home, day + timedelta(n), homes[home])
            print(name, json.dumps(found[name]), flush=True)
        for name, floor in (("A", "0"), ("B", "A"), ("C", "A"), ("D", "A")):
            ratio = {k: round(found[name][k] / found[floor][k], 2) for k in ("wall", "processor")}
            print(f"{name}/{floor}: {ratio['wall']}x wall, {ratio['processor']}x processor")
        sql = f"SELECT (SELECT count(*) FROM records.{ITEM}), (SELECT count(*) FROM ended.{ITEM})"
        schemas.load.CATALOG = homes[home]
        print("shared, ended:", query(home.root, sql, None)[1])
    finally:
        discard(home.root)
        discard(plain.root)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
