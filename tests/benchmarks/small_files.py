"""One night over many small files, against a real PostgreSQL: seconds per file, by step.

Run: `PYTHONPATH=. python tests/benchmarks/small_files.py [FILES] [--items all] [--jobs N] [--profile FILE]`.
FILES (500) files of 100 rows, of the items of `tests.conftest.SHAPES` or of all, from up to three departments each, in
every format that `sample` writes. The first night of a home also makes its database, tables and compiled items: it is
held before, over one file of each department and item, and not counted.

`--profile` writes the statistics of cProfile of this process (with --jobs 1 of all), which by itself makes a night half
as long again.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from pipelines import run, sampling
from pipelines.model import Home
from pipelines.sampling.rows import read_catalogue
from pipelines.stores import postgres
from tests.benchmarks.nightly import processor_seconds
from tests.conftest import SHAPES, discard

ROWS = 100
FIRST, DAY = date(2026, 11, 1), date(2026, 11, 22)
def fill(home: Path, files: int, items: tuple[str, ...], as_of: date, seed: int) -> int:
    """Fill the inboxes with at least `files` files of about 100 rows, then take away what is too much."""
    known = read_catalogue(sampling.CATALOG).items
    a_night = sum(min(len(known[i]["providers"]), sampling.PROVIDERS_AT_MOST) for i in items)
    nights = -(-files // a_night)
    # An item's rows are shared by its departments: one with a single department would get files of 300 rows.
    for n, item in enumerate(items):
        providers = min(len(known[item]["providers"]), sampling.PROVIDERS_AT_MOST)
        rows = ROWS * providers * nights
        sampling.generate(home, rows=rows, seed=seed + n, items=(item,), nights=nights, as_of=as_of)
    made = sorted(p for p in home.glob("inbox/*/*/*") if p.is_file() and not p.name.endswith(".manifest.json"))
    for path in made[files:]:
        path.with_name(path.name + ".manifest.json").unlink()
        path.unlink()
    return min(files, len(made))


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("files", type=int, nargs="?", default=500)
    asked.add_argument("--items", default="shapes")
    asked.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    asked.add_argument("--profile", default="")
    said = asked.parse_args()
    items = tuple(read_catalogue(sampling.CATALOG).items) if said.items == "all" else SHAPES
    home = Path(tempfile.mkdtemp(prefix="qiongxin-small-")) / "home"
    home.mkdir()
    try:
        postgres.up(home)
        for n, item in enumerate(items):
            sampling.generate(home, rows=ROWS, seed=900 + n, items=(item,), as_of=FIRST)
        import great_expectations  # noqa: F401  (once a night, however many files)

        run.nightly(home, FIRST)
        files = fill(home, said.files, items, DAY, 1)
        sent = [p for p in home.glob("inbox/*/*/*") if p.is_file() and not p.name.endswith(".manifest.json")]
        formats = Counter(p.suffix for p in sent)
        profiler = cProfile.Profile()
        before, started, cpu = processor_seconds(Home(home)), time.perf_counter(), spent()
        if said.profile:
            profiler.enable()
        told = run.nightly(home, DAY, jobs=said.jobs)
        if said.profile:
            profiler.disable()
            profiler.dump_stats(said.profile)
        wall, own = time.perf_counter() - started, spent() - cpu
        every = processor_seconds(Home(home)) - before
        report(home, files, items, formats, said.jobs, (wall, own, every - own), told)
    finally:
        discard(home)
        shutil.rmtree(home.parent, ignore_errors=True)


def spent() -> float:
    """Processor seconds of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def report(
    home: Path, files: int, items: tuple[str, ...], formats: Counter[str], jobs: int,
    spent: tuple[float, float, float], told: dict[str, Any],
) -> None:  # fmt: skip
    states: Counter[str] = Counter()
    with run.open_night(home, DAY) as opened:
        for row in opened.ledger.deliveries():
            states[row["state"]] += 1
    wall, own, server = spent
    departments = len({p.name for p in Home(home).outbox.iterdir()})
    print(f"{files} files, {len(items)} items, {departments} departments, {dict(formats)}, {dict(states)}")
    print(f"release {told['release']}, {jobs} of {psutil.cpu_count()} processors, load {psutil.getloadavg()[0]:.1f}")
    print("| step | wall s | s/file |")
    print("|---|--:|--:|")
    for step, seconds in told["seconds"].items():
        print(f"| {step} | {seconds:.1f} | {seconds / files:.3f} |")
    print(f"| night | {wall:.1f} | {wall / files:.3f} |")
    print(f"processor seconds: {own:.1f} ({own / files:.3f} a file), database server {server:.1f}")
    print(json.dumps({"files": files, "wall_per_file": round(wall / files, 4), "cpu_per_file": round(own / files, 4)}))


if __name__ == "__main__":
    main()
