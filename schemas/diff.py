"""What changed between two catalogues, by item and field, and what each change means for deliveries and stores.

* breaking: what lies in the stores would be wrong or unreadable under the new catalogue;
* tightening: some deliveries or readers that were right before are so no longer;
* widening: everything that was right before still is;
* editorial: nothing but words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

from schemas.kinds import between
from schemas.model import Catalog, CodeSet, FieldSpec, Item, Model, Publicity, Rule, Sharing
from schemas.overlay import SEVERITIES, adjusted

Kind = Literal["breaking", "tightening", "widening", "editorial"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SENSITIVITIES = ("public", "internal", "personal", "identifying")  # the most open first


class Change(NamedTuple):
    """One change. `where` is an item, `item@county`, or a part of the catalogue; `key` is what changed there; `cure`
    says what to do instead where the change is breaking."""

    kind: Kind
    where: str
    key: str
    text: str
    cure: str = ""


def diff(old: Catalog, new: Catalog) -> list[Change]:
    """All changes from `old` to `new`, the gravest first, then by place."""
    found: list[Change] = []
    for code in {**old.items, **new.items}:
        if code not in new.items:
            cure = "Give the item a valid_to: its records stay, and nothing more is taken."
            found.append(Change("breaking", code, "item", "removed", cure))
        elif code not in old.items:
            found.append(Change("widening", code, "item", f"added: {new.items[code].name_zh}"))
        else:
            base = list(_item(old.items[code], new.items[code], new))
            found += base
            found += _counties(code, old, new, set(base))
    found += _departments(old, new)
    for name in {**old.code_sets, **new.code_sets}:
        found += _code_set(name, old.code_sets.get(name), new.code_sets.get(name))
    found += _headers(old, new)
    found += _layouts(old, new)
    found += _policy(old, new)
    found += _rows("findings", old.findings, new.findings, ("editorial",) * 3)
    found += _law(old, new)
    before, after = ({f"{r.first} {r.kind}": r for r in c.calendar} for c in (old, new))
    found += _rows("calendar", before, after, ("editorial",) * 3)  # it moves due days; no row is taken or left for it
    return sorted(set(found), key=lambda c: (KINDS.index(c.kind), c.where, c.key, c.text))


def gravest(changes: Iterable[Change]) -> Kind:
    return min((c.kind for c in changes), key=KINDS.index, default="editorial")


def changelog(changes: Iterable[Change]) -> str:
    """The changes as Markdown, by kind and place."""
    lines: list[str] = ["# 目录变更 · Catalogue changes"]
    words = {"breaking": "不兼容", "tightening": "收紧", "widening": "放宽", "editorial": "文字"}
    last: tuple[str, str] = ("", "")
    for c in changes:
        if c.kind != last[0]:
            lines += ["", f"## {words[c.kind]} {c.kind}"]
        if (c.kind, c.where) != last:
            lines += ["", f"### {c.where}", ""]
        last = (c.kind, c.where)
        lines.append(f"- `{c.key}`: {c.text}" + (f" **{c.cure}**" if c.cure else ""))
    return "\n".join(lines if len(lines) > 1 else [*lines, "", "没有变更。No changes."]) + "\n"


def _said(old: Any, new: Any) -> str:
    return f"{_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    if isinstance(value, tuple | list):
        value = ", ".join(_short(v) for v in value)
    elif isinstance(value, Rule):
        value = " ".join([value.kind, value.severity, *(f"{k}={v}" for k, v in value.options.items())])
    elif isinstance(value, Model):
        value = value.model_dump_json(exclude_defaults=True)
    text = "nothing" if value is None or value == "" else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


# -- items --


def _item(old: Item, new: Item, catalog: Catalog) -> Iterator[Change]:
    names = {f.name: was.name for f in new.fields for was in old.fields if was.name in (f.name, *f.formerly)}
    for key in Item.model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if before != after and key not in ("fields", "rules"):
            yield from _attribute(old.code, key, before, after, names)
    yield from _rules(old.code, "rules", [_renamed(r, names) for r in old.rules], new.rules)
    for field in new.fields:
        was = next((f for f in old.fields if f.name == names.get(field.name)), None)
        if was is None:
            kind: Kind = "tightening" if field.required else "widening"
            yield Change(kind, old.code, f"fields.{field.name}", f"added: {field.label_zh}, {field.type}")
        else:
            yield from _field(old.code, was, field, catalog)
    for f in old.fields:
        if f.name not in names.values():
            cure = "Give the field a valid_to: its column stays, and nothing more is taken."
            yield Change("breaking", old.code, f"fields.{f.name}", "removed", cure)


def _renamed(rule: Rule, names: Mapping[str, str]) -> Rule:
    now = {was: name for name, was in names.items()}
    options = {k: now.get(v, v) if k in ("field", "other", "when") else v for k, v in rule.options.items()}
    return rule.model_copy(update={"options": options})


def _attribute(code: str, key: str, old: Any, new: Any, names: Mapping[str, str]) -> Iterator[Change]:
    said = _said(old, new)
    if key == "business_key":
        if tuple(names.get(n, n) for n in new) != old:
            yield Change("breaking", code, key, said, "Records would have other keys: make it a new item.")
    elif key in ("source_time", "event_date"):
        if names.get(new or "", new) != old:
            cure = "It decides which statement shows, or how old a record is: make it a new item."
            yield Change("breaking", code, key, said, cure)
    elif key == "providers":
        if [p for p in old if p in new] != [p for p in new if p in old]:
            cure = "The order is the precedence between statements: keep it, and add new providers behind."
            yield Change("breaking", code, key, f"order: {said}", cure)
        for p in new:
            if p not in old:
                yield Change("widening", code, key, f"{p} delivers it too")
        for p in old:
            if p not in new:
                yield Change("tightening", code, key, f"{p} delivers it no more")
    elif key in ("publicity", "sharing"):
        order = get_args(Publicity if key == "publicity" else Sharing)
        yield Change("widening" if order.index(new) < order.index(old) else "tightening", code, key, said)
    elif key == "retention_years":
        yield Change("widening" if new > old else "tightening", code, key, said)
    elif key == "subject_types":
        yield Change("widening" if set(old) <= set(new) else "tightening", code, key, said)
    elif key in ("valid_from", "valid_to"):
        yield _period(code, key, key, old, new)
    elif key == "editions":
        yield Change("widening" if set(old) <= set(new) else "tightening", code, key, said)
    elif key == "history_in_warehouse":
        yield Change("widening" if new else "tightening", code, key, said)
    elif key == "one_subject":
        yield Change("tightening" if new else "widening", code, key, said)
    elif key == "sender_key":  # records end that went on, or go on that ended
        who = (side and f"{side.field} of {', '.join(u.department for u in side.unique)}" for side in (old, new))
        yield Change("tightening" if new else "widening", code, key, _said(*who))
    elif key == "effects":  # some records are shared or marked that were not, or are no more
        yield Change("tightening", code, key, _said(*([f"{e.does} {e.name}" for e in side] for side in (old, new))))
    elif key == "acted_on" or key == "document":  # whose rows are refused as those of minors
        yield Change("tightening", code, key, said)
    elif key in ("refers", "rests_on"):  # events reach other records; records are kept for longer, or no more
        yield Change("tightening", code, key, _said(*(side and f"{side.item}, {side.document}" for side in (old, new))))
    elif key == "registers":  # numbers become one person's that were not, or are no more
        yield Change("tightening", code, key, _said(*(side and side.number for side in (old, new))))
    else:
        yield Change("editorial", code, key, said)


def _period(where: str, key: str, which: str, old: Any, new: Any) -> Change:
    """An end that moves out, or goes, widens; one that moves in, or comes, tightens."""
    if which == "valid_from":
        wider = new is None or (old is not None and new < old)
    else:
        wider = new is None or (old is not None and new > old)
    return Change("widening" if wider else "tightening", where, key, _said(old, new))


REBUILD = "What lies in the stores was made the other way: retire this field and add another."


def _field(code: str, old: FieldSpec, new: FieldSpec, catalog: Catalog) -> Iterator[Change]:
    where = f"fields.{new.name}"
    if old.name != new.name:
        yield Change("widening", code, where, f"renamed from {old.name}; readers of the column follow")
    for key in FieldSpec.model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if before == after or key in ("name", "formerly", "rules", "counties"):
            continue
        place, said = f"{where}.{key}", _said(before, after)
        if key in ("valid_from", "valid_to"):
            yield _period(code, place, key, before, after)
        elif key == "type" and {before, after} == {"text", "code"}:
            yield Change("widening" if after == "text" else "tightening", code, place, said)
        elif key == "code_set":
            if before is None or after is None:
                continue  # told as a change of type
            known = catalog.code_sets.get(before, CodeSet(name=before, codes=()))
            wider = {c.code for c in known.codes} <= {c.code for c in catalog.code_sets[after].codes}
            yield Change("widening", code, place, said) if wider else Change("breaking", code, place, said, REBUILD)
        elif key in ("type", "unit", "scale", "role", "replaces", "is_free_text"):
            yield Change("breaking", code, place, said, REBUILD)
        elif key == "sensitivity":
            if "identifying" in (before, after):
                yield Change("breaking", code, place, said, REBUILD)
            else:
                wider = SENSITIVITIES.index(after) < SENSITIVITIES.index(before)
                yield Change("widening" if wider else "tightening", code, place, said)
        elif key == "length":
            yield Change("widening" if (after or 0) > (before or 0) else "tightening", code, place, said)
        elif key == "required":
            yield Change("tightening" if after else "widening", code, place, said)
        elif key == "is_open_ended":
            yield Change("widening" if after else "tightening", code, place, said)
        elif key == "aliases":
            yield from _set_of(code, place, before, after)
        else:
            yield Change("editorial", code, place, said)
    yield from _rules(code, f"{where}.rules", old.rules, new.rules)


def _set_of(where: str, key: str, old: Iterable[Any], new: Iterable[Any]) -> Iterator[Change]:
    old, new = tuple(old), tuple(new)
    if more := [n for n in new if n not in old]:
        yield Change("widening", where, key, f"more: {_short(more)}")
    if less := [n for n in old if n not in new]:
        yield Change("tightening", where, key, f"no more: {_short(less)}")


def _rules(code: str, key: str, old: Iterable[Rule], new: Iterable[Rule]) -> Iterator[Change]:
    """A rule is known again by its kind and options; one whose options alone differ is the same rule changed."""
    gone, come = [r for r in old if r not in new], [r for r in new if r not in old]
    for rule in come:
        was = next((r for r in gone if (r.kind, r.options) == (rule.kind, rule.options)), None)
        was = was or next((r for r in gone if r.kind == rule.kind and _named(r) == _named(rule)), None)
        if was is None:
            yield Change("tightening", code, f"{key}.{rule.kind}", f"added: {_short(rule)}")
            continue
        gone.remove(was)
        if was.options == rule.options and was.severity != rule.severity:
            milder = SEVERITIES.index(rule.severity) < SEVERITIES.index(was.severity)
            kind: Kind = "widening" if milder else "tightening"
        else:
            kind = "widening" if _wider(was, rule) else "tightening"
        yield Change(kind, code, f"{key}.{rule.kind}", _said(was, rule))
    for rule in gone:
        yield Change("widening", code, f"{key}.{rule.kind}", f"removed: {_short(rule)}")


def _named(rule: Rule) -> tuple[Any, ...]:
    return tuple(rule.options.get(k) for k in ("field", "other", "when"))


def _wider(old: Rule, new: Rule) -> bool:
    """Whether a range took in more; of any other rule nobody can tell, so it counts as tightened."""
    if old.kind != "between" or SEVERITIES.index(new.severity) > SEVERITIES.index(old.severity):
        return False
    return between.covers(new.options, old.options)


def _counties(code: str, old: Catalog, new: Catalog, told: set[Change]) -> Iterator[Change]:
    """What changes for a county beyond what changes for all."""
    for county in sorted({o.county for c in (old, new) for o in c.overlays.values()}):
        before, after = (adjusted(c, code, county) for c in (old, new))
        for change in _item(before, after, new):
            if change not in told:
                yield change._replace(where=f"{code}@{county}")


# -- what items refer to --


def _departments(old: Catalog, new: Catalog) -> Iterator[Change]:
    for code in {**old.departments, **new.departments}:
        where = f"departments.{code}"
        if code not in new.departments:
            cure = "Give the department a valid_to: its statements go on naming it."
            yield Change("breaking", where, "department", "removed", cure)
        elif code not in old.departments:
            yield Change("widening", where, "department", f"added: {new.departments[code].name_zh}")
        else:
            before, after = old.departments[code], new.departments[code]
            for key in type(after).model_fields:
                a, b = getattr(before, key), getattr(after, key)
                if a != b:
                    dated = key in ("valid_from", "valid_to")
                    yield _period(where, key, key, a, b) if dated else Change("editorial", where, key, _said(a, b))


def _code_set(name: str, old: CodeSet | None, new: CodeSet | None) -> Iterator[Change]:
    where = f"codes.{name}"
    if old is None or new is None:
        kind: Kind = "widening" if old is None else "tightening"
        yield Change(kind, where, "code set", "added" if old is None else "removed")
        return
    before, after = ({(c.code, c.valid_from): c for c in s.codes} for s in (old, new))
    for key in {**before, **after}:
        a, b = before.get(key), after.get(key)
        if a is None:
            yield Change("widening", where, key[0], f"added: {b.label if b else ''}")
        elif b is None:
            cure = "Give the code a valid_to: records that hold it stay readable."
            yield Change("breaking", where, key[0], f"removed: {a.label}", cure)
        elif a != b:
            if a.valid_to != b.valid_to:
                yield _period(where, key[0], "valid_to", a.valid_to, b.valid_to)
            if a.label != b.label:
                yield Change("editorial", where, key[0], _said(a.label, b.label))
            if a.source != b.source:
                yield Change("editorial", where, key[0], _said(a.source, b.source))
    was, now = (
        s.variants | {f"{v.value} ({v.department} {v.valid_from or ''})": v.code for v in s.own} for s in (old, new)
    )
    for value in {**was, **now}:
        is_old, is_new = was.get(value), now.get(value)
        if is_old != is_new:
            kind = "widening" if is_old is None else "tightening"
            yield Change(kind, where, f"variants.{value}", _said(is_old, is_new))


def _headers(old: Catalog, new: Catalog) -> Iterator[Change]:
    for code in {**old.headers, **new.headers}:
        rows = ({(r.department, r.edition, r.header): r.field for r in c.headers.get(code, ())} for c in (old, new))
        before, after = rows
        for key in {**before, **after}:
            if before.get(key) != after.get(key):
                kind: Kind = "widening" if key not in before else "tightening"
                yield Change(kind, f"headers.{code}", ",".join(key), _said(before.get(key), after.get(key)))


def _layouts(old: Catalog, new: Catalog) -> Iterator[Change]:
    for code in {**old.layouts, **new.layouts}:
        before, after = (
            {f"{r.department},{r.edition},{r.field}": r for r in c.layouts.get(code, ())} for c in (old, new)
        )
        yield from _rows(f"layouts.{code}", before, after, ("widening", "tightening", "tightening"))


def _policy(old: Catalog, new: Catalog) -> Iterator[Change]:
    """Limits cut both ways, so a changed one counts as tightened; one that is only added widens nothing."""
    was, now = (c.model_dump(mode="json", include={"policy"})["policy"] for c in (old, new))
    for table in {**was, **now}:
        before, after = was.get(table, {}), now.get(table, {})
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                values = ([e["value"] for e in c.get(name, ())] for c in (before, after))
                yield Change("tightening", f"policy.{table}", name, _said(*values))


def _rows(
    where: str, old: Mapping[str, Any], new: Mapping[str, Any], kinds: tuple[Kind, Kind, Kind]
) -> Iterator[Change]:
    """Kinds of what is added, removed, changed."""
    for key in {**old, **new}:
        if key not in old:
            yield Change(kinds[0], where, key, "added")
        elif key not in new:
            yield Change(kinds[1], where, key, "removed")
        elif old[key] != new[key]:
            yield Change(kinds[2], where, key, "changed")


def _law(old: Catalog, new: Catalog) -> Iterator[Change]:
    before, after = ({f"{w.code} from {w.valid_from}": w for w in c.withheld} for c in (old, new))
    yield from _rows("law.withheld", before, after, ("tightening", "widening", "tightening"))
    before_, after_ = ({",".join((a.department, a.item, a.field, a.code)): a for a in c.allowed} for c in (old, new))
    yield from _rows("law.allowed", before_, after_, ("widening", "tightening", "editorial"))
    was, now = ({f"{s.code},{s.item},{s.field} from {s.valid_from}": s for s in c.sealed} for c in (old, new))
    yield from _rows("law.sealed", was, now, ("tightening", "widening", "tightening"))
