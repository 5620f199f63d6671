"""What those who run the platform were told (ledger table `alert`), and what the ledger says of things that wait.

No personal value and no file name: keys and words are made of codes of the catalogue, delivery ids, dates and figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.stores.ledger import Ledger, alert, catalogue, delivery, life, look, reversal, tombstone

Row = dict[str, Any]
BATCH = 1_000
c = alert.c


def known(ledger: Ledger, kind: str | None = None) -> list[Row]:
    """All that holds, of a kind or of every one, and what is over and has been told to somebody who has not heard of
    that: key, kind, since, told, last_sent, cleared; by key."""
    query = sa.select(alert).where(sa.or_(c.cleared.is_(None), c.last_sent != {}))
    if kind is not None:
        query = query.where(c.kind == kind)
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query.order_by(c.key))]


def enter(ledger: Ledger, rows: Iterable[Mapping[str, Any]]) -> None:
    """Enter what holds now (key, kind, since, told; last_sent where somebody was told already). What was known keeps
    its beginning; what was over begins anew."""
    made = [{"last_sent": {}, **r} for r in rows]
    query = insert(alert)
    new, is_over = query.excluded, c.cleared.isnot(None)
    query = query.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "told": new.told,
            "since": sa.case((is_over, new.since), else_=c.since),
            "last_sent": sa.case((is_over, new.last_sent), else_=c.last_sent),
            "cleared": None,
        },
    )
    with ledger.engine.begin() as connection:
        for n in range(0, len(made), BATCH):
            connection.execute(query, made[n : n + BATCH])


def clear(ledger: Ledger, keys: Iterable[str], now: datetime, is_silent: bool = False) -> None:
    """Enter that these are over; what nobody was told of, or is not to be told of, is forgotten."""
    named = list(keys)
    if not named:
        return
    is_open = sa.and_(c.key.in_(named), c.cleared.is_(None))
    with ledger.engine.begin() as connection:
        connection.execute(sa.delete(alert).where(is_open, sa.or_(sa.literal(is_silent), c.last_sent == {})))
        connection.execute(sa.update(alert).where(is_open).values(cleared=now))


def mark(ledger: Ledger, last_sent: Mapping[str, Mapping[str, str]]) -> None:
    """Enter by key what was sent to whom and when."""
    query = sa.update(alert).where(c.key == sa.bindparam("of")).values(last_sent=sa.bindparam("now_sent"))
    if last_sent:
        with ledger.engine.begin() as connection:
            connection.execute(query, [{"of": key, "now_sent": dict(sent)} for key, sent in last_sent.items()])


def first_night(ledger: Ledger) -> date | None:
    """The day on which the first catalogue was applied."""
    with ledger.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.min(catalogue.c.applied_on))).scalar()


def returned(ledger: Ledger) -> tuple[date, int] | None:
    """The last day on which deliveries came, and how many of its deliveries went back."""
    day = sa.select(sa.func.max(delivery.c.received_on)).scalar_subquery()
    count = sa.func.count().filter(delivery.c.state == "returned")
    query = sa.select(delivery.c.received_on, count).where(delivery.c.received_on == day).group_by("received_on")
    with ledger.engine.connect() as connection:
        row = connection.execute(query).first()
    return (row[0], row[1]) if row else None


def files_waiting(ledger: Ledger) -> dict[str, datetime]:
    """Place -> since when the oldest file that was seen there and not taken has not changed."""
    is_left = look.c.taken.is_distinct_from(look.c.stamp)
    query = sa.select(look.c.place, sa.func.min(look.c.seen_at)).where(is_left).group_by(look.c.place)
    with ledger.engine.connect() as connection:
        return {r[0]: r[1] for r in connection.execute(query)}


def waiting_for_release(ledger: Ledger) -> list[tuple[str, date]]:
    """(item, since when) of what a release has to carry out: deliveries, deliveries to take back, records to
    delete, records that time alone changes."""
    reverted = delivery.c.delivery_id == reversal.c.delivery_id
    asked = [
        sa.select(delivery.c.item, delivery.c.received_on).where(delivery.c.state.in_(("received", "checked"))),
        sa.select(delivery.c.item, reversal.c.asked_on).join(reversal, reverted).where(reversal.c.release_id.is_(None)),
        sa.select(tombstone.c.item, tombstone.c.written_on).where(tombstone.c.release_id.is_(None)).distinct(),
        sa.select(life.c.item, life.c.changes_on).where(life.c.changes_on.isnot(None)),
    ]
    with ledger.engine.connect() as connection:
        return [(item, since) for item, since in connection.execute(sa.union(*asked))]
