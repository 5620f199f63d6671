"""What the tasks of a night tell of themselves, and the OpenLineage events that are made of it; no scheduler."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import lineage, steps
from pipelines.lineage import Assertion, Dataset
from pipelines.model import ACCOUNT
from schemas.arrow import record_schema
from schemas.load import load
from tests.dirty_files import honour, number, table
from tests.nights import DAY, begin

ROOT = Path(__file__).resolve().parents[2]
ITEM = load().items["honour"]
COLUMNS = [(f.name, str(f.type)) for f in record_schema(ITEM)]


def names(datasets: tuple[Dataset, ...]) -> list[str]:
    return [d.name for d in datasets]


def test_each_step_tells_what_it_read_and_wrote(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.send(two=table(honour(1), honour(2), honour(3, 证件号码="x")))
    home.told().close()
    at = (str(home.place), DAY.isoformat())

    portions = steps.receive(*at)
    ((key,),) = portions
    name = f"deliveries.honour.{key}"
    (taken,) = lineage.received(*at, portions).outputs
    assert (taken.name, taken.rows, dict(taken.account)) == (name, None, {})
    assert [(c.name, c.type) for c in taken.columns] == [(f.name, f.type) for f in ITEM.fields]
    assert [c.label for c in taken.columns] == [f.label_zh for f in ITEM.fields]

    steps.check(*at, [key])
    (given,) = lineage.checked(*at, [key]).inputs
    row = home.deliveries()["two"]
    assert (given.name, given.rows) == (name, 3)
    assert given.account == {n: row[n] for n in ("read", *ACCOUNT)} and row["rejected"] == 1

    (portion,) = steps.events(*at, {})
    made = steps.integrate(*at, portion, {})
    told = lineage.integrated(*at, made)
    assert (names(told.inputs), names(told.outputs)) == ([name], ["staging.honour"])
    (staged,) = told.outputs
    assert (staged.rows, staged.nulls["remarks"], staged.nulls["honour_name"], staged.assertions) == (2, 2, 0, ())
    assert [(c.name, c.type) for c in staged.columns] == COLUMNS
    assert lineage.gathered(*at) == lineage.Told() and lineage.gated(*at) == lineage.Told()
    assert lineage.passed(*at) == {}

    steps.gate(*at)
    (judged,) = lineage.gated(*at).inputs
    with home.told() as ledger:
        outcomes = ledger.gate_outcomes(staged.version)
    asked = {o["name"]: o["outcome"] == "passed" for o in outcomes if o["outcome"] != "not_applicable"}
    assert {a.name: a.is_held for a in judged.assertions} == asked and len(asked) < len(outcomes)
    assert {a.column for a in judged.assertions if a.name.startswith("nulls_")} <= {c.name for c in judged.columns}
    passed = lineage.passed(*at)
    assert passed == {"honour": judged}
    assert lineage.released(*at, None, {}, passed) == lineage.Told(), "nothing is told of what was not taken"

    published = steps.load(*at)
    told = lineage.released(*at, published["release"], published["items"], passed)
    (records,) = told.outputs
    assert told.inputs == (judged,) and records.name == "records.honour"
    assert (records.version, records.rows, records.columns) == (published["release"], 2, judged.columns)
    row = home.deliveries()["two"]
    assert records.account == {n: row[n] for n in ("read", *ACCOUNT)} and row["new"] == 2
    assert number(1) not in repr((told, given, taken)) and "two.csv" not in repr((told, given, taken))


def test_three_answers_of_the_gate_and_an_excuse_become_assertions() -> None:
    """What does not apply is not asserted, what could not be evaluated did not hold, an excuse stops nothing."""

    def outcome(name: str, what: str, decision: int | None = None) -> dict[str, Any]:
        return {"name": name, "outcome": what, "limit": "= 0", "observed": "1", "decision": decision}

    outcomes = [outcome("nulls_remarks", "passed"), outcome("removed_rows", "failed", 7), outcome("account", "failed"),
                outcome("columns", "could_not_evaluate"), outcome("events_early", "not_applicable")]  # fmt: skip
    candidate: Any = SimpleNamespace(candidate="c", upsert_rows=4, profile={"nulls_remarks": 1, "rows": 4})
    found = lineage._candidate(ITEM, candidate, outcomes)
    assert [(a.name, a.column, a.is_held, a.is_excused) for a in found.assertions] == [
        ("nulls_remarks", "remarks", True, False), ("removed_rows", "", False, True), ("account", "", False, False),
        ("columns", "", False, False),
    ]  # fmt: skip
    assert found.assertions[0] == Assertion("nulls_remarks", "remarks", True, False, "= 0", "1")
    assert (found.rows, found.nulls) == (4, {"remarks": 1})


EVENTS = """
import json, sys, time
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.openlineage.utils import emission_policy
from airflow.sdk.exceptions import AirflowFailException
from openlineage.client.serde import Serde
from dags import facets, lineage
from pipelines.errors import StoreError
from pipelines.lineage import Assertion, Column, Dataset, Told

