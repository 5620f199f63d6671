"""Which statements move a case against its states (`Item.states`), as SQL.

The statements of a case are those of one record, whoever sent them; each counts by its own time, as the fold has it
(schemas/fold.py), so the order of arrival decides nothing.
"""

from __future__ import annotations

from sqlglot import exp

from schemas.fold import MADE
from schemas.model import Item, States
from schemas.sql import literal, tree


def strayed(item: Item, source: str) -> exp.Expr:
    """delivery_id, line, sheet of those of all statements that count of an item (`source`) which say a state that may
    not follow the one before; its item has states. Where several statements stand before, of one moment, one that it
    may follow is enough. A withdrawal takes back what was said, so anything may follow it."""
    return tree(" UNION ".join(_strayed(s, source) for s in item.states))


def _strayed(states: States, source: str) -> str:
    said = f"CASE WHEN action <> 'withdraw' THEN {states.field} END"
    allowed = ", ".join(literal(f"{a}>{b}") for a, following in states.next.items() for b in (a, *following))
    return f"""SELECT * FROM (WITH placed AS (
            SELECT *, DENSE_RANK() OVER (PARTITION BY record_key ORDER BY made, period, sequence) AS place
            FROM (SELECT record_key, delivery_id, line, sheet, period, sequence, {MADE} AS made, {said} AS state
                FROM {source} s WHERE action = 'withdraw' OR {states.field} IS NOT NULL) t)
        SELECT s.delivery_id, s.line, s.sheet
        FROM placed s JOIN placed b ON b.record_key = s.record_key AND b.place = s.place - 1
        WHERE s.state IS NOT NULL GROUP BY s.delivery_id, s.line, s.sheet
        HAVING SUM(CASE WHEN b.state IS NULL OR CONCAT(b.state, '>', s.state) IN ({allowed}) THEN 1 END) IS NULL) t"""
