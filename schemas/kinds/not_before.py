"""`not_before`: one date of the row is not earlier than another. Options: field, other."""

from typing import Any

from sqlglot import exp

CODE = "X001"
TYPES = {"field": ("date", "timestamp"), "other": ("date", "timestamp")}
OPTIONS = ("field", "other")
REQUIRED = ("field", "other")


def violated(options: dict[str, Any]) -> exp.Expr:
    return exp.LT(this=exp.column(options["field"]), expression=exp.column(options["other"]))
