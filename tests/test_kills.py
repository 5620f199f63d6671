"""A night may be killed at any instruction; run again, it gives what a night left in peace gives, and leaves nothing.

Kills are SIGKILL: just before and just after the boundaries of the journey, at random moments, and of PostgreSQL
itself. Every killed night has a home and a database of its own, and is compared with one home that was left in peace.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pipelines import run, sampling
from pipelines.model import ACCOUNT
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger
from tests.conftest import ROOT, SOAK
from tests.mortal_night import Death, Mortals

DAY = "2026-11-22"
ITEMS = ("administrative_penalty", "honour")
ROWS = 300

# (event, which time of those of a whole night, before or after it); the whole list is made from a trace in a soak.
REDUCED = (
    ("rename raw", "last", "after"),
    ("ledger register", "first", "after"),
    ("rename accepted", "first", "before"),
    ("ledger update", "last", "before"),
    ("rename work/candidates", "last", "after"),
    ("lake commit records", "first", "after"),
    ("lake commit history", "last", "after"),
    ("bulk commit", "last", "before"),
    ("bulk commit", "last", "after"),
    ("remove work/candidates", "first", "after"),
    ("rename outbox", "last", "before"),
)
# What a trace must hold, so that a boundary that was renamed is not forgotten in silence.
EXPECTED = {event for event, _, _ in REDUCED} | {"rename staged", "rename inbox/.taken", "ledger gate"}


@dataclass(frozen=True)
class Calm:
    """The night that was left in peace: where its inbox lies, what came of it, its events, its seconds."""

    fresh: Path
    outcome: dict[str, Any]
    trace: list[str]
    seconds: float


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str], mortals: Mortals) -> Calm:
    base = tmp_path_factory.mktemp("calm")
    fresh = base / "fresh"
    sampling.generate(fresh, rows=ROWS, seed=11, as_of=date.fromisoformat(DAY), items=ITEMS)
    (fresh / "pseudonym.key").write_bytes(os.urandom(64))
    home, url = copied(fresh, base / "home"), database()
    started = time.monotonic()
    assert mortals.night(home, url, DAY, trace=base / "trace") == 0
    seconds = time.monotonic() - started
    assert litter(home, url) == []
    return Calm(fresh, outcome(home, url), (base / "trace").read_text().splitlines(), seconds)


def copied(fresh: Path, home: Path) -> Path:
    return Path(shutil.copytree(fresh, home))


def outcome(home: Path, url: str) -> dict[str, Any]:
    """All that others see of a night: rows of the lake and of the warehouse, accounts, receipts by content."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as named, psycopg.connect(url.replace("+psycopg", "")) as connection:
        named.setenv("QIONGXIN_DATABASE_URL", url)
        for item in ITEMS:
            for space in ("records", "history"):
                found[f"{space}.{item}"] = run.query(home, f"SELECT * FROM {space}.{item} ORDER BY ALL", None)
            rows = connection.execute(f"SELECT * FROM records.{item} ORDER BY record_key").fetchall()
            found[f"warehouse {item}"] = rows
        for table in ("subject", "statement_identity"):
            found[f"vault {table}"] = sorted(connection.execute(f"SELECT * FROM vault.{table}").fetchall(), key=repr)
    with Ledger(url) as ledger:
        columns = ("delivery_id", "state", "message_code", "read", *ACCOUNT)
        found["accounts"] = [{c: r[c] for c in columns} for r in ledger.deliveries()]
    found["receipts"] = receipts(home)
    return found


