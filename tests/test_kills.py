"""A night may be killed at any instruction; run again, it gives what a night left in peace gives, and leaves nothing.

Kills are SIGKILL: just before and just after the boundaries of the journey, at random moments, and of PostgreSQL
itself. Nights are the first one of a home and one on top of a release; each killed one begins with the same saved home
and a database of its own, and is compared with a night that was left in peace.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pipelines import sampling
from pipelines.model import ACCOUNT
from pipelines.query import query
from pipelines.stores import postgres
from pipelines.stores.files import SPACES
from pipelines.stores.ledger import Ledger
from tests.conftest import ROOT, SOAK, discard, soak_only
from tests.mortal_night import Death, Mortals

DAY = date(2026, 11, 22)
ITEMS = ("administrative_penalty", "honour")
EVENTFUL = ("traffic_penalty", "withdrawal_event", "objection_event")
ROWS = 300

# (event, which time of those of a whole night, before or after it); the whole list is made from a trace in a soak.
REDUCED = (
    ("rename work/candidates", "last", "after"),
    ("lake commit history", "last", "after"),
    ("bulk commit", "last", "after"),
    ("rename outbox", "last", "before"),
)
IN_SHORT = ("bulk commit", "rename outbox")
AFTER_THE_SWITCH = ("bulk commit", "remove work/candidates", "rename outbox")
# What a trace must hold, so that a boundary that was renamed is not forgotten in silence.
EXPECTED = {event for event, _, _ in REDUCED} | {
    "rename raw", "ledger register", "rename staged", "rename accepted", "rename inbox/.taken", "ledger gate",
    "ledger update", "lake commit records", "remove work/candidates",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A night before it begins, saved with its database, and what comes of it when it is left in peace.

    Every run of it takes place at one path, as what the lake remembers are whole paths.
    """

    saved: Path
    home: Path
    like: str | None
    outcome: dict[str, Any]
    trace: list[str]
    seconds: float

    def restore(self, database: Callable[..., str]) -> str:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.saved, self.home)
        return database(self.like)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, database: Callable[..., str], mortals: Mortals) -> Scene:
    """The first night of a home."""
    base = tmp_path_factory.mktemp("first")
    sampling.generate(base / "saved", rows=ROWS, seed=11, as_of=DAY, items=ITEMS)
    (base / "saved" / "pseudonym.key").write_bytes(bytes(range(64)))
    return played(base, None, database, mortals)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, database: Callable[..., str], mortals: Mortals) -> Scene:
    """A night on top of a release: some rows again, some changed, some new, and events about two of three tickets."""
    from tests.test_life import SENDERS, event, no, table, ticket  # which ask this module what litter is

    base = tmp_path_factory.mktemp("second")
    home, url = base / "home", database()
    sampling.generate(home, rows=ROWS, seed=11, as_of=DAY, items=ITEMS, nights=2)
    tickets = table(*(ticket(n, n) for n in (1, 2, 3)))
    put(home, "public_security", "traffic_penalty", f"{DAY - timedelta(1):%Y%m%d}", tickets)
    for n, item in enumerate(("withdrawal_event", "objection_event"), start=1):
        put(home, SENDERS[item], item, f"{DAY:%Y%m%d}", table(event(item, n, no(n))))
    later = [p for p in (home / "inbox").glob("*/*/*") if f"{DAY:%Y%m%d}" in p.name]
    for path in later:
        path.rename(base / f"{path.parts[-3]} {path.parts[-2]} {path.name}")
    assert mortals.night(home, url, (DAY - timedelta(1)).isoformat()) == 0
    for path in later:
        (base / f"{path.parts[-3]} {path.parts[-2]} {path.name}").rename(path)
    shutil.copytree(home, base / "saved")
    return played(base, url, database, mortals)


def put(home: Path, sender: str, item: str, file: str, content: str) -> None:
    folder = home / "inbox" / sender / item
    folder.mkdir(parents=True)
    (folder / f"{file}.csv").write_text(content, encoding="utf-8")
    (folder / f"{file}.csv.manifest.json").write_text("{}")


