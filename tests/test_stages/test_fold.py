"""The fold against a naive model written from design.md section 2, over random statements in random order."""

import random
from datetime import date, datetime, time, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from sqlglot import exp

from pipelines.stages import dedupe
from schemas import fold, record
from schemas.model import FieldSpec, Item
from tests.conftest import SOAK

DEPARTMENTS = ("court", "province", "county")
ITEM = Item(
    code="thing",
    name_zh="事项",
    name_en="Thing",
    providers=DEPARTMENTS,
    nature="adverse", category="03",
    domain="tax",
    legal_basis=("invented",),
    sharing="conditional",
    publicity="none",
    update_cycle="daily",
    retention_years=5,
    retention_source="invented",
    subject_types=("natural_person",),
    business_key=("number",),
    valid_from=date(2017, 1, 1),
    fields=(
        FieldSpec(name="subject_name", label_zh="姓名", label_en="Name", type="text", role="name",
                  sensitivity="identifying"),
        FieldSpec(name="certificate_type", label_zh="证件类型", label_en="Type", type="text",
                  role="certificate_type"),
        FieldSpec(name="credit_number", label_zh="证件号码", label_en="Number", type="text", role="credit_number",
                  sensitivity="identifying"),
        FieldSpec(name="number", label_zh="文号", label_en="No.", type="text"),
    ),
)  # fmt: skip

STRICT = Item.model_validate(
    {
        **ITEM.model_dump(),
        "one_subject": True,
        "fields": [
            *(f.model_dump() for f in ITEM.fields),
            {"name": "wrong_number", "label_zh": "原文号", "label_en": "Wrong", "type": "text", "replaces": "number"},
        ],
    }
)

# Each department numbers its rows for itself.
KEYED = Item.model_validate(
    {
        **STRICT.model_dump(),
        "fields": [
            *(f.model_dump() for f in STRICT.fields),
            {"name": "serial_no", "label_zh": "序号", "label_en": "Serial", "type": "text"},
        ],
        "sender_key": {"field": "serial_no", "unique": [
            {"department": d, "valid_from": date(2017, 1, 1), "source": "invented"} for d in DEPARTMENTS
        ]},
    }
)  # fmt: skip

Order = tuple[date, int]
Fulls = dict[str, Order]


def statement(rng: random.Random, n: int, records: int = 6) -> dict[str, Any]:
    made = {
        "record_key": bytes([rng.randrange(records)]) * 16,
        "subject_id": b"s" * 16,
        "content_hash": bytes([rng.randrange(3)]) * 16,
        "department": rng.choice(DEPARTMENTS),
        "delivery_id": f"d{n}",
        "line": 2,
        "sheet": None,
        "period": date(2098, 1, 1) + timedelta(days=rng.randrange(3)),
        "sequence": rng.randrange(1, 3),
        "source_time": rng.choice((None, None, datetime(2098, 1, rng.randrange(1, 6), rng.choice((0, 9))))),
        "certificate_type": None,
        "number": "x",
        "decision_key": None,
        "replaces": None,
        "row_key": None,
        "row_subject": None,
        "row_document": None,
        "action": rng.choice(("new", "new", "new", "new", "withdraw", "refuse")),
    }
    return made | {"content_hash": b"-" * 16} if made["action"] == "refuse" else made


