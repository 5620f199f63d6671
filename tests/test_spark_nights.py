"""What a cluster makes of whole deliveries, held against what this machine makes of the same files."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import night
from pipelines.errors import StoreError, UsageFault
from pipelines.judge import Asked, Desk, Judged, judge
from pipelines.model import Delivery, Home, delivery_id
from pipelines.sampling import generate
from pipelines.stores.keys import Keys
from pipelines.stores.spark import MASTER, Cluster, cluster_of
from schemas.load import load
from tests import spark_cluster
from tests.conftest import SOAK, soak_only
from tests.dirty_files import table
from tests.nights import Home as NightHome
from tests.nights import begin, limited
from tests.test_life import event, send
from tests.test_strikes import ALWAYS, asked, corrected, nights
from tests.test_wrong_person import no, ticket

CATALOG = load()
AS_OF = date(2026, 11, 22)
# Text, whose rows have no line of their own; a register with a second number, in rows with lines.
JUDGED = [("honour", ".csv"), ("identity_reference", ".xml")]
EVERY = [(code, "") for code in sorted(CATALOG.items)] if SOAK else []
ROWS = 2_600


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if why := spark_cluster.missing():
        pytest.skip(f"no Spark: {why}")
    folder = tmp_path_factory.mktemp("cluster")
    with spark_cluster.cluster(folder) as begun, begun.session(folder / "work"):
        yield Cluster(begun.master, folder / "given")  # of one process there is one session


@pytest.mark.parametrize(("item", "form"), JUDGED + EVERY)
def test_a_delivery_is_judged_alike(item: str, form: str, cluster: Cluster, tmp_path: Path) -> None:
    """Files of accepted and rejected rows and of findings, cell by cell; every third row is a planted defect."""
    generate(tmp_path / "sent", rows=ROWS, seed=8, dirty=0.5, items=[item], nights=1, as_of=AS_OF)
    sent = [f for f in (tmp_path / "sent/inbox").rglob(f"*{form}") if f.is_file() and "manifest" not in f.name]
    source = max(sent, key=lambda f: f.stat().st_size)
    here, there = (made(source, tmp_path / name, on) for name, on in (("here", None), ("there", cluster)))
    assert here[0] == there[0] and here[0].account["accepted"] and sum(here[0].account.values()) > 1_000
    for name, one, other in zip(("accepted", "rejected", "findings"), here[1], there[1], strict=True):
        assert [(f.name, f.type) for f in one.schema] == [(f.name, f.type) for f in other.schema]
        unlike = [c for c in one.column_names if not one[c].equals(other[c])]
        assert not unlike, f"{name}: {unlike}"
        assert len(one) > 100


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
    """What is new, corrected, withdrawn before it ends and ended by an event, over rows that are struck out."""
    home.night(0, a=table(*(ticket(n, n) for n in range(1, 8))))
    send(home, "withdrawal_event", "w", event("withdrawal_event", 5, no(5)))
    withdrawn = corrected(4, 23, "示例", 操作类型="撤销")
    for day in (1, 2):
        rows = corrected(2, 22 + day, f"示例{day}"), withdrawn, ticket(9 + day, 9 + day)
        home.night(day, **{f"b{day}": (table(*rows), {"period": f"2026-11-{22 + day}"})})


@pytest.mark.parametrize("those", [few, pytest.param(nights, marks=soak_only("eight nights on a cluster"))])
def test_nights_are_folded_alike(
    those: Callable[[NightHome], None], cluster: Cluster, tmp_path: Path, applied: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every table of every release, what differs between them, and the life of each record."""
    told, asked_there = list[dict[str, str]](), list[str]()
    for on, place in ((None, tmp_path / "here"), (cluster, tmp_path / "there")):
        home = begin(place, applied(), monkeypatch, item="traffic_penalty", sender="public_security")
        with monkeypatch.context() as patch:
            limited(patch, **ALWAYS)
            patch.setattr(night, "cluster_of", lambda engine, work, on=on: nullcontext(on))
            patch.setattr(cluster, "least", 0)
            patch.setattr(cluster, "ask", lambda *a, ask=cluster.ask: asked_there.append(a[1].name) or ask(*a))
            those(home)
        told.append(asked(home))
    unlike = sorted(k for k in told[0].keys() | told[1].keys() if told[0].get(k) != told[1].get(k))
    assert not unlike
    assert {name.split(".")[0] for name in asked_there} >= {"lived", "records", "ended", "history", "spoken", "judged"}
    assert not list(cluster.folder.rglob("*.parquet"))


def test_an_engine_that_nobody_knows_or_has_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MASTER, raising=False)
    for engine, why in (("flink", "Known: duckdb, spark"), ("spark", MASTER)):
        with pytest.raises(UsageFault, match=why), cluster_of(engine, tmp_path):
            pass
    asked = [sys.executable, "-m", "pipelines.cli", "nightly", "--engine", "spark", "--date", "2026-11-22"]
    told = subprocess.run([*asked, "--home", str(tmp_path)], capture_output=True, text=True)
    assert told.returncode == 2 and MASTER in told.stderr


def test_a_master_that_is_not_there_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASTER, "spark://127.0.0.1:9")
    with cluster_of("spark", tmp_path) as cluster:
        assert cluster is not None
        with pytest.raises(StoreError, match="nobody listens at spark://127.0.0.1:9"):
            cluster.session  # noqa: B018
    assert not list(tmp_path.iterdir())
