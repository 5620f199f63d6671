"""`birth_of_number`: the birth date is the one that the identity number carries (GB 11643).

Applies where the credit number carries one. People exist whose number was given with a wrong date, so it is no proof.
"""

from datetime import date
from typing import Any

from sqlglot import exp

CODE = "X005"
TYPES = ("date",)
OPTIONS = ()
REQUIRED = ()
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"value": date(1860, 7, 3), "cn_birth": date(1860, 3, 7)}, True),
    ({}, {"value": date(1860, 3, 7), "cn_birth": date(1860, 3, 7)}, False),
    ({}, {"value": None, "cn_birth": date(1860, 3, 7)}, False),
    ({}, {"value": date(1860, 3, 7), "cn_birth": None}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return "与证件号码中的出生日期一致", "the one that the identity number carries"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    return exp.NEQ(this=column.copy(), expression=exp.column("cn_birth"))
