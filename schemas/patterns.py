"""A pattern of a rule in plain words, where it is simple enough: clerks do not read regular expressions."""

from __future__ import annotations

from collections.abc import Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

Said = tuple[str, str]  # Chinese, English

DIGITS, CAPITALS = set("0123456789"), set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
PARTS_AT_MOST = 5


def told(pattern: str) -> Said | None:
    """`46[0-9]{13,14}` -> “46”，再接 13–14 位数字. None where words would be longer than the pattern is.

    >>> told("甲|乙")
    ('甲、乙 之一', 'one of 甲, 乙')
    """
    if (listed := alternatives(pattern)) is not None:
        return f"{'、'.join(listed)} 之一", f"one of {', '.join(listed)}"
    parts = [_part(op, value) for op, value in _joined(_parser.parse(pattern))]
    if None in parts or len(parts) > PARTS_AT_MOST:
        return None
    known = [p for p in parts if p is not None]
    return "，再接 ".join(zh for zh, _ in known), ", then ".join(en for _, en in known)


def alternatives(pattern: str) -> list[str] | None:
    """The texts that a pattern lists, or None where it does more than list texts."""
    listed = pattern.split("|")
    return listed if not any(c in text for text in listed for c in r"\[](){}*+?.^$") else None


def _joined(parts: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Neighbouring characters as one text."""
    found: list[tuple[Any, Any]] = []
    for op, value in parts:
        if op is sre.LITERAL and found and found[-1][0] is sre.LITERAL:
            found[-1] = (op, found[-1][1] + chr(value))
        else:
            found.append((op, chr(value) if op is sre.LITERAL else value))
    return found


def _part(op: Any, value: Any) -> Said | None:
    if op is sre.LITERAL:
        return f"“{value}”", f'"{value}"'
    if op is sre.IN:
        return _counted("1", value)
    if op is sre.MAX_REPEAT and len(value[2]) == 1 and value[2][0][0] is sre.IN:
        low, high, inner = value
        if high is sre.MAXREPEAT:
            return None
        return _counted(str(low) if low == high else f"{low}–{high}", inner[0][1])
    return None


def _counted(count: str, allowed: Sequence[Any]) -> Said | None:
    chars: set[str] = set()
    for op, value in allowed:
        if op is sre.LITERAL:
            chars.add(chr(value))
        elif op is sre.RANGE and value[1] - value[0] < 128:
            chars |= {chr(c) for c in range(value[0], value[1] + 1)}
        else:
            return None
    if chars <= DIGITS:
        few = "" if len(chars) >= 9 else f"（{''.join(sorted(chars))}）"
        return f"{count} 位数字{few}", f"{count} digit{'' if count == '1' else 's'}{few}"
    if chars <= DIGITS | CAPITALS:
        kind = "数字或大写字母" if chars & DIGITS else "大写字母"
        return f"{count} 位{kind}", f"{count} {'digits or ' if chars & DIGITS else ''}capital letters"
    return None
