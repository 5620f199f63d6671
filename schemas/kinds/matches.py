"""`matches`: the whole text matches a regular expression (the subset RE2 and Java share). Option: pattern."""

import re
from typing import Any

from sqlglot import exp

CODE = "V007"
TYPES = ("text", "code")
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


def fault(options: dict[str, Any]) -> str | None:
    return pattern_fault(options["pattern"])


def pattern_fault(pattern: Any) -> str | None:
    """What keeps a pattern from being read alike by Python, RE2 and Java; None if nothing does."""
    if not isinstance(pattern, str) or not pattern:
        return f"{pattern!r} is no pattern. Write a regular expression as text."
    if found := re.search(r"\(\?(?:[=!]|<[=!]|P)|\\[1-9]", pattern):
        return f"'{found[0]}' is not known to RE2. Write the pattern without looking around or back."
    try:
        re.compile(pattern)
    except re.error as e:
        return f"not a regular expression: {e}. Mend the pattern."
    return None
