"""What a cluster makes of whole deliveries, held against what this machine makes of the same files."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import night, sessions, stack
from pipelines.errors import StoreError
from pipelines.judge import Asked, Desk, Judged, judge
from pipelines.model import Delivery, Home, delivery_id
from pipelines.query import query
from pipelines.sampling import PROVIDERS_AT_MOST, generate
from pipelines.stages import cluster_fold
from pipelines.stages.cluster_fold import Folding
from pipelines.stores.engine import connect
from pipelines.stores.files import PLACE, Files, live
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake, shaped
from pipelines.stores.spark import MASTER, Cluster, cluster_of
from schemas.arrow import statement_schema
from schemas.load import load
from tests import spark_cluster
from tests.conftest import SOAK, discard, soak_only
from tests.dirty_files import table
from tests.nights import Home as NightHome
from tests.nights import begin, limited
from tests.test_life import event, send
from tests.test_strikes import ALWAYS, asked, corrected, nights
from tests.test_wrong_person import no, ticket
from tests.waiting import eventually

CATALOG = load()
AS_OF = date(2026, 11, 22)
# Text, whose rows have no line of their own; other rows; a register with a second number.
JUDGED = [("honour", ".csv"), *([("honour", ".json"), ("identity_reference", "")] if SOAK else [])]
EVERY = [(code, "") for code in sorted(CATALOG.items)] if SOAK else []
ROWS = 1_300  # of each department
SPARK_IP = "SPARK_LOCAL_IP"


@pytest.fixture(scope="module")
def cluster(begun: spark_cluster.Cluster, session: Any, place: Path) -> Cluster:
    return Cluster(begun.master, place / "given")


@pytest.mark.parametrize(("item", "form"), JUDGED + EVERY)
def test_a_delivery_is_judged_alike(item: str, form: str, cluster: Cluster, tmp_path: Path) -> None:
    """Files of accepted and rejected rows and of findings, cell by cell; every third row is a planted defect."""
    rows = ROWS * min(len(CATALOG.items[item].providers), PROVIDERS_AT_MOST)
    generate(tmp_path / "sent", rows=rows, seed=8, dirty=0.5, items=[item], nights=1, as_of=AS_OF)
    sent = [f for f in (tmp_path / "sent/inbox").rglob(f"*{form}") if f.is_file() and "manifest" not in f.name]
    source = max(sent, key=lambda f: f.stat().st_size)
    here, there = (made(source, tmp_path / name, on) for name, on in (("here", None), ("there", cluster)))
    assert here[0] == there[0] and here[0].account["accepted"] and sum(here[0].account.values()) > 1_000
    for name, one, other in zip(("accepted", "rejected", "findings"), here[1], there[1], strict=True):
        assert [(f.name, f.type) for f in one.schema] == [(f.name, f.type) for f in other.schema]
        unlike = [c for c in one.column_names if not one[c].equals(other[c])]
        assert not unlike, f"{name}: {unlike}"
        assert len(one) > 100
    numbers = {n for n in here[1][0]["credit_number"].to_pylist() if len(n) > 8}
    logs = [f for f in cluster.folder.parent.parent.rglob("*") if f.name in ("log", "stderr", "stdout")]
    assert len(numbers) > 100 and len(logs) >= 7  # of the driver, the master, two workers and their executors
    for text in (f.read_text(errors="replace") for f in logs):
        assert not any(number in text for number in numbers)


def made(source: Path, root: Path, on: Cluster | None) -> tuple[Judged, list[pa.Table]]:
    home = Home(root)
    root.mkdir()
    (root / "sample.json").write_text("{}")
    home.make_restricted()
    department, item = source.parts[-3:-1]
    sha = hashlib.sha256(source.read_bytes()).hexdigest()
    key = delivery_id(department, item, AS_OF, 1, "delta", sha)
    delivery = Delivery(key, department, item, source.name, AS_OF, 1, "delta", sha, source.stat().st_size, None)
    told = judge(Desk(home, CATALOG, Keys(bytes(32)), AS_OF, cluster=on), Asked(delivery, source))
    accepted = pq.read_table(home.accepted(key)).drop_columns(["name_hash"]).sort_by("place")
    assert on is None or not list(on.folder.rglob("*.parquet"))  # names and numbers do not stay
    return told, [accepted, pq.read_table(home.rejected(key)), pq.read_table(home.findings(key))]


def few(home: NightHome) -> None:
    """What is new, corrected, withdrawn and ended by an event, over rows that are struck out. The first nights bring so
    little that the cluster is left alone."""
    home.night(0, a=table(*(ticket(n, n) for n in range(1, 8))))
    send(home, "withdrawal_event", "w", event("withdrawal_event", 5, no(5)))
    withdrawn = corrected(4, 23, "示例", 操作类型="撤销")
    for day, more in ((1, ()), (2, (12, 13, 14))):
        rows = corrected(2, 22 + day, f"示例{day}"), withdrawn, *(ticket(n, n) for n in (9 + day, *more))
        home.night(day, **{f"b{day}": (table(*rows), {"period": f"2026-11-{22 + day}"})})


@pytest.mark.parametrize(
    ("those", "least"), [(few, 11), pytest.param(nights, 0, marks=soak_only("eight nights on a cluster"))]
)
def test_nights_are_folded_alike(
    those: Callable[[NightHome], None], least: int, cluster: Cluster, tmp_path: Path, applied: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every table of every release, what differs between them, and the life of each record."""
    told, asked_there = list[dict[str, str]](), list[str]()
    for on, place in ((None, tmp_path / "here"), (cluster, tmp_path / "there")):
        home = begin(place, applied(), monkeypatch, item="traffic_penalty", sender="public_security")
        with monkeypatch.context() as patch:
            limited(patch, **ALWAYS)
            patch.setattr(night, "cluster_of", lambda engine, work, on=on: nullcontext(on))
            patch.setattr(cluster, "least", least)
            patch.setattr(cluster, "ask", lambda *a, ask=cluster.ask: asked_there.append(a[1].name) or ask(*a))
            those(home)
        told.append(asked(home))
    unlike = sorted(k for k in told[0].keys() | told[1].keys() if told[0].get(k) != told[1].get(k))
    assert not unlike
    assert {name.split(".")[0] for name in asked_there} >= {"lived", "records", "ended", "history", "spoken", "judged"}
    assert not list(cluster.folder.rglob("*.parquet"))


