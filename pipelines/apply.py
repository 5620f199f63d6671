"""`catalog apply`: bring the stores of a home to the catalogue of today, or say why they cannot be.

A column that is added or renamed changes in place, in Iceberg and in PostgreSQL; what is retired keeps its column;
old releases stay readable. Breaking changes stop before anything is touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pydantic import ValidationError

from pipelines.model import Home
from pipelines.stages import load
from pipelines.stores import judgements
from pipelines.stores.engine import connect
from pipelines.stores.files import SPACES
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from schemas.arrow import former_names, statement_schema, stored_schema
from schemas.diff import KINDS, Change, diff
from schemas.fold import TOLD
from schemas.load import to_json
from schemas.model import Catalog, CatalogError
from schemas.tables import subjects, warehouse


@dataclass(frozen=True)
class Plan:
    """What applying a catalogue means for a home. `before`: the revision the stores follow now, None for a new home.

    `waived` are breaking changes of items of which the home holds nothing: their empty tables are made anew. What an
    older version of this program wrote may not be comparable: then no change is known.
    """

    before: str | None
    after: str
    changes: tuple[Change, ...]
    waived: tuple[Change, ...]
    is_comparable: bool = True

    @property
    def stopping(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.kind == "breaking" and c not in self.waived)


def plan(ledger: Ledger, catalog: Catalog) -> Plan:
    """Compare the catalogue with the one that the stores follow. Raises `StoreError`."""
    before = ledger.applied()
    old = followed(ledger, before) if before is not None and before != catalog.revision else None
    changes = tuple(diff(old, catalog)) if old is not None else ()
    breaking = [c for c in changes if c.kind == "breaking"]
    delivered = ledger.items_delivered() if breaking else set()
    senders = ledger.departments_delivering() if breaking else set()
    waived = tuple(c for c in breaking if old is not None and _holds_nothing(c, old, delivered, senders))
    is_comparable = old is not None or before in (None, catalog.revision)
    return Plan(before, catalog.revision, changes, waived, is_comparable)


def followed(ledger: Ledger, revision: str) -> Catalog | None:
    """A catalogue that the stores followed once; None where it cannot be read any more."""
    content = ledger.catalogue(revision)
    try:
        return Catalog.model_validate_json(content) if content is not None else None
    except ValidationError:
        return None


def apply(home: Home, ledger: Ledger, lake: Lake, catalog: Catalog, on: date) -> tuple[Plan, list[str]]:
    """Carry out the plan; returns it and what was done to the stores. Safe to kill and to run again: it looks at what
    the stores lack, and enters the revision last. Raises `CatalogError` where a change is breaking, `StoreError`.
    """
    with ledger.alone():
        planned = plan(ledger, catalog)
        if planned.stopping:
            raise CatalogError(told(planned.stopping))
        remade = {c.where.split("@")[0] for c in planned.waived} & set(catalog.items)
        if remade:
            ledger.remake((space, code) for code in sorted(remade) for space in ("records", "history"))
        items = catalog.items.values()
        former = {i.code: former_names(i) for i in items}
        done = ledger.evolve(warehouse(items), former, subjects(catalog, judgements.STANDING))
        for item in items:
            for space in SPACES:
                done += lake.evolve(space, item.code, stored_schema(item), former[item.code])
        done += _histories(home, ledger, lake, catalog)
        if planned.before != catalog.revision:
            ledger.apply(catalog.revision, to_json(catalog), on)
    return planned, done


def _histories(home: Home, ledger: Ledger, lake: Lake, catalog: Catalog) -> list[str]:
    """Fill the history tables of items that ask for one since this catalogue."""
    done = []
    for code, at in ledger.current_snapshots().items():
        item = catalog.items.get(code)
        if item is None or not item.history_in_warehouse or at.history is None or not ledger.is_empty("history", code):
            continue
        if files := lake.files("history", code, at.history):
            shape = statement_schema(item)
            with connect(home.work) as engine:
                stored = lake.relation(engine, "history", code, shape, former_names(item), files)
                told = f"SELECT {', '.join(shape.names)} FROM {stored} WHERE {TOLD}"
                load.fill_history(ledger, code, engine.sql(told))
            done.append(f"history.{code}: filled from the release")
    return done


def told(breaking: Iterable[Change]) -> str:
    """The first breaking change with its cure, and how many more there are."""
    listed = list(breaking)
    first = listed[0]
    more = f" {len(listed) - 1} more: see 'qiongxin catalog apply --preview'." if len(listed) > 1 else ""
    return f"catalog [{first.where}.{first.key}]: breaking change: {first.text}. {first.cure}{more}"


def summary(planned: Plan) -> str:
    """One line for the screen."""
    if planned.before is None:
        return f"catalogue {planned.after}: first of this home"
    if planned.before == planned.after:
        return f"catalogue {planned.after}: the stores follow it already"
    if not planned.is_comparable:
        return f"catalogue {planned.before} -> {planned.after}: written by another version, cannot be compared"
    counts = Counter(c.kind for c in planned.changes)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]) or "no change that is told"
    return f"catalogue {planned.before} -> {planned.after}: {said}"


def _holds_nothing(change: Change, old: Catalog, delivered: set[str], senders: set[str]) -> bool:
    """Whether a home holds nothing that a breaking change could break."""
    place, _, name = change.where.partition(".")
    if place == "codes":
        users = {i.code for i in old.items.values() for f in i.fields if f.code_set == name}
        return users.isdisjoint(delivered)
    if place == "departments":
        return name not in senders
    return place.split("@")[0] not in delivered

