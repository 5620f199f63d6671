"""`load`: candidates are staged in the warehouse, and those that passed become one release.

`stage` fills `staging.<item>` and the vault before the gate looks; `load` commits to Iceberg, then switches all
warehouse tables and the release pointer in one PostgreSQL transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipelines.errors import StoreError
from pipelines.model import ACCOUNT, Home, literal
from pipelines.stages.candidate import Candidate
from pipelines.stages.datafiles import plan_note
from pipelines.stores import ledger as book
from pipelines.stores import vault
from pipelines.stores.bulk import PSQL
from pipelines.stores.files import SPACES
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Commit, Lake
from pipelines.stores.ledger import Ledger, Pinned, life_row
from schemas.arrow import record_schema, statement_schema, stored_schema
from schemas.model import Item

BATCH = 64_000
# When a load joins a warehouse table as a segment of its own (`_becomes_segment`).
LARGE, MIDDLING, OPEN_SHARE, SEGMENTS = 4, 16, 16, 16
OPEN_BYTES = 32_000_000
FEW = 1_000  # records that are looked for in all segments alike


def stage(home: Home, ledger: Ledger, item: Item, candidate: Candidate, keys: Keys) -> None:
    """Fill `staging.<item>` with the records the candidate brings, and the vault with who its rows speak of.

    The vault's rows carry their delivery and may be there before the release: nobody finds them but by a delivery or
    a record key. Both parts run at once, and each is safe to repeat. Raises `StoreError`.
    """
    with database(f"staging of {item.code} failed"), ThreadPoolExecutor(1) as pool:
        vaulted = pool.submit(_vault, home, ledger, item, candidate, keys)
        stage_records(ledger, item, candidate)
        vaulted.result()


def stage_records(ledger: Ledger, of: Item, candidate: Candidate) -> None:
    """The part of `stage` that concerns records."""
    item, columns = of.code, record_schema(of).names
    with ledger.bulk.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE IF EXISTS staging."{item}"')
        # What is going to be copied once more need not be logged; what becomes a segment itself must be.
        is_segment = _becomes_segment(candidate, _segments(cursor, of))
        kind = "" if is_segment else "UNLOGGED"
        cursor.execute(f'CREATE {kind} TABLE staging."{item}" (LIKE records."{item}" INCLUDING COMMENTS)')
        for file in candidate.upserts:
            _ingest(cursor, "staging", item, Path(file), columns)
        name = f"candidate_{candidate.candidate}"  # index names must not meet in the schema of the segments
        cursor.execute(f'ALTER TABLE staging."{item}" ADD CONSTRAINT {name}_key PRIMARY KEY (record_key)')
        if is_segment:
            cursor.execute(f'CREATE INDEX {name}_subject ON staging."{item}" (subject_id)')
        connection.commit()


def _becomes_segment(candidate: Candidate, segments: list[tuple[str, int]]) -> bool:
    """Whether the staged rows join the table as they lie, and are not inserted into one of its segments: where they are
    many, or a fair share while there are few segments, or where none is open."""
    published, bytes_there = max(candidate.published_rows, 1), sum(size for _, size in segments)
    is_fair = candidate.upsert_rows * MIDDLING >= published and len(segments) < SEGMENTS and bytes_there > OPEN_BYTES
    return candidate.upsert_rows * LARGE >= published or is_fair or (bool(segments) and _open(segments) is None)


def _open(segments: list[tuple[str, int]]) -> str | None:
    """The segment into which little is inserted: the largest that holds no fair share of the table yet. Its index is
    small, and what is inserted night by night meets pages of it that the nights before have met. To insert 100,000 keys
    into the index of six million took 1.5 s, most of it logging nearly all of its pages (docs/benchmarks.md)."""
    full = max(sum(size for _, size in segments) / OPEN_SHARE, OPEN_BYTES)
    return next((name for name, size in segments if size < full), None)


def _segments(cursor: Any, item: Item) -> list[tuple[str, int]]:
    """The segments of a warehouse table and their bytes, the largest first."""
    cursor.execute(f"""SELECT inhrelid::regclass::text, pg_relation_size(inhrelid) FROM pg_inherits
        WHERE inhparent = '{_table(item)}'::regclass ORDER BY 2 DESC, 1""")
    return [(str(name), int(size)) for name, size in cursor.fetchall()]


def _vault(home: Home, ledger: Ledger, item: Item, candidate: Candidate, keys: Keys) -> None:
    own = {key: home.accepted(key) for key in candidate.deliveries}
    back = {key: home.again(key, "accepted") for key in candidate.again}
    gone = home.root / candidate.gone if candidate.gone else None
    with ledger.bulk.connect() as connection, connection.cursor() as cursor:
        vault.enter_subjects(cursor, home.work, [*own.values(), *back.values()], keys, bool(item.registers), gone)
        connection.commit()
        vault.enter_statements(cursor, home.work, item.code, own, gone=gone)
        vault.enter_statements(cursor, home.work, item.code, back, is_again=True, gone=gone)
        connection.commit()


def load(
    home: Home,
    ledger: Ledger,
    lake: Lake,
    items: dict[str, Item],
    candidates: list[Candidate],
    revision: str,
    as_of: date,
    first: Callable[[Any, str], None] = lambda cursor, release_id: None,
) -> str | None:
    """Publish the candidates as one release; returns its id, or the current one when there is nothing to publish.
    `first` is what the transaction begins with.

    Reads candidates and `staging`; writes Iceberg heads, then in one transaction the warehouse tables, the
    deliveries' states and the release pointer. A rerun adopts or rolls back whatever a killed run left. Raises
    `StoreError`.
    """
    previous = ledger.current_release()
    if not candidates:
        return previous["release_id"] if previous else None
    candidates = sorted(candidates, key=lambda c: c.item)
    snapshots = ledger.snapshots(previous["release_id"] if previous else None)
    unused: list[tuple[str, str, tuple[str, ...]]] = []
    for c in candidates:
        item = items[c.item]
        shape = stored_schema(item)
        made = dict.fromkeys(SPACES, Commit(None))
        for space, base in zip(SPACES, c.base, strict=True):
            if space != "ended" or base is not None or c.changes[space]:  # most items have none, and a table costs time
                made[space] = lake.commit(space, c.item, shape, base, c.candidate, c.changes[space])
        unused += [(space, c.item, commit.unused) for space, commit in made.items()]
        snapshots[c.item] = Pinned(*(commit.snapshot for commit in made.values()))
    text = "\0".join([previous["release_id"] if previous else "", *(c.candidate for c in candidates)])
    release_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    with database(f"load of release {release_id} failed"):
        _switch(home, ledger, items, candidates, revision, as_of, release_id, previous, snapshots, first)
    for space, code, files in unused:
        lake.sweep(space, code, files)
    for c in candidates:
        forget(home, c)
    return release_id


def fill_history(ledger: Ledger, item: str, statements: duckdb.DuckDBPyRelation) -> None:
    """Fill the empty table `history.<item>`, whole or not at all. Raises `StoreError`."""
    with database(f"history of {item} failed"), ledger.bulk.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(item, statements.to_arrow_reader(BATCH), mode="append", db_schema_name="history")
        connection.commit()


def empty(cursor: Any, items: Iterable[Item]) -> None:
    """Take all rows out of the warehouse tables of items, on the cursor of the transaction that fills them again."""
    for item in items:
        for segment, _ in _segments(cursor, item):
            cursor.execute(f"DROP TABLE {segment}")
        cursor.execute(f"DELETE FROM ledger.data_file_segment WHERE item = '{item.code}'")
        cursor.execute(f"TRUNCATE ONLY {_table(item)}")
        if item.history_in_warehouse:
            cursor.execute(f'TRUNCATE history."{item.code}"')


def _table(item: Item) -> str:
    return f'records."{item.code}"'


def forget(home: Home, candidate: Candidate) -> None:
    """Put away the notes of a candidate that is published; the note itself last, so that a kill repeats this."""
    for note in (candidate.touched, candidate.begun, candidate.waited, candidate.gone):
        if note:
            (home.root / note).unlink(missing_ok=True)
    plan_note(home, candidate.item).unlink(missing_ok=True)
    home.candidate(candidate.item).unlink(missing_ok=True)


def _switch(
    home: Home,
    ledger: Ledger,
    items: dict[str, Item],
    candidates: list[Candidate],
    revision: str,
    as_of: date,
    release_id: str,
    previous: dict[str, Any] | None,
    snapshots: dict[str, Pinned],
    first: Callable[[Any, str], None],
) -> None:
    """All of it on one connection, in one transaction: readers see the old release or the new one."""
    with ledger.bulk.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(4602)")
        # As on the disks of today. By the server's own figure it would read tables whole to find what a night changes.
        cursor.execute("SET LOCAL random_page_cost = 1.1")
        first(cursor, release_id)
        for c in candidates:
            _switch_records(cursor, home, items[c.item], c)
            _delete(cursor, home, items[c.item], c, release_id)
            if items[c.item].history_in_warehouse:
                for file in c.stated:
                    columns = statement_schema(items[c.item]).names
                    _ingest(cursor, "history", c.item, Path(file), columns, pc.field("action") != "refuse")
            for delivery_id in c.deliveries:
                figures = {k: v for k, v in c.accounts[delivery_id].items() if k not in ("rejected", "held")}
                # Until now all accepted rows counted as held; what the fold did not hold moves to its own word, where
                # only those that the law keeps out may have been counted before.
                figures_sql = "".join(
                    f', "{k}" = {"refused + " if k == "refused" else ""}{int(v)}' for k, v in figures.items()
                )
                sums = f"held = held - {sum(figures.values())}" + figures_sql
                cursor.execute(
                    f"UPDATE ledger.delivery SET {sums}, state = 'released', release_id = '{release_id}'"
                    f" WHERE delivery_id = '{delivery_id}' AND state = 'checked'"
                )
            voided = ", ".join(map(literal, c.reverted))
            if voided:  # how the accounts stood, before anything moves in them
                cursor.execute(
                    f"UPDATE ledger.reversal r SET release_id = '{release_id}', released_on = DATE '{as_of}',"
                    f" account = json_build_object({', '.join(_json_of_account())}) FROM ledger.delivery d"
                    f" WHERE d.delivery_id = r.delivery_id AND r.release_id IS NULL AND r.delivery_id IN ({voided})"
                )
            _switch_waiting(cursor, home, c, as_of, release_id)
            if voided:
                zero = ", ".join(f'"{n}" = 0' for n in ACCOUNT if n not in ("withdrawn", "rejected", "refused"))
                zh, en = (_told_reverted(text) for text in REVERTED)
                cursor.execute(
                    f"UPDATE ledger.delivery d SET {zero}, withdrawn = read - rejected - refused,"
                    f" is_complete = FALSE, strayed = NULL, message_code = 'H018', message_zh = {zh}, message_en = {en}"
                    " FROM ledger.reversal r WHERE d.delivery_id = r.delivery_id"
                    f" AND r.release_id = '{release_id}' AND d.delivery_id IN ({voided})"
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
                    release_id=release_id, item=item, records_snapshot=at.records, history_snapshot=at.history,
                    ended_snapshot=at.ended,
                )
                for item, at in sorted(snapshots.items())
            ),
            *(life_row(c.item, c.life) for c in candidates),
        ):
            compiled = row.compile(dialect=PSQL, compile_kwargs={"literal_binds": True})
            cursor.execute(str(compiled))
        connection.commit()


REVERTED = (
    ("本批已于 ", "r.released_on", " 整批撤回：", "r.reason", "。各行不再计入；需要恢复的，请以更大的序号重新报送。"),
    ("This delivery was reverted on ", "r.released_on", ": ", "r.reason",
     ". None of its rows counts any more; what is right in it is to be sent again under a higher sequence."),
)  # fmt: skip


def _told_reverted(parts: tuple[str, ...]) -> str:
    """SQL of a sentence over a row `r` of ledger.reversal."""
    return "concat(" + ", ".join(p if p.startswith("r.") else literal(p) for p in parts) + ")"


def _json_of_account() -> list[str]:
    return [part for name in ACCOUNT for part in (f"'{name}'", f'd."{name}"')]


def _switch_waiting(cursor: Any, home: Home, c: Candidate, as_of: date, release_id: str) -> None:
    """Rows begin and end to wait, and what ends moves in the account of its delivery, all with this release."""
    for table, path in (("begun", c.begun), ("ended", c.waited)):
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        if path:
            cursor.adbc_ingest(table, pq.read_table(home.root / path), mode="create", temporary=True)
    columns = "delivery_id, line, sheet, verdict, codes, record_key, name_key, is_stated"

    def begin(which: str) -> None:
        cursor.execute(
            f"INSERT INTO ledger.waiting_row ({columns}, item, since, since_release) SELECT {columns}, '{c.item}',"
            f" DATE '{as_of}', '{release_id}' FROM begun WHERE {which}"
        )

    if c.begun:
        begin("NOT is_after")
    if c.waited:
        cursor.execute(
            f"UPDATE ledger.waiting_row w SET ended = DATE '{as_of}', ended_release = '{release_id}',"
            " outcome = e.outcome, corrected_by = e.corrected_by, judged_under = e.judged_under"
            " FROM ended e WHERE w.ended IS NULL"
            " AND w.delivery_id = e.delivery_id AND w.line = e.line AND w.sheet = e.sheet"
        )
        gained = [f"count(*) FILTER (WHERE outcome = '{n}') - count(*) FILTER (WHERE verdict = '{n}')" for n in ACCOUNT]
        moved = ", ".join(f'{sql} AS "{name}"' for name, sql in zip(ACCOUNT, gained, strict=True))
        sums = ", ".join(f'"{name}" = d."{name}" + m."{name}"' for name in ACCOUNT)
        cursor.execute(
            f"UPDATE ledger.delivery d SET {sums} FROM (SELECT delivery_id, {moved} FROM ledger.waiting_row"
            f" WHERE ended_release = '{release_id}' AND item = '{c.item}' GROUP BY delivery_id) m"
            " WHERE m.delivery_id = d.delivery_id"
        )
    if c.begun:
        begin("is_after")
    if c.again:
        listed = ", ".join(f"'{d}'" for d in c.again)
        cursor.execute(f"UPDATE ledger.replay SET state = 'released' WHERE delivery_id IN ({listed})")
        cursor.execute(f"UPDATE ledger.delivery SET no_record = NULL, strayed = NULL WHERE delivery_id IN ({listed})")
        cursor.execute(
            "UPDATE ledger.delivery d SET is_complete = TRUE FROM ledger.replay r"
            f" WHERE r.delivery_id = d.delivery_id AND r.is_complete AND d.delivery_id IN ({listed})"
        )


def _delete(cursor: Any, home: Home, item: Item, c: Candidate, release_id: str) -> None:
    """Nothing is left of the records that are deleted with this release but their tombstones."""
    if not c.gone:
        return
    cursor.execute("DROP TABLE IF EXISTS gone")
    cursor.adbc_ingest("gone", pq.read_table(home.root / c.gone), mode="create", temporary=True)
    cursor.execute("ANALYZE gone")
    vault.take_out_records(cursor, item.code, "SELECT record_key FROM gone WHERE is_new")
    if item.history_in_warehouse:
        cursor.execute(
            f'DELETE FROM history."{item.code}" s USING gone g WHERE g.is_new AND s.record_key = g.record_key'
        )
    # Rows that stood against deleted ones do so no more.
    cursor.execute(f"UPDATE ledger.delivery SET strayed = NULL WHERE item = '{item.code}' AND strayed <> ''")
    cursor.execute(
        f"UPDATE ledger.tombstone t SET release_id = '{release_id}' FROM gone g"
        f" WHERE g.is_new AND t.item = '{item.code}' AND t.record_key = g.record_key AND t.release_id IS NULL"
    )


def _switch_records(cursor: Any, home: Home, item: Item, c: Candidate) -> None:
    """The item's table loses the touched keys and gains the staged rows.

    A warehouse table is an empty parent whose rows lie in segments that inherit from it, each with its own primary
    key; the fold sees to it that a key is in one of them. A load joins as a segment of its own, at once, or is inserted
    into one that is open. A segment has at least a share of what was there when it was closed, so there are never many.
    """
    code, target = item.code, ""
    _take_out(cursor, home, item, c)
    if c.upsert_rows and _is_logged(cursor, item):
        segment = f"{code}_{c.candidate[:12]}"
        cursor.execute(f'ALTER TABLE staging."{code}" RENAME TO "{segment}"')
        cursor.execute(f'ALTER TABLE staging."{segment}" SET SCHEMA segments')
        cursor.execute(f'ALTER TABLE segments."{segment}" INHERIT records."{code}"')
        target = f'segments."{segment}"'
    elif c.upsert_rows:
        there = _segments(cursor, item)
        target = _open(there) or (there[-1][0] if there else _table(item))
        columns = ", ".join(f'"{n}"' for n in record_schema(item).names)
        cursor.execute(f'INSERT INTO {target} ({columns}) SELECT {columns} FROM staging."{code}"')
    cursor.execute(f'DROP TABLE IF EXISTS staging."{code}"')  # what only merges files stages nothing
    _note_segments(cursor, c, target)


def _take_out(cursor: Any, home: Home, item: Item, c: Candidate) -> None:
    """Delete the touched keys. Of many, each is looked for in the segments that are known for its data file, since a
    look that finds nothing costs a page of an index; if that was not all of them, in every segment."""
    if not c.touched_rows:
        return
    touched, there = f'"touched_{item.code}"', _segments(cursor, item)
    cursor.execute(f"CREATE TEMP TABLE {touched} (record_key bytea, file text, is_shared boolean) ON COMMIT DROP")
    for batch in pq.ParquetFile(home.root / c.touched).iter_batches(BATCH):
        cursor.adbc_ingest(touched.strip('"'), batch, mode="append", temporary=True)
    cursor.execute(f"ANALYZE {touched}")
    if c.touched_rows > FEW and len(there) > 1:
        cursor.execute(f"SELECT count(*) FROM {touched} WHERE is_shared IS NOT FALSE")
        left = int(cursor.fetchone()[0])
        for segment, _ in there:
            known = f"SELECT file FROM ledger.data_file_segment WHERE item = '{item.code}' AND segment = '{segment}'"
            cursor.execute(f"""WITH gone AS (DELETE FROM {segment} r USING {touched} t
                WHERE r.record_key = t.record_key AND t.file IN ({known}) RETURNING 1) SELECT count(*) FROM gone""")
            left -= int(cursor.fetchone()[0])
        if left == 0:
            return
    cursor.execute(f"DELETE FROM {_table(item)} r USING {touched} t WHERE r.record_key = t.record_key")


def _note_segments(cursor: Any, c: Candidate, target: str) -> None:
    """Enter where the records of the candidate's data files lie: those that it brings in `target`, those of files that
    it has written anew where they lay, as far as that is known."""
    change = c.changes["records"]
    anew, gone = (
        ", ".join(literal(Path(file).stem) for file in files)
        for files in ([f for f in change.added if f not in c.upserts], change.removed)
    )
    place = "ledger.data_file_segment"
    if anew and gone:
        cursor.execute(f"""INSERT INTO {place} SELECT DISTINCT item, f, segment FROM {place}, unnest(ARRAY[{anew}]) f
            WHERE item = '{c.item}' AND file IN ({gone}) ON CONFLICT DO NOTHING""")
    if gone:
        cursor.execute(f"DELETE FROM {place} WHERE item = '{c.item}' AND file IN ({gone})")
    if target and c.upserts:
        brought = ", ".join(literal(Path(file).stem) for file in c.upserts)
        cursor.execute(f"""INSERT INTO {place} SELECT '{c.item}', f, '{target}'::regclass::text
            FROM unnest(ARRAY[{brought}]) f ON CONFLICT DO NOTHING""")


def _is_logged(cursor: Any, item: Item) -> bool:
    """Whether `stage_records` has made of the staged rows what may become a segment."""
    cursor.execute(f"SELECT relpersistence = 'p' FROM pg_class WHERE oid = 'staging.\"{item.code}\"'::regclass")
    return bool(cursor.fetchone()[0])


def _ingest(
    cursor: Any, schema: str, table: str, path: Path, columns: list[str], only: pc.Expression | None = None
) -> None:
    file = pq.ParquetFile(path)
    shape = pa.schema([file.schema_arrow.field(c) for c in columns])
    batches = file.iter_batches(BATCH, columns=columns)
    if only is not None:
        batches = (batch.filter(only) for batch in batches)
    batches = pa.RecordBatchReader.from_batches(shape, batches)
    cursor.adbc_ingest(table, batches, mode="append", db_schema_name=schema)


@contextmanager
def database(failed: str) -> Iterator[None]:
    """Errors of the database in the block as a `StoreError` that quotes nothing of a row."""
    try:
        yield
    except (sa.exc.DBAPIError, adbc.Error) as e:
        # The driver's error quotes the failing row; a scheduler logs causes, so all that is told of it is its code.
        state = getattr(e, "sqlstate", None) or getattr(getattr(e, "orig", None), "sqlstate", None) or "no SQLSTATE"
        raise StoreError(f"database: {failed} ({type(e).__name__}, {state}). Run it again.") from None
