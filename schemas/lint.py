"""Cross-checks of a loaded catalogue: code sets, departments, policy; items have a module of their own.

Each check raises `CatalogError` at the first fault: *file [key]: what is wrong. What to do.*
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, NoReturn

from schemas import lint_items, lint_law, lint_overlay, overlay
from schemas.lint_items import near
from schemas.model import Catalog, CatalogError, Code, CodeSet, Department


def check(catalog: Catalog) -> None:
    """Everything that one file alone cannot tell. Raises `CatalogError`."""
    for code_set in catalog.code_sets.values():
        _code_set(code_set, catalog)
    _policy(catalog)
    _calendar(catalog)
    for item in catalog.items.values():
        lint_items.check(overlay.own(item), catalog)
    for county in catalog.overlays.values():
        lint_overlay.check(county, catalog)
    lint_law.check(catalog)
    for department in catalog.departments.values():
        _department(department, catalog)
    _places(catalog)
    for name in catalog.headers:
        if name not in catalog.items:
            _refuse(f"headers/{name}.csv", "file name", f"no item '{name}'", near(name, catalog.items))
    for name in catalog.layouts:
        _layouts(name, catalog)


def _refuse(file: str, key: str, what: str, cure: str) -> NoReturn:
    raise CatalogError(f"catalog/{file} [{key}]: {what}. {cure}")


def _code_set(code_set: CodeSet, catalog: Catalog) -> None:
    file = f"codes/{code_set.name}.csv"
    rows: dict[str, list[Code]] = {}
    labels: dict[str, str] = {}
    for code in code_set.codes:
        if code.valid_from and code.valid_to and code.valid_from > code.valid_to:
            _refuse(file, code.code, f"valid_to {code.valid_to} is before valid_from", "Correct one of the two dates.")
        for other in rows.get(code.code, ()):
            if code.meets(other):
                _refuse(file, code.code, "two rows of this code are valid on one day", "End the older row first.")
        rows.setdefault(code.code, []).append(code)
        if code.valid_to is None and labels.setdefault(code.label, code.code) != code.code:
            what = f"label '{code.label}' is that of {labels[code.label]} as well"
            _refuse(file, code.code, what, "Tell the labels apart, or end one of the codes.")
    for own in code_set.own:
        file = f"codes/{code_set.name}.variants.csv"
        if own.department not in ("*", *catalog.departments):
            cure = near(own.department, catalog.departments)
            _refuse(file, own.value, f"no department '{own.department}'", cure)
        if own.code not in rows:
            _refuse(file, own.value, f"there is no code '{own.code}'", near(own.code, rows))
    for value, means in code_set.variants.items():
        file = f"codes/{code_set.name}.variants.csv"
        if means not in rows:
            _refuse(file, value, f"there is no code '{means}'", near(means, rows))
        if value in rows and value != means:
            _refuse(file, value, f"it is a code itself and cannot mean {means}", "Remove the variant.")
        if labels.get(value, means) != means:
            _refuse(file, value, f"it is the label of {labels[value]} and cannot mean {means}", "Remove the variant.")


def _department(department: Department, catalog: Catalog) -> None:
    file = f"departments/{department.code}.toml"
    if department.valid_to is not None and department.valid_to < department.valid_from:
        _refuse(file, "valid_to", "it is before valid_from", "Correct one of the two dates.")
    if department.successor is not None and department.successor not in catalog.departments:
        _refuse(
            file,
            "successor",
            f"no department '{department.successor}'",
            near(department.successor, catalog.departments),
        )
    for item in department.formats:
        if item not in ("*", *catalog.items):
            _refuse(file, f"formats.{item}", f"no item '{item}'", near(item, catalog.items))
    for before in department.predecessors:
        if before.until > (department.valid_to or date.max):
            _refuse(file, "predecessors", f"'{before.name}' outlives the department", "Correct its last day.")
    for n, duty in enumerate(department.duties):
        if duty.item not in catalog.items or department.code not in catalog.items[duty.item].providers:
            what = f"the department delivers no item '{duty.item}'"
            _refuse(file, "duties", what, near(duty.item, catalog.delivers(department.code)))
        if any(duty.item == other.item and duty.meets(other) for other in department.duties[:n]):
            what = f"two duties of '{duty.item}' hold on one day"
            _refuse(file, "duties", what, "End the older one first.")
    regions = catalog.code_sets.get("region")
    if regions and department.region_code not in {c.code for c in regions.codes if c.valid_to is None}:
        what = f"'{department.region_code}' is no region in force"
        _refuse(file, "region_code", what, "Use a code of catalog/codes/region.csv.")


def _places(catalog: Catalog) -> None:
    """No department sees another's files, and no answer is fetched as a delivery: no place lies in another one."""
    places = [
        (f"departments/{d.code}.toml", key, place.url.rstrip("/") + "/", place.endpoint)
        for d in catalog.departments.values()
        for key, place in (("inbox", d.inbox), ("outbox", d.outbox))
        if place is not None
    ]
    for n, (file, key, url, endpoint) in enumerate(places):
        for other, its, outer, service in places[:n]:
            if endpoint == service and (url.startswith(outer) or outer.startswith(url)):
                what = f"it and the {its} of catalog/{other} lie in one another"
                _refuse(file, f"{key}.url", what, "Give each a folder of its own.")


