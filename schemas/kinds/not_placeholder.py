"""`not_placeholder`: a number that tells records apart is no word that people write where they have none (Q49, Q83).

Two decisions numbered 无 of one person would otherwise be taken for one.
"""

from typing import Any

from sqlglot import exp

CODE = "V001"
TYPES = ("text",)
OPTIONS = ()
REQUIRED = ()
SHAPE = "^(?:无|没有|暂无|不详|未提供|未知|/+|-+|—+|－+|0+|第?1?号|[Nn][Uu][Ll][Ll]|\\\\N|[Nn]/?[Aa])$"
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"value": "无"}, True),
    ({}, {"value": "——"}, True),
    ({}, {"value": "\\N"}, True),
    ({}, {"value": "1号"}, True),
    ({}, {"value": "琼综执罚决字〔2098〕12号"}, False),
    ({}, {"value": "12号"}, False),
    ({}, {"value": None}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return "不得填写“无”“/”“1号”一类的占位内容", "no placeholder such as 无, / or 1号"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    return exp.RegexpLike(this=column.copy(), expression=exp.Literal.string(SHAPE))
