"""The log of inquiries (ledger table `inquiry`): who was shown values of records, when, why, and what was asked.

Entries are only added. Each carries a hash over itself and the hash of the one before, so that one that was changed or
taken out from among them is found out (`fault`); those past their time go from the beginning. Sources: plan IV(1), on
the rights and procedures of inquiries; how long is policy keep_inquiries_days.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
from datetime import UTC, date, datetime, time
from typing import Any

import sqlalchemy as sa

from pipelines.model import CHINA
from pipelines.stores.ledger import Ledger, inquiry

LONGEST = 2000  # characters of what was asked that are kept
HIDDEN = "…"
# What an inquiry may say in so many words: codes, days and pseudonyms.
_PLAIN = re.compile(r"[a-z][a-z0-9_]*|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,5}|[0-9A-Fa-f]{32}")
# Whichever begins first: a sign of a comment within quotes begins none, and a quote within a comment neither.
_QUOTED = re.compile(r"'((?:[^']|'')*)'|\$(\w*)\$.*?\$\2\$|(--[^\n]*|/\*.*?\*/)", re.S)
_FIGURES = re.compile(r"(?<![0-9A-Fa-f])[0-9]{6,}[Xx]?(?![0-9A-Fa-f])")
_OTHER = re.compile(r"[^\x20-\x7e]+")


def enter(
    ledger: Ledger,
    command: str,
    said: str,
    release: str | None,
    rows: int,
    reason: str = "",
    at: datetime | None = None,
) -> int:
    """Enter that `rows` rows are about to be shown, by `command`, to whoever runs this process; returns the number."""
    c = inquiry.c
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE ledger.inquiry IN EXCLUSIVE MODE"))
        last = connection.execute(sa.select(c.number, c.hash).order_by(c.number.desc()).limit(1)).first()
        row: dict[str, Any] = {
            "number": last.number + 1 if last else 1, "asked_at": at or datetime.now(UTC), "asked_by": _who(),
            "command": command, "reason": _without_people(reason), "said": _without_people(said)[:LONGEST],
            "release_id": release, "rows": rows, "previous": bytes(last.hash) if last else b"",
        }  # fmt: skip
        connection.execute(sa.insert(inquiry).values(**row, hash=_hash(row)))
    return int(row["number"])


def known(ledger: Ledger, since: date | None = None) -> list[dict[str, Any]]:
    """Entries in their order, those of the day `since` and later."""
    query = sa.select(inquiry).order_by(inquiry.c.number)
    if since is not None:
        query = query.where(inquiry.c.asked_at >= datetime.combine(since, time.min, CHINA))
    with ledger.engine.connect() as connection:
        return [dict(r._mapping) for r in connection.execute(query)]


def fault(ledger: Ledger) -> int | None:
    """The number of the first entry that is not what was entered, or before which one is missing; None where all are
    whole. That the last ones are missing shows only to whoever knows the hash of one of them."""
    before: dict[str, Any] | None = None
    for row in known(ledger):
        follows = before is None or (row["number"] == before["number"] + 1 and row["previous"] == before["hash"])
        if not follows or bytes(row["hash"]) != _hash(row):
            return int(row["number"])
        before = row
    return None


def forget(ledger: Ledger, before: date) -> int:
    """Remove the entries from the beginning to the first one of the day `before` or later; returns how many."""
    c = inquiry.c
    stays = sa.select(sa.func.min(c.number)).where(c.asked_at >= datetime.combine(before, time.min, CHINA))
    first = sa.func.coalesce(stays.scalar_subquery(), sa.select(sa.func.max(c.number) + 1).scalar_subquery())
    with ledger.engine.begin() as connection:
        return connection.execute(sa.delete(inquiry).where(c.number < first)).rowcount


def _hash(row: dict[str, Any]) -> bytes:
    told = {n: row[n] for n in ("number", "asked_by", "command", "reason", "said", "release_id", "rows")}
    told |= {"asked_at": row["asked_at"].astimezone(UTC).isoformat(), "previous": bytes(row["previous"]).hex()}
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=False).encode()).digest()


def _who() -> str:
    """The account of the machine under which this process runs: what somebody says of himself proves nothing."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _without_people(text: str) -> str:
    """What was asked without what may be a name or a number of somebody: the log is not kept in the vault."""
    def quoted(found: re.Match[str]) -> str:
        if found[3]:
            return " "
        return found[0] if found[1] and _PLAIN.fullmatch(found[1]) else f"'{HIDDEN}'"

    text = " ".join(_QUOTED.sub(quoted, text).split())
    return _OTHER.sub(HIDDEN, _FIGURES.sub(HIDDEN, text))
