"""What events and time make of a record: its marks, how long it is public and kept, and whether it has ended.

Pure functions of the record as its statements show it, of the events about it, of dated policy and of the as-of date,
so nothing here depends on the order of arrival, and a record needs a new look only when one of its statements, an
event about it or the policy changes, or on the day that its `changes_on` tells.

* `marks` names of effects in force that leave the record where it is (NULL for none), `,` between them;
* `public_from`, `public_until` first and last day of publicity (last NULL: until the record says otherwise; both NULL:
  never public); months end on the day of the same number, or the last of the month (Civil Code, article 202);
* `kept_until` last day of retention (NULL: no end yet);
* `ended_on`, `ended_by`, `ended_event` since when it is shared no more, by which effect, and the key of the event; NULL
  while it is shared;
* `changes_on` the next day on which time alone changes one of these (NULL: never).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlglot import exp

from schemas import overlay
from schemas.fold import ENDS
from schemas.model import Catalog, Effect, Item
from schemas.record import key_text
from schemas.sql import literal, tree

# Columns of every statement and record: schemas.arrow has their types.
STATED = ("record_key", "subject_id", "content_hash", "department", "delivery_id", "line", "sheet", "period",
          "sequence", "source_time")  # fmt: skip
COLUMNS = ("marks", "public_from", "public_until", "kept_until", "ended_on", "ended_by", "ended_event", "changes_on")
CLASSES = ("minor", "ordinary", "serious")  # the gravest last
EXPIRED, KEEPS = "expired", "keeps"
NO_END = "DATE '9999-12-31'"
EVENTS = "item, subject_id, document, department, name, does, since, until, until_restated, event, event_item"


@dataclass(frozen=True)
class Clocks:
    """Dated policy as it holds on the as-of date; `publicity_windows` are all entries of it, (first day, class ->
    [least, most] months), since the day of the record chooses. `years` is department -> years of retention, '' for all
    others; `hidden` are departments whose county does without publicity; `marks` all names of marks of events;
    `is_kept_by` says that listings rest on its records (`Item.rests_on`)."""

    publicity_windows: tuple[tuple[date, dict[str, list[int]]], ...]
    breach_class_of_code: dict[str, dict[str, str]]
    breach_class: str
    lasts_while: dict[str, list[str]]
    years: dict[str, int]
    hidden: tuple[str, ...]
    marks: tuple[str, ...]
    is_kept_by: bool


def own_columns() -> tuple[str, ...]:
    """The columns that stored statements and records have beside the fields of their item, and those that the fold and
    the clocks add on the way: no field may be called so."""
    on_the_way = ("decision_key", "received_on", "lasts", "first_end", "is_new", "is_other", "place", "copy_of")
    return (*STATED, "action", "replaces", "linked_subject_id", *COLUMNS, *on_the_way)


def clocks(item: Item, catalog: Catalog, limit: Callable[[str], Any], on: date) -> Clocks:
    """The clocks of an item as they are on a day. `limit` gives the value of a policy in force then by its name."""
    entries = [e for table in catalog.policy.values() for e in table.get("publicity_windows", ())]
    own = {county: overlay.adjusted(catalog, item.code, county, on) for county in catalog.overlays}
    shorter = {c: i.retention_years for c, i in own.items() if i.retention_years < item.retention_years}
    return Clocks(
        tuple(sorted((e["valid_from"], e["value"]) for e in entries)),
        limit("breach_class_of_code"),
        limit("breach_class_of_item").get(item.code, limit("breach_class_otherwise")),
        limit("lasts_while"),
        {"": item.retention_years, **shorter} if item.nature in limit("retention_natures") else {},
        tuple(sorted(c for c, i in own.items() if i.publicity != item.publicity)),
        tuple(sorted({e.name for i in catalog.items.values() if i.refers for e in i.effects if e.does == "marks"})),
        any(i.rests_on is not None and i.rests_on.item == item.code for i in catalog.items.values()),
    )


def fingerprint(item: Item, of: Clocks) -> str:
    """Names what `life` does: another one, and every record of the item needs a new look."""
    return hashlib.sha256(_text(item, of, "", date.min, True).encode()).hexdigest()[:16]


def events(item: Item, source: str) -> exp.Expr:
    """What the records of an item of events (`source`) do to others: rows of EVENTS, `item` that of the record they are
    about, `document` its number in the form that keys compare, `department` whose records alone are meant, or NULL."""
    about, parts = _about(item), []
    for e in item.effects:
        until = e.until or "CAST(NULL AS DATE)"
        parts.append(
            f"SELECT {about}, {literal(e.name)} AS name, {literal(e.does)} AS does, {_since(e)} AS since,"
            f" {until} AS until, {'TRUE' if e.until_restated else 'FALSE'} AS until_restated, record_key AS event,"
            f" {literal(item.code)} AS event_item FROM {source} WHERE {_met(item, e)} AND {_since(e)} IS NOT NULL"
        )
    return tree(" UNION ALL ".join(parts))


def keeping(item: Item, stored: str) -> exp.Expr:
    """What the listings of an item (`stored`, shared or ended) do to the records that they rest on, as rows of EVENTS
    that have `keeps` in `does`: these are kept until the day `until`, or while the listing goes on."""
    of = item.rests_on
    assert of is not None
    document = key_text(item.field(of.document))
    return tree(f"""SELECT {literal(of.item)} AS item, subject_id, {document} AS document,
        CAST(NULL AS VARCHAR) AS department, {literal(item.code)} AS name, {literal(KEEPS)} AS does,
        {item.event_date} AS since, ended_on AS until, FALSE AS until_restated, record_key AS event,
        {literal(item.code)} AS event_item
        FROM {stored} WHERE {of.document} IS NOT NULL AND {item.event_date} IS NOT NULL""")


def kept_otherwise(item: Item, of: Clocks) -> str:
    """SQL of which stored records are kept otherwise than by themselves, so by a listing; '' where none can be."""
    if not _is_kept_by(item, of):
        return ""
    return f"kept_until IS DISTINCT FROM CAST({_own_kept(item, of, _lasting(item, of))} AS DATE)"


def named(item: Item, source: str) -> exp.Expr:
    """Which records the rows of `source`, records of an item of events, are about, whatever they do to them: event,
    delivery_id, line, sheet, item, subject_id, document, department, as EVENTS have them."""
    return tree(f"SELECT record_key AS event, delivery_id, line, sheet, {_about(item)} FROM {source}")


def _about(item: Item) -> str:
    refers = item.refers
    assert refers is not None
    whose = "department" if refers.is_own else "CAST(NULL AS VARCHAR) AS department"
    return f"{refers.item} AS item, subject_id, {key_text(item.field(refers.document))} AS document, {whose}"


def life(item: Item, of: Clocks, source: str, as_of: date, has_events: bool) -> exp.Expr:
    """The rows of `source` (columns of a statement; one of each record) with COLUMNS. Where `has_events`, reads
    `events`: the rows of EVENTS that are about records of the item."""
    return tree(_text(item, of, source, as_of, has_events))


def _kept(until: str) -> str:
    return f"CASE WHEN {until} >= received_on THEN {until} WHEN {until} < received_on THEN received_on END"


# SQL of a stored record `with_receipt`: the day from which the time to its deletion counts, NULL where it is not
# deleted. It is not before the day on which it came, so that a wrong date can be found out and put right.
KEPT = _kept("kept_until")


def with_receipt(statements: str) -> str:
    """SQL of statements and the day on which the delivery of each was received, `received_on`. Reads `received`
    (delivery_id, received_on)."""
    return f"""(SELECT s.*, COALESCE(r.received_on, s.period) AS received_on FROM {statements} s
        LEFT JOIN received r ON r.delivery_id = s.delivery_id)"""


def kept_unshown(item: Item, of: Clocks) -> str:
    """SQL over all statements `with_receipt` of a record that none of them shows, as an aggregate: the day as KEPT has
    it, NULL where there is no end. What they say of lasting is not asked, since nobody shows it; a withdrawal, or
    a refusal, counts only where nothing else was said."""
    if not of.years or item.event_date is None:
        return "CAST(NULL AS DATE)"
    day = f"COALESCE({item.event_date}, period)"
    years = " ".join(f"WHEN department = {literal(d)} THEN {_years(day, n)}" for d, n in of.years.items() if d)
    otherwise = _years(day, of.years[""])
    last = _kept(f"CAST({f'CASE {years} ELSE {otherwise} END' if years else otherwise} AS DATE)")
    return f"COALESCE(MAX(CASE WHEN action NOT IN {ENDS} THEN {last} END), MAX({last}))"


def own_end(item: Item) -> str:
    """SQL of since when a statement says that its record is over, and why, as an end; NULL where it does not say so."""
    ends = [_own_end(e, item) for e in _own(item, "ends")]
    return f"LEAST({', '.join(ends)})" if len(ends) > 1 else ends[0] if ends else "CAST(NULL AS VARCHAR)"


def told_end(item: Item, of: Clocks, source: str, as_of: date) -> str:
    """SQL of told_key, told_end: the end that events tell of the records of `source` (one statement of each record).
    Reads `events`, as `life` does. Its item has a document number."""
    return f"SELECT told_key, told_end FROM ({_told(item, of, source, _day(as_of))})"


def end(day: str, name: str) -> str:
    """SQL of an end: a day, why, and by which event (none), as one text that may be compared. NULL where `day` is."""
    return f"CASE WHEN {day} IS NOT NULL THEN {_end(day, literal(name), '')} END"


def end_parts(of: str) -> tuple[str, str, str]:
    """SQL of the day of an end, why, and the key of the event."""
    day, name, event = (f"SPLIT_PART({of}, ':', {n})" for n in (1, 2, 3))
    return f"CAST({day} AS DATE)", name, f"UNHEX(NULLIF({event}, ''))"


def none(source: str) -> exp.Expr:
    """The rows of `source`, with COLUMNS that say nothing: those of statements that no record shows."""
    kinds = ("VARCHAR", "DATE", "DATE", "DATE", "DATE", "VARCHAR", "BLOB", "DATE")
    columns = ", ".join(f"CAST(NULL AS {k}) AS {c}" for c, k in zip(COLUMNS, kinds, strict=True))
    return tree(f"SELECT *, {columns} FROM {source}")


def _text(item: Item, of: Clocks, source: str, as_of: date, has_events: bool) -> str:
    today = _day(as_of)
    of_events = has_events and item.document_field is not None and item.refers is None
    told = f"WITH told AS ({_told(item, of, source, today)}) " if of_events else ""
    joined = "LEFT JOIN told t ON t.told_key = s.record_key" if of_events else ""
    # Stage by stage, each reading the columns of the one before.
    clocked = f"SELECT s.*, {_clocked(item, of)} FROM (SELECT *, {_lasting(item, of)} AS lasts FROM {source}) s"
    if of_events and _is_kept_by(item, of):
        # A listing without end keeps without end; what by itself is kept without end is so whatever a listing says.
        kept = f"""CASE WHEN c.kept_until IS NULL OR t.told_kept = {NO_END} THEN NULL
            ELSE GREATEST(c.kept_until, COALESCE(t.told_kept, c.kept_until)) END"""
        clocked = f"""SELECT c.* EXCLUDE (kept_until), {kept} AS kept_until FROM ({clocked}) c
            LEFT JOIN told t ON t.told_key = c.record_key"""
    ends = [_own_end(e, item) for e in _own(item, "ends")]
    ends += [f"CASE WHEN kept_until < {today} THEN {_end('kept_until + INTERVAL 1 DAY', literal(EXPIRED), '')} END"]
    if of_events:
        ends.append("t.told_end")
    first_end = f"LEAST({', '.join(ends)})" if len(ends) > 1 else ends[0]
    said: dict[str, list[str]] = {name: [f"told_{name} = 1"] for name in of.marks} if of_events else {}
    for e in _own(item, "marks"):
        said.setdefault(e.name, []).append(_met(item, e))
    marks = [f"CASE WHEN {' OR '.join(why)} THEN {literal(name)} END" for name, why in sorted(said.items())]
    marked = f"NULLIF(CONCAT_WS(',', {', '.join(marks)}), '')" if marks else "CAST(NULL AS VARCHAR)"
    changes = [f"CASE WHEN kept_until >= {today} THEN CAST(kept_until + INTERVAL 1 DAY AS DATE) END"]
    if of_events:
        changes.append("t.told_changes")
    changes_on = f"LEAST({', '.join(changes)})" if len(changes) > 1 else changes[0]
    ended = f"""SELECT s.*, {marked} AS marks, {first_end} AS first_end, {changes_on} AS changes_on
        FROM ({clocked}) s {joined}"""
    on, by, event = end_parts("first_end")
    return f"""{told}SELECT * EXCLUDE (first_end, lasts), {on} AS ended_on, {by} AS ended_by, {event} AS ended_event
        FROM ({ended}) s"""


def _day(as_of: date) -> str:
    return f"DATE '{as_of.isoformat()}'"


def _told(item: Item, of: Clocks, source: str, today: str) -> str:
    """Per record (told_key) what the events about it say: told_<mark> (1 or NULL), told_end, told_changes; and
    told_kept, the day until which a listing keeps it, where one may."""
    document = item.document_field
    assert document is not None
    made = "COALESCE(CAST(s.source_time AS DATE), CAST(s.period + INTERVAL 1 DAY AS DATE))"
    holds = f"since <= {today} AND (until IS NULL OR until > {today}) AND NOT is_over"
    marks = "".join(
        f"MAX(CASE WHEN does = 'marks' AND name = {literal(n)} AND {holds} THEN 1 END) AS told_{n}, " for n in of.marks
    )
    own, is_kept = "", _is_kept_by(item, of)
    if is_kept:  # by a listing that began before the record's own retention was over
        keeps = f"does = {literal(KEEPS)} AND since <= own_kept THEN COALESCE(until, {NO_END})"
        marks += f"MAX(CASE WHEN {keeps} END) AS told_kept, "
        own = f", {_own_kept(item, of, _lasting(item, of))} AS own_kept"
    return f"""SELECT record_key AS told_key, {marks}
            MIN(CASE WHEN does = 'ends' AND {holds} THEN {_end('since', 'name', 'HEX(event)')} END) AS told_end,
            MIN(CASE WHEN since > {today} THEN since WHEN until > {today} THEN until END) AS told_changes
        FROM (SELECT s.record_key{", own_kept" if is_kept else ""}, e.*,
                e.until_restated AND {made} > e.since AS is_over
            FROM (SELECT record_key, subject_id, department, source_time, period,
                    {key_text(document)} AS own_document{own}
                FROM {source} SEMI JOIN (SELECT subject_id FROM events) w USING (subject_id)) s
            JOIN events e ON e.subject_id = s.subject_id AND e.document = s.own_document
                AND (e.department IS NULL OR e.department = s.department)) m
        GROUP BY record_key"""


def _own(item: Item, does: str) -> list[Effect]:
    """What a record says of itself."""
    return [e for e in item.effects if e.does == does] if item.refers is None else []


def _own_end(effect: Effect, item: Item) -> str:
    said = f"COALESCE({', '.join((*effect.since, 'CAST(source_time AS DATE)', 'period'))})"
    met = _met(item, effect) if effect.when else " OR ".join(f"{name} IS NOT NULL" for name in effect.since)
    return f"CASE WHEN {met} THEN {_end(said, literal(effect.name), '')} END"


def _end(day: str, name: str, event: str) -> str:
    """An end as a text: the earliest is the least one, and of one day the same wins whatever came first."""
    return f"CONCAT(CAST(CAST({day} AS DATE) AS VARCHAR), ':', {name}, ':', {event or literal('')})"


def _since(effect: Effect) -> str:
    return f"COALESCE({', '.join(effect.since)})" if len(effect.since) > 1 else effect.since[0]


def _met(item: Item, effect: Effect) -> str:
    asked = []
    for name, values in effect.when.items():
        column = name if item.field(name).type == "code" else f"CAST({name} AS VARCHAR)"
        asked.append(f"{column} IN ({', '.join(map(literal, values))})")
    return " AND ".join(asked) or "TRUE"


def _lasting(item: Item, of: Clocks) -> str:
    """Whether the record says that it goes on."""
    said = [
        f"{f.name} IN ({', '.join(map(literal, of.lasts_while[f.code_set]))})"
        for f in item.curated_fields
        if f.code_set in of.lasts_while
    ]
    return f"COALESCE({' OR '.join(said)}, FALSE)" if said else "FALSE"


def _clocked(item: Item, of: Clocks) -> str:
    """public_from, public_until, kept_until of rows with `lasts`."""
    nothing, day = "CAST(NULL AS DATE)", item.event_date
    if day is None or not of.years:
        return f"{nothing} AS public_from, {nothing} AS public_until, {nothing} AS kept_until"
    kept = _own_kept(item, of, "lasts")
    if item.publicity != "public":
        return f"{nothing} AS public_from, {nothing} AS public_until, CAST({kept} AS DATE) AS kept_until"
    hidden = f"department IN ({', '.join(map(literal, of.hidden))})" if of.hidden else "FALSE"
    first = f"CASE WHEN {hidden} THEN NULL ELSE {day} END"
    last = f"CASE WHEN {hidden} OR lasts THEN NULL ELSE {_window(item, of, day)} END"
    dates = f"CAST({first} AS DATE) AS public_from, CAST({last} AS DATE) AS public_until"
    return f"{dates}, CAST({kept} AS DATE) AS kept_until"


def _is_kept_by(item: Item, of: Clocks) -> bool:
    return of.is_kept_by and bool(of.years) and item.event_date is not None


def _own_kept(item: Item, of: Clocks, lasting: str) -> str:
    """SQL of the last day of retention by what the record itself says; `lasting` is SQL of whether it goes on."""
    day = item.event_date
    assert day is not None
    years = " ".join(f"WHEN department = {literal(d)} THEN {_years(day, n)}" for d, n in of.years.items() if d)
    return f"CASE WHEN {lasting} THEN NULL {years} ELSE {_years(day, of.years[''])} END"


def _years(day: str, years: int) -> str:
    return f"{day} + INTERVAL {12 * years} MONTH"


def window(item: Item, of: Clocks) -> str:
    """SQL of the last day on which a record would be public, were its item."""
    assert item.event_date is not None
    return _window(item, of, item.event_date)


def _window(item: Item, of: Clocks, day: str) -> str:
    """The last day of publicity, by the windows that held on the record's day and its class."""
    ranks = []
    for f in item.curated_fields:
        if classes := of.breach_class_of_code.get(f.code_set or ""):
            cases = " ".join(f"WHEN {literal(c)} THEN {CLASSES.index(k)}" for c, k in sorted(classes.items()))
            ranks.append(f"CASE {f.name} {cases} END")
    said = f"GREATEST({', '.join(ranks)})" if len(ranks) > 1 else ranks[0] if ranks else "NULL"
    rank = f"COALESCE({said}, {CLASSES.index(of.breach_class)})"

    def entry(months: dict[str, list[int]]) -> str:
        return f"CASE {rank} " + " ".join(
            f"WHEN {n} THEN {day} + INTERVAL {months[name][1]} MONTH" for n, name in enumerate(CLASSES)
        ) + " END"

    *older, (_, newest) = of.publicity_windows
    starts = [first for first, _ in of.publicity_windows[1:]]
    ladder = " ".join(
        f"WHEN {day} < DATE '{until.isoformat()}' THEN {entry(value)}"
        for (_, value), until in zip(older, starts, strict=True)
    )
    return f"CASE {ladder} ELSE {entry(newest)} END" if older else entry(newest)
