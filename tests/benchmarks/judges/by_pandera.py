"""The file judged by pandera on pandas: every rule a check of a column or of the frame, lazily, all failure cases."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa
from plain import Found, number_fits, rows_of, run


def column(c: dict[str, Any], rules: dict[str, Any]) -> pa.Column:
    checks = []
    if c["length"]:
        checks.append(pa.Check.str_length(max_value=c["length"]))
    if c["enum"]:
        checks.append(pa.Check.isin(c["enum"]))
    checks += [pa.Check.str_matches(f"^(?:{p})$") for p in c["patterns"]]
    if c["type"] in ("date", "timestamp"):
        form = rules["forms"][c["header"]]
        checks.append(pa.Check(lambda s: pd.to_datetime(s, format=form, errors="coerce").notna(), name="date"))
    if c["type"] in ("decimal", "integer"):
        checks.append(pa.Check(lambda s: pd.to_numeric(s, errors="coerce").notna(), name="number"))
    for low, high in c["between"]:
        # What is no number is said once, by the check before.
        checks.append(
            pa.Check(
                lambda s, low=low, high=high: ~(
                    (pd.to_numeric(s, errors="coerce") < low) | (pd.to_numeric(s, errors="coerce") > high)
                ),
                name="between",
            )
        )
    return pa.Column(object, checks, nullable=not c["required"])


def judge(rules: dict[str, Any]) -> Found:
    lines, rows, ragged = rows_of(rules)
    columns = {c["header"]: c for c in rules["columns"]}
    frame = pd.DataFrame(rows, columns=list(columns), index=pd.Index(lines, name="line"), dtype=object)
    regions, kinds = set(rules["regions"]), rules["certificates"]
    number, certificate = rules["number"], rules["certificate"]

    def days(f: pd.DataFrame, name: str) -> Any:
        form = rules["forms"][name]
        return pd.to_datetime(f[name], format=form, errors="coerce")

    checks = [
        pa.Check(
            lambda f: pd.Series(
                [number_fits(n, kinds.get(c, "111"), regions) for n, c in zip(f[number], f[certificate], strict=True)],
                index=f.index,
            ),
            name=number,
        )
    ]
    for later, earlier in rules["orders"]:
        checks.append(pa.Check(lambda f, a=later, b=earlier: ~(days(f, a) < days(f, b)), name=later))
    for amount, when, words in rules["amounts"]:
        pattern = "|".join(words)
        checks.append(
            pa.Check(
                lambda f, a=amount, w=when, p=pattern: (
                    ~f[w].str.contains(p, na=False, regex=True)
                    | f[a].notna() & ~(pd.to_numeric(f[a], errors="coerce") <= 0)
                ),
                name=amount,
            )
        )
    for needed, when, words in rules["required_if"]:
        checks.append(pa.Check(lambda f, n=needed, w=when, v=words: ~f[w].isin(v) | f[n].notna(), name=needed))
    schema = pa.DataFrameSchema(
        {header: column(c, rules) for header, c in columns.items()},
        checks=checks,
        unique=list(columns),
        report_duplicates="exclude_first",
    )
    found: Found = [(line, "") for line in ragged]
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as e:
        cases = e.failure_cases[["index", "column", "schema_context", "check"]].drop_duplicates()
        for line, name, context, check in cases.itertuples(index=False):
            # A check of the whole frame lists every cell of a failing row; its name says the column it is about.
            header = name if context == "Column" else check if check in columns else ""
            found.append((int(line), str(header)))
    return sorted(set(found))


if __name__ == "__main__":
    run(judge)
