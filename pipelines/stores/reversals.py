"""Released deliveries that a person took back (ledger table `reversal`): asked for, then carried out by a release."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.stores.ledger import Ledger, delivery, reversal


def ask(ledger: Ledger, delivery_id: str, on: date, by: str, reason: str) -> bool:
    """Enter that a delivery is to be reverted; False where it is already."""
    row = {"delivery_id": delivery_id, "asked_on": on, "asked_by": by, "reason": reason}
    query = insert(reversal).values(row).on_conflict_do_nothing().returning(reversal.c.delivery_id)
    with ledger.engine.begin() as connection:
        return connection.execute(query).first() is not None


def known(ledger: Ledger, item: str | None = None) -> list[dict[str, Any]]:
    """All reversals, of an item or of every one, each with its delivery's department, item, period, sequence, mode and
    is_complete; by delivery."""
    columns = [delivery.c[n] for n in ("department", "item", "period", "sequence", "mode", "is_complete")]
    query = sa.select(reversal, *columns).join(delivery, delivery.c.delivery_id == reversal.c.delivery_id)
    if item is not None:
        query = query.where(delivery.c.item == item)
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query.order_by(reversal.c.delivery_id))]


def pending(ledger: Ledger) -> list[dict[str, Any]]:
    """Those that no release has carried out yet."""
    return [r for r in known(ledger) if r["release_id"] is None]


def of(ledger: Ledger, delivery_id: str) -> dict[str, Any] | None:
    """The reversal of a delivery that a release has carried out."""
    query = sa.select(reversal).where(reversal.c.delivery_id == delivery_id, reversal.c.release_id.isnot(None))
    with ledger.engine.connect() as connection:
        row = connection.execute(query).first()
    return dict(row._mapping) if row else None
