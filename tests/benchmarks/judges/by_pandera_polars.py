"""The file judged by pandera on polars: every rule a check of a column or of the frame, lazily, all failure cases."""

from __future__ import annotations

from typing import Any

import pandera.polars as pa
import polars as pl
from pandera.polars import PolarsData
from plain import Found, number_fits, rows_of, run


def moment(name: str, form: str) -> pl.Expr:
    return pl.col(name).str.strptime(pl.Datetime, form, strict=False)


def amount(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)


def fits(expr: pl.Expr, name: str) -> pa.Check:
    """A check of one column, or of the frame, that an expression is true of each row; what is null is no failure."""
    return pa.Check(lambda data: data.lazyframe.select(expr.fill_null(True)), name=name)


def column(c: dict[str, Any], rules: dict[str, Any]) -> pa.Column:
    name, checks = c["header"], []
    if c["length"]:
        checks.append(pa.Check.str_length(max_value=c["length"]))
    if c["enum"]:
        checks.append(pa.Check.isin(c["enum"]))
    checks += [pa.Check.str_matches(f"^(?:{p})$") for p in c["patterns"]]
    is_empty = pl.col(name).is_null()
    if c["type"] in ("date", "timestamp"):
        checks.append(fits(is_empty | moment(name, rules["forms"][name]).is_not_null(), "date"))
    if c["type"] in ("decimal", "integer"):
        checks.append(fits(is_empty | amount(name).is_not_null(), "number"))
    for low, high in c["between"]:
        # What is no number is said once, by the check before.
        checks.append(fits((amount(name) >= low) & (amount(name) <= high), "between"))
    return pa.Column(pl.String, checks, nullable=not c["required"])


def judge(rules: dict[str, Any]) -> Found:
    lines, rows, ragged = rows_of(rules)
    columns = {c["header"]: c for c in rules["columns"]}
    cells = dict(zip(columns, zip(*rows, strict=True), strict=True))
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String))
    regions, kinds = set(rules["regions"]), rules["certificates"]
    number, certificate = rules["number"], rules["certificate"]

    def numbers(data: PolarsData) -> pl.LazyFrame:
        pairs = data.lazyframe.select(number, certificate).collect()
        fit = [number_fits(n, kinds.get(c, "111"), regions) for n, c in pairs.iter_rows()]
        return pl.LazyFrame({number: fit})

    checks = [pa.Check(numbers, name=number)]
    for later, earlier in rules["orders"]:
        a, b = (moment(n, rules["forms"][n]) for n in (later, earlier))
        checks.append(fits(a >= b, later))
    for paid, when, words in rules["amounts"]:
        is_asked = pl.col(when).str.contains("|".join(words)).fill_null(False)
        checks.append(fits(~is_asked | (pl.col(paid).is_not_null() & (amount(paid) > 0).fill_null(True)), paid))
    for needed, when, words in rules["required_if"]:
        checks.append(fits(~pl.col(when).is_in(words).fill_null(False) | pl.col(needed).is_not_null(), needed))
    schema = pa.DataFrameSchema(
        {header: column(c, rules) for header, c in columns.items()},
        checks=checks,
        unique=list(columns),  # both copies are reported, whatever is asked of report_duplicates
    )
    found: Found = [(line, "") for line in ragged]
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as e:
        cases = e.failure_cases.select("index", "column", "schema_context", "check").unique()
        for at, name, context, check in cases.iter_rows():
            header = name if context == "Column" else check if check in columns else ""
            found.append((lines[at] if at is not None else -1, str(header)))
    return sorted(set(found))


if __name__ == "__main__":
    run(judge)
