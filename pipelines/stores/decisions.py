"""What people have decided of held deliveries and items (ledger table `decision`): made, never changed."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.stores.ledger import Ledger, asked, decision


def make(
    ledger: Ledger, does: str, item: str, on: date, by: str, reason: str, *, delivery_id: str | None = None,
    department: str | None = None, codes: tuple[str, ...] = (), deliveries: tuple[str, ...] = (),
    until: date | None = None,
) -> int:  # fmt: skip
    """Enter a decision; returns its number. `does` is approve, reject or waive."""
    row = {"does": does, "item": item, "delivery_id": delivery_id, "department": department, "codes": list(codes),
           "deliveries": list(deliveries), "made_on": on, "made_by": by, "reason": reason, "until": until}  # fmt: skip
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE ledger.decision IN EXCLUSIVE MODE"))
        number = (connection.execute(sa.select(sa.func.max(decision.c.number))).scalar() or 0) + 1
        connection.execute(insert(decision).values(number=number, **row))
    return number


def known(ledger: Ledger) -> list[dict[str, Any]]:
    """All decisions by number."""
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(sa.select(decision).order_by(decision.c.number))]


def ask(ledger: Ledger, key: str, on: date) -> bool:
    """Remember that people are asked about something held; False where they were already."""
    query = insert(asked).values(key=key, asked_on=on).on_conflict_do_nothing().returning(asked.c.key)
    with ledger.engine.begin() as connection:
        return connection.execute(query).first() is not None
