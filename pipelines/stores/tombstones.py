"""Records that are to be deleted, or have been (ledger table `tombstone`): written first, carried out by a release.

A record key is derived from a keyed pseudonym, so a tombstone tells nobody whose record it was, and what.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.stores.ledger import Ledger, release, tombstone

SHAPE = pa.schema([("record_key", pa.binary()), ("is_new", pa.bool_())])
BATCH = 10_000
c = tombstone.c


def write(
    ledger: Ledger, item: str, records: Iterable[tuple[bytes, bytes | None]], on: date, basis: str, by: str
) -> int:
    """Enter (record_key, subject_id; None where nobody knows it) of an item, all or none; those that are known stay as
    they are. Returns how many are new."""
    same = {"item": item, "written_on": on, "basis": basis, "written_by": by}
    rows = [{**same, "record_key": key, "subject_id": subject} for key, subject in records]
    new = 0
    with ledger.engine.begin() as connection:
        for n in range(0, len(rows), BATCH):
            query = insert(tombstone).values(rows[n : n + BATCH]).on_conflict_do_nothing()
            new += len(connection.execute(query.returning(c.record_key)).all())
    return new


def of_item(ledger: Ledger, item: str) -> pa.Table:
    """All of an item, in the order of their keys, with the columns of SHAPE; is_new: not carried out yet."""
    query = sa.select(c.record_key, c.release_id.is_(None)).where(c.item == item).order_by(c.record_key)
    with ledger.engine.connect() as connection:
        rows = connection.execute(query).all()
    return pa.table([pa.array(column, f.type) for column, f in zip(zip(*rows, strict=True), SHAPE, strict=True)]
                    if rows else SHAPE.empty_table().columns, schema=SHAPE)  # fmt: skip


def pending(ledger: Ledger) -> set[str]:
    """Items with records that are to be deleted."""
    with ledger.engine.connect() as connection:
        return set(connection.execute(sa.select(c.item).where(c.release_id.is_(None)).distinct()).scalars())


def find(ledger: Ledger, key: bytes) -> dict[str, Any] | None:
    """The tombstone of a record key, with `as_of` of the release that deleted it."""
    query = sa.select(tombstone, release.c.as_of).outerjoin(release, release.c.release_id == c.release_id)
    with ledger.engine.connect() as connection:
        row = connection.execute(query.where(c.record_key == key)).first()
    return dict(row._mapping) if row else None


def all_of(ledger: Ledger) -> list[dict[str, Any]]:
    """Every tombstone, for a home that is restored from before it was written: item, record_key, written_on, basis,
    written_by, and by its fingerprint the `key` under which its record key is made; in the order in which they were
    written."""
    key = ledger.known_key()
    columns = [c[n] for n in ("item", "record_key", "written_on", "basis", "written_by")]
    with ledger.engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(c.written_on, c.item, c.record_key))
        return [{**r._mapping, "key": key} for r in rows]


def summary(ledger: Ledger) -> list[dict[str, Any]]:
    """How many records of which item were deleted on which basis, by which release: item, written_on, basis,
    written_by, release_id, release (its number), records; the latest first."""
    columns = [c[n] for n in ("item", "written_on", "basis", "written_by", "release_id")]
    query = sa.select(*columns, release.c.number.label("release"), sa.func.count().label("records"))
    query = query.outerjoin(release, release.c.release_id == c.release_id)
    query = query.group_by(*columns, release.c.number).order_by(c.written_on.desc(), c.item, c.basis)
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query)]


def subjects(ledger: Ledger) -> set[bytes]:
    """Subjects of deleted records of whom nobody has seen yet whether another record speaks of them."""
    query = sa.select(c.subject_id).where(c.release_id.isnot(None), c.subject_id.isnot(None)).distinct()
    with ledger.engine.connect() as connection:
        return {bytes(s) for s in connection.execute(query).scalars()}


def forget_subjects(ledger: Ledger, seen: set[bytes], unknown: Iterable[bytes]) -> None:
    """Delete the `unknown` among the `seen` subjects from the vault; none of the seen is looked at again."""
    gone = sa.text("DELETE FROM vault.subject WHERE subject_id = ANY(:ids)")
    done = sa.text("UPDATE ledger.tombstone SET subject_id = NULL"
                   " WHERE subject_id = ANY(:ids) AND release_id IS NOT NULL")  # fmt: skip
    with ledger.engine.begin() as connection:
        connection.execute(gone, {"ids": sorted(unknown)})
        connection.execute(done, {"ids": sorted(seen)})
