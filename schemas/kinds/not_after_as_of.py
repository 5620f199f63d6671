"""`not_after_as_of`: a date or moment is not later than the as-of date, which every compiled query carries."""

from datetime import date, datetime
from typing import Any

from sqlglot import exp

CODE = "V008"
TYPES = ("date", "timestamp")
OPTIONS = ()
REQUIRED = ()
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"value": date(2098, 1, 6), "as_of": date(2098, 1, 5)}, True),
    ({}, {"value": date(2098, 1, 5), "as_of": date(2098, 1, 5)}, False),
    ({}, {"value": datetime(2098, 1, 5, 8), "as_of": date(2098, 1, 5)}, False),
    ({}, {"value": datetime(2098, 1, 6), "as_of": date(2098, 1, 5)}, True),
    ({}, {"value": None, "as_of": date(2098, 1, 5)}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return "不晚于处理日期", "not later than the date of processing"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    day = exp.cast(column.copy(), exp.DataType.Type.DATE)  # of a moment too: all of the as-of day is past
    return exp.GT(this=day, expression=exp.column("as_of"))
