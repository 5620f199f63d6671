"""Rule kinds. One module per kind owns its options, finding code, sentence, SQL tree and examples; a table lists them.

`sentence(options)` is what a row must satisfy, in Chinese and English; options that name fields may carry labels.
`EXAMPLES` are (options, row, whether the rule fails); a field kind reads the column `value`.

A kind's `violated(...)` is an expression that is TRUE where the rule fails and NULL or FALSE otherwise, so an absent
value never fails any rule but `required`. Expressions keep to the subset that DuckDB and Spark read alike.
"""

from typing import Any

from schemas.kinds import (
    amount_if_code,
    between,
    birth_of_number,
    document_number,
    matches,
    not_after_as_of,
    not_before,
    not_before_as_of,
    not_placeholder,
    required_if,
    sex_of_number,
    unit_of_text,
)

FIELD_KINDS: dict[str, Any] = {
    "between": between,
    "birth_of_number": birth_of_number,
    "document_number": document_number,
    "matches": matches,
    "not_after_as_of": not_after_as_of,
    "not_before_as_of": not_before_as_of,
    "not_placeholder": not_placeholder,
    "sex_of_number": sex_of_number,
}
ITEM_KINDS: dict[str, Any] = {
    "amount_if_code": amount_if_code,
    "not_before": not_before,
    "required_if": required_if,
    "unit_of_text": unit_of_text,
}
