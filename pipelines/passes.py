"""By which decisions of people something passes although a rule would hold it (pipelines/decisions.py makes them)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.night import Night
from pipelines.stages.gate import LET_PASS as LET_PASS
from pipelines.stores import decisions

REJECTED = "G008"


@dataclass(frozen=True)
class Book:
    """The decisions that hold on a day."""

    rows: Sequence[Mapping[str, Any]]

    def of_delivery(self, row: Mapping[str, Any], code: str) -> Mapping[str, Any] | None:
        """The decision by which a delivery passes although it is held by a finding code."""
        for d in self.rows:
            if code in d["codes"] and (
                d["delivery_id"] == row["delivery_id"]
                or (d["does"] == "waive" and d["item"] == row["item"] and d["department"] == row["department"])
            ):
                return d
        return None

    def of_item(self, item: str, deliveries: Iterable[str], expectation: str) -> Mapping[str, Any] | None:
        """The decision by which an item passes although an expectation failed."""
        waiting = set(deliveries)
        for d in self.rows:
            if d["item"] == item and d["department"] is None and expectation in d["codes"] and (
                d["does"] == "waive" or waiting <= set(d["deliveries"])
            ):  # fmt: skip
                return d
        return None


def book(night: Night) -> Book:
    return Book([
        d for d in decisions.known(night.ledger)
        if d["does"] != "reject" and d["made_on"] <= night.as_of and (d["until"] is None or night.as_of <= d["until"])
    ])  # fmt: skip


def told(night: Night, code: str, of: Mapping[str, Any]) -> tuple[str, str]:
    """What a decision is told as, in Chinese and English; `code` is LET_PASS or REJECTED."""
    until = of.get("until")
    value = f"No. {of['number']}, {of['made_on']}, {of['made_by']}: {of['reason']}" + (f" (→ {until})" if until else "")
    return night.catalog.findings[code].of(value)
