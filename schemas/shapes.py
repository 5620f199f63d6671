"""Characters that look like others or like nothing, and the words that people write where they have no value.

Sources: Unicode 15 (categories Cf and Zs, compatibility ideographs, Kangxi radicals); domain list Q44, Q45, Q49, Q65.
"""

from __future__ import annotations

import unicodedata

from schemas.sql import literal

FULL = "".join(chr(code) for code in range(0xFF01, 0xFF5F))
HALF = "".join(chr(code) for code in range(0x21, 0x7F))
# Blanks of every width, line ends, and what nobody sees: soft hyphen, joiners, marks of direction, byte order marks.
# Marks of direction come along when a number is copied from a dialogue or a web page.
SPACES = " \t\r\n\v\f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
SPACES += "\u202f\u205f\u3000"
INVISIBLE = "\u00ad\u034f\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063"
INVISIBLE += "\u2064\u2066\u2067\u2068\u2069\ufeff"
DASHES = "-－‐‑‒–−﹣"
# Middle dots in names that are transliterated: U+00B7 is the one of GB 18030 and of the identity card.
DOTS = "•・．‧･∙⋅•●◦﹒｡"
# Ideographs that only stand in for another one: radicals and compatibility forms -> the unified character.
_STANDING_IN = {
    chr(code): unified
    for block in ((0x2E80, 0x2FE0), (0xF900, 0xFB00), (0x2F800, 0x2FA20))
    for code in range(*block)
    if len(unified := unicodedata.normalize("NFKC", chr(code))) == 1 and unified != chr(code)
}
COMPATIBLE, UNIFIED = "".join(_STANDING_IN), "".join(_STANDING_IN.values())
# Han characters that a name may hold, as a class of regular expressions.
HAN = "㐀-䶿一-鿿𠀀-𲎯〇"

# What stands where there is no value (upper case); a row of dashes, strokes or dots is one too.
_NOTHING = (
    "无", "没有", "暂无", "暂缺", "缺", "未知", "不详", "未提供", "未填写", "未填", "空", "空白", "待定", "待补",
    "待补充", "待核实", "略", "同上", "NULL", "NONE", "NIL", "NAN", "NAT", "N/A", "#N/A", "NA", "UNDEFINED", "UNKNOWN",
)  # fmt: skip
PLACEHOLDER = "|".join((*_NOTHING, r"\\N", r"\((?:空|空白|无|NULL)\)", r"/+", r"\\+", "[-—－–_]+", "[.。…]+"))


# The engine builds the table of a long exchange for each text anew, so most texts should not come to it.
ASCII = "^[ -~]*$"


def translated(sql: str, pairs: dict[str, str] | None = None, dropped: str = "", full: bool = True) -> str:
    """SQL of the text with full-width characters made half-width (if `full`), then `pairs` exchanged character by
    character and `dropped` left out."""
    shapes = dict(zip(FULL, HALF, strict=True)) if full else {}
    shapes |= pairs or {}
    kept = {c: shape for c, shape in shapes.items() if c not in dropped and shape not in dropped}
    gone = "".join(dict.fromkeys([*dropped, *(c for c, shape in shapes.items() if shape in dropped)]))
    return f"translate({sql}, {literal(''.join(kept) + gone)}, {literal(''.join(kept.values()))})"