def _calendar(catalog: Catalog) -> None:
    """A holiday or its make-up day stands once, and a day that is made up belongs to a weekend."""
    seen: set[date] = set()
    for row in catalog.calendar:
        file = f"calendar/{row.first.year}.csv"
        for day in (row.first + timedelta(n) for n in range((row.last - row.first).days + 1)):
            if day in seen:
                _refuse(file, row.name, f"{day} stands twice", "Keep it in one row.")
            if row.kind == "workday" and day.weekday() < 5:
                _refuse(file, row.name, f"{day} is worked on anyway", "Correct the date, or remove the row.")
            seen.add(day)

def _layouts(name: str, catalog: Catalog) -> None:
    """Each department's lines of fixed width: in one unit, of fields of the item, none over another."""
    file = f"layouts/{name}.csv"
    if name not in catalog.items:
        _refuse(file, "file name", f"no item '{name}'", near(name, catalog.items))
    fields, rows = [f.name for f in catalog.items[name].fields], catalog.layouts[name]
    for number, row in enumerate(rows, start=2):
        key = f"line {number}"
        if row.department not in catalog.departments:
            _refuse(file, key, f"no department '{row.department}'", near(row.department, catalog.departments))
        if row.field not in fields:
            _refuse(file, key, f"no field '{row.field}' in the item", near(row.field, fields))
        if row.edition not in ("*", *(e.code for e in catalog.items[name].editions)):
            _refuse(file, key, f"no edition '{row.edition}' of the item", "Name one of its editions, or * for all.")
        for other in rows[: number - 2]:
            if (other.department, other.edition) != (row.department, row.edition):
                continue
            if other.unit != row.unit:
                _refuse(file, key, "a line is counted in bytes or in characters", "Use one unit in all its rows.")
            if other.field == row.field:
                _refuse(file, key, f"the field '{row.field}' stands twice", "Remove one of the rows.")
            if row.start < other.start + other.length and other.start < row.start + row.length:
                _refuse(file, key, f"it lies over '{other.field}'", "Correct start or length of one of the two.")


def _policy(catalog: Catalog) -> None:
    seen: dict[str, str] = {}
    for table, entries in catalog.policy.items():
        file = f"policy/{table}.toml"
        for name, dated in entries.items():
            if name in seen:
                _refuse(file, name, f"it stands in policy/{seen[name]}.toml as well", "Keep it in one file.")
            seen[name] = table
            if not isinstance(dated, list):
                _refuse(file, name, "a policy is a list of dated entries", f"Write it as [[{name}]].")
            _dated(file, name, dated)


def _dated(file: str, name: str, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        for key in ("value", "valid_from", "source"):
            if key not in entry or entry[key] == "":
                _refuse(file, f"{name}.{key}", "it is missing", "Add it: every limit is dated and has a source.")
        if unknown := sorted(set(entry) - {"value", "valid_from", "valid_to", "source"}):
            _refuse(file, f"{name}.{unknown[0]}", "unknown key", "Remove it.")
        for key in ("valid_from", "valid_to"):
            if type(entry.get(key, date.max)) is not date:
                _refuse(file, f"{name}.{key}", f"{entry[key]!r} is no date", "Write it like 2026-01-31, unquoted.")
    ordered = sorted(entries, key=lambda e: e["valid_from"])
    for old, new in zip(ordered, ordered[1:], strict=False):
        due = old["valid_to"] + timedelta(days=1) if "valid_to" in old else None
        if due is None or due > new["valid_from"]:
            what = f"two entries are in force on {new['valid_from']}"
            _refuse(file, name, what, "Give the older one a valid_to before that day.")
        if due < new["valid_from"]:
            _refuse(file, name, f"nothing is in force from {due}", f"Let one entry begin on {due}.")
