"""Connections for loading much at once (ADBC), which know the types of the database once and not each anew.

The driver reads every type and column of the database before its first connection, for a warehouse of the whole
catalogue some 50 ms of processor time; a night opens several.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from pipelines.errors import StoreError

if TYPE_CHECKING:
    import adbc_driver_postgresql.dbapi as adbc

PSQL = postgresql.dialect()  # type: ignore[no-untyped-call]


class Bulk:
    """Connections to the database at `url` (SQLAlchemy), the first of which is kept until `close`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._first: adbc.Connection | None = None
        self._lock = threading.Lock()  # the driver counts its connections, but not safely

    @contextmanager
    def connect(self) -> Iterator[adbc.Connection]:
        """A connection of its own, in a transaction; what is not committed is rolled back. Raises `adbc.Error`."""
        import adbc_driver_postgresql.dbapi as adbc  # and with it pandas, which most commands do not need

        with self._lock:
            if self._first is None:
                plain = sa.make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
                self._first = adbc.connect(plain, autocommit=True)
            connection = self._first.adbc_clone()
        try:
            yield connection
        finally:
            with self._lock:
                connection.close()

    def read(self, query: sa.Select[Any], shape: pa.Schema) -> pa.Table:
        """What a query gives, in columns. A hundred thousand rows as objects of Python take eight times as long. Raises
        `StoreError`."""
        from adbc_driver_postgresql.dbapi import Error

        text = query.compile(dialect=PSQL, compile_kwargs={"literal_binds": True})
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute(str(text))
                return cursor.fetch_arrow_table().cast(shape)
        except Error as e:
            raise StoreError(f"database: {type(e).__name__}. Start it, then run the same command again.") from None

    def close(self) -> None:
        with self._lock:
            if self._first is not None:
                self._first.close()
                self._first = None
