"""What time and events make of a record, against a calendar of its own that knows no SQL."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import life
from schemas.arrow import statement_schema
from schemas.load import effective, load
from schemas.model import Item
from tests.conftest import SOAK

CATALOG = load()
AS_OF = date(2026, 11, 26)
# (item, a field that says something of the record's life, values for it)
KINDS: dict[str, tuple[str, tuple[str | None, ...]]] = {
    "traffic_penalty": ("penalty_kind", ("01", "02", "053", None)),
    "work_safety_serious": ("list_state", ("listed", "removed")),
    "judgment_defaulter": ("performance_status", ("none", "part", "all")),
    "abnormal_operation": ("marking_state", ("marked", "restored")),
    "administrative_penalty": ("record_state", ("0", "1", "2", None)),
    "honour": ("honour_level", ("2",)),
}
MOST = {  # months of publicity by the class of the record and the day it was determined
    date(2019, 4, 30): {"minor": 3, "ordinary": 12, "serious": 36},
    date(2023, 5, 1): {"minor": 3, "ordinary": 12, "serious": 36},
    date(2026, 4, 1): {"minor": 3, "ordinary": 12, "serious": 36},
}
days = st.dates(date(2018, 1, 1), date(2027, 12, 31)) | st.sampled_from(
    [date(2020, 2, 29), date(2024, 2, 29), date(2023, 4, 30), date(2023, 5, 1), date(2026, 3, 31), date(2026, 8, 31),
     date(2021, 11, 26), date(2021, 11, 25), date(2026, 8, 26), date(2026, 8, 25), date(2023, 11, 26)]
)  # fmt: skip


Case = tuple[Item, list[dict[str, Any]], list[dict[str, Any]], date]


def months_later(day: date, months: int) -> date:
    """The day of the same number, or the last of the month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as engine:
        engine.execute(
            "CREATE TABLE events (item VARCHAR, subject_id BLOB, document VARCHAR, department VARCHAR, name VARCHAR,"
            " does VARCHAR, since DATE, until DATE, until_restated BOOLEAN, event BLOB, event_item VARCHAR)"
        )
        yield engine


def lived(engine: duckdb.DuckDBPyConnection, item: Item, rows: list[dict[str, Any]], events: list[dict[str, Any]],
          as_of: date = AS_OF) -> dict[bytes, dict[str, Any]]:  # fmt: skip
    engine.register("said", pa.Table.from_pylist(rows, schema=statement_schema(item)))
    engine.execute("DELETE FROM events")
    for e in events:
        engine.execute(f"INSERT INTO events BY NAME SELECT {', '.join(f'? AS {k}' for k in e)}", list(e.values()))
    clocks = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, AS_OF), AS_OF)
    sql = life.life(item, clocks, "said", as_of, bool(events)).sql(dialect="duckdb")
    found = engine.execute(f"SELECT record_key, {', '.join(life.COLUMNS)} FROM ({sql})").fetchall()
    assert len(found) == len(rows), "one row for each record, whatever is said of it"
    return {bytes(key): dict(zip(life.COLUMNS, told, strict=True)) for key, *told in found}


def record(item: Item, n: int, day: date, said: str | None, **more: Any) -> dict[str, Any]:
    document = item.document_field
    row = {
        "record_key": bytes([n]) * 16, "subject_id": bytes([n % 3]) * 16, "department": item.providers[0],
        "period": date(2026, 10, 1), item.event_date: day, KINDS[item.code][0]: said,
    }  # fmt: skip
    if document:
        row[document.name] = f"琼〔2026〕{n}号"
    return row | more


