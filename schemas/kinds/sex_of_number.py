"""`sex_of_number`: the sex is the one that the identity number tells: the seventeenth digit is odd for men (GB 11643).

Applies where the credit number carries one and the sex is said (1 or 2 of GB/T 2261.1). A wrong sequence digit passes
the check digit only by chance, so mostly it is the sex that was typed wrongly: a warning is enough.
"""

from typing import Any

from sqlglot import exp

from schemas.sql import tree

CODE = "X004"
TYPES = ("code",)
OPTIONS = ()
REQUIRED = ()
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"value": "2", "cn17": "46010618600307003"}, True),
    ({}, {"value": "1", "cn17": "46010618600307002"}, True),
    ({}, {"value": "1", "cn17": "46010618600307003"}, False),
    ({}, {"value": "9", "cn17": "46010618600307003"}, False),
    ({}, {"value": None, "cn17": "46010618600307003"}, False),
    ({}, {"value": "1", "cn17": None}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return "与证件号码第十七位所示的性别一致", "the one that the seventeenth digit of the identity number tells"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    sex = column.sql(dialect="duckdb")
    odd = "strpos('13579', substr(cn17, 17, 1)) > 0"
    return tree(f"({sex} = '2' AND {odd}) OR ({sex} = '1' AND NOT {odd})")
