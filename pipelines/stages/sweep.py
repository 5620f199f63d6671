"""`sweep`: files of deliveries that are past their dated limit go; the ledger keeps their accounts and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pipelines.model import Home
from pipelines.readers.staging import skipped_path
from pipelines.stages.manifest import MANIFEST
from pipelines.stages.receive import DONE
from pipelines.stores import waiting
from pipelines.stores.ledger import Ledger
from pipelines.stores.places import TAKEN

PLACES = ("staged", "accepted", "rejected", "findings", "raw", "taken", "outbox")
SETTLED = ("released", "returned")  # what is received, checked or held waits for a release or for a person


@dataclass(frozen=True)
class Swept:
    """Files past their limit in one place, and their size."""

    place: str
    days: int
    files: int
    size: int


def sweep(
    home: Home, ledger: Ledger, days: Mapping[str, int], as_of: date, is_preview: bool = False
) -> list[Swept]:
    """Remove files of settled deliveries that were received more than `days[place]` days before `as_of`; returns what
    went, or in a preview would go, by place. A file that several deliveries share, as the bytes of `raw`, stays until
    the last of them is past its limit; what a pending replay needs stays as well. Safe to kill and to repeat."""
    pending = waiting.replays(ledger, "pending").keys() | waiting.replays(ledger, "released").keys()
    rows = ledger.deliveries()
    done = []
    for place in PLACES:
        past: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        for r in rows:
            is_past = _is_past(r, days[place], as_of) and r["delivery_id"] not in pending
            (past if is_past else kept).append(r)
        files = {path for r in past for path in OF[place](home, r) if path.exists()}
        if files:
            files -= {path for r in kept for path in OF[place](home, r)}
        done.append(Swept(place, days[place], len(files), sum(p.stat().st_size for p in files)))
        for path in () if is_preview else sorted(files):
            path.unlink(missing_ok=True)
    return done


def _is_past(row: Mapping[str, Any], days: int, as_of: date) -> bool:
    return row["state"] in SETTLED and (as_of - row["received_on"]).days > days


def _staged(home: Home, row: Mapping[str, Any]) -> Iterator[Path]:
    path = home.staged(row["delivery_id"])
    yield from (path, skipped_path(path))


def _taken(home: Home, row: Mapping[str, Any]) -> Iterator[Path]:
    """The original and its sidecars, where they were moved to in the home's own inbox."""
    original = home.inbox / row["department"] / row["item"] / TAKEN / row["file"]
    yield from (original, *(original.with_name(original.name + end) for end in (MANIFEST, DONE)))


def _outbox(home: Home, row: Mapping[str, Any]) -> Iterator[Path]:
    folder = home.outbox / row["department"]
    yield from (folder / f"{row['delivery_id']}.{what}" for what in ("receipt.json", "findings.xlsx"))


OF: dict[str, Callable[[Home, Mapping[str, Any]], Iterator[Path]]] = {
    "staged": _staged,
    "accepted": lambda home, row: iter([home.accepted(row["delivery_id"])]),
    "rejected": lambda home, row: iter([home.rejected(row["delivery_id"])]),
    "findings": lambda home, row: iter([home.findings(row["delivery_id"])]),  # its verdicts, without values, stay
    "raw": lambda home, row: iter([home.raw(row["sha256"])]),
    "taken": _taken,
    "outbox": _outbox,
}