def strict(rng: random.Random, n: int, records: int = 6) -> dict[str, Any]:
    """Records 0 and 1, 2 and 3 and so on are decisions about two subjects each; some statements replace another."""
    made = statement(rng, n, records)
    other = bytes([rng.randrange(records)]) * 16
    replaces = other if rng.randrange(4) == 0 and other != made["record_key"] else None
    decision = None if made["action"] == "refuse" else str(made["record_key"][0] // 2)
    return made | {"decision_key": decision, "replaces": replaces}


def keyed(rng: random.Random, n: int, records: int = 6) -> dict[str, Any]:
    """Under a row key of its department, mostly the record's own; every third record is about the same person. Some
    decisions may be about several persons."""
    made = strict(rng, n, records)
    record = made["record_key"][0]
    told = {} if record // 2 % 2 else {"decision_key": None}
    serial = rng.choice((record // 3, rng.randrange(3), None))
    if serial is None or made["action"] == "refuse":
        return made | told
    about = {"row_subject": bytes([record % 3]) * 16, "row_document": str(record // 2)}
    return made | told | about | {"row_key": f"{made['department']} {serial}"}


def are_alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return bool(a["row_subject"] == b["row_subject"] or a["row_document"] == b["row_document"])


def latest(statements: list[dict[str, Any]], key: bytes, department: str) -> list[dict[str, Any]]:
    """What a department says last of a record by statements about it."""
    own = [s for s in statements if s["record_key"] == key and s["department"] == department]
    return [s for s in own if order(s) == max(map(order, own)) and s["action"] == "new" and s["row_key"]]


def naive(statements: list[dict[str, Any]], fulls: Fulls) -> tuple[dict[bytes, bytes], set[bytes]]:
    """record key -> content shown; and the keys that are held. `fulls`: a department's greatest full delivery."""
    shown: dict[bytes, bytes] = {}
    held: set[bytes] = set()
    rivals = rivals_of(statements, fulls)
    for key in {s["record_key"] for s in statements}:
        for department in DEPARTMENTS:
            tops = tops_of(statements, fulls, key, department)
            if len(tops) > 1:
                held.add(key)
                break
            if (content := min(tops, default=None)) is not None and (key, department) not in rivals:
                shown[key] = content
                break
    return shown, held


def said(statements: list[dict[str, Any]], key: bytes, department: str) -> list[dict[str, Any]]:
    """What a department says of a record, also by statements of others that replace it. A refusal goes before what was
    said at the same time, too."""
    own = [
        s | {"is_other": s["action"] == "refuse"}
        for s in statements if s["record_key"] == key and s["department"] == department
    ]
    ends = [s for s in statements if s["replaces"] == key and s["action"] != "withdraw"]
    ends += [
        s for s in statements for was in latest(statements, key, department)
        if s["row_key"] == was["row_key"] and s["record_key"] != key and s["action"] == "new" and are_alike(s, was)
        and order(s) > order(was)
    ]  # fmt: skip
    return own + [s | {"is_other": True, "action": "withdraw"} for s in ends if s["department"] == department]


def tops_of(statements: list[dict[str, Any]], fulls: Fulls, key: bytes, department: str) -> set[bytes | None]:
    """The contents that the latest of it say, None for a withdrawal; nothing where the department leaves it out."""
    own = said(statements, key, department)
    if not own or (department in fulls and max((s["period"], s["sequence"]) for s in own) < fulls[department]):
        return set()  # the full delivery is later than all it said of this record, and does not repeat it
    newest = max((order(s), s["is_other"]) for s in own)
    return {s["content_hash"] if s["action"] == "new" else None for s in own if (order(s), s["is_other"]) == newest}


def rivals_of(statements: list[dict[str, Any]], fulls: Fulls) -> set[tuple[bytes, str]]:
    """Of each department's decision about several subjects all but the one that it has named for longest, and all that
    it tells at one time under one row key where one may be the other corrected."""
    found = set()
    keys = {s["record_key"] for s in statements}
    for department in DEPARTMENTS:
        tops = {k: tops_of(statements, fulls, k, department) for k in keys}
        alive = [s for k, top in tops.items() if len(top) == 1 and None not in top
                 for s in latest(statements, k, department)]  # fmt: skip
        found |= {
            (a["record_key"], department) for a in alive for b in alive
            if a["row_key"] == b["row_key"] and a["record_key"] != b["record_key"] and are_alike(a, b)
            and order(a) == order(b)
        }  # fmt: skip
    decisions = {s["record_key"]: s["decision_key"] for s in statements if s["decision_key"] is not None}
    for department in DEPARTMENTS:
        for decision in set(decisions.values()):
            since = {}
            for key in (k for k, d in decisions.items() if d == decision):
                if len(tops := tops_of(statements, fulls, key, department)) == 1 and None not in tops:
                    own = said(statements, key, department)
                    ends = [order(s) for s in own if s["action"] != "new"]
                    since[key] = min(order(s) for s in own if not ends or order(s) > max(ends))
            if len(since) > 1:
                first = [k for k, at in since.items() if at == min(since.values())]
                found |= {(k, department) for k in since if len(first) > 1 or k != first[0]}
    return found


def order(s: dict[str, Any]) -> tuple[datetime, date, int]:
    """A statement without a time of its own is as late as its period's end."""
    return s["source_time"] or datetime.combine(s["period"] + timedelta(1), time()), s["period"], s["sequence"]


def rows_of(engine: duckdb.DuckDBPyConnection, tree: exp.Expr) -> list[tuple[Any, ...]]:
    return engine.execute(tree.sql(dialect="duckdb")).fetchall()


def prepare(
    engine: duckdb.DuckDBPyConnection,
    past: list[dict[str, Any]],
    arrived: list[dict[str, Any]],
    fulls: Fulls | None = None,
    new_full: str = "",
    dropped: list[dict[str, Any]] | None = None,
    item: Item = ITEM,
    shows: str = "WHERE FALSE",
    due: str = "WHERE FALSE",
) -> None:
    """Run the fold over these statements; `shows` of the past ones show, and `due` of them are due."""
    for name, rows in (("past", past), ("arrived", arrived), ("dropped", dropped or [])):
        engine.register(f"{name}_rows", pa.Table.from_pylist(rows, schema=schema()))
        engine.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_rows")
    engine.execute(f"CREATE VIEW published_all AS SELECT {dedupe.SHOWN} FROM past {shows}")
    engine.execute(f"CREATE TABLE due AS SELECT record_key FROM past {due}")
    engine.execute("CREATE TABLE fulls (department VARCHAR, period DATE, sequence INTEGER, is_new BOOLEAN)")
    for department, order in (fulls or {}).items():
        engine.execute("INSERT INTO fulls VALUES (?, ?, ?, ?)", [department, *order, department == new_full])
    engine.execute("CREATE TABLE lifted (department VARCHAR, period DATE, sequence INTEGER)")
    engine.execute("CREATE TABLE precedence (department VARCHAR, precedence INTEGER)")
    for n, department in enumerate(ITEM.providers):
        engine.execute("INSERT INTO precedence VALUES (?, ?)", [department, n])
    dedupe.run_fold(dedupe.Here(engine), item)


def folded(
    past: list[dict[str, Any]],
    arrived: list[dict[str, Any]],
    fulls: Fulls | None = None,
    new_full: str = "",
    dropped: list[dict[str, Any]] | None = None,
    item: Item = ITEM,
) -> tuple[dict[bytes, bytes], set[bytes], set[bytes]]:
    """What the fold shows and holds of the records it looks at, and which those are."""
    with duckdb.connect() as engine:
        prepare(engine, past, arrived, fulls, new_full, dropped, item)
        parts = (fold.shown(["record_key", "content_hash"]), fold.returning(["record_key", "content_hash"]))
        shown = [row for part in parts for row in engine.execute(part.sql(dialect="duckdb")).fetchall()]
        place = ["delivery_id", "line", "sheet"]
        stored = [row for part in (fold.shown(place), fold.unshown(place)) for row in rows_of(engine, part)]
        repeats = engine.execute(f"SELECT {', '.join(place)} FROM copies WHERE copy_of > 1").fetchall()
        told = [tuple(row[name] for name in place) for row in arrived]
        assert sorted(stored + repeats, key=str) == sorted(told, key=str)  # history gains each statement, once
        held = engine.execute("SELECT record_key FROM conflicts").fetchall()
        touched = engine.execute("SELECT record_key FROM involved UNION SELECT record_key FROM arrived").fetchall()
    assert len(shown) == len(dict(shown))
    return {bytes(k): bytes(h) for k, h in shown}, {bytes(r[0]) for r in held}, {bytes(r[0]) for r in touched}


def test_a_record_that_goes_on_showing_what_it_shows_is_not_written_again() -> None:
    rng = random.Random(1)
    court = statement(rng, 1) | {"department": "court", "action": "new"}
    county = court | {"department": "county", "content_hash": b"z" * 16, "delivery_id": "d2"}
    with duckdb.connect() as engine:
        prepare(engine, [court], [county], shows="")
        assert rows_of(engine, fold.shown(["record_key"])) == rows_of(engine, fold.returning(["record_key"])) == []
        assert engine.execute("SELECT * FROM published").fetchall() == []
        assert engine.execute(fold.verdicts().sql(dialect="duckdb")).fetchall() == [("d2", 2, None, "superseded", None)]


def schema() -> pa.Schema:
    kinds = {"line": pa.int64(), "sequence": pa.int32(), "period": pa.date32(), "source_time": pa.timestamp("us")}
    sample = statement(random.Random(0), 0)
    binary = ("record_key", "subject_id", "content_hash", "replaces", "row_subject")
    return pa.schema([(k, kinds.get(k, pa.binary() if k in binary else pa.string())) for k in sample])


MAKERS = {"many subjects": (ITEM, statement), "one subject": (STRICT, strict), "row keys": (KEYED, keyed)}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("seed", range(200 if SOAK else 12))
def test_fold_agrees_with_the_naive_model_whatever_came_first(seed: int, kind: str) -> None:
    (item, make), rng = MAKERS[kind], random.Random(seed)
    records = rng.choice((6, 20))
    statements = [make(rng, n, records) for n in range(rng.randrange(1, 30))]
    fulls: Fulls = {d: (date(2098, 1, rng.randrange(1, 4)), rng.randrange(1, 3)) for d in DEPARTMENTS if seed % 3 == 0}
    for _ in range(4):
        rng.shuffle(statements)
        cut = rng.choice((rng.randrange(0, len(statements) + 1), max(0, len(statements) - 2)))
        void = rng.randrange(0, cut // 2 + 1) if seed % 2 else 0
        dropped, past, arrived = statements[:void], statements[void:cut], statements[cut:]
        before, before_held = naive(dropped + past, fulls)
        expected, expected_held = naive(past + arrived, fulls)
        shown, held, touched = folded(past, arrived, fulls, "", dropped, item)
        assert shown == {k: v for k, v in expected.items() if k in touched}
        assert held == {k for k in expected_held if k in touched}
        others = {s["record_key"] for s in statements} - touched
        assert {k for k in others if before.get(k) != expected.get(k)} == set()  # what is left alone stays as it was
        assert (before_held ^ expected_held) & others == set()


def test_a_new_full_delivery_looks_at_every_record_it_leaves_out() -> None:
    rng = random.Random(1)
    old = statement(rng, 1) | {"department": "court", "period": date(2098, 1, 1), "action": "new"}
    later = old | {"record_key": b"l" * 16, "period": date(2098, 1, 3), "delivery_id": "d3"}
    kept = old | {"record_key": b"k" * 16}
    other = old | {"record_key": b"o" * 16, "department": "county"}
    again = kept | {"period": date(2098, 1, 2), "delivery_id": "d2"}
    shown, held, touched = folded([old, later, kept, other], [again], {"court": (date(2098, 1, 2), 1)}, "court")
    assert touched == {old["record_key"], kept["record_key"]}
    assert (shown, held) == ({kept["record_key"]: kept["content_hash"]}, set())


def test_precedence_decides_before_time() -> None:
    rng = random.Random(1)
    early_court = statement(rng, 1) | {"department": "court", "period": date(2098, 1, 1), "action": "new"}
    late_county = early_court | {
        "department": "county", "period": date(2098, 9, 9), "content_hash": b"z" * 16, "delivery_id": "d2",
    }  # fmt: skip
    shown, held, _ = folded([], [early_court, late_county])
    assert shown == {early_court["record_key"]: early_court["content_hash"]}
    assert held == set()


def test_withdrawn_winner_lets_the_next_department_show() -> None:
    rng = random.Random(1)
    court = statement(rng, 1) | {"department": "court", "period": date(2098, 1, 1), "action": "new"}
    withdrawal = court | {"period": date(2098, 1, 2), "action": "withdraw", "delivery_id": "d2"}
    county = court | {"department": "county", "content_hash": b"z" * 16, "delivery_id": "d3"}
    assert folded([court, county], [withdrawal])[0] == {court["record_key"]: b"z" * 16}


def test_two_contents_that_tie_hold_the_record() -> None:
    rng = random.Random(1)
    one = statement(rng, 1) | {"department": "court", "action": "new", "content_hash": b"a" * 16}
    other = one | {"content_hash": b"b" * 16, "delivery_id": "d2"}
    assert folded([one], [other])[:2] == ({}, {one["record_key"]})


def test_a_withdrawal_without_a_time_of_its_own_is_later_than_what_was_said_before_its_period_ended() -> None:
    rng = random.Random(1)
    penalty = statement(rng, 1) | {
        "department": "court", "action": "new", "period": date(2098, 1, 1), "source_time": datetime(2098, 1, 1, 8),
    }  # fmt: skip
    withdrawal = penalty | {
        "period": date(2098, 1, 2), "source_time": None, "action": "withdraw", "delivery_id": "d2",
        "content_hash": b"k" * 16,
    }  # fmt: skip
    again = penalty | {"period": date(2098, 1, 2), "source_time": datetime(2098, 1, 4), "delivery_id": "d3"}
    assert folded([penalty], [withdrawal])[:2] == ({}, set())
    assert folded([penalty, withdrawal], [again])[0] == {penalty["record_key"]: penalty["content_hash"]}
    other = withdrawal | {"content_hash": b"o" * 16, "delivery_id": "d4"}
    assert folded([penalty], [withdrawal, other])[:2] == ({}, set())  # two withdrawals contradict each other in nothing


def test_a_refused_row_ends_what_was_said_before_or_at_its_time_whichever_came_first() -> None:
    said = statement(random.Random(1), 1) | {"department": "court", "source_time": None, "action": "new"}
    refusal = said | {"content_hash": b"-" * 16, "action": "refuse", "delivery_id": "d2"}
    county = said | {"department": "county", "content_hash": b"z" * 16, "delivery_id": "d3"}
    for past, arrived in (([said], [refusal]), ([refusal], [said]), ([], [said, refusal])):
        assert folded(past, arrived)[:2] == ({}, set())
    assert folded([said, refusal], [county])[0] == {said["record_key"]: county["content_hash"]}
    later = said | {"period": said["period"] + timedelta(1), "delivery_id": "d4"}
    assert folded([refusal], [later])[0] == {said["record_key"]: said["content_hash"]}
    assert folded([said], [], dropped=[refusal])[0] == {said["record_key"]: said["content_hash"]}


def test_whatever_a_refused_row_meets_it_stays_refused() -> None:
    said = statement(random.Random(1), 1) | {"department": "court", "source_time": None, "action": "new"}
    refusal = said | {"content_hash": b"-" * 16, "action": "refuse", "delivery_id": "d2"}
    alone, twice = refusal | {"record_key": b"a" * 16, "line": 3}, refusal | {"line": 4}
    withdrawal = alone | {"action": "withdraw", "content_hash": b"w" * 16, "line": 5}
    with duckdb.connect() as engine:
        prepare(engine, [], [said, refusal, alone, twice, withdrawal])
        told = sorted((line, verdict, code) for _, line, _, verdict, code in rows_of(engine, fold.verdicts()))
    assert told == [(2, "refused", None), (2, "superseded", None), (3, "refused", None), (4, "refused", None),
                    (5, "held", "D003")]  # fmt: skip


def two_subjects() -> tuple[dict[str, Any], dict[str, Any]]:
    """One decision about the wrong person and, later, about the right one."""
    wrong = strict(random.Random(1), 1) | {
        "record_key": b"w" * 16, "department": "court", "period": date(2098, 1, 1), "source_time": None,
        "action": "new", "replaces": None, "decision_key": "d", "content_hash": b"1" * 16,
    }  # fmt: skip
    right = wrong | {"record_key": b"r" * 16, "period": date(2098, 1, 2), "delivery_id": "d2"}
    return wrong, right


def test_a_decision_about_two_persons_goes_on_showing_the_first_whichever_came_first() -> None:
    wrong, right = two_subjects()
    first = {wrong["record_key"]: wrong["content_hash"]}
    for past, arrived in (([wrong], [right]), ([right], [wrong]), ([], [right, wrong])):
        assert folded(past, arrived, item=STRICT)[0] == first
    assert folded([], [right | {"period": wrong["period"]}, wrong], item=STRICT)[0] == {}  # none came first
    other = right | {"department": "county"}
    assert folded([], [wrong, other], item=STRICT)[0] == {**first, right["record_key"]: right["content_hash"]}


def test_a_wrong_person_gives_way_to_the_right_one_by_withdrawal_replacement_or_reversal() -> None:
    wrong, right = two_subjects()
    shows = {right["record_key"]: right["content_hash"]}
    withdrawal = wrong | {"action": "withdraw", "period": date(2098, 1, 3), "delivery_id": "d3"}
    assert folded([wrong, right], [withdrawal], item=STRICT)[0] == shows
    naming = right | {"replaces": wrong["record_key"]}
    for past, arrived in (([wrong], [naming]), ([naming], [wrong]), ([], [naming, wrong])):
        assert folded(past, arrived, item=STRICT)[0] == shows
    apart = naming | {"decision_key": "another"}  # the document number had been wrong, too
    assert folded([apart], [wrong], item=STRICT)[0] == {}
    assert folded([right], [], dropped=[wrong], item=STRICT)[0] == shows


def row(key: str, day: int, **told: Any) -> dict[str, Any]:
    """A statement of the court under its row key 7 about person a, document 1, made on a day of January 2098."""
    made = statement(random.Random(1), day) | {
        "record_key": key.encode() * 16, "department": "court", "period": date(2098, 1, day), "source_time": None,
        "action": "new", "content_hash": key.encode() * 16, "row_key": "court 7", "row_subject": b"a",
        "row_document": "1",
    }  # fmt: skip
    return made | told


def shown_keys(*statements: dict[str, Any], dropped: tuple[dict[str, Any], ...] = ()) -> str:
    """The records that show, whatever came first."""
    found = set()
    for said, cut in ((statements, 0), (statements, 1), (statements[::-1], 1)):
        with duckdb.connect() as engine:
            prepare(engine, list(said[:cut]), list(said[cut:]), item=KEYED, dropped=list(dropped), due="")
            kept = f"SELECT record_key FROM winners UNION ({fold.shown(['record_key']).sql('duckdb')})"
            found.add("".join(sorted(bytes(k)[:1].decode() for (k,) in engine.execute(kept).fetchall())))
    (one,) = found
    return one


def codes(past: list[dict[str, Any]], arrived: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    with duckdb.connect() as engine:
        prepare(engine, past, arrived, item=KEYED, shows="")
        said = engine.execute(f"SELECT verdict, code FROM ({fold.verdicts().sql('duckdb')}) ORDER BY delivery_id, line")
        return [(str(verdict), code) for verdict, code in said.fetchall()]


def test_a_row_key_ends_what_was_said_under_it_where_the_person_or_the_document_stays() -> None:
    wrong, right = row("w", 1), row("r", 2, row_subject=b"b")
    assert shown_keys(wrong, right) == shown_keys(wrong, right | {"row_subject": b"a", "row_document": "2"}) == "r"
    assert codes([wrong], [right]) == [("new", "D011")]
    assert codes([right], [wrong]) == [("superseded", None)]
    another = right | {"row_document": "2"}  # another person and another document: the key was used again
    assert shown_keys(wrong, another) == "rw" and codes([wrong], [another]) == [("new", "D012")]
    assert shown_keys(wrong, right | {"row_key": "court 8"}) == "rw", "another key"
    assert shown_keys(wrong, right | {"department": "county"}) == "rw", "another department, which numbers for itself"
    assert shown_keys(wrong, right | {"row_key": None}) == "rw", "keys that nobody says are unique tell nothing"
    assert shown_keys(wrong, right | {"action": "withdraw"}) == "w", "a withdrawal corrects nothing but its own"


def test_what_ended_under_its_row_key_comes_back_by_its_own_word_or_by_a_reversal_alone() -> None:
    wrong, right = row("w", 1), row("r", 2, row_subject=b"b")
    assert shown_keys(wrong, right, row("r", 3, row_subject=b"b", action="withdraw")) == ""
    assert shown_keys(wrong, right, row("w", 3)) == "w", "corrected once more: the first had been right"
    assert shown_keys(wrong, right, row("w", 3, row_key="court 8")) == "rw", "it stands under a key of its own since"
    assert shown_keys(row("w", 1), row("w", 2, row_key="court 8"), row("r", 3, row_subject=b"b")) == "rw"
    assert shown_keys(wrong, dropped=(right,)) == "w"


def test_two_records_under_one_row_key_at_one_time_are_held() -> None:
    one, two = row("o", 1), row("t", 1, row_subject=b"b", line=3)
    assert shown_keys(one, two) == "" and codes([], [one, two]) == [("held", "D010"), ("held", "D010")]
    assert shown_keys(one, two, row("t", 2, row_subject=b"b")) == "t", "until one of them is sent again"
    assert shown_keys(one, two | {"row_document": "2"}) == "ot", "nobody's record waits for somebody else's number"


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
def test_every_step_of_the_fold_renders(dialect: str) -> None:
    columns = ["record_key", "content_hash"]
    trees = [fold.involved(), *(step() for _, step in fold.STEPS)]
    gains = [fold.shown(columns), fold.unshown(columns), fold.returning(columns)]
    for tree in [*trees, *gains, fold.verdicts(), record.select(ITEM, "passing")]:
        assert tree.sql(dialect=dialect)
