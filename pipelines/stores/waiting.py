"""The rows of released deliveries that wait: rejected or held, until they are corrected or come back (ledger tables
`waiting_row` and `replay`). No personal value: places, codes, and keys that are hashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.model import ACCOUNT
from pipelines.stores import reversals
from pipelines.stores.ledger import Ledger, delivery, replay, waiting_row

OPEN = pa.schema(
    [
        ("delivery_id", pa.string()), ("department", pa.string()), ("period", pa.date32()), ("sequence", pa.int32()),
        ("line", pa.int64()), ("sheet", pa.string()), ("verdict", pa.string()), ("codes", pa.string()),
        ("record_key", pa.binary()), ("name_key", pa.binary()), ("is_stated", pa.bool_()),
    ]
)  # fmt: skip
# From so many rows on it pays to open a connection for much, which reads every type of the database first.
MUCH = 2_000


def open_rows(ledger: Ledger, *, item: str | None = None, delivery_id: str | None = None) -> pa.Table:
    """The rows that wait still, of an item or of one delivery; columns OPEN."""
    w = waiting_row.c
    columns = [delivery.c[n] if n in ("department", "period", "sequence") else w[n] for n in OPEN.names]
    query = sa.select(*columns).join(delivery, delivery.c.delivery_id == w.delivery_id).where(w.ended.is_(None))
    if item is not None:
        query = query.where(w.item == item)
    if delivery_id is not None:
        query = query.where(w.delivery_id == delivery_id)
    with ledger.engine.connect() as connection:
        some = connection.execute(query.limit(MUCH)).mappings().all()
    return pa.Table.from_pylist(some, OPEN) if len(some) < MUCH else ledger.bulk.read(query, OPEN)


def deliveries_with_open(ledger: Ledger) -> set[str]:
    """Deliveries of which some row waits that has not become a statement."""
    w = waiting_row.c
    query = sa.select(w.delivery_id).where(w.ended.is_(None), ~w.is_stated).distinct()
    with ledger.engine.connect() as connection:
        return set(connection.execute(query).scalars())


def ended(ledger: Ledger, delivery_id: str) -> list[dict[str, Any]]:
    """The rows of a delivery that wait no more."""
    query = sa.select(waiting_row).where(waiting_row.c.delivery_id == delivery_id, waiting_row.c.ended.isnot(None))
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query.order_by(waiting_row.c.line, waiting_row.c.sheet))]


def history(ledger: Ledger, delivery_id: str) -> list[dict[str, Any]]:
    """All that was said of the rows of a delivery that waited or wait, by place and time."""
    w = waiting_row.c
    query = sa.select(waiting_row).where(w.delivery_id == delivery_id).order_by(w.sheet, w.line, w.since, w.ended)
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query)]


def resolved(ledger: Ledger) -> list[dict[str, Any]]:
    """How many rows of which delivery wait no more: delivery_id, outcome, corrected_by, judged_under, rows."""
    w = waiting_row.c
    by = (w.delivery_id, w.outcome, w.corrected_by, w.judged_under)
    query = sa.select(*by, sa.func.count().label("rows")).where(w.ended.isnot(None)).group_by(*by).order_by(*by)
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query)]


def account_on(ledger: Ledger, row: dict[str, Any], day: date) -> dict[str, int]:
    """The account of a released delivery as it stood after the releases of a day. `row` is its row of the ledger."""
    taken_back = reversals.of(ledger, row["delivery_id"])
    is_before = taken_back is not None and taken_back["released_on"] > day
    account = {name: int((taken_back["account"] if taken_back and is_before else row)[name]) for name in ACCOUNT}
    for moved in ended(ledger, row["delivery_id"]):
        by_reversal = taken_back is not None and moved["ended_release"] == taken_back["release_id"]
        if moved["ended"] > day and not (is_before and by_reversal):
            account[moved["outcome"]] -= 1
            account[moved["verdict"]] += 1
    return account


def replays(ledger: Ledger, state: str) -> dict[str, dict[str, Any]]:
    """Delivery -> its row of `replay` and, from the ledger, what the fold has to know of it."""
    c = delivery.c
    query = sa.select(replay, c.department, c.item, c.period, c.sequence, c.mode)
    query = query.join(delivery, c.delivery_id == replay.c.delivery_id).where(replay.c.state == state)
    with ledger.engine.connect() as connection:
        return {r.delivery_id: dict(r._mapping) for r in connection.execute(query.order_by(replay.c.delivery_id))}


def plan_replay(ledger: Ledger, delivery_id: str, revision: str, yardstick: str, is_complete: bool) -> None:
    """Enter that a delivery was judged again and that some of its rows come back."""
    row = {"delivery_id": delivery_id, "revision": revision, "is_complete": is_complete, "state": "pending"}
    with ledger.engine.begin() as connection:
        query = insert(replay).values(row)
        connection.execute(query.on_conflict_do_update(index_elements=["delivery_id"], set_=row))
        connection.execute(_compared([delivery_id], revision).values(yardstick=yardstick))


def compared(ledger: Ledger, deliveries: Iterable[str], revision: str) -> None:
    """Enter that a revision judges these deliveries as they were judged."""
    if listed := list(deliveries):
        with ledger.engine.begin() as connection:
            connection.execute(_compared(listed, revision))


def forget_replay(ledger: Ledger, delivery_id: str) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(sa.delete(replay).where(replay.c.delivery_id == delivery_id))


def _compared(deliveries: list[str], revision: str) -> sa.Update:
    return sa.update(delivery).where(delivery.c.delivery_id.in_(deliveries)).values(compared=revision)
