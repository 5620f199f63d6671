"""Working days and periods: arithmetic that a table and a slow count agree with."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.calendar import DAY, Calendar, Span, calendar
from schemas.load import CATALOG, load
from schemas.model import CatalogError

KNOWN = calendar(load().calendar)
CYCLES = ("daily", "weekly", "monthly", "quarterly", "half_yearly", "yearly")
days = st.dates(date(2023, 12, 1), date(2027, 2, 1))


@pytest.mark.parametrize(
    ("day", "is_working"),
    [
        ("2026-02-13", True),  # Friday before the Spring Festival
        ("2026-02-14", True),  # Saturday that makes up for it
        ("2026-02-16", False),  # Monday of the festival
        ("2026-02-24", True),
        ("2026-10-10", True),  # Saturday
        ("2026-10-11", False),
        ("2025-09-28", True),  # Sunday
        ("2025-10-08", False),
        ("2024-02-09", True),  # New Year's Eve was no holiday in 2024
        ("2027-01-01", True),  # a Friday of a year without data
    ],
)
def test_a_day_is_worked_on_as_the_notices_say(day: str, is_working: bool) -> None:
    assert KNOWN.is_working(date.fromisoformat(day)) is is_working


@pytest.mark.parametrize(("year", "working"), [(2024, 251), (2025, 248), (2026, 248)])
def test_a_year_has_as_many_working_days_as_the_notice_leaves(year: int, working: int) -> None:
    assert KNOWN.between(date(year - 1, 12, 31), date(year, 12, 31)) == working


def test_seven_working_days_over_the_national_day() -> None:
    assert KNOWN.after(date(2026, 9, 30), 7) == date(2026, 10, 15)
    assert KNOWN.last_late(7, date(2026, 10, 15)) == date(2026, 9, 29)
    assert KNOWN.last_late(7, date(2026, 10, 16)) == date(2026, 10, 7)  # a holiday counts like the working day before


def test_thirty_days_end_after_the_holiday_that_they_end_in() -> None:
    assert KNOWN.ending(date(2026, 9, 3), 30) == date(2026, 10, 8)
    assert KNOWN.ending(date(2026, 11, 18), 30) == date(2026, 12, 18)  # a Friday
    assert KNOWN.ending(date(2026, 9, 10), 30) == date(2026, 10, 10)  # a Saturday that is worked on


@given(days, st.integers(0, 40))
def test_after_and_between_undo_each_other(day: date, count: int) -> None:
    end = KNOWN.after(day, count)
    assert KNOWN.between(day, end) == count
    assert count == 0 or KNOWN.is_working(end)


@given(days, days, days)
def test_spans_of_days_add_up(a: date, b: date, c: date) -> None:
    a, b, c = sorted((a, b, c))
    assert KNOWN.between(a, b) + KNOWN.between(b, c) == KNOWN.between(a, c)


@given(days, st.integers(0, 20), st.integers(-60, 60))
def test_what_is_late_is_what_its_working_days_say(on: date, count: int, shift: int) -> None:
    event = on + timedelta(shift)
    assert (event <= KNOWN.last_late(count, on)) is (KNOWN.after(event, count) < on)


@given(st.sampled_from(CYCLES), days)
def test_every_day_lies_in_one_period_and_periods_follow_each_other(cycle: str, day: date) -> None:
    span = KNOWN.period(cycle, day)
    assert span is not None and span.first <= day <= span.last
    assert {KNOWN.period(cycle, d) for d in (span.first, span.last)} == {span}
    after = KNOWN.period(cycle, span.last + DAY)
    assert after is not None and after.first == span.last + DAY
    assert KNOWN.periods(cycle, span.first, after.last) == [span, after]


def test_periods_begin_where_people_think_they_do() -> None:
    day = date(2026, 11, 22)  # a Sunday
    assert [KNOWN.period(c, day) for c in CYCLES] == [
        Span(date(2026, 11, 21), date(2026, 11, 23)),
        Span(date(2026, 11, 16), date(2026, 11, 22)),
        Span(date(2026, 11, 1), date(2026, 11, 30)),
        Span(date(2026, 10, 1), date(2026, 12, 31)),
        Span(date(2026, 7, 1), date(2026, 12, 31)),
        Span(date(2026, 1, 1), date(2026, 12, 31)),
    ]
    assert KNOWN.period("irregular", day) is None and KNOWN.periods("realtime", day, day) == []


def test_a_year_without_data_knows_weekends_only_and_is_named() -> None:
    assert KNOWN.unknown(date(2025, 1, 1), date(2028, 1, 1)) == (2027, 2028)
    assert Calendar().is_working(date(2026, 10, 1)) and not Calendar().is_working(date(2026, 10, 3))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("2026-10-01,2026-10-01,holiday,x,y,", "2026-10-01 stands twice"),
        ("2026-11-20,2026-11-20,workday,x,y,", "2026-11-20 is worked on anyway"),
        ("2025-11-22,2025-11-22,holiday,x,y,", "no days of the year that the file is named after"),
        ("2026-11-22,2026-11-21,holiday,x,y,", "no days of the year that the file is named after"),
        ("2026-11-22,2026-11-22,rest,x,y,", "Input should be 'holiday' or 'workday'"),
    ],
)
def test_a_fault_of_the_calendar_names_its_file_and_what_to_do(tmp_path: Path, row: str, told: str) -> None:
    root = tmp_path / "catalog"
    shutil.copytree(CATALOG, root)
    path = root / "calendar" / "2026.csv"
    path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    with pytest.raises(CatalogError) as stopped:
        load(root)
    assert "catalog/calendar/2026.csv" in str(stopped.value)
    assert told.lower() in str(stopped.value).lower()
