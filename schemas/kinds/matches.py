"""`matches`: the whole text matches a regular expression (the subset RE2 and Java share). Option: pattern."""

from typing import Any

from sqlglot import exp

CODE = "V007"
OPTIONS = ("pattern",)
REQUIRED = ("pattern",)
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"pattern": "[0-9]{3}"}, {"value": "123"}, False),
    ({"pattern": "[0-9]{3}"}, {"value": "1234"}, True),
    ({"pattern": "甲|乙"}, {"value": "甲乙"}, True),
    ({"pattern": "[0-9]{3}"}, {"value": None}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return f"全文符合 `{options['pattern']}`", f"the whole text matches `{options['pattern']}`"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    pattern = f"^(?:{options['pattern']})$"
    return exp.not_(exp.RegexpLike(this=column.copy(), expression=exp.Literal.string(pattern)))
