"""`unit_of_text`: an amount is not ten thousand times what the text of the row says in yuan, nor a ten-thousandth.

Options: field (the amount), other (the text), yuan (how many yuan one of the amount is: 1 or 10000), word (what stands
before the amount in the text, e.g. 罚款). 5000 in a column of 万元 beside 罚款5000元 is the usual slip (domain Q105).
"""

from typing import Any

from sqlglot import exp

from schemas.sql import tree

CODE = "X006"
TYPES = {"field": ("decimal",), "other": ("text",)}
OPTIONS = ("field", "other", "yuan", "word")
REQUIRED = ("field", "other", "yuan", "word")
TEN_THOUSAND = {"field": "fine", "other": "content", "yuan": 10000, "word": "罚款"}
ONE = TEN_THOUSAND | {"yuan": 1}
EXAMPLES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    (TEN_THOUSAND, {"fine": 5000, "content": "处以罚款5000元。"}, True),
    (TEN_THOUSAND, {"fine": 5000, "content": "罚款人民币5,000.00元"}, True),
    (TEN_THOUSAND, {"fine": 0.5, "content": "处以罚款5000元。"}, False),
    (TEN_THOUSAND, {"fine": 0.7, "content": "罚款5000元；罚款2000元"}, False),
    (TEN_THOUSAND, {"fine": 5000, "content": "罚款5000万元"}, False),
    (TEN_THOUSAND, {"fine": 5000, "content": "警告"}, False),
    (TEN_THOUSAND, {"fine": None, "content": "罚款5000元"}, False),
    (ONE, {"fine": 0.5, "content": "罚款5000元"}, True),
    (ONE, {"fine": 5000, "content": "罚款5000元"}, False),
]


def sentence(options: dict[str, Any]) -> tuple[str, str]:
    field, other, word, yuan = options["field"], options["other"], options["word"], options["yuan"]
    return (
        f"“{field}”（每单位 {yuan} 元）与“{other}”中“{word}”后写明的元数不相差一万倍",
        f'"{field}" (units of {yuan} yuan) is not 10,000 times what "{other}" names after {word}, or the reverse',
    )


def violated(options: dict[str, Any]) -> exp.Expr:
    field, other = options["field"], options["other"]
    found = f"regexp_extract({other}, '{options['word']}(?:人民币)?[￥¥ ]?([0-9][0-9,]{{0,11}}(?:[.][0-9]+)?) ?元', 1)"
    yuan = f"TRY_CAST(replace({found}, ',', '') AS DECIMAL(18, 6))"
    # More digits than DuckDB multiplies in 64 bits, where a great amount would overflow and stop the delivery.
    mistaken = field if options["yuan"] == 10000 else f"CAST({field} AS DECIMAL(28, 6)) * 10000"
    test = f"CASE WHEN {field} > 0 AND strpos({other}, '{options['word']}') > 0 THEN {mistaken} = {yuan} ELSE FALSE END"
    return tree(test)


def fault(options: dict[str, Any]) -> str | None:
    if options["yuan"] not in (1, 10000):
        return f"yuan = {options['yuan']!r}: a column is in yuan or in 10,000 yuan. Write 1 or 10000."
    if not isinstance(options["word"], str) or not options["word"].isalpha():
        return f"{options['word']!r} is looked for as it stands. Write the word before the amount, such as 罚款."
    return None
