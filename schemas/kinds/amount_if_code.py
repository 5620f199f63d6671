"""`amount_if_code`: where a text names a kind (e.g. 罚款), the amount is present and above zero.

Options: field (the amount), when (the text), contains (the word).
"""

import re
from typing import Any

from sqlglot import exp

CODE = "X003"
TYPES = {"field": ("integer", "decimal"), "when": ("text", "code")}
OPTIONS = ("field", "when", "contains")
REQUIRED = ("field", "when", "contains")
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"field": "fine", "when": "kind", "contains": "罚款"}, {"fine": 0, "kind": "罚款"}, True),
    ({"field": "fine", "when": "kind", "contains": "罚款"}, {"fine": None, "kind": "警告；罚款"}, True),
    ({"field": "fine", "when": "kind", "contains": "罚款"}, {"fine": 500, "kind": "罚款"}, False),
    ({"field": "fine", "when": "kind", "contains": "罚款"}, {"fine": None, "kind": "警告"}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    field, when, word = options["field"], options["when"], options["contains"]
    return f"“{when}”含“{word}”时，“{field}”应当大于零", f'where "{when}" names "{word}", "{field}" is above zero'


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
    word = options["contains"]
    if not isinstance(word, str) or not word:
        return f"{word!r} is no word. Write what the text has to contain."
    if re.search(r"[\\^$*+?|]", word):
        return f"'{word}' is looked for as it stands, not as a pattern. Write the word alone."
    return None
