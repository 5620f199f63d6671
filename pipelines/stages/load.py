"""`load`: passed candidates become one release: Iceberg commits first, then one PostgreSQL transaction."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert

from pipelines.errors import StoreError
from pipelines.model import Home
from pipelines.stages.curate import Candidate
from pipelines.stores import ledger as book
from pipelines.stores.engine import connect, quoted
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from schemas.model import Item
from schemas.tables import record_schema, statement_schema

PSQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def load(
    home: Home,
    ledger: Ledger,
    lake: Lake,
    items: dict[str, Item],
    candidates: list[Candidate],
    keys: Keys,
    revision: str,
    as_of: date,
) -> str | None:
    """Publish the candidates as one release; returns its id, or the current one when there is nothing to publish.

    Reads candidates; writes Iceberg heads, then in one transaction the warehouse tables, the vault, the deliveries'
    states and the release pointer. A rerun adopts or rolls back whatever a killed run left. Raises `StoreError`.
    """
    previous = ledger.current_release()
    if not candidates:
        return previous["release_id"] if previous else None
    candidates = sorted(candidates, key=lambda c: c.item)
    snapshots = ledger.snapshots(previous["release_id"] if previous else None)
    for c in candidates:
        item = items[c.item]
        records = lake.commit(
            "records", c.item, record_schema(item), c.base_records, c.candidate, c.records_files, c.buckets
        )
        history = lake.commit(
            "history", c.item, statement_schema(item), c.base_history, c.candidate, c.history_files, None
        )
        snapshots[c.item] = (records, history)  # type: ignore[assignment]
    text = "\0".join([previous["release_id"] if previous else "", *(c.candidate for c in candidates)])
    release_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        _switch(home, ledger, items, candidates, keys, revision, as_of, release_id, previous, snapshots)
    except (sa.exc.DBAPIError, adbc.Error) as e:
        raise StoreError(f"database: load of release {release_id} failed ({type(e).__name__}). Run it again.") from e
    for c in candidates:
        home.candidate(c.item).unlink(missing_ok=True)
        (home.root / c.upserts).unlink(missing_ok=True)
        (home.root / c.touched).unlink(missing_ok=True)
    return release_id


def _switch(
    home: Home,
    ledger: Ledger,
    items: dict[str, Item],
    candidates: list[Candidate],
    keys: Keys,
    revision: str,
    as_of: date,
    release_id: str,
    previous: dict[str, Any] | None,
    snapshots: dict[str, tuple[int, int]],
) -> None:
    """All of it on one connection, in one transaction: readers see the old release or the new one."""
    url = sa.make_url(ledger.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(4602)")
        for c in candidates:
            columns = ", ".join(f'"{n}"' for n in record_schema(items[c.item]).names)
            _ingest(cursor, f"touched_{c.item}", home.root / c.touched)
            _ingest(cursor, f"upserts_{c.item}", home.root / c.upserts)
            cursor.execute(
                f'DELETE FROM records."{c.item}" r USING "touched_{c.item}" t WHERE r.record_key = t.record_key'
            )
            cursor.execute(f'INSERT INTO records."{c.item}" ({columns}) SELECT {columns} FROM "upserts_{c.item}"')
            for n, delivery_id in enumerate(c.deliveries):
                _vault(cursor, home, c.item, delivery_id, keys, f"{c.item}_{n}")
                figures = {k: v for k, v in c.accounts[delivery_id].items() if k not in ("rejected", "refused", "held")}
                # Until now all accepted rows counted as held; what the fold did not hold moves to its own word.
                figures_sql = "".join(f', "{k}" = {int(v)}' for k, v in figures.items())
                sums = f"held = held - {sum(figures.values())}" + figures_sql
                cursor.execute(
                    f"UPDATE ledger.delivery SET {sums}, state = 'released', release_id = '{release_id}'"
                    f" WHERE delivery_id = '{delivery_id}' AND state = 'checked'"
                )
        for row in (
            insert(book.release).values(
                release_id=release_id,
                number=(previous["number"] if previous else 0) + 1,
                previous=previous["release_id"] if previous else None,
                as_of=as_of,
                revision=revision,
            ),
            *(
                insert(book.snapshot).values(
                    release_id=release_id, item=item, records_snapshot=pair[0], history_snapshot=pair[1]
                )
                for item, pair in sorted(snapshots.items())
            ),
        ):
            compiled = row.compile(dialect=PSQL, compile_kwargs={"literal_binds": True})
            cursor.execute(str(compiled))
        connection.commit()


def stage(home: Home, ledger: Ledger, item: Item, candidate: Candidate) -> None:
    """The candidate's records as the table `staging."<item>"`, as they would go into `records`, for the gate to see.

    Replaces what an earlier run left there. Raises `StoreError`.
    """
    url = sa.make_url(ledger.url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with adbc.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(f'DROP TABLE IF EXISTS staging."{item.code}"')
            cursor.execute(f'CREATE TABLE staging."{item.code}" (LIKE records."{item.code}" INCLUDING DEFAULTS)')
            reader = pq.ParquetFile(home.root / candidate.upserts)
            batches = pa.RecordBatchReader.from_batches(reader.schema_arrow, reader.iter_batches(64_000))
            cursor.adbc_ingest(item.code, batches, mode="append", db_schema_name="staging")
            cursor.execute(f'ALTER TABLE staging."{item.code}" ADD PRIMARY KEY (record_key)')
            connection.commit()
    except adbc.Error as e:
        raise StoreError(f"database: staging of {item.code} failed ({type(e).__name__}). Run it again.") from e


def _ingest(cursor: Any, table: str, path: Path) -> None:
    reader = pq.ParquetFile(path)
    batches = pa.RecordBatchReader.from_batches(reader.schema_arrow, reader.iter_batches(64_000))
    cursor.adbc_ingest(table, batches, mode="create", temporary=True)


def _vault(cursor: Any, home: Home, item: str, delivery_id: str, keys: Keys, name: str) -> None:
    """Numbers and names of the accepted rows into the vault, and nowhere else."""
    with connect(home.work) as engine:
        source = f"read_parquet({quoted(home.accepted(delivery_id))})"
        people: Any = engine.execute(
            f"SELECT subject_id, any_value(credit_number) AS number, any_value(number_kind) AS kind FROM {source}"
            " GROUP BY subject_id"
        ).to_arrow_table()
        numbers = keys.encrypt(people["number"].to_pylist(), people["subject_id"].to_pylist())
        table = pa.table(
            [people["subject_id"], pa.array(numbers, pa.binary()), people["kind"]],
            names=["subject_id", "credit_number", "number_kind"],
        )
        cursor.adbc_ingest(f"vs_{name}", table, mode="create", temporary=True)
        cursor.execute(
            f'INSERT INTO vault.subject (subject_id, credit_number, number_kind) SELECT * FROM "vs_{name}"'
            " ON CONFLICT DO NOTHING"
        )
        said = engine.execute(
            f"SELECT '{delivery_id}' AS delivery_id, line, coalesce(sheet, '') AS sheet, '{item}' AS item,"
            f" record_key, identity FROM {source}"
        ).to_arrow_reader(64_000)
        cursor.adbc_ingest(f"vi_{name}", said, mode="create", temporary=True)
    cursor.execute(
        "INSERT INTO vault.statement_identity (delivery_id, line, sheet, item, record_key, identity)"
        f' SELECT delivery_id, line, sheet, item, record_key, identity FROM "vi_{name}" ON CONFLICT DO NOTHING'
    )
