"""The vault: who a pseudonym stands for, and what each statement called them. The only tables that know people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.model import literal
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys

BATCH = 64_000


def enter(
    cursor: Any, work: Path, accepted: Path, item: str, delivery_id: str, keys: Keys, is_again: bool = False
) -> None:
    """Numbers and names of one delivery's accepted rows, on an ADBC cursor whose transaction the caller ends.

    Entering a delivery again replaces what it said; with `is_again` the rows are some that come back, and replace only
    what was said at their places. Subjects are entered once and never change.
    """
    with connect(work) as engine:
        source = f"read_parquet({literal(accepted)})"
        people = engine.sql(
            f"SELECT subject_id, any_value(credit_number) AS number, any_value(number_kind) AS kind FROM {source}"
            " GROUP BY subject_id"
        ).to_arrow_reader(BATCH)
        cursor.execute("CREATE TEMP TABLE people (subject_id bytea, credit_number bytea, number_kind text)")
        sealed = (_sealed(batch, keys) for batch in people)
        schema = pa.schema([("subject_id", pa.binary()), ("credit_number", pa.binary()), ("number_kind", pa.string())])
        cursor.adbc_ingest("people", pa.RecordBatchReader.from_batches(schema, sealed), mode="append", temporary=True)
        cursor.execute(
            "INSERT INTO vault.subject (subject_id, credit_number, number_kind)"
            " SELECT subject_id, credit_number, number_kind FROM people ON CONFLICT DO NOTHING"
        )
        cursor.execute("DROP TABLE people")
        where = f"delivery_id = '{delivery_id}'"
        if is_again:
            places = engine.sql(f"SELECT line, coalesce(sheet, '') AS sheet FROM {source}").to_arrow_reader(BATCH)
            cursor.execute("CREATE TEMP TABLE places (line bigint, sheet text)")
            cursor.adbc_ingest("places", places, mode="append", temporary=True)
            where += " AND (line, sheet) IN (SELECT line, sheet FROM places)"
        cursor.execute(f"DELETE FROM vault.statement_identity WHERE {where}")
        cursor.execute("DROP TABLE IF EXISTS places")
        said = engine.sql(
            f"SELECT '{delivery_id}' AS delivery_id, line, coalesce(sheet, '') AS sheet, '{item}' AS item,"
            f" record_key, identity FROM {source}"
        ).to_arrow_reader(BATCH)
        cursor.adbc_ingest("statement_identity", said, mode="append", db_schema_name="vault")


def _sealed(batch: pa.RecordBatch, keys: Keys) -> pa.RecordBatch:
    numbers = keys.encrypt(batch["number"], batch["subject_id"])
    return pa.record_batch(
        [batch["subject_id"].cast(pa.binary()), numbers, batch["kind"].cast(pa.string())],
        names=["subject_id", "credit_number", "number_kind"],
    )
