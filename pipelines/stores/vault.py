"""The vault: who a pseudonym stands for, and what each statement called them. The only tables that know people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipelines.model import literal
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys

BATCH = 64_000


def enter_subjects(
    cursor: Any, work: Path, accepted: Sequence[Path], keys: Keys, has_linked: bool = False, gone: Path | None = None
) -> None:
    """The subjects of accepted rows and their numbers, on an ADBC cursor. The caller ends the transaction, and enters
    no others in it. With `has_linked` the rows may tell another number of their subject, which is one as well. `gone`
    has the keys of records of which nothing is kept.

    Subjects are entered once and never change. Many items enter theirs at the same time, and who enters a subject
    waits for the other who just did: all of them do so in the order of the pseudonyms, so that nobody waits in a ring.
    """
    if not accepted:
        return
    with connect(work) as engine:
        rows = f"{_read(accepted)} {_without(gone)}"
        told = f"SELECT subject_id, credit_number, number_kind FROM {rows}"
        if has_linked:
            told += f""" UNION ALL SELECT linked_subject_id, linked_number, linked_kind FROM {rows}
                WHERE linked_subject_id IS NOT NULL"""
        people = engine.sql(
            "SELECT subject_id, any_value(credit_number) AS number, any_value(number_kind) AS kind"
            f" FROM ({told}) GROUP BY subject_id ORDER BY subject_id"
        ).to_arrow_reader(BATCH)
        cursor.execute("CREATE TEMP TABLE people (subject_id bytea, credit_number bytea, number_kind text)")
        sealed = (_sealed(batch, keys) for batch in people)
        schema = pa.schema([("subject_id", pa.binary()), ("credit_number", pa.binary()), ("number_kind", pa.string())])
        cursor.adbc_ingest("people", pa.RecordBatchReader.from_batches(schema, sealed), mode="append", temporary=True)
        # A table is read in the order in which it was filled; one that is temporary, by nobody else's scan.
        cursor.execute(
            "INSERT INTO vault.subject (subject_id, credit_number, number_kind)"
            " SELECT subject_id, credit_number, number_kind FROM people ON CONFLICT DO NOTHING"
        )
        cursor.execute("DROP TABLE people")


def enter_statements(
    cursor: Any, work: Path, item: str, accepted: Mapping[str, Path], is_again: bool = False, gone: Path | None = None
) -> None:
    """What the accepted rows of each delivery called their subjects, on an ADBC cursor whose transaction the caller
    ends. `gone` has the keys of records of which nothing is kept.

    Entering a delivery again replaces what it said; with `is_again` the rows are some that come back, and replace only
    what was said at their places.
    """
    if not accepted:
        return
    files = pa.table({"delivery_id": list(accepted), "filename": [str(p) for p in accepted.values()]})
    source = f"{_read(accepted.values())} JOIN files USING (filename)"
    place = "delivery_id, line, coalesce(sheet, '') AS sheet"
    with connect(work) as engine:
        engine.register("files", files)
        if is_again:
            cursor.execute("CREATE TEMP TABLE places (delivery_id text, line bigint, sheet text)")
            places = engine.sql(f"SELECT {place} FROM {source}").to_arrow_reader(BATCH)
            cursor.adbc_ingest("places", places, mode="append", temporary=True)
            where = "(delivery_id, line, sheet) IN (SELECT delivery_id, line, sheet FROM places)"
        else:
            where = f"delivery_id IN ({', '.join(map(literal, accepted))})"
        cursor.execute(f"DELETE FROM vault.statement_identity WHERE {where}")
        cursor.execute("DROP TABLE IF EXISTS places")
        said = engine.sql(
            f"SELECT {place}, {literal(item)} AS item, record_key, identity FROM {source} {_without(gone)}"
        ).to_arrow_reader(BATCH)
        cursor.adbc_ingest("statement_identity", said, mode="append", db_schema_name="vault")


def differing(
    engine: sa.Engine, fields: Mapping[str, Sequence[str]], pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> list[tuple[str, ...]]:
    """Of each pair of statements (delivery_id, line, sheet) the identifying fields that they say differently; none
    where the vault no longer knows one of them. `fields` are those asked about, each with the names it goes by. They
    are compared where they lie: no value leaves the database.
    """
    if not fields or not pairs:
        return [() for _ in pairs]

    def said(side: str, names: Sequence[str]) -> str:
        return f"coalesce({', '.join(f'CAST({side}.identity AS jsonb) ->> {literal(n)}' for n in names)})"

    asked = ", ".join(
        f"CASE WHEN {said('a', names)} IS DISTINCT FROM {said('b', names)} THEN {literal(field)} END"
        for field, names in fields.items()
    )
    place = "{0}.delivery_id = p.{0}_delivery AND {0}.line = p.{0}_line AND {0}.sheet = p.{0}_sheet"
    sql = sa.text(f"""SELECT p.n, concat_ws(',', {asked})
        FROM unnest(CAST(:ad AS text[]), CAST(:al AS bigint[]), CAST(:at AS text[]), CAST(:bd AS text[]),
            CAST(:bl AS bigint[]), CAST(:bt AS text[])) WITH ORDINALITY
            AS p(a_delivery, a_line, a_sheet, b_delivery, b_line, b_sheet, n)
        JOIN vault.statement_identity a ON {place.format("a")}
        JOIN vault.statement_identity b ON {place.format("b")}""")
    values: dict[str, list[Any]] = {}
    for n, side in enumerate("ab"):
        values[f"{side}d"] = [pair[n]["delivery_id"] for pair in pairs]
        values[f"{side}l"] = [pair[n]["line"] for pair in pairs]
        values[f"{side}t"] = [pair[n]["sheet"] or "" for pair in pairs]
    found: list[tuple[str, ...]] = [()] * len(pairs)
    with engine.connect() as connection:
        for n, names in connection.execute(sql, values):
            found[n - 1] = tuple(names.split(",")) if names else ()
    return found


def identities(cursor: Any) -> pa.RecordBatchReader:
    """All of what statements called their subjects: item, delivery_id, line, sheet ('' for none), identity (JSON). It
    is read as it is asked for, by whoever may see people's values and keeps them in restricted places."""
    cursor.execute("SELECT item, delivery_id, line, sheet, identity FROM vault.statement_identity")
    return cursor.fetch_record_batch()


