"""Who owes what by when: from the catalogue and rows of the ledger alone."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages import obligations as stage
from pipelines.stages.obligations import Limits, Obligation
from schemas import in_force
from schemas.calendar import calendar as calendar_of
from schemas.load import effective, load
from schemas.model import Catalog, Duty

CATALOG = load()
AS_OF = date(2026, 11, 22)
WITHIN = Limits(date(2026, 9, 1), 92, {"daily": 1, "weekly": 3, "monthly": 5})
PLACE = ("civilization_office", "honour")


def only(cycle: str, **department: Any) -> Catalog:
    """A catalogue of one item and one department."""
    item = CATALOG.items["honour"].model_copy(update={"update_cycle": cycle, "providers": PLACE[:1]})
    sender = CATALOG.departments[PLACE[0]].model_copy(update=department)
    return CATALOG.model_copy(update={"items": {PLACE[1]: item}, "departments": {PLACE[0]: sender}})


def sent(period: str, on: str, state: str = "released", read: int = 5, stated: bool = True) -> dict[str, Any]:
    return {
        "department": PLACE[0], "item": PLACE[1], "period": date.fromisoformat(period), "sequence": 1, "state": state,
        "received_on": date.fromisoformat(on), "read": read, "delivery_id": f"{period} {on}",
        "manifest": {"stated": ["period"]} if stated else {},
    }  # fmt: skip


def monthly(*rows: dict[str, Any], as_of: date = AS_OF, **department: Any) -> list[tuple[str, str, int]]:
    found = stage.obligations(only("monthly", **department), rows, WITHIN, as_of)
    return [(o.period_to.isoformat(), o.state, o.working_days) for o in found]


def test_what_has_not_come_is_overdue_by_working_days_and_the_running_period_is_due() -> None:
    assert monthly() == [("2026-09-30", "overdue", 28), ("2026-10-31", "overdue", 10), ("2026-11-30", "due", 0)]
    (_, october, november) = stage.obligations(only("monthly"), [], WITHIN, AS_OF)
    assert (october.due, november.due) == (date(2026, 11, 6), date(2026, 12, 7))


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (sent("2026-10-31", "2026-11-06"), ("delivered", 0)),
        (sent("2026-10-01", "2026-11-09"), ("delivered", 1)),
        (sent("2026-10-31", "2026-11-02", state="checked"), ("delivered", 0)),
        (sent("2026-10-31", "2026-11-02", read=0), ("nil", 0)),
        (sent("2026-10-31", "2026-11-02", state="held"), ("held", 10)),
        (sent("2026-10-31", "2026-11-02", state="returned", read=0), ("overdue", 10)),
        (sent("2026-10-31", "2026-11-23"), ("overdue", 10)),  # had not come by the as-of date
        (sent("2026-11-10", "2026-11-10", stated=False), ("delivered", 2)),  # of the month that had ended
    ],
)
def test_what_settles_a_period(row: dict[str, Any], state: tuple[str, int]) -> None:
    (october,) = [(s, n) for period, s, n in monthly(row) if period == "2026-10-31"]
    assert october == state


def test_a_second_delivery_without_a_period_is_of_the_running_one() -> None:
    rows = [sent(d, d, stated=False) for d in ("2026-11-10", "2026-11-20")]
    assert [s for _, s, _ in monthly(*rows)] == ["overdue", "delivered", "delivered"]


def test_duties_of_a_department_go_before_the_cycle_of_the_item() -> None:
    duty = Duty(item="honour", cycle="weekly", due_working_days=1, source="agreement")
    found = stage.obligations(only("monthly", duties=(duty,)), [], WITHIN, AS_OF)
    assert (found[-1].period_from, found[-1].period_to) == (date(2026, 11, 16), AS_OF)
    assert monthly(duties=(duty.model_copy(update={"is_owed": False}),)) == []
    assert monthly(duties=(duty.model_copy(update={"valid_to": date(2026, 11, 1)}),)) == monthly()


def test_nobody_owes_before_the_beginning_or_after_the_end_of_a_department() -> None:
    assert [p for p, _, _ in monthly(valid_to=date(2026, 10, 31))] == ["2026-09-30", "2026-10-31"]
    assert [p for p, _, _ in monthly(valid_from=date(2026, 10, 15))] == ["2026-10-31", "2026-11-30"]
    assert monthly(as_of=date(2026, 8, 31)) == []
    for cycle in ("irregular", "realtime"):
        assert stage.obligations(only(cycle), [], WITHIN, AS_OF) == []


def test_a_daily_item_is_owed_for_working_days_and_a_weekend_counts_to_monday() -> None:
    found = stage.obligations(only("daily"), [sent("2026-11-21", "2026-11-23")], WITHIN, date(2026, 11, 24))
    assert [(o.period_to.day, o.state) for o in found][-3:] == [(20, "overdue"), (23, "delivered"), (24, "due")]


def test_the_one_to_look_at_is_the_oldest_overdue_else_what_waits_else_what_is_due() -> None:
    def looked_at(*rows: dict[str, Any]) -> str:
        (one,) = stage.next_owed(stage.obligations(only("monthly"), rows, WITHIN, AS_OF))
        return f"{one.period_to} {one.state}"

    september, october = sent("2026-09-30", "2026-10-08"), sent("2026-10-31", "2026-11-02")
    assert looked_at() == "2026-09-30 overdue"
    assert looked_at(september, october | {"state": "held"}) == "2026-10-31 held"
    assert looked_at(september, october) == "2026-11-30 due"
    assert looked_at(september, october, sent("2026-11-20", "2026-11-20")) == "2026-11-30 delivered"


def test_a_delivery_knows_by_which_day_it_was_due_where_it_came_late() -> None:
    catalog = only("monthly")
    assert stage.late_by(sent("2026-10-31", "2026-11-09"), catalog, WITHIN) == date(2026, 11, 6)
    assert stage.late_by(sent("2026-10-31", "2026-11-06"), catalog, WITHIN) is None
    assert stage.late_by(sent("2026-10-31", "2026-11-09", stated=False), catalog, WITHIN) is None
    assert stage.late_by(sent("2026-07-31", "2026-11-09"), catalog, WITHIN) is None  # before anybody owed
    assert stage.late_by(sent("2026-10-31", "2026-11-09"), only("irregular"), WITHIN) is None


def test_years_without_holidays_are_named_as_far_as_a_day_depends_on_them() -> None:
    found = stage.obligations(only("monthly"), [], WITHIN, date(2026, 12, 31))
    assert stage.unknown_years(CATALOG, found) == (2027,)
    assert stage.unknown_years(CATALOG, found[:2]) == stage.unknown_years(CATALOG, []) == ()


@given(
    st.sampled_from(("daily", "weekly", "monthly")),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 20), st.booleans()), max_size=6),
)
def test_periods_are_owed_once_and_figures_agree_with_the_calendar(
    cycle: str, as_of: date, sendings: list[tuple[int, int, bool]]
) -> None:
    rows = []
    for n, (before, after, stated) in enumerate(sendings):
        on = as_of - timedelta(before)
        rows.append(sent((on - timedelta(after if stated else 0)).isoformat(), on.isoformat(), stated=stated))
        rows[-1]["delivery_id"] = str(n)
    found = stage.obligations(only(cycle), rows, WITHIN, as_of)
    calendar = calendar_of(CATALOG.calendar)
    for a, b in zip(found, found[1:], strict=False):
        assert b.period_from == a.period_to + timedelta(1)
    settled = [o for o in found if o.state == "delivered"]
    assert len(settled) <= len(rows)
    for o in found:
        assert o.due == calendar.after(o.period_to, WITHIN.due_working_days[cycle])
        assert (o.state == "overdue") is (o not in settled and as_of > o.due)
        if o.state != "delivered":
            assert o.working_days == calendar.between(o.due, as_of)
    assert stage.obligations(only(cycle), reversed(rows), WITHIN, as_of) == found


def test_the_shipped_catalogue_says_who_owes_what() -> None:
    within = in_force.read(stage.Limits, lambda name: effective(CATALOG, name, AS_OF))
    found = stage.obligations(CATALOG, [], within, AS_OF)
    pairs = {(o.department, o.item) for o in found}
    assert ("haikou", "administrative_penalty") in pairs
    assert not {d for d, _ in pairs} & {"industry_commerce"}  # merged in 2018
    owing = {i.code for i in CATALOG.items.values() if i.update_cycle not in ("irregular", "realtime")}
    assert {i for _, i in pairs} == owing
    assert all(isinstance(o, Obligation) for o in stage.next_owed(found))
    assert len(stage.next_owed(found)) == len(pairs)
