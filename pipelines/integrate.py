"""dedupe and curate of one item: what there is to integrate, and the candidate that it becomes.

Which items a night has to look at depends on what arrived, what comes back, what people decided, and what events and
time make of stored records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.night import Night
from pipelines.stages import curate, datafiles, deletion, events, load
from pipelines.stages.dedupe import Full, Incoming, Reverted
from pipelines.stores import reversals, tombstones, waiting
from pipelines.stores.ledger import Life
from pipelines.stores.still import turn
from schemas import in_force, life, profile
from schemas.model import Item

CANDIDATES = "candidates"  # the turn of whoever makes, judges or publishes them


@dataclass(frozen=True)
class Scope:
    """Which checked deliveries are integrated: those of periods from `first` to `last` and, where they are named, of
    some items. A day that is not complete yet stays out of another one's release; events and clocks never wait."""

    first: date = date.min
    last: date = date.max
    items: frozenset[str] | None = None

    def has(self, row: Mapping[str, Any]) -> bool:
        return self.first <= row["period"] <= self.last and (self.items is None or row["item"] in self.items)


EVERYTHING = Scope()


def pending_events(night: Night) -> list[str]:
    """Items of events, and registers of whom they are about, with something to integrate."""
    return [code for code in _asked(night) if night.catalog.items[code].goes_first]


def pending_items(night: Night, of: Scope = EVERYTHING) -> list[str]:
    """The other items with checked deliveries that no release holds yet, with rows that come back, with reversals, with
    records that are to be deleted or of which events or time make something else."""
    asked = {code for code in _asked(night, of) if not night.catalog.items[code].goes_first}
    return sorted(asked | due_items(night))


def _asked(night: Night, of: Scope = EVERYTHING) -> list[str]:
    back = waiting.replays(night.ledger, "pending").values()
    void = reversals.pending(night.ledger)
    ready = filter(of.has, night.ledger.deliveries("checked"))
    asked = {str(r["item"]) for r in (*ready, *back, *void)}
    return sorted(asked | doomed(night))


def doomed(night: Night) -> set[str]:
    """Items with records that are to be deleted; one that the catalogue has no more waits until it has it again."""
    return tombstones.pending(night.ledger) & night.catalog.items.keys()


def due_items(night: Night) -> set[str]:
    """Items of which the events gathered tonight, time or the policy make records something else."""
    said, known, items = events.said(night.home), night.ledger.lives(), night.catalog.items
    return {
        code
        for code in night.ledger.current_snapshots()
        if code in items and not items[code].goes_first
        and _look(night, items[code], said.get(code, ""), known.get(code)).is_due(night.as_of)
    } | {code for code in doomed(night) if not items[code].goes_first}  # fmt: skip


def _look(night: Night, item: Item, said: str, known: Life | None) -> curate.Look:
    clocks = life.clocks(item, night.catalog, night.limit, night.as_of)
    kept = life.kept_otherwise(item, clocks)
    return curate.Look(clocks, life.fingerprint(item, clocks), said, night.limit("delete_after_days"), known, kept)


def integrate_item(night: Night, code: str, of: Scope = EVERYTHING) -> str:
    """dedupe and curate one item, and stage its records for the gate; returns candidate, none, or unchanged where a
    look at its records found nothing to do."""
    with turn(night.ledger, CANDIDATES, is_shared=True), turn(night.ledger, f"item {code}"):
        return integrate(night, code, of=of)


def integrate(night: Night, code: str, is_alone: bool = False, of: Scope = EVERYTHING) -> str:
    """`is_alone`: without its deliveries, what events and time make of its records."""
    incoming = [] if is_alone else _incoming(night, code, of)
    void = [v for v in reversals.known(night.ledger, code) if not (is_alone and v["release_id"] is None)]
    reverted = [
        Reverted(
            r["delivery_id"], r["department"], r["period"].isoformat(), r["sequence"], _is_full(r),
            r["release_id"] is None,
        )
        for r in void
    ]  # fmt: skip
    item = night.catalog.items[code]
    said = "" if item.goes_first else events.said(night.home).get(code, "")
    look = _look(night, item, said, night.ledger.lives().get(code))
    base = night.ledger.published(code)
    if look.deletes(night.as_of):
        kept_from = look.kept_from(night.as_of)
        past = deletion.past(night.home, night.lake, item, base, look.clocks, _received(night, code), kept_from)
        write_tombstones(night, item, past, deletion.basis(item), deletion.BY)
    dead = tombstones.of_item(night.ledger, code)
    is_due = (look.is_due(night.as_of) or any(dead["is_new"].to_pylist())) and any(base)
    if not incoming and not any(r.is_new for r in reverted) and not is_due:
        return "none"
    fulls = [
        Full(r["department"], r["period"].isoformat(), r["sequence"])
        for r in night.ledger.deliveries("released", item=code)
        if _is_full(r) and r["delivery_id"] not in {v["delivery_id"] for v in void}
    ]
    limits = in_force.read(datafiles.Limits, night.limit)
    earliest = night.limit("earliest_event_date")
    figures = [s.sql("duckdb") for s in profile.selects(item, night.catalog.code_sets, earliest, night.as_of)]
    candidate = curate.curate(
        night.home, night.lake, item, incoming, base, night.catalog.revision, night.as_of,
        waiting.open_rows(night.ledger, item=code), night.keys, look, limits, fulls, figures, reverted, dead,
        _received(night, code), night.cluster,
    )  # fmt: skip
    if candidate.is_nothing:
        datafiles.sweep_planned(night.home, night.lake, code)
        load.forget(night.home, candidate)
        night.ledger.enter_life(code, candidate.life)
        return "unchanged"
    load.stage(night.home, night.ledger, item, candidate, night.keys)
    return "candidate"


def _incoming(night: Night, code: str, of: Scope) -> list[Incoming]:
    """The checked deliveries of an item that are in the scope, and those of which rows come back."""
    home = night.home
    ready = [
        _as_incoming(r, home.accepted(r["delivery_id"]), home.rejected(r["delivery_id"]))
        for r in night.ledger.deliveries("checked", item=code)
        if of.has(r)
    ]
    back = [
        _as_incoming(r, *(home.again(r["delivery_id"], what) for what in ("accepted", "rejected", "moves")))
        for r in waiting.replays(night.ledger, "pending").values()
        if r["item"] == code
    ]
    return ready + back


def _as_incoming(r: Mapping[str, Any], accepted: Path, rejected: Path, moves: Path | None = None) -> Incoming:
    """`moves` has the one of which rows come back."""
    where = r["delivery_id"], r["department"], r["period"].isoformat(), r["sequence"]
    return Incoming(*where, str(accepted), str(rejected), str(moves or ""), _is_full(r), moves is not None)


def _is_full(row: Mapping[str, Any]) -> bool:
    """Whether it can make records absent."""
    return bool(row["mode"] == "full" and row["is_complete"])


def _received(night: Night, code: str) -> pa.Table:
    rows = night.ledger.deliveries(item=code)
    return pa.Table.from_pylist([{n: r[n] for n in curate.RECEIVED.names} for r in rows], curate.RECEIVED)


def write_tombstones(night: Night, item: Item, records: list[tuple[bytes, bytes | None]], basis: str, by: str) -> None:
    items = night.catalog.items
    deletion.write(night.home, night.lake, night.ledger, items, item, records, night.as_of, basis, by)
