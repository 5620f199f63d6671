"""The local Airflow of a home: four components started by hand, stopped in order, nothing left behind.

Airflow is run as a program, never imported. Everything listens on loopback but Airflow's two log servers, whose host
cannot be set.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines import rest
from pipelines.errors import StoreError
from pipelines.model import publish_json
from pipelines.sessions import Session, begin, send
from pipelines.stores import postgres
from schemas import load as catalogue

COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server")
DAGS = Path(__file__).resolve().parents[1] / "dags"
AT_ONCE = timedelta(minutes=5)  # the longest that a task waits for a worker that is free
LINEAGE = "AIRFLOW__OPENLINEAGE__"  # of whoever brings up the stack: where its events go, if anywhere
Tell = Callable[[str], None]
# Task processes are forks of the scheduler's workers: what it has loaded, none of them loads again.
PRELOADED = """import sys

if "scheduler" in sys.argv:
    import pipelines.steps
"""


def up(home: Path, tell: Tell = lambda text: None, dags: Path = DAGS) -> dict[str, Any]:
    """Start all anew where a component is down, and end what dead processes left; returns {"url", "pids"}. Raises
    `StoreError` with the tail of a log."""
    folder = home / "airflow"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    state, parts = _state(home), _sessions(home)
    if parts and all(part.leader() for part in parts.values()):
        for part in parts.values():
            send(part.left(), signal.SIGKILL)
        return state
    down(home)
    ports = [_free_port() for _ in range(3)]
    state = {"url": f"http://127.0.0.1:{ports[0]}", "ports": ports, "pids": {}, "started": {},
             "password": secrets.token_urlsafe(18)}  # fmt: skip
    passwords = folder / "simple_auth_manager_passwords.json.generated"
    passwords.write_text(json.dumps({"admin": state["password"]}))
    passwords.chmod(0o600)
    environment = _environment(home, state, dags)
    settings = folder / "config" / "airflow_local_settings.py"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(PRELOADED)
    tell("airflow: preparing its database")
    done = subprocess.run([_program(), "db", "migrate"], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StoreError(f"airflow: db migrate failed: {done.stderr.strip()[-400:]}")
    for name in COMPONENTS:
        with (
            (folder / "logs" / f"{name}.log").open("ab") as log,
            begin([_program(), name], folder, environment, log) as part,
        ):
            state["pids"][name], state["started"][name] = part.pid, part.started
            publish_json(folder / "stack.json", state)
            (folder / "stack.json").chmod(0o600)
    tell("airflow: starting scheduler, dag-processor, triggerer, api-server")
    deadline = time.monotonic() + 180
    while not _healthy(state):
        for name, part in _sessions(home).items():
            if not part.leader():
                tail = (folder / "logs" / f"{name}.log").read_text(errors="replace")[-600:]
                down(home)
                raise StoreError(f"airflow: {name} died while starting: {tail}")
        if time.monotonic() > deadline:
            down(home)
            raise StoreError(f"airflow: not healthy after 180 s. Read {folder / 'logs'}.")
        time.sleep(0.5)
    rest.session(home).pools(DAGS / "pools.json")
    return state


def down(home: Path) -> bool:
    """Stop the components one after the other, and whatever they left; False when nothing ran. Raises `StoreError`."""
    ran = False
    for name, part in _sessions(home).items():
        try:
            ran |= part.end()
        except TimeoutError as e:
            raise StoreError(f"airflow: {name}: {e}. See what it waits for; then stop it again.") from e
    (home / "airflow" / "stack.json").unlink(missing_ok=True)
    return ran


DAILY = (
    "intake", "land", "day_ready", "cut_off", "integrate", "clocks", "approval", "alerts", "housekeeping",
)  # fmt: skip


def daily() -> list[str]:
    """The DAGs of the daily night, in the order in which they are let run."""
    return [*sorted(f"intake_{code}" for code in catalogue.load().elsewhere), *DAILY]


def schedule(home: Path, on: bool) -> None:
    """Let the DAGs of the daily night run by themselves, or no more. Raises `StoreError`."""
    airflow = rest.session(home)
    for name in daily() if on else reversed(daily()):
        airflow.switch(name, on)


def status(home: Path) -> dict[str, Any]:
    """{"url", "components": [{"name", "state", "pid", "left", "log"}], "scheduled": DAGs that run by themselves,
    "unscheduled": those that should as well}. A component is healthy, unhealthy or dead; `left` are processes of it
    whose parent died; no url where nothing was started."""
    state = _state(home)
    if not state:
        return {"url": "", "components": [], "scheduled": [], "unscheduled": []}
    health = _health(state)
    told = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
    well = {name for name in state["pids"] if health and name not in told}
    well |= {name for name, part in told.items() if health.get(part, {}).get("status") == "healthy"}
    scheduled: list[str] = []
    if health:
        airflow = rest.session(home)
        scheduled = sorted(d["dag_id"] for d in airflow.walk("/api/v2/dags?paused=false", "dags"))
        if _begins_nothing(airflow):
            well.discard("scheduler")
    components = []
    for name, part in _sessions(home).items():
        word = "dead" if not part.leader() else "healthy" if name in well else "unhealthy"
        log = str(home / "airflow" / "logs" / f"{name}.log")
        left = [p.pid for p in part.left()]
        components.append({"name": name, "state": word, "pid": part.pid, "left": left, "log": log})
    unscheduled = [name for name in daily() if scheduled and name not in scheduled]
    return {
        "url": state["url"], "components": components, "scheduled": scheduled, "unscheduled": unscheduled
    }  # fmt: skip


def _begins_nothing(airflow: rest.Rest) -> bool:
    """Whether a task has waited for a worker for longer than any does: one is asked only where it is free. A worker
    that was killed while it waited may have taken the lock of their queue with it; Airflow calls itself healthy."""
    waiting = airflow.walk("/api/v2/dags/~/dagRuns/~/taskInstances?state=queued", "task_instances")
    since = [datetime.fromisoformat(t["queued_when"]) for t in waiting if t["queued_when"]]
    return bool(since) and datetime.now(UTC) - min(since) > AT_ONCE


def backfill(home: Path, first: date, last: date, tell: Tell = lambda text: None) -> dict[str, dict[str, str]]:
    """Run the DAG `land` for each day from `first` to `last` by Airflow's own backfill, and wait for it and for the
    integration of what it brought; returns {day: {"land": state, "integrate": state or ""}}. Raises `StoreError`."""
    airflow = rest.session(home)
    for dag in ("land", "day_ready", "integrate"):
        airflow.switch(dag, on=True)
    # A day lands in the night after it, and it is by their nights that Airflow finds the days.
    asked = {"dag_id": "land", "from_date": f"{first}T00:00:00Z", "to_date": f"{last + timedelta(1)}T00:00:00Z",
             "max_active_runs": 1, "reprocess_behavior": "completed"}  # fmt: skip
    number = airflow.call("POST", "/api/v2/backfills", asked)["id"]
    while airflow.call("GET", f"/api/v2/backfills/{number}")["completed_at"] is None:
        time.sleep(2)
    tell(f"airflow: backfill {number} of {first} to {last} has landed")
    airflow.settle(("day_ready", "integrate"))
    days = [(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)]
    return {day: {dag: airflow.last_state(dag, day) for dag in ("land", "integrate")} for day in days}


def run_nightly(home: Path, day: str, tell: Tell = lambda text: None) -> str:
    """Trigger the DAG `nightly` for a business date and wait; returns its final state."""
    airflow = rest.session(home)
    return airflow.follow("nightly", airflow.start("nightly", conf={"business_date": day}), tell)


def _environment(home: Path, state: dict[str, Any], dags: Path) -> dict[str, str]:
    folder = home / "airflow"
    secret_file = folder / "secrets.json"
    if not secret_file.exists():
        publish_json(secret_file, {"jwt": secrets.token_urlsafe(48), "key": secrets.token_urlsafe(48)})
        secret_file.chmod(0o600)
    kept = json.loads(secret_file.read_text())
    database = postgres.create_database(home, "airflow")
    airflow = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(2 + _transfers()),
        "CORE__EXECUTION_API_SERVER_URL": f"{state['url']}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        # What dies with its worker, or its scheduler, is tried again after minutes, not after five of each.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
        "DATABASE__SQL_ALCHEMY_CONN": database.replace("+psycopg:", "+psycopg2:"),
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": database,
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(state["ports"][0]),
        "API__BASE_URL": state["url"],
        "API__SECRET_KEY": kept["key"],
        "API_AUTH__JWT_SECRET": kept["jwt"],
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(state["ports"][1]),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(state["ports"][2]),
    }
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW") or k.startswith(LINEAGE)},
        **{f"AIRFLOW__{k}": v for k, v in airflow.items()},
        "AIRFLOW_HOME": str(folder),
        "QIONGXIN_HOME": str(home),
        "QIONGXIN_CATALOG": str(catalogue.CATALOG),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(DAGS.parent),
    }


def _transfers() -> int:
    """How many tasks may wait for the lines of departments at a time; they take no turn of those that work."""
    slots: int = json.loads((DAGS / "pools.json").read_text())["elsewhere"]["slots"]
    return min(slots, len(catalogue.load().elsewhere))


def _program() -> str:
    return str(Path(sys.executable).with_name("airflow"))


def _state(home: Path) -> dict[str, Any]:
    path = home / "airflow" / "stack.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _sessions(home: Path) -> dict[str, Session]:
    """Of the components that were started, in the order in which they are stopped."""
    state = _state(home)
    pids = state.get("pids", {})  # by name, as JSON has them
    return {n: Session(pids[n], state["started"][n], home / "airflow") for n in COMPONENTS if n in pids}


def _health(state: dict[str, Any]) -> dict[str, Any]:
    """What Airflow says of its parts; empty where it does not answer."""
    with suppress(OSError, ValueError):
        return dict(rest.ask(state["url"], "GET", "/api/v2/monitor/health"))
    return {}


def _healthy(state: dict[str, Any]) -> bool:
    health = _health(state)
    names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    return all(health.get(n, {}).get("status") == "healthy" for n in names)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
