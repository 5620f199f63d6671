"""`required_if`: a field is required where another has a stated value. Options: field, when, equals."""

from typing import Any

from sqlglot import exp

CODE = "X002"
TYPES = {"when": ("text", "code")}
OPTIONS = ("field", "when", "equals")
REQUIRED = ("field", "when", "equals")
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"field": "unit", "when": "state", "equals": "broken"}, {"unit": None, "state": "broken"}, True),
    ({"field": "unit", "when": "state", "equals": "broken"}, {"unit": "甲", "state": "broken"}, False),
    ({"field": "unit", "when": "state", "equals": "broken"}, {"unit": None, "state": "kept"}, False),
    ({"field": "unit", "when": "state", "equals": "broken"}, {"unit": None, "state": None}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    field, when, value = options["field"], options["when"], options["equals"]
    return f"“{when}”为“{value}”时，必须填写“{field}”", f'where "{when}" is "{value}", "{field}" is required'


def violated(options: dict[str, Any]) -> exp.Expr:
    return exp.and_(
        exp.EQ(this=exp.column(options["when"]), expression=exp.Literal.string(str(options["equals"]))),
        exp.Is(this=exp.column(options["field"]), expression=exp.null()),
    )
