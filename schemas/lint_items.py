"""Checks of one item against the rest of the catalogue: references, fields, privacy, rules, headers."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NoReturn

from schemas import row_rules
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.life import own_columns
from schemas.model import Catalog, CatalogError, Dated, FieldSpec, Item, Rule

ROLE_SETS = {"certificate_type": "certificate_type", "action": "row_action"}
MENTIONS = ("field", "other", "when")


def check(item: Item, catalog: Catalog) -> None:
    """Raises `CatalogError` at the first fault of the item."""
    _references(item, catalog)
    _key_and_dates(item)
    _reporting(item, catalog)
    _effects(item, catalog)
    _rests_on(item, catalog)
    _states(item, catalog)
    _registers(item, catalog)
    _sender_key(item)
    _periods(item)
    taken = {*own_columns()}
    for field in item.fields:
        if used := {field.name, *field.formerly} & taken:
            _refuse(item, f"fields.{field.name}", f"'{min(used)}' is a column of every item", "Give it another name.")
        _field(item, field, catalog)
        _privacy(item, field, catalog)
    _headers(item, catalog)
    for field in item.fields:
        for rule in field.rules:
            _rule(item, f"fields.{field.name}.rules", rule, FIELD_KINDS)
            if allowed := getattr(FIELD_KINDS[rule.kind], "TYPES", ()):
                _of_type(item, f"fields.{field.name}.rules.{rule.kind}", field, allowed)
    for rule in item.rules:
        _rule(item, "rules", rule, ITEM_KINDS)
        _mentions(item, rule, catalog)
    _finding_codes(item, catalog)


def near(word: str, known: Iterable[str], otherwise: str = "Add it or correct the name.") -> str:
    """The cure for a word that is not known: the nearest known one, or what to do where none is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean '{close[0]}'?" if close else otherwise


def comparable(header: str) -> str:
    """A header as the readers compare it: NFKC, upper case, without blanks, stars and brackets."""
    return re.sub(r"[\s*()\[\]【】〔〕{}]+", "", unicodedata.normalize("NFKC", header)).upper()


def _refuse(item: Item, key: str, what: str, cure: str) -> NoReturn:
    raise CatalogError(f"catalog/items/{item.code}.toml [{key}]: {what}. {cure}")


def _references(item: Item, catalog: Catalog) -> None:
    for name in item.providers:
        if item.providers.count(name) > 1:
            _refuse(item, "providers", f"'{name}' stands twice", "Keep it once: the order is the precedence.")
        if name not in catalog.departments:
            cure = near(name, catalog.departments, f"Add catalog/departments/{name}.toml.")
            _refuse(item, "providers", f"no department '{name}'", cure)
    for key, (name, values) in {
        "category": ("catalogue_category", (item.category,)),
        "domain": ("domain", (item.domain,)),
        "groups": ("professional_group", item.groups),
        "real_name_domains": ("real_name_domain", item.real_name_domains),
        "supervision_targets": ("supervision_target", item.supervision_targets),
    }.items():
        if name in catalog.code_sets:
            known = {c.code for c in catalog.code_sets[name].codes}
            for value in values:
                if value not in known:
                    _refuse(item, key, f"'{value}' is not in catalog/codes/{name}.csv", "Use a code of that file.")


def _reporting(item: Item, catalog: Catalog) -> None:
    policies = {name for table in catalog.policy.values() for name in table}
    for n, deadline in enumerate(item.deadlines):
        if deadline.limit not in policies:
            cure = near(deadline.limit, policies)
            _refuse(item, f"deadlines.{n}.limit", f"no policy '{deadline.limit}' in catalog/policy", cure)
    if item.reporting_limit is None:
        return
    if item.event_date is None:
        what = "days are counted from the event, and the item has no event_date"
        _refuse(item, "reporting_limit", what, "Name one, or remove the limit.")
    if item.reporting_limit not in policies:
        cure = near(item.reporting_limit, policies)
        _refuse(item, "reporting_limit", f"no policy '{item.reporting_limit}' in catalog/policy", cure)


