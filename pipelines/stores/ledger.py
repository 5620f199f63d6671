"""The ledger: deliveries, their states and row accounts, releases. PostgreSQL through SQLAlchemy; no personal value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import DBAPIError, OperationalError

from pipelines.errors import StoreError
from pipelines.model import ACCOUNT, Delivery
from pipelines.stores.bulk import Bulk
from pipelines.stores.migrations import MIGRATIONS

SCHEMAS = ("ledger", "vault", "records", "history", "staging", "segments")
READER = "qiongxin_reader"
Former = Mapping[str, tuple[str, ...]]  # column -> the names it had before, the first one first
# For whoever reads the Iceberg tables directly: which snapshots belong together in which release.
SNAPSHOTS = """SELECT r.number, r.release_id, r.as_of, r.revision, s.item, s.records_snapshot, s.history_snapshot,
    s.ended_snapshot FROM ledger.release r JOIN ledger.release_snapshot s USING (release_id)"""
metadata = sa.MetaData()

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("department", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False, comment="name in the inbox"),
    sa.Column("period", sa.Date, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("declared_rows", sa.BigInteger),
    sa.Column("is_nil", sa.Boolean, nullable=False, server_default="false", comment="declared: nothing to report"),
    sa.Column(
        "manifest", sa.JSON, nullable=False, server_default="{}",
        comment="what the sender stated beside rows, period, sequence and mode",
    ),
    sa.Column("receipted", sa.Text, nullable=False, server_default="", comment="what the written receipt says"),
    sa.Column("delivered", sa.Text, nullable=False, server_default="", comment="what the receipt sent out says"),
    sa.Column("received_on", sa.Date, nullable=False),
    sa.Column("state", sa.Text, nullable=False, comment="received, checked, returned, held, released"),
    sa.Column("is_complete", sa.Boolean, nullable=False, server_default="false", comment="every row was accepted"),
    sa.Column("message_code", sa.Text, nullable=False, server_default=""),
    sa.Column("message_zh", sa.Text, nullable=False, server_default=""),
    sa.Column("message_en", sa.Text, nullable=False, server_default=""),
    sa.Column("revision", sa.Text),
    sa.Column(
        "edition", sa.Text, nullable=False, server_default="", comment="of the item, by which the delivery was judged"
    ),
    sa.Column("yardstick", sa.Text, nullable=False, server_default="", comment="what it was judged by"),
    sa.Column("compared", sa.Text, nullable=False, server_default="", comment="revision that gives the same yardstick"),
    sa.Column("release_id", sa.Text),
    sa.Column("read", sa.BigInteger, nullable=False, server_default="0"),
    *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in ACCOUNT),
    sa.Column(
        "late", sa.BigInteger, nullable=False, server_default="0",
        comment="new rows that came later after their event than the item allows",
    ),
    sa.Column(
        "looks", sa.Integer, nullable=False, server_default="0", comment="how often judging it has begun and not ended"
    ),
    sa.Column("no_record", sa.BigInteger, comment="rows of events about no record yet; NULL: not looked at yet"),
    sa.Column("strayed", sa.Text, comment="which rows go against their states, empty: none; NULL: not looked at yet"),
    schema="ledger",
)
# The rows of released deliveries that were rejected or held, from the release that said so to the one in which they
# came back or were corrected. Keys are pseudonymous or keyed hashes, NULL where the row does not tell them.
waiting_row = sa.Table(
    "waiting_row",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True),
    sa.Column("sheet", sa.Text, primary_key=True, comment="'' for none"),
    sa.Column("since_release", sa.Text, primary_key=True),
    sa.Column("since", sa.Date, nullable=False),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False, comment="rejected, held"),
    sa.Column("codes", sa.Text, nullable=False, comment="finding codes that stop it"),
    sa.Column("record_key", sa.LargeBinary),
    sa.Column("name_key", sa.LargeBinary, comment="keyed hash of business key and name"),
    sa.Column("is_stated", sa.Boolean, nullable=False, comment="its statement is in history, and held there"),
    sa.Column("ended", sa.Date, comment="NULL: it waits still"),
    sa.Column("ended_release", sa.Text),
    sa.Column("outcome", sa.Text, comment="the word of the row account that it moved to"),
    sa.Column("corrected_by", sa.Text, comment="delivery that says more of its record"),
    sa.Column("judged_under", sa.Text, comment="revision under which it was judged again"),
    sa.Index("waiting_row_open", "item", postgresql_where=sa.text("ended IS NULL")),
    sa.Index("waiting_row_ended", "ended_release"),
    schema="ledger",
)
# Released deliveries that were judged again, until what comes back of them is released and their files are renewed.
replay = sa.Table(
    "replay",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Text, nullable=False, comment="under which it was judged again"),
    sa.Column("is_complete", sa.Boolean, nullable=False, comment="every row was accepted"),
    sa.Column("state", sa.Text, nullable=False, comment="pending, released"),
    schema="ledger",
)
# Released deliveries that a person took back: none of their statements counts from that release on.
reversal = sa.Table(
    "reversal",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("asked_on", sa.Date, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("release_id", sa.Text, comment="NULL: not carried out yet"),
    sa.Column("released_on", sa.Date),
    sa.Column("account", sa.JSON, comment="of the delivery as it was before"),
    schema="ledger",
)
release = sa.Table(
    "release",
    metadata,
    sa.Column("release_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("previous", sa.Text),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    schema="ledger",
)
snapshot = sa.Table(
    "release_snapshot",
    metadata,
    sa.Column("release_id", sa.Text, primary_key=True),
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("records_snapshot", sa.BigInteger),
    sa.Column("history_snapshot", sa.BigInteger),
    sa.Column("ended_snapshot", sa.BigInteger),
    sa.Column("expired_on", sa.Date, comment="since when the snapshots are gone"),
    schema="ledger",
)
# How far the records of an item have taken in what events and time make of them.
life = sa.Table(
    "life",
    metadata,
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("events", sa.Text, nullable=False, comment="what the events say that its records have taken in"),
    sa.Column("rules", sa.Text, nullable=False, comment="by which policy they did"),
    sa.Column("changes_on", sa.Date, comment="the next day on which time alone changes one of them"),
    sa.Column(
        "keeps_until", sa.Date,
        comment="no record that is shared no more, and no statement that no record shows, is to be deleted before",
    ),
    schema="ledger",
)
# What spares a load looking for records in every segment of a warehouse table; where it tells too little, it looks.
data_file_segment = sa.Table(
    "data_file_segment",
    metadata,
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, primary_key=True, comment="data file of records, its name without folder and ending"),
    sa.Column("segment", sa.Text, primary_key=True, comment="in which some of its records lie, or all"),
    schema="ledger",
)
# Records that are to be deleted, or have been: no content, and no later stage takes them in again.
tombstone = sa.Table(
    "tombstone",
    metadata,
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("record_key", sa.LargeBinary, primary_key=True),
    sa.Column("written_on", sa.Date, nullable=False),
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("written_by", sa.Text, nullable=False),
    sa.Column("release_id", sa.Text, comment="NULL: the record is not deleted yet"),
    sa.Column("subject_id", sa.LargeBinary, comment="NULL: seen whether any record speaks of the subject still"),
    sa.Index("tombstone_open", "item", postgresql_where=sa.text("release_id IS NULL")),
    sa.Index("tombstone_subject", "item", postgresql_where=sa.text("subject_id IS NOT NULL")),
    schema="ledger",
)
# What people have judged of two subjects, or of a conflict about one; an undone judgement stays and counts no more.
judgement = sa.Table(
    "judgement",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("subject_id", sa.LargeBinary, nullable=False),
    sa.Column("other_id", sa.LargeBinary, nullable=False),
    sa.Column(
        "verdict", sa.Text, nullable=False,
        comment="same: what is known of subject_id is known of other_id; different",
    ),
    sa.Column("conflict", sa.Text, comment="what was judged, where it concerns one subject alone"),
    sa.Column("made_on", sa.Date, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("undone_on", sa.Date, comment="NULL: it stands"),
    sa.Column("undone_by", sa.Text),
    sa.Column("undone_reason", sa.Text),
    sa.Index(
        "judgement_standing", sa.text("least(subject_id, other_id)"), sa.text("greatest(subject_id, other_id)"),
        sa.text("coalesce(conflict, '')"), unique=True, postgresql_where=sa.text("undone_on IS NULL"),
    ),
    schema="ledger",
)
# Who was shown values of records; entries are only added, and go when their time is over (stores/inquiries.py).
inquiry = sa.Table(
    "inquiry",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False, comment="the account of the machine"),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, comment="as whoever asked gave it"),
    sa.Column("said", sa.Text, nullable=False, comment="what was asked, without names, numbers and free words"),
    sa.Column("release_id", sa.Text),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.LargeBinary, nullable=False, comment="hash of the entry before; empty: there was none"),
    sa.Column("hash", sa.LargeBinary, nullable=False, comment="SHA-256 of this entry and of previous"),
    schema="ledger",
)
# What people have decided of held deliveries and items; never changed. A decision about one delivery names it, one
# about an item its deliveries; a waiver holds to a day for whatever an item, or a department in it, is held for.
decision = sa.Table(
    "decision",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("does", sa.Text, nullable=False, comment="approve, reject, waive"),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("delivery_id", sa.Text),
    sa.Column("department", sa.Text, comment="NULL: of the item as a whole"),
    sa.Column("codes", sa.JSON, nullable=False, comment="finding codes, or expectations of the gate"),
    sa.Column("deliveries", sa.JSON, nullable=False),
    sa.Column("made_on", sa.Date, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("until", sa.Date),
    schema="ledger",
)
asked = sa.Table(
    "asked",
    metadata,
    sa.Column("key", sa.Text, primary_key=True, comment="what is held, of which people are asked"),
    sa.Column("asked_on", sa.Date, nullable=False),
    schema="ledger",
)
gate_result = sa.Table(
    "gate_result",
    metadata,
    sa.Column("candidate", sa.Text, primary_key=True),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False, comment="passed, failed, could_not_evaluate"),
    sa.Column("detail", sa.JSON, nullable=False),
    schema="ledger",
)
look = sa.Table(
    "look",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("name", sa.LargeBinary, primary_key=True, comment="keyed hash: people write numbers into file names"),
    sa.Column("stamp", sa.Text, nullable=False, comment="size and time of the file and of its sidecars"),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("taken", sa.Text, comment="the stamp it had when it was taken"),
    sa.Column("delivery_id", sa.Text, comment="what it was taken as"),
    schema="ledger",
)
unreachable = sa.Table(
    "unreachable",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("direction", sa.Text, primary_key=True, comment="inbox, outbox"),
    sa.Column("department", sa.Text, nullable=False),
    sa.Column("since", sa.Date, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    schema="ledger",
)
# What those who run the platform are told, by a key that stays the same while it holds.
alert = sa.Table(
    "alert",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("told", JSONB, nullable=False, comment="in which words"),
    sa.Column(
        "last_sent", JSONB, nullable=False, server_default="{}",
        comment="by notifier; once it is over, of those that have not heard of that",
    ),
    sa.Column("cleared", sa.DateTime(timezone=True), comment="NULL: it holds"),
    sa.Index("alert_open", "kind", postgresql_where=sa.text("cleared IS NULL OR last_sent <> '{}'")),
    schema="ledger",
)
catalogue = sa.Table(
    "catalogue",
    metadata,
    sa.Column("revision", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("applied_on", sa.Date, nullable=False),
    sa.Column("content", sa.Text, nullable=False, comment="the catalogue as JSON"),
    schema="ledger",
)
pseudonym_key = sa.Table(
    "pseudonym_key",
    metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True, comment="of the key that all records hang on, or hung"),
    sa.Column("number", sa.Integer, nullable=False, server_default="1", comment="the greatest is in use"),
    sa.Column("release_id", sa.Text, comment="NULL: the first key; else the one that it was rotated with"),
    sa.Column("expired_on", sa.Date, comment="since when the snapshots of before the rotation are gone"),
    schema="ledger",
)
migration = sa.Table(
    "migration",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    schema="ledger",
)
subject = sa.Table(
    "subject",
    metadata,
    sa.Column("subject_id", sa.LargeBinary, primary_key=True),
    sa.Column("credit_number", sa.LargeBinary, nullable=False, comment="AES-SIV (RFC 5297), bound to subject_id"),
    sa.Column("number_kind", sa.Text, nullable=False),
    schema="vault",
)
identity_block = sa.Table(
    "identity_block",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("sheet", sa.Text, primary_key=True),
    sa.Column("block", sa.BigInteger, primary_key=True, comment="line / 256"),
    sa.Column("line", sa.BigInteger, primary_key=True, comment="the first of these lines"),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("lines", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("record_keys", ARRAY(sa.LargeBinary), nullable=False, comment="of each line"),
    sa.Column("identities", ARRAY(sa.Text), nullable=False, comment="of each line, JSON of its identifying fields"),
    schema="vault",
)
# The same, row by row; and the planner, who has no use for them, keeps no names in its statistics.
BESIDE_BLOCKS = (
    "CREATE VIEW vault.statement_identity AS"
    " SELECT b.delivery_id, said.line, b.sheet, b.item, said.record_key, said.identity FROM vault.identity_block b"
    " CROSS JOIN unnest(b.lines, b.record_keys, b.identities) AS said (line, record_key, identity)",
    "ALTER TABLE vault.identity_block ALTER COLUMN lines SET STATISTICS 0, ALTER COLUMN record_keys SET STATISTICS 0,"
    " ALTER COLUMN identities SET STATISTICS 0",
)
for step in BESIDE_BLOCKS:
    sa.event.listen(identity_block, "after_create", sa.DDL(step))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Look:
    """How a file was when it was last looked at, so many seconds ago; how it was when it was taken, and the content
    and period of the delivery that it was taken as."""

    stamp: str
    age: float
    taken: str | None
    sha256: str | None
    period: date | None


class Pinned(NamedTuple):
    """The Iceberg snapshots of an item that a release shows, None where it has none."""

    records: int | None = None
    history: int | None = None
    ended: int | None = None


def _pinned(row: sa.Row[Any]) -> Pinned:
    return Pinned(row.records_snapshot, row.history_snapshot, row.ended_snapshot)


class Life(NamedTuple):
    """How far the records of an item have taken in what events and time make of them (columns of ledger.life)."""

    events: str
    rules: str
    changes_on: date | None = None
    keeps_until: date | None = None


def life_row(item: str, of: Life) -> sa.Insert:
    """The statement that enters what `Ledger.lives` gives."""
    row = {"item": item, **of._asdict()}
    return insert(life).values(row).on_conflict_do_update(index_elements=["item"], set_=row)


class Ledger:
    """All reads and writes of the schemas `ledger` and `vault`. `url` is a SQLAlchemy URL of PostgreSQL; `bulk` gives
    connections for much at once."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sa.create_engine(url, pool_pre_ping=True)
        self.bulk = Bulk(url)

    def close(self) -> None:
        self.bulk.close()
        self.engine.dispose()

    def prepare(self) -> None:
        """Create what is missing of schemas, `ledger`, `vault` and the reader role, or bring an older home up to date
        by its migrations. Safe to run by several processes at once. Raises `StoreError`."""
        with self._changing() as connection:
            for name in SCHEMAS:
                connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {name}"))
            known = sa.inspect(connection).get_table_names("ledger")
            metadata.create_all(connection, tables=[migration] if known else None)
            reached = connection.execute(sa.select(sa.func.max(migration.c.number))).scalar()
            begin = len(MIGRATIONS) if not known else (reached or 0)
            for step in chain.from_iterable(MIGRATIONS[begin:]):
                connection.execute(sa.text(step))
            if reached != len(MIGRATIONS):
                connection.execute(insert(migration).values(number=len(MIGRATIONS)).on_conflict_do_nothing())
            exists = connection.execute(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :r"), {"r": READER})
            if exists.first() is None:
                connection.execute(sa.text(f"CREATE ROLE {READER} NOLOGIN"))
            connection.execute(sa.text(f"CREATE OR REPLACE VIEW release_snapshots AS {SNAPSHOTS}"))
            connection.execute(sa.text(f"GRANT SELECT ON release_snapshots TO {READER}"))
            connection.execute(sa.text("REVOKE ALL ON SCHEMA vault FROM PUBLIC"))

    def evolve(self, tables: sa.MetaData, former: Mapping[str, Former], subjects: str) -> list[str]:
        """Bring the warehouse to the tables of today's catalogue, and the view `subjects` (its SQL); what was done.

        `former`: table -> column -> names it had before. A table or column that is missing is added, one under a former
        name is renamed; nothing is dropped or rewritten. Raises `StoreError`.
        """
        done = []
        with self._changing() as connection:
            there = sa.inspect(connection)
            old = {t: {c["name"] for c in cs} for t, cs in there.get_multi_columns("records").items()}
            old |= {t: {c["name"] for c in cs} for t, cs in there.get_multi_columns("history").items()}
            tables.create_all(connection)
            for table in tables.sorted_tables:
                have = old.get((table.schema, table.name))
                for column in table.columns if have is not None else ():
                    if have is None or column.name in have:
                        continue
                    place = f'{table.schema}."{table.name}"'
                    names = former.get(table.name, {}).get(column.name, ())
                    if (name := next((n for n in reversed(names) if n in have), None)) is not None:
                        connection.execute(sa.text(f'ALTER TABLE {place} RENAME COLUMN "{name}" TO "{column.name}"'))
                        done.append(f"{table.schema}.{table.name}: {name} is now {column.name}")
                    else:
                        kind = column.type.compile(dialect=connection.dialect)
                        connection.execute(sa.text(f'ALTER TABLE {place} ADD COLUMN "{column.name}" {kind}'))
                        done.append(f"{table.schema}.{table.name}: {column.name} added")
                    connection.execute(sa.schema.SetColumnComment(column))
            connection.execute(sa.text(f"CREATE OR REPLACE VIEW subjects AS {subjects}"))
            connection.execute(sa.text(f"GRANT SELECT ON subjects TO {READER}"))
            connection.execute(sa.text(f"GRANT USAGE ON SCHEMA records, history TO {READER}"))
            connection.execute(sa.text(f"GRANT SELECT ON ALL TABLES IN SCHEMA records, history TO {READER}"))
        return done

    def remake(self, tables: Iterable[tuple[str, str]]) -> None:
        """Drop tables (schema, name) that hold nothing, so that `evolve` makes them anew. Raises `StoreError`."""
        with self._changing() as connection:
            connection.execute(sa.text("DROP VIEW IF EXISTS subjects"))
            for schema, name in tables:
                connection.execute(sa.text(f'DROP TABLE IF EXISTS {schema}."{name}"'))

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """One transaction that changes tables; nobody else changes any meanwhile."""
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(4601)"))
                yield connection
        except (OperationalError, DBAPIError) as e:
            raise StoreError(f"database: {type(e.orig).__name__}. Start it, then run the same command again.") from e

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else applies a catalogue meanwhile."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(4603)"))
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(4603)"))

    def applied(self) -> str | None:
        """The revision of the catalogue that the stores follow; None before the first."""
        query = sa.select(catalogue.c.revision).order_by(catalogue.c.number.desc()).limit(1)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar()

    def catalogue(self, revision: str) -> str | None:
        """A catalogue that was applied, as JSON, by its revision or the beginning of it."""
        query = sa.select(catalogue.c.content).where(catalogue.c.revision.startswith(revision, autoescape=True))
        with self.engine.connect() as connection:
            found = connection.execute(query.limit(2)).scalars().all()
        return found[0] if len(found) == 1 else None

    def apply(self, revision: str, content: str, on: date) -> None:
        """Enter that the stores follow a catalogue from now on; an earlier one that comes back is the latest again."""
        with self.engine.begin() as connection:
            last = connection.execute(sa.select(sa.func.max(catalogue.c.number))).scalar() or 0
            row = {"revision": revision, "number": last + 1, "applied_on": on, "content": content}
            query = insert(catalogue).values(row)
            connection.execute(query.on_conflict_do_update(index_elements=["revision"], set_=row))

    def known_key(self, fingerprint: str | None = None) -> str | None:
        """The fingerprint of the key that the records of this home hang on; where none is known yet, from now on it is
        `fingerprint`."""
        query = sa.select(pseudonym_key.c.fingerprint).order_by(pseudonym_key.c.number.desc()).limit(1)
        with self.engine.begin() as connection:
            if fingerprint is not None:
                connection.execute(sa.text("LOCK TABLE ledger.pseudonym_key IN SHARE ROW EXCLUSIVE MODE"))
            known = connection.execute(query).scalar()
            if known is None and fingerprint is not None:
                connection.execute(sa.insert(pseudonym_key).values(fingerprint=fingerprint))
            return known or fingerprint

    def is_empty(self, schema: str, table: str) -> bool:
        """Whether a table of the warehouse holds no row."""
        with self.engine.connect() as connection:
            return connection.execute(sa.text(f'SELECT 1 FROM {schema}."{table}" LIMIT 1')).first() is None

    def items_delivered(self) -> set[str]:
        """Items of which anything ever arrived."""
        with self.engine.connect() as connection:
            return set(connection.execute(sa.select(delivery.c.item).distinct()).scalars())

    def departments_delivering(self) -> set[str]:
        """Departments that ever sent anything."""
        with self.engine.connect() as connection:
            return set(connection.execute(sa.select(delivery.c.department).distinct()).scalars())

    def looks(self, place: str) -> dict[bytes, Look]:
        """What is remembered of the files of a place: keyed hash of the name -> the last look."""
        age = sa.func.extract("epoch", sa.func.clock_timestamp() - look.c.seen_at)
        columns = (look.c.name, look.c.stamp, age, look.c.taken, delivery.c.sha256, delivery.c.period)
        source = look.outerjoin(delivery, delivery.c.delivery_id == look.c.delivery_id)
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).select_from(source).where(look.c.place == place)).all()
        return {bytes(name): Look(stamp, float(age), *told) for name, stamp, age, *told in rows}

    def note_looks(self, place: str, stamps: Mapping[bytes, str], gone: Iterable[bytes]) -> None:
        """Remember files that are new or have changed, and forget those that are no longer there."""
        rows = [{"place": place, "name": name, "stamp": stamp} for name, stamp in stamps.items()]
        forgotten = list(gone)
        if not rows and not forgotten:
            return
        with self.engine.begin() as connection:
            if forgotten:
                connection.execute(sa.delete(look).where(look.c.place == place, look.c.name.in_(forgotten)))
            if rows:
                query = insert(look)
                news = {"stamp": query.excluded.stamp, "seen_at": sa.func.clock_timestamp()}
                connection.execute(query.on_conflict_do_update(index_elements=["place", "name"], set_=news), rows)

    def note_unreachable(
        self, direction: str, failed: Iterable[tuple[str, str, str]], on: date, is_asked: Callable[[str], bool]
    ) -> None:
        """Remember the inboxes or outboxes (department, place, message) that failed, and since when; all others of the
        departments that were asked are well."""
        rows = [
            {"direction": direction, "department": d, "place": p, "message": m, "since": on} for d, p, m in failed
        ]
        known = [r for r in self.unreachable() if r["direction"] == direction and is_asked(r["department"])]
        well = {r["place"] for r in known} - {r["place"] for r in rows}
        with self.engine.begin() as connection:
            this = unreachable.c.direction == direction, unreachable.c.place.in_(well)
            connection.execute(sa.delete(unreachable).where(*this))
            for row in rows:
                query = insert(unreachable).values(row)
                news = {"message": query.excluded.message}
                connection.execute(query.on_conflict_do_update(index_elements=["place", "direction"], set_=news))

    def unreachable(self) -> list[dict[str, Any]]:
        """The places that failed when they were last asked: direction, department, place, since, message."""
        columns = [unreachable.c[n] for n in ("direction", "department", "place", "since", "message")]
        query = sa.select(*columns).order_by(unreachable.c.direction, unreachable.c.department, unreachable.c.place)
        with self.engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(query)]

    def undelivered(self, department: str) -> list[tuple[str, str]]:
        """Deliveries whose receipt says more than the one sent to the department: (delivery id, what it says)."""
        query = sa.select(delivery.c.delivery_id, delivery.c.receipted).order_by(delivery.c.delivery_id)
        query = query.where(delivery.c.department == department, delivery.c.receipted != delivery.c.delivered)
        with self.engine.connect() as connection:
            return [(r.delivery_id, r.receipted) for r in connection.execute(query)]

    def register(self, new: Delivery, received_on: date, place: str, name: bytes, stamp: str) -> bool:
        """Enter a delivery, and that the file of this look was taken as it; False when it is known already (the same
        tuple is the same delivery).

        One that is held or returned is taken anew where its manifest says something else this time: it is how a sender
        corrects a manifest."""
        row = {
            "delivery_id": new.delivery_id,
            "department": new.department,
            "item": new.item,
            "file": new.file,
            "period": new.period,
            "sequence": new.sequence,
            "mode": new.mode,
            "sha256": new.sha256,
            "size": new.size,
            "declared_rows": new.declared_rows,
            "is_nil": new.is_nil,
            "manifest": new.manifest,
            "received_on": received_on,
            "state": "received",
        }
        query = insert(delivery).values(row)
        again = ("declared_rows", "is_nil", "manifest")
        before, now = ([sa.cast(c[n], sa.Text) for n in again] for c in (delivery.c, query.excluded))
        is_other = [a.is_distinct_from(b) for a, b in zip(before, now, strict=True)]
        query = query.on_conflict_do_update(
            index_elements=["delivery_id"],
            set_={n: query.excluded[n] for n in (*again, "received_on", "state")},
            where=sa.and_(delivery.c.state.in_(("held", "returned")), sa.or_(*is_other)),
        )
        with self.engine.begin() as connection:
            is_new = connection.execute(query.returning(delivery.c.delivery_id)).first() is not None
            taken = sa.update(look).where(look.c.place == place, look.c.name == name)
            connection.execute(taken.values(taken=stamp, delivery_id=new.delivery_id))
            return is_new

    def deliveries(self, *states: str, item: str | None = None, only: str | None = None) -> list[dict[str, Any]]:
        query = sa.select(delivery).order_by(delivery.c.department, delivery.c.item, delivery.c.delivery_id)
        if states:
            query = query.where(delivery.c.state.in_(states))
        if item is not None:
            query = query.where(delivery.c.item == item)
        if only is not None:
            query = query.where(delivery.c.delivery_id == only)
        with self.engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(query)]

    def beside(self, of: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The deliveries of the same department and item as `of`, and those of the same bytes anywhere."""
        c = delivery.c
        series = sa.and_(c.department == of["department"], c.item == of["item"])
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(delivery).where(sa.or_(series, c.sha256 == of["sha256"])))
            return [dict(r._mapping) for r in found]

    def replace_unclear(self, by: Mapping[str, Any], zh: str, en: str) -> None:
        """Void what was held for its manifest (F040), now that the same file has come with another one, as `by`."""
        c, zero = delivery.c, dict.fromkeys(("read", *ACCOUNT), 0)
        query = sa.update(delivery).values(state="returned", message_zh=zh, message_en=en, **zero)
        query = query.where(c.state == "held", c.message_code == "F040", c.delivery_id != by["delivery_id"])
        same = (c.department == by["department"], c.item == by["item"], c.sha256 == by["sha256"])
        with self.engine.begin() as connection:
            connection.execute(query.where(*same))

    def begin_look(self, delivery_ids: Iterable[str]) -> None:
        """Remember that judging them has begun, before it does: a process that is killed leaves that behind."""
        self._look(delivery_ids, delivery.c.looks + 1)

    def end_look(self, delivery_ids: Iterable[str]) -> None:
        self._look(delivery_ids, 0)

    def _look(self, delivery_ids: Iterable[str], looks: Any) -> None:
        with self.engine.begin() as connection:
            query = sa.update(delivery).where(delivery.c.delivery_id.in_(list(delivery_ids)))
            connection.execute(query.values(looks=looks))

    def update(self, delivery_id: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.update(delivery).where(delivery.c.delivery_id == delivery_id).values(**values))

    def current_release(self) -> dict[str, Any] | None:
        query = sa.select(release).order_by(release.c.number.desc()).limit(1)
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return dict(row._mapping) if row else None

    def find_release(self, wanted: str | None) -> dict[str, Any] | None:
        """By id, or the last one whose as-of date is not later than a date; None means the current one."""
        if wanted is None:
            return self.current_release()
        query = sa.select(release).order_by(release.c.number.desc()).limit(1)
        try:
            query = query.where(release.c.as_of <= date.fromisoformat(wanted))
        except ValueError:
            query = query.where(release.c.release_id == wanted)
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return dict(row._mapping) if row else None

    def releases(self) -> list[dict[str, Any]]:
        """All releases in their order, each with `snapshots`: item -> those of it that are not gone."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(release).order_by(release.c.number))
            found: list[dict[str, Any]] = [{**r._mapping, "snapshots": {}} for r in rows]
            at = {r["release_id"]: r for r in found}
            for s in connection.execute(sa.select(snapshot).where(snapshot.c.expired_on.is_(None))):
                at[s.release_id]["snapshots"][s.item] = _pinned(s)
        return found

    def snapshots(self, release_id: str | None) -> dict[str, Pinned]:
        """Item -> its snapshots of a release, as far as they are not gone."""
        if release_id is None:
            return {}
        query = sa.select(snapshot).where(snapshot.c.release_id == release_id, snapshot.c.expired_on.is_(None))
        with self.engine.connect() as connection:
            return {r.item: _pinned(r) for r in connection.execute(query)}

    def expired(self, release_id: str) -> dict[str, date]:
        """Item -> since when its snapshots of a release are gone."""
        query = sa.select(snapshot.c.item, snapshot.c.expired_on)
        query = query.where(snapshot.c.release_id == release_id, snapshot.c.expired_on.isnot(None))
        with self.engine.connect() as connection:
            return {r.item: r.expired_on for r in connection.execute(query)}

    def current_snapshots(self) -> dict[str, Pinned]:
        """Item -> its snapshots of the current release."""
        current = sa.select(release.c.release_id).order_by(release.c.number.desc()).limit(1).scalar_subquery()
        query = sa.select(snapshot).where(snapshot.c.release_id == current)
        with self.engine.connect() as connection:
            return {r.item: _pinned(r) for r in connection.execute(query)}

    def published(self, item: str) -> Pinned:
        """The snapshots of an item in the current release."""
        return self.current_snapshots().get(item, Pinned())

    def lives(self) -> dict[str, Life]:
        """By item."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(life))
            return {r.item: Life(r.events, r.rules, r.changes_on, r.keeps_until) for r in rows}

    def enter_life(self, item: str, of: Life) -> None:
        """The same, where a look has found nothing to change."""
        with self.engine.begin() as connection:
            connection.execute(life_row(item, of))

    def gate(self, candidate: str, item: str, verdict: str, detail: Mapping[str, Any]) -> None:
        """`detail`: as_of (ISO date), figures (the batch profile), outcomes (one per expectation)."""
        row = {"candidate": candidate, "item": item, "verdict": verdict, "detail": dict(detail)}
        with self.engine.begin() as connection:
            query = insert(gate_result).values(row)
            connection.execute(query.on_conflict_do_update(index_elements=["candidate"], set_=row))

    def gate_verdict(self, candidate: str) -> str | None:
        with self.engine.connect() as connection:
            return connection.execute(
                sa.select(gate_result.c.verdict).where(gate_result.c.candidate == candidate)
            ).scalar()

    def gate_outcomes(self, candidate: str) -> list[dict[str, Any]]:
        """What each expectation gave for a candidate."""
        query = sa.select(gate_result.c.detail).where(gate_result.c.candidate == candidate)
        with self.engine.connect() as connection:
            detail = connection.execute(query).scalar()
        return list(detail["outcomes"]) if detail else []

    def gate_results(self, as_of: date) -> list[dict[str, Any]]:
        """Every gate result of a night: candidate, item, verdict, detail; by item."""
        day = gate_result.c.detail["as_of"].as_string()
        query = sa.select(gate_result).where(day == as_of.isoformat())
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(gate_result.c.item, gate_result.c.candidate))
            return [dict(r._mapping) for r in rows]

    def last_figures(self, item: str, but: str) -> dict[str, Any] | None:
        """The batch profile of the item's last candidate that passed, leaving out the candidate `but`."""
        day = gate_result.c.detail["as_of"].as_string()
        query = (
            sa.select(gate_result.c.detail["figures"])
            .where(gate_result.c.item == item, gate_result.c.verdict == "passed", gate_result.c.candidate != but)
            .order_by(day.desc().nulls_last(), gate_result.c.candidate)
            .limit(1)
        )
        with self.engine.connect() as connection:
            found = connection.execute(query).scalar()
        return dict(found) if found else None

    def usual_rows(self, of: Mapping[str, Any], periods: int) -> list[int]:
        """Rows read in the last `periods` released periods of the same department, item and mode as `of`.

        Of several deliveries of one period the largest counts, so corrections do not drag the usual number down.
        """
        c = delivery.c
        query = (
            sa.select(sa.func.max(c.read))
            .where(c.department == of["department"], c.item == of["item"], c.mode == of["mode"])
            .where(c.state == "released", c.read > 0, c.delivery_id != of["delivery_id"])
            .group_by(c.period)
            .order_by(c.period.desc())
            .limit(periods)
        )
        with self.engine.connect() as connection:
            return [int(n) for n in connection.execute(query).scalars()]

    def is_supplement(self, of: Mapping[str, Any]) -> bool:
        """Whether `of` is incremental and another delivery of its period came before it in sequence."""
        c = delivery.c
        query = (
            sa.select(sa.literal(1))
            .where(c.department == of["department"], c.item == of["item"], c.mode == "incremental")
            .where(c.period == of["period"], c.sequence < of["sequence"])
            .limit(1)
        )
        with self.engine.connect() as connection:
            return of["mode"] == "incremental" and connection.execute(query).first() is not None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OperationalError):
            self.close()
