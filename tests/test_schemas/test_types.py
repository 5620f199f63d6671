"""How each type reads text, as tables."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from sqlglot import exp

from schemas import spark, types
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.model import FieldSpec


def asked(kind: str, text: str, wanted: str, **more: Any) -> Any:
    """One column of the layers that read the cell `text` of a field `f`."""
    field = FieldSpec(name="f", label_zh="f", label_en="f", type=kind, **more)  # type: ignore[arg-type]
    last = exp.select(exp.alias_(types.trimmed(exp.column("x")), "t_f")).from_("given")
    for layer in ([("p_f", types.plain(field, exp.column("t_f")))], *types.steps([field])):
        last = exp.select("*", *(exp.alias_(tree, name) for name, tree in layer)).from_(last.subquery("last"))
    with duckdb.connect() as engine:
        engine.execute("CREATE TABLE given AS SELECT ? AS x", [text])
        row = engine.execute(f"SELECT {wanted} FROM ({last.sql(dialect='duckdb')})").fetchone()
    assert row is not None and spark.sql(last)
    return row[0]


def read(kind: str, text: str, **more: Any) -> Any:
    return asked(kind, text, "f", **more)


@pytest.mark.parametrize(
    "text",
    ["2098-01-05", "2098/1/5", "20980105", "2098年1月5日", "2098.1.5", " 2098-1-5\u3000", "2098-01-05 00:00:00.0",
     "２０９８－０１－０５", "2098 年 1 月 5 日", "2098年1月5号", "二〇九八年一月五日", "2098,1,5",
     "2098-01-05（星期日）",
     "2098年1月5日 8时30分", "2098-01-05 上午 8:30", "20980105083000", "2098-01-05T15:59:59Z", "2098-01-04T16:00:00Z",
     "2098-01-05T00:30:00+08:00", "2098-01-04 20:00:00+0000", "Jan 5, 2098", "5-JAN-2098", "05 January 2098",
     "Sun Jan 05 00:00:00 CST 2098", "72325", "72325.0", "72325.5", "\u202a2098/1/5"],
)  # fmt: skip
def test_date_forms_of_the_field_read_as_one_date(text: str) -> None:
    assert read("date", text) == date(2098, 1, 5)


@pytest.mark.parametrize(
    ("text", "day"),
    [("二〇九八年十月十日", date(2098, 10, 10)), ("二零九八年十二月三十一日", date(2098, 12, 31)),
     ("二○九八年二月二十日", date(2098, 2, 20)), ("二〇九八年十一月廿九日", date(2098, 11, 29)),
     ("25/1/2098", date(2098, 1, 25)), ("1/25/2098", date(2098, 1, 25)), ("5/5/2098", date(2098, 5, 5)),
     ("1546646400000", date(2019, 1, 5)), ("1546617600000", date(2019, 1, 5)), ("1546617599999", date(2019, 1, 4)),
     ("2098-01-05T16:00:00Z", date(2098, 1, 6)), ("2098-01-05T16:00:00.000+0000", date(2098, 1, 6))],
)  # fmt: skip
def test_a_rare_writing_reads_as_its_day(text: str, day: date) -> None:
    assert read("date", text) == day


@pytest.mark.parametrize(
    "text",
    ["2025-13-05", "2098-02-30", "98-1-5", "5/1/2098", "2098/1", "2098年1月", "长期", "5/1/2098 0:00", "05-01-98",
     "05-JAN-98", "0001-01-01", "9999-12-31", "20251", "二〇九八年一月", "209801", "2098010508", "epoch",
     "20983", "二〇九八年二月三十日", "1546646400", "12/13/14"],
)  # fmt: skip
def test_what_is_no_certain_date_is_not_guessed(text: str) -> None:
    assert read("date", text) is None


@pytest.mark.parametrize(
    "text", ["长期", "长期有效", "永久", "至今", "9999-12-31", "9999-9-9", "99991231", "2099-12-31"]
)
def test_a_term_without_end_is_written_as_one_day(text: str) -> None:
    assert read("date", text, is_open_ended=True) == date(2099, 12, 31)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2098-01-05 08:30:00", datetime(2098, 1, 5, 8, 30)), ("2098/1/5 8:30", datetime(2098, 1, 5, 8, 30)),
     ("2098-01-05T08:30:00", datetime(2098, 1, 5, 8, 30)), ("2098-01-05", datetime(2098, 1, 5)),
     ("20980105083000", datetime(2098, 1, 5, 8, 30)), ("20980105", datetime(2098, 1, 5)),
     ("2098-01-05 08:30:00.250", datetime(2098, 1, 5, 8, 30, 0, 250000)),
     ("2098-01-05T16:00:00Z", datetime(2098, 1, 6)), ("2098-01-05 16:00+08", datetime(2098, 1, 5, 16)),
     ("2098-01-05 16:00:00+0800", datetime(2098, 1, 5, 16)), ("2098 年 1 月 5 日 8:30", datetime(2098, 1, 5, 8, 30)),
     ("1546646400000", datetime(2019, 1, 5, 8)), ("2098-01-05T16:00:0Z", None), ("2098-01-04 20:00:00-0400", None),
     ("epoch", None), ("infinity", None), ("9999-12-31 00:00:00", None), ("208-01-05  08:30:00", None),
     ("20983-1-5 08:30:00", None), ("2098-01-05 24:00:00", datetime(2098, 1, 6)),
     ("2098-01-05 25:00:00", None), ("5/1/2098 08:30", None), ("下午三点", None)],
)  # fmt: skip
def test_a_moment_is_one_of_beijing(text: str, moment: datetime | None) -> None:
    assert read("timestamp", text) == moment


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,000.00", "1000"), ("￥500", "500"), ("0.5", "0.5"), ("12.345", None), ("5-10", None), ("0,5", None),
     ("1,0000", None), ("1,00", None), ("５００", "500"), ("1,234,567", "1234567"), ("1，000", "1000"), ("-5", "-5")],
)  # fmt: skip
def test_decimal_is_exact_or_nothing(text: str, value: str | None) -> None:
    assert read("decimal", text, scale=2, unit="km") == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("text", "yuan", "ten_thousands"),
    [("500", "500", "500"), ("500元", "500", "0.05"), ("人民币500元整", "500", "0.05"),
     ("27709 .61 元", "27709.61", "2.770961"),
     ("5万元", "50000", "5"), ("0.5万", "5000", "0.5"), ("伍仟元整", "5000", "0.5"), ("5百", "500", None),
     ("5百元", "500", "0.05"), ("壹万贰仟叁佰元", "12300", "1.23"), ("三千零五十元", "3050", "0.305"),
     ("十二元", "12", "0.0012"),
     ("壹佰零伍圆整", "105", "0.0105"), ("叁万零伍拾元", "30050", "3.005"), ("伍万元整", "50000", "5"),
     ("五百五", None, None), ("一万五", None, None), ("5-10万", None, None), ("约500元", None, None),
     ("500元/次", None, None), ("100亿元", "10000000000", "1000000"), ("9999999999亿", None, None),
     ("元整", None, None), ("1.5E+3", None, None), ("0.01元", "0.01", "0.000001"), ("500美元", None, None)],
)  # fmt: skip
def test_an_amount_is_in_the_unit_of_its_field(text: str, yuan: str | None, ten_thousands: str | None) -> None:
    for unit, scale, value in (("CNY", 2, yuan), ("10k CNY", 6, ten_thousands)):
        assert read("decimal", text, scale=scale, unit=unit) == (None if value is None else Decimal(value)), unit


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.0", 3), ("3.5", None), ("三", None), ("１２", 12), ("1,234", 1234), ("1,23", None)],
)
def test_integer(text: str, value: int | None) -> None:
    assert read("integer", text, unit="days") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("是", True), ("√", True), ("Yes", True), ("Ｙ", True), ("1.0", True), ("否", False), ("×", False),
     ("False", False),
     ("x", None), ("部分", None)],
)  # fmt: skip
def test_boolean(text: str, value: bool | None) -> None:
    assert read("boolean", text) is value


@pytest.mark.parametrize(
    "text", ["无", "暂无", "/", "--", "——", "NULL", "null", "\\N", "n/a", "（空）", "0000-00-00", "…"]
)
def test_a_placeholder_is_no_value(text: str) -> None:
    assert asked("date", text, "f IS NULL AND n_f") is True


OPTIONS: dict[str, dict[str, Any]] = {
    "between": {"low": 0, "high": 5},
    "matches": {"pattern": "[0-9]+"},
    "not_before": {"field": "a", "other": "b"},
    "required_if": {"field": "a", "when": "b", "equals": "x"},
    "unit_of_text": {"field": "a", "other": "b", "yuan": 10000, "word": "罚款"},
    "amount_if_code": {"field": "a", "when": "b", "contains": "罚款"},
}


@pytest.mark.parametrize("name", [*FIELD_KINDS, *ITEM_KINDS])
def test_every_rule_kind_renders(name: str) -> None:
    options = OPTIONS.get(name, {})
    kind = FIELD_KINDS.get(name)
    tree = kind.violated(exp.column("x"), options) if kind else ITEM_KINDS[name].violated(options)
    assert tree.sql(dialect="duckdb") and spark.sql(tree)