def _effects(item: Item, catalog: Catalog) -> None:
    """Effects are codes of one set, so that every output calls them alike, and ask for codes that there are."""
    known = {c.code for c in catalog.code_sets["record_effect"].codes} if "record_effect" in catalog.code_sets else {}
    for n, effect in enumerate(item.effects):
        if effect.name not in known:
            what = f"'{effect.name}' is not in catalog/codes/record_effect.csv"
            _refuse(item, f"effects.{n}.name", what, near(effect.name, known))
        for name, values in effect.when.items():
            field = item.field(name)
            codes = catalog.code_sets[field.code_set].codes if field.code_set in catalog.code_sets else ()
            possible = {c.code for c in codes} if field.type == "code" else {"true", "false"}
            for value in values:
                if value not in possible:
                    what = f"'{name}' is never '{value}'"
                    _refuse(item, f"effects.{n}.when.{name}", what, near(value, possible, "Name one of its values."))


def _rests_on(item: Item, catalog: Catalog) -> None:
    """A listing keeps records that are kept for a time, and lasts from a day on."""
    if item.rests_on is None:
        return
    of = catalog.items.get(item.rests_on.item)
    if of is None:
        _refuse(item, "rests_on.item", f"no item '{item.rests_on.item}'", near(item.rests_on.item, catalog.items))
    if of is item or of.document_field is None or of.event_date is None or of.refers is not None:
        what = f"'{of.code}' is not an item of records with a document number and an event date"
        _refuse(item, "rests_on.item", what, "Name another item.")
    if item.event_date is None:
        _refuse(item, "rests_on", "a listing begins on the day of its event, and there is no event_date", "Name one.")


def _states(item: Item, catalog: Catalog) -> None:
    """Every code of the set has its place among the states, so that a new one cannot be forgotten."""
    for n, states in enumerate(item.states):
        code_set = item.field(states.field).code_set
        codes = [c.code for c in catalog.code_sets[code_set].codes] if code_set in catalog.code_sets else []
        for state, following in states.next.items():
            for code in (state, *following):
                if code not in codes:
                    what = f"'{states.field}' is never '{code}'"
                    _refuse(item, f"states.{n}.next.{state}", what, near(code, codes, "Name one of its values."))
            if state in following or len(set(following)) < len(following):
                what = f"what may follow '{state}' names it, or another one twice"
                _refuse(item, f"states.{n}.next.{state}", what, "Name each other state once; the same is no change.")
        if missing := [c for c in codes if c not in states.next]:
            what = f"nobody knows what may follow '{missing[0]}'"
            _refuse(item, f"states.{n}.next", what, "Name the states that may, or none: [].")


def _registers(item: Item, catalog: Catalog) -> None:
    """Who may link numbers is a matter of policy, not of whoever writes an item."""
    if item.registers is None:
        return
    entries = [e["value"] for table in catalog.policy.values() for e in table.get("registers_of_persons", ())]
    named = {d for value in entries for d in value.get(item.code, ())}
    if others := [p for p in item.providers if p not in named]:
        what = f"policy registers_of_persons lets nobody link numbers by what '{others[0]}' sends"
        _refuse(item, "registers", what, "Remove it; numbers are linked by the register of the police alone.")
    kind = item.registers.certificate_type
    if kind is not None and item.field(kind).code_set != ROLE_SETS["certificate_type"]:
        what = f"'{kind}' holds no certificate types"
        _refuse(item, "registers.certificate_type", what, f"Say code_set = '{ROLE_SETS['certificate_type']}'.")


def _sender_key(item: Item) -> None:
    """Who says that its row keys are unique delivers the item, and says so once for every day."""
    said = item.sender_key.unique if item.sender_key is not None else ()
    for n, one in enumerate(said):
        key = f"sender_key.unique.{n}"
        if one.department not in item.providers:
            what = f"'{one.department}' does not deliver the item"
            _refuse(item, f"{key}.department", what, near(one.department, item.providers))
        if one.valid_to is not None and one.valid_to < one.valid_from:
            _refuse(item, f"{key}.valid_to", "it is before valid_from", "Correct one of the two dates.")
        if any(one.department == other.department and one.meets(other) for other in said[:n]):
            what = f"'{one.department}' says so twice for one day"
            _refuse(item, key, what, "End the older one first.")


