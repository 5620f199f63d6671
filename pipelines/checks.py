"""The step `check` over many deliveries: which ones, in which pieces, and what becomes of one that cannot be judged.

Nobody waits for somebody else's delivery. One at which the platform itself fails, with whatever error but one of its
stores, is parked as held (G006) after that one look; one that ends the process, as too little memory does, is looked at
alone the next time, and parked after `DEATHS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pipelines import again, passes
from pipelines.check import check_deliveries, measure, tell_department
from pipelines.errors import QiongxinError, of_storage
from pipelines.hands import Hands
from pipelines.night import Night
from pipelines.stores.still import turn
from schemas.model import CatalogError

SMALL = 1_000_000  # bytes; deliveries up to here, and items with so much to integrate, are worked on side by side
TOGETHER = 16  # small deliveries of an item that are checked in one piece
MANY = 24  # small deliveries; fewer are checked before other processes have started
DEATHS = 3
PARKED = "G006"


def unchecked(night: Night) -> list[str]:
    """Deliveries to check: the new ones, held ones that a person has decided to let pass (a decision, or policy
    let_pass), those that another catalogue judged and no release holds yet, and those of which it kept something back
    that today's may take."""
    let_pass, due, book = set(night.limit("let_pass")), set(again.due(night)), passes.book(night)
    return [
        r["delivery_id"]
        for r in night.ledger.deliveries()
        if r["state"] == "received"
        or (r["state"] == "held" and (r["delivery_id"] in let_pass or book.of_delivery(r, r["message_code"])))
        or (r["state"] == "checked" and not _is_done(night, r))
        or r["delivery_id"] in due
    ]


def _is_done(night: Night, row: Mapping[str, Any]) -> bool:
    return bool(row["state"] == "checked" and row["revision"] == night.catalog.revision and row["yardstick"])


def check_one(night: Night, delivery_id: str) -> str:
    """Check a delivery, or judge a released one again; returns its state, or what comes of it."""
    return check_several(night, (delivery_id,))[delivery_id]


def check_several(night: Night, delivery_ids: Sequence[str]) -> dict[str, str]:
    """The same of several, by preference of one item and small. Whoever else checks one of them now is waited for, and
    what he has done is not done again. Raises `StoreError`."""
    with turn(night.ledger, *(f"delivery {key}" for key in delivery_ids)):
        rows = {key: night.ledger.deliveries(only=key)[0] for key in delivery_ids}
        states = {key: str(row["state"]) for key, row in rows.items() if _is_done(night, row)}
        released = [key for key, row in rows.items() if row["state"] == "released"]
        states |= {key: again.judge_again(night, key) for key in released}
        asked = [key for key in delivery_ids if key not in states]
        killed = [key for key in asked if rows[key]["looks"]]
        for piece in ([key for key in asked if key not in killed], *([key] for key in killed)):
            states |= _looked(night, piece, rows)
        return {key: states[key] for key in delivery_ids}


def _looked(night: Night, piece: list[str], rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    if not piece:
        return {}
    if len(piece) == 1 and rows[piece[0]]["looks"] >= DEATHS:
        night.ledger.end_look(piece)
        return _park(night, piece[0], f"{DEATHS} × SIGKILL")
    night.ledger.begin_look(piece)
    try:
        states = check_deliveries(night, piece)
    except (QiongxinError, CatalogError, SQLAlchemyError):  # a fault of the stores is no fault of a delivery
        with suppress(SQLAlchemyError):
            night.ledger.end_look(piece)
        raise
    except Exception as e:
        night.ledger.end_look(piece)
        if fault := of_storage(e):
            raise fault from e
        if len(piece) == 1:
            return _park(night, piece[0], type(e).__name__)
        return {key: state for one in piece for key, state in _looked(night, [one], rows).items()}
    night.ledger.end_look(piece)
    return states


def _park(night: Night, key: str, why: str) -> dict[str, str]:
    """Only the kind of an error is told: its text may hold a value of somebody."""
    zh, en = night.catalog.findings[PARKED].of(why)
    judged = measure(night, night.ledger.deliveries(only=key)[0])
    night.ledger.update(key, state="held", message_code=PARKED, message_zh=zh, message_en=en, **judged)
    tell_department(night, key, "checked")
    return {key: "held"}


def pieces(night: Night, delivery_ids: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Large ones, each of which takes every processor, and the small ones, those of an item together."""
    known = {r["delivery_id"]: r for r in night.ledger.deliveries()}
    small: dict[str, list[str]] = defaultdict(list)
    for key in delivery_ids:
        if known[key]["size"] <= SMALL:
            small[known[key]["item"]].append(key)
    large = [key for key in delivery_ids if known[key]["size"] > SMALL]
    return large, [tuple(keys[n : n + TOGETHER]) for keys in small.values() for n in range(0, len(keys), TOGETHER)]


def checked(hands: Hands, delivery_ids: list[str]) -> Iterator[tuple[str, str]]:
    """Deliveries and what comes of them: large ones one after the other, then the small ones side by side."""
    large, small = pieces(hands.night, delivery_ids)
    for key in large:
        yield key, check_one(hands.night, key)
    for _, states in hands.each(check_several, small, sum(map(len, small)) >= MANY):
        yield from states.items()
