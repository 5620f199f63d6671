"""A night of the traffic item at its worst, against the same night of a clean file with as many rows.

clean      as generated, no defect
bad        every row is rejected for its number
all bad    nearly every cell of every row is wrong
twice      every row is sent twice in the file
repeated   one row over and over
withdrawn  every row withdraws a record that nobody knows
one        all rows are about one subject
wide       80 fields instead of 22

    .venv/bin/python -m tests.benchmarks.worst 1000000 [CASE...]
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import schemas.load
from pipelines import run, sampling
from pipelines.model import Home
from pipelines.stores import postgres
from tests.benchmarks.nightly import processor_seconds
from tests.conftest import discard

ITEM, SENDER, DAY = "traffic_penalty", "public_security", date(2026, 11, 21)
WIDE = 80
Row = list[str]


def bad(rows: Any, at: dict[str, int]) -> Any:
    for row in rows:
        number = row[at["证件号码"]]
        row[at["证件号码"]] = number[:-1] + ("0" if number[-1:] != "0" else "1")  # another check digit
        yield row


def all_bad(rows: Any, at: dict[str, int]) -> Any:
    for n, row in enumerate(rows):
        yield [f"#乱{n}码" for _ in row]


def twice(rows: Any, at: dict[str, int]) -> Any:
    half = []
    for row in rows:
        yield row
        half.append(row)
        if len(half) == 1000:
            yield from half
            half = []
    yield from half


def repeated(rows: Any, at: dict[str, int]) -> Any:
    first = next(rows)
    yield first
    for _ in rows:
        yield first


def withdrawn(rows: Any, at: dict[str, int]) -> Any:
    for row in rows:
        row[at["操作类型"]] = "撤回"
        yield row


def one(rows: Any, at: dict[str, int]) -> Any:
    told = ("当事人姓名", "证件类型", "证件号码", "出生日期")
    first = next(rows)
    yield first
    for row in rows:
        for name in told:
            row[at[name]] = first[at[name]]
        yield row


def wide(rows: Any, at: dict[str, int]) -> Any:
    for n, row in enumerate(rows):
        yield [*row, *(f"{k}-{n % 9973}" for k in range(WIDE - len(at)))]


CASES: dict[str, Callable[[Any, dict[str, int]], Any] | None] = {
    "clean": None, "bad": bad, "all bad": all_bad, "twice": twice, "repeated": repeated, "withdrawn": withdrawn,
    "one": one, "wide": wide,
}  # fmt: skip


def widened(target: Path) -> Path:
    """A copy of the catalogue in which the item has 80 fields."""
    shutil.copytree(schemas.load.CATALOG, target)
    file = target / f"items/{ITEM}.toml"
    more = WIDE - len(schemas.load.load().items[ITEM].fields)
    fields = "".join(f'\n[fields.more_{n}]\nlabel_zh = "更多{n}"\nlabel_en = "More {n}"\ntype = "text"\nlength = 40\n'
                     'sensitivity = "internal"\n' for n in range(more))  # fmt: skip
    file.write_text(file.read_text(encoding="utf-8") + fields, encoding="utf-8")
    return target


def measure(case: str, rows: int) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="qiongxin-worst-", dir="/var/tmp"))
    home = Home(place / "home")
    try:
        home.root.mkdir()
        sampling.generate(home.root, rows=rows // 2 if case == "twice" else rows, seed=7, as_of=DAY, items=(ITEM,),
                          dirty=0)  # fmt: skip
        (source,) = [p for p in home.inbox.glob("*/*/*") if p.suffix == ".csv"]
        if change := CASES[case]:
            part = source.with_suffix(".part")
            with source.open(encoding="utf-8-sig", newline="") as f, part.open("w", encoding="utf-8", newline="") as g:
                lines, out = csv.reader(f), csv.writer(g)
                head = next(lines)
                at = {name: n for n, name in enumerate(head)}
                out.writerow([*head, *(f"更多{n}" for n in range(WIDE - len(head)))] if case == "wide" else head)
                out.writerows(change(lines, at))
            for other in source.parent.glob(f"{source.name}.*"):
                other.unlink()
            part.replace(source)
        if case == "wide":
            schemas.load.CATALOG = widened(place / "catalog")
            os.environ["QIONGXIN_CATALOG"] = str(schemas.load.CATALOG)
        size = source.stat().st_size
        postgres.up(home.root)
        used, started = processor_seconds(home), time.perf_counter()
        told = run.nightly(home.root, DAY)
        wall, used = time.perf_counter() - started, processor_seconds(home) - used
        peak = max(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines()
                   if line.startswith("VmHWM"))  # fmt: skip
        return {"case": case, "megabytes": round(size / 1e6), "wall": round(wall, 1), "processor": round(used, 1),
                "peak_gb": round(peak / 1e6, 2),
                "seconds": {k: round(v, 1) for k, v in told["seconds"].items()}, "exit_code": told["exit_code"],
                "outbox_mb": round(sum(p.stat().st_size for p in home.root.glob("outbox/**/*") if p.is_file()) / 1e6),
                }  # fmt: skip
    finally:
        discard(home.root)
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    rows, *asked = sys.argv[1:]
    if len(asked) == 1 and os.environ.get("QIONGXIN_CASE"):
        print(json.dumps(measure(asked[0], int(rows)), ensure_ascii=False))
        return
    clean: dict[str, Any] = {}
    for case in asked or CASES:
        command = [sys.executable, "-m", "tests.benchmarks.worst", rows, case]
        alone = os.environ | {"QIONGXIN_CASE": "1"}
        done = subprocess.run(command, env=alone, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"{case:10} failed")
            continue
        told = json.loads(done.stdout.splitlines()[-1])
        clean = clean or told
        print(f"{case:10} {told['wall'] / clean['wall']:.2f}x wall, {told['processor'] / clean['processor']:.2f}x"
              f" processor, {json.dumps(told, ensure_ascii=False)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
