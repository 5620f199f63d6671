"""The vault: who a pseudonym stands for, and what each statement called them. The only tables that know people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from pipelines.model import literal
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys

BATCH = 64_000
LINES = 256  # of a block of vault.identity_block; a row of its own took 280 bytes, in a block it takes 53
LISTS = {"lines": "line", "record_keys": "record_key", "identities": "identity"}
BLOCKS = pa.schema(
    [("delivery_id", pa.string()), ("sheet", pa.string()), ("block", pa.int64()), ("line", pa.int64()),
     ("item", pa.string()), ("lines", pa.list_(pa.int64())), ("record_keys", pa.list_(pa.binary())),
     ("identities", pa.list_(pa.string()))]
)  # fmt: skip


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
            _take_out_places(cursor)
        else:
            cursor.execute(
                f"DELETE FROM vault.identity_block WHERE delivery_id IN ({', '.join(map(literal, accepted))})"
            )
        said = engine.sql(
            f"SELECT {place}, {literal(item)} AS item, record_key, identity FROM {source} {_without(gone)}"
        ).to_arrow_reader(BATCH)
        blocks = pa.RecordBatchReader.from_batches(BLOCKS, map(_blocks, said))
        cursor.adbc_ingest("identity_block", blocks, mode="append", db_schema_name="vault")


def _blocks(said: pa.RecordBatch) -> pa.RecordBatch:
    """Rows as blocks: neighbours of one sheet of a delivery whose lines lie between the same multiples of LINES."""
    import numpy as np

    if not said.num_rows:
        return pa.RecordBatch.from_pylist([], BLOCKS)
    block = pc.divide(said["line"], pa.scalar(LINES, pa.int64()))
    is_next = np.zeros(said.num_rows, bool)
    for column in (block, said["delivery_id"], said["sheet"]):
        is_next[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    is_next[0] = True
    begins = np.flatnonzero(is_next)
    offsets = pa.array(np.append(begins, said.num_rows), pa.int32())
    ones = {name: said[name].take(pa.array(begins)) for name in ("delivery_id", "sheet", "line", "item")}
    lists = {many: pa.ListArray.from_arrays(offsets, said[one]) for many, one in LISTS.items()}
    columns = ones | lists | {"block": block.take(pa.array(begins))}
    return pa.RecordBatch.from_arrays([columns[f.name].cast(f.type) for f in BLOCKS], schema=BLOCKS)


def take_out_records(cursor: Any, item: str, keys: str) -> None:
    """Take out what statements about the records of an item called their subjects; `keys` is SQL that gives their
    record_key. Goes through all blocks of the item. On an ADBC cursor whose transaction the caller ends."""
    cursor.execute(
        "CREATE TEMP TABLE places AS SELECT delivery_id, line, sheet FROM vault.statement_identity"
        f" WHERE item = {literal(item)} AND record_key IN ({keys})"
    )
    _take_out_places(cursor)


def _take_out_places(cursor: Any) -> None:
    """Take out what was said at the places of the temporary table `places`, and drop that. Of a block in which one of
    them lies the other rows are written anew."""
    is_place = f"p.delivery_id = b.delivery_id AND p.sheet = b.sheet AND p.line / {LINES} = b.block"
    ordered = ", ".join(f"array_agg({one} ORDER BY line)" for one in LISTS.values())
    cursor.execute("ANALYZE places")
    cursor.execute(f"""WITH taken AS (
            DELETE FROM vault.identity_block b WHERE EXISTS (SELECT 1 FROM places p WHERE {is_place}) RETURNING b.*
        ), said AS (
            SELECT b.delivery_id, b.sheet, b.block, b.item, u.* FROM taken b
            CROSS JOIN unnest(b.lines, b.record_keys, b.identities) AS u (line, record_key, identity)
            WHERE NOT EXISTS (SELECT 1 FROM places p WHERE {is_place} AND p.line = u.line)
        )
        INSERT INTO vault.identity_block SELECT delivery_id, sheet, block, min(line), item, {ordered}
        FROM said GROUP BY delivery_id, sheet, block, item""")
    cursor.execute("DROP TABLE places")


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
    said_by = f"""(SELECT u.identity FROM vault.identity_block b
        CROSS JOIN unnest(b.lines, b.identities) AS u (line, identity)
        WHERE b.delivery_id = p.{{0}}_delivery AND b.sheet = p.{{0}}_sheet AND b.block = p.{{0}}_line / {LINES}
            AND u.line = p.{{0}}_line)"""
    sql = sa.text(f"""SELECT p.n, concat_ws(',', {asked})
        FROM unnest(CAST(:ad AS text[]), CAST(:al AS bigint[]), CAST(:at AS text[]), CAST(:bd AS text[]),
            CAST(:bl AS bigint[]), CAST(:bt AS text[])) WITH ORDINALITY
            AS p(a_delivery, a_line, a_sheet, b_delivery, b_line, b_sheet, n)
        CROSS JOIN LATERAL {said_by.format("a")} a CROSS JOIN LATERAL {said_by.format("b")} b""")
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
