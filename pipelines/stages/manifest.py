"""A delivery's manifest, `<file>.manifest.json`: what the sender states about the file, and what cannot be acted on.

Nothing of it is guessed: a value of the wrong kind, a key that may be a slip of the pen, a number stated twice hold the
delivery (F040), since its period, mode or control totals would not be those that the sender meant. A key that looks
like none of ours is only told (F041).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from pipelines.model import Delivery, delivery_id

MANIFEST = ".manifest.json"  # behind the name of the file
# People put identity numbers into file names; the ledger and all that is printed of it do without.
IDENTITY_NUMBER = re.compile(r"[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx]")
LARGEST = 1 << 20
KEYS = ("rows", "sha256", "period", "sequence", "mode", "nil", "totals")
FIGURES = ("sum", "min", "max")
MOST_TOTALS = 50
COUNT = re.compile(r"[0-9]{1,18}")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}")
# At most 15 digits before the point: an identity number is no total.
NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,8})?")
# Of other people's words only short plain ones are told again: the ledger holds no name and no number of a person.
PLAIN = re.compile(r"(?!.*[0-9]{5})[A-Za-z][A-Za-z0-9_. -]{0,31}")
LABEL = re.compile(r"(?!.*[0-9]{5})[^\x00-\x1f]{1,60}")
EXPECTED = {
    "rows": ("应为不小于 0 的整数，如 5000", "a whole number from 0, like 5000"),
    "sha256": ("应为 64 位十六进制数", "64 hexadecimal digits"),
    "period": ("应为日期，如 2026-11-22", "a date, like 2026-11-22"),
    "sequence": ("应为大于 0 的整数，如 1", "a whole number from 1"),
    "mode": ("应为 incremental（增量）或 full（全量）", "incremental or full"),
    "nil": ("应为 true 或 false，且为 true 时行数为 0", "true or false, and with true there are no rows"),
    "totals": (
        '应写成 {"列名": {"sum": 数, "min": 数或日期, "max": 数或日期}}',
        'written as {"column": {"sum": number, "min": number or date, "max": number or date}}',
    ),
}


@dataclass(frozen=True)
class Manifest:
    """`stated` are the keys that say something, `unclear` what holds the delivery (see `told`), `ignored` keys that
    are none of ours. `totals`: column -> figure (sum, min, max) -> number or ISO date as text."""

    rows: int | None = None
    sha256: str | None = None
    period: date | None = None
    sequence: int = 1
    mode: str = "incremental"
    is_nil: bool = False
    totals: dict[str, dict[str, str]] = field(default_factory=dict)
    stated: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def is_readable(self) -> bool:
        return "file" not in self.unclear

    def kept(self) -> dict[str, Any]:
        """What the ledger keeps of it beside its own columns; only what there is."""
        said = {name: asdict(self)[name] for name in ("stated", "totals", "unclear", "ignored")}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in said.items() if v}


def parse(content: bytes) -> Manifest:
    """What the bytes of a manifest say; never raises."""
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        twice.extend(name for name in KEYS if names.count(name) > 1)
        return dict(found)

    try:
        if len(content) > LARGEST:
            raise ValueError
        # Numbers stay as they are written: 0.1 is a sum, 1e999 none.
        said = json.loads(_text(content), object_pairs_hook=pairs, parse_float=str, parse_int=_integer)
    except (ValueError, RecursionError):
        return Manifest(unclear=("file",))
    if not isinstance(said, dict):
        return Manifest(unclear=("file",))
    found = Manifest(unclear=tuple(f"twice:{name}" for name in twice))
    for place, (name, value) in enumerate(said.items(), start=1):
        found = _with(found, name, value, place)
    if found.is_nil and found.rows:
        found = replace(found, unclear=(*found.unclear, "value:nil"))
    return found


def readable(name: str) -> str:
    """A file name as its sender reads it, in UTF-8 or GB18030, without identity numbers."""
    raw = name.encode("utf-8", "surrogateescape")
    name = raw.decode("utf-8", "replace")
    # Two bytes of UTF-8 never make a Chinese character, but many Chinese words of GB18030 are such pairs.
    if "�" in name or all(c < "\u0800" for c in name):
        with suppress(UnicodeDecodeError):
            name = raw.decode("gb18030")
    return IDENTITY_NUMBER.sub("[证件号]", "".join(c if c.isprintable() else "�" for c in name))


def described(
    department: str, item: str, name: str, size: int, sha256: str, said: Manifest, period: date
) -> Delivery:
    """A file and its manifest as a delivery; `period` is that of one whose manifest names none. `declared_rows` is -1
    where the manifest's SHA-256 is not that of the content."""
    period = said.period or period
    rows = 0 if said.is_nil else said.rows
    return Delivery(
        delivery_id=delivery_id(department, item, period, said.sequence, said.mode, sha256),
        department=department,
        item=item,
        file=readable(name),
        period=period,
        sequence=said.sequence,
        mode=said.mode,
        sha256=sha256,
        size=size,
        declared_rows=-1 if said.sha256 not in (None, sha256) else rows,
        is_nil=said.is_nil,
        manifest=said.kept(),
    )