def expected(item: Item, row: dict[str, Any], events: list[dict[str, Any]], as_of: date) -> dict[str, Any]:
    """The same, one rule after the other."""
    day, said = row[item.event_date], row[KINDS[item.code][0]]
    made = row.get("source_time").date() if row.get("source_time") else row["period"] + timedelta(1)
    lasts = said in ("listed", "none", "part", "marked")
    ends: list[tuple[date, str, bytes | None]] = []
    marks, changes = set[str](), []
    own = str(row[item.document_field.name]) if item.document_field else None
    mine = [e for e in events if e["subject_id"] == row["subject_id"] and e["document"] == own]
    mine = [e for e in mine if e["department"] in (None, row["department"])]
    kept = None
    if item.nature == "adverse" and not lasts:
        kept = last = months_later(day, 60)
        if item.code == "administrative_penalty":  # listings rest on no others
            until = [e["until"] or date.max for e in mine if e["does"] == "keeps" and e["since"] <= last]
            kept = max([last, *until])
            kept = None if kept == date.max else kept
        if kept is None:
            pass
        elif kept < as_of:
            ends.append((kept + timedelta(1), "expired", None))
        else:
            changes.append(kept + timedelta(1))
    public_from = public_until = None
    if item.publicity == "public":
        public_from = day
        kind = {"work_safety_serious": "serious", "judgment_defaulter": "ordinary", "abnormal_operation": "minor"}
        begins = max((first for first in MOST if first <= day), default=min(MOST))
        public_until = None if lasts else months_later(day, MOST[begins][kind[item.code]])
    if said in ("removed", "restored"):
        ends.append((row.get("removal_date") or row.get("restored_on") or row["period"], "removed", None))
    if item.code == "administrative_penalty" and said == "1":
        ends.append((row["period"], "revoked", None))
    if item.code == "administrative_penalty" and said == "2":
        marks.add("objected")
    for e in mine:
        over = e["until_restated"] and made > e["since"]
        if e["since"] > as_of:
            changes.append(e["since"])
        elif e["until"] is not None and e["until"] > as_of:
            changes.append(e["until"])
        if e["since"] <= as_of and not over and (e["until"] is None or e["until"] > as_of):
            if e["does"] == "ends":
                ends.append((e["since"], e["name"], e["event"]))
            elif e["does"] == "marks":
                marks.add(e["name"])
    first = min(ends, key=lambda end: (end[0], end[1], (end[2] or b"").hex().upper()), default=(None, None, None))
    return {
        "marks": marks, "public_from": public_from, "public_until": public_until, "kept_until": kept,
        "ended_on": first[0], "ended_by": first[1], "ended_event": first[2], "changes_on": min(changes, default=None),
    }  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    item = CATALOG.items[draw(st.sampled_from(sorted(KINDS)))]
    values = st.sampled_from(KINDS[item.code][1])
    rows = []
    for n in range(draw(st.integers(1, 6))):
        more: dict[str, Any] = {}
        for name in ("removal_date", "restored_on"):
            if any(f.name == name for f in item.fields):
                more[name] = draw(st.none() | days)
        more["period"] = draw(days)
        rows.append(record(item, n, draw(days), draw(values), **more))
    events = []
    for m in range(draw(st.integers(0, 8))):
        n = draw(st.integers(0, 7))
        near = rows[n % len(rows)]["period"] + timedelta(draw(st.integers(-1, 2)))
        does = draw(st.sampled_from(["ends", "marks", "keeps"]))
        names = {"ends": ["restored", "revoked"], "marks": ["objected", "varied", "amending"], "keeps": ["x"]}
        name = draw(st.sampled_from(names[does]))
        events.append({
            "item": item.code, "subject_id": bytes([draw(st.sampled_from([n % 3, (n + 1) % 3]))]) * 16,
            "document": f"琼〔2026〕{n}号", "department": draw(st.sampled_from([None, item.providers[0], "nobody"])),
            "name": name, "does": does, "since": draw(st.just(near) | days),
            "until": draw(st.none() | days) if does != "ends" else None,
            "until_restated": draw(st.booleans()) if does == "marks" else False,
            "event": bytes([100 + m]) * 16, "event_item": "x",
        })  # fmt: skip
    # Faults lie on the days on which something begins or ends.
    eves = [d for e in events for d in (e["since"], e["until"]) if d]
    eves += [months_later(r[item.event_date], 60) for r in rows]
    as_of = draw(st.sampled_from(eves)) + timedelta(draw(st.integers(-1, 1)))
    return item, rows, events, as_of


