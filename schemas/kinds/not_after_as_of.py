"""`not_after_as_of`: a date is not later than the as-of date of the run, which every compiled query carries."""

from typing import Any

from sqlglot import exp

CODE = "V008"
TYPES = ("date", "timestamp")
OPTIONS = ()
REQUIRED = ()


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    return exp.GT(this=column.copy(), expression=exp.column("as_of"))