def played(base: Path, like: str | None, database: Callable[..., str], mortals: Mortals) -> Scene:
    scene = Scene(base / "saved", base / "home", like, {}, [], 0)
    url, started = scene.restore(database), time.monotonic()
    assert mortals.night(scene.home, url, DAY.isoformat(), trace=base / "trace") == 0
    seconds = time.monotonic() - started
    assert litter(scene.home, url) == []
    return replace(
        scene, outcome=outcome(scene.home, url), trace=(base / "trace").read_text().splitlines(), seconds=seconds
    )


def outcome(home: Path, url: str) -> dict[str, Any]:
    """All that others see of a night: rows of the lake and of the warehouse, accounts, receipts by content."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as named, psycopg.connect(url.replace("+psycopg", "")) as connection:
        named.setenv("QIONGXIN_DATABASE_URL", url)
        for item in (*ITEMS, *EVENTFUL):
            for space in SPACES:
                found[f"{space}.{item}"] = query(home, f"SELECT * FROM {space}.{item} ORDER BY ALL", None)
            rows = connection.execute(f"SELECT * FROM records.{item} ORDER BY record_key").fetchall()
            found[f"warehouse {item}"] = rows
        for table in ("subject", "statement_identity"):
            found[f"vault {table}"] = sorted(connection.execute(f"SELECT * FROM vault.{table}").fetchall(), key=repr)
    with Ledger(url) as ledger:
        columns = ("delivery_id", "state", "message_code", "read", *ACCOUNT)
        found["accounts"] = [{c: r[c] for c in columns} for r in ledger.deliveries()]
        found["releases"] = releases(url)
    found["receipts"] = receipts(home)
    return found


def releases(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return connection.execute("SELECT number, as_of, revision FROM ledger.release ORDER BY number").fetchall()


def receipts(home: Path) -> dict[str, str]:
    """Every file of the outbox with the hash of its bytes."""
    files = sorted(p for p in (home / "outbox").rglob("*") if p.is_file())
    return {p.relative_to(home).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def litter(home: Path, url: str) -> list[str]:
    """What a finished night should not leave: half-written files, notes, data files that no snapshot names, staging."""
    inbox = [p for p in (home / "inbox").rglob("*") if p.is_file() and ".taken" not in p.parts]
    parts = [p for p in home.rglob("*") if p.is_file() and re.search(r"\.part$|\.tmp$|\.\d+$", p.name)]
    work = [p for p in (home / "work").rglob("*") if p.is_file() and p.name != "events.parquet"]
    named = data_files(url)
    heads = [f"unreleased head of {t}" for t in unreleased_heads(url)]
    data = [p for p in (home / "curated").rglob("*.parquet") if str(p.resolve()) not in named]
    missing = [f"missing {name}" for name in named if not Path(name).exists()]
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        staging = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'").fetchall()
    files = sorted(p.relative_to(home).as_posix() for p in {*inbox, *parts, *work, *data})
    return files + missing + heads + [f"staging.{name}" for (name,) in staging]


def data_files(url: str) -> set[str]:
    """The data files that any snapshot of any table names, read from the Iceberg metadata."""
    catalog = SqlCatalog("qiongxin", uri=url)
    named: set[str] = set()
    for space in SPACES:
        for identifier in catalog.list_tables(space):
            table = catalog.load_table(identifier)
            for snapshot in table.snapshots():
                for manifest in snapshot.manifests(table.io):
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                        named.add(entry.data_file.file_path.removeprefix("file://"))
    catalog.engine.dispose()
    return named


def unreleased_heads(url: str) -> list[str]:
    """Tables whose head is not the snapshot that the release names."""
    catalog, found = SqlCatalog("qiongxin", uri=url), []
    with Ledger(url) as ledger:
        release = ledger.current_release()
        pairs = ledger.snapshots(release["release_id"] if release else None)
    for item, pair in pairs.items():
        for space, snapshot in zip(SPACES, pair, strict=True):
            if snapshot is None and not catalog.table_exists((space, item)):
                continue
            head = catalog.load_table((space, item)).current_snapshot()
            if (head.snapshot_id if head else None) != snapshot:
                found.append(f"{space}.{item}")
    catalog.engine.dispose()
    return found


def deaths(trace: list[str], reduced: bool) -> list[Death]:
    """Boundaries of a traced night: the first and the last of each kind, before and after."""
    times = {event: trace.count(event) for event in trace}
    if reduced:
        return [Death(event, 1 if which == "first" else times.get(event, 0), when) for event, which, when in REDUCED]
    whole = {Death(e, nth, when) for e, n in times.items() for nth in (1, n) for when in ("before", "after")}
    return sorted(whole, key=str)


def test_the_boundaries_are_still_there(first: Scene, second: Scene) -> None:
    for space, count in (("records", 2), ("ended", 1)):
        assert len(second.outcome[f"{space}.traffic_penalty"][1]) == count, "the events of the night are about tickets"
    for scene in (first, second):
        missing = EXPECTED - set(scene.trace)
        assert not missing, f"no such event in a night: {sorted(missing)}. Name it in tests/mortal_night.py as it is."


@dataclass(frozen=True)
class Killed:
    """What became of a night that was killed and then run again: parts unlike the calm night's, and litter."""

    when: str
    unlike: list[str]
    litter: list[str]


