"""What the law keeps out of the catalogue: prohibited, consent-only and sealed information, and points.

`catalog/law/withheld.csv` names each kind by the words that give it away, with its class, days in force and basis;
`catalog/law/allowed.csv` lists the fields that a law of their own lets in, for each department that delivers them;
`catalog/law/sealed.csv` what rows say that are sealed (schemas.sealed).
A field is refused whatever it is called: its name, labels, aliases, code set and every department's header are read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import NoReturn, get_args

from schemas.lint_items import near
from schemas.model import Catalog, CatalogError, FieldSpec, Item, Nature, Withheld
from schemas.row_rules import LETTERS, birth_field

WHY = {
    "never": ("may never be collected", "Remove it."),
    "consent": (
        "may be collected only with the person's written consent, which no delivery carries",
        "Remove it, or cite the law that lets this department deliver it in catalog/law/allowed.csv.",
    ),
    "sealed": ("is sealed: nobody but the organs that the law names may see it", "Remove it."),
    "score": (
        "grades a person, and a grade is no fact that a department knows",
        "Remove it, or cite the law that makes it one in catalog/law/allowed.csv.",
    ),
}


def check(catalog: Catalog) -> None:
    """Raises `CatalogError` at the first item, field or header that the law keeps out, or at a faulty exception."""
    for file, rows in (("withheld", catalog.withheld), ("sealed", catalog.sealed)):
        if not rows:
            _refuse(f"law/{file}.csv", "file", f"nothing is {file}", "Restore the file: it says what the law forbids.")
    needed: set[tuple[str, str, str]] = set()
    # One search for all words spares nearly every text the search for each; every task of a night pays for this.
    words = re.compile("|".join(re.escape(w) for k in catalog.withheld for w in (*_dense(k.zh), *k.en, *_joined(k.en))))
    for item in catalog.items.values():
        kinds = [k for k in catalog.withheld if k.meets(item)]
        for file, key, field, text in _texts(item, catalog):
            if not words.search("\n".join(_forms(text))):
                continue
            for kind in kinds:
                if (word := giveaway(kind, text)) is None:
                    continue
                if missing := _unallowed(catalog, item, field, kind):
                    why, cure = WHY[kind.kind]
                    _refuse(file, key, f"'{word}' ({kind.code}) {why} [{kind.basis}]{missing}", cure)
                needed.add((item.code, field, kind.code))
    _exceptions(catalog, needed)
    _sealed(catalog)
    _ages(catalog)


def is_withheld(catalog: Catalog, header: str, on: date) -> bool:
    """Whether a header of a delivery names what the law keeps out on that day."""
    return any(
        kind.valid_from <= on <= (kind.valid_to or date.max) and giveaway(kind, header) is not None
        for kind in catalog.withheld
    )


def giveaway(kind: Withheld, text: str) -> str | None:
    """The first word of `kind` that stands in a label, header or name; None if none does."""
    dense, spaced = _forms(text)
    for harmless in kind.unless:
        dense = dense.replace(harmless.upper(), "")
        spaced = spaced.replace(f" {harmless} ", "  ")
    for word, bare in zip(kind.zh, _dense(kind.zh), strict=True):
        if bare in dense:
            return word
    for word, joined in zip(kind.en, _joined(kind.en), strict=True):
        if f" {word} " in spaced or f" {joined} " in spaced:
            return word
    return None


def _forms(text: str) -> tuple[str, str]:
    """A text as Chinese words are looked for, without blanks, and as English ones are: lower case, a blank around each
    word."""
    text = unicodedata.normalize("NFKC", text)
    words = re.findall("[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower())
    return "".join(text.split()).upper(), f" {' '.join(words)} "


def _dense(words: tuple[str, ...]) -> list[str]:
    return [word.upper() for word in words]


def _joined(words: tuple[str, ...]) -> list[str]:
    return [word.replace(" ", "") for word in words]


def unneeded(catalog: Catalog) -> list[str]:
    """`item.field` of the attributes of persons (policy attribute_words) that nothing needs: not mandatory, in no key,
    named by no rule, and without a `purpose` (《个人信息保护法》第六条: the smallest scope that serves the purpose)."""
    entries = [entry for table in catalog.policy.values() for entry in table.get("attribute_words", ())]
    words = [word for entry in entries for word in entry["value"]]
    found = []
    for item in catalog.items.values():
        used = {item.event_date, item.source_time, *item.business_key}
        used |= {v for rule in item.rules for v in rule.options.values() if isinstance(v, str)}
        for f in item.fields:
            is_needed = f.required or f.role not in ("attribute", "remarks") or f.purpose or f.name in used or f.rules
            if not is_needed and any(word in text for word in words for text in (f.label_zh, *f.aliases)):
                found.append(f"{item.code}.{f.name}")
    return found


def _texts(item: Item, catalog: Catalog) -> Iterator[tuple[str, str, str, str]]:
    """(file, key, field or "", text) of everything that tells what the item or one of its fields holds."""
    file = f"items/{item.code}.toml"
    for key in ("code", "name_zh", "name_en"):
        yield file, key, "", getattr(item, key)
    for f in item.fields:
        if not f.counties:
            yield from _of_field(file, f"fields.{f.name}", f)
    for o in catalog.overlays.values():
        if (said := o.items.get(item.code)) is not None:
            key = f"items.{item.code}.fields"
            for f in said.added:
                yield from _of_field(o.file, f"{key}.{f.name}", f)
            for name, tightening in said.fields.items():
                for alias in tightening.aliases:
                    yield o.file, f"{key}.{name}.aliases", name, alias
    for row in catalog.headers.get(item.code, ()):
        yield f"headers/{item.code}.csv", f"{row.department},{row.header}", row.field, row.header


def _of_field(file: str, key: str, f: FieldSpec) -> Iterator[tuple[str, str, str, str]]:
    yield file, key, f.name, f.name
    yield file, f"{key}.label_zh", f.name, f.label_zh
    yield file, f"{key}.label_en", f.name, f.label_en
    for alias in f.aliases:
        yield file, f"{key}.aliases", f.name, alias
    if f.code_set is not None:
        yield file, f"{key}.code_set", f.name, f.code_set


def _unallowed(catalog: Catalog, item: Item, field: str, kind: Withheld) -> str:
    """Why no exception covers the field; empty if one does for every department that delivers it."""
    if kind.kind in ("never", "sealed"):
        return "; the law knows no exception"
    rows = {(a.department, a.item, a.field, a.code) for a in catalog.allowed}
    missing = [d for d in item.providers if (d, item.code, field, kind.code) not in rows]
    return f"; not allowed for {', '.join(missing)}" if missing else ""


def _exceptions(catalog: Catalog, needed: set[tuple[str, str, str]]) -> None:
    """Every exception names what there is, and is needed."""
    file = "law/allowed.csv"
    kinds = sorted({k.code for k in catalog.withheld})
    for row in catalog.allowed:
        key = f"{row.department},{row.item},{row.field}"
        if row.item not in catalog.items:
            _refuse(file, key, f"no item '{row.item}'", near(row.item, catalog.items))
        if row.code not in kinds:
            _refuse(file, key, f"no kind '{row.code}' in catalog/law/withheld.csv", near(row.code, kinds))
        if row.department not in catalog.items[row.item].providers:
            _refuse(file, key, f"{row.department} does not deliver {row.item}", "Remove the row.")
        if (row.item, row.field, row.code) not in needed:
            _refuse(file, key, f"nothing there is withheld as {row.code}", "Remove it: an exception is for a need.")


def _sealed(catalog: Catalog) -> None:
    """Every line about what is sealed names what there is."""
    file = "law/sealed.csv"
    for row in catalog.sealed:
        key = f"{row.code},{row.item},{row.field}"
        if row.item != "*" and row.item not in catalog.items:
            _refuse(file, key, f"no item '{row.item}'", near(row.item, catalog.items))
        asked = [i for i in catalog.items.values() if row.item in ("*", i.code)]
        fields = {f.name: f for i in asked for f in i.fields if f.type in ("text", "code")}
        if row.field != "*" and row.field not in fields:
            _refuse(file, key, f"no text and no code '{row.field}' there", near(row.field, fields))


def _ages(catalog: Catalog) -> None:
    """Where a row is stopped for want of a day of birth, its item has a field for one, so that it can be mended."""
    natures: tuple[str, ...] = get_args(Nature)
    for table, policies in catalog.policy.items():
        for entry in policies.get("birth_unknown", ()):
            file, key = f"policy/{table}.toml", "birth_unknown.value"
            for nature, severity in entry["value"].items():
                if nature not in natures:
                    _refuse(file, key, f"no nature '{nature}'", near(nature, natures))
                if severity not in LETTERS:
                    _refuse(file, key, f"no severity '{severity}'", near(str(severity), LETTERS))
                for item in catalog.items.values():
                    if item.nature == nature and severity in ("error", "hold") and birth_field(item) is None:
                        what = "rows without a day of birth are stopped (policy birth_unknown), and no field tells one"
                        _refuse(f"items/{item.code}.toml", "fields", what, "Add one of element = 'birth_date'.")


def _refuse(file: str, key: str, what: str, cure: str) -> NoReturn:
    raise CatalogError(f"catalog/{file} [{key}]: {what}. {cure}")
