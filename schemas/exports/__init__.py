"""An item in the formats that other people's tools read, each made from the one declaration by a module of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from schemas.exports import frictionless, jsonschema, markdown, odcs, sql, xlsx
from schemas.model import Catalog, Item


class Format(NamedTuple):
    """`make` gives the file; `ending` names it after the item."""

    make: Callable[[Item, Catalog], bytes]
    ending: str
    is_text: bool = True


FORMATS = {
    "frictionless": Format(frictionless.make, ".datapackage.json"),
    "jsonschema": Format(jsonschema.make, ".schema.json"),
    "md": Format(markdown.make, ".md"),
    "odcs": Format(odcs.make, ".odcs.yaml"),
    "sql": Format(sql.make, ".sql"),
    "xlsx": Format(xlsx.make, ".xlsx", is_text=False),
}
