"""What the scheduler costs: 60 deliveries of 1,000 rows, each of another item, by `qiongxin nightly` and by the DAGs of
the daily night, from the moment the files lie in the inboxes to the last final receipt.

    python tests/benchmarks/orchestration.py [FILES [ROWS [TIMES]]]

Prints both times, their ratio, and how many task processes and DAG runs it took; Airflow is up before either begins.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipelines import rest, sampling, stack
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger
from schemas.load import load
from tests.conftest import discard

DAY = (datetime.now(UTC) + timedelta(hours=8)).date() - timedelta(5)  # past its cut-off


def files(folder: Path, count: int, rows: int, day: date) -> Path:
    """Inboxes with one delivery of each of so many items, of as many departments as have any."""
    catalog, used = load(), set()
    made = folder / "made"
    for item in [i for i in catalog.items.values() if not i.goes_first][:count]:
        senders = len(item.providers[:8])
        sampling.generate(made, rows=rows * senders, seed=5, dirty=0.01, as_of=day, items=(item.code,))
        sent = sorted((made / "inbox").glob(f"*/{item.code}"))
        first = next((p for p in sent if p.parent.name not in used), sent[0])
        used.add(first.parent.name)
        target = folder / "inbox" / first.parent.name / item.code
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(first, target)
        shutil.rmtree(made / "inbox")
    print(f"{count} files of {rows:,} rows of {len(used)} departments", flush=True)
    return folder / "inbox"


def home_of(folder: Path, name: str) -> Path:
    home = folder / name
    home.mkdir()
    (home / "sample.json").write_text("{}")
    return home


def by_command(home: Path) -> float:
    started = time.perf_counter()
    program = [sys.executable, "-m", "pipelines.cli", "nightly", "--date", DAY.isoformat(), "--home", str(home)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def by_airflow(home: Path, inbox: Path) -> tuple[float, int, int]:
    """Seconds, tasks and runs."""
    stack.up(home)
    airflow = rest.session(home)
    for dag in ("intake", "day_ready", "integrate"):
        airflow.switch(dag, on=True)
    time.sleep(70)  # until the watcher of the inboxes looks for the first time
    started = time.perf_counter()
    shutil.copytree(inbox, home / "inbox", dirs_exist_ok=True)
    count = len(list(inbox.glob("*/*/*.manifest.json")))
    with Ledger(postgres.url(home)) as ledger:
        while True:
            rows = ledger.deliveries()
            if len(rows) == count and all(r["receipted"].startswith("final/released") for r in rows):
                break
            if time.perf_counter() - started > 900:
                raise SystemExit(f"not over after 900 s: {[r['state'] for r in rows]}")
            time.sleep(0.5)
    seconds = time.perf_counter() - started
    tasks = runs = 0
    for dag in ("intake", "day_ready", "integrate"):
        for r in airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns?limit=100")["dag_runs"]:
            runs += 1
            tasks += sum(t["task_id"] != "done" for t in airflow.tasks(dag, r["dag_run_id"]))
    return seconds, tasks, runs


def main(count: int = 60, rows: int = 1000, times: int = 3) -> None:
    found = []
    with tempfile.TemporaryDirectory() as at:
        inbox = files(Path(at), count, rows, DAY)
        for n in range(times):
            one, two = home_of(Path(at), f"command{n}"), home_of(Path(at), f"airflow{n}")
            try:
                shutil.copytree(inbox, one / "inbox")
                postgres.up(one)
                command = by_command(one)
                airflow, tasks, runs = by_airflow(two, inbox)
            finally:
                stack.down(two)
                discard(one)
                discard(two)
            found.append(airflow / command)
            told = {"command_s": command, "airflow_s": airflow, "ratio": airflow / command}
            told = {name: round(value, 2) for name, value in told.items()}
            print(json.dumps({**told, "tasks": tasks, "runs": runs}), flush=True)
    print(f"ratio, median of {times}: {statistics.median(found):.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
