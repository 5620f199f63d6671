"""How far back releases are kept (ledger table `release_snapshot`): the snapshots of an item go at dated limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import sqlalchemy as sa

from pipelines.stores.ledger import Ledger, pseudonym_key, release, snapshot, tombstone


def deleted(ledger: Ledger, until: date) -> dict[str, int]:
    """Item -> the number of its last release that deleted records and has an as-of date not after `until`, where
    snapshots that are older still hold them."""
    c = tombstone.c
    older = sa.select(snapshot.c.item, sa.func.min(release.c.number).label("first")).join(
        release, release.c.release_id == snapshot.c.release_id
    )
    there = older.where(snapshot.c.expired_on.is_(None)).group_by(snapshot.c.item).subquery()
    gone = sa.select(c.item, sa.func.max(release.c.number).label("last")).join(
        release, release.c.release_id == c.release_id
    )
    done = gone.where(release.c.as_of <= until).group_by(c.item).subquery()
    query = sa.select(done.c.item, done.c.last).join(there, there.c.item == done.c.item)
    with ledger.engine.connect() as connection:
        return {r.item: r.last for r in connection.execute(query.where(there.c.first < done.c.last))}


def rotated(ledger: Ledger, until: date) -> dict[str, int]:
    """Item -> the number of the last release that was made by a rotation of the key and has an as-of date not after
    `until`, where older snapshots lie there still. Nobody is answered from these any more: the pseudonyms are others.
    """
    made = sa.select(sa.func.max(release.c.number)).where(release.c.release_id.in_(_rotations(until)))
    query = sa.select(snapshot.c.item, made.scalar_subquery().label("made")).distinct().join(
        release, release.c.release_id == snapshot.c.release_id
    )
    with ledger.engine.connect() as connection:
        rows = connection.execute(query.where(release.c.number < made.scalar_subquery()))
        return {r.item: r.made for r in rows}


def end_rotations(ledger: Ledger, until: date, on: date) -> None:
    """Enter that the snapshots of `rotated` are gone."""
    query = sa.update(pseudonym_key).where(pseudonym_key.c.release_id.in_(_rotations(until)))
    with ledger.engine.begin() as connection:
        connection.execute(query.values(expired_on=on))


def _rotations(until: date) -> sa.Select[tuple[str]]:
    """Releases that were made by a rotation of which older snapshots lie there still."""
    rotation = sa.select(release.c.release_id).join(
        pseudonym_key, pseudonym_key.c.release_id == release.c.release_id
    )
    return rotation.where(pseudonym_key.c.expired_on.is_(None), release.c.as_of <= until)


def superseded(ledger: Ledger, until: date) -> dict[str, int]:
    """Item -> the number of the release that was the current one at the end of the day `until`, where snapshots of
    older ones are still kept."""
    current = sa.select(sa.func.max(release.c.number)).where(release.c.as_of <= until).scalar_subquery()
    query = sa.select(snapshot.c.item, current.label("first")).distinct().join(
        release, release.c.release_id == snapshot.c.release_id
    )
    with ledger.engine.connect() as connection:
        rows = connection.execute(query.where(snapshot.c.expired_on.is_(None), release.c.number < current))
        return {r.item: r.first for r in rows}


def expire(ledger: Ledger, item: str, number: int, on: date) -> set[int]:
    """Enter that the snapshots of an item in all releases before that number are gone; returns those that stay."""
    before = sa.select(release.c.release_id).where(release.c.number < number)
    query = sa.update(snapshot).where(snapshot.c.item == item, snapshot.c.expired_on.is_(None))
    with ledger.engine.begin() as connection:
        connection.execute(query.where(snapshot.c.release_id.in_(before)).values(expired_on=on))
        stay = sa.select(snapshot).where(snapshot.c.item == item, snapshot.c.expired_on.is_(None))
        rows = connection.execute(stay).all()
    return {s for r in rows for s in (r.records_snapshot, r.history_snapshot, r.ended_snapshot) if s is not None}


def gone(ledger: Ledger, release_id: str, items: Iterable[str]) -> str | None:
    """In words, the first of the items that a release is not kept of any more, since when and why; None where it is
    kept of all."""
    expired = ledger.expired(release_id)
    for item in sorted(expired.keys() & {*items}):
        return (f"{item} is not kept so far back since {expired[item]}, as records of it were deleted, the pseudonym"
                " key was rotated, or releases so old are not kept (policy keep_releases_days)")  # fmt: skip
    return None
