"""The daily night under a real scheduler: one Airflow, one home, and what goes wrong in a week.

Everything is watched from outside, by Airflow's REST interface and the ledger. Days lie in the past, where the cut-off
does not wait for anybody, but for the one that shows that it does.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from pipelines import rest, run, sampling, stack
from pipelines.model import ACCOUNT
from pipelines.query import query
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger
from schemas.arrow import record_schema
from schemas.load import CATALOG, load
from tests import leaks
from tests.chromium import DESKTOP, PROGRAM, Browser
from tests.conftest import SOAK, discard, soak_only
from tests.dirty_files import honour, number, table
from tests.servers import PASSWORD, HookServer, SftpServer
from tests.test_dags.test_nightly import airflow_leaks
from tests.test_privacy import name

TODAY = (datetime.now(UTC) + timedelta(hours=2)).date()  # the business date in Hainan: UTC+8, less the six of the night
PAST = TODAY - timedelta(20)
GOOD, OTHER = "civilization_office", "publicity_department"
ITEM = "honour"
AHEAD = TODAY + timedelta(40)
REASON = "the ministry announced it"
FAR, ITS = "youth_league", "volunteer_service"  # a department with a place of its own, and its item
MANY = (ITEM, "traffic_penalty", "tax_arrears", "student_loan_default", "judgment_defaulter")  # of six departments

pytestmark = pytest.mark.timeout(2400 if SOAK else 1200)
long = soak_only("more scenes of the week under a scheduler")


DAGS = ("intake", f"intake_{FAR}", "day_ready", "integrate", "approval")
File = tuple[Any, str, bytes, bytes]  # day, path in the inboxes, content, manifest


def sampled(folder: Path, rows: int, nights: int, day: Any, *items: str) -> list[File]:
    """Invented deliveries of days up to one, in the order of their days."""
    sampling.generate(folder, rows=rows, seed=3, nights=nights, as_of=day, items=items)
    found = []
    for path in (folder / "inbox").glob("*/*/*.manifest.json"):
        data = path.with_name(path.name.removesuffix(".manifest.json"))
        said = path.read_bytes()
        period = date.fromisoformat(json.loads(said)["period"])
        found.append((period, data.relative_to(folder / "inbox").as_posix(), data.read_bytes(), said))
    return sorted(found)


class Place:
    """A home under Airflow. `runs` are those of a DAG by partition, `ask` the ledger's rows by file name."""

    server: SftpServer

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sent: list[File] = []
        self.hook = HookServer()
        home.mkdir()
        (home / "sample.json").write_text("{}")
        (home / "pseudonym.key").write_bytes(bytes(range(64)))

    def send(self, file: str, content: str | bytes, day: Any, sender: str = GOOD, sequence: int = 1) -> None:
        manifest = json.dumps({"period": day.isoformat(), "sequence": sequence}).encode()
        data = content if isinstance(content, bytes) else content.encode()
        self.put((day, f"{sender}/{ITEM}/{file}.csv", data, manifest))

    def put(self, file: File) -> None:
        """As a department uploads it: under another name first, and the manifest last."""
        self.sent.append(file)
        _, name, content, manifest = file
        path = self.home / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (part := path.with_name(f".{path.name}")).write_bytes(content)
        part.rename(path)
        path.with_name(f"{path.name}.manifest.json").write_bytes(manifest)

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

    def wait(self, what: Callable[[], bool], seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s in vain: {self.told()}")
            time.sleep(1)

    def is_calm(self) -> bool:
        """Whether all that was begun is over, and well."""
        return all(state == "success" for dag in DAGS for of_day in self.runs(dag).values() for state in of_day)

    def told(self) -> str:
        runs = {dag: self.runs(dag) for dag in (*stack.DAILY, "approval")}
        return f"{runs} {self.states()}"

    def records(self, item: str) -> list[tuple[Any, ...]]:
        """What the records of an item say, and of which period and sequence; not those of a day that lies ahead."""
        shown = "record_key, content_hash, period, sequence, department, public_until, kept_until"
        where = f"WHERE period <> DATE '{AHEAD}'"
        return query(self.home, f"SELECT {shown} FROM records.{item} {where} ORDER BY 1", None)[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("QIONGXIN_DATABASE_URL", "QIONGXIN_HOME", "QIONGXIN_KEY_FILE"):
            patch.delenv(variable, raising=False)
        patch.setenv("QIONGXIN_INTAKE_SECONDS", "2")
        patch.setenv("QIONGXIN_LOOK_SECONDS", "0.2")
        found = Place(tmp_path_factory.mktemp("daily") / "home")
        a_place_elsewhere(found, patch)
        patch.setenv("QIONGXIN_ALERT_WEBHOOK", found.hook.url)
        (found.home / "lineage").mkdir()
        transport = {"type": "file", "log_file_path": str(found.home / "lineage" / "event")}
        patch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
        postgres.up(found.home)
        found.ask()
        try:
            found.up()
            for dag in DAGS:
                found.airflow.switch(dag, on=True)
            yield found
        finally:
            stack.down(found.home)
            found.hook.close()
            found.server.close()
            discard(found.home)


def a_place_elsewhere(place: Place, patch: pytest.MonkeyPatch) -> None:
    """A catalogue like ours, but that a department has its inbox on a server."""
    beside = place.home.parent
    place.server = SftpServer(beside / "server")
    (place.server.add("youth") / ITS).mkdir()
    shutil.copytree(CATALOG, beside / "catalog")
    with (beside / "catalog" / "departments" / f"{FAR}.toml").open("a") as said:
        said.write(f'\n[inbox]\nurl = "{place.server.url("youth", "")}"\ncredentials = "youth"\n')
    patch.setenv("QIONGXIN_CATALOG", str(beside / "catalog"))
    patch.setattr("schemas.load.CATALOG", beside / "catalog")
    patch.setenv("QIONGXIN_KNOWN_HOSTS", str(place.server.known_hosts(beside / "known_hosts")))
    patch.setenv("QIONGXIN_PLACE_YOUTH_PASSWORD", PASSWORD)


def components(home: Path) -> dict[str, psutil.Process]:
    pids = json.loads((home / "airflow" / "stack.json").read_text())["pids"]
    return {name: psutil.Process(pid) for name, pid in pids.items()}


def processes(home: Path) -> list[psutil.Process]:
    """All of the stack of a home, but its database, whoever is their parent by now: what works in its folder, and what
    is of one session or group with that."""
    here, bound = [], set()
    for p in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if p.status() != psutil.STATUS_ZOMBIE:
                here.append((p, {os.getsid(p.pid), os.getpgid(p.pid)}, Path(p.cwd()) == home / "airflow"))
    for _, ids, is_ours in here:
        bound |= ids if is_ours else set()
    return [p for p, ids, _ in here if ids & bound]


def test_a_late_file_holds_back_its_own_day_and_a_bad_one_nobody(place: Place, tmp_path: Path) -> None:
    """A day past its cut-off, a file that nobody can read, one whose period lies ahead, a day that lacks one of the two
    departments that owe it, and a department with a slow line of its own."""
    inbox = place.server.root / "youth" / ITS
    place.server.slow["youth"] = 20  # for each of its blocks
    (inbox / "large.csv").write_bytes(b"\x00\x01\x02\x03" * (8 << 18))
    (inbox / "large.csv.manifest.json").write_text(json.dumps({"period": str(PAST - timedelta(1))}))
    place.wait(lambda: f"/{ITS}/large.csv" in place.server.opened)
    place.send("good", table(honour(1), honour(2)), PAST)
    place.send("bad", b"\x00\x01\x02\x03" * 50, PAST, sender=OTHER)
    place.send("ahead", table(honour(3)), AHEAD)
    place.put(of_two_departments(place.home)[0])
    place.wait(lambda: "success" in place.runs("integrate").get(str(PAST), []))
    states = place.states()
    assert (states["good"], states["bad"], states["ahead"]) == ("released", "returned", "held"), place.told()
    assert "large" not in states, "its bytes are still on their way"
    place.server.slow.clear()
    row = place.ask()["bad"]
    assert (place.home / "outbox" / OTHER / f"{row['delivery_id']}.receipt.json").exists()
    place.wait(lambda: "success" in place.runs("day_ready").get(str(TODAY), []))
    (early,) = [r for r in place.ask().values() if r["item"] == "contract_performance"]
    assert early["state"] == "checked", "its day waits for the other department"
    assert str(TODAY) not in place.runs("integrate")


def test_an_alert_names_department_delivery_rule_and_cure(place: Place) -> None:
    run_id = place.airflow.start("alerts")
    assert place.airflow.follow("alerts", run_id) == "success"
    held = place.ask()["ahead"]
    told = b"".join(place.hook.bodies).decode()
    assert held["delivery_id"] in told and "H010" in told and GOOD in told and "qiongxin" in told
    assert number(3) not in told and name(3) not in told


def test_a_correction_repeats_its_own_day_and_a_person_lets_pass(place: Place) -> None:
    place.put(of_two_departments(place.home)[1])
    place.send("good2", table(honour(1, 荣誉名称="更正"), honour(2)), PAST, sequence=2)
    approve(place, REASON)
    place.wait(lambda: set(place.states().values()) == {"released", "returned"})
    assert place.states()["large"] == "returned"
    place.wait(lambda: len(place.runs("integrate")[str(PAST)]) == 2 and place.is_calm())
    runs = place.runs("integrate")
    # What a person let pass is taken up by the task that carries it out, or by an intake that comes first.
    assert runs.keys() == {str(PAST), str(TODAY), str(AHEAD)} and len(runs[str(TODAY)]) == 1
    decided = place.ask()["ahead"]
    assert decided["message_code"] == "G007" and REASON in decided["message_en"]
    with Ledger(postgres.url(place.home)) as ledger:
        release = ledger.current_release()
    assert release and release["as_of"] <= TODAY, "a period that lies ahead does not move the clocks"
    assert [place.ask()["good2"][n] for n in ("read", "new", "changed", "unchanged")] == [2, 0, 1, 1]

    # Assets are named after the items and bear the row account of what was released.
    events = place.airflow.call("GET", "/api/v2/assets/events?order_by=-timestamp&limit=100")["asset_events"]
    of_item = [e for e in events if e["name"] == ITEM]
    assert {e["partition_key"] for e in of_item} == {str(PAST), str(AHEAD)}
    accounts = [e["extra"]["account"] for e in of_item]
    assert all(sum(a[n] for n in ACCOUNT) == a["read"] for a in accounts)


def test_a_storage_fault_and_a_killed_worker_are_tried_again(place: Place, tmp_path: Path) -> None:
    outbox, day = place.home / "outbox" / GOOD, PAST + timedelta(1)
    outbox.rename(tmp_path / "outbox")
    outbox.write_text("a file where a folder should be")
    place.send("fault", table(honour(4)), day)
    place.wait(lambda: tries(place, "intake", "check") >= 1)
    outbox.unlink()
    (tmp_path / "outbox").rename(outbox)
    a_task_at_work(place, "integrate", str(day)).kill()
    place.wait(lambda: place.states().get("fault") == "released")


@long
def test_what_a_killed_worker_of_the_executor_ran_is_tried_again(place: Place) -> None:
    """Its task goes on without anybody who listens, until its heartbeat has been missed for long enough."""
    day = PAST + timedelta(3)
    place.send("worker", table(honour(6)), day)
    task = a_task_at_work(place, "integrate", str(day))
    task.parent().kill()
    place.wait(lambda: place.states().get("worker") == "released" and place.is_calm())
    assert [c["state"] for c in stack.status(place.home)["components"]] == ["healthy"] * 4
    assert not task.is_running()


@long
def test_a_killed_scheduler_is_started_again(place: Place) -> None:
    day = PAST + timedelta(2)
    place.send("killed", table(honour(5)), day)
    place.wait(lambda: "running" in place.runs("integrate").get(str(day), []))
    old, parts = {p.pid for p in processes(place.home)}, components(place.home)
    parts["scheduler"].kill()
    parts["scheduler"].wait(10)
    (found,) = [c for c in stack.status(place.home)["components"] if c["name"] == "scheduler"]
    assert found["state"] == "dead" and len(found["left"]) > 2, "its workers, the server of their logs, a task"
    place.up()
    assert not old & {p.pid for p in processes(place.home)}
    place.wait(lambda: place.states().get("killed") == "released")


def test_a_backfill_gives_what_day_by_day_gives(place: Place, tmp_path: Path) -> None:
    """And all of the week, in whatever order its days came, what the command gives day by day."""
    place.airflow.switch("intake", on=False)
    count, items = (10, MANY) if SOAK else (2, MANY[:2])
    first = PAST + timedelta(4)
    files = sampled(tmp_path / "made", 30 * count, count, first + timedelta(count - 1), *items)
    assert len({name.split("/")[0] for _, name, *_ in files}) == (6 if SOAK else 3)
    for file in files:
        place.put(file)
    states = stack.backfill(place.home, first, first + timedelta(count - 1))
    days = [(first + timedelta(n)).isoformat() for n in range(count)]
    assert states == {day: {"land": "success", "integrate": "success"} for day in days}
    inboxes = place.home / "inbox"
    assert [p for p in inboxes.glob("*/*/*") if p.is_file()] == [], "each day's files were taken"

    other = Place(tmp_path / "command")
    try:
        for day in sorted({file[0] for file in place.sent} - {AHEAD}):
            for file in place.sent:
                if file[0] == day:
                    other.put(file)
            run.nightly(other.home, day)
        # By chance, which is another one on each day, a delivery of few rows may be held for those that are wrong.
        told, ours = other.states(), place.states()
        assert {file: ours[file] for file in told} == told
        assert set(ours.values()) <= {"released", "returned", "held"}
        assert Counter(told.values())["released"] > len(told) / 2
        for item in (*items, "contract_performance"):
            ours = place.records(item)
            assert ours == other.records(item) and len(ours) > 5
    finally:
        other.hook.close()
        discard(other.home)


@long
@pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")
def test_the_web_interface_shows_a_finished_night(place: Place, tmp_path: Path) -> None:
    """The grid of a DAG, the graph of an asset, the log of a task: something to read, and nobody in it."""
    (last,) = place.airflow.call("GET", "/api/v2/dags/integrate/dagRuns?state=success&limit=1")["dag_runs"]
    assets = place.airflow.call("GET", f"/api/v2/assets?name_pattern={ITEM}&limit=10")["assets"]
    (asset,) = [a for a in assets if a["name"] == ITEM]
    browser = Browser(tmp_path / "profile")
    try:
        browser.size(DESKTOP)
        browser.call("Network.setCookie", name="_token", value=place.airflow.token, url=place.airflow.url)
        where = f"{place.airflow.url}/dags/integrate/runs/{quote(last['dag_run_id'], safe='')}"
        for address, words in (
            (where, ("events", "gate", "load", "receipts", "deliver")),
            (f"{where}/tasks/load", ("Done. Returned value was",)),
            (f"{place.airflow.url}/assets/{asset['id']}", (ITEM, "Partition Key: ", "land_haikou", "day_ready")),
        ):
            text = shown(browser, address, words)
            browser.screenshot(tmp_path / f"{words[0]}.png")
            assert not [n for n in range(1, 40) if number(n) in text or name(n) in text]
    finally:
        browser.close()


def test_lineage_says_what_the_ledger_and_the_catalogue_say(place: Place) -> None:
    """Each try of a task tells that it began and how it ended; the datasets are those of its days."""
    events = told_lineage(place)
    kinds = Counter((e["job"]["name"], e["run"]["runId"], e["eventType"]) for e in events)
    failures = [e for e in events if e["eventType"] == "FAIL"]
    said = {e["run"]["runId"]: e["run"]["facets"]["errorMessage"]["message"] for e in failures}
    killed = {run_id for run_id, message in said.items() if message == "the task ended without telling why"}
    assert killed and any("the receipt was not written" in message for message in said.values()), said
    twice = {(run_id, kind) for (_, run_id, kind), count in kinds.items() if count > 1}
    assert twice <= {(run_id, "FAIL") for run_id in killed}, "Airflow may tell of a dead worker more than once"
    ends = {(job, run_id) for job, run_id, kind in kinds if kind != "START"}
    starts = {(job, run_id) for job, run_id, kind in kinds if kind == "START"}
    assert {run_id for _, run_id in ends ^ starts} <= killed
    jobs = {job for job, _ in ends}
    assert jobs >= {f"integrate.{t}" for t in run.ORDER[2:]} | {"approval.each.carry_out"}
    assert jobs >= {f"{dag}.{t}" for dag in ("intake", "land") for t in ("receive", "check", "answer", "land")}

    catalog = load()
    for d in (d for e in events for d in (*e["inputs"], *e["outputs"])):
        kind, item = d["name"].split(".")[:2]
        stored = [(f.name, str(f.type)) for f in record_schema(catalog.items[item])]
        sent = [(f.name, f.type) for f in catalog.items[item].fields]
        columns = [(f["name"], f["type"]) for f in d["facets"]["schema"]["fields"]]
        assert columns == (sent if kind == "deliveries" else stored)
    with Ledger(postgres.url(place.home)) as ledger:
        rows = {f"deliveries.{r['item']}.{r['delivery_id']}": r for r in ledger.deliveries()}
        judged = [d for e in events for d in e["inputs"] if "dataQualityAssertions" in d["inputFacets"]]
        for d in judged:
            outcomes = ledger.gate_outcomes(d["facets"]["version"]["datasetVersion"])
            held = {a["assertion"]: a["success"] for a in d["inputFacets"]["dataQualityAssertions"]["assertions"]}
            assert held == {o["name"]: o["outcome"] == "passed" for o in outcomes if o["outcome"] != "not_applicable"}
    given, made = of_task(events, "check", "inputs"), of_task(events, "load", "outputs")
    assert {d["name"] for d in given} == {d["name"] for d in of_task(events, "receive", "outputs")} == set(rows)
    for d in given:
        account, row = d["facets"]["qiongxin_rowAccount"], rows[d["name"]]
        assert d["inputFacets"]["dataQualityMetrics"]["rowCount"] == account["read"] == row["read"]
        assert account["refused"] == row["refused"]
        assert account["rejected"] >= row["rejected"], "a row that was corrected since counts as its correction does"
    released = {name: r for name, r in rows.items() if r["state"] == "released"}
    assert released.keys() <= {d["name"] for task in ("integrate", "events") for d in of_task(events, task, "inputs")}
    accounts: dict[tuple[str, str], Counter[str]] = {}
    for r in released.values():
        sums = accounts.setdefault((f"records.{r['item']}", r["release_id"]), Counter())
        sums.update({n: r[n] for n in ("read", *ACCOUNT)})
    told = {}
    for d in made:
        if account := d["facets"].get("qiongxin_rowAccount"):  # what time alone makes of records is in no delivery
            told[d["name"], d["facets"]["version"]["datasetVersion"]] = {n: account[n] for n in ("read", *ACCOUNT)}
            assert account["new"] + account["changed"] <= d["outputFacets"]["outputStatistics"]["rowCount"]
    # What was rejected or held when it was released may have been settled since by a later delivery.
    assert told.keys() == accounts.keys()
    for release, was in told.items():
        now = accounts[release]
        assert was["read"] == now["read"] == sum(was[n] for n in ACCOUNT)
        assert all(was[n] >= now[n] if n in ("rejected", "held") else was[n] <= now[n] for n in ACCOUNT)
    assert sum(told[release] != dict(accounts[release]) for release in told) < len(told) / 4


def told_lineage(place: Place) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted((place.home / "lineage").iterdir())]


def of_task(events: list[dict[str, Any]], task: str, side: str) -> list[dict[str, Any]]:
    return [d for e in events if e["job"]["name"].endswith(f".{task}") for d in e[side]]


def test_nobody_is_in_airflow_and_nothing_is_left_running(place: Place) -> None:
    secrets = leaks.Secrets()
    for n in range(1, 6):
        secrets.add(number(n), "number", "sample")
        secrets.add(name(n), "name", "sample")
    assert airflow_leaks(place.home, secrets) == []
    written = {file[1].split("/")[-1] for file in place.sent} | {REASON, "admin", str(place.home), "import ", "_policy"}
    for path in (place.home / "lineage").iterdir():
        data = path.read_bytes()
        assert secrets.leaks(data) == set() and not [w for w in written if w.encode() in data], path
    running = processes(place.home)
    assert len(running) > 4
    told = stack.status(place.home)
    assert [c["left"] for c in told["components"]] == [[], [], [], []]
    assert set(told["scheduled"]).isdisjoint(told["unscheduled"]) and f"intake_{FAR}" in told["scheduled"]
    assert {"intake", "cut_off", "clocks", "housekeeping"} <= set(told["unscheduled"]), "what no scene let run"
    assert stack.down(place.home)
    assert processes(place.home) == []
    assert not stack.down(place.home)


def of_two_departments(home: Path) -> list[File]:
    """What the two departments that owe an item send for today."""
    found = sampled(home.with_name("made"), 20, 1, TODAY, "contract_performance")
    assert len(found) == 2
    return found


def shown(browser: Browser, address: str, words: tuple[str, ...]) -> str:
    """The text of a page once it has all the words."""
    browser.go(address)
    until = time.monotonic() + 60
    while True:
        text = str(browser.run("document.body.innerText"))
        if all(word in text for word in words):
            return text
        assert time.monotonic() < until, f"{address}: {text[:2000]}"
        time.sleep(0.5)


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


def a_task_at_work(place: Place, dag: str, partition: str) -> psutil.Process:
    """The process of a task, a child of the executor's worker."""
    scheduler = components(place.home)["scheduler"]

    def working() -> list[psutil.Process]:
        found = []
        for executor in scheduler.children():
            with suppress(psutil.NoSuchProcess):
                found += executor.children()
        return found

    place.wait(lambda: "running" in place.runs(dag).get(partition, []))
    until = time.monotonic() + 60
    while not (found := working()):
        assert time.monotonic() < until, "no task was seen at work"
        time.sleep(0.05)
    return found[-1]
