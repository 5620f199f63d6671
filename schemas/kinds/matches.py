"""`matches`: the whole text matches a regular expression (the subset RE2 and Java share). Option: pattern."""

from typing import Any

from sqlglot import exp

CODE = "V007"
OPTIONS = ("pattern",)
REQUIRED = ("pattern",)


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    pattern = f"^(?:{options['pattern']})$"
    return exp.not_(exp.RegexpLike(this=column.copy(), expression=exp.Literal.string(pattern)))
