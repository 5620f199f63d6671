"""The numbered migrations of `ledger` and `vault`: a home that is older is brought up to date, one step after another.

A new home begins with today's tables and the last number. A migration is never changed once a home may have run it;
each is one transaction and leaves what it finds readable. Tables of items are not here: they follow the catalogue.
"""

from __future__ import annotations

# Number n is the n-th entry, from 1.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "ALTER TABLE ledger.delivery ADD COLUMN edition TEXT NOT NULL DEFAULT ''",
        "COMMENT ON COLUMN ledger.delivery.edition IS 'of the item, by which the delivery was judged'",
    ),
    (
        "CREATE TABLE ledger.catalogue (revision TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE,"
        " applied_on DATE NOT NULL, content TEXT NOT NULL)",
        "COMMENT ON COLUMN ledger.catalogue.content IS 'the catalogue as JSON'",
    ),
    (
        "ALTER TABLE ledger.delivery ADD COLUMN delivered TEXT NOT NULL DEFAULT ''",
        "COMMENT ON COLUMN ledger.delivery.delivered IS 'what the receipt sent out says'",
        "CREATE TABLE ledger.look (place TEXT, name BYTEA, stamp TEXT NOT NULL,"
        " seen_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(), taken TEXT, delivery_id TEXT,"
        " PRIMARY KEY (place, name))",
        "COMMENT ON COLUMN ledger.look.name IS 'keyed hash: people write numbers into file names'",
        "COMMENT ON COLUMN ledger.look.stamp IS 'size and time of the file and of its sidecars'",
        "COMMENT ON COLUMN ledger.look.taken IS 'the stamp it had when it was taken'",
        "COMMENT ON COLUMN ledger.look.delivery_id IS 'what it was taken as'",
        "CREATE TABLE ledger.unreachable (place TEXT, direction TEXT, department TEXT NOT NULL, since DATE NOT NULL,"
        " message TEXT NOT NULL, PRIMARY KEY (place, direction))",
        "COMMENT ON COLUMN ledger.unreachable.direction IS 'inbox, outbox'",
    ),
    (
        "ALTER TABLE ledger.delivery ADD COLUMN manifest JSON NOT NULL DEFAULT '{}'",
        "COMMENT ON COLUMN ledger.delivery.manifest IS 'what the sender stated beside rows, period, sequence and mode'",
        "ALTER TABLE ledger.delivery ADD COLUMN late BIGINT NOT NULL DEFAULT '0'",
        "COMMENT ON COLUMN ledger.delivery.late IS"
        " 'new rows that came later after their event than the item allows'",
    ),
    (
        "ALTER TABLE ledger.delivery ADD COLUMN yardstick TEXT NOT NULL DEFAULT '',"
        " ADD COLUMN compared TEXT NOT NULL DEFAULT ''",
        # What a receipt says tells its rows that wait, too; those that are written need not be written again for that.
        "UPDATE ledger.delivery SET delivered = delivered || '/' || rejected || '+' || held WHERE delivered <> ''",
        "UPDATE ledger.delivery SET receipted = receipted || '/' || rejected || '+' || held WHERE receipted <> ''",
        "CREATE TABLE ledger.waiting_row (delivery_id TEXT, line BIGINT, sheet TEXT, since_release TEXT,"
        " since DATE NOT NULL, item TEXT NOT NULL, verdict TEXT NOT NULL, codes TEXT NOT NULL, record_key BYTEA,"
        " name_key BYTEA, is_stated BOOLEAN NOT NULL, ended DATE, ended_release TEXT, outcome TEXT, corrected_by TEXT,"
        " judged_under TEXT, PRIMARY KEY (delivery_id, line, sheet, since_release))",
        "CREATE INDEX waiting_row_open ON ledger.waiting_row (item) WHERE ended IS NULL",
        "CREATE INDEX waiting_row_ended ON ledger.waiting_row (ended_release)",
        "CREATE TABLE ledger.replay (delivery_id TEXT PRIMARY KEY, revision TEXT NOT NULL,"
        " is_complete BOOLEAN NOT NULL, state TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE ledger.reversal (delivery_id TEXT PRIMARY KEY, asked_on DATE NOT NULL, asked_by TEXT NOT NULL,"
        " reason TEXT NOT NULL, release_id TEXT, released_on DATE, account JSON)",
        "COMMENT ON COLUMN ledger.reversal.release_id IS 'NULL: not carried out yet'",
        "COMMENT ON COLUMN ledger.reversal.account IS 'of the delivery as it was before'",
    ),
    (
        "ALTER TABLE ledger.release_snapshot ADD COLUMN ended_snapshot BIGINT",
        "CREATE TABLE ledger.life (item TEXT PRIMARY KEY, events TEXT NOT NULL, rules TEXT NOT NULL, changes_on DATE)",
        "COMMENT ON COLUMN ledger.life.events IS 'what the events say that its records have taken in'",
        "COMMENT ON COLUMN ledger.life.rules IS 'by which policy they did'",
        "COMMENT ON COLUMN ledger.life.changes_on IS 'the next day on which time alone changes one of them'",
    ),
    (
        "CREATE TABLE ledger.tombstone (item TEXT, record_key BYTEA, written_on DATE NOT NULL, basis TEXT NOT NULL,"
        " written_by TEXT NOT NULL, release_id TEXT, subject_id BYTEA, PRIMARY KEY (item, record_key))",
        "CREATE INDEX tombstone_open ON ledger.tombstone (item) WHERE release_id IS NULL",
        "CREATE INDEX tombstone_subject ON ledger.tombstone (item) WHERE subject_id IS NOT NULL",
        "COMMENT ON COLUMN ledger.tombstone.release_id IS 'NULL: the record is not deleted yet'",
        "COMMENT ON COLUMN ledger.tombstone.subject_id IS 'NULL: seen whether any record speaks of the subject still'",
        "ALTER TABLE ledger.release_snapshot ADD COLUMN expired_on DATE",
        "COMMENT ON COLUMN ledger.release_snapshot.expired_on IS 'since when the snapshots are gone'",
        "ALTER TABLE ledger.life ADD COLUMN keeps_until DATE",
        "COMMENT ON COLUMN ledger.life.keeps_until IS"
        " 'no record that is shared no more, and no statement that no record shows, is to be deleted before'",
        # Nobody has looked for that day yet, so every record gets a look.
        "UPDATE ledger.life SET rules = ''",
    ),
    (
        "ALTER TABLE ledger.delivery ADD COLUMN no_record BIGINT",
        "COMMENT ON COLUMN ledger.delivery.no_record IS 'rows of events about no record yet; NULL: not looked at yet'",
    ),
    (
        "CREATE TABLE ledger.judgement (number INTEGER PRIMARY KEY, subject_id BYTEA NOT NULL, other_id BYTEA NOT NULL,"
        " verdict TEXT NOT NULL, conflict TEXT, made_on DATE NOT NULL, made_by TEXT NOT NULL, reason TEXT NOT NULL,"
        " undone_on DATE, undone_by TEXT, undone_reason TEXT)",
        "COMMENT ON COLUMN ledger.judgement.verdict IS"
        " 'same: what is known of subject_id is known of other_id; different'",
        "COMMENT ON COLUMN ledger.judgement.conflict IS 'what was judged, where it concerns one subject alone'",
        "COMMENT ON COLUMN ledger.judgement.undone_on IS 'NULL: it stands'",
        "CREATE UNIQUE INDEX judgement_standing ON ledger.judgement (least(subject_id, other_id),"
        " greatest(subject_id, other_id), coalesce(conflict, '')) WHERE undone_on IS NULL",
    ),
    (
        "ALTER TABLE ledger.delivery ADD COLUMN looks INTEGER NOT NULL DEFAULT 0",
        "COMMENT ON COLUMN ledger.delivery.looks IS 'how often judging it has begun and not ended'",
        "CREATE TABLE ledger.decision (number INTEGER PRIMARY KEY, does TEXT NOT NULL, item TEXT NOT NULL,"
        " delivery_id TEXT, department TEXT, codes JSON NOT NULL, deliveries JSON NOT NULL, made_on DATE NOT NULL,"
        " made_by TEXT NOT NULL, reason TEXT NOT NULL, until DATE)",
        "COMMENT ON COLUMN ledger.decision.does IS 'approve, reject, waive'",
        "COMMENT ON COLUMN ledger.decision.department IS 'NULL: of the item as a whole'",
        "COMMENT ON COLUMN ledger.decision.codes IS 'finding codes, or expectations of the gate'",
        "CREATE TABLE ledger.asked (key TEXT PRIMARY KEY, asked_on DATE NOT NULL)",
        "COMMENT ON COLUMN ledger.asked.key IS 'what is held, of which people are asked'",
    ),
    (
        "CREATE TABLE ledger.alert (key TEXT PRIMARY KEY, kind TEXT NOT NULL, since TIMESTAMPTZ NOT NULL,"
        " told JSONB NOT NULL, last_sent JSONB NOT NULL DEFAULT '{}', cleared TIMESTAMPTZ)",
        "COMMENT ON COLUMN ledger.alert.told IS 'in which words'",
        "COMMENT ON COLUMN ledger.alert.last_sent IS"
        " 'by notifier; once it is over, of those that have not heard of that'",
        "COMMENT ON COLUMN ledger.alert.cleared IS 'NULL: it holds'",
        "CREATE INDEX alert_open ON ledger.alert (kind) WHERE cleared IS NULL OR last_sent <> '{}'",
    ),
    (
        "ALTER TABLE ledger.delivery ADD COLUMN strayed TEXT",
        "COMMENT ON COLUMN ledger.delivery.strayed IS"
        " 'which rows go against their states, empty: none; NULL: not looked at yet'",
    ),
    (
        "CREATE TABLE ledger.pseudonym_key (fingerprint TEXT PRIMARY KEY)",
        "COMMENT ON COLUMN ledger.pseudonym_key.fingerprint IS 'of the key that all records hang on; one row'",
    ),
    (
        "CREATE TABLE ledger.inquiry (number BIGINT PRIMARY KEY, asked_at TIMESTAMPTZ NOT NULL, asked_by TEXT NOT NULL,"
        " command TEXT NOT NULL, reason TEXT NOT NULL, said TEXT NOT NULL, release_id TEXT, rows BIGINT NOT NULL,"
        " previous BYTEA NOT NULL, hash BYTEA NOT NULL)",
        "COMMENT ON COLUMN ledger.inquiry.asked_by IS 'the account of the machine'",
        "COMMENT ON COLUMN ledger.inquiry.reason IS 'as whoever asked gave it'",
        "COMMENT ON COLUMN ledger.inquiry.said IS 'what was asked, without names, numbers and free words'",
        "COMMENT ON COLUMN ledger.inquiry.previous IS 'hash of the entry before; empty: there was none'",
        "COMMENT ON COLUMN ledger.inquiry.hash IS 'SHA-256 of this entry and of previous'",
    ),
    (
        "ALTER TABLE ledger.pseudonym_key ADD COLUMN number INTEGER NOT NULL DEFAULT 1, ADD COLUMN release_id TEXT,"
        " ADD COLUMN expired_on DATE",
        "COMMENT ON COLUMN ledger.pseudonym_key.fingerprint IS 'of the key that all records hang on, or hung'",
        "COMMENT ON COLUMN ledger.pseudonym_key.number IS 'the greatest is in use'",
        "COMMENT ON COLUMN ledger.pseudonym_key.release_id IS"
        " 'NULL: the first key; else the one that it was rotated with'",
        "COMMENT ON COLUMN ledger.pseudonym_key.expired_on IS"
        " 'since when the snapshots of before the rotation are gone'",
        "COMMENT ON COLUMN vault.subject.credit_number IS 'AES-SIV (RFC 5297), bound to subject_id'",
    ),
    (
        "CREATE TABLE ledger.data_file_segment (item TEXT, file TEXT, segment TEXT, PRIMARY KEY (item, file, segment))",
        "COMMENT ON COLUMN ledger.data_file_segment.file IS"
        " 'data file of records, its name without folder and ending'",
        "COMMENT ON COLUMN ledger.data_file_segment.segment IS 'in which some of its records lie, or all'",
    ),
    (
        "CREATE TABLE vault.identity_block (delivery_id TEXT, sheet TEXT, block BIGINT, line BIGINT,"
        " item TEXT NOT NULL, lines BIGINT[] NOT NULL, record_keys BYTEA[] NOT NULL, identities TEXT[] NOT NULL,"
        " PRIMARY KEY (delivery_id, sheet, block, line))",
        "COMMENT ON COLUMN vault.identity_block.block IS 'line / 256'",
        "COMMENT ON COLUMN vault.identity_block.line IS 'the first of these lines'",
        "COMMENT ON COLUMN vault.identity_block.record_keys IS 'of each line'",
        "COMMENT ON COLUMN vault.identity_block.identities IS 'of each line, JSON of its identifying fields'",
        "INSERT INTO vault.identity_block SELECT delivery_id, sheet, line / 256, min(line), item,"
        " array_agg(line ORDER BY line), array_agg(record_key ORDER BY line), array_agg(identity ORDER BY line)"
        " FROM vault.statement_identity GROUP BY delivery_id, sheet, line / 256, item",
        "DROP TABLE vault.statement_identity",
        "CREATE VIEW vault.statement_identity AS"
        " SELECT b.delivery_id, said.line, b.sheet, b.item, said.record_key, said.identity FROM vault.identity_block b"
        " CROSS JOIN unnest(b.lines, b.record_keys, b.identities) AS said (line, record_key, identity)",
        "ALTER TABLE vault.identity_block ALTER COLUMN lines SET STATISTICS 0,"
        " ALTER COLUMN record_keys SET STATISTICS 0, ALTER COLUMN identities SET STATISTICS 0",
    ),
)
