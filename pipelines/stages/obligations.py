"""Who owes what by when: the cycles of items and the duties of departments, against what the ledger says has come.

Pure functions over the catalogue and rows of the ledger. A department owes one delivery for every period of an item's
cycle, due some working days after the period ends; one that says nil settles it as well. What is held or returned
settles nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from schemas.calendar import DAY, Calendar, Span
from schemas.calendar import calendar as calendar_of
from schemas.model import Catalog, Department, Duty, Item

Row = Mapping[str, Any]
STATES = ("overdue", "held", "due", "nil", "delivered")  # the gravest first


@dataclass(frozen=True)
class Limits:
    """Dated policies in force on the as-of date; `due_working_days` by cycle, those of another cycle owe nothing."""

    obligations_from: date
    obligations_window_days: int
    due_working_days: Mapping[str, int]


@dataclass(frozen=True)
class Obligation:
    """One period of an item that a department owes. `state` is delivered, nil, due, overdue or held (something came,
    but it waits for a person); `working_days` counts how late it is or came; `delivery_id` is what settled it first."""

    department: str
    item: str
    period_from: date
    period_to: date
    due: date
    state: str
    working_days: int = 0
    delivery_id: str = ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def obligations(catalog: Catalog, rows: Iterable[Row], within: Limits, as_of: date) -> list[Obligation]:
    """Every period in the window, the one that runs on `as_of` last, of each department and item; by department, item
    and period. `rows` are all deliveries of the ledger."""
    calendar = calendar_of(catalog.calendar)
    sent: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        sent[row["department"], row["item"]].append(row)
    found: list[Obligation] = []
    for department in catalog.departments.values():
        for code in catalog.delivers(department.code):
            mine = sent[department.code, code]
            found += _of_pair(department, catalog.items[code], mine, within, as_of, calendar)
    return sorted(found, key=lambda o: (o.department, o.item, o.period_from))


def next_owed(found: Iterable[Obligation]) -> list[Obligation]:
    """Of each department and item the one to look at: the gravest, of those the oldest, else the running period."""
    pairs: defaultdict[tuple[str, str], list[Obligation]] = defaultdict(list)
    for o in found:
        pairs[o.department, o.item].append(o)
    return [
        next((o for state in ("overdue", "held", "due") for o in listed if o.state == state), listed[-1])
        for listed in pairs.values()
    ]


def unknown_years(catalog: Catalog, found: Iterable[Obligation]) -> tuple[int, ...]:
    """Years on which a due day depends and of which the calendar knows the weekends only."""
    days = [day for o in found for day in (o.period_to, o.due)]
    return calendar_of(catalog.calendar).unknown(min(days), max(days)) if days else ()


def late_by(row: Row, catalog: Catalog, within: Limits) -> date | None:
    """The day by which a delivery was due, where it came later; None where it came in time or was owed by no day."""
    calendar = calendar_of(catalog.calendar)
    department, item = catalog.departments[row["department"]], catalog.items[row["item"]]
    cycle, days = _terms(department, item, row["period"], within)
    span = calendar.period(cycle, row["period"])
    if days is None or span is None or "period" not in row["manifest"].get("stated", ()):
        return None
    if not _is_owed(department, item, span, within):
        return None
    due = calendar.after(span.last, days)
    return due if row["received_on"] > due else None


def _of_pair(
    department: Department, item: Item, rows: list[Row], within: Limits, as_of: date, calendar: Calendar
) -> list[Obligation]:
    first = max(within.obligations_from, as_of - timedelta(within.obligations_window_days))
    cycle, days = _terms(department, item, as_of, within)
    if days is None:
        return []
    spans = [s for s in calendar.periods(cycle, first, as_of) if _is_owed(department, item, s, within)]
    settled = _settled(rows, spans, cycle, calendar)
    return [_obligation(department, item, s, days, settled.get(s, []), as_of, calendar) for s in spans]


def _terms(department: Department, item: Item, on: date, within: Limits) -> tuple[str, int | None]:
    """Cycle and working days that hold on a day; no days where nothing is owed by a date."""
    duty = next((d for d in department.duties if d.item == item.code and d.holds(on)), Duty(item=item.code, source="-"))
    cycle = duty.cycle or item.update_cycle
    days = within.due_working_days.get(cycle) if duty.due_working_days is None else duty.due_working_days
    return cycle, days if duty.is_owed else None


def _is_owed(department: Department, item: Item, span: Span, within: Limits) -> bool:
    return span.last >= within.obligations_from and department.holds(span.last) and item.holds(span.last)


def _settled(rows: list[Row], spans: list[Span], cycle: str, calendar: Calendar) -> dict[Span, list[Row]]:
    """The deliveries of each period. One whose sender states no period bears the day it came: it is of the period that
    had ended then, if nothing else was sent for that, and of the running one otherwise."""
    found: defaultdict[Span, list[Row]] = defaultdict(list)
    unstated = []
    for row in sorted(rows, key=lambda r: (r["received_on"], r["sequence"], r["delivery_id"])):
        if cycle == "daily" or "period" in row["manifest"].get("stated", ()):
            found[_span(cycle, row["period"], calendar)].append(row)
        else:
            unstated.append(row)
    for row in unstated:
        running = _span(cycle, row["period"], calendar)
        ended = _span(cycle, running.first - DAY, calendar)
        found[running if found.get(ended) or ended not in spans else ended].append(row)
    return found


def _span(cycle: str, day: date, calendar: Calendar) -> Span:
    return calendar.period(cycle, day) or Span(day, day)


def _obligation(
    department: Department, item: Item, span: Span, days: int, rows: list[Row], as_of: date, calendar: Calendar
) -> Obligation:
    due = calendar.after(span.last, days)
    taken = [r for r in rows if r["state"] in ("received", "checked", "released") and r["received_on"] <= as_of]
    if taken:
        state = "nil" if all(r["read"] == 0 and r["state"] != "received" for r in taken) else "delivered"
        late, first = calendar.between(due, taken[0]["received_on"]), str(taken[0]["delivery_id"])
    else:
        waiting = [r for r in rows if r["state"] == "held" and r["received_on"] <= as_of]
        late, first = calendar.between(due, as_of), str(waiting[0]["delivery_id"]) if waiting else ""
        state = "held" if waiting else "overdue" if as_of > due else "due"
    return Obligation(department.code, item.code, *span, due, state, late, first)
