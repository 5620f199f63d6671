"""Small deliveries are checked side by side: the same comes of them, also where a night dies in the middle of it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import checks, sampling
from pipelines.errors import StoreError
from pipelines.hands import Hands
from pipelines.night import Night, open_night
from tests.conftest import ROOT, soak_only
from tests.test_kills import DAY, ITEMS, litter, outcome

FILES = checks.MANY


class Place:
    """One path at which a night begins anew, since what the lake remembers are whole paths."""

    def __init__(self, base: Path, applied: Callable[[], str]) -> None:
        self.saved, self.home, self.applied = base / "saved", base / "home", applied
        sampling.generate(self.saved, rows=900, seed=11, as_of=DAY, items=ITEMS, nights=6)
        (self.saved / "pseudonym.key").write_bytes(bytes(range(64)))
        assert len(list(self.saved.glob("inbox/*/*/*.manifest.json"))) >= FILES

    def begin(self) -> str:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.saved, self.home)
        return self.applied()

    def start(self, url: str, jobs: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipelines.cli", "nightly", "--date", DAY.isoformat(), "--jobs", str(jobs)]
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "QIONGXIN_HOME": str(self.home), "QIONGXIN_DATABASE_URL": url},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def night(self, url: str, jobs: int) -> str:
        with self.start(url, jobs) as process:
            told = process.communicate()[0]
        assert process.returncode in (0, 3), told
        return told


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, applied: Callable[[], str]) -> Place:
    return Place(tmp_path_factory.mktemp("hands"), applied)


@pytest.fixture(scope="module")
def alone(place: Place) -> dict[str, Any]:
    url = place.begin()
    place.night(url, 1)
    return outcome(place.home, url)


def test_one_process_and_several_make_the_same_of_a_night(place: Place, alone: dict[str, Any]) -> None:
    url = place.begin()
    place.night(url, 3)
    assert unlike(outcome(place.home, url), alone) == []
    assert litter(place.home, url) == []


@soak_only("the night of test_kills with its processes killed")
def test_a_killed_night_takes_its_processes_with_it_and_is_finished_by_the_next(
    place: Place, alone: dict[str, Any]
) -> None:
    url = place.begin()
    process = place.start(url, 3)
    others = beside(process)
    time.sleep(1)  # they are at work
    process.send_signal(signal.SIGKILL)
    process.communicate()
    gone, alive = psutil.wait_procs(others, timeout=10)
    assert alive == [] and len(gone) == 2
    place.night(url, 3)
    assert unlike(outcome(place.home, url), alone) == []
    assert litter(place.home, url) == []


@soak_only("another kill of the same kind")
def test_a_process_that_is_killed_stops_the_night_which_the_next_finishes(place: Place, alone: dict[str, Any]) -> None:
    url = place.begin()
    process = place.start(url, 3)
    beside(process)[0].kill()
    told = process.communicate()[0]
    assert process.returncode == 4, told
    assert "Traceback" not in told and "--jobs 1" in told, told
    place.night(url, 3)
    assert unlike(outcome(place.home, url), alone) == []


def beside(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that a night has started to help it, once both are there."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        found = [p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        if len(found) == 2:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no two processes: {process.communicate()[0]}")


def unlike(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    def comparable(told: dict[str, Any]) -> dict[str, Any]:
        return {**told, "accounts": sorted(told["accounts"], key=lambda a: str(a["delivery_id"]))}

    a, b = comparable(found), comparable(expected)
    return [part for part in b if part != "releases" and a[part] != b[part]]


@pytest.fixture
def night(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", applied())
    with open_night(tmp_path / "home", date(2026, 11, 22)) as opened:
        yield opened


def pid(night: Night, key: int) -> int:
    time.sleep(0.2)
    return os.getpid()


def failing(night: Night, key: int) -> int:
    if key == 7:
        raise StoreError("database: gone. Start it, then run again.")
    return key


def test_every_key_is_done_once_and_by_everybody(night: Night) -> None:
    with Hands(night, 2) as hands:
        done = dict(hands.each(pid, range(40)))
        assert sorted(done) == list(range(40))
        assert len(set(done.values())) == 2 and os.getpid() in done.values()


def test_processes_are_started_for_what_is_worth_it_only(night: Night) -> None:
    with Hands(night, 2) as hands:
        assert set(dict(hands.each(pid, range(3), is_worth_it=False)).values()) == {os.getpid()}
        assert hands.pool is None


def test_what_one_raises_is_raised_here(night: Night) -> None:
    with Hands(night, 2) as hands, pytest.raises(StoreError, match="run again"):
        list(hands.each(failing, range(60)))
