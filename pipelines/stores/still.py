"""Who may change what of a home now: nights hold a lock together, a backup or a rotation of the key holds it alone, and
steps that would get into each other's way take turns, whoever started them.

All are advisory locks of PostgreSQL, held by a session of their own, so they end with the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipelines.errors import StoreError
from pipelines.stores.ledger import Ledger

LOCK = 4604


@contextmanager
def at_work(ledger: Ledger) -> Iterator[None]:
    """The block may change the home; it waits for a backup that is being made. Raises `StoreError`."""
    with _session(ledger) as connection:
        connection.execute(sa.text(f"SELECT pg_advisory_lock_shared({LOCK})"))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # with the connection, the lock is gone as well
                connection.execute(sa.text(f"SELECT pg_advisory_unlock_shared({LOCK})"))


@contextmanager
def still(ledger: Ledger, what: str = "backup") -> Iterator[int]:
    """No night changes the home during the block, which is `what`, as long as the session lives that is yielded, by the
    number of its process. Raises `StoreError` where a night is at work."""
    with _session(ledger) as connection:
        if not connection.execute(sa.text(f"SELECT pg_try_advisory_lock({LOCK})")).scalar():
            raise StoreError(f"{what}: a night is at work in this home. Run it again when the night is over.")
        try:
            yield int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
        finally:
            with suppress(DBAPIError):
                connection.execute(sa.text(f"SELECT pg_advisory_unlock({LOCK})"))


def has_been_still(session: int) -> str:
    """SQL of a row, or none: whether the session of `still` has lived until now."""
    return f"""SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
        WHERE locktype = 'advisory' AND classid = 0 AND objid = {LOCK} AND objsubid = 1 AND mode = 'ExclusiveLock'
        AND granted AND pid = {session}"""


@contextmanager
def turn(ledger: Ledger, *names: str, is_shared: bool = False) -> Iterator[None]:
    """Nobody else has a turn at any of the names during the block, but those who share theirs as this one does; it
    waits for them. Names are taken in their order, so two that ask for some of the same never wait for each other.
    Raises `StoreError`."""
    kind = "_shared" if is_shared else ""
    keys = [_key(name) for name in sorted(set(names))]
    with _session(ledger) as connection:
        try:
            for key in keys:
                connection.execute(sa.text(f"SELECT pg_advisory_lock{kind}(:key)"), {"key": key})
            yield
        finally:
            with suppress(SQLAlchemyError):  # a connection that is lost holds no lock
                connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))


@contextmanager
def turn_if_free(ledger: Ledger, name: str) -> Iterator[bool]:
    """The same, where nobody has a turn at the name; yields whether. Raises `StoreError`."""
    with _session(ledger) as connection:
        try:
            yield bool(connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)}).scalar())
        finally:
            with suppress(SQLAlchemyError):
                connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _session(ledger: Ledger) -> Iterator[sa.Connection]:
    """A connection of its own that stays out of transactions, so that it holds up nobody's vacuum."""
    try:
        connection = ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except DBAPIError as e:
        raise StoreError(f"database: {type(e.orig).__name__}. Start it, then run the same command again.") from e
    with connection:
        yield connection
