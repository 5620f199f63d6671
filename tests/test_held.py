"""What is held waits for a person: shown with its figures, let pass, sent back or waived, by name and reason. What the
platform itself fails at is parked, and nobody else waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines import checks, sampling, steps
from pipelines.exchange import take
from pipelines.integrate import Scope
from pipelines.model import ACCOUNT
from pipelines.night import open_night
from pipelines.ready import ready
from pipelines.stores.ledger import Ledger
from pipelines.stores.still import turn
from tests.conftest import ROOT
from tests.dirty_files import honour, table
from tests.nights import DAY, Home, begin

BY = ("--by", "Wang, data desk", "--reason", "announced by the department")


def ahead(n: int) -> dict[str, str]:
    """A manifest whose period lies ahead of every night here, which holds its delivery (H010)."""
    return {"period": (DAY + timedelta(300 + n)).isoformat()}


def key_of(home: Home, name: str) -> str:
    return str(home.deliveries()[name]["delivery_id"])


def test_people_decide_of_held_deliveries(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    files = {f"f{n}": (table(honour(n)), ahead(n)) for n in range(3)}
    assert {r["state"] for r in home.night(0, ok=table(honour(9)), **files).values()} == {"held", "released"}
    code, said = home.command("held", "--json")
    found = json.loads(said)
    assert code == 0 and {h["key"] for h in found} == {key_of(home, f"f{n}") for n in range(3)}
    assert {h["code"] for h in found} == {"H010"} and all(h["figures"]["held"] == 1 for h in found)

    day = ("--date", DAY.isoformat())
    for does, name, more in (("approve", "f0", ()), ("reject", "f1", ()), ("approve", "ok", ())):
        code, _ = home.command(does, "--key", key_of(home, name), *BY, *day, *more)
        assert code == (2 if name == "ok" else 0), "only what is held is decided"
    assert home.command("approve", "--key", key_of(home, "f2"), "--by", "", "--reason", "x", *day)[0] == 2
    late = (DAY + timedelta(91)).isoformat()
    assert home.command("waive", "--key", key_of(home, "f2"), "--until", late, *BY, *day)[0] == 2, "90 days at most"

    rows = home.night(1)
    assert [(rows[f"f{n}"]["state"], rows[f"f{n}"]["message_code"]) for n in range(3)] == [
        ("released", "G007"), ("returned", "G008"), ("held", "H010"),
    ]  # fmt: skip
    for name in ("f0", "f1"):
        receipt = home.receipt(rows[name])
        assert "Wang, data desk: announced by the department" in receipt["message_en"], receipt["message_en"]

    # A waiver lets the department's others pass until its day, and none after it; the item's other senders never.
    until = (DAY + timedelta(2)).isoformat()
    assert home.command("waive", "--key", key_of(home, "f2"), "--until", until, *BY, "--date", DAY.isoformat())[0] == 0
    rows = home.night(
        2, f3=(table(honour(3)), ahead(3)), other=(table(honour(4)), ahead(4), "publicity_department")
    )
    assert [rows[name]["state"] for name in ("f2", "f3", "other")] == ["released", "released", "held"]
    assert rows["f1"]["state"] == "returned"
    assert home.night(3, f5=(table(honour(5)), ahead(5)))["f5"]["state"] == "held"
    code, said = home.command("decisions", "--json")
    assert [(d["does"], d["until"]) for d in json.loads(said)] == [
        ("approve", None), ("reject", None), ("waive", until),
    ]  # fmt: skip


def test_what_the_platform_fails_at_is_parked_and_nobody_waits_for_it(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.send(**{f"f{n}": table(honour(n)) for n in range(3)})
    check, looked = checks.check_deliveries, []

    def fails_at_one(night: Any, keys: list[str]) -> dict[str, str]:
        looked.append(sorted(keys))
        if any(r["file"].startswith("f1") for key in keys for r in night.ledger.deliveries(only=key)):
            raise ZeroDivisionError("张三 has no share")
        return check(night, keys)

    monkeypatch.setattr(checks, "check_deliveries", fails_at_one)
    rows = home.night(0)
    assert {name: r["state"] for name, r in rows.items()} == {"f0": "released", "f1": "held", "f2": "released"}
    parked = rows["f1"]
    assert (parked["message_code"], parked["looks"]) == ("G006", 0)
    assert "ZeroDivisionError" in parked["message_en"] and "张三" not in parked["message_en"] + parked["message_zh"]
    assert home.receipt(parked)["state"] == "held"
    before = len(looked)
    home.night(1)
    assert len(looked) == before, "one look is enough"

    # Mended, and approved, it is looked at again.
    monkeypatch.setattr(checks, "check_deliveries", check)
    assert home.command("approve", "--key", parked["delivery_id"], *BY, "--date", DAY.isoformat())[0] == 0
    assert home.night(2)["f1"]["state"] == "released"


def test_a_fault_of_the_disk_parks_nobody_and_the_next_night_finishes(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written for want of room is no fault of a delivery, and nobody has to approve it."""
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.send(f0=table(honour(1)), f1=table(honour(2)))
    with home.told(), open_night(home.place, DAY) as night:
        keys = [d.delivery_id for d in take(night).deliveries]
    in_the_way = [home.place / "accepted" / f"{key}.parquet" / "x" for key in keys]
    for path in in_the_way:
        path.mkdir(parents=True)
    assert home.command("nightly", "--date", DAY.isoformat())[0] == 4
    assert [(r["state"], r["looks"]) for r in home.deliveries().values()] == [("received", 0)] * 2
    for path in in_the_way:
        path.rmdir()
        path.parent.rmdir()
    assert {r["state"] for r in home.night(0).values()} == {"released"}


