"""Read `catalog/` into one validated `Catalog`. The only module here that opens files."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas import overlay, toml_lines
from schemas.lint import check
from schemas.lint_items import near
from schemas.model import (
    Allowed,
    CalendarRow,
    Catalog,
    CatalogError,
    Code,
    CodeSet,
    Department,
    Fault,
    FieldSpec,
    FindingCode,
    HeaderRow,
    Item,
    LayoutRow,
    Overlay,
    Sealed,
    Variant,
    Withheld,
)

# Another catalogue may be tried in its place, by every process of a night.
CATALOG = Path(os.environ.get("QIONGXIN_CATALOG") or Path(__file__).resolve().parents[1] / "catalog").resolve()
M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", Item, Department)


def load(root: Path | None = None) -> Catalog:
    """The whole catalogue, the shipped one by default, cross-checked. Raises `CatalogError` at the first fault, naming
    file, key and cure."""
    root = root or CATALOG
    elements = _elements(root / "elements.toml")
    items = {i.code: i for i in (_item(p, elements) for p in _files(root / "items", "*.toml"))}
    departments = {d.code: d for d in (_department(p) for p in _files(root / "departments", "*.toml"))}
    code_sets = {s.name: s for s in _code_sets(root / "codes")}
    findings = {f.code: f for f in _rows(FindingCode, root / "findings.csv")}
    policy = {p.stem: _toml(p) for p in _files(root / "policy", "*.toml")}
    overlays = {o.county: o for o in (_overlay(p, items, elements) for p in _files(root / "counties", "*.toml"))}
    catalog = Catalog(
        items={code: overlay.with_added(item, overlays) for code, item in items.items()},
        overlays=overlays,
        departments=departments,
        code_sets=code_sets,
        findings=findings,
        policy=policy,
        layouts={p.stem: tuple(_rows(LayoutRow, p)) for p in _files(root / "layouts", "*.csv")},
        headers={p.stem: tuple(_rows(HeaderRow, p)) for p in _files(root / "headers", "*.csv")},
        withheld=tuple(_rows(Withheld, root / "law" / "withheld.csv")),
        allowed=tuple(_rows(Allowed, root / "law" / "allowed.csv")),
        sealed=tuple(_rows(Sealed, root / "law" / "sealed.csv")),
        calendar=tuple(_calendar(root / "calendar")),
        revision=revision(root),
    )
    check(catalog)
    return catalog


def effective(catalog: Catalog, name: str, on: date) -> Any:
    """The value of a dated policy in force on `on` (see catalog/policy)."""
    for table in catalog.policy.values():
        for entry in table.get(name, ()):
            if entry["valid_from"] <= on and on <= entry.get("valid_to", date.max):
                return entry["value"]
    raise CatalogError(f"catalog/policy: no '{name}' in force on {on}. Add a dated [[{name}]] entry with its source.")


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise CatalogError(f"{_name(path)} [byte {e.start}]: not UTF-8. Save the file as UTF-8.") from e


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as e:
        raise CatalogError(f"{_name(path)} [TOML]: {e}. Mend the line it names.") from e


def _name(path: Path) -> str:
    inside = path.parts[-1:] if path.name in ("findings.csv", "elements.toml") else path.parts[-2:]
    return "/".join(("catalog", *inside))


def _elements(path: Path) -> dict[str, dict[str, Any]]:
    """Data elements: what a field is wherever it stands. Each is checked as a field of its own."""
    elements = _toml(path) if path.exists() else {}
    for name, spec in elements.items():
        _parse(FieldSpec, path, {"name": name, **spec}, under=name)
    return elements


def _item(path: Path, elements: dict[str, dict[str, Any]]) -> Item:
    data = _toml(path)
    fields = data.pop("fields", {})
    if not isinstance(fields, dict) or not all(isinstance(f, dict) for f in fields.values()):
        raise CatalogError(f"{_name(path)} [fields]: not tables. Write each field as [fields.its_name].")
    specs = [{"name": name, **_of_element(path, name, spec, elements)} for name, spec in fields.items()]
    return _named(_parse(Item, path, {**data, "fields": specs}), path)


def _of_element(path: Path, field: str, spec: dict[str, Any], elements: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A field that names a data element is that element, save for what it says otherwise."""
    if "element" not in spec:
        return spec
    name = spec["element"]
    if name not in elements:
        what = f"no data element '{name}' in catalog/elements.toml"
        raise CatalogError(f"{_name(path)} [fields.{field}.element]: {what}. {near(str(name), elements)}")
    return {**elements[name], **{k: v for k, v in spec.items() if k != "element"}}


OVERLAY_KEYS = ("publicity", "sharing", "retention_years", "rules", "fields")


def _overlay(path: Path, items: dict[str, Item], elements: dict[str, dict[str, Any]]) -> Overlay:
    """A county's file; what it says of a field that the item has tightens it, any other field is added."""
    data, lines = _toml(path), toml_lines.lines(_text(path))
    stated: dict[str, Any] = {}
    for code, said in data.get("items", {}).items():
        if code not in items:
            where = f"line {lines.get(f'items.{code}', 1)}, items.{code}"
            raise CatalogError(f"{_name(path)} [{where}]: no item '{code}'. {near(code, items)}")
        if unknown := sorted(set(said) - set(OVERLAY_KEYS)):
            what = f"a county cannot say '{unknown[0]}' of an item. {near(unknown[0], OVERLAY_KEYS)}"
            key = f"items.{code}.{unknown[0]}"
            raise CatalogError(f"{_name(path)} [line {toml_lines.nearest(lines, key)}, {key}]: {what}")
        known = {f.name for f in items[code].fields}
        fields = {n: _of_element(path, n, f, elements) for n, f in said.pop("fields", {}).items()}
        added = [{"name": n, **f} for n, f in fields.items() if n not in known]
        for spec in added:
            _parse(FieldSpec, path, spec, f"items.{code}.fields.{spec['name']}", lines)
        stated[code] = {**said, "fields": {n: f for n, f in fields.items() if n in known}, "added": added}
    data["items"] = stated
    made = _parse(Overlay, path, {**data, "lines": lines}, lines=lines)
    if made.county != path.stem:
        raise CatalogError(f"{_name(path)} [county]: '{made.county}' differs from the file name. Rename one of them.")
    return made


