"""The places of departments: inboxes that the step `receive` looks into, outboxes that the step `deliver` fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from pipelines.errors import PlaceError
from pipelines.model import setting, sweep_parts
from pipelines.night import Night, open_night
from pipelines.stages import receive
from pipelines.stores.places import Folder, Place
from pipelines.stores.still import turn, turn_if_free
from schemas import model

HERE = "home"
AT_ONCE = 8  # places that are asked side by side: most of the time is spent waiting for them

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """Departments whose places are asked together: those that have theirs in the home alone, or one that has a place
    elsewhere, which may be slow or gone and so must hold up nobody else."""

    name: str
    elsewhere: frozenset[str]

    def __contains__(self, department: str) -> bool:
        return department not in self.elsewhere if self.name == HERE else department == self.name


def groups(catalog: model.Catalog, names: Iterable[str] | None = None) -> list[Group]:
    """Those of these names ("home", or a department), all by default; none for a department that has all at home."""
    asked = None if names is None else set(names)
    every = (HERE, *sorted(catalog.elsewhere))
    return [Group(name, catalog.elsewhere) for name in every if asked is None or name in asked]


def take(night: Night, only: date | None = None, of: Sequence[Group] | None = None) -> receive.Received:
    """Look at the inboxes and take what is finished, or `only` what a manifest says to be of one period; each group for
    itself, side by side. Whoever else takes from one now is waited for; but a department that has a place elsewhere is
    left to him where others are asked as well, or one period alone, as he takes all. Raises `StoreError` once all are
    done."""
    sweep_parts(night.home)
    of = groups(night.catalog) if of is None else of

    def from_one(group: Group) -> receive.Received:
        name = f"receive {group.name}"
        if group.name == HERE or (len(of) == 1 and only is None):
            with turn(night.ledger, name):
                return _take(night, only, group)
        with turn_if_free(night.ledger, name) as is_mine:
            return _take(night, only, group) if is_mine else receive.Received((), (), (), (), left=(group.name,))

    every = _side_by_side(from_one, of)

    def all_of(name: str) -> tuple[Any, ...]:
        return tuple(one for received in every for one in getattr(received, name))

    return receive.Received(**{f.name: all_of(f.name) for f in fields(receive.Received)})


def _take(night: Night, only: date | None, group: Group) -> receive.Received:
    with _elsewhere(night, group) as elsewhere:
        taken = receive.receive(
            night.home, night.ledger, _known(night), night.as_of, _pause(), night.keys, elsewhere, only,
            group.__contains__, [d.inbox.url.rstrip("/") for d in night.catalog.departments.values() if d.inbox],
        )  # fmt: skip
    night.ledger.note_unreachable("inbox", taken.failed, night.as_of, group.__contains__)
    return taken


def arrived(home: str, day: str, name: str) -> str:
    """What is finished in the inboxes of a group and was not taken yet, as a fingerprint; '' for nothing. Takes
    nothing, and an inbox that fails counts as empty. Raises `StoreError`."""
    with open_night(home, day, is_preview=True) as night:
        for group in groups(night.catalog, [name]):
            with _elsewhere(night, group) as elsewhere:
                return receive.arrived(
                    night.home, night.ledger, _known(night), _pause(), night.keys, elsewhere, group.__contains__
                )
    return ""


def _known(night: Night) -> dict[str, tuple[str, ...]]:
    return {code: night.catalog.delivers(code) for code in night.catalog.departments}


def _pause() -> float:
    return setting("QIONGXIN_LOOK_SECONDS", 5)


@contextmanager
def _elsewhere(night: Night, group: Group) -> Iterator[list[receive.Inbox]]:
    """The inboxes of a group that do not lie in the home."""
    known = _known(night)
    with ExitStack() as stack:
        yield [
            receive.Inbox(d.code, stack.enter_context(open_place(d.inbox)), known[d.code], is_left(d.inbox))
            for d in night.catalog.departments.values()
            if d.inbox is not None and d.code in group
        ]


def deliver(night: Night, of: Sequence[Group] | None = None) -> int:
    """Send what the home's outbox holds to the outboxes of departments that have one elsewhere, side by side, unless
    they have it already; returns of how many deliveries. What fails is noted in the ledger and sent the next time.
    Raises `StoreError` once all others are done."""
    return sum(_side_by_side(lambda group: _deliver(night, group), groups(night.catalog) if of is None else of))


def _deliver(night: Night, group: Group) -> int:
    done, failed = 0, []
    with turn(night.ledger, f"deliver {group.name}"):
        for department in night.catalog.departments.values():
            if department.code not in group or department.outbox is None:
                continue
            if not (waiting := night.ledger.undelivered(department.code)):
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
        night.ledger.note_unreachable("outbox", failed, night.as_of, group.__contains__)
    return done


def _side_by_side(work: Callable[[Group], T], of: Sequence[Group]) -> list[T]:
    """What comes of each group. Raises the first `StoreError` once all are done."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [made.result() for made in [pool.submit(work, group) for group in of]]


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
