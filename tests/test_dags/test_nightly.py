"""The DAG without a scheduler: it parses, follows the order of the journey, and retries storage faults only."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from pipelines import run, sampling, stack
from pipelines.model import ACCOUNT
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
DAY = "2026-11-22"
PROBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder="dags")
assert not bag.import_errors, bag.import_errors
dag = bag.dags["nightly"]
print(json.dumps({"order": [t.task_id for t in dag.topological_sort()], "retries": [t.retries for t in dag.tasks]}))
"""


def test_the_dag_follows_the_order_of_the_journey(tmp_path: Path) -> None:
    import json

    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [t for t in found["order"] if t in run.ORDER] == list(run.ORDER)
    assert set(found["retries"]) == {2}


def test_the_command_line_follows_the_order_of_the_journey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"take": "receive", "check_delivery": "check", "integrate_item": "integrate", "gate_items": "gate",
             "publish_release": "load", "write_receipts": "receipts"}  # fmt: skip
    taken: list[str] = []
    for name, step in steps.items():
        monkeypatch.setattr(run, name, noting(taken, step, getattr(run, name)))
    home = tmp_path / "home"
    sampling.generate(home, rows=60, seed=3, as_of=date.fromisoformat(DAY), items=("traffic_penalty", "honour"))
    try:
        run.nightly(home, DAY)
    finally:
        postgres.down(home)
    assert list(dict.fromkeys(taken)) == list(run.ORDER)
    assert taken == sorted(taken, key=run.ORDER.index)


def noting(taken: list[str], step: str, call: Callable[..., object]) -> Callable[..., object]:
    def noted(*arguments: object) -> object:
        taken.append(step)
        return call(*arguments)

    return noted


@pytest.mark.timeout(420)
def test_a_real_scheduler_gives_the_same_accounts_as_the_command_line(tmp_path: Path) -> None:
    homes = [tmp_path / "airflow", tmp_path / "command"]
    for home in homes:
        sampling.generate(home, rows=300, seed=3, as_of=date.fromisoformat(DAY), items=("traffic_penalty", "honour"))
    try:
        stack.up(homes[0])
        assert stack.run_nightly(homes[0], DAY) == "success"
        run.nightly(homes[1], DAY)
        told = []
        for home in homes:
            with Ledger(postgres.up(home)) as ledger:
                told.append([[r[c] for c in ("delivery_id", "state", "read", *ACCOUNT)] for r in ledger.deliveries()])
        assert told[0] == told[1]
        assert {r[1] for r in told[0]} == {"released"}
        logs = "".join(p.read_text(errors="replace") for p in (homes[0] / "airflow" / "logs").rglob("*.log"))
        for number in accepted_numbers(homes[0]):
            assert number not in logs
    finally:
        assert stack.down(homes[0])
        for home in homes:
            postgres.down(home)
    assert not stack.down(homes[0])


def accepted_numbers(home: Path) -> list[str]:
    import duckdb

    rows = duckdb.sql(f"SELECT credit_number FROM read_parquet('{home}/accepted/*.parquet', union_by_name=true)")
    return [r[0] for r in rows.fetchall()]
