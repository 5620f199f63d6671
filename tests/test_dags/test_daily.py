"""The daily night under a real scheduler: one Airflow, one home, and what goes wrong in a week.

Everything is watched from outside, by Airflow's REST interface and the ledger. Days lie in the past, where the cut-off
does not wait for anybody, but for the one that shows that it does.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import rest, run, sampling, stack
from pipelines.model import ACCOUNT
from pipelines.query import query
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger
from tests import leaks
from tests.conftest import discard
from tests.dirty_files import honour, number, table
from tests.test_dags.test_nightly import airflow_leaks
from tests.test_privacy import name

TODAY = (datetime.now(UTC) + timedelta(hours=2)).date()  # the business date in Hainan: UTC+8, less the six of the night
PAST = TODAY - timedelta(20)
GOOD, OTHER = "civilization_office", "publicity_department"
ITEM = "honour"


class Place:
    """A home under Airflow. `runs` are those of a DAG by partition, `ask` the ledger's rows by file name."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        (home / "sample.json").write_text("{}")
        (home / "pseudonym.key").write_bytes(bytes(range(64)))

    def send(self, file: str, content: str | bytes, day: Any, sender: str = GOOD, sequence: int = 1) -> None:
        inbox = self.home / "inbox" / sender / ITEM
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / f".{file}").write_bytes(content if isinstance(content, bytes) else content.encode())
        (inbox / f".{file}").rename(inbox / f"{file}.csv")
        manifest = json.dumps({"period": day.isoformat(), "sequence": sequence})
        (inbox / f"{file}.csv.manifest.json").write_text(manifest)

    def up(self) -> rest.Rest:
        stack.up(self.home)
        self.airflow = rest.session(self.home)
        return self.airflow

    def ask(self) -> dict[str, dict[str, Any]]:
        with Ledger(postgres.url(self.home)) as ledger:
            ledger.prepare()
            return {r["file"].removesuffix(".csv"): r for r in ledger.deliveries()}

    def states(self) -> dict[str, str]:
        return {file: row["state"] for file, row in self.ask().items()}

    def runs(self, dag: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for r in self.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns?limit=100")["dag_runs"]:
            found.setdefault(r["partition_key"] or "", []).append(r["state"])
        return found

    def wait(self, what: Callable[[], bool], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s in vain: {self.told()}")
            time.sleep(1)

    def told(self) -> str:
        runs = {dag: self.runs(dag) for dag in (*stack.DAILY, "approval")}
        return f"{runs} {self.states()}"

    def records(self) -> list[tuple[Any, ...]]:
        """All that the records say, but for when and as what they came."""
        shown = "record_key, content_hash, period, sequence, department"
        return query(self.home, f"SELECT {shown} FROM records.honour ORDER BY 1", None)[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("QIONGXIN_DATABASE_URL", "QIONGXIN_HOME", "QIONGXIN_KEY_FILE"):
            patch.delenv(variable, raising=False)
        patch.setenv("QIONGXIN_INTAKE_SECONDS", "2")
        patch.setenv("QIONGXIN_LOOK_SECONDS", "0.2")
        found = Place(tmp_path_factory.mktemp("daily") / "home")
        postgres.up(found.home)
        found.ask()
        try:
            found.up()
            for dag in ("intake", "day_ready", "integrate", "approval"):
                found.airflow.switch(dag, on=True)
            yield found
        finally:
            stack.down(found.home)
            discard(found.home)


def processes(home: Path) -> list[psutil.Process]:
    """Everything that runs for a home, but its database."""
    found = []
    for p in psutil.process_iter():
        try:
            if p.environ().get("QIONGXIN_HOME") == str(home) and p.pid != os.getpid():
                found.append(p)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.timeout(900)
def test_a_week_of_the_daily_night(place: Place, tmp_path: Path) -> None:
    later = TODAY + timedelta(40)
    sent: list[tuple[Any, ...]] = []

    def send(*of: Any, **more: Any) -> None:
        sent.append((of, more))
        place.send(*of, **more)

    # A day that is past its cut-off, a file that nobody can read, one whose period lies ahead, and a day that lacks one
    # of the two departments that owe it.
    send("good", table(honour(1), honour(2)), PAST)
    send("bad", b"\x00\x01\x02\x03" * 50, PAST, sender=OTHER)
    send("ahead", table(honour(3)), later)
    sampling.generate(place.home, rows=20, seed=3, dirty=0, as_of=TODAY, items=("contract_performance",))
    late = place.home / "inbox" / "housing" / "contract_performance"
    kept = tmp_path / "kept"
    late.rename(kept)
    place.wait(lambda: "success" in place.runs("integrate").get(str(PAST), []))
    states = place.states()
    assert (states["good"], states["bad"], states["ahead"]) == ("released", "returned", "held"), place.told()
    row = place.ask()["bad"]
    assert (place.home / "outbox" / OTHER / f"{row['delivery_id']}.receipt.json").exists()
    (early,) = [r for r in place.ask().values() if r["item"] == "contract_performance"]
    place.wait(lambda: "success" in place.runs("day_ready").get(str(TODAY), []))
    assert early["state"] == "checked", "its day waits for the other department"
    assert str(TODAY) not in place.runs("integrate")

    # The other department; a correction of the past day; and a person approves what was held.
    kept.rename(late)
    send("good2", table(honour(1, 荣誉名称="更正"), honour(2)), PAST, sequence=2)
    approve(place, "the ministry announced it")
    place.wait(lambda: set(place.states().values()) == {"released", "returned"})
    assert place.states()["bad"] == "returned"
    once = {str(TODAY): ["success"], str(later): ["success"]}
    place.wait(lambda: place.runs("integrate") == {str(PAST): ["success"] * 2, **once})
    decided = place.ask()["ahead"]
    assert decided["message_code"] == "G007" and "the ministry announced it" in decided["message_en"]
    with Ledger(postgres.url(place.home)) as ledger:
        release = ledger.current_release()
    assert release and release["as_of"] <= TODAY, "a period that lies ahead does not move the clocks"
    accounts = {f: [r[n] for n in ("read", *ACCOUNT)] for f, r in place.ask().items()}
    assert accounts["good2"][:4] == [2, 0, 1, 1]

    # The lineage: an asset of the item, with the row account of the release.
    events = place.airflow.call("GET", "/api/v2/assets/events?order_by=-timestamp&limit=100")["asset_events"]
    of_item = [e for e in events if e["name"] == ITEM]
    assert {e["partition_key"] for e in of_item} == {str(PAST), str(later)}
    assert all(sum(e["extra"]["account"][n] for n in ACCOUNT) == e["extra"]["account"]["read"] for e in of_item)

    # A storage fault in the step that takes files is tried again; a worker that is killed is as well.
    raw = place.home / "raw"
    raw.rename(tmp_path / "raw")
    raw.write_text("a file where a folder should be")
    send("fault", table(honour(4)), PAST + timedelta(1))
    place.wait(lambda: tries(place, "intake", "receive") >= 1)
    raw.unlink()
    (tmp_path / "raw").rename(raw)
    kill_a_task(place, "integrate", str(PAST + timedelta(1)))
    place.wait(lambda: place.states().get("fault") == "released")

    # The scheduler is killed in the middle of a day, and started again.
    send("killed", table(honour(5)), PAST + timedelta(2))
    place.wait(lambda: "running" in place.runs("integrate").get(str(PAST + timedelta(2)), []))
    state = json.loads((place.home / "airflow" / "stack.json").read_text())
    os.kill(state["pids"]["scheduler"], signal.SIGKILL)
    place.up()
    place.wait(lambda: place.states().get("killed") == "released")

    # The same files, day by day and without Airflow.
    other = Place(tmp_path / "command")
    try:
        days = sorted({of[2] for of, _ in sent if of[0] != "ahead"})
        for day in days:
            for of, more in sent:
                if of[2] == day:
                    other.send(*of, **more)
            run.nightly(other.home, day)
        ours = [r for r in place.records() if r[2] != later]
        assert ours == other.records()
        assert len(ours) == 4
    finally:
        discard(other.home)

    # Nobody's number or name went into Airflow's logs, configuration or database.
    secrets = leaks.Secrets()
    for n in range(1, 6):
        secrets.add(number(n), "number", "sample")
        secrets.add(name(n), "name", "sample")
    assert airflow_leaks(place.home, secrets) == []

    # Stopped, nothing is left running.
    assert stack.down(place.home)
    assert processes(place.home) == []
    assert not stack.down(place.home)


def tries(place: Place, dag: str, task: str) -> int:
    """How many tries of a task of the latest run have failed."""
    (last,) = place.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns?order_by=-run_after&limit=1")["dag_runs"]
    found = [t for t in place.airflow.tasks(dag, last["dag_run_id"]) if t["task_id"] == task]
    return max((t["try_number"] - (t["state"] != "up_for_retry") for t in found), default=0)


def approve(place: Place, reason: str) -> None:
    """As a person does in the web interface."""

    def waiting() -> list[dict[str, Any]]:
        runs = place.airflow.call("GET", "/api/v2/dags/approval/dagRuns?limit=10")["dag_runs"]
        found = [t for r in runs for t in place.airflow.tasks("approval", r["dag_run_id"])]
        return [t for t in found if t["task_id"] == "each.ask" and t["state"] in ("deferred", "awaiting_input")]

    place.wait(lambda: len(waiting()) == 1)
    (task,) = waiting()
    where = f"/api/v2/dags/approval/dagRuns/{task['dag_run_id']}/taskInstances/each.ask/{task['map_index']}/hitlDetails"
    asked = place.airflow.call("GET", where)
    assert asked["subject"].startswith("H010 ") and "| held | 1 |" in asked["body"], asked
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": reason, "until": ""}}
    place.airflow.call("PATCH", where, answer)


def kill_a_task(place: Place, dag: str, partition: str) -> None:
    """Kill the process of a task while it works."""

    def workers() -> list[psutil.Process]:
        found = [p for p in processes(place.home) if "airflow task" in " ".join(p.cmdline())]
        return [p for p in found if p.is_running()]

    place.wait(lambda: "running" in place.runs(dag).get(partition, []))
    place.wait(lambda: bool(workers()))
    workers()[-1].kill()
