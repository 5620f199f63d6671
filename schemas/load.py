"""Read `catalog/` into one validated `Catalog`. The only module here that opens files."""

from __future__ import annotations

import csv
import difflib
import hashlib
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.model import Catalog, CatalogError, Code, CodeSet, Department, FindingCode, Item, Rule

CATALOG = Path(__file__).resolve().parents[1] / "catalog"
M = TypeVar("M", bound=BaseModel)


def load(root: Path = CATALOG) -> Catalog:
    """The whole catalogue, cross-checked. Raises `CatalogError` naming file, key and cure at the first fault."""
    items = {i.code: i for i in (_item(p, root) for p in _files(root / "items", "*.toml"))}
    departments = {d.code: d for d in (_parse(Department, p, _toml(p)) for p in _files(root / "departments", "*.toml"))}
    code_sets = {s.name: s for s in _code_sets(root / "codes")}
    findings = {f.code: f for f in _rows(FindingCode, root / "findings.csv")}
    policy = {p.stem: _toml(p) for p in _files(root / "policy", "*.toml")}
    catalog = Catalog(
        items=items,
        departments=departments,
        code_sets=code_sets,
        findings=findings,
        policy=policy,
        revision=_revision(root),
    )
    _cross_check(catalog)
    return catalog


def headers(root: Path, item: Item, department: str | None) -> dict[str, str]:
    """Header (as written) -> field of `item`: names, labels, aliases, then the department's own header map."""
    known: dict[str, str] = {}
    for field in item.fields:
        for text in (field.name, field.label_zh, *field.aliases):
            known.setdefault(text, field.name)
    path = root / "headers" / f"{item.code}.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                if row["department"] in ("", "*", department):
                    known[row["header"]] = row["field"]
    return known


def effective(catalog: Catalog, name: str, on: date) -> Any:
    """The value of a dated policy in force on `on` (see catalog/policy)."""
    for table in catalog.policy.values():
        for entry in table.get(name, ()):
            if entry["valid_from"] <= on and on <= entry.get("valid_to", date.max):
                return entry["value"]
    raise CatalogError(f"catalog/policy: no '{name}' in force on {on}. Add a dated [[{name}]] entry with its source.")


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as e:
        raise CatalogError(f"{_name(path)}: not TOML: {e}. Mend the line it names.") from e


def _name(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _item(path: Path, root: Path) -> Item:
    data = _toml(path)
    fields = [{"name": name, **spec} for name, spec in data.pop("fields", {}).items()]
    item = _parse(Item, path, {**data, "fields": fields})
    if item.code != path.stem:
        raise CatalogError(f"{_name(path)} [code]: '{item.code}' differs from the file name. Rename one of them.")
    return item


def _parse(model: type[M], path: Path, data: dict[str, Any]) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        at = [str(x) for x in first["loc"]]
        if at[:1] == ["fields"] and len(at) > 1 and at[1].isdigit():
            at[1] = data["fields"][int(at[1])]["name"]
        cure = ""
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(at[-1], list(model.model_fields), n=1)
            cure = f" Did you mean '{close[0]}'?" if close else " Remove it."
        raise CatalogError(f"{_name(path)} [{'.'.join(at)}]: {first['msg']}.{cure}") from e


def _rows(model: type[M], path: Path) -> Iterator[M]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as f:
        for number, row in enumerate(csv.DictReader(f), start=2):
            try:
                yield model.model_validate({k: v if v != "" else None for k, v in row.items()})
            except ValidationError as e:
                first = e.errors()[0]
                where = ".".join(str(x) for x in first["loc"])
                raise CatalogError(f"{_name(path)} line {number} [{where}]: {first['msg']}.") from e


def _code_sets(folder: Path) -> Iterator[CodeSet]:
    for path in _files(folder, "*.csv"):
        if path.name.endswith(".variants.csv"):
            continue
        codes = tuple(_rows(Code, path))
        variants: dict[str, str] = {}
        other = path.with_name(f"{path.stem}.variants.csv")
        if other.exists():
            with other.open(encoding="utf-8", newline="") as f:
                for number, row in enumerate(csv.DictReader(f), start=2):
                    if variants.setdefault(row["value"], row["code"]) != row["code"]:
                        raise CatalogError(
                            f"{_name(other)} line {number} [value]: '{row['value']}' already means another code."
                            " Keep one meaning."
                        )
        yield CodeSet(name=path.stem, codes=codes, variants=variants)


def _revision(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".toml", ".csv")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _cross_check(catalog: Catalog) -> None:
    for item in catalog.items.values():
        where = f"catalog/items/{item.code}.toml"
        for department in item.providers:
            if department not in catalog.departments:
                raise CatalogError(f"{where} [providers]: no department '{department}'. Add catalog/departments/.")
            if item.code not in catalog.departments[department].items:
                raise CatalogError(
                    f"catalog/departments/{department}.toml [items]: '{item.code}' is missing,"
                    f" but the item names {department} as a provider. Add it."
                )
        for field in item.fields:
            if field.code_set is not None and field.code_set not in catalog.code_sets:
                raise CatalogError(f"{where} [fields.{field.name}.code_set]: no catalog/codes/{field.code_set}.csv.")
            for rule in field.rules:
                _check_kind(where, f"fields.{field.name}.rules", rule, FIELD_KINDS)
        for rule in item.rules:
            _check_kind(where, "rules", rule, ITEM_KINDS)
            for key in ("field", "other", "when"):
                name = rule.options.get(key)
                if name is not None and name not in {f.name for f in item.fields}:
                    raise CatalogError(f"{where} [rules.{rule.kind}.{key}]: '{name}' is no field of the item.")
        domains = catalog.code_sets.get("domain")
        if domains and item.domain not in {c.code for c in domains.codes}:
            raise CatalogError(f"{where} [domain]: '{item.domain}' is not in catalog/codes/domain.csv.")
    for sender in catalog.departments.values():
        for code in sender.items:
            if code not in catalog.items or sender.code not in catalog.items[code].providers:
                raise CatalogError(
                    f"catalog/departments/{sender.code}.toml [items]: '{code}' is no item that"
                    f" names {sender.code} as a provider. Correct one of the two."
                )


def _check_kind(where: str, key: str, rule: Rule, kinds: dict[str, Any]) -> None:
    if rule.kind not in kinds:
        close = difflib.get_close_matches(rule.kind, list(kinds), n=1)
        cure = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(kinds))}."
        raise CatalogError(f"{where} [{key}]: no rule kind '{rule.kind}'. {cure}")
    kind = kinds[rule.kind]
    if unknown := set(rule.options) ^ (set(rule.options) & set(kind.OPTIONS)):
        raise CatalogError(f"{where} [{key}.{rule.kind}]: unknown option '{sorted(unknown)[0]}'. Remove it.")
    if missing := set(kind.REQUIRED) - set(rule.options):
        raise CatalogError(f"{where} [{key}.{rule.kind}]: option '{sorted(missing)[0]}' is missing. Add it.")
