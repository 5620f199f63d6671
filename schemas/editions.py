"""An item as of a day: the edition in force, without the fields and rules of other editions."""

from __future__ import annotations

from datetime import date

from schemas.model import Catalog, Edition, Item, LayoutRow


def edition(item: Item, on: date) -> Edition | None:
    """The edition in force on a day; None where the item has but one layout, which needs no name."""
    return next((e for e in item.editions if e.holds(on)), None)


def named(item: Item) -> tuple[str, date]:
    """The edition of an item as of a day and its first day; an item of one layout is known by that day."""
    one = item.editions[0] if len(item.editions) == 1 else None
    return (one.code, one.valid_from) if one else (item.valid_from.isoformat(), item.valid_from)


def as_of(item: Item, on: date) -> Item:
    """The item by which a delivery of the period `on` is judged.

    Fields of other editions stay, since all editions share one table, but are not read, not required and not checked.
    """
    dormant = frozenset(f.name for f in item.fields if not f.holds(on))
    found = edition(item, on)
    judged = item.model_copy(
        update={
            "editions": (found,) if found else (),
            "fields": tuple(
                f.model_copy(
                    update={
                        "required": f.required and f.name not in dormant,
                        "rules": () if f.name in dormant else tuple(r for r in f.rules if r.holds(on)),
                    }
                )
                for f in item.fields
            ),
            "rules": tuple(r for r in item.rules if r.holds(on) and not dormant.intersection(r.mentioned)),
        }
    )
    judged._dormant = dormant
    return judged


def without(judged: Item, names: set[str]) -> Item:
    """The same, with more fields that are not read."""
    left = judged.model_copy()
    left._dormant = judged._dormant | names
    return left


def headers(catalog: Catalog, item: Item, department: str | None) -> dict[str, str]:
    """Header (as written) -> field of `item`: names, labels, aliases, former names, then the header maps.

    A department's own word goes before everybody's, and that of the edition in force before that of all editions.
    `item` is an item as of a day, or one with all its editions, of which then none is preferred.
    """
    known: dict[str, str] = {}
    live = {f.name for f in item.live_fields}
    for field in item.live_fields:
        for text in (field.name, field.label_zh, *field.aliases, *field.formerly):
            known.setdefault(text, field.name)
    rows = [r for r in catalog.headers.get(item.code, ()) if r.field in live]
    current = item.editions[0].code if len(item.editions) == 1 else None
    for whose in ("*", department):
        for which in ("*", current):
            known |= {r.header: r.field for r in rows if (r.department, r.edition) == (whose, which)}
    return known


def layout(catalog: Catalog, item: Item, department: str) -> tuple[LayoutRow, ...]:
    """How a department's lines of fixed width are laid out: as for the edition in force, else as for all editions."""
    current = item.editions[0].code if len(item.editions) == 1 else None
    rows = [r for r in catalog.layouts.get(item.code, ()) if r.department == department]
    return tuple(r for r in rows if r.edition == current) or tuple(r for r in rows if r.edition == "*")
