"""What departments say differently of one record: a decision that the city and the province both sent, or a county and
a vertical system. One of them shows, by the declared precedence; here stands what the others say instead.

Worked out when somebody asks, over the current release: the fold (schemas/fold.py) is asked of the records of which
several departments say several things, as if a night had just looked at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from pipelines import versions
from pipelines.errors import UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stages import curate, dedupe
from pipelines.stores import vault
from pipelines.stores.engine import connect
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Pinned
from schemas.arrow import former_names, statement_schema
from schemas.fold import ENDS
from schemas.model import Item

PLACE = ("department", "delivery_id", "line", "sheet", "period")
BATCH = 10_000
# Records of which a look may find that their departments disagree: most records are told by one.
SEVERAL = f"""SELECT record_key FROM past WHERE action NOT IN {ENDS} GROUP BY record_key
    HAVING min(department) <> max(department) AND min(content_hash) <> max(content_hash)"""
# `first` is the statement that comes first of all departments'; `other` what another one says last and lets count.
PAIRS = """WITH first AS (SELECT * FROM ranked WHERE place_overall = 1 AND action <> 'withdraw'),
    other AS (SELECT * FROM ranked WHERE action <> 'withdraw' QUALIFY row_number() OVER (
        PARTITION BY record_key, department, content_hash ORDER BY place_overall) = 1)
    SELECT f.record_key, CASE WHEN p.record_key IS NULL THEN 'held' WHEN p.was_shared THEN 'shared' ELSE 'ended' END
        AS state, f.delivery_id AS f_delivery, f.line AS f_line, f.sheet AS f_sheet,
        o.delivery_id AS o_delivery, o.line AS o_line, o.sheet AS o_sheet
    FROM first f JOIN other o ON o.record_key = f.record_key AND o.department <> f.department
        AND o.content_hash <> f.content_hash
    LEFT JOIN published_all p ON p.record_key = f.record_key"""


@dataclass(frozen=True)
class Disagreement:
    """What one other department says otherwise of a record. `state`: shared, ended, or held where the department that
    comes first contradicts itself, so that nothing shows. `first` and `other` are places: PLACE, the period an ISO
    date. `fields` are the curated fields that differ, name -> [what the first says, what the other says], as text and
    None where it says nothing; `identifying` the names of those that differ in the vault, whose values stay there."""

    item: str
    record_key: str
    subject_id: str
    state: str
    first: dict[str, Any]
    other: dict[str, Any]
    fields: dict[str, list[str | None]]
    identifying: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def disagreements(home: Home, ledger: Ledger, item: str | None = None) -> Iterator[Disagreement]:
    """Every disagreement about records of `item`, or of all, by item, record and precedence; none before the first
    release. Only content counts: the same said at another time is no disagreement. Raises `UsageFault` where there is
    no such item."""
    items = kept_catalogue(home).items
    if item is not None and item not in items:
        raise UsageFault(f"--item {item}: no such item. See 'qiongxin catalog list'.")
    release = ledger.current_release()
    if release is None:
        return
    lake, pinned = open_lake(home, ledger.url), ledger.snapshots(release["release_id"])
    for code in sorted(pinned.keys() & ({item} if item else items.keys())):
        # What one department alone may send, nobody says otherwise.
        if len(items[code].providers) > 1:
            with connect(home.work) as engine:
                yield from _of_item(engine, lake, ledger, items[code], pinned[code], release["number"])


def _of_item(
    engine: duckdb.DuckDBPyConnection, lake: Lake, ledger: Ledger, item: Item, at: Pinned, number: int
) -> Iterator[Disagreement]:
    files = lake.files("history", item.code, at.history)
    if not files:
        return
    said = lake.relation(engine, "history", item.code, statement_schema(item), former_names(item), files)
    spaces = {"records": at.records, "ended": at.ended}
    shown = curate.recorded(engine, lake, item, {s: lake.files(s, item.code, n) for s, n in spaces.items()})
    dedupe.open_statements(engine, item, (), said, shown, *versions.counting(ledger, item.code, number))
    engine.execute(f"INSERT INTO due {SEVERAL}")
    dedupe.run_fold(dedupe.Here(engine), item)
    engine.execute(f"CREATE TABLE pairs AS {PAIRS}")
    curated = [f.name for f in item.curated_fields if f.name != item.source_time]  # the time is no content
    differs = [f"CASE WHEN f.{c} IS DISTINCT FROM o.{c} THEN [CAST(f.{c} AS VARCHAR), CAST(o.{c} AS VARCHAR)] END"
               for c in curated]  # fmt: skip
    places = ", ".join(f"CAST({side}.period AS VARCHAR)" if n == "period" else f"{side}.{n}"
                       for side in "fo" for n in PLACE)  # fmt: skip
    rows = engine.execute(f"""SELECT lower(hex(p.record_key)) AS key, lower(hex(f.subject_id)), p.state, {places},
            {', '.join(differs)}
        FROM pairs p JOIN past f ON {_is('f')} JOIN past o ON {_is('o')}
        LEFT JOIN precedence d ON d.department = o.department
        ORDER BY key, d.precedence NULLS LAST, o.department, o.delivery_id, o.line, o.sheet""")
    while batch := rows.fetchmany(BATCH):
        found = [_told(item, curated, row) for row in batch]
        pairs = [(d.first, d.other) for d in found]
        for d, names in zip(found, vault.differing(ledger.engine, _names(item), pairs), strict=True):
            yield Disagreement(**{**vars(d), "identifying": names})


def _is(side: str) -> str:
    return (
        f"{side}.record_key = p.record_key AND {side}.delivery_id = p.{side}_delivery"
        f" AND {side}.line = p.{side}_line AND {side}.sheet IS NOT DISTINCT FROM p.{side}_sheet"
    )


def _told(item: Item, curated: list[str], row: tuple[Any, ...]) -> Disagreement:
    key, subject, state, *rest = row
    n = len(PLACE)
    first, other = (dict(zip(PLACE, part, strict=True)) for part in (rest[:n], rest[n : 2 * n]))
    fields = {name: list(pair) for name, pair in zip(curated, rest[2 * n :], strict=True) if pair}
    return Disagreement(item.code, key, subject, state, first, other, fields, ())


def _names(item: Item) -> dict[str, tuple[str, ...]]:
    """Identifying field -> the names under which statements of its item know it, today's first. The number itself is
    part of the record's key, so nobody says it otherwise."""
    return {f.name: (f.name, *f.formerly) for f in item.identifying_fields if f.role != "credit_number"}


__all__ = ["Disagreement", "disagreements"]
