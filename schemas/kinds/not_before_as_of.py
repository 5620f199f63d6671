"""`not_before_as_of`: a date is not past on the as-of date, as of a consent that is to hold when its row is taken."""

from datetime import date
from typing import Any

from sqlglot import exp

CODE = "V023"
TYPES = ("date",)
OPTIONS = ()
REQUIRED = ()
WHEN_TAKEN = True  # time alone may turn against a record that was taken
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"value": date(2098, 1, 4), "as_of": date(2098, 1, 5)}, True),
    ({}, {"value": date(2098, 1, 5), "as_of": date(2098, 1, 5)}, False),
    ({}, {"value": None, "as_of": date(2098, 1, 5)}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return "不早于处理日期", "not earlier than the date of processing"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    return exp.LT(this=column.copy(), expression=exp.column("as_of"))
