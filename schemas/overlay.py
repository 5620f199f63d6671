"""County overlays: what a county adds to the catalogue and asks beyond it, and the item as it holds for one sender.

An overlay adds and tightens; it never widens publicity or sharing, lengthens a clock, drops a field or weakens a rule.
"""

from __future__ import annotations

from datetime import date
from typing import get_args

from schemas import editions
from schemas.kinds import between
from schemas.model import Catalog, FieldSpec, Item, ItemOverlay, Overlay, Rule, Tightening

SEVERITIES = ("info", "warning", "hold", "error")  # the mildest first


def chain(catalog: Catalog, department: str, on: date | None = None) -> list[Overlay]:
    """The overlays that hold for a department on a day (on any day without one), the one that the others extend first.
    An overlay that extends itself is the lint's to refuse; here it ends the chain."""
    found: list[Overlay] = []
    name: str | None = department
    while name in catalog.overlays and catalog.overlays[name] not in found:
        found.insert(0, catalog.overlays[name])
        name = found[0].extends
    return [o for o in found if on is None or o.holds(on)]


def effective(catalog: Catalog, code: str, department: str, on: date) -> Item:
    """The item by which a delivery of `department` for the period `on` is judged: its edition, as the county has it."""
    overlays = [o for o in chain(catalog, department, on) if code in o.items]
    item = _adjusted(catalog.items[code], overlays)
    heard = {o.county for o in overlays}
    others = {f.name for f in item.fields if f.counties and heard.isdisjoint(f.counties)}
    return editions.without(editions.as_of(item, on), others)


def adjusted(catalog: Catalog, code: str, department: str, on: date | None = None) -> Item:
    """The item in all its editions as the overlays of a department have it (those of a day, or all), without the fields
    of other counties."""
    overlays = [o for o in chain(catalog, department, on) if code in o.items]
    heard = {o.county for o in overlays}
    item = _adjusted(catalog.items[code], overlays)
    kept = tuple(f for f in item.fields if not f.counties or not heard.isdisjoint(f.counties))
    return item.model_copy(update={"fields": kept})


def _adjusted(item: Item, overlays: list[Overlay]) -> Item:
    for o in overlays:
        item = _applied(item, o.items[item.code])
    return item


def with_added(item: Item, overlays: dict[str, Overlay]) -> Item:
    """The item with the fields that counties add to it, each once: columns of its table, required of nobody here."""
    fields = {f.name: f for f in item.fields}
    for o in overlays.values():
        for added in o.items[item.code].added if item.code in o.items else ():
            first = fields.get(added.name, added)
            counties = (*first.counties, o.county)
            fields[added.name] = first.model_copy(update={"required": False, "rules": (), "counties": counties})
    return item.model_copy(update={"fields": tuple(fields.values())}) if len(fields) > len(item.fields) else item


def own(item: Item) -> Item:
    """The item without the fields that counties add."""
    kept = tuple(f for f in item.fields if not f.counties)
    return item if len(kept) == len(item.fields) else item.model_copy(update={"fields": kept})


def _applied(item: Item, said: ItemOverlay) -> Item:
    own = {f.name: f for f in said.added}
    fields = tuple(
        own[f.name].model_copy(update={"counties": f.counties})
        if f.name in own
        else _tightened(f, said.fields[f.name])
        if f.name in said.fields
        else f
        for f in item.fields
    )
    stated = {k: v for k in ("publicity", "sharing", "retention_years") if (v := getattr(said, k)) is not None}
    return item.model_copy(update={**stated, "fields": fields, "rules": _joined(item.rules, said.rules)})


def _tightened(field: FieldSpec, said: Tightening) -> FieldSpec:
    return field.model_copy(
        update={
            "required": said.required or field.required,
            "length": said.length or field.length,
            "aliases": (*field.aliases, *said.aliases),
            "rules": _joined(field.rules, said.rules),
        }
    )


def _joined(rules: tuple[Rule, ...], more: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """A rule that is there already is meant in earnest: it stands in the place of the milder one."""
    return (*(r for r in rules if not any(_same(r, m) for m in more)), *more)


def _same(a: Rule, b: Rule) -> bool:
    return (a.kind, a.options) == (b.kind, b.options)


def weakening(item: Item, said: ItemOverlay) -> tuple[str, str, str] | None:
    """(key, what, cure) of the first thing in which `said` asks less than the item or shows more; None if nothing."""
    for key, order in (
        ("publicity", get_args(Item.model_fields["publicity"].annotation)),
        ("sharing", get_args(Item.model_fields["sharing"].annotation)),
    ):
        wanted, given = getattr(said, key), getattr(item, key)
        if wanted is not None and order.index(wanted) < order.index(given):
            return key, f"'{wanted}' shows more than the item's '{given}'", f"Say '{given}' or narrower, or remove it."
    if said.retention_years is not None and said.retention_years > item.retention_years:
        what = f"{said.retention_years} years are longer than the item's {item.retention_years}"
        return "retention_years", what, "A county may only shorten it."
    if (found := _milder(item.rules, said.rules)) is not None:
        return f"rules.{found}", *MILDER
    for name, tightening in said.fields.items():
        field, key = item.field(name), f"fields.{name}"
        if tightening.length is not None and tightening.length > (field.length or 0):
            what = f"{tightening.length} characters are more than the item's {field.length or 0}"
            return f"{key}.length", what, "A county may only shorten it."
        if (found := _milder(field.rules, tightening.rules)) is not None:
            return f"{key}.rules.{found}", *MILDER
    return None


MILDER = ("it is milder than the item's own rule", "A county may only raise the severity and narrow the range.")


def _milder(rules: tuple[Rule, ...], more: tuple[Rule, ...]) -> int | None:
    """The first of `more` that says less than one of `rules`: the same one less severely, or a wider range."""
    for n, new in enumerate(more):
        for old in rules:
            lower = SEVERITIES.index(new.severity) < SEVERITIES.index(old.severity)
            if _same(old, new) and lower:
                return n
            if old.kind == new.kind == "between" and not between.covers(old.options, new.options):
                return n
    return None
