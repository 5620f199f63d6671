"""Records that the law seals, told by what a row says: `catalog/law/sealed.csv` as conditions in SQL.

Each line of that list holds for one item or all (`*`), for one field or the free texts (`*`; all texts where an item
has none), and from a day on; the as-of date counts, since what is sealed is sealed whatever its age. A row that says
one of the `words`, and not only within one of the harmless phrases `unless`, is refused (L004).
"""

from __future__ import annotations

import re
from datetime import date

from schemas.model import Catalog, FieldSpec, Item, Sealed
from schemas.sql import literal


def of(item: Item, catalog: Catalog) -> list[Sealed]:
    """The lines of the list that ask something of a row of the item. What is said of another record in order that it
    goes, as that its basis was sealed, is asked nothing."""
    if item.refers is not None:
        return []
    return [s for s in catalog.sealed if s.item in ("*", item.code) and _fields(s, item)]


def guard(item: Item, listed: list[Sealed]) -> str:
    """SQL: the row holds one of all words; few rows do."""
    texts = list(dict.fromkeys(f.name for s in listed for f in _fields(s, item) if f.type == "text"))
    codes = [_is_code(s, f) for s in listed for f in _fields(s, item) if f.type == "code"]
    words = [w for s in listed if any(f.type == "text" for f in _fields(s, item)) for w in s.words]
    said = [f"regexp_matches({_joined(texts)}, {_any(words)})"] if texts else []
    return " OR ".join([*said, *codes])


def says(item: Item, listed: list[Sealed]) -> str:
    """SQL: the row says on the as-of date that it is sealed."""
    return " OR ".join(f"({_holds(s)} AND ({_says(s, item)}))" for s in listed)


def _fields(sealed: Sealed, item: Item) -> list[FieldSpec]:
    """The fields that are read: the free texts, all texts where there are none, or the field that is named."""
    if sealed.field != "*":
        return [f for f in item.live_fields if f.name == sealed.field]
    texts = [f for f in item.live_fields if f.type == "text" and f.sensitivity != "identifying"]
    return [f for f in texts if f.is_free_text] or texts


def _holds(sealed: Sealed) -> str:
    last = f" AND as_of <= DATE '{sealed.valid_to}'" if sealed.valid_to and sealed.valid_to < date.max else ""
    return f"as_of >= DATE '{sealed.valid_from}'{last}"


def _says(sealed: Sealed, item: Item) -> str:
    fields = _fields(sealed, item)
    said = [_is_code(sealed, f) for f in fields if f.type == "code"]
    if texts := [f.name for f in fields if f.type == "text"]:
        text = _joined(texts)
        if sealed.unless:
            text = f"regexp_replace({text}, {_any(sealed.unless)}, '', 'g')"
        said.append(f"regexp_matches({text}, {_any(sealed.words)})")
    return " OR ".join(said)


def _is_code(sealed: Sealed, field: FieldSpec) -> str:
    return f"{field.name} IN ({', '.join(map(literal, sealed.words))})"


def _joined(texts: list[str]) -> str:
    return f"concat_ws(chr(31), {', '.join(texts)})"


def _any(words: list[str] | tuple[str, ...]) -> str:
    return literal("|".join(re.escape(w) for w in dict.fromkeys(words)))
