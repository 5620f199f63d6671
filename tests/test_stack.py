"""The stack without Airflow: its program is replaced by one that forks as Airflow's does."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import rest, sessions, stack
from tests.test_commands import call
from tests.waiting import eventually

# The scheduler has an idle worker and one at work, and the process of a task leads a group of its own. These two do not
# hear SIGTERM, as one may that waits for a lock.
AIRFLOW = f"""#!{sys.executable}
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        health = {{name: {{"status": "healthy"}} for name in parts}}
        waiting = json.load(open("waiting.json")) if os.path.exists("waiting.json") else []
        answer = {{"access_token": "t", "dags": [], "task_instances": waiting, "total_entries": len(waiting), **health}}
        self.wfile.write(json.dumps(answer).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass

def worker(deaf):
    if os.fork() == 0:
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                os.setpgid(0, 0)
        time.sleep(600)

part = sys.argv[1]
if part == "scheduler":
    worker(False)
    worker(True)
if part == "api-server":
    HTTPServer(("127.0.0.1", int(os.environ["AIRFLOW__API__PORT"])), Health).serve_forever()
if part != "db":
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path, database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    program = tmp_path / "airflow"
    program.write_text(AIRFLOW)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(stack, "_program", lambda: str(program))
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", database())
    monkeypatch.setattr(sessions, "GRACE", 0.5)
    yield tmp_path / "home"
    for process in running(tmp_path / "home"):
        process.kill()


def running(home: Path) -> list[psutil.Process]:
    """Whatever works in the folder of a home's Airflow."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(home / "airflow") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def part(home: Path, name: str) -> dict[str, Any]:
    (found,) = [c for c in stack.status(home)["components"] if c["name"] == name]
    return found


def test_what_a_killed_scheduler_leaves_is_named_and_ended(home: Path) -> None:
    """Its workers, and the task at work, of a group of its own, that does not hear SIGTERM."""
    pids = stack.up(home)["pids"]
    eventually(lambda: len(running(home)) == 4 + 3)
    assert part(home, "scheduler") == {
        "name": "scheduler", "state": "healthy", "pid": pids["scheduler"], "left": [],
        "log": str(home / "airflow" / "logs" / "scheduler.log"),
    }  # fmt: skip
    old = {p.pid for p in running(home)}
    os.kill(pids["scheduler"], signal.SIGKILL)
    eventually(lambda: part(home, "scheduler")["state"] == "dead")
    assert set(part(home, "scheduler")["left"]) == old - set(pids.values())
    assert stack.up(home)["pids"].keys() == pids.keys()
    eventually(lambda: len(running(home)) == 4 + 3)
    assert not old & {p.pid for p in running(home)}
    assert stack.down(home)
    assert running(home) == [] and not stack.down(home)


@pytest.mark.parametrize("shown", [True, False])
def test_what_hides_its_folder_is_named_and_ended(home: Path, monkeypatch: pytest.MonkeyPatch, shown: bool) -> None:
    """As Airflow's workers do from an ordinary user once they have been at a task (PR_SET_DUMPABLE); root sees all, so
    the kernel's answer is given here: of one of those that a dead part left, or of all."""
    pids = stack.up(home)["pids"]
    eventually(lambda: len(running(home)) == 4 + 3)
    left = sorted({p.pid for p in running(home)} - set(pids.values()))
    hidden, real = left[1:] if shown else left, os.path.samefile

    def looked(one: str, other: Path) -> bool:
        if int(one.split("/")[2]) in hidden:
            raise PermissionError(13, "Permission denied", one)
        return real(one, other)

    monkeypatch.setattr(os.path, "samefile", looked)
    os.kill(pids["scheduler"], signal.SIGKILL)
    eventually(lambda: part(home, "scheduler")["state"] == "dead")
    assert sorted(part(home, "scheduler")["left"]) == left
    assert stack.down(home)
    assert running(home) == []


def test_what_a_killed_worker_leaves_is_named_and_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = psutil.Process(stack.up(home)["pids"]["scheduler"])
    eventually(lambda: len(scheduler.children(recursive=True)) == 3)
    (worker,) = [p for p in scheduler.children() if p.children()]
    (task,) = worker.children()
    worker.kill()
    eventually(lambda: part(home, "scheduler")["left"] == [task.pid])
    code, out, _ = call(capsys, "stack", "status", "--home", home)
    assert code == 3 and re.search(rf"scheduler +healthy +{scheduler.pid} +\[{task.pid}\]", out)
    assert stack.up(home)["pids"]["scheduler"] == scheduler.pid
    eventually(lambda: part(home, "scheduler")["left"] == [])
    assert stack.down(home)
    assert running(home) == []


@pytest.mark.parametrize(("minutes", "word"), [(1, "healthy"), (6, "unhealthy")])
def test_a_scheduler_whose_tasks_do_not_begin_is_unhealthy(home: Path, minutes: int, word: str) -> None:
    """Whatever Airflow says of it."""
    stack.up(home)
    since = [(datetime.now(UTC) - timedelta(minutes=m)).isoformat() for m in (0, minutes)]
    waiting = [{"queued_when": moment} for moment in (*since, None)]
    (home / "airflow" / "waiting.json").write_text(json.dumps(waiting))
    told = [(c["name"], c["state"]) for c in stack.status(home)["components"]]
    assert told == list(zip(stack.COMPONENTS, [word, "healthy", "healthy", "healthy"], strict=True))


def test_a_process_that_has_the_number_of_one_of_ours_is_left_alone(home: Path) -> None:
    """After a restart of the machine, or once all numbers were given away."""
    pids = stack.up(home)["pids"]
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        kept = stack._state(home)
        note = {**kept, "pids": {**pids, "triggerer": stranger.pid}}
        stack.publish_json(home / "airflow" / "stack.json", note)
        assert part(home, "triggerer")["state"] == "dead"
        os.kill(pids["triggerer"], signal.SIGKILL)
        assert stack.down(home)
        assert running(home) == [] and stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("is_noted", [False, True])
def test_nothing_runs_that_nobody_knows_of(home: Path, is_noted: bool) -> None:
    """`up` is killed once a part is there, just before or after it is noted."""
    kill = f"""import os, signal
from pathlib import Path
from pipelines import stack
note = stack.publish_json
def killed(path, content):
    if content.get("pids"):
        {"note(path, content)" if is_noted else "pass"}
        os.kill(os.getpid(), signal.SIGKILL)
    note(path, content)
stack.publish_json, stack._program = killed, lambda: {str(home.parent / "airflow")!r}
stack.up(Path({str(home)!r}))
"""
    done = subprocess.run([sys.executable, "-c", kill], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    eventually(lambda: running(home) == [])
    assert part(home, "scheduler")["state"] == "dead" if is_noted else stack.status(home)["url"] == ""
    assert stack.up(home)["pids"].keys() == set(stack.COMPONENTS)
    assert stack.down(home) and running(home) == []


def test_what_works_elsewhere_is_of_another_session_of_that_number(tmp_path: Path) -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 600 &"], start_new_session=True, cwd="/")
    shell.wait()
    (orphan,) = sessions.Session(shell.pid, 0, Path("/")).members()
    try:
        assert sessions.Session(shell.pid, 0, tmp_path).members() == []
    finally:
        sessions.send([orphan], signal.SIGKILL)


def test_a_list_is_walked_to_its_end_and_no_further_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow gives fewer at a time than are asked for, where it is set up so."""
    runs = [{"partition_key": f"2026-11-{n % 5 + 1:02d}", "state": f"s{n}"} for n in range(7)]
    asked = []

    def call(_: rest.Rest, method: str, path: str, body: Any = None) -> Any:
        if method == "POST":
            return {"access_token": "t"}
        at = int(path.rpartition("offset=")[2])
        asked.append(at)
        return dict.fromkeys(("dag_runs", "task_instances"), runs[at : at + 3]) | {"total_entries": len(runs)}

    monkeypatch.setattr(rest.Rest, "call", call)
    airflow = rest.Rest("http://127.0.0.1", "", "")
    assert airflow.tasks("land", "r") == runs and asked == [0, 3, 6]
    assert airflow.last_state("land", "2026-11-04") == "s3" and asked[3:] == [0, 3]
    assert airflow.last_state("land", "2026-11-09") == ""
