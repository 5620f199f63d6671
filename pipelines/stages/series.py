"""A delivery beside the others that the ledger knows: numbers that are missing, numbers used twice, the same file.

Pure functions over rows of the ledger. None of this holds a delivery: the department is told, and decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pipelines.stages.validate import Fault

Row = Mapping[str, Any]
Range = tuple[int, int]


def remarks(row: Row, others: Iterable[Row]) -> list[Fault]:
    """What is to be said of a delivery as a whole (H012, H013, H014). `others` are those of its department and item
    and those of the same bytes, wherever they lie."""
    ordered = sorted((o for o in others if o["delivery_id"] != row["delivery_id"]), key=_arrival)
    earlier = [o for o in ordered if _arrival(o) < _arrival(row)]
    told = []
    if missing := missing_before(row, numbers(o for o in ordered if _series(o) == _series(row))):
        told.append(Fault("H012", None, value=text(missing)))
    same_number = (o for o in earlier if _number(o) == _number(row) and o["sha256"] != row["sha256"])
    if used := next(same_number, None):
        told.append(Fault("H013", None, value=used["delivery_id"]))
    if same := next((o for o in earlier if _is_same_file(row, o)), None):
        told.append(Fault("H014", None, value=f"{same['delivery_id']} ({same['item']} {same['period']})"))
    return told


def numbers(rows: Iterable[Row]) -> dict[date, set[int]]:
    """The numbers used in each period."""
    found: defaultdict[date, set[int]] = defaultdict(set)
    for row in rows:
        found[row["period"]].add(row["sequence"])
    return dict(found)


def missing_before(row: Row, used: Mapping[date, set[int]]) -> Range | None:
    """The numbers that are missing right before that of a delivery, first and last. `used` are those of its department
    and item.

    Departments count within a period or through all of them. So the first number of a period may be 1 or follow the
    last one of the period before; where neither is so, the department counts within periods if all it sent before
    began with 1. Before its very first delivery nothing is missing.
    """
    number, period = row["sequence"], row["period"]
    if number == 1:
        return None
    if below := [n for n in used.get(period, ()) if n < number]:
        return (max(below) + 1, number - 1) if max(below) + 1 < number else None
    before = [p for p in used if p < period]
    if not before:
        return None
    last = max(used[max(before)])
    if number == last + 1:
        return None
    if all(min(used[p]) == 1 for p in before) and (len(before) > 1 or number <= last):
        return 1, number - 1
    return (last + 1, number - 1) if number > last else None


def missing(rows: Iterable[Row]) -> dict[str, str]:
    """Delivery id -> the numbers that are missing right before it, as text, for those where any are."""
    groups: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[_series(row)].append(row)
    found = {}
    for group in groups.values():
        used = numbers(group)
        for row in group:
            if gap := missing_before(row, used):
                found[str(row["delivery_id"])] = text(gap)
    return found


def text(numbers: Range) -> str:
    first, last = numbers
    return str(first) if first == last else f"{first}–{last}"


def _series(row: Row) -> tuple[str, str]:
    return row["department"], row["item"]


def _number(row: Row) -> tuple[str, str, date, int]:
    return *_series(row), row["period"], row["sequence"]


def _arrival(row: Row) -> tuple[date, date, int, str]:
    """Within a day nobody knows what came first, so the declared order decides."""
    return row["received_on"], row["period"], row["sequence"], row["delivery_id"]


def _is_same_file(row: Row, other: Row) -> bool:
    """The same bytes with rows in them. A full list that did not change is the same file, and right to be."""
    if row["sha256"] != other["sha256"] or row["is_nil"] or row["size"] == 0:
        return False
    is_unchanged = row["mode"] == other["mode"] == "full" and row["period"] != other["period"]
    return not (is_unchanged and _series(row) == _series(other))
