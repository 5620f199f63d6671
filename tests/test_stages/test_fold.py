"""The fold against a naive model written from design.md section 2, over random statements in random order."""

import random
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.stages import dedupe
from schemas.model import FieldSpec, Item

DEPARTMENTS = ("court", "province", "county")
ITEM = Item(
    code="thing",
    name_zh="事项",
    name_en="Thing",
    providers=DEPARTMENTS,
    nature="adverse",
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


def statement(rng: random.Random, n: int) -> dict[str, Any]:
    return {
        "record_key": bytes([rng.randrange(6)]) * 16,
        "subject_id": b"s" * 16,
        "content_hash": bytes([rng.randrange(3)]) * 16,
        "department": rng.choice(DEPARTMENTS),
        "delivery_id": f"d{n}",
        "line": 2,
        "sheet": None,
        "period": date(2098, 1, 1) + timedelta(days=rng.randrange(3)),
        "sequence": rng.randrange(1, 3),
        "source_time": None,
        "certificate_type": None,
        "number": "x",
        "bucket": 0,
        "action": rng.choice(("new", "new", "new", "withdraw")),
    }


def naive(statements: list[dict[str, Any]]) -> tuple[dict[bytes, bytes], set[bytes]]:
    """record key -> content shown; and the keys that are held."""
    shown: dict[bytes, bytes] = {}
    held: set[bytes] = set()
    for key in {s["record_key"] for s in statements}:
        for department in DEPARTMENTS:
            own = [s for s in statements if s["record_key"] == key and s["department"] == department]
            if not own:
                continue
            newest = max((s["period"], s["sequence"]) for s in own)
            tops = {(s["content_hash"], s["action"]) for s in own if (s["period"], s["sequence"]) == newest}
            if len(tops) > 1:
                held.add(key)
                break
            content, action = tops.pop()
            if action == "new":
                shown[key] = content
                break
    return shown, held


def folded(statements: list[dict[str, Any]]) -> tuple[dict[bytes, bytes], set[bytes]]:
    engine = duckdb.connect()
    engine.register("arriving", pa.Table.from_pylist(statements, schema=schema()))
    engine.execute("CREATE TABLE stated AS SELECT * FROM arriving")
    dedupe.fold(engine, ITEM)
    shown = {bytes(k): bytes(h) for k, h in engine.execute("SELECT record_key, content_hash FROM current").fetchall()}
    held = {bytes(r[0]) for r in engine.execute("SELECT record_key FROM conflicts").fetchall()}
    engine.close()
    return shown, held


def schema() -> pa.Schema:
    kinds = {"line": pa.int64(), "sequence": pa.int32(), "bucket": pa.int32(), "period": pa.date32(),
             "source_time": pa.timestamp("us")}  # fmt: skip
    sample = statement(random.Random(0), 0)
    binary = ("record_key", "subject_id", "content_hash")
    return pa.schema([(k, kinds.get(k, pa.binary() if k in binary else pa.string())) for k in sample])


@pytest.mark.parametrize("seed", range(40))
def test_fold_agrees_with_the_naive_model_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    statements = [statement(rng, n) for n in range(rng.randrange(1, 30))]
    expected = naive(statements)
    for _ in range(3):
        rng.shuffle(statements)
        assert folded(statements) == expected


def test_precedence_decides_before_time() -> None:
    rng = random.Random(1)
    early_court = statement(rng, 1) | {"department": "court", "period": date(2098, 1, 1), "action": "new"}
    late_county = early_court | {"department": "county", "period": date(2098, 9, 9), "content_hash": b"z" * 16}
    shown, held = folded([early_court, late_county])
    assert shown == {early_court["record_key"]: early_court["content_hash"]}
    assert held == set()


def test_withdrawn_winner_lets_the_next_department_show() -> None:
    rng = random.Random(1)
    court = statement(rng, 1) | {"department": "court", "period": date(2098, 1, 1), "action": "new"}
    withdrawal = court | {"period": date(2098, 1, 2), "action": "withdraw", "delivery_id": "d2"}
    county = court | {"department": "county", "content_hash": b"z" * 16, "delivery_id": "d3"}
    assert folded([court, withdrawal, county])[0] == {court["record_key"]: b"z" * 16}


def test_two_contents_that_tie_hold_the_record() -> None:
    rng = random.Random(1)
    one = statement(rng, 1) | {"department": "court", "action": "new", "content_hash": b"a" * 16}
    other = one | {"content_hash": b"b" * 16, "delivery_id": "d2"}
    assert folded([one, other]) == ({}, {one["record_key"]})