columns = (Column("remarks", "string", "备注"),)
asserted = (Assertion("nulls_remarks", "remarks", False, True, "= 0", "1"),)
staged = Dataset("staging.honour", columns, "c1", 4, {}, {"remarks": 1}, asserted)
written = Dataset("records.honour", columns, "r1", 4, {"read": 5, "new": 4, "rejected": 1})
bare = Dataset("deliveries.honour.d1", columns)
run = SimpleNamespace(logical_date=None, run_after=datetime(2098, 1, 3, 17, tzinfo=UTC), clear_number=0,
                      conf={"reason": "SECRET"}, note="SECRET", triggering_user_name="SECRET", partition_key=None)
ti = SimpleNamespace(dag_id="integrate", task_id="load", try_number=2, map_index=None)

def made(state, told=(), error=None, day="2098-01-02", **more):
    context = {"ti": ti, "dag_run": run, "exception": error, "params": {"business_date": day, "reason": "SECRET"}}
    return json.loads(Serde.to_json(facets.event(state, context, list(told))))

bag = DagBag(dag_folder="dags")
assert not bag.import_errors, bag.import_errors
of = lambda thing: emission_policy._read_param(thing, emission_policy.OL_EMISSION_POLICY_PARAM)
sent = []
facets.api.emit = sent.append
lineage.note("checked", "nowhere", "no day", [])
callback = lineage.callbacks()["on_success_callback"][0]
callback({"task": SimpleNamespace(task_type="HITLOperator")})
callback({"task": SimpleNamespace(task_type="_PythonDecoratedOperator")})  # nothing that an event could be made of
callback({"task": SimpleNamespace(task_type="_PythonDecoratedOperator"), "ti": ti, "dag_run": run, "params": {}})
facets.api.emit = lambda event: time.sleep(60)
begun = time.monotonic()
callback({"task": SimpleNamespace(task_type="_PythonDecoratedOperator"), "ti": ti, "dag_run": run, "params": {}})
waited = time.monotonic() - begun
told = {
    "waited": waited,
    "ended": made("COMPLETE", [Told((staged, bare), (written,))]),
    "failed": [made("FAIL", error=e)["run"]["facets"]["errorMessage"]["message"] for e in
               (StoreError("storage: full"), AirflowFailException("ours"), ValueError("SECRET"), None)],
    "no_day": made("START", day="SECRET"),
    "not_silent": [f"{d.dag_id}.{t}" for d in bag.dags.values() for t, p in
                   [("", of(d)), *((t.task_id, of(t)) for t in d.tasks)] if p != {"emit": False}],
    "asks": sorted(bag.dags["approval"].get_task("each.ask").serialized_params),
    "mute": [t.task_id for d in bag.dags.values() for t in d.tasks
             if t.task_id != "done" and not (t.on_execute_callback and t.on_success_callback and t.on_retry_callback
                                             and len(t.on_failure_callback) == 2)],
    "sent": [json.loads(Serde.to_json(e))["job"]["name"] for e in sent],
}
sys.modules["airflow.providers.openlineage"] = None
told["missing"] = [lineage.is_on(), lineage.callbacks(), lineage.look("checked", "nowhere", "no day", [])]
print(json.dumps(told))
"""


def test_an_event_holds_what_its_task_tells_and_nothing_else(tmp_path: Path) -> None:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                   "PYTHONPATH": str(ROOT), "AIRFLOW__OPENLINEAGE__TRANSPORT": '{"type": "console"}',
                   "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", EVENTS], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert "SECRET" not in json.dumps(found)
    ended = found["ended"]
    assert (ended["eventType"], ended["job"]["name"], set(ended["job"]["facets"])) == (
        "COMPLETE", "integrate.load", {"jobType"},
    )  # fmt: skip
    assert set(ended["run"]["facets"]) == {"parent", "nominalTime"}
    assert ended["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2098-01-02T00:00:00+08:00"
    assert ended["run"]["facets"]["parent"]["job"]["name"] == "integrate"
    (staged, bare), (written,) = ended["inputs"], ended["outputs"]
    (field,) = staged["facets"]["schema"]["fields"]
    assert (field["name"], field["type"], field["description"]) == ("remarks", "string", "备注")
    assert staged["facets"]["version"]["datasetVersion"] == "c1"
    metrics = staged["inputFacets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["columnMetrics"]["remarks"]["nullCount"]) == (4, 1)
    (assertion,) = staged["inputFacets"]["dataQualityAssertions"]["assertions"]
    shown = ("assertion", "column", "success", "severity", "expected", "actual")
    assert [assertion[n] for n in shown] == ["nulls_remarks", "remarks", False, "warn", "= 0", "1"]
    assert (bare["namespace"], bare["name"], bare.get("inputFacets")) == ("qiongxin", "deliveries.honour.d1", {})
    account = written["facets"]["qiongxin_rowAccount"]
    assert {n: account[n] for n in account if n[0] != "_"} == {"read": 5, "new": 4, "rejected": 1}
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 4

    assert found["failed"] == ["storage: full", "ours", "ValueError", "the task ended without telling why"]
    assert set(found["no_day"]["run"]["facets"]) == {"parent"}, "a day that a person mistyped is not told"
    assert (found["not_silent"], found["mute"]) == ([], []), "the provider tells more than is meant for others"
    assert found["asks"] == ["reason", "until"], "who is asked would have to give back what else is there"
    assert found["sent"] == ["integrate.load"], "what cannot be told fails nobody"
    assert found["missing"] == [False, {}, None], "nothing is told where the provider is not installed"
    assert 1 <= found["waited"] < 30, "whoever takes events up slowly holds up no night"