def test_what_kills_the_process_is_looked_at_alone_and_then_parked(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.send(**{f"f{n}": table(honour(n)) for n in range(3)})
    check, pieces = checks.check_deliveries, []

    class Killed(BaseException):
        pass

    def dies_at_one(night: Any, keys: list[str]) -> dict[str, str]:
        pieces.append(len(keys))
        if any(r["file"].startswith("f1") for key in keys for r in night.ledger.deliveries(only=key)):
            raise Killed
        return check(night, keys)

    monkeypatch.setattr(checks, "check_deliveries", dies_at_one)
    for _ in range(10):
        try:
            rows = home.night(0)
            break
        except Killed:
            continue
    assert {name: r["state"] for name, r in rows.items()} == {"f0": "released", "f1": "held", "f2": "released"}
    assert (rows["f1"]["message_code"], rows["f1"]["looks"]) == ("G006", 0)
    assert pieces[0] == 3 and set(pieces[1:]) == {1}


def test_an_item_waits_until_all_who_owe_it_have_answered(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.night(0)
    day = DAY - timedelta(1)
    home.send(one=(table(honour(1)), {"period": day.isoformat()}))
    with open_night(home.place, DAY) as night:
        assert [d.period for d in take(night, DAY).deliveries] == []
        assert [d.period for d in take(night, day).deliveries] == [day]
        checks.check_several(night, checks.unchecked(night))
        assert ready(night, day, is_past_cut_off=True) == ["honour"]
        assert ready(night, DAY, is_past_cut_off=True) == []
        row = night.ledger.deliveries("checked")[0]
        assert Scope(day, day).has(row) and not Scope(DAY, DAY).has(row) and Scope(last=DAY).has(row)
        assert not Scope(items=frozenset()).has(row) and Scope(items=frozenset(["honour"])).has(row)

    # Of two departments that owe an item one alone has sent it.
    sampling.generate(home.place, rows=20, seed=3, dirty=0, as_of=DAY, items=("contract_performance",))
    with open_night(home.place, DAY) as night:
        take(night)
        one, other = sorted(r["delivery_id"] for r in night.ledger.deliveries("received"))
        checks.check_one(night, one)
        assert ready(night, DAY) == []
        assert ready(night, DAY, is_past_cut_off=True) == ["contract_performance"]
        checks.check_one(night, other)
        assert ready(night, DAY) == ["contract_performance"]


RACER = """
import sys
from pipelines import run
print(run.nightly(sys.argv[1], sys.argv[2])["exit_code"])
"""


def test_two_nights_at_once_have_one_winner(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.send(**{f"f{n}": table(honour(n), honour(n + 10)) for n in range(4)})
    home.told().close()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(home.place), DAY.isoformat()], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [r.communicate(timeout=300)[0].strip() for r in racers] == ["0", "0"]
    rows = home.deliveries()
    assert {name: (r["state"], r["new"]) for name, r in rows.items()} == {f"f{n}": ("released", 2) for n in range(4)}
    assert home.rows("SELECT count(*), count(DISTINCT record_key) FROM records.honour") == [(8, 8)]
    assert sum(sum(r[name] for name in ACCOUNT) for r in rows.values()) == 8


def test_turns_are_taken_and_shared(applied: Callable[[], str]) -> None:
    from threading import Thread

    told: list[str] = []
    with Ledger(applied()) as ledger:

        def second(name: str, is_shared: bool) -> None:
            with turn(ledger, "a", is_shared=is_shared):
                told.append(name)

        for is_shared in (True, False):
            with turn(ledger, "a", is_shared=True):
                other = Thread(target=second, args=(str(is_shared), is_shared))
                other.start()
                other.join(1)
                told.append("first")
            other.join()
    assert told == ["True", "first", "first", "False"]


def test_housekeeping_removes_what_nothing_names_and_nothing_that_waits(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.night(0, a=table(honour(1)))
    home.send(b=table(honour(2)))
    data = home.place / "curated" / "records" / "honour" / "data"
    before = set(data.iterdir())
    (data / "left.parquet").write_bytes(b"of a run that lost its note")
    home.told().close()
    for portion in steps.receive(str(home.place), DAY.isoformat()):
        steps.check(str(home.place), DAY.isoformat(), portion)
    for portion in steps.events(str(home.place), DAY.isoformat(), {}):
        steps.integrate(str(home.place), DAY.isoformat(), portion, {})
    waits = set(data.iterdir()) - before - {data / "left.parquet"}
    assert len(waits) == 1
    assert steps.tidy(str(home.place), DAY.isoformat())["files_unnamed"] == 1
    assert set(data.iterdir()) == before | waits
    steps.gate(str(home.place), DAY.isoformat())
    told = steps.load(str(home.place), DAY.isoformat())
    assert told["items"]["honour"]["new"] == 1
    assert home.rows("SELECT count(*) FROM records.honour") == [(2,)]
