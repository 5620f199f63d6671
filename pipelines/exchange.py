"""The places of departments: inboxes that the step `receive` looks into, outboxes that the step `deliver` fills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.errors import PlaceError
from pipelines.night import Night, open_night
from pipelines.stages import receive
from pipelines.stores.places import Folder, Place
from pipelines.stores.still import turn
from schemas import model


def take(night: Night, only: date | None = None) -> receive.Received:
    """Look at the inboxes, of the home and elsewhere, and take what is finished, or `only` what a manifest says to be
    of one period. Whoever else takes now is waited for. Raises `StoreError`."""
    with turn(night.ledger, "receive"):
        return _take(night, only)


def _take(night: Night, only: date | None) -> receive.Received:
    known = _known(night)
    with _elsewhere(night) as elsewhere:
        taken = receive.receive(night.home, night.ledger, known, night.as_of, _pause(), night.keys, elsewhere, only)
    night.ledger.note_unreachable("inbox", taken.failed, night.as_of)
    return taken


def arrived(home: str, day: str) -> str:
    """What is finished in the inboxes and was not taken yet, as a fingerprint; '' for nothing. Takes nothing, and an
    inbox that fails counts as empty. Raises `StoreError`."""
    with open_night(home, day, is_preview=True) as night, _elsewhere(night) as elsewhere:
        return receive.arrived(night.home, night.ledger, _known(night), _pause(), night.keys, elsewhere)


def _known(night: Night) -> dict[str, tuple[str, ...]]:
    return {code: night.catalog.delivers(code) for code in night.catalog.departments}


def _pause() -> float:
    return float(os.environ.get("QIONGXIN_LOOK_SECONDS", "5"))


@contextmanager
def _elsewhere(night: Night) -> Iterator[list[receive.Inbox]]:
    """The inboxes that do not lie in the home."""
    known = _known(night)
    with ExitStack() as stack:
        yield [
            receive.Inbox(d.code, stack.enter_context(open_place(d.inbox)), known[d.code], is_left(d.inbox))
            for d in night.catalog.departments.values()
            if d.inbox is not None
        ]


def deliver(night: Night) -> int:
    """Send what the home's outbox holds to the outboxes of departments that have one elsewhere, unless they have it
    already; returns of how many deliveries. What fails is noted in the ledger and sent the next time."""
    with turn(night.ledger, "deliver"):
        return _deliver(night)


def _deliver(night: Night) -> int:
    done, failed = 0, []
    for department in night.catalog.departments.values():
        if department.outbox is None or not (waiting := night.ledger.undelivered(department.code)):
            continue
        with open_place(department.outbox) as place:
            try:
                for delivery_id, told in waiting:
                    for path in answers(night.home.outbox / department.code, delivery_id):
                        place.put(path, path.name)
                    night.ledger.update(delivery_id, delivered=told)
                    done += 1
            except PlaceError as e:
                failed.append((department.code, place.shown, str(e)))
    night.ledger.note_unreachable("outbox", failed, night.as_of)
    return done


def answers(folder: Path, delivery_id: str) -> list[Path]:
    """The files that answer a delivery; the receipt, which names the others, comes last."""
    found = sorted(folder.glob(f"{delivery_id}.*"))
    return sorted(found, key=lambda path: path.name.endswith(".receipt.json"))


def is_left(inbox: model.Inbox) -> bool:
    return inbox.after_archiving == "leave"


def open_place(place: model.Place) -> Place:
    """A place of the catalogue, not asked yet. What it takes to speak SFTP or S3 is loaded only for those who do."""
    parts = urlsplit(place.url)
    if parts.scheme == "sftp":
        from pipelines.stores.sftp import Sftp

        return Sftp(place.url, place.credentials)
    if parts.scheme == "s3":
        from pipelines.stores.bucket import Bucket

        return Bucket(place.url, place.credentials, place.endpoint, place.region)
    return Folder(place.url.rstrip("/"), Path(unquote(parts.path)))