def _key_and_dates(item: Item) -> None:
    if item.valid_to is not None and item.valid_to < item.valid_from:
        _refuse(item, "valid_to", "it is before valid_from", "Correct one of the two dates.")
    for name in item.business_key:
        if item.business_key.count(name) > 1:
            _refuse(item, "business_key", f"'{name}' stands twice", "Keep it once.")
        if not item.field(name).required:
            _refuse(item, "business_key", f"'{name}' may be empty", "Make it required or choose another key.")
        if item.field(name).is_free_text:
            _refuse(item, "business_key", f"'{name}' is free text", "Choose a field that is written in one way.")
    if item.event_date is not None:
        event = item.field(item.event_date)
        if event.type != "date":
            _refuse(item, "event_date", f"'{event.name}' is of type '{event.type}'", "Name a date.")
        if not event.required:
            what = f"'{event.name}' may be empty, and then nobody's age could be told"
            _refuse(item, "event_date", what, "Make it required or choose another date.")
    for name in item.acted_on:
        if (act := item.field(name)).type != "date":
            _refuse(item, "acted_on", f"'{name}' is of type '{act.type}'", "Name a date.")
    if item.source_time is not None and item.field(item.source_time).type != "timestamp":
        _refuse(item, "source_time", f"'{item.source_time}' is no timestamp", "Name a field of type 'timestamp'.")


def _periods(item: Item) -> None:
    """Editions follow each other without gap or overlap; what makes a record is there in all of them."""
    for before, after in pairwise(sorted(item.editions, key=lambda e: e.valid_from)):
        due = None if before.valid_to is None else before.valid_to + timedelta(days=1)
        if due is None or due > after.valid_from:
            what = f"two editions are in force on {after.valid_from}"
            _refuse(item, f"editions.{before.code}", what, f"End it the day before {after.code} begins.")
        if due < after.valid_from:
            what = f"no edition is in force on {due}"
            _refuse(item, f"editions.{after.code}", what, f"Let it begin on {due}.")
    codes = [e.code for e in item.editions]
    if twice := next((c for c in codes if codes.count(c) > 1), None):
        _refuse(item, f"editions.{twice}", "two editions share this code", "Rename one of them.")
    if item.editions:
        first, last = min(e.valid_from for e in item.editions), max(e.valid_to or date.max for e in item.editions)
        if first != item.valid_from:
            _refuse(item, "editions", f"the first begins on {first}, not with the item", f"Begin on {item.valid_from}.")
        if last != (item.valid_to or date.max):
            _refuse(item, "editions", "the last does not end with the item", "Give both the same valid_to, or none.")
    needed = {*item.business_key, item.event_date, item.source_time} | {
        item.by_role(role).name for role in ("name", "credit_number", "certificate_type")
    }
    dated: list[tuple[str, Dated]] = [(f"fields.{f.name}", f) for f in item.fields]
    dated += [(f"editions.{e.code}", e) for e in item.editions]
    dated += [(f"fields.{f.name}.rules.{r.kind}", r) for f in item.fields for r in f.rules]
    dated += [(f"rules.{r.kind}", r) for r in item.rules]
    for key, spec in dated:
        if spec.valid_from and spec.valid_to and spec.valid_to < spec.valid_from:
            _refuse(item, f"{key}.valid_to", "it is before valid_from", "Correct one of the two dates.")
    for field in item.fields:
        if field.name in needed and (field.valid_from or field.valid_to):
            what = "every edition needs it: it is part of the key, the dates or the subject"
            _refuse(item, f"fields.{field.name}.valid_from", what, "Remove its dates.")
        others = {n for f in item.fields if f is not field for n in (f.name, *f.formerly)}
        if used := {field.name, *field.formerly} & others:
            _refuse(item, f"fields.{field.name}.formerly", f"'{min(used)}' is another's name", "Name it once.")


