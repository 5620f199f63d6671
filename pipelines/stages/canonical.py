"""Which data files of history hold the texts of keys as keys compare them (`schemas.record.key_text`).

The fold finds the other records of a decision, or of a sender's row key, by such a text. To bring ten million stored
ones into this form takes three times as long as to read them, and most are written so already. A data file never
changes, so each is looked at once; the note of what was found may be lost at any time.
"""

from __future__ import annotations

import hashlib
import json
import os

import duckdb

from pipelines.model import Home, publish_json
from pipelines.stores.files import Files
from pipelines.stores.lake import Lake
from schemas.arrow import statement_schema
from schemas.model import Item
from schemas.record import key_text
from schemas.sql import literal

MUCH = 50_000_000  # bytes, from which on to look and to note costs less than it saves


def split(engine: duckdb.DuckDBPyConnection, home: Home, lake: Lake, item: Item, files: Files) -> tuple[Files, Files]:
    """The files of history that do, and the others; of these are all where the fold asks for no such text."""
    asked = _asked(item)
    is_much = sum(os.stat(file).st_size for file in files.data) >= MUCH
    if not (asked and is_much and lake.is_uniform("history", item.code, statement_schema(item))):
        return Files(), files
    note = home.compiled(f"{item.code}.canonical")
    rule = hashlib.sha256(asked.encode()).hexdigest()
    said = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    known: dict[str, bool] = said["files"] if said.get("rule") == rule else {}
    if new := [file for file in files.data if file not in known]:
        listed = ", ".join(literal(file) for file in new)
        found = engine.execute(f"""SELECT filename, bool_and({asked})
            FROM read_parquet([{listed}], filename = true, hive_partitioning = false) GROUP BY filename""").fetchall()
        known = {file: is_so for file, is_so in known.items() if file in files.data} | dict(found)
        publish_json(note, {"rule": rule, "files": known})
    ours, others = (files.only(f for f in files.data if known.get(f, False) is which) for which in (True, False))
    return ours, others


def _asked(item: Item) -> str:
    """SQL: a row has all key texts that the fold asks for in their form; '' where it asks for none."""
    names = list(item.business_key) if item.one_subject or item.sender_key else []
    names += [item.sender_key.field] if item.sender_key else []
    texts = [item.field(name) for name in dict.fromkeys(names) if item.field(name).type == "text"]
    return " AND ".join(f"{key_text(f)} IS NOT DISTINCT FROM {f.name}" for f in texts)
