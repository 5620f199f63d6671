"""What the cells of a code may say, worked out once for all deliveries that read it alike."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta

from schemas.model import Catalog, CodeSet
from schemas.row_rules import code_values, ended


@dataclass(frozen=True)
class Known:
    """`values` -> code; `until` of those in force no more, their last day; `digest` tells others from them."""

    values: dict[str, str]
    until: dict[str, date]
    digest: str


class Words:
    """The code sets of a catalogue, as departments write them in a period. One that the catalogue lacks is empty."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._known: dict[tuple[str, int, str | None], Known] = {}
        self._days: dict[str, list[date]] = {}

    def of(self, name: str, on: date, department: str | None) -> Known:
        code_set = self.catalog.code_sets.get(name) or CodeSet(name=name, codes=())
        days = self._days.get(name)
        if days is None:
            days = self._days[name] = _days(code_set)
        whose = department if any(v.department == department for v in code_set.own) else None
        key = (name, bisect_right(days, on), whose)
        known = self._known.get(key)
        if known is None:
            values, until = code_values(code_set, on, department), ended(code_set)
            said = repr((sorted(values.items()), sorted(until.items())))
            known = self._known[key] = Known(values, until, hashlib.sha256(said.encode()).hexdigest())
        return known


def _days(code_set: CodeSet) -> list[date]:
    """The first days from which the set says something else."""
    starts = {c.valid_from for c in code_set.codes} | {v.valid_from for v in code_set.own}
    ends = {v.valid_to + timedelta(1) for v in code_set.own if v.valid_to and v.valid_to < date.max}
    return sorted({day for day in starts if day} | ends)
