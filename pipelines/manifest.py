"""A file and what its sidecar `<file>.manifest.json` says of it, as a delivery."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from pipelines.model import Delivery, delivery_id

MANIFEST = ".manifest.json"
# People put identity numbers into file names; the ledger and all that is printed of it do without.
NUMBER = re.compile(r"[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx]")


def parsed(content: bytes) -> dict[str, Any] | None:
    """What a manifest says; None where it cannot be read."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def readable(name: str) -> str:
    """A file name as its sender reads it, in UTF-8 or GB18030, without identity numbers."""
    raw = name.encode("utf-8", "surrogateescape")
    name = raw.decode("utf-8", "replace")
    # Two bytes of UTF-8 never make a Chinese character, but many Chinese words of GB18030 are such pairs.
    if "�" in name or all(c < "\u0800" for c in name):
        with suppress(UnicodeDecodeError):
            name = raw.decode("gb18030")
    return NUMBER.sub("[证件号]", "".join(c if c.isprintable() else "�" for c in name))


def described(
    department: str, item: str, name: str, size: int, sha256: str, manifest: Mapping[str, Any], period: date
) -> Delivery:
    """`period` is that of a delivery whose manifest names none. What a manifest does not say, or says wrongly, is as if
    it were left out; `declared_rows` is -1 where its SHA-256 is not that of the content."""
    period = _period(manifest.get("period"), period)
    sequence = manifest.get("sequence", 1)
    sequence = sequence if isinstance(sequence, int) and 0 < sequence < 1 << 31 else 1
    mode = manifest.get("mode", "incremental")
    mode = mode if mode in ("incremental", "full") else "incremental"
    rows = manifest.get("rows")
    claimed = manifest.get("sha256")
    is_nil = manifest.get("nil") is True
    rows = 0 if is_nil else rows
    declared = -1 if claimed and str(claimed).lower() != sha256 else rows if isinstance(rows, int) else None
    return Delivery(
        delivery_id=delivery_id(department, item, period, sequence, mode, sha256),
        department=department,
        item=item,
        file=readable(name),
        period=period,
        sequence=sequence,
        mode=mode,
        sha256=sha256,
        size=size,
        declared_rows=declared,
        is_nil=is_nil,
    )


def _period(text: object, otherwise: date) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return otherwise
