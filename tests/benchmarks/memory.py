"""What memory a night needs for one delivery of more and more rows, and that a limit below the file's size is enough.

Each size is a night of `qiongxin nightly` in a process of its own on an empty home. Told are its wall time (a bit too
long, as the night is looked at once a second), the size of the file, the largest resident memory of its processes
together, without the database server, and that of the server. With `--limit`, in megabytes, the processes of the night
together, with what the system keeps of the files that they read, get no more than that (a control group, which takes
root): a night that ends well has shown that it needs no more. The database server is outside of it.

    .venv/bin/python -m tests.benchmarks.memory [--limit 2000] 1000000 10000000
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import psutil

from pipelines import sampling
from pipelines.model import Home
from pipelines.stores import postgres
from tests.benchmarks.nightly import tree
from tests.conftest import discard

ITEM, DAY = "traffic_penalty", date(2026, 11, 21)
MB = 1_000_000


@contextmanager
def bounded(limit: int | None) -> Iterator[Path | None]:
    """The file that takes the number of a process which is to have `limit` megabytes, with all that it starts."""
    if limit is None:
        yield None
        return
    groups = Path("/sys/fs/cgroup")
    is_second = (groups / "cgroup.controllers").exists()
    group = (groups if is_second else groups / "memory") / f"qiongxin-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.max" if is_second else "memory.limit_in_bytes")).write_text(str(limit * MB))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def unshared(processes: list[psutil.Process]) -> int:
    """Resident bytes of processes; what several share is counted once, as far as the system tells."""
    total = 0
    for p in processes:
        with suppress(psutil.Error):
            total += p.memory_full_info().pss
    return total


def measure(rows: int, limit: int | None) -> dict[str, object]:
    place = Path(tempfile.mkdtemp(prefix="qiongxin-memory-", dir="/var/tmp"))
    home = Home(place / "home")
    try:
        sampling.generate(home.root, rows=rows, seed=11, as_of=DAY, items=(ITEM,))
        (source,) = [p for p in home.inbox.glob("*/*/*") if p.suffix == ".csv"]
        size = source.stat().st_size
        postgres.up(home.root)
        command = [sys.executable, "-m", "pipelines.cli", "nightly", "--home", str(home.root), "--date", str(DAY)]
        started = time.perf_counter()
        with (place / "said").open("w") as said, bounded(limit) as group:
            bound = (lambda: group.write_text(str(os.getpid()))) if group else None
            done = subprocess.Popen(command, stdout=said, stderr=said, preexec_fn=bound)
            night, ours, theirs = psutil.Process(done.pid), 0, 0
            while done.poll() is None:
                with suppress(psutil.Error):
                    ours = max(ours, unshared([night, *night.children(recursive=True)]))
                theirs = max(theirs, unshared(tree(home)[1:]))
                for taken in home.inbox.glob("*/*/.taken/*"):  # raw/ has the same bytes, and a disk holds them once
                    taken.unlink()
                time.sleep(1)
        if done.returncode:
            raise SystemExit(f"the night of {rows:,} rows ended with {done.returncode}: {(place / 'said').read_text()}")
        return {"rows": rows, "file_mb": size // MB, "wall": round(time.perf_counter() - started, 1),
                "night_mb": ours // MB, "database_mb": theirs // MB}  # fmt: skip
    finally:
        discard(home.root)
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    asked.add_argument("--limit", type=int, help="megabytes that the night may have, its cache of files included")
    said = asked.parse_args()
    print("| rows | file MB | wall s | night MB | database MB |\n|--:|--:|--:|--:|--:|")
    for rows in said.rows:
        t = measure(rows, said.limit)
        cells = (f"{rows:,}", t["file_mb"], t["wall"], t["night_mb"], t["database_mb"])
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
