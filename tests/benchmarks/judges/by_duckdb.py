"""The file judged by SQL for DuckDB, as one writes it by hand for one file: one statement, every rule a condition.

The reader counts records and not lines, so the line of each is computed; rows of another width come from columns that
the file does not have. What is accepted goes to Parquet beside the file, as a night would want it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from plain import OTHER, PERSON, WEIGHTS, Found, run

MORE = 3  # a row may have so many cells too many


def name(header: str) -> str:
    return '"' + header.replace('"', '""') + '"'


def text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def listed(values: list[Any]) -> str:
    return ", ".join(map(text, values)) or "NULL"


def time(header: str, rules: dict[str, Any]) -> str:
    return f"try_strptime({name(header)}, {text(rules['forms'][header])})"


def wrong(rules: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Header, and the condition under which its cell is wrong."""
    columns = {c["header"]: c for c in rules["columns"]}
    for header, c in columns.items():
        cell = name(header)
        if c["required"]:
            yield header, f"{cell} IS NULL"
        if c["length"]:
            yield header, f"length({cell}) > {c['length']}"
        if c["enum"]:
            yield header, f"{cell} NOT IN ({listed(c['enum'])})"
        for pattern in c["patterns"]:
            yield header, f"NOT regexp_full_match({cell}, {text(pattern)})"
        if c["type"] in ("date", "timestamp"):
            yield header, f"{cell} IS NOT NULL AND {time(header, rules)} IS NULL"
        if c["type"] in ("decimal", "integer"):
            yield header, f"{cell} IS NOT NULL AND TRY_CAST({cell} AS DOUBLE) IS NULL"
        for low, high in c["between"]:
            yield header, f"TRY_CAST({cell} AS DOUBLE) NOT BETWEEN {low} AND {high}"
    number, certificate = name(rules["number"]), name(rules["certificate"])
    others = [said for said, code in rules["certificates"].items() if code in OTHER]
    (other,) = OTHER.values()
    total = " + ".join(f"{w} * TRY_CAST({number}[{n + 1}] AS INTEGER)" for n, w in enumerate(WEIGHTS))
    is_other = f"coalesce({certificate} IN ({listed(others)}), false)"
    yield rules["number"], f"""{number} IS NOT NULL AND CASE WHEN {is_other}
        THEN NOT regexp_full_match({number}, {text(other.pattern)})
        ELSE NOT regexp_full_match({number}, {text(PERSON.pattern)})
            OR (starts_with({number}, '46') AND {number}[1:6] NOT IN ({listed(rules['regions'])}))
            OR try_strptime({number}[7:14], '%Y%m%d') IS NULL
            OR '10X98765432'[({total}) % 11 + 1] <> {number}[18] END"""
    for later, earlier in rules["orders"]:
        yield later, f"{time(later, rules)} < {time(earlier, rules)}"
    for amount, when, words in rules["amounts"]:
        said = " OR ".join(f"contains({name(when)}, {text(w)})" for w in words)
        yield amount, f"({said}) AND ({name(amount)} IS NULL OR TRY_CAST({name(amount)} AS DOUBLE) <= 0)"
    for needed, when, words in rules["required_if"]:
        yield needed, f"{name(when)} IN ({listed(words)}) AND {name(needed)} IS NULL"


def judge(rules: dict[str, Any]) -> Found:
    headers = [c["header"] for c in rules["columns"]]
    more = [f"more_{n}" for n in range(MORE)]
    shape = ", ".join(f"{text(h)}: 'VARCHAR'" for h in [*headers, *more])
    cells = ", ".join(map(name, headers))
    read = f"""SELECT row_number() OVER () AS record, * FROM read_csv({text(rules['path'])}, header = false, skip = 1,
        delim = {text(rules['delimiter'])}, quote = '"', escape = '"', columns = {{{shape}}}, nullstr = '\\N',
        null_padding = true, auto_detect = false, strict_mode = false, parallel = false, max_line_size = 10000000)"""
    breaks = " + ".join(f"length({name(h)}) - length(replace({name(h)}, chr(10), ''))" for h in headers)
    empty = ", ".join(f"nullif({name(h)}, '') AS {name(h)}" for h in headers)
    ragged = " OR ".join([*(f"{name(m)} IS NOT NULL" for m in more), f"{name(headers[-1])} IS NULL"])
    found = ", ".join(f"CASE WHEN {condition} THEN {text(header)} END" for header, condition in wrong(rules))
    with duckdb.connect() as engine:
        engine.execute(f"CREATE TABLE read AS {read}")
        before = "ORDER BY record ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
        said = f"list_append([{found}], CASE WHEN copy > 1 THEN '' END)"
        engine.execute(f"""CREATE TABLE judged AS SELECT *, CASE WHEN is_ragged THEN ['']
                ELSE list_distinct(list_filter({said}, lambda x: x IS NOT NULL)) END AS wrong
            FROM (SELECT line, is_ragged, {cells},
                    row_number() OVER (PARTITION BY is_ragged, {cells} ORDER BY line) AS copy
                FROM (SELECT {ragged} AS is_ragged, {empty},
                        record + 1 + coalesce(sum({breaks}) OVER ({before}), 0) AS line FROM read))""")
        target = Path(rules["home"]) / "accepted_by_sql.parquet"
        accepted = f"SELECT line, {cells} FROM judged WHERE len(wrong) = 0"
        engine.execute(f"COPY ({accepted}) TO {text(target)} (FORMAT parquet)")
        rows = engine.execute("SELECT line, unnest(wrong) FROM judged ORDER BY ALL").fetchall()
    return [(int(line), header) for line, header in rows]


if __name__ == "__main__":
    run(judge)
