"""What a record said from when to when, against the naive model asked of every moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.query import query
from pipelines.stages.dedupe import Full
from pipelines.versions import schema as version_schema
from pipelines.versions import versions
from schemas.arrow import statement_schema
from schemas.model import Item
from tests.conftest import SOAK
from tests.dirty_files import table
from tests.nights import begin
from tests.test_stages.test_fold import DEPARTMENTS, ITEM, STRICT, Fulls, naive, order, statement, strict
from tests.test_wrong_person import ticket

SEEDS = range(150 if SOAK else 12)


def test_versions_are_what_the_naive_model_says_at_every_moment() -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        of: Item = STRICT if seed % 2 else ITEM
        make = strict if seed % 2 else statement
        rows = [make(rng, n) for n in range(rng.randrange(1, 14))]
        if of is STRICT:  # the decision of a record is its business key
            rows = [r | {"number": r["decision_key"]} for r in rows]
        fulls = [
            Full(rng.choice(DEPARTMENTS), f"2098-01-0{rng.randrange(1, 4)}", rng.randrange(1, 3))
            for _ in range(rng.randrange(3))
        ]
        out = {r["delivery_id"] for r in rows if rng.randrange(8) == 0}
        found = told(of, rows, fulls, out)
        counted = [r for r in rows if r["delivery_id"] not in out]
        ends = [datetime.combine(date.fromisoformat(f.period) + timedelta(1), time()) for f in fulls]
        for moment in sorted({*(order(r)[0] for r in counted), *ends, datetime(2099, 1, 1)}):
            shown, _ = naive([r for r in counted if order(r)[0] <= moment], greatest(fulls, moment))
            said = {
                bytes(v["record_key"]): bytes(v["content_hash"])
                for v in found
                if v["valid_from"] <= moment and (v["valid_to"] is None or moment < v["valid_to"])
            }
            assert said == shown, (seed, moment)
        for key in {v["record_key"] for v in found}:
            mine = sorted((v["valid_from"], v["valid_to"] or datetime.max) for v in found if v["record_key"] == key)
            assert all(begin < end for begin, end in mine)
            assert all(mine[n][1] <= mine[n + 1][0] for n in range(len(mine) - 1)), "one version at a time"


def greatest(fulls: list[Full], moment: datetime) -> Fulls:
    """The greatest full delivery of each department until a moment."""
    found: Fulls = {}
    for f in fulls:
        day = date.fromisoformat(f.period)
        if datetime.combine(day + timedelta(1), time()) <= moment:
            found[f.department] = max(found.get(f.department, (date.min, 0)), (day, f.sequence))
    return found


def told(of: Item, rows: list[dict[str, Any]], fulls: list[Full], out: set[str]) -> list[dict[str, Any]]:
    with duckdb.connect() as engine:
        shape = statement_schema(of)
        engine.register("said", pa.Table.from_pylist([{k: r.get(k) for k in shape.names} for r in rows], schema=shape))
        sql = versions(engine, of, "said", fulls, out)
        result = engine.execute(f"SELECT {', '.join(version_schema(of).names)} FROM ({sql})")
        names = [c[0] for c in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def test_an_item_that_nobody_spoke_of_has_no_versions() -> None:
    assert told(ITEM, [], [], set()) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_a_correction_ends_the_version_before_it_in_whatever_order_they_came(reverse: bool) -> None:
    rng = random.Random(0)
    base = statement(rng, 0) | {"department": "court", "action": "new", "source_time": None, "sequence": 1}
    first = base | {"period": date(2098, 1, 1), "content_hash": b"a" * 16, "delivery_id": "a"}
    last = base | {"period": date(2098, 1, 3), "content_hash": b"b" * 16, "delivery_id": "b"}
    gone = base | {"period": date(2098, 1, 9), "action": "withdraw", "delivery_id": "c"}
    rows = [first, last, gone]
    found = told(ITEM, rows[::-1] if reverse else rows, [], set())
    spans = sorted((v["delivery_id"], v["valid_from"], v["valid_to"]) for v in found)
    assert spans == [
        ("a", datetime(2098, 1, 2), datetime(2098, 1, 4)), ("b", datetime(2098, 1, 4), datetime(2098, 1, 10)),
    ]  # fmt: skip


def test_both_times_can_be_asked_what_was_so_and_what_was_known(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")
    home.night(0, a=(table(ticket(1, 1), ticket(2, 2)), {"period": "2026-11-20"}))
    home.night(1, b=(table(ticket(1, 1, **{"罚款金额（元）": "20"})), {"period": "2026-11-22"}))
    home.night(2, late=(table(ticket(1, 1, **{"罚款金额（元）": "30"})), {"period": "2026-11-21"}))
    sql = """SELECT line, CAST(fine_cny AS INTEGER), CAST(valid_from AS DATE), CAST(valid_to AS DATE)
        FROM versions.traffic_penalty ORDER BY line DESC, valid_from"""

    def day(n: int) -> date:
        return date(2026, 11, n)

    home.told().close()
    assert query(home.place, sql, "2026-11-22")[1] == [(3, 50, day(21), None), (2, 50, day(21), None)]
    assert query(home.place, sql, "2026-11-23")[1] == [
        (3, 50, day(21), None), (2, 50, day(21), day(23)), (2, 20, day(23), None),
    ]  # fmt: skip
    # What came later about the time between: from then on it is known, and what shows today is the same.
    assert home.rows(sql) == [
        (3, 50, day(21), None), (2, 50, day(21), day(22)), (2, 30, day(22), day(23)), (2, 20, day(23), None),
    ]  # fmt: skip
    assert home.rows("SELECT CAST(fine_cny AS INTEGER) FROM records.traffic_penalty ORDER BY 1") == [(20,), (50,)]
    row = home.deliveries()["b"]
    assert home.command("revert", "--delivery", row["delivery_id"], "--by", "x", "--reason", "y",
                        "--date", "2026-11-25")[0] == 0  # fmt: skip
    assert home.rows(sql)[1:] == [(2, 50, day(21), day(22)), (2, 30, day(22), None)]
    assert home.rows("SELECT count(*) FROM versions.honour") == [(0,)]