def _department(path: Path) -> Department:
    return _named(_parse(Department, path, _toml(path)), path)


def _named(thing: N, path: Path) -> N:
    if thing.code != path.stem:
        raise CatalogError(f"{_name(path)} [code]: '{thing.code}' differs from the file name. Rename one of them.")
    return thing


def _parse(
    model: type[M], path: Path, data: dict[str, Any], under: str = "", lines: dict[str, int] | None = None
) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        at = [str(x) for x in first["loc"]]
        if at[:1] == ["fields"] and len(at) > 1 and at[1].isdigit():
            at[1] = data["fields"][int(at[1])]["name"]
        told = _told(first, at, model)
        where = ".".join([under, *at] if under else at)
        if lines is not None:
            where = f"line {toml_lines.nearest(lines, where)}, {where}"
        raise CatalogError(f"{_name(path)} [{where}]: {told}") from e


def _told(error: ErrorDetails, at: list[str], model: type[BaseModel]) -> str:
    """What is wrong and what to do; `at` is the key and grows if the fault knows it better."""
    fault = error.get("ctx", {}).get("error")
    if isinstance(fault, Fault):
        at.append(fault.key)
        return str(fault)
    if error["type"] == "extra_forbidden":
        known = [*model.model_fields, *(FieldSpec.model_fields if at[0] == "fields" else ())]
        return f"unknown key. {near(at[-1], known, 'Remove it.')}"
    if error["type"] == "missing":
        return "it is missing. Add it."
    said = error["msg"].removeprefix("Value error, ")
    return f"{said[0].lower()}{said[1:]}, not {error['input']!r}. Correct the value."


def _rows(model: type[M], path: Path) -> Iterator[M]:
    """The rows of a CSV file; an empty cell is None."""
    if not path.exists():
        return
    for number, row in enumerate(csv.DictReader(io.StringIO(_text(path), newline="")), start=2):
        if None in row or None in row.values():
            raise CatalogError(
                f"{_name(path)} [line {number}]: not as many cells as the header has. Put quotes around commas in text."
            )
        try:
            yield model.model_validate({k: v if v != "" else None for k, v in row.items()})
        except ValidationError as e:
            first = e.errors()[0]
            at = [str(x) for x in first["loc"]]
            told = _told(first, at, model)
            raise CatalogError(f"{_name(path)} [line {number}, {'.'.join(at)}]: {told}") from e


def _code_sets(folder: Path) -> Iterator[CodeSet]:
    for path in _files(folder, "*.csv"):
        if path.name.endswith(".variants.csv"):
            base = path.name.removesuffix(".variants.csv")
            if not path.with_name(f"{base}.csv").exists():
                raise CatalogError(f"{_name(path)} [file name]: there is no codes/{base}.csv. Add it or rename this.")
            continue
        variants: dict[str, str] = {}
        own: list[Variant] = []
        other = path.with_name(f"{path.stem}.variants.csv")
        for row in _rows(Variant, other):
            is_common = row.department == "*" and row.valid_from is None and row.valid_to is None
            same = [v for v in own if (v.value, v.department) == (row.value, row.department)]
            if (is_common and row.value in variants) or any(row.meets(v) for v in same):
                raise CatalogError(f"{_name(other)} [{row.value}]: the value stands twice. Keep one meaning.")
            if is_common:
                variants[row.value] = row.code
            else:
                own.append(row)
        yield CodeSet(name=path.stem, codes=tuple(_rows(Code, path)), variants=variants, own=tuple(own))


def _calendar(folder: Path) -> Iterator[CalendarRow]:
    """The rows of every year; each file is named after its year."""
    for path in _files(folder, "*.csv"):
        for row in _rows(CalendarRow, path):
            if not str(row.first.year) == str(row.last.year) == path.stem or row.last < row.first:
                what = f"{row.first} to {row.last} are no days of the year that the file is named after"
                raise CatalogError(f"{_name(path)} [{row.name}]: {what}. Correct a date, or move the row.")
            yield row


def to_json(catalog: Catalog) -> str:
    """The catalogue without what it says by default, for `from_json`."""
    return catalog.model_dump_json(by_alias=True, exclude_defaults=True)


def from_json(text: str, root: Path | None = None) -> Catalog:
    """What `to_json` gave of the catalogue in `root`, not read again and not checked; the caller knows that the
    revision is the same. Policies are read again, since JSON has no dates."""
    policy = {p.stem: _toml(p) for p in _files((root or CATALOG) / "policy", "*.toml")}
    return Catalog.model_validate_json(text).model_copy(update={"policy": policy})


def revision(root: Path | None = None) -> str:
    """Hash of every file of the catalogue."""
    root = root or CATALOG
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".toml", ".csv")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
