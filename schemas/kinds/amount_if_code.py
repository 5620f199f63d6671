"""`amount_if_code`: where a text names a kind (e.g. 罚款), the amount is present and above zero.

Options: field (the amount), when (the text), contains (the word).
"""

from typing import Any

from sqlglot import exp

from schemas.kinds.matches import pattern_fault

CODE = "X003"
TYPES = {"field": ("integer", "decimal"), "when": ("text", "code")}
OPTIONS = ("field", "when", "contains")
REQUIRED = ("field", "when", "contains")


def violated(options: dict[str, Any]) -> exp.Expr:
    amount = exp.Coalesce(this=exp.column(options["field"]), expressions=[exp.Literal.number(0)])
    return exp.and_(
        exp.GT(
            this=exp.StrPosition(this=exp.column(options["when"]), substr=exp.Literal.string(options["contains"])),
            expression=exp.Literal.number(0),
        ),
        exp.LTE(this=amount, expression=exp.Literal.number(0)),
    )


def fault(options: dict[str, Any]) -> str | None:
    return pattern_fault(options["contains"])
