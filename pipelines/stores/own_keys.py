"""The keys of a home, which are for good those that its first records were made with, or that they were rotated to."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import StoreError
from pipelines.stores.keys import Keys, key_file, open_keys
from pipelines.stores.ledger import Ledger


def own_keys(home: Path, ledger: Ledger) -> Keys:
    """The keys that the ledger knows by their fingerprint; those of a new home are entered. A key file may hold later
    ones: of a rotation that was broken off, or since the home was restored from before one. Raises `StoreError` where
    the file is gone or holds another key: under that every number would be another subject, without anybody noticing.
    """
    known = ledger.known_key()
    if not key_file(home).exists() and (known is not None or ledger.current_release() is not None):
        raise StoreError(f"{key_file(home)}: the pseudonym key is missing. Put it back; no other will do.")
    keys = open_keys(home)
    found = keys.at(known or ledger.known_key(keys.fingerprint) or keys.fingerprint)
    if found is None:
        raise StoreError(
            f"{key_file(home)}: not the pseudonym key that the records of this home were made with, or rotated to. Put"
            " that back."
        )
    return found
