"""Working days of Hainan, and the periods of update cycles; all of it arithmetic over `catalog/calendar`.

A working day is one from Monday to Friday that is no holiday, or a day of a weekend that makes up for one. A year of
which the catalogue has no file knows weekends only, and whoever shows a figure says so (`unknown`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from schemas.model import CalendarRow

DAY = timedelta(days=1)
MONTHS = {"monthly": 1, "quarterly": 3, "half_yearly": 6, "yearly": 12}


class Span(NamedTuple):
    """A period from its first to its last day, both included."""

    first: date
    last: date


@dataclass(frozen=True)
class Calendar:
    """`holidays` nobody works on, `made_up` are days of weekends that are worked on, `years` those that are known."""

    holidays: frozenset[date] = frozenset()
    made_up: frozenset[date] = frozenset()
    years: frozenset[int] = frozenset()

    def is_working(self, day: date) -> bool:
        return day in self.made_up or (day.weekday() < 5 and day not in self.holidays)

    def after(self, day: date, count: int) -> date:
        """The `count`-th working day after `day`, which itself never counts; `day` where `count` is 0."""
        return _after(self, day, count)

    def ending(self, day: date, count: int) -> date:
        """The last day of a time of `count` calendar days after `day`, or the next working day where that is none
        (Civil Code, articles 201 and 203)."""
        return self.after(day + (count - 1) * DAY, 1)

    def between(self, day: date, until: date) -> int:
        """Working days after `day` up to and with `until`; 0 where `until` is not later."""
        return _between(self, day, until)

    def last_late(self, count: int, on: date) -> date:
        """The last day whose `count`-th working day after it lies before `on`: what happened then or earlier comes too
        late on `on`."""
        day = on
        while self.after(day, count) >= on:
            day -= DAY
        return day

    def unknown(self, first: date, last: date) -> tuple[int, ...]:
        """Years from `first` to `last` of which only the weekends are known."""
        return tuple(y for y in range(first.year, last.year + 1) if y not in self.years)

    def period(self, cycle: str, day: date) -> Span | None:
        """The period of an update cycle that a day lies in; None for a cycle that has none. Weeks begin on Monday. A
        daily period ends with a working day and begins after the one before it."""
        if cycle == "daily":
            last = day if self.is_working(day) else self.after(day, 1)
            first = last
            while not self.is_working(first - DAY):
                first -= DAY
            return Span(first, last)
        if cycle == "weekly":
            first = day - day.weekday() * DAY
            return Span(first, first + 6 * DAY)
        if (months := MONTHS.get(cycle)) is None:
            return None
        first = date(day.year, (day.month - 1) // months * months + 1, 1)
        return Span(first, _month(first, months) - DAY)

    def periods(self, cycle: str, first: date, last: date) -> list[Span]:
        """Every period of the cycle of which a day lies between the two, in order."""
        return [*_periods(self, cycle, first, last)]


# A night asks for the same few days and cycles thousands of times.


@lru_cache(maxsize=4096)
def _after(calendar: Calendar, day: date, count: int) -> date:
    while count > 0:
        day += DAY
        count -= calendar.is_working(day)
    return day


@lru_cache(maxsize=64)
def _periods(calendar: Calendar, cycle: str, first: date, last: date) -> tuple[Span, ...]:
    found = []
    while first <= last and (span := calendar.period(cycle, first)) is not None:
        found.append(span)
        first = span.last + DAY
    return tuple(found)


@lru_cache(maxsize=4096)
def _between(calendar: Calendar, day: date, until: date) -> int:
    return sum(calendar.is_working(day + n * DAY) for n in range(1, (until - day).days + 1))


def _month(first: date, count: int) -> date:
    """The first day of the month `count` months later."""
    months = first.year * 12 + first.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


@lru_cache(maxsize=4)
def calendar(rows: tuple[CalendarRow, ...]) -> Calendar:
    """The calendar that `catalog/calendar` says."""
    return Calendar(
        holidays=frozenset(_days(r for r in rows if r.kind == "holiday")),
        made_up=frozenset(_days(r for r in rows if r.kind == "workday")),
        years=frozenset(r.first.year for r in rows),
    )


def _days(rows: Iterable[CalendarRow]) -> list[date]:
    return [r.first + n * DAY for r in rows for n in range((r.last - r.first).days + 1)]
