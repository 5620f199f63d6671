"""`qiongxin check` of a file of 100 rows as a clerk runs it: from the start of the process to its end.

Twice: with nothing kept, as the first check of a machine is, and again, as every one after it is. The target is 1.5 s.

    .venv/bin/python -m tests.benchmarks.start [TIMES]
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from pipelines import sampling

ITEM = "administrative_penalty"


def main(times: int) -> None:
    place = Path(tempfile.mkdtemp(prefix="qiongxin-start-", dir="/var/tmp"))
    try:
        sampling.generate(place / "sample", rows=230, seed=1, as_of=date(2026, 11, 21), items=(ITEM,))
        source = next(p for p in (place / "sample/inbox").glob("*/*/*") if p.suffix == ".csv")
        sender, seconds = source.parts[-3], []
        for _ in range(times + 1):
            command = [sys.executable, "-m", "pipelines.cli", "check", str(source), "--item", ITEM]
            command += ["--department", sender, "--home", str(place / "sample"), "--out", str(place)]
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds.append(time.perf_counter() - started)
            if done.returncode not in (0, 1):
                raise SystemExit(f"check ended with {done.returncode}: {done.stdout}{done.stderr}")
        with source.open("rb") as f:
            rows = sum(1 for _ in f) - 1
        print(f"{rows} rows; first {seconds[0]:.2f} s, then {statistics.median(seconds[1:]):.2f} s (median of {times})")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
