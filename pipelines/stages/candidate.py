"""The candidate of an item: what a night would publish of it, written but not committed; whoever goes on reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pipelines.model import Home
from pipelines.stores.files import Change
from pipelines.stores.ledger import Life, Pinned


@dataclass(frozen=True)
class Candidate:
    """What would be published for one item. Data files are absolute paths of the lake, others relative to the home.

    `changes` are those of its tables, by space, `stated` the data files of statements that are new to history.
    `upserts` are the data files of records that hold the `upsert_rows` that are new or changed, `touched` the keys of
    stored records that they replace or that show no more, each with the data file that holds it, in the order in which
    they lie; `events`, `rules`, `changes_on` and `keeps_until` what the records of the item have taken in then. `gone`
    are the keys of records that are deleted (`is_new`) or not taken in again, '' for none. `deliveries` are the checked
    ones, `again` those released before of which rows come back, `reverted` those that count for nothing from now on;
    `begun` and `waited` are the rows that begin and end to wait (stages/settle.py), '' for none.
    """

    candidate: str
    item: str
    base_records: int | None
    base_history: int | None
    base_ended: int | None
    changes: dict[str, Change]
    upserts: list[str]
    upsert_rows: int
    touched: str
    touched_rows: int
    published_rows: int
    deliveries: list[str]
    accounts: dict[str, dict[str, int]]
    events: str
    rules: str
    changes_on: str | None
    keeps_until: str | None
    stated: list[str] = field(default_factory=list)
    gone: str = ""
    again: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    begun: str = ""
    waited: str = ""
    profile: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> Pinned:
        return Pinned(self.base_records, self.base_history, self.base_ended)

    @property
    def life(self) -> Life:
        """What the item's records have taken in."""
        days = (date.fromisoformat(day) if day else None for day in (self.changes_on, self.keeps_until))
        return Life(self.events, self.rules, *days)

    @property
    def is_nothing(self) -> bool:
        """Whether it would publish nothing and move no row: a look that found every record as it is to be."""
        brings = (self.deliveries, self.again, self.reverted, self.gone)
        return not any(brings) and not any(self.changes.values())


def read_candidate(home: Home, item: str) -> Candidate | None:
    path = home.candidate(item)
    said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "changes" not in said:  # as an older version wrote it: the item is curated again
        return None
    return Candidate(**{**said, "changes": {space: Change(**change) for space, change in said["changes"].items()}})
