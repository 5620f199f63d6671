"""`document_number`: 文号 has an issuing mark, a year and a serial, e.g. 琼综执罚决字〔2098〕12号, or a ticket no."""

from typing import Any

from sqlglot import exp

CODE = "V012"
TYPES = ("text",)
OPTIONS = ()
REQUIRED = ()
SHAPE = "^(?:.*[〔\\[(（【][0-9]{4}[〕\\])）】].*[0-9]+.*号?|[0-9A-Z-]{6,32})$"
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"value": "琼综执罚决字〔2098〕12号"}, False),
    ({}, {"value": "4601061234567890"}, False),
    ({}, {"value": "12号"}, True),
    ({}, {"value": None}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    return (
        "写全机关代字、年份和序号，如 琼综执罚决字〔2098〕12号；或 6–32 位的票据编号",
        "mark, year and serial in full, like 琼综执罚决字〔2098〕12号, or a ticket number (6 to 32 characters)",
    )


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    return exp.not_(exp.RegexpLike(this=column.copy(), expression=exp.Literal.string(SHAPE)))
