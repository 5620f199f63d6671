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
        "ALTER TABLE ledger.delivery ADD COLUMN late BIGINT NOT NULL DEFAULT 0",
        "COMMENT ON COLUMN ledger.delivery.late IS"
        " 'new rows that came later after their event than the item allows'",
    ),
)
