"""The DAG without a scheduler: it parses, follows the order of the journey, and retries storage faults only."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from pipelines import checks, run, sampling, stack
from pipelines.model import ACCOUNT
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger
from tests import leaks
from tests.conftest import soak_only

ROOT = Path(__file__).resolve().parents[2]
DAY = "2026-11-22"
PROBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder="dags")
assert not bag.import_errors, bag.import_errors
pools = json.load(open("dags/pools.json"))
told = {
    name: {
        "order": [t.task_id for t in dag.topological_sort()],
        "retries": sorted({t.retries for t in dag.tasks if t.task_id != "done"}),
        "pools": sorted({t.pool for t in dag.tasks} - {"default_pool", *pools}),
        "leaves": [t.task_id for t in dag.leaves],
        "told": [t.task_id for t in dag.tasks if t.on_success_callback or "_openlineage_emission_policy" in t.params],
    }
    for name, dag in bag.dags.items()
}
print(json.dumps(told))
"""


def test_the_dag_follows_the_order_of_the_journey(tmp_path: Path) -> None:
    import json

    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [t for t in found["nightly"]["order"] if t in run.ORDER] == list(run.ORDER)
    after = list(run.ORDER[2:])
    for name in ("integrate", "clocks"):
        assert [t for t in found[name]["order"] if t in after] == after
    assert set(stack.DAILY) < set(found)
    once = {"approval": [0, 2], "alerts": [0]}  # a person is asked once, and the next look tries again
    for name, told in found.items():
        assert (told["retries"], told["pools"], told["leaves"]) == (once.get(name, [2]), [], ["done"])
        assert told["told"] == [], "OpenLineage hears of nothing that it was not asked for"


def test_the_command_line_follows_the_order_of_the_journey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "check_several", noting(taken := [], "check", checks.check_several))
    steps = {"take": "receive", "take_events": "events", "integrate_item": "integrate",
             "gate_items": "gate", "publish_release": "load", "write_receipts": "receipts",
             "deliver": "deliver"}  # fmt: skip
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


@soak_only("its tasks run in test_daily, too")
@pytest.mark.timeout(420)
def test_a_real_scheduler_gives_the_same_accounts_as_the_command_line(tmp_path: Path) -> None:
    homes = [tmp_path / "airflow", tmp_path / "command"]
    for home in homes:
        sampling.generate(home, rows=300, seed=3, as_of=date.fromisoformat(DAY), items=("traffic_penalty", "honour"))
    secrets = leaks.Secrets()
    for path in (p for p in (homes[0] / "inbox").glob("*/*/*") if not p.name.endswith(".manifest.json")):
        for value, kind in leaks.planted(path):
            secrets.add(value, kind, "sample")
    assert len(secrets) > 1_000
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
        assert airflow_leaks(homes[0], secrets) == []
    finally:
        assert stack.down(homes[0])
        for home in homes:
            postgres.down(home)
    assert not stack.down(homes[0])


def airflow_leaks(home: Path, secrets: leaks.Secrets) -> list[tuple[str, str]]:
    """(place, value) of identifying values in Airflow's logs and configuration, and in its database: XCom, rendered
    fields, run configuration, serialised DAGs."""
    found = []
    for path in (p for p in (home / "airflow").rglob("*") if p.is_file()):
        data = path.relative_to(home).as_posix().encode() + b"\n" + path.read_bytes()
        found += [(path.name, value) for _, value in secrets.leaks(data)]
    seen = {}
    for table, data in leaks.database_bytes(postgres.create_database(home, "airflow")):
        seen[table] = len(data)
        found += [(table, value) for _, value in secrets.leaks(data)]
    assert seen["public.xcom"] and seen["public.rendered_task_instance_fields"] and seen["public.task_instance"]
    return sorted(found)
