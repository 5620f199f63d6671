"""What a delivery was judged by, as one short text: another catalogue that leaves it alone judges the same again.

The catalogue's revision changes with every comma of it; whether rows have to be judged anew tells the compiled item
with the words it knows: its SQL and findings, the headers and the code values of the department in that period.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import date

from schemas import editions, row_rules
from schemas.compiled import Compiled
from schemas.model import Catalog, CodeSet, Item


def yardstick(item: Item, catalog: Catalog, compiled: Compiled, period: date, department: str) -> str:
    """`item` is the one by which the delivery is judged (schemas.overlay.effective), `compiled` what it compiles to."""
    said = [of_rows(item, catalog, compiled, period, department)]
    for whose in (department, None):
        said.append(repr(sorted(editions.headers(catalog, item, whose).items())))
    said.append(repr(sorted(f.name for f in item.live_fields if f.required)))
    return _hashed(said)


def of_rows(item: Item, catalog: Catalog, compiled: Compiled, period: date, department: str) -> str:
    """The same of its rows alone, once they are read: rows of deliveries that have it in common are judged by the same.
    """
    said = [repr(sorted(asdict(compiled).items()))]
    for name in sorted({f.code_set for f in item.fields if f.code_set} | {"region"}):
        said.append(_values(catalog.code_sets.get(name) or CodeSet(name=name, codes=()), period, department))
    return _hashed(said)


def _hashed(said: list[str]) -> str:
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:16]


def _values(code_set: CodeSet, period: date, department: str) -> str:
    values = row_rules.code_values(code_set, period, department)
    return repr((sorted(values.items()), sorted(row_rules.ended(code_set).items())))
