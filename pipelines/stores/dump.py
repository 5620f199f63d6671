"""A database as one file, and back: `pg_dump` and `pg_restore` of the wheel that brings the embedded server.

A password goes into the programs' environment, never among their arguments.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import sqlalchemy as sa

from pipelines.errors import StoreError
from pipelines.stores.ledger import READER
from pipelines.stores.postgres import programs

THERE = """SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LIMIT 1"""


def dump(url: str, target: Path) -> None:
    """Write everything that the database of a SQLAlchemy URL holds, as of one moment. Raises `StoreError`."""
    _run(url, "pg_dump", "--format=custom", "--no-owner", f"--file={target}", "--dbname")


def restore(url: str, source: Path) -> None:
    """Fill an empty database from such a file, whole or not at all. Raises `StoreError`."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        role = sa.text("SELECT 1 FROM pg_roles WHERE rolname = :r")  # a dump grants to roles, but has none
        if connection.execute(role, {"r": READER}).first() is None:
            connection.execute(sa.text(f"CREATE ROLE {READER} NOLOGIN"))
    engine.dispose()
    _run(url, "pg_restore", "--no-owner", "--single-transaction", "--exit-on-error", str(source), "--dbname")


def is_empty(url: str) -> bool:
    """Whether the database has no table and no view yet."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.text(THERE)).first()
    engine.dispose()
    return found is None


def _run(url: str, program: str, *arguments: str) -> None:
    named, folder = sa.make_url(url).set(drivername="postgresql"), programs()
    secret = {"PGPASSWORD": named.password} if named.password else {}
    environment = {**os.environ, **secret, "LC_ALL": "C", "LD_LIBRARY_PATH": str(folder / "lib")}
    plain = sa.URL.create("postgresql", named.username, None, named.host, named.port, named.database, named.query)
    done = subprocess.run(
        [str(folder / "bin" / program), *arguments, plain.render_as_string()],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        told = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[0]
        told = told.partition("COPY")[0]  # what follows may show a row
        raise StoreError(f"database: {told[:300].strip()} Look at the server and its version, then run it again.")
