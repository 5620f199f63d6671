"""When a day may be integrated: each item once everybody who owes it has answered, by the calendar of obligations."""

from __future__ import annotations

from datetime import date

from pipelines.night import Night
from pipelines.stages import obligations
from schemas import in_force

OPEN = ("due", "overdue")


def ready(night: Night, period: date, is_past_cut_off: bool = False) -> list[str]:
    """Items with checked deliveries of a period that nobody owes any more for the span of the cycle it lies in; past
    its cut-off, all. What is held or says nil is an answer; an item that nobody owes by a day never waits."""
    rows = [r for r in night.ledger.deliveries() if r["state"] != "received"]
    here = {r["item"] for r in rows if r["state"] == "checked" and r["period"] == period}
    if is_past_cut_off or not here:
        return sorted(here)
    as_of = max(night.as_of, period, *(r["received_on"] for r in rows))  # all that has come counts
    within = in_force.read(obligations.Limits, night.limit)
    found = obligations.obligations(night.catalog, rows, within, as_of)
    late = {o.item for o in found if o.state in OPEN and o.period_from <= period <= o.period_to}
    return sorted(here - late)
