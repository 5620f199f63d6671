"""Airflow's REST interface, as far as commands use it. Airflow is asked as a program would, never imported."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.errors import StoreError

OVER = ("success", "failed")


class Rest:
    """A signed-in session. Raises `StoreError` where Airflow does not answer, or says no."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url, self.token = url.rstrip("/"), ""
        answer = self.call("POST", "/auth/token", {"username": user, "password": password})
        self.token = answer["access_token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON."""
        try:
            return ask(self.url, method, path, body, self.token)
        except urllib.error.HTTPError as e:
            raise RestError(method, path, e.code, e.read(600).decode(errors="replace")) from None
        except OSError as e:
            raise StoreError(f"airflow: {self.url} does not answer ({type(e).__name__}). Start it.") from e

    def start(self, dag: str, **body: Any) -> str:
        """Start a run of a DAG, switched on for it; returns the run's id."""
        self.switch(dag, on=True)
        return str(self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, **body})["dag_run_id"])

    def switch(self, dag: str, on: bool, seconds: float = 120) -> None:
        """Let a DAG run by its schedule, or no more; waits until Airflow knows it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": not on})
                return
            except RestError as e:
                if e.status != 404 or time.monotonic() > deadline:
                    raise StoreError(f"airflow: the DAG '{dag}' is not there. Read dag-processor.log.") from e
            time.sleep(1)

    def state(self, dag: str, run: str) -> str:
        return str(self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}")["state"])

    def walk(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        """The entries of a list, however many of them Airflow gives at a time."""
        at, separator = 0, "&" if "?" in path else "?"
        while True:
            page = self.call("GET", f"{path}{separator}limit=100&offset={at}")
            yield from page[name]
            at += len(page[name])
            if not page[name] or at >= page["total_entries"]:
                return

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        return list(self.walk(f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances", "task_instances"))

    def follow(self, dag: str, run: str, tell: Callable[[str], None] = lambda text: None) -> str:
        """Wait for the end of a run and tell its tasks as they end; returns its state."""
        told: set[str] = set()
        while True:
            state = self.state(dag, run)
            for t in self.tasks(dag, run):
                name = f"{t['task_id']} {t.get('rendered_map_index') or ''}".strip()
                if t["state"] in OVER and f"{name} {t['map_index']} {t['state']}" not in told:
                    told.add(f"{name} {t['map_index']} {t['state']}")
                    tell(f"airflow: {name} {t['state']}")
            if state in OVER:
                return state
            time.sleep(1)

    def last_state(self, dag: str, partition: str) -> str:
        """The state of the last run of a partition, '' for none."""
        runs = self.walk(f"/api/v2/dags/{dag}/dagRuns?order_by=-start_date", "dag_runs")
        return next((str(run["state"]) for run in runs if run["partition_key"] == partition), "")

    def settle(self, dags: tuple[str, ...], seconds: float = 3) -> None:
        """Wait until no run of these DAGs is under way or waits for so many seconds: one may start another."""
        since = time.monotonic()
        while time.monotonic() - since < seconds:
            for dag in dags:
                for state in ("running", "queued"):
                    place = f"/api/v2/dags/{dag}/dagRuns?state={state}&limit=1"
                    if self.call("GET", place)["dag_runs"]:
                        since = time.monotonic()
            time.sleep(1)

    def pools(self, path: Path) -> None:
        """Set the pools up as a file says (dags/pools.json)."""
        for name, pool in json.loads(path.read_text()).items():
            body = {"name": name, "include_deferred": False, **pool}
            try:
                self.call("POST", "/api/v2/pools", body)
            except RestError as e:
                if e.status != 409:
                    raise
                self.call("PATCH", f"/api/v2/pools/{name}", body)


class RestError(StoreError):
    """Airflow says no; `status` as in HTTP."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"airflow: {method} {path} was answered with {status}: {text[:300]}")
        self.status = status


def session(home: Path) -> Rest:
    """That of `QIONGXIN_AIRFLOW_URL` with QIONGXIN_AIRFLOW_USER and QIONGXIN_AIRFLOW_PASSWORD, or of the local Airflow
    of the home. Raises `StoreError`."""
    if url := os.environ.get("QIONGXIN_AIRFLOW_URL"):
        names = ("QIONGXIN_AIRFLOW_USER", "QIONGXIN_AIRFLOW_PASSWORD")
        user, password = (os.environ.get(n, "") for n in names)
        return Rest(url, user, password)
    note = home / "airflow" / "stack.json"
    if not note.exists():
        raise StoreError("airflow: not running. Run 'qiongxin stack up' first.")
    kept = json.loads(note.read_text())
    return Rest(kept["url"], "admin", kept["password"])


def ask(url: str, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """One request. Raises `OSError`, `ValueError`."""
    request = urllib.request.Request(
        url + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"null")
