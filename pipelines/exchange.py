"""The places of departments: inboxes that the step `receive` looks into, outboxes that the step `deliver` fills."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.errors import PlaceError
from pipelines.night import Night
from pipelines.stages import receive
from pipelines.stores.places import Folder, Place
from schemas import model


def take(night: Night) -> receive.Received:
    """Look at the inboxes, of the home and elsewhere, and take what is finished. Raises `StoreError`."""
    known = {code: night.catalog.delivers(code) for code in night.catalog.departments}
    pause = float(os.environ.get("QIONGXIN_LOOK_SECONDS", "5"))
    with ExitStack() as stack:
        elsewhere = [
            receive.Inbox(d.code, stack.enter_context(open_place(d.inbox)), known[d.code], is_left(d.inbox))
            for d in night.catalog.departments.values()
            if d.inbox is not None
        ]
        taken = receive.receive(night.home, night.ledger, known, night.as_of, pause, night.keys, elsewhere)
    night.ledger.note_unreachable("inbox", taken.failed, night.as_of)
    return taken


def deliver(night: Night) -> int:
    """Send what the home's outbox holds to the outboxes of departments that have one elsewhere, unless they have it
    already; returns of how many deliveries. What fails is noted in the ledger and sent the next time."""
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
