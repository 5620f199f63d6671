"""How each type reads text, as tables."""

from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from sqlglot import exp

from schemas import types
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.model import FieldSpec


def read(kind: str, text: str, **more: Any) -> Any:
    field = FieldSpec(name="f", label_zh="f", label_en="f", type=kind, **more)  # type: ignore[arg-type]
    sql = types.typed(field, types.trimmed(exp.column("x"))).sql(dialect="duckdb")
    with duckdb.connect() as engine:
        row = engine.execute(f"SELECT {sql} FROM (SELECT ? AS x)", [text]).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    "text",
    ["2098-01-05", "2098/1/5", "20980105", "2098年1月5日", "2098.1.5", " 2098-1-5\u3000", "2098-01-05 00:00:00.0"],
)
def test_date_forms_of_the_field_read_as_one_date(text: str) -> None:
    assert read("date", text) == date(2098, 1, 5)


@pytest.mark.parametrize("text", ["2025-13-05", "2098-02-30", "98-1-5", "5/1/2098", "2098/1", "长期", "72325"])
def test_what_is_no_certain_date_is_not_guessed(text: str) -> None:
    assert read("date", text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("1,000.00", "1000"), ("￥500", "500"), ("0.5", "0.5"), ("12.345", None), ("5-10", None)]
)
def test_decimal_is_exact_or_nothing(text: str, value: str | None) -> None:
    assert read("decimal", text, scale=2) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("3.0", 3), ("3.5", None), ("三", None)])
def test_integer(text: str, value: int | None) -> None:
    assert read("integer", text) == value


OPTIONS: dict[str, dict[str, Any]] = {
    "between": {"low": 0, "high": 5},
    "matches": {"pattern": "[0-9]+"},
    "not_before": {"field": "a", "other": "b"},
    "required_if": {"field": "a", "when": "b", "equals": "x"},
    "amount_if_code": {"field": "a", "when": "b", "contains": "罚款"},
}


@pytest.mark.parametrize("name", [*FIELD_KINDS, *ITEM_KINDS])
@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
def test_every_rule_kind_renders(name: str, dialect: str) -> None:
    options = OPTIONS.get(name, {})
    kind = FIELD_KINDS.get(name)
    tree = kind.violated(exp.column("x"), options) if kind else ITEM_KINDS[name].violated(options)
    assert tree.sql(dialect=dialect)
