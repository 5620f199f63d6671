"""What people have judged of subjects (ledger table `judgement`): made, undone, never changed.

A judgement counts from the day on which it was made to the day before it is undone. It concerns two pseudonyms; with
`conflict` it concerns one alone, and says that somebody has looked at that conflict about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.stores.ledger import Ledger, judgement

VERDICTS = ("same", "different")
SHAPE = pa.schema([("subject_id", pa.binary()), ("leads_to", pa.binary()), ("verdict", pa.string())])
# The relation `judged` of schemas/persons.py in the database: those that stand now.
STANDING = "(SELECT subject_id, other_id AS leads_to, verdict FROM ledger.judgement WHERE undone_on IS NULL)"


def make(
    ledger: Ledger, pair: tuple[bytes, bytes], verdict: str, on: date, by: str, reason: str, conflict: str | None = None
) -> int | None:
    """Enter a judgement; returns its number, None where one of the same pair (and conflict) stands already."""
    c = judgement.c
    row = {"subject_id": pair[0], "other_id": pair[1], "verdict": verdict, "conflict": conflict, "made_on": on,
           "made_by": by, "reason": reason}  # fmt: skip
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE ledger.judgement IN EXCLUSIVE MODE"))
        number = (connection.execute(sa.select(sa.func.max(c.number))).scalar() or 0) + 1
        query = insert(judgement).values(number=number, **row).on_conflict_do_nothing().returning(c.number)
        return connection.execute(query).scalar()


def undo(ledger: Ledger, number: int, on: date, by: str, reason: str) -> bool:
    """Enter that a judgement counts no more; False where none of that number stands."""
    query = sa.update(judgement).where(judgement.c.number == number, judgement.c.undone_on.is_(None))
    done = query.values(undone_on=on, undone_by=by, undone_reason=reason).returning(judgement.c.number)
    with ledger.engine.begin() as connection:
        return connection.execute(done).first() is not None


def known(ledger: Ledger, on: date | None = None) -> list[dict[str, Any]]:
    """All judgements by number, or those that stood on a day."""
    c = judgement.c
    query = sa.select(judgement).order_by(c.number)
    if on is not None:
        query = query.where(c.made_on <= on, sa.or_(c.undone_on.is_(None), c.undone_on > on))
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query)]


def standing(ledger: Ledger) -> list[dict[str, Any]]:
    """Those that stand now."""
    return [j for j in known(ledger) if j["undone_on"] is None]


def relation(judged: Iterable[dict[str, Any]]) -> pa.Table:
    """Judgements in SHAPE, as schemas/persons.py asks for them."""
    rows = [{"subject_id": j["subject_id"], "leads_to": j["other_id"], "verdict": j["verdict"]} for j in judged]
    return pa.Table.from_pylist(rows, SHAPE)
