"""Nights in which the gate holds something: the rest is published, and the held item or delivery says why."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines import checks, integrate, run, sampling
from pipelines.model import Delivery, Home
from pipelines.query import query
from pipelines.stages import load
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger

ITEMS = ("honour", "volunteer_service")
DAYS = [date(2026, 11, 22) + timedelta(n) for n in range(4)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with one released night of two items."""
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0.1")
    home = tmp_path / "home"
    try:
        assert night(home, 0)["exit_code"] == 0
        yield home
    finally:
        postgres.down(home)


def night(home: Path, n: int, told: list[str] | None = None) -> dict[str, Any]:
    sampling.generate(home, rows=300, seed=40 + n, as_of=DAYS[n], items=ITEMS)
    return run.nightly(home, DAYS[n], (told if told is not None else []).append)


def records(home: Path) -> dict[str, int]:
    return {i: query(home, f"SELECT count(*) FROM records.{i}", None)[1][0][0] for i in ITEMS}


def rows(home: Path, item: str) -> list[dict[str, Any]]:
    with Ledger(postgres.up(home)) as ledger:
        return ledger.deliveries(item=item)


def spoil(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    """After the item `honour` has been staged, somebody runs `sql` on the database."""
    stage = load.stage

    def then_spoil(home: Home, ledger: Ledger, item: Any, *others: Any) -> None:
        stage(home, ledger, item, *others)
        if item.code == "honour":
            with psycopg.connect(ledger.url.replace("+psycopg", ""), autocommit=True) as connection:
                staged = "'staging.honour'::regclass"
                named = f"SELECT conname FROM pg_constraint WHERE conrelid = {staged} AND contype = 'p'"
                (key,) = connection.execute(named).fetchone()
                connection.execute(sql.format(key=key))

    monkeypatch.setattr(load, "stage", then_spoil)


@pytest.mark.parametrize(
    ("sql", "verdict", "code"),
    [
        ("ALTER TABLE staging.honour DROP CONSTRAINT {key}", "failed", "G003"),
        ("DROP TABLE staging.honour", "could_not_evaluate", "G004"),
    ],
)
def test_a_held_item_keeps_its_last_release_says_why_and_recovers(
    home: Path, monkeypatch: pytest.MonkeyPatch, sql: str, verdict: str, code: str
) -> None:
    before = records(home)
    told: list[str] = []
    with monkeypatch.context() as broken:
        spoil(broken, sql)
        result = night(home, 1, told)
    after = records(home)
    assert (result["exit_code"], result["held"]) == (3, ["honour"])
    assert after["honour"] == before["honour"]
    assert after["volunteer_service"] > before["volunteer_service"]

    (line,) = [t for t in told if t.startswith("gate: honour")]
    assert line.startswith(f"gate: honour {verdict}: ") and "primary_key" in line
    waiting = [r for r in rows(home, "honour") if r["state"] == "checked"]
    assert waiting and all(r["message_code"] == code and "主键存在且有效" in r["message_zh"] for r in waiting)
    assert all(r["read"] == r["held"] + r["rejected"] + r["refused"] for r in waiting)
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "主键存在且有效" in page and code in page

    again = run.nightly(home, DAYS[1])
    assert (again["exit_code"], again["held"]) == (0, [])
    assert records(home)["honour"] > before["honour"]
    assert {(r["state"], r["message_code"]) for r in rows(home, "honour")} == {("released", "")}


def test_an_item_that_would_lose_most_of_its_records_is_held(home: Path) -> None:
    with run.open_night(home, DAYS[1]) as opened:
        sampling.generate(home, rows=300, seed=41, as_of=DAYS[1], items=ITEMS)
        run.take(opened)
        for row in opened.ledger.deliveries("received"):
            checks.check_one(opened, row["delivery_id"])
        for code in integrate.pending_items(opened):
            integrate.integrate_item(opened, code)
        path = opened.home.candidate("honour")
        path.write_text(path.read_text().replace('"removed_rows": 0', '"removed_rows": 99'))
        assert run.gate_items(opened) == {"honour": "failed", "volunteer_service": "passed"}
        (result,) = [r for r in opened.ledger.gate_results(DAYS[1]) if r["item"] == "honour"]
        (why,) = [o for o in result["detail"]["outcomes"] if o["outcome"] == "failed"]
        assert (why["name"], why["observed"]) == ("removed_rows", "99")
        assert why["limit"] == "<= 30 (20% / 150)"


def test_a_candidate_on_top_of_another_release_is_not_judged(home: Path) -> None:
    with run.open_night(home, DAYS[1]) as opened:
        sampling.generate(home, rows=300, seed=41, as_of=DAYS[1], items=("honour",))
        run.take(opened)
        for row in opened.ledger.deliveries("received"):
            checks.check_one(opened, row["delivery_id"])
        integrate.integrate_item(opened, "honour")
        path = opened.home.candidate("honour")
        path.write_text(path.read_text().replace('"base_records": ', '"base_records": 1'))
        assert run.gate_items(opened) == {}


def enter(ledger: Ledger, period: date, read: int, sequence: int = 1, state: str = "released") -> dict[str, Any]:
    name = f"{period}-{sequence}-{state}"
    ledger.register(
        Delivery(name, "youth_league", "volunteer_service", "f", period, sequence, "incremental", name, 1, None),
        period, "inbox/youth_league", name.encode(), "1/1",
    )  # fmt: skip
    ledger.update(name, state=state, read=read)
    return ledger.deliveries(only=name)[0]


def test_a_delivery_far_from_its_usual_volume_is_held_until_a_person_lets_it_pass(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(postgres.up(home)) as ledger:
        for n in range(1, 8):
            enter(ledger, date(2026, 10, n), 100_000 + n)
        enter(ledger, date(2026, 10, 7), 3, sequence=2)  # a correction does not make small numbers usual
        enter(ledger, date(2026, 10, 9), 7, state="held")
        enter(ledger, date(2026, 10, 10), 0)
        other = enter(ledger, date(2026, 10, 8), 100_008, state="checked")
        assert ledger.usual_rows(other, 3) == [150, 100_007, 100_006]
        assert ledger.usual_rows(other, 10) == [150, *(100_000 + n for n in range(7, 0, -1))]
        assert not ledger.is_supplement(other)
        assert ledger.is_supplement(enter(ledger, date(2026, 10, 8), 5, sequence=2, state="checked"))
        for name in ("2026-10-08-1-checked", "2026-10-08-2-checked"):
            ledger.update(name, state="returned")
    result = night(home, 1)
    assert result["exit_code"] == 3
    (held,) = [r for r in rows(home, "volunteer_service") if r["received_on"] == DAYS[1]]
    assert (held["state"], held["message_code"], held["held"]) == ("held", "H001", held["read"] - held["rejected"])
    assert "100,00" in held["message_zh"] and "100,00" in held["message_en"]
    assert {r["state"] for r in rows(home, "honour")} == {"released"}

    limit = run.Night.limit
    let_pass = [held["delivery_id"]]
    monkeypatch.setattr(run.Night, "limit", lambda n, name: let_pass if name == "let_pass" else limit(n, name))
    assert held["delivery_id"] not in run.nightly(home, DAYS[1])["held"]
    (passed,) = [r for r in rows(home, "volunteer_service") if r["delivery_id"] == held["delivery_id"]]
    assert (passed["state"], passed["message_code"]) == ("released", "")
