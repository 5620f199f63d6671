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
)
