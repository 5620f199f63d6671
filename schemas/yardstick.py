"""What a delivery was judged by, as one short text: another catalogue that leaves it alone judges the same again.

The catalogue's revision changes with every comma of it; whether rows have to be judged anew tells the compiled item
with the words it knows: its SQL and findings, the headers and the code values of the department in that period.
"""

from __future__ import annotations

import hashlib
from datetime import date

from schemas import editions
from schemas.compiled import Compiled
from schemas.model import Item
from schemas.words import Words


def yardstick(item: Item, words: Words, compiled: Compiled, period: date, department: str) -> str:
    """`item` is the one by which the delivery is judged (schemas.overlay.effective), `compiled` what it compiles to."""
    said = [of_rows(item, words, compiled, period, department)]
    for whose in (department, None):
        said.append(repr(sorted(editions.headers(words.catalog, item, whose).items())))
    said.append(repr(sorted(f.name for f in item.live_fields if f.required)))
    return _hashed(said)


def of_rows(item: Item, words: Words, compiled: Compiled, period: date, department: str) -> str:
    """The same of its rows alone, once they are read: rows of deliveries that have it in common are judged by the same.
    """
    sets = sorted({f.code_set for f in item.fields if f.code_set} | {"region"})
    return _hashed([repr(compiled), *(words.of(name, period, department).digest for name in sets)])


def _hashed(said: list[str]) -> str:
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:16]
