"""What a rotation of the pseudonym key does to the ledger, the vault and the files of deliveries; pipelines/rotate.py
has the whole.

What is stored of a key is binary, and nothing else is but the hashes of OTHERS: such columns are all taken over, and a
test says so. All of it is written beside what is in use, and takes its place with the transaction in which the ledger
learns of the new key; files follow at once, or before anybody else opens the home. What people asked (ledger.inquiry)
and wrote stays as they said it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from duckdb.func import PythonUDFType

from pipelines.errors import StoreError
from pipelines.model import Home, literal, publish_json
from pipelines.stores import ledger as book
from pipelines.stores.engine import connect, note_of, pass_on
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Ledger
from pipelines.stores.still import has_been_still, turn

PLACES = ("accepted", "rejected", "findings", "work")
OTHERS = (book.inquiry,)  # tables whose binary columns no key has made
END = ".rotated"  # of a file that is going to take the place of its neighbour
Tell = Callable[[str], None]


def tables() -> dict[str, sa.Table]:
    """The tables of ledger and vault that hold what is made under the key, by the name they have in `staging`."""
    return {
        f"rotated_{t.name}": t for t in book.metadata.sorted_tables
        if t not in OTHERS and any(isinstance(_one_of(c.type), sa.LargeBinary) for c in t.columns)
    }  # fmt: skip


def _one_of(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """The type of the values of a column: of an array, that of what is in it."""
    return kind.item_type if isinstance(kind, sa.ARRAY) else kind


def begin(home: Home, new: Keys) -> None:
    """Note that a rotation is under way, before anything of it is written."""
    publish_json(_note(home), new.fingerprint)


def settle(home: Home, ledger: Ledger) -> None:
    """Finish a rotation that the ledger knows of, or sweep up one that was broken off before. Whoever opens the home to
    change it does so first; none is under way then, since a rotation is alone in the home."""
    if not _note(home).exists():
        return
    with turn(ledger, "rotation"):
        if not _note(home).exists():
            return
        is_done = json.loads(_note(home).read_text(encoding="utf-8")) == ledger.known_key()
        for path in [path for place in PLACES for path in (home.root / place).glob(f".*{END}")]:
            if is_done:
                os.replace(path, path.with_name(path.name[1 : -len(END)]))
            else:
                path.unlink()
        with ledger.engine.begin() as connection:
            for name in sa.inspect(connection).get_table_names("staging"):  # no candidate waits beside a rotation
                connection.execute(sa.text(f'DROP TABLE staging."{name}"'))
        _note(home).unlink()


def _note(home: Home) -> Path:
    return home.work / "rotation.json"


def renew_in(engine: duckdb.DuckDBPyConnection, keys: Keys) -> None:
    """The function `renewed` of stored values. The key stays in the closure."""
    engine.create_function("renewed", keys.renewed, ["BLOB"], "BLOB", type=PythonUDFType.ARROW)


def write_files(home: Home, keys: Keys, tell: Tell) -> int:
    """Write what deliveries left in the home, and what events said last, as it is under the new key, beside it; returns
    how many files."""
    found = [(path, columns) for place in PLACES for path in sorted((home.root / place).glob("*.parquet"))
             if (columns := [f.name for f in pq.read_schema(path) if pa.types.is_binary(f.type)])]  # fmt: skip
    with connect(home.work) as engine:
        renew_in(engine, keys)
        engine.execute("SET preserve_insertion_order = true")  # rows of some are in the order of the sent file
        for n, (path, columns) in enumerate(found, start=1):
            new = ", ".join(f"renewed({c}) AS {c}" for c in columns)
            select = f"SELECT * REPLACE ({new}) FROM read_parquet({literal(path)}, hive_partitioning = false)"
            pass_on(engine, select, path.with_name(f".{path.name}{END}"), note_of(path))
            tell(f"files {n}/{len(found)}: {path.parent.name}")
    return len(found)


def write_tables(ledger: Ledger, old: Keys, new: Keys, tell: Tell) -> None:
    """Fill `staging` with the tables of `tables` as they are under the new key. Raises `StoreError`."""
    with (
        ledger.bulk.connect() as reading, reading.cursor() as source,
        ledger.bulk.connect() as writing, writing.cursor() as sink,
    ):  # fmt: skip
        for n, (name, table) in enumerate(tables().items(), start=1):
            sink.execute(f'DROP TABLE IF EXISTS staging."{name}"')
            sink.execute(f'CREATE TABLE staging."{name}" (LIKE {table.fullname})')
            source.execute(f"SELECT {_columns(table)} FROM {table.fullname}")
            rows = source.fetch_record_batch()
            taken = map(partial(_renewed, table, old, new), rows)
            sink.adbc_ingest(name, pa.RecordBatchReader.from_batches(rows.schema, taken), mode="append",
                             db_schema_name="staging")  # fmt: skip
            writing.commit()
            tell(f"tables {n}/{len(tables())}: {table.fullname}")


def switch_tables(cursor: Any, session: int, new: Keys, release_id: str, as_of: date) -> None:
    """Let those tables take the place of what is in use, and the new key that of the old one; older releases are not
    answered from any more. On the cursor of the transaction that makes the release. Raises `StoreError` where a night
    may have been at work meanwhile: `session` is that of `still`."""
    cursor.execute(has_been_still(session))
    if cursor.fetchone() is None:
        raise StoreError("keys rotate: the database was started anew meanwhile. Nothing was rotated; run it again.")
    for name, table in tables().items():
        cursor.execute(f'SELECT (SELECT count(*) FROM {table.fullname}) = (SELECT count(*) FROM staging."{name}")')
        if cursor.fetchone() != (True,):
            raise StoreError(f"{table.fullname}: rows are missing. Nothing was rotated; run it again.")
        cursor.execute(f"TRUNCATE {table.fullname}")
        columns = _columns(table)
        cursor.execute(f'INSERT INTO {table.fullname} ({columns}) SELECT {columns} FROM staging."{name}"')
        cursor.execute(f'DROP TABLE staging."{name}"')
    cursor.execute(f"UPDATE ledger.release_snapshot SET expired_on = DATE '{as_of}' WHERE expired_on IS NULL")
    cursor.execute(
        "INSERT INTO ledger.pseudonym_key (fingerprint, number, release_id)"
        f" SELECT '{new.fingerprint}', max(number) + 1, '{release_id}' FROM ledger.pseudonym_key"
    )


def _columns(table: sa.Table) -> str:
    return ", ".join(f'"{c.name}"' for c in table.columns)


def _renewed(table: sa.Table, old: Keys, new: Keys, batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.record_batch([*_taken_over(table, old, new, batch)], schema=batch.schema)


def _taken_over(table: sa.Table, old: Keys, new: Keys, batch: pa.RecordBatch) -> Iterator[pa.Array]:
    for column in table.columns:
        values = batch[column.name]
        if column is book.subject.c.credit_number:
            yield _sealed_anew(old, new, values, batch["subject_id"])
        elif column is book.judgement.c.conflict:
            marks = pa.array([None if v is None else bytes.fromhex(v) for v in values.to_pylist()], pa.binary())
            renewed = new.marks_renewed(marks).to_pylist()
            yield pa.array([None if v is None else v.hex() for v in renewed], values.type)
        elif isinstance(column.type, sa.LargeBinary):
            yield new.renewed(values).cast(values.type)
        elif isinstance(_one_of(column.type), sa.LargeBinary):
            lengths = pc.list_value_length(values)
            offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
            flat = values.flatten()
            yield pa.ListArray.from_arrays(offsets, new.renewed(flat).cast(flat.type)).cast(values.type)
        else:
            yield values


def _sealed_anew(old: Keys, new: Keys, sealed: pa.Array, subjects: pa.Array) -> pa.Array:
    """The numbers of the vault under the new key, bound to the new pseudonyms."""
    try:
        numbers = old.decrypt(sealed.to_pylist(), subjects.to_pylist())
    except InvalidTag as e:
        raise StoreError(
            "vault.subject: a number cannot be opened with the key, so nothing was rotated. Restore a backup."
        ) from e
    return new.encrypt(pa.array(numbers, pa.string()), new.renewed(subjects)).cast(sealed.type)
