"""All that docs/benchmarks.md tells, in one run: `python -m tests.benchmarks [NAME…]`, or `make bench BENCH='NAME…'`.

Each benchmark is a module of this folder and runs in a process of its own, one after the other, with the arguments that
the page was made with. `--list` says which there are. One that fails does not keep the others
from running, but the exit code says so.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
# name -> the arguments of each of its runs, and what it measures
ALL = {
    "nightly": (
        ("1000000 5", "1000000 5 --encoding gb18030", "5000000 3 --stored 20000000"),
        "receive→curate and load against the floors of disk and database",
    ),
    "corpus": (("",), "one dirty file, judged by this house, by SQL written by hand and by three tools"),
    "readers": (("1000000 5",), "each format: megabytes, rows, memory"),
    "small_files": (("500",), "a night of many small files"),
    "worst": (("200000",), "every row bad, twice, withdrawn, of one subject, of 80 fields"),
    "growth": (
        ("1000000 10000000 30000000", "--item identity_reference 1000000 5000000"),
        "the same changes on top of more and more stored records",
    ),
    "life": (("10000000",), "what events about records cost a night"),
    "memory": (
        ("1000000 10000000", "--limit 2000 1000000 10000000 25000000"),
        "what memory deliveries of more and more rows need",
    ),
    "start": (("",), "`qiongxin check` of a file of 100 rows, from the first instruction to the last"),
    "catalogue": (("",), "what a task pays for the catalogue"),
    "workbook": (("",), "reading a workbook against calamine alone"),
    "orchestration": (("60 1000 1",), "the scheduler against the command"),
    "cluster": (("200000",), "a night on a Spark cluster against one machine"),
}  # fmt: skip
USED = ("duckdb", "pyarrow", "pandas", "great-expectations", "apache-airflow-core", "adbc-driver-postgresql")


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n")[0])
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"which, all by default: {', '.join(ALL)}")
    asked.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    said = asked.parse_args()
    if unknown := [name for name in said.names if name not in ALL]:
        asked.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(ALL)}")
    if said.list:
        for name, (runs, what) in ALL.items():
            for arguments in runs:
                print(f"{name:14} {arguments:40} {what}")
        return 0
    machine()
    failed = []
    for name in said.names or ALL:
        runs, what = ALL[name]
        for arguments in runs:
            print(f"\n## {name} {arguments}: {what} (load {psutil.getloadavg()[0]:.1f}, {loop():.2f} s)\n", flush=True)
            started = time.perf_counter()
            command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments.split()]
            done = subprocess.run(command, cwd=ROOT, check=False)
            print(f"\n{name}: {time.perf_counter() - started:.0f} s, exit {done.returncode}", flush=True)
            failed += [name] if done.returncode else []
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def machine() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    memory = psutil.virtual_memory().total / 1e9
    print(f"{cpu}, {psutil.cpu_count()} processors, {memory:.0f} GB, {platform.platform()}")
    used = ", ".join(f"{name} {version(name)}" for name in USED)
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    print(f"Python {platform.python_version()}, {used}; commit {commit or 'unknown'}")


def loop() -> float:
    """Seconds of 20 million additions in Python: how fast the machine is just now."""
    started, total = time.perf_counter(), 0
    for n in range(20_000_000):
        total += n
    return time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(main())