def receipts(home: Path) -> dict[str, str]:
    """Every file of the outbox with the hash of its bytes."""
    files = sorted(p for p in (home / "outbox").rglob("*") if p.is_file())
    return {p.relative_to(home).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def litter(home: Path, url: str) -> list[str]:
    """What a finished night should not leave: half-written files, notes, data files that no snapshot names, staging."""
    inbox = [p for p in (home / "inbox").rglob("*") if p.is_file() and ".taken" not in p.parts]
    parts = [p for p in home.rglob("*") if p.is_file() and re.search(r"\.part$|\.tmp$|\.\d+$", p.name)]
    work = [p for p in (home / "work").rglob("*") if p.is_file()]
    named = data_files(url)
    data = [p for p in (home / "curated").rglob("*.parquet") if str(p.resolve()) not in named]
    missing = [f"missing {name}" for name in named if not Path(name).exists()]
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        staging = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'").fetchall()
    files = sorted(p.relative_to(home).as_posix() for p in {*inbox, *parts, *work, *data})
    return files + missing + [f"staging.{name}" for (name,) in staging]


def data_files(url: str) -> set[str]:
    """The data files that any snapshot of any table names, read from the Iceberg metadata."""
    catalog = SqlCatalog("qiongxin", uri=url)
    named: set[str] = set()
    for space in ("records", "history"):
        for identifier in catalog.list_tables(space):
            table = catalog.load_table(identifier)
            for snapshot in table.snapshots():
                for manifest in snapshot.manifests(table.io):
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                        named.add(entry.data_file.file_path.removeprefix("file://"))
    return named


def deaths(trace: list[str], reduced: bool) -> list[Death]:
    """Boundaries of a traced night: the first and the last of each kind, before and after."""
    times = {event: trace.count(event) for event in trace}
    if reduced:
        return [Death(event, 1 if which == "first" else times[event], when) for event, which, when in REDUCED]
    whole = {Death(e, nth, when) for e, n in times.items() for nth in (1, n) for when in ("before", "after")}
    return sorted(whole, key=str)


def test_the_boundaries_are_still_there(calm: Calm) -> None:
    missing = EXPECTED - set(calm.trace)
    assert not missing, f"no such event in a night: {sorted(missing)}. Name it in tests/mortal_night.py as it is now."


@pytest.mark.parametrize("n", range(len(REDUCED)), ids=[" ".join(r[2:] + r[:2]) for r in REDUCED])
def test_killed_at_a_boundary_and_run_again(
    n: int, calm: Calm, tmp_path: Path, database: Callable[[], str], mortals: Mortals
) -> None:
    die_and_run_again(deaths(calm.trace, reduced=True)[n], calm, tmp_path, database(), mortals)


@pytest.mark.skipif(not SOAK, reason="every boundary: soak only")
def test_killed_at_every_boundary_and_run_again(
    calm: Calm, tmp_path: Path, database: Callable[[], str], mortals: Mortals
) -> None:
    for n, death in enumerate(deaths(calm.trace, reduced=False)):
        die_and_run_again(death, calm, tmp_path / str(n), database(), mortals)


def die_and_run_again(death: Death, calm: Calm, place: Path, url: str, mortals: Mortals) -> None:
    home = copied(calm.fresh, place / "home")
    assert mortals.night(home, url, DAY, death=death) == -signal.SIGKILL, f"{death}: the night never came there"
    assert mortals.night(home, url, DAY) == 0, (death, (place / "home.said").read_text()[-2000:])
    same(outcome(home, url), calm.outcome, str(death))
    assert (str(death), litter(home, url)) == (str(death), [])


def same(found: dict[str, Any], expected: dict[str, Any], when: str) -> None:
    """Equal in every part; tells the part and not the rows."""
    unlike = [part for part in expected if found[part] != expected[part]]
    assert (when, unlike) == (when, [])


def test_killed_at_random_moments_and_run_again(
    calm: Calm, tmp_path: Path, database: Callable[[], str], mortals: Mortals, is_soak: bool
) -> None:
    """The moments are spread evenly over a whole night; each home is killed twice, then left in peace."""
    rng = random.Random(5)
    kills = 50 if is_soak else 8
    moments = [(n + rng.random()) / kills * calm.seconds for n in range(kills)]
    for n in range(kills // 2):
        home, url = copied(calm.fresh, tmp_path / str(n) / "home"), database()
        for moment in (moments[n], moments[kills // 2 + n]):
            night = mortals.start(home, url, "nightly", "--date", DAY, "--json")
            time.sleep(moment)
            night.kill()
            night.wait()
        assert mortals.night(home, url, DAY) == 0, (home.parent / "home.said").read_text()[-2000:]
        when = f"killed after {moments[n]:.2f} s and {moments[kills // 2 + n]:.2f} s of {calm.seconds:.2f} s"
        same(outcome(home, url), calm.outcome, when)
        assert (when, litter(home, url)) == (when, [])


def test_a_killed_database_server_is_exit_4_and_a_rerun_finishes(calm: Calm, tmp_path: Path) -> None:
    """PostgreSQL itself is killed while deliveries are checked; its own server, as on a fresh machine."""
    home = copied(calm.fresh, tmp_path / "home")
    command = [sys.executable, "-m", "pipelines.cli", "nightly", "--date", DAY, "--home", str(home)]
    environment = {**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1", "PYTHONUNBUFFERED": "1"}
    try:
        url = postgres.up(home)
        data = json.loads((home / "postgres.json").read_text())["data"]
        night = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert night.stdout is not None and night.stderr is not None
        for line in night.stdout:
            if line.startswith("check "):
                break
        os.kill(int((Path(data) / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        night.stdout.read()
        told = night.stderr.read()
        assert night.wait() == 4, told[-2000:]
        assert "Traceback" not in told and "run" in told.lower(), told[-2000:]
        again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr[-2000:]
        url = postgres.up(home)
        same(outcome(home, url), calm.outcome, "after the server was killed")
        assert litter(home, url) == []
    finally:
        postgres.down(home)
