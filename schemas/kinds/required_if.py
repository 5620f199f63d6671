"""`required_if`: a field is required where another has a stated value. Options: field, when, equals."""

from typing import Any

from sqlglot import exp

CODE = "X002"
TYPES = {"when": ("text", "code")}
OPTIONS = ("field", "when", "equals")
REQUIRED = ("field", "when", "equals")


def violated(options: dict[str, Any]) -> exp.Expr:
    return exp.and_(
        exp.EQ(this=exp.column(options["when"]), expression=exp.Literal.string(str(options["equals"]))),
        exp.Is(this=exp.column(options["field"]), expression=exp.null()),
    )
