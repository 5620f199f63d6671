"""Who has to do what by when about events and revoked records, in working days of the catalogue's calendar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from pipelines import life
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stores.engine import connect
from pipelines.stores.ledger import Ledger, Pinned
from schemas.arrow import former_names, stored_schema
from schemas.calendar import calendar
from schemas.load import effective
from schemas.model import Deadline

WITHDRAW = ("撤回依据已被撤销的信息", "withdraw the record whose basis was revoked")


@dataclass(frozen=True)
class Owed:
    """Something not done yet. `department` has to do it, or whoever it asked to; `working_days` are those since `due`,
    0 where that is still to come. `record_key` is that of the event, or of the record to be withdrawn."""

    department: str
    item: str
    record_key: str
    zh: str
    en: str
    since: date
    due: date
    working_days: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def owed(home: Home, ledger: Ledger, on: date) -> list[Owed]:
    """What is open on `on` in the current release, the longest overdue first."""
    catalog, lake, pinned = kept_catalogue(home), open_lake(home, ledger.url), ledger.current_snapshots()
    days = calendar(catalog.calendar)

    def entry(
        department: str, item: str, key: str, words: tuple[str, str], since: date, limit: str, counts: str
    ) -> Owed:
        length = effective(catalog, limit, on)
        due = days.after(since, length) if counts == "working_days" else days.ending(since, length)
        return Owed(department, item, key, *words, since, due, days.between(due, on))

    def rows(space: str, code: str, columns: str, where: str) -> Iterator[tuple[Any, ...]]:
        item = catalog.items[code]
        at = pinned.get(code, Pinned())
        files = lake.files(space, code, at.records if space == "records" else at.ended)
        if files:
            stored = lake.relation(engine, space, code, stored_schema(item), former_names(item), files)
            yield from engine.execute(f"SELECT {columns} FROM {stored} WHERE {where}").fetchall()

    found: list[Owed] = []
    revoked = {e["event"] for e in life.events(home, ledger) if e["name"] == "revoked" and not _is_own(catalog, e)}
    with connect(home.work) as engine:
        for item in catalog.items.values():
            for d in item.deadlines:
                columns = f"department, lower(hex(record_key)), {d.since}"
                where = f"{d.since} IS NOT NULL AND COALESCE({', '.join(d.done)}, NULL) IS NULL"
                found += [entry(who, item.code, key, _words(d), since, d.limit, d.counts)
                          for who, key, since in rows("records", item.code, columns, where)]  # fmt: skip
            columns = "department, lower(hex(record_key)), ended_on, lower(hex(ended_event))"
            found += [
                entry(who, item.code, key, WITHDRAW, since, "withdrawal_working_days", "working_days")
                for who, key, since, event in rows("ended", item.code, columns, "ended_by = 'revoked'")
                if event in revoked
            ]
    return sorted(found, key=lambda o: (o.due, o.department, o.item, o.record_key, o.en))


def _is_own(catalog: Any, event: dict[str, Any]) -> bool:
    """Whether the department itself told that the record is revoked, which is as good as a withdrawal."""
    refers = catalog.items[event["event_item"]].refers
    return bool(refers and refers.is_own)


def _words(deadline: Deadline) -> tuple[str, str]:
    return deadline.zh, deadline.en


__all__ = ["Owed", "owed"]