def _field(item: Item, field: FieldSpec, catalog: Catalog) -> None:
    key = f"fields.{field.name}"
    if field.code_set is not None and field.code_set not in catalog.code_sets:
        what = f"there is no catalog/codes/{field.code_set}.csv"
        _refuse(item, f"{key}.code_set", what, near(field.code_set, catalog.code_sets, "Add the file."))
    if (expected := ROLE_SETS.get(field.role)) and field.code_set != expected:
        what = f"role = '{field.role}' is read by the code set '{expected}'"
        _refuse(item, f"{key}.code_set", what, f"Say code_set = '{expected}'.")
    if field.role in ("name", "credit_number") and field.type != "text":
        _refuse(item, f"{key}.type", f"a {field.role} of type '{field.type}'", "Say type = 'text'.")
    if field.role == "credit_number" and field.rules:
        what = "a number is held to the rules of its kind, and to no others"
        _refuse(item, f"{key}.rules", what, "Remove them.")
    if field.role == "credit_number" and not field.required:
        _refuse(item, f"{key}.required", "a record without a number has no subject", "Say required = true.")
    if field.type == "text" and (field.length is None or field.length < 1):
        _refuse(item, f"{key}.length", "a text states the greatest number of characters", "Add length.")
    if field.type != "text" and field.length is not None:
        _refuse(item, f"{key}.length", f"a field of type '{field.type}' has no length", "Remove it.")
    if field.type == "decimal" and not 0 <= (field.scale or 0) <= 6:
        _refuse(item, f"{key}.scale", f"{field.scale} digits after the point", "Use 0 to 6.")
    if field.type != "decimal" and field.scale is not None:
        _refuse(item, f"{key}.scale", f"a field of type '{field.type}' has no scale", "Remove it.")
    if field.type in ("integer", "decimal") and field.unit is None:
        _refuse(item, f"{key}.unit", "a quantity without a unit", "Add unit: CNY, 10k CNY, days, points ...")


def _privacy(item: Item, field: FieldSpec, catalog: Catalog) -> None:
    """What may name a person stays in the vault."""
    key = f"fields.{field.name}"
    if field.is_free_text:
        if field.type != "text":
            _refuse(item, f"{key}.is_free_text", f"a field of type '{field.type}'", "Remove is_free_text.")
        if field.sensitivity == "identifying":
            what = "an identifying field stays in the vault, where nothing is redacted"
            _refuse(item, f"{key}.is_free_text", what, "Remove is_free_text, or lower the sensitivity.")
        if field.sensitivity == "public":
            what = "people may be named in free text"
            _refuse(item, f"{key}.sensitivity", what, "Say 'personal' or 'internal'.")
    headers = [field.label_zh, *field.aliases]
    headers += [r.header for r in catalog.headers.get(item.code, ()) if r.field == field.name]
    if field.type in ("text", "date") and field.sensitivity != "identifying":
        for word in _words(catalog, "identifying_words"):
            if any(word in h for h in headers):
                what = f"'{word}' may name a person (policy identifying_words)"
                _refuse(item, f"{key}.sensitivity", what, "Say sensitivity = 'identifying'.")


def _words(catalog: Catalog, name: str) -> list[str]:
    return [w for table in catalog.policy.values() for entry in table.get(name, ()) for w in entry["value"]]