def _integer(text: str) -> int | str:
    """No number of a manifest needs more digits, and making one of a million takes minutes."""
    return int(text) if len(text) <= 18 else text


def _text(content: bytes) -> str:
    """Editors of Windows write a byte order mark, or the code page of the system. Raises `ValueError`."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")


def _with(found: Manifest, name: str, value: Any, place: int) -> Manifest:
    if name not in KEYS:
        if close := difflib.get_close_matches(name.strip().lower(), KEYS, n=1, cutoff=0.7):
            return replace(found, unclear=(*found.unclear, f"near:{_shown(name, place)}:{close[0]}"))
        return replace(found, ignored=(*found.ignored, _shown(name, place)))
    if value is None or value == "":  # not said
        return found
    if name == "totals":
        return _with_totals(found, value)
    known = _value(name, value)
    if known is None:
        return replace(found, unclear=(*found.unclear, f"value:{name}"))
    key = {"nil": "is_nil"}.get(name, name)
    return replace(found, **{key: known}, stated=(*found.stated, name))


def _value(name: str, value: Any) -> Any:
    """The value as ours, None where it is none. A number in quotes is one."""
    if name == "nil":
        return value if isinstance(value, bool) else None
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if name in ("rows", "sequence"):
        count = int(text) if COUNT.fullmatch(text) else -1
        return count if (count >= 0 if name == "rows" else 0 < count < 1 << 31) else None
    if name == "period":
        return _day(text)
    if name == "mode":
        return text.lower() if text.lower() in ("incremental", "full") else None
    return text.lower() if re.fullmatch(r"[0-9A-Fa-f]{64}", text) else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None


def _with_totals(found: Manifest, value: Any) -> Manifest:
    if not isinstance(value, dict) or len(value) > MOST_TOTALS:
        return replace(found, unclear=(*found.unclear, "value:totals"))
    totals: dict[str, dict[str, str]] = {}
    bad: list[str] = []
    for place, (column, figures) in enumerate(value.items(), start=1):
        read = {k: _figure(k, v) for k, v in figures.items()} if isinstance(figures, dict) and figures else {"": None}
        known = {k: v for k, v in read.items() if v is not None}
        if LABEL.fullmatch(column) is None or len(known) < len(read):
            bad.append(f"total:{column if LABEL.fullmatch(column) else f'#{place}'}")
        else:
            totals[column] = known
    stated = (*found.stated, "totals") if totals else found.stated
    return replace(found, totals=totals, unclear=(*found.unclear, *bad), stated=stated)


def _figure(name: str, value: Any) -> str | None:
    if name not in FIGURES or not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = str(value).strip()
    day = _day(text) if "-" in text[1:] else None
    if day is not None:
        return day.isoformat() if name != "sum" else None
    return text if NUMBER.fullmatch(text) else None


def _shown(name: str, place: int) -> str:
    """A key of the sender's as it may be told; its place where it may not."""
    return name if PLAIN.fullmatch(name) else f"#{place}"


def told(unclear: Iterable[str]) -> tuple[str, str]:
    """What is unclear, in Chinese and English, without an end mark."""
    both = [_told(entry) for entry in unclear]
    return "；".join(zh for zh, _ in both), "; ".join(en for _, en in both)


def _told(entry: str) -> tuple[str, str]:
    kind, _, name = entry.partition(":")
    if kind == "file":
        return "清单不是完整的 JSON，无法读取", "the manifest is no complete JSON and cannot be read"
    if kind == "twice":
        return f"{name} 写了两次", f"{name} is stated twice"
    if kind == "near":
        name, meant = name.split(":")
        return f"{name} 是否应为 {meant}", f"{name} may be meant for {meant}"
    if kind == "value":
        zh, en = EXPECTED[name]
        return f"{name} {zh}", f"{name} should be {en}"
    return (
        f"totals 中的“{name}”不是该事项的数字列或日期列，或者其数值写法不对",
        f"'{name}' of totals is no column of numbers or dates of the item, or its figure is not written as one",
    )