@settings(max_examples=500 if SOAK else 100, deadline=None)
@given(case=cases(), later=st.integers(1, 2500))
def test_life_is_what_the_calendar_says(engine: duckdb.DuckDBPyConnection, case: Case, later: int) -> None:
    item, rows, events, as_of = case
    found = lived(engine, item, rows, events, as_of)
    after = lived(engine, item, rows, events, as_of + timedelta(later))
    for row in rows:
        is_so = found[row["record_key"]]
        wanted = expected(item, row, events, as_of)
        assert is_so | {"marks": {*(is_so["marks"] or "").split(",")} - {""}} == wanted
        assert (is_so["marks"] or "") == ",".join(sorted(wanted["marks"]))
        # Nobody looks at a record before its `changes_on`, so nothing may change before.
        if is_so["changes_on"] is None or as_of + timedelta(later) < is_so["changes_on"]:
            assert after[row["record_key"]] == is_so


@settings(deadline=None)
@given(day=days, months=st.integers(1, 120))
def test_months_end_on_the_day_of_the_same_number_or_the_last_one(day: date, months: int) -> None:
    with duckdb.connect() as engine:
        sql = f"SELECT CAST(DATE '{day}' + INTERVAL {months} MONTH AS DATE)"
        assert engine.execute(sql).fetchall() == [(months_later(day, months),)]


def said(item: Item, name: str, does: str, since: date, **more: Any) -> dict[str, Any]:
    """An event about record 1."""
    told = {"item": item.code, "subject_id": bytes([1]) * 16, "document": "琼〔2026〕1号", "department": None,
            "name": name, "does": does, "since": since, "until": None, "until_restated": False,
            "event": bytes([9]) * 16, "event_item": "x"}  # fmt: skip
    return told | more


@pytest.mark.parametrize(
    ("day", "marks", "changes_on"),
    [(4, None, 5), (5, "objected", 9), (8, "objected", 9), (9, None, None)],
)
def test_a_mark_is_there_from_its_day_until_the_day_that_it_goes(
    engine: duckdb.DuckDBPyConnection, day: int, marks: str | None, changes_on: int | None
) -> None:
    item = CATALOG.items["honour"]
    told = said(item, "objected", "marks", date(2026, 11, 5), until=date(2026, 11, 9))
    (found,) = lived(engine, item, [record(item, 1, day=AS_OF, said="2")], [told], date(2026, 11, day)).values()
    next_day = date(2026, 11, changes_on) if changes_on else None
    assert (found["marks"], found["changes_on"]) == (marks, next_day)


@pytest.mark.parametrize(("made", "marks"), [(4, "amending"), (5, "amending"), (6, None)])
def test_a_mark_goes_once_the_department_has_said_more(
    engine: duckdb.DuckDBPyConnection, made: int, marks: str | None
) -> None:
    item = CATALOG.items["honour"]
    told = said(item, "amending", "marks", date(2026, 11, 5), until_restated=True)
    row = record(item, 1, AS_OF, "2", source_time=datetime(2026, 11, made, 23, 59))
    (found,) = lived(engine, item, [row], [told]).values()
    assert found["marks"] == marks