def run_again(when: str, scene: Scene, url: str, mortals: Mortals) -> Killed:
    code = mortals.night(scene.home, url, DAY.isoformat())
    assert code == 0, (when, (scene.home.parent / "home.said").read_text()[-2000:])
    return judged(when, scene.outcome, scene.home, url)


def judged(when: str, expected: dict[str, Any], home: Path, url: str) -> Killed:
    told = outcome(home, url)
    return Killed(when, [part for part in expected if told[part] != expected[part]], litter(home, url))


@pytest.fixture(scope="module")
def killed(database: Callable[..., str], mortals: Mortals) -> Callable[[Scene, Death], Killed]:
    """Kills a night at a boundary and runs it again, once per scene and boundary."""
    known: dict[tuple[Path, Death], Killed] = {}

    def at(scene: Scene, death: Death) -> Killed:
        if (scene.home, death) not in known:
            url = scene.restore(database)
            code = mortals.night(scene.home, url, DAY.isoformat(), death=death)
            assert code == -signal.SIGKILL, f"{death}: the night never came there"
            known[scene.home, death] = run_again(str(death), scene, url, mortals)
        return known[scene.home, death]

    return at


@pytest.fixture(scope="module")
def killed_at_random(first: Scene, second: Scene, database: Callable[..., str], mortals: Mortals) -> list[Killed]:
    """The moments are spread evenly over a whole night; each home is killed twice, the second time in what is left."""
    rng, homes = random.Random(5), 25 if SOAK else 2
    found, died = [], 0
    for n in range(homes):
        scene = (first, second)[n % 2]
        moments = [(n + rng.random()) / homes * scene.seconds]
        while kill_after(moments[0], scene, url := scene.restore(database), mortals) != -signal.SIGKILL:
            moments[0] *= 0.7  # this night was faster than the calm one
        moments.append(0.6 * rng.random() * (scene.seconds - moments[0]))  # what is left may go faster, too
        died += kill_after(moments[1], scene, url, mortals) == -signal.SIGKILL
        when = f"killed after {moments[0]:.2f} s and {moments[1]:.2f} s of {scene.seconds:.2f} s"
        found.append(run_again(when, scene, url, mortals))
    assert died, "no second kill met a living night"
    return found


def kill_after(seconds: float, scene: Scene, url: str, mortals: Mortals) -> int:
    night = mortals.start(scene.home, url, "nightly", "--date", DAY.isoformat(), "--json")
    time.sleep(seconds)
    night.kill()
    return night.wait()


at_boundaries = pytest.mark.parametrize("n", [
    pytest.param(n, id=" ".join((when, event, which)), marks=[] if event in IN_SHORT else soak_only("another boundary"))
    for n, (event, which, when) in enumerate(REDUCED)
])  # fmt: skip


@at_boundaries
def test_killed_at_a_boundary_and_run_again(n: int, second: Scene, killed: Callable[[Scene, Death], Killed]) -> None:
    same(killed(second, deaths(second.trace, reduced=True)[n]))


