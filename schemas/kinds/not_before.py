"""`not_before`: one date of the row is not earlier than another. Options: field, other."""

from datetime import date
from typing import Any

from sqlglot import exp

CODE = "X001"
TYPES = {"field": ("date", "timestamp"), "other": ("date", "timestamp")}
OPTIONS = ("field", "other")
REQUIRED = ("field", "other")
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"field": "until", "other": "since"}, {"until": date(2098, 1, 4), "since": date(2098, 1, 5)}, True),
    ({"field": "until", "other": "since"}, {"until": date(2098, 1, 5), "since": date(2098, 1, 5)}, False),
    ({"field": "until", "other": "since"}, {"until": None, "since": date(2098, 1, 5)}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    field, other = options["field"], options["other"]
    return f"“{field}”不早于“{other}”", f'"{field}" is not earlier than "{other}"'


def violated(options: dict[str, Any]) -> exp.Expr:
    return exp.LT(this=exp.column(options["field"]), expression=exp.column(options["other"]))
