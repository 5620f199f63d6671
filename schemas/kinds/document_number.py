"""`document_number`: 文号 has an issuing mark, a year and a serial, e.g. 琼综执罚决字〔2098〕12号, or a ticket no."""

from typing import Any

from sqlglot import exp

CODE = "V012"
TYPES = ("text",)
OPTIONS = ()
REQUIRED = ()
SHAPE = "^(?:.*[〔\\[(（【][0-9]{4}[〕\\])）】].*[0-9]+.*号?|[0-9A-Z-]{6,32})$"


def violated(column: exp.Expr, options: dict[str, Any]) -> exp.Expr:
    return exp.not_(exp.RegexpLike(this=column.copy(), expression=exp.Literal.string(SHAPE)))