def _headers(item: Item, catalog: Catalog) -> None:
    """Every header stands for one field, and is declared once; a department's own header may overrule."""
    known: dict[str, str] = {}
    for field in item.fields:
        for text in dict.fromkeys((field.name, field.label_zh)):
            if known.setdefault(comparable(text), field.name) != field.name:
                what = f"'{text}' stands for {known[comparable(text)]} already"
                _refuse(item, f"fields.{field.name}.label_zh", what, "Choose another label.")
    for field in item.fields:
        for text in field.aliases:
            if (owner := known.setdefault(comparable(text), "")) == field.name:
                _refuse(item, f"fields.{field.name}.aliases", f"'{text}' stands twice", "Keep it once.")
            elif owner:
                what = f"'{text}' stands for {owner} already"
                _refuse(item, f"fields.{field.name}.aliases", what, "Remove it from one of the two.")
            known[comparable(text)] = field.name
    file, seen = f"catalog/headers/{item.code}.csv", set()
    for row in catalog.headers.get(item.code, ()):
        where = f"{file} [{row.department},{row.header}]"
        if row.field not in {f.name for f in catalog.items[item.code].fields}:
            cure = near(row.field, (f.name for f in item.fields), "Name a field of the item.")
            raise CatalogError(f"{where}: '{row.field}' is no field of the item. {cure}")
        if row.department != "*" and row.department not in item.providers:
            raise CatalogError(f"{where}: '{row.department}' does not deliver the item. Write * for everybody.")
        if row.edition not in ("*", *(e.code for e in item.editions)):
            cure = near(row.edition, (e.code for e in item.editions))
            raise CatalogError(f"{where}: '{row.edition}' is no edition of the item. {cure}")
        if (row.department, row.edition, comparable(row.header)) in seen:
            raise CatalogError(f"{where}: the header stands twice. Keep one row.")
        seen.add((row.department, row.edition, comparable(row.header)))
        if (row.department, row.edition) == ("*", "*") and comparable(row.header) in known:
            what = f"the item itself says that it is {known[comparable(row.header)]}"
            raise CatalogError(f"{where}: {what}. Remove the row, or the alias.")


def _rule(item: Item, key: str, rule: Rule, kinds: dict[str, Any]) -> None:
    if rule.kind not in kinds:
        cure = near(rule.kind, kinds, f"Known: {', '.join(sorted(kinds))}.")
        _refuse(item, key, f"no rule kind '{rule.kind}'", cure)
    kind, key = kinds[rule.kind], f"{key}.{rule.kind}"
    if unknown := sorted(set(rule.options) - set(kind.OPTIONS)):
        _refuse(item, key, f"unknown option '{unknown[0]}'", near(unknown[0], kind.OPTIONS, "Remove it."))
    if missing := sorted(set(kind.REQUIRED) - set(rule.options)):
        _refuse(item, key, f"option '{missing[0]}' is missing", "Add it.")
    told = kind.fault(rule.options) if hasattr(kind, "fault") else None
    if told is not None:
        raise CatalogError(f"catalog/items/{item.code}.toml [{key}]: {told}")


def _of_type(item: Item, key: str, field: FieldSpec, allowed: tuple[str, ...]) -> None:
    if field.type not in allowed:
        what = f"{field.name} is of type '{field.type}', the rule is for {' or '.join(allowed)}"
        _refuse(item, key, what, "Remove the rule or correct the type.")


def _mentions(item: Item, rule: Rule, catalog: Catalog) -> None:
    names = [f.name for f in item.fields]
    for option in MENTIONS:
        if (name := rule.options.get(option)) is None:
            continue
        key = f"rules.{rule.kind}.{option}"
        if name not in names:
            cure = near(str(name), names, "Name a field of the item.")
            _refuse(item, key, f"'{name}' is no field of the item", cure)
        if allowed := getattr(ITEM_KINDS[rule.kind], "TYPES", {}).get(option):
            _of_type(item, key, item.field(name), allowed)
    when = rule.options.get("when")
    for option in ("equals", "contains"):
        if when and option in rule.options and (code_set := item.field(when).code_set):
            wanted = rule.options[option]
            if wanted not in {c.code for c in catalog.code_sets[code_set].codes}:
                what = f"'{wanted}' is no code of {code_set}, so the rule never applies"
                _refuse(item, f"rules.{rule.kind}.{option}", what, f"Use a code of catalog/codes/{code_set}.csv.")


def _finding_codes(item: Item, catalog: Catalog) -> None:
    """Whatever the compiled item may say has a sentence in catalog/findings.csv."""
    for code, field in row_rules.finding_codes(item, catalog).items():
        if code not in catalog.findings:
            raise CatalogError(
                f"catalog/findings.csv [{code}]: the code is missing, but {item.code}.{field} uses it."
                " Add a row, or use a code that stands there."
            )
