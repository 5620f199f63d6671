"""Running again changes nothing, the same bytes again add nothing, and the order of arrival decides nothing."""

import csv
import io
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines import sampling
from pipelines.model import ACCOUNT
from pipelines.query import query
from pipelines.stores import waiting
from pipelines.stores.ledger import Ledger
from tests.conftest import SOAK, every_row
from tests.mortal_night import Mortals
from tests.test_kills import receipts
from tests.test_privacy import name, number

DAY = date(2026, 11, 22)
ITEM = "administrative_penalty"
PROVIDERS = ("market_supervision", "haikou", "danzhou")
SEEDS = range(25 if SOAK else 1)


@dataclass(frozen=True)
class Home:
    place: Path
    url: str
    mortals: Mortals

    def night(self, day: date = DAY) -> None:
        assert self.mortals.night(self.place, self.url, day.isoformat()) == 0, self.said()

    def said(self) -> str:
        return (self.place.parent / f"{self.place.name}.said").read_text()[-2000:]

    def deliveries(self) -> list[dict[str, Any]]:
        with Ledger(self.url) as ledger:
            return ledger.deliveries()

    def waiting(self, delivery_id: str) -> int:
        with Ledger(self.url) as ledger:
            return int(waiting.open_rows(ledger, delivery_id=delivery_id).num_rows)

    def send(self, department: str, item: str, file: str, content: bytes, **manifest: Any) -> None:
        inbox = self.place / "inbox" / department / item
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / file).write_bytes(content)
        (inbox / f"{file}.manifest.json").write_text(json.dumps(manifest))

    def rows(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        with pytest.MonkeyPatch.context() as named:
            named.setenv("QIONGXIN_DATABASE_URL", self.url)
            return {t: query(self.place, f"SELECT * FROM {t} ORDER BY ALL", None)[1] for t in tables}

    def versions(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table with the transaction that wrote it and the place where it lies."""
        return every_row(self.url, "xmin::text, ctid::text, t::text", "2")


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], mortals: Mortals) -> Home:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "sample.json").write_text("{}")
    return Home(tmp_path / "home", applied(), mortals)


def sent(home: Home) -> tuple[Path, dict[str, Any]]:
    """One delivery of honours without a fault, and its manifest."""
    sampling.generate(home.place, rows=60, seed=4, dirty=0, as_of=DAY, items=("honour",))
    path = next((home.place / "inbox").glob("civilization_office/*/*.manifest.json"))
    shutil.rmtree(home.place / "inbox" / "publicity_department")
    return path.with_name(path.name.removesuffix(".manifest.json")), json.loads(path.read_text())


def test_a_second_night_changes_no_row_no_snapshot_no_receipt(home: Home) -> None:
    sampling.generate(home.place, rows=150, seed=4, dirty=0.1, as_of=DAY, items=(ITEM, "honour"))
    home.night()
    before = (home.versions(), receipts(home.place), home.rows(f"records.{ITEM}", "history.honour"))
    home.night(DAY)
    home.night(DAY + timedelta(1))
    versions, answers, rows = home.versions(), receipts(home.place), home.rows(f"records.{ITEM}", "history.honour")
    assert [t for t in versions if versions[t] != before[0].get(t)] == []
    assert answers == before[1]
    assert rows == before[2]


def test_the_same_bytes_under_another_period_are_a_new_delivery_of_unchanged_rows(home: Home) -> None:
    path, manifest = sent(home)
    content = path.read_bytes()
    home.night()
    later = DAY + timedelta(1)
    home.send("civilization_office", "honour", "again.xlsx", content, **{**manifest, "period": later.isoformat()})
    home.night(later)
    first, second = sorted(home.deliveries(), key=lambda r: r["period"])
    assert (first["new"], second["unchanged"]) == (first["read"], second["read"]) and second["read"] > 20
    assert len(home.rows("records.honour")["records.honour"]) == first["read"]


def test_the_same_tuple_again_is_the_same_delivery(home: Home) -> None:
    path, manifest = sent(home)
    content = path.read_bytes()
    home.send("civilization_office", "honour", "twin.xlsx", content, **manifest)
    home.night()
    before = (home.versions(), receipts(home.place))
    assert len(home.deliveries()) == 1
    home.send("civilization_office", "honour", "third name.csv", content, **manifest)
    home.night()
    assert (home.versions(), receipts(home.place)) == before
    assert not [p for p in (home.place / "inbox").rglob("*") if p.is_file() and ".taken" not in p.parts]


@dataclass(frozen=True)
class Sending:
    department: str
    period: date
    sequence: int
    content: bytes


def sendings(rng: random.Random, count: int) -> list[Sending]:
    """Deliveries of three departments about the same few penalties: corrections, withdrawals, repeats, ties."""
    found = []
    for n in range(count):
        rows = [penalty(rng) for _ in range(rng.randint(2, 5))]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        period = DAY - timedelta(rng.randrange(4))
        found.append(Sending(PROVIDERS[n % 3], period, rng.randint(1, 2), text.getvalue().encode()))
    return found


def penalty(rng: random.Random) -> dict[str, str]:
    person, case, version = rng.randrange(3), rng.randrange(2), rng.randrange(3)
    updated = f"2026-11-{10 + rng.randrange(4):02d} 08:00:00" if rng.random() < 0.7 else ""
    return {
        "行政相对人名称": name(person), "行政相对人类别": "自然人", "自然人证件类型": "身份证",
        "自然人证件号码": number(person), "行政处罚决定书文号": f"琼示罚〔2026〕{case + 1}号",
        "违法行为类型": "示例违法行为", "违法事实": f"示例事实，第{version}稿", "处罚依据": "《示例条例》第三十八条",
        "处罚类别": "警告", "处罚内容": "警告", "处罚决定日期": "2026-10-01", "处罚机关": "海口市示例局",
        "处罚机关统一社会信用代码": "11469099008171007K", "数据来源单位": "海口市示例局",
        "数据来源单位统一社会信用代码": "11469099008171007K",
        "操作类型": "撤回" if rng.random() < 0.2 else "新增", "更新时间": updated,
    }  # fmt: skip


def arrange(rng: random.Random, sent: Sequence[Sending]) -> list[list[Sending]]:
    """A random order, split over three nights; one delivery comes twice."""
    mixed = [*rng.sample(sent, len(sent)), rng.choice(sent)]
    cuts = sorted(rng.sample(range(1, len(mixed)), 2))
    return [mixed[: cuts[0]], mixed[cuts[0] : cuts[1]], mixed[cuts[1] :]]


@pytest.mark.parametrize("seed", SEEDS)
def test_order_and_nights_of_arrival_decide_nothing(
    seed: int, tmp_path: Path, applied: Callable[[], str], mortals: Mortals
) -> None:
    rng = random.Random(seed)
    sent = sendings(rng, 6)
    told: list[dict[str, Any]] = []
    for n, nights in enumerate(([sent], arrange(rng, sent), *([arrange(rng, sent)] if SOAK else []))):
        home = Home(tmp_path / f"home{n}", applied(), mortals)
        home.place.mkdir()
        (home.place / "sample.json").write_text("{}")
        (home.place / "pseudonym.key").write_bytes(bytes(range(64)))
        for late, night in enumerate(nights):
            for m, s in enumerate(night):
                manifest = {"period": s.period.isoformat(), "sequence": s.sequence}
                home.send(s.department, ITEM, f"{late}-{m}.csv", s.content, **manifest)
            home.night(DAY + timedelta(late))
        assert all(r["read"] == sum(r[k] for k in ACCOUNT) for r in home.deliveries())
        assert all(r["rejected"] + r["held"] == home.waiting(r["delivery_id"]) for r in home.deliveries())
        told.append(home.rows(f"records.{ITEM}", f"history.{ITEM}"))
        with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
            rows = connection.execute(f"SELECT * FROM records.{ITEM} ORDER BY record_key").fetchall()
            told[-1]["warehouse"] = rows
    assert told[0][f"records.{ITEM}"] and len(told[0][f"history.{ITEM}"]) > 10
    for other in told[1:]:
        assert [t for t in other if other[t] != told[0][t]] == []
