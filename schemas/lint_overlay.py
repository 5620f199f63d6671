"""Checks of a county's overlay: it may add and tighten; each refusal names the line of its file."""

from __future__ import annotations

import re
from typing import NoReturn

from schemas import lint_items, overlay, toml_lines
from schemas.lint_items import near
from schemas.model import Catalog, CatalogError, Overlay


def check(said: Overlay, catalog: Catalog) -> None:
    """Raises `CatalogError` at the first fault of the overlay."""
    department = catalog.departments.get(said.county)
    if department is None or department.kind != "county":
        counties = [d.code for d in catalog.departments.values() if d.kind == "county"]
        _refuse(said, "county", f"'{said.county}' is no department of kind 'county'", near(said.county, counties))
    if said.valid_from and said.valid_to and said.valid_to < said.valid_from:
        _refuse(said, "valid_to", "it is before valid_from", "Correct one of the two dates.")
    _extends(said, catalog)
    for code, part in said.items.items():
        item, key = catalog.items[code], f"items.{code}"
        if said.county not in item.providers:
            _refuse(said, key, f"{said.county} does not deliver '{code}'", "Name it as a provider of the item first.")
        base = overlay.adjusted(catalog, code, said.extends) if said.extends else item
        if (found := overlay.weakening(base, part)) is not None:
            where, what, cure = found
            _refuse(said, f"{key}.{where}", what, cure)
        for field in part.added:
            _shared(said, code, field.name, catalog)
        try:  # whatever is wrong with the item as the county has it was right before
            lint_items.check(overlay.adjusted(catalog, code, said.county), catalog)
        except CatalogError as e:
            told = re.fullmatch(r"catalog/items/\S+ \[([^\]]+)\]: (.+)", str(e), re.DOTALL)
            if told is None:
                raise
            _say(said, f"{key}.{told[1]}", told[2])


def _extends(said: Overlay, catalog: Catalog) -> None:
    seen, name = [said.county], said.extends
    while name is not None:
        if name not in catalog.overlays:
            _refuse(said, "extends", f"'{name}' has no overlay", near(name, catalog.overlays))
        if name in seen:
            what = f"it comes back to itself: {' -> '.join([*seen, name])}"
            _refuse(said, "extends", what, "Let one of them stand alone.")
        seen.append(name)
        name = catalog.overlays[name].extends


def _shared(said: Overlay, code: str, name: str, catalog: Catalog) -> None:
    """A column that two counties add is one column: what it holds and how it is kept must agree."""
    mine = next(f for f in said.items[code].added if f.name == name)
    for other in catalog.overlays.values():
        for theirs in other.items[code].added if code in other.items else ():
            if theirs.name != name or other.county == said.county:
                continue
            for key in ("type", "role", "unit", "scale", "code_set", "sensitivity", "is_free_text"):
                if getattr(mine, key) != getattr(theirs, key):
                    what = f"{other.county} adds '{name}' with another {key}, and both share a column"
                    _refuse(said, f"items.{code}.fields.{name}.{key}", what, "Agree on it, or choose another name.")


def _refuse(said: Overlay, key: str, what: str, cure: str) -> NoReturn:
    _say(said, key, f"{what}. {cure}")


def _say(said: Overlay, key: str, text: str) -> NoReturn:
    raise CatalogError(f"catalog/{said.file} [line {toml_lines.nearest(said.lines, key)}, {key}]: {text}")
