"""Which statements move a case against its states, against the same said one statement after the other."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import states
from schemas.arrow import statement_schema
from schemas.load import load
from tests.conftest import SOAK

CATALOG = load()
ITEM = CATALOG.items["complaint_event"]
FIRST = date(2026, 11, 20)
NEXT = {
    "filed": {"accepted", "not_accepted", "handling", "concluded", "withdrawn"},
    "accepted": {"handling", "concluded", "withdrawn"},
    "handling": {"concluded", "withdrawn"},
    "not_accepted": set(), "concluded": set(), "withdrawn": set(),
}  # fmt: skip
OUTCOMES = ("corrected", "deleted", "upheld", "not_upheld")
Row = dict[str, Any]


def row(n: int, day: int, state: str, outcome: str | None = None, **more: Any) -> Row:
    """Statement number `n` of case 1, without a time of its own."""
    return {
        "record_key": b"1" * 16, "subject_id": b"s" * 16, "content_hash": bytes([n]) * 16, "department": "haikou",
        "delivery_id": f"d{n}", "line": n + 2, "sheet": None, "period": FIRST + timedelta(day), "sequence": 1,
        "source_time": None, "action": "new", "complaint_state": state, "complaint_outcome": outcome, **more,
    }  # fmt: skip


def strayed(rows: list[Row]) -> set[int]:
    """The lines that are told."""
    with duckdb.connect() as engine:
        engine.register("said", pa.Table.from_pylist(rows, schema=statement_schema(ITEM)))
        found = engine.execute(states.strayed(ITEM, "said").sql(dialect="duckdb")).fetchall()
    assert len(found) == len({(d, line) for d, line, _ in found})
    return {line for _, line, _ in found}


def moment(s: Row) -> tuple[datetime, date, int]:
    return s["source_time"] or datetime.combine(s["period"] + timedelta(1), time()), s["period"], s["sequence"]


def expected(rows: list[Row]) -> set[int]:
    found = set()
    for s in rows:
        for field, follows in (("complaint_state", NEXT), ("complaint_outcome", dict.fromkeys(OUTCOMES, set[str]()))):
            case = [o for o in rows if o["record_key"] == s["record_key"] and (o["action"] == "withdraw" or o[field])]
            if s["action"] == "withdraw" or not s[field]:
                continue
            before = max((moment(o) for o in case if moment(o) < moment(s)), default=None)
            last = [None if o["action"] == "withdraw" else o[field] for o in case if moment(o) == before]
            if last and not any(o is None or o == s[field] or s[field] in follows[o] for o in last):
                found.add(s["line"])
    return found


@st.composite
def cases(draw: st.DrawFn) -> list[Row]:
    rows = []
    for n in range(draw(st.integers(0, 8))):
        moments = st.none() | st.integers(0, 4).map(lambda d: datetime.combine(FIRST + timedelta(d), time(8)))
        more = {
            "record_key": draw(st.sampled_from([b"1", b"2"])) * 16, "sequence": draw(st.integers(1, 2)),
            "source_time": draw(moments), "department": draw(st.sampled_from(["haikou", "development_reform"])),
            "action": draw(st.sampled_from(["new", "new", "new", "withdraw"])),
        }  # fmt: skip
        outcome = draw(st.none() | st.sampled_from(OUTCOMES))
        rows.append(row(n, draw(st.integers(0, 3)), draw(st.sampled_from([*NEXT])), outcome, **more))
    return draw(st.permutations(rows))


@settings(max_examples=300 if SOAK else 60, deadline=None)
@given(cases())
def test_a_state_that_may_not_follow_is_told_whatever_came_first(rows: list[Row]) -> None:
    assert strayed(rows) == expected(rows)


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (["filed", "accepted", "handling", "concluded"], set()),
        (["filed", "withdrawn"], set()),
        (["handling", "handling"], set()),  # the same again, and a case of which the beginning was never sent
        (["withdrawn", "accepted"], {3}),
        (["filed", "concluded", "accepted", "handling"], {4}),
        (["not_accepted", "concluded", "filed"], {3, 4}),
    ],
)
def test_each_state_is_held_against_the_one_before(said: list[str], lines: set[int]) -> None:
    assert strayed([row(n, n, state) for n, state in enumerate(said)]) == lines


def test_another_outcome_is_told_and_none_after_the_row_was_taken_back() -> None:
    upheld, not_upheld = (row(n, n, "concluded", o) for n, o in enumerate(("deleted", "not_upheld")))
    assert strayed([upheld, not_upheld]) == {3}
    gone = row(2, 0, "concluded", "deleted", action="withdraw", sequence=2)
    assert strayed([upheld, not_upheld, gone]) == set()


@pytest.mark.parametrize("item", [i for i in CATALOG.items.values() if i.states], ids=lambda i: i.code)
@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
def test_it_renders_for_every_engine(item: Any, dialect: str) -> None:
    assert states.strayed(item, "said").sql(dialect=dialect)


def test_events_that_are_decided_say_their_states() -> None:
    assert {i.code for i in CATALOG.items.values() if i.states} == {
        "complaint_event", "objection_event", "reconsideration_event", "restoration_event"
    }  # fmt: skip