@at_boundaries
def test_a_kill_at_a_boundary_leaves_no_litter(n: int, second: Scene, killed: Callable[[Scene, Death], Killed]) -> None:
    clean(killed(second, deaths(second.trace, reduced=True)[n]))


def test_killed_at_random_moments_and_run_again(killed_at_random: list[Killed]) -> None:
    for one in killed_at_random:
        same(one)


def test_kills_at_random_moments_leave_no_litter(killed_at_random: list[Killed]) -> None:
    for one in killed_at_random:
        clean(one)


@soak_only("every boundary")
@pytest.mark.parametrize("night", ["first", "second"])
def test_killed_at_every_boundary_and_run_again(
    night: str, killed: Callable[[Scene, Death], Killed], request: pytest.FixtureRequest
) -> None:
    scene: Scene = request.getfixturevalue(night)
    found = [killed(scene, death) for death in deaths(scene.trace, reduced=False)]
    assert [(k.when, k.unlike) for k in found if set(k.unlike) - {"releases"}] == []


@soak_only("every boundary")
@pytest.mark.parametrize("night", ["first", "second"])
def test_a_kill_at_any_boundary_leaves_no_litter(
    night: str, killed: Callable[[Scene, Death], Killed], request: pytest.FixtureRequest
) -> None:
    scene: Scene = request.getfixturevalue(night)
    found = [killed(scene, death) for death in deaths(scene.trace, reduced=False)]
    assert [(k.when, k.litter) for k in found if k.litter] == []


@pytest.mark.parametrize("n", [n for n, (event, _, _) in enumerate(REDUCED) if event in AFTER_THE_SWITCH])
def test_a_kill_after_the_switch_publishes_no_further_release(
    n: int, second: Scene, killed: Callable[[Scene, Death], Killed]
) -> None:
    found = killed(second, deaths(second.trace, reduced=True)[n])
    assert "releases" not in found.unlike, found.when


def same(found: Killed) -> None:
    """Alike in all but the list of releases, which has its own test."""
    assert (found.when, [part for part in found.unlike if part != "releases"]) == (found.when, [])


def clean(found: Killed) -> None:
    assert (found.when, found.litter) == (found.when, [])


@dataclass(frozen=True)
class ServerKilled:
    """What the night said and how it ended, and its home after the second night."""

    code: int
    told: str
    rerun: Killed


@pytest.fixture(scope="module", params=("check", "receive", "integrate") if SOAK else ("check",))
def server_killed(
    request: pytest.FixtureRequest, first: Scene, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerKilled]:
    """PostgreSQL itself is killed within a night; its own server, as on a fresh machine."""
    home = tmp_path_factory.mktemp("server_killed") / "home"
    shutil.copytree(first.saved, home)
    command = [sys.executable, "-m", "pipelines.cli", "nightly", "--date", DAY.isoformat(), "--home", str(home)]
    environment = {**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1", "PYTHONUNBUFFERED": "1"}
    environment.pop("QIONGXIN_DATABASE_URL", None)
    try:
        postgres.up(home)
        data = json.loads((home / "postgres.json").read_text())["data"]
        night = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert night.stdout is not None and night.stderr is not None
        for line in night.stdout:
            if line.startswith(request.param):
                break
        os.kill(int((Path(data) / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        _, told = night.communicate(timeout=120)
        again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr[-2000:]
        when = f"the server was killed while the night said '{request.param}'"
        yield ServerKilled(night.returncode, told, judged(when, first.outcome, home, postgres.up(home)))
    finally:
        discard(home)


def test_a_rerun_finishes_what_a_killed_server_left(server_killed: ServerKilled) -> None:
    same(server_killed.rerun)


def test_a_killed_server_is_exit_4_with_a_cure(server_killed: ServerKilled) -> None:
    assert server_killed.code == 4
    assert "Traceback" not in server_killed.told
    assert "run" in server_killed.told.lower(), server_killed.told


def test_a_killed_server_leaves_no_litter(server_killed: ServerKilled) -> None:
    clean(server_killed.rerun)
