"""The batch profile of an item: every figure its gate asks about, as SELECTs of one row over a candidate's tables.

Relations: `current` (the records that the deliveries bring or change), `published` (record_key, content_hash,
delivery_id, was_shared: what shows now of the records they speak of), `due` (record_key: those that events or time
change), `dropped` (delivery_id: of those that a person has reverted, which moves what it moves), `arrived` and
`verdicts` (one row per row of the deliveries). All trees are
SQLGlot in the portable subset; code sets are joined, never long literal lists. Figures only: counts, and the first and
last day.
"""

from __future__ import annotations

from datetime import date

from sqlglot import exp, parse_one

from schemas.model import CodeSet, Item


def selects(item: Item, code_sets: dict[str, CodeSet], earliest: date, as_of: date) -> list[exp.Expr]:
    """The whole profile; each SELECT gives one row, and the columns of all of them together are the figures."""
    return [records(item, code_sets, earliest, as_of), *MOVEMENT]


def records(item: Item, code_sets: dict[str, CodeSet], earliest: date, as_of: date) -> exp.Expr:
    """One pass over `current`: rows, subjects_missing, nulls_<field>, outside_<field> (values outside the code set),
    and for an item with an event date events_early, events_late, event_min, event_max (ISO text, null if none)."""
    query = exp.select("COUNT(*) AS rows").from_("current")
    query = query.select("COUNT(*) - COUNT(subject_id) AS subjects_missing")
    for f in item.curated_fields:
        column = exp.column(f.name, table="current")
        query = query.select(exp.alias_(exp.Count(this=exp.Star()) - exp.Count(this=column), f"nulls_{f.name}"))
        if f.code_set is not None:
            table = f"set_{f.name}"
            known = sorted({c.code for c in code_sets[f.code_set].codes})
            rows = exp.values([(code,) for code in known], alias=table, columns=["code"])
            query = query.join(rows, on=exp.column("code", table=table).eq(column.copy()), join_type="left")
            # Without a partner in the code set only the field itself is counted.
            inside = exp.Count(this=exp.column("code", table=table))
            query = query.select(exp.alias_(exp.Count(this=column.copy()) - inside, f"outside_{f.name}"))
    if item.event_date is not None:
        day = f"CAST(current.{item.event_date} AS DATE)"
        query = query.select(
            f"COUNT(CASE WHEN {day} < CAST('{earliest.isoformat()}' AS DATE) THEN 1 END) AS events_early",
            f"COUNT(CASE WHEN {day} > CAST('{as_of.isoformat()}' AS DATE) THEN 1 END) AS events_late",
            f"CAST(MIN({day}) AS VARCHAR) AS event_min",
            f"CAST(MAX({day}) AS VARCHAR) AS event_max",
            dialect="duckdb",
        )
    return query


def _one(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")


# How many shared records would end by other rules than those of the last release: asked only where they are others,
# since what time and events end by the same rules is as it should be, however much it is.
ENDED = _one(
    "SELECT COUNT(*) AS ended_rows FROM published LEFT JOIN current ON current.record_key = published.record_key"
    " WHERE published.was_shared AND current.record_key IS NULL"
    " AND published.delivery_id NOT IN (SELECT delivery_id FROM dropped)"
    " AND published.record_key IN (SELECT record_key FROM due)"
)
# What the candidate would do to the published release, and whether every row that arrived was judged.
MOVEMENT = (
    _one(
        "SELECT COUNT(CASE WHEN current.record_key IS NULL THEN 1 END) AS removed_rows,"
        " COUNT(CASE WHEN current.content_hash <> published.content_hash THEN 1 END) AS changed_rows"
        " FROM published LEFT JOIN current ON current.record_key = published.record_key"
        " WHERE published.was_shared AND published.delivery_id NOT IN (SELECT delivery_id FROM dropped)"
        " AND published.record_key NOT IN (SELECT record_key FROM due)"
    ),
    _one("SELECT COUNT(*) AS rows_arrived FROM arrived"),
    _one("SELECT COUNT(verdict) AS rows_judged FROM verdicts"),
)