def test_data_files_of_several_shapes_are_read_alike(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones lack a column and bear a former name of another; rows of both are struck out."""
    item = CATALOG.items["honour"]
    shape, former = statement_schema(item), {"honour_name": ("honour_title", "honour_label")}
    monkeypatch.setattr(cluster_fold, "former_names", lambda item: former)
    files = []
    for n, renamed in enumerate(({"honour_name": "honour_title"}, {"honour_name": "honour_label"}, {})):
        rows = [{f.name: value_of(f.type, n * 10 + k) for f in shape} for k in range(5)]
        made = pa.Table.from_pylist(rows, shape)
        made = made.rename_columns([renamed.get(c, c) for c in made.column_names])
        pq.write_table(made if n else made.drop_columns(["remarks"]), path := tmp_path / f"{n}.parquet")
        files.append(str(path))
    struck_out = pa.table({"file_path": [files[0], files[2]], "pos": pa.array([1, 4], pa.int64())})
    pq.write_table(struck_out, strikes := tmp_path / "strikes.parquet")
    stored = Files(tuple(files), (str(strikes),))
    lake = cast(Lake, SimpleNamespace(is_uniform=lambda space, item, shape: False))
    with connect(tmp_path) as engine, Folding(cluster, engine, lake, item, {"history": stored}) as folding:
        united = live(stored, is_united=True)
        there = [row[0] for row in engine.execute(f"DESCRIBE SELECT * FROM {united}").fetchall()]
        here = engine.sql(f"SELECT {', '.join(shaped(shape, former, there))} FROM {united}").to_arrow_table()
        placed = engine.sql(f"SELECT line, filename, file_row_number FROM {live(stored, True, True)}").to_arrow_table()
        found, at = folding._of("history", shape), folding._of("history", shape, is_placed=True)
        assert found is not None and at is not None and len(here) == 13
        assert by_line(found.toArrow().cast(here.schema)) == by_line(here)
        assert by_line(at.select("line", *PLACE).toArrow().cast(placed.schema)) == by_line(placed)


def by_line(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.sort_by("line").to_pylist()


def value_of(kind: pa.DataType, n: int) -> Any:
    if pa.types.is_integer(kind):
        return n
    if pa.types.is_binary(kind):
        return bytes([n]) * 16
    if pa.types.is_boolean(kind):
        return bool(n % 2)
    if pa.types.is_date(kind):
        return date(2026, 1, 1 + n)
    if pa.types.is_timestamp(kind):
        return datetime(2026, 1, 1 + n, 8)
    return None if n % 7 == 0 else Decimal(n) if pa.types.is_decimal(kind) else f"示例 {n}"


@soak_only("a cluster that is killed")
def test_a_cluster_that_dies_is_a_fault_of_a_store(tmp_path: Path) -> None:
    """Workers and master killed in the middle of a night: nobody's delivery is parked for it, nothing is lost."""
    if why := spark_cluster.missing():
        pytest.skip(f"no Spark: {why}")
    home = tmp_path / "home"
    generate(home, rows=20_000, seed=8, items=["honour"], nights=1, as_of=AS_OF)
    environment = {**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1", "PYTHONPATH": os.pathsep.join(sys.path)}
    patience = "import pipelines.stores.spark as s; s.PATIENCE = 5; from pipelines.cli import main; main()"
    asked: list[Any] = ["nightly", "--date", str(AS_OF), "--home", home]
    command = [sys.executable, "-c", patience, *asked, "--engine", "spark"]
    try:
        with spark_cluster.cluster(tmp_path / "cluster") as begun:
            environment |= {MASTER: begun.master, SPARK_IP: "127.0.0.1"}
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dying:
                folder = home / "work" / f"cluster.{dying.pid}.part"
                eventually(lambda: bool([*folder.glob("*/passing")]) or dying.poll() is not None, 300)
                for worker in begun.workers:
                    sessions.send(worker.members(), signal.SIGKILL)
                _, told = dying.communicate(timeout=300)
        assert dying.returncode == 4 and b"run again" in told and b"Traceback" not in told, told[-2000:]
        assert not list((home / "work").glob("cluster.*"))
        done = subprocess.run([sys.executable, "-m", "pipelines.cli", *asked, "--json"], env=environment, stdout=-1)
        assert done.returncode == 0 and json.loads(done.stdout)["held"] == []
    finally:
        discard(home)


def two_homes(folder: Path) -> list[Path]:
    """With the same files and the same key."""
    homes = [folder / "here", folder / "there"]
    generate(homes[0], rows=5_000, seed=8, dirty=0.1, items=["honour", "traffic_penalty"], nights=1, as_of=AS_OF)
    (homes[0] / "pseudonym.key").write_bytes(bytes(range(64)))
    shutil.copytree(homes[0], homes[1])
    return homes


@soak_only("a cluster for one command, which is killed and run again")
def test_a_killed_night_on_a_cluster_is_finished_by_the_next(tmp_path: Path) -> None:
    """SIGKILL when rows were judged, and when they are folded; nothing is left of it, and of Spark nothing is said."""
    if why := spark_cluster.missing():
        pytest.skip(f"no Spark: {why}")
    homes = two_homes(tmp_path)
    pythonpath = os.pathsep.join(sys.path)  # pyspark may lie in a folder of its own
    environment = {**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1", "PYTHONPATH": pythonpath, SPARK_IP: "127.0.0.1"}
    command = [sys.executable, "-u", "-m", "pipelines.cli", "nightly", "--date", str(AS_OF), "--home"]
    try:
        alone = subprocess.run([*command, homes[0]], env=environment, capture_output=True, text=True)
        said = [rows_said(alone, homes[0])]
        with spark_cluster.cluster(tmp_path / "cluster") as begun:
            environment[MASTER] = begun.master
            again = [*command, homes[1], "--engine", "spark"]
            for sign in ("record", "stated.*"):  # in the folder of the cluster
                killed(again, environment, homes[1] / "work", sign)
            done = subprocess.run(again, env=environment, capture_output=True, text=True)
            said.append(rows_said(done, homes[1]))
        assert "WARN" not in done.stderr + done.stdout and "spark: " in done.stdout
        assert said[0] == said[1]
        assert not list((homes[1] / "work").glob("cluster.*"))
    finally:
        for home in homes:
            discard(home)


@soak_only("a scheduler whose tasks judge and fold on a cluster")
@pytest.mark.timeout(900)
def test_the_tasks_of_the_scheduler_judge_and_fold_on_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by the environment alone; each task that needs it is an application of its own."""
    if why := spark_cluster.missing():
        pytest.skip(f"no Spark: {why}")
    homes = two_homes(tmp_path)
    alone = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "nightly", "--date", str(AS_OF), "--home", homes[0]],
        env={**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1"}, capture_output=True, text=True,
    )  # fmt: skip
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/spark-defaults.conf").write_text("spark.cores.max 1\nspark.sql.shuffle.partitions 2\n")
    pythonpath, own = os.pathsep.join(sys.path), stack._environment  # pyspark may lie in a folder of its own
    monkeypatch.setattr(stack, "_environment", lambda *of: {**own(*of), "PYTHONPATH": pythonpath})
    monkeypatch.setenv("QIONGXIN_ENGINE", "spark")
    monkeypatch.setenv(SPARK_IP, "127.0.0.1")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    try:
        with spark_cluster.cluster(tmp_path / "cluster") as begun:
            monkeypatch.setenv(MASTER, begun.master)
            stack.up(homes[1])
            assert stack.run_nightly(homes[1], str(AS_OF)) == "success"
            registered = (tmp_path / "cluster/master/log").read_text(errors="replace").count("Registered app ")
        said = rows_said(alone, homes[0])
        assert all(said) and said == rows_said(alone, homes[1])
        assert registered >= 3  # two deliveries of honour are small, so: one file of each item, and both items
        assert not list((homes[1] / "work").glob("cluster.*"))
    finally:
        stack.down(homes[1])
        for home in homes:
            discard(home)


def killed(command: list[Any], environment: dict[str, str], work: Path, sign: str) -> None:
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as dying:
        folder = work / f"cluster.{dying.pid}.part"
        eventually(lambda: bool([*folder.glob(f"*/{sign}")]) or dying.poll() is not None, 300)
        assert dying.poll() is None, "it was faster than the kill"
        dying.kill()


def rows_said(done: subprocess.CompletedProcess[str], home: Path) -> list[Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    tables = [f"{space}.{item}" for space in ("records", "history") for item in ("honour", "traffic_penalty")]
    return [query(home, f"SELECT * FROM {table} ORDER BY ALL", None)[1] for table in tables]


def test_a_master_that_is_not_there_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASTER, "spark://127.0.0.1:9")
    with cluster_of("spark", tmp_path) as cluster:
        assert cluster is not None
        with pytest.raises(StoreError, match="nobody listens at spark://127.0.0.1:9"):
            cluster.session  # noqa: B018
    assert not list(tmp_path.iterdir())
