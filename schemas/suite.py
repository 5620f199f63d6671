"""An item compiled into Great Expectations suites: the dataset gate, over figures and over the staged table.

Two suites, because they look at two things: `profile` at the one-row frame of batch figures (pandas), `staged` at
the warehouse's staging table by SQL. Aggregates only; no suite asks for values. A question that cannot be put tonight
(no history, too few records for a share to mean anything) is *not applicable*, with the reason, and never passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from math import floor
from typing import Any

from schemas.arrow import record_schema
from schemas.model import FieldSpec, Item

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """Dated limits of the item gate in force on the as-of date; see catalog/policy."""

    gate_minimum_rows: int
    removed_share_limit: float
    changed_share_limit: float
    ended_share_limit: float
    empty_share_rise_limit: float
    early_event_share_limit: float
    earliest_event_date: date


@dataclass(frozen=True)
class Asked:
    """One expectation: `expectation` is a class of great_expectations.expectations, '' when not applicable.

    `figure` names the observed figure of the profile, '' when the expectation brings its own; `limit` says what is
    allowed, as text; `reason_zh` and `reason_en` say why it is not applicable.
    """

    name: str
    figure: str
    limit: str
    zh: str
    en: str
    expectation: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    reason_zh: str = ""
    reason_en: str = ""


def profile(item: Item, figures: Figures, previous: Figures | None, within: Limits, as_of: date) -> list[Asked]:
    """Expectations over the batch profile (schemas/profile.py, and `published_rows`, the item's records so far).

    `previous` is the profile of the item's last batch that passed, None when there is none.
    """
    asked = [
        Asked(
            "account", "rows_judged", "= rows_arrived", "到达的每一行都有裁定", "Every row that arrived was judged",
            "ExpectColumnPairValuesToBeEqual", {"column_A": "rows_arrived", "column_B": "rows_judged"},
        ),
        _at_most("subjects_missing", 0, "每条记录都有信用主体", "Every record has its subject"),
    ]  # fmt: skip
    for f in item.curated_fields:
        if f.is_always_required:
            zh, en = f"必填项“{f.label_zh}”没有空值", f"Required {f.name} is filled"
            asked.append(_at_most(f"nulls_{f.name}", 0, zh, en))
        elif f.role in ("attribute", "remarks") and f.holds(as_of):
            asked.append(_empty_share(f, figures, previous, within))
        if f.code_set is not None:
            zh, en = f"“{f.label_zh}”都在代码表中", f"{f.name} holds only codes of {f.code_set}"
            asked.append(_at_most(f"outside_{f.name}", 0, zh, en))
    if item.event_date is not None:
        asked += _events(item.field(item.event_date), figures, within, as_of)
    return asked + _movement(figures, within)


def staged(item: Item, rows: int, schema: str, table: str) -> list[Asked]:
    """Expectations over the staging table: its columns, its row count, its key. One scan, for the count.

    A valid primary key is unique and never null (PostgreSQL, "Constraints"), so asking the system catalogue about it
    says the same as a search through the rows, at no cost.
    """
    columns = list(record_schema(item).names)
    key = (
        "SELECT 1 AS missing WHERE NOT EXISTS (SELECT 1 FROM {batch} WHERE FALSE) AND NOT EXISTS ("
        " SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        f" WHERE n.nspname = '{schema}' AND c.relname = '{table}' AND a.attname = 'record_key' AND a.attnotnull"
        " AND i.indnatts = 1 AND i.indisprimary AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indisready)"
    )
    return [
        Asked(
            "columns", "", f"{len(columns)} columns", "暂存表的列与目录一致",
            "The staged table has the columns of the catalogue and no others",  # one added later stands behind
            "ExpectTableColumnsToMatchSet", {"column_set": columns, "exact_match": True},
        ),
        Asked(
            "staged_rows", "", f"= {rows:,}", "暂存表的行数等于候选的记录数",
            "The staged table has as many rows as the candidate has records",
            "ExpectTableRowCountToEqual", {"value": rows},
        ),
        Asked(
            "primary_key", "", "PRIMARY KEY (record_key), valid", "主键存在且有效：键唯一、非空",
            "The primary key exists and is valid: keys are unique and never null",
            "UnexpectedRowsExpectation", {"unexpected_rows_query": key},
        ),
    ]  # fmt: skip


def _at_most(figure: str, most: int, zh: str, en: str, limit: str = "") -> Asked:
    arguments = {"column": figure, "min_value": 0, "max_value": most}
    limit = limit or (f"<= {most:,}" if most else "= 0")
    return Asked(figure, figure, limit, zh, en, "ExpectColumnValuesToBeBetween", arguments)


def _share(figure: str, whole: int, share: float, within: Limits, zh: str, en: str) -> Asked:
    """At most `share` of `whole` records, once there are enough of them."""
    least = within.gate_minimum_rows
    if whole < least:
        reason = (f"不足 {least} 条，不判断比例", f"fewer than {least} records: no share is judged")
        return Asked(figure, figure, f"<= {share:.0%}", zh, en, reason_zh=reason[0], reason_en=reason[1])
    most = floor(share * whole + 1e-9)  # 0.07 x 100 is 7.000000000000001
    return _at_most(figure, most, zh, en, f"<= {most:,} ({share:.0%} / {whole:,})")


def _empty_share(f: FieldSpec, figures: Figures, previous: Figures | None, within: Limits) -> Asked:
    """An optional field may be empty, but not suddenly: a column that a department no longer sends shows here."""
    name, zh, en = f"nulls_{f.name}", f"“{f.label_zh}”没有突然空缺", f"{f.name} is not suddenly empty"
    if previous is None or previous.get(name) is None or previous["rows"] < within.gate_minimum_rows:
        return Asked(name, name, "", zh, en, reason_zh="没有可比的上一批", reason_en="no earlier batch to compare with")
    share = min(1.0, previous[name] / previous["rows"] + within.empty_share_rise_limit)
    return _share(name, figures.get("rows") or 0, share, within, zh, en)


def _events(f: FieldSpec, figures: Figures, within: Limits, as_of: date) -> list[Asked]:
    first = within.earliest_event_date
    early = _share(
        "events_early", figures.get("rows") or 0, within.early_event_share_limit, within,
        f"“{f.label_zh}”早于 {first} 的不超过限额", f"{f.name} is seldom before {first}",
    )  # fmt: skip
    # Only where the rows were held to it: an item may declare events that lie ahead.
    if any(rule.kind == "not_after_as_of" and rule.severity == "error" for rule in f.rules):
        return [early, _at_most("events_late", 0, f"“{f.label_zh}”不晚于 {as_of}", f"{f.name} is not after {as_of}")]
    return [early]


def _movement(figures: Figures, within: Limits) -> list[Asked]:
    published = figures.get("published_rows") or 0
    ended = _share("ended_rows", published, within.ended_share_limit, within,
                   "目录或规则变更后，没有大批记录终止共享", "New rules do not end records in masses")  # fmt: skip
    return [
        *([ended] if "ended_rows" in figures else []),
        _share("removed_rows", published, within.removed_share_limit, within,
               "已发布的记录没有大批消失", "Published records do not disappear in masses"),
        _share("changed_rows", published, within.changed_share_limit, within,
               "已发布的记录没有大批变更", "Published records do not change in masses"),
    ]  # fmt: skip
