"""`between`: a number lies in a closed range. Options: low, high (one may be absent)."""

from typing import Any

from sqlglot import exp

CODE = "V006"
OPTIONS = ("low", "high")
REQUIRED = ()


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    low, high = options.get("low"), options.get("high")
    tests: list[exp.Expr] = []
    if low is not None:
        tests.append(exp.LT(this=column.copy(), expression=exp.Literal.number(low)))
    if high is not None:
        tests.append(exp.GT(this=column.copy(), expression=exp.Literal.number(high)))
    return exp.or_(*tests)
