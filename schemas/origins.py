"""The item as one county has it, line by line, each with the file and line of the catalogue that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from schemas import overlay, toml_lines
from schemas.model import Catalog, FieldSpec, Item, Model, Overlay, Rule

Lines = dict[str, int]
Where = Callable[[str], str]


class Origin(NamedTuple):
    """`key` is dotted (`fields.decision_no.required`), `value` as TOML would say it, `where` is file:line."""

    key: str
    value: str
    where: str


def origins(root: Path, catalog: Catalog, code: str, department: str, on: date) -> list[Origin]:
    """Everything that holds for a delivery of `department` for the period `on`. `root` is the catalogue's folder."""
    item = overlay.effective(catalog, code, department, on)
    said = [o for o in overlay.chain(catalog, department, on) if code in o.items]
    whole = catalog.items[code]
    return list(_lines(item, whole, said, _read(root / "items" / f"{code}.toml"), _elements(root, code)))


def _read(path: Path) -> Lines:
    return toml_lines.lines(path.read_text(encoding="utf-8")) if path.exists() else {}


def _elements(root: Path, code: str) -> dict[str, tuple[str, Lines]]:
    """Field -> (data element, lines of catalog/elements.toml) of the fields that name one."""
    import tomllib

    known = _read(root / "elements.toml")
    fields = tomllib.loads((root / "items" / f"{code}.toml").read_text(encoding="utf-8")).get("fields", {})
    return {name: (spec["element"], known) for name, spec in fields.items() if "element" in spec}


def _lines(
    item: Item, whole: Item, said: list[Overlay], base: Lines, elements: dict[str, tuple[str, Lines]]
) -> Iterator[Origin]:
    def where(key: str) -> str:
        for o in reversed(said):
            if (line := o.lines.get(f"items.{item.code}.{key}")) is not None:
                return f"catalog/{o.file}:{line}"
        if key in base:
            return f"catalog/items/{item.code}.toml:{base[key]}"
        kind, _, rest = key.partition(".")
        name, _, attribute = rest.partition(".")
        if kind == "fields" and name in elements:
            element, known = elements[name]
            return f"catalog/elements.toml:{toml_lines.nearest(known, f'{element}.{attribute}')}"
        return f"catalog/items/{item.code}.toml:{toml_lines.nearest(base, key)}"

    for key, declared in Item.model_fields.items():
        value = getattr(item, key)
        is_silent = value == declared.get_default() and key not in base
        if key not in ("fields", "rules", "editions") and value not in ((), None) and not is_silent:
            yield Origin(key, _toml(value), where(key))
    for edition in item.editions:
        yield Origin("editions", edition.code, where("editions"))
    for f in item.live_fields:
        key = f"fields.{f.name}"
        for name, spec in FieldSpec.model_fields.items():
            value = getattr(f, name)
            if name not in ("name", "rules", "counties") and value != spec.get_default():
                yield Origin(f"{key}.{name}", _toml(value), where(f"{key}.{name}"))
        yield from _rules(f"{key}.rules", f.rules, whole.field(f.name).rules, said, item.code, where)
    yield from _rules("rules", item.rules, whole.rules, said, item.code, where)


def _rules(
    key: str, rules: tuple[Rule, ...], own: tuple[Rule, ...], said: list[Overlay], code: str, where: Where
) -> Iterator[Origin]:
    """A rule comes from the last overlay that states it, or from the item, whose `own` rules are."""
    for rule in rules:
        o = next((o for o in reversed(said) if rule in _stated(o, code, key)), None)
        if o is None:
            stands = where(f"{key}.{own.index(rule)}")
        else:
            line = toml_lines.nearest(o.lines, f"items.{code}.{key}.{_stated(o, code, key).index(rule)}")
            stands = f"catalog/{o.file}:{line}"
        yield Origin(f"{key}.{rule.kind}", _rule(rule), stands)


def _stated(o: Overlay, code: str, key: str) -> tuple[Rule, ...]:
    part = o.items[code]
    if key == "rules":
        return part.rules
    name = key.split(".")[1]
    added = next((f.rules for f in part.added if f.name == name), ())
    return part.fields[name].rules if name in part.fields else added


def _rule(rule: Rule) -> str:
    return ", ".join([rule.severity, *(f"{k} = {_toml(v)}" for k, v in rule.options.items())])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return value.model_dump_json() if isinstance(value, Model) else str(value)