def numbers(cursor: Any, keys: Keys) -> Iterator[pa.RecordBatch]:
    """All subjects: subject_id, number_kind, number. Read likewise; each number is decrypted one by one, which takes
    some ten microseconds."""
    cursor.execute("SELECT subject_id, number_kind, credit_number FROM vault.subject")
    for batch in cursor.fetch_record_batch():
        opened = keys.decrypt(batch["credit_number"].to_pylist(), batch["subject_id"].to_pylist())
        columns = [batch["subject_id"], batch["number_kind"], pa.array(opened, pa.string())]
        yield pa.RecordBatch.from_arrays(columns, ["subject_id", "number_kind", "number"])


def knows(cursor: Any, subject_id: bytes) -> bool:
    """Whether a pseudonym stands for somebody."""
    cursor.execute("SELECT 1 FROM vault.subject WHERE subject_id = $1", (subject_id,))
    return cursor.fetchone() is not None


def _read(files: Iterable[Path]) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}], filename = true)"


def _without(gone: Path | None) -> str:
    return f"ANTI JOIN read_parquet({literal(gone)}) g USING (record_key)" if gone else ""


def _sealed(batch: pa.RecordBatch, keys: Keys) -> pa.RecordBatch:
    numbers = keys.encrypt(batch["number"], batch["subject_id"])
    return pa.record_batch(
        [batch["subject_id"].cast(pa.binary()), numbers, batch["kind"].cast(pa.string())],
        names=["subject_id", "credit_number", "number_kind"],
    )
