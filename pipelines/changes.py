"""What differs between two releases: records added, modified, deleted. Read from the snapshots that they name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from pipelines.errors import UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stores import snapshots
from pipelines.stores.engine import connect
from pipelines.stores.files import Files, thinned
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Pinned
from schemas.arrow import former_names, statement_schema
from schemas.model import Item

PLACE = ("department", "delivery_id", "line", "sheet")
BATCH = 10_000


@dataclass(frozen=True)
class Change:
    """One record that differs. `kind`: ADD, MOD (another content), DEL. `fields` are those of a MOD that differ outside
    the vault; none where only a name or number does. `before` and `after` say by which statement it showed."""

    item: str
    kind: str
    record_key: str
    subject_id: str
    fields: tuple[str, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def changes(home: Home, ledger: Ledger, first: str, last: str, item: str | None = None) -> Iterator[Change]:
    """Every record of `item`, or of all, that differs from release `first` to `last` (an id, or the last one of a
    date), by item and key. Content decides: a record that shows the same by another statement does not differ. Raises
    `UsageFault` where there is no such release or item."""
    ids = [_release(ledger, name) for name in (first, last)]
    pairs = [ledger.snapshots(release_id) for release_id in ids]
    items = kept_catalogue(home).items
    if item is not None and item not in items:
        raise UsageFault(f"--item {item}: no such item. See 'qiongxin catalog list'.")
    for name, release_id in zip((first, last), ids, strict=True):
        if gone := snapshots.gone(ledger, release_id, {item} if item else items):
            raise UsageFault(f"{name}: {gone}. Name a later release, or another item with --item.")
    lake = open_lake(home, ledger.url)
    for code in sorted({*pairs[0], *pairs[1]} & ({item} if item else {*items})):
        before, after = (lake.files("records", code, pair.get(code, Pinned()).records) for pair in pairs)
        with connect(home.work) as engine:
            differing = Files(strikes=tuple({*before.strikes} ^ {*after.strikes}))
            same = {*before.data} & {*after.data} - thinned(engine, differing)
            sides = (files.only(f for f in files.data if f not in same) for files in (before, after))
            yield from _of_item(engine, lake, items[code], *sides)


def _release(ledger: Ledger, name: str) -> str:
    found = ledger.find_release(name)
    if found is None:
        raise UsageFault(f"{name}: no such release. Name an id of 'qiongxin releases', or a date from the first on.")
    return str(found["release_id"])


def _of_item(
    engine: duckdb.DuckDBPyConnection, lake: Lake, item: Item, gone: Files, come: Files
) -> Iterator[Change]:
    """Without the files of which both releases show the same records."""
    shape = statement_schema(item)
    curated = [f.name for f in item.curated_fields if f.name != item.source_time]  # the time is no content
    for name, files in (("b", gone), ("a", come)):
        if files:
            source = lake.relation(engine, "records", item.code, shape, former_names(item), files)
        else:
            engine.register(f"none_{name}", shape.empty_table())
            source = f"none_{name}"
        columns = ", ".join(["record_key", "content_hash", "subject_id", *PLACE, *curated])
        engine.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {source}")
    differs = ", ".join(f"CASE WHEN b.{f} IS DISTINCT FROM a.{f} THEN '{f}' END" for f in curated)
    places = ", ".join(f"{side}.{n}" for side in "ba" for n in PLACE)
    rows = engine.execute(f"""SELECT lower(hex(coalesce(b.record_key, a.record_key))) AS key,
            lower(hex(coalesce(b.subject_id, a.subject_id))),
            CASE WHEN b.record_key IS NULL THEN 'ADD' WHEN a.record_key IS NULL THEN 'DEL' ELSE 'MOD' END AS kind,
            concat_ws(',', {differs}), {places}
        FROM b FULL JOIN a ON a.record_key = b.record_key
        WHERE b.content_hash IS DISTINCT FROM a.content_hash ORDER BY key""")
    while batch := rows.fetchmany(BATCH):
        for key, subject, kind, fields, *told in batch:
            before, after = (dict(zip(PLACE, part, strict=True)) for part in (told[: len(PLACE)], told[len(PLACE) :]))
            differing = tuple(fields.split(",")) if kind == "MOD" and fields else ()
            yield Change(
                item.code, kind, key, subject, differing,
                None if kind == "ADD" else before, None if kind == "DEL" else after,
            )  # fmt: skip
