"""Signs in a text that its characters went wrong before it was sent, as conditions in SQL that DuckDB and Spark share.

What can be mended is mended by the readers (`pipelines.readers.characters`); these are for a person to look at.
"""

from __future__ import annotations

from schemas.model import FieldSpec

LOST = "\ufffd"  # what a decoder writes for bytes that are no character
RESAVED = "锟斤拷"  # two of those, saved as UTF-8 and read as GBK
UNENCODABLE = "▀"  # what the police's systems write for a character that they cannot encode
_LATIN = "\u0080-\u00ffŒœŠšŸŽžƒˆ˜–—‘’‚“”„†‡•…‰‹›€™"


def _pairs(first: range, second: range) -> str:
    pairs = (bytes((a, b)) for a in first for b in second)
    return "".join(sorted({p.decode("gb18030") for p in pairs}))


# Chinese characters have three bytes in UTF-8, the first of them E4 to E9. Read as GBK, 张三 is 寮犱笁: one of 384
# characters, then another of as many; hardly a word begins with the one and goes on with the other.
_FIRST, _NEXT = range(0xE4, 0xEA), range(0x80, 0xC0)
_AS_GBK = f"[{_pairs(_FIRST, _NEXT)}][{_pairs(_NEXT[1:], _FIRST)}]"
# Read as Windows Latin, it is å¼ ä¸‰.
_AS_LATIN = f"[ã-é][{_LATIN}]"
MISREAD = f"^[ -~]*({_AS_GBK}|{_AS_LATIN})"
# In a long text a full-width comma is a surer sign than its beginning, and cheaper to look for.
COMMAS = ("锛", "ï¼")


def lost(field: FieldSpec) -> str:
    """Characters were lost; at the end of a free text only its last one, see `cut`."""
    text = field.name if may_be_cut(field) else f"t_{field.name}"
    return f"strpos({text}, '{LOST}') > 0 OR strpos({text}, '{RESAVED}') > 0"


def misread(field: FieldSpec) -> str:
    """The text was read in another encoding than it was written in."""
    text = f"t_{field.name}"
    if field.role == "name":
        return f"regexp_matches({text}, '{MISREAD}')"
    return " OR ".join(f"strpos({text}, '{comma}') > 0" for comma in COMMAS)


def may_be_cut(field: FieldSpec) -> bool:
    """Whether a text is worth having without its end; a name or a number is not."""
    return field.is_free_text and field.type == "text" and field.sensitivity != "identifying"


def cut(text: str) -> str:
    """A text whose last character was cut in two, with something before it."""
    return f"substr({text}, -1, 1) = '{LOST}' AND substr({text}, 1, 1) <> '{LOST}'"


def without_cut(text: str) -> str:
    return f"CASE WHEN {cut(text)} THEN regexp_replace({text}, '{LOST}+$', '') ELSE {text} END"


def placeholder(field: FieldSpec) -> str:
    return f"strpos(t_{field.name}, '{UNENCODABLE}') > 0"