@pytest.mark.parametrize(
    ("day", "last"),
    [
        (date(2023, 4, 30), date(2023, 10, 30)),
        (date(2023, 5, 1), date(2024, 5, 1)),
        (date(2010, 8, 31), date(2011, 2, 28)),
    ],
)
def test_old_records_keep_the_window_of_their_day(engine: duckdb.DuckDBPyConnection, day: date, last: date) -> None:
    item = CATALOG.items["judgment_defaulter"]
    clocks = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, AS_OF), AS_OF)
    windows = tuple((first, {k: [0, months] for k in life.CLASSES})
                    for first, months in ((date(2019, 4, 30), 6), (date(2023, 5, 1), 12)))  # fmt: skip
    engine.register("said", pa.Table.from_pylist([record(item, 1, day, "all")], schema=statement_schema(item)))
    sql = life.life(item, replace(clocks, publicity_windows=windows), "said", AS_OF, False).sql(dialect="duckdb")
    assert engine.execute(f"SELECT public_from, public_until FROM ({sql})").fetchall() == [(day, last)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_order_of_events_decides_nothing(engine: duckdb.DuckDBPyConnection, order: tuple[int, ...]) -> None:
    item = CATALOG.items["traffic_penalty"]
    row = record(item, 1, date(2026, 1, 5), "02")
    told = [
        said(item, name, does, date(2026, 5, 1), event=bytes([n]) * 16)
        for n, (name, does) in enumerate([("varied", "marks"), ("restored", "ends"), ("objected", "marks")])
    ]
    told[0:0] = [said(item, "revoked", "ends", date(2026, 6, 1), event=bytes([7]) * 16)]  # the first end is the end
    (found,) = lived(engine, item, [row], [told[n] for n in (*order, 3)]).values()
    assert (found["marks"], found["ended_by"], found["ended_event"]) == ("objected,varied", "restored", bytes([1]) * 16)


def test_events_tell_a_record_by_a_number_of_its_own() -> None:
    """Of adverse items three have none: their records are told by what is owed to whom and since when."""
    without = {i.code for i in CATALOG.items.values() if i.nature == "adverse" and i.document_field is None}
    assert without == {"social_insurance_arrears", "student_loan_default", "tax_arrears"}
    for item in CATALOG.items.values():
        if item.document_field is not None:
            assert item.document_field.name.endswith("_no"), item.code


def test_every_class_and_window_of_the_policy_is_dated_and_in_order() -> None:
    clocks = life.clocks(CATALOG.items["honour"], CATALOG, lambda n: effective(CATALOG, n, AS_OF), AS_OF)
    assert clocks.years == {}, "only adverse information is kept for a term"
    for _, value in clocks.publicity_windows:
        assert tuple(value) == life.CLASSES
        assert all(0 <= least < most for least, most in value.values())
    assert [first for first, _ in clocks.publicity_windows] == sorted(MOST)


def test_a_county_keeps_and_shows_records_no_longer_than_the_county_that_it_extends() -> None:
    """Yangpu follows Danzhou, which keeps penalties for three years, and says nothing of its own about it."""
    own = {"danzhou": {"publicity": "government"}, "yangpu": {}}
    overlays = {
        c: o.model_copy(update={"items": {"judgment_defaulter": o.items["administrative_penalty"].model_copy(update={
            "publicity": None, "retention_years": None, "fields": {}, "added": (), **own[c]})}})
        for c, o in CATALOG.overlays.items()
    }  # fmt: skip
    hiding = CATALOG.model_copy(update={"overlays": overlays})
    item = CATALOG.items["administrative_penalty"]
    clocks = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, AS_OF), AS_OF)
    assert clocks.years == {"": 5, "danzhou": 3, "yangpu": 3}
    public = life.clocks(CATALOG.items["judgment_defaulter"], hiding, lambda n: effective(CATALOG, n, AS_OF), AS_OF)
    assert public.hidden == ("danzhou", "yangpu") and public.years == {"": 5}
    # Before its overlay is in force, and once it is no more, a county keeps and shows them as everybody does.
    first = CATALOG.overlays["danzhou"].valid_from
    before = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, AS_OF), first - timedelta(1))
    assert before.years == {"": 5}
    over = {c: o.model_copy(update={"valid_to": AS_OF}) for c, o in overlays.items()}
    ended = CATALOG.model_copy(update={"overlays": over})
    for on, hidden in ((AS_OF, ("danzhou", "yangpu")), (AS_OF + timedelta(1), ())):
        of = life.clocks(CATALOG.items["judgment_defaulter"], ended, lambda n: effective(CATALOG, n, AS_OF), on)
        assert of.hidden == hidden


def test_another_policy_is_another_fingerprint_and_the_day_is_not() -> None:
    item = CATALOG.items["traffic_penalty"]
    clocks = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, AS_OF), AS_OF)
    longer = life.clocks(
        item.model_copy(update={"retention_years": 6}), CATALOG, lambda n: effective(CATALOG, n, AS_OF), AS_OF
    )
    again = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, date(2030, 1, 1)), date(2030, 1, 1))
    assert life.fingerprint(item, clocks) != life.fingerprint(item, longer)
    assert life.fingerprint(item, clocks) == life.fingerprint(item, again)
