"""What each field type reads: text -> typed value, as SQLGlot trees.

A typed expression is NULL where the text is no value of the type; the caller tells 'absent' from 'unreadable'.
Date forms: 2098-01-05, 2098/1/5, 2098.1.5, 20980105, 2098年1月5日, each also with a time behind it (domain Q100).
"""

from __future__ import annotations

from sqlglot import exp, parse_one

from schemas.characters import may_be_cut, without_cut
from schemas.model import FieldSpec

# Characters that people see as blank at either end of a cell (Q05, Q45, Q61).
BLANKS = " \t\r\n\u00a0\u3000\u200b\ufeff"
TRUE_WORDS = ("是", "Y", "y", "1", "true", "TRUE", "√")
FALSE_WORDS = ("否", "N", "n", "0", "false", "FALSE", "×")
CODES = {"date": "V002", "decimal": "V003", "integer": "V003", "timestamp": "V009", "boolean": "V010", "code": "V004"}


def trimmed(column: exp.Expr) -> exp.Expr:
    """Text without blanks at its ends; an all-blank cell is NULL.

    Trimming a set of characters costs four times what looking at the two ends costs, and few cells need it.
    """
    sql = column.sql(dialect="duckdb")
    ends = [f"strpos('{BLANKS}', substr({sql}, {at}, 1)) > 0" for at in (1, -1)]
    tree = f"CASE WHEN {' OR '.join(ends)} THEN nullif(trim({sql}, '{BLANKS}'), '') ELSE {sql} END"
    return parse_one(tree, dialect="duckdb")


def typed(field: FieldSpec, text: exp.Expr) -> exp.Expr:
    """The value of `field` read from trimmed `text`; codes are resolved by a join, not here."""
    sql = text.sql(dialect="duckdb")
    if field.type == "date":
        tree = f"""CASE
            WHEN regexp_matches({sql}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$') THEN TRY_CAST({sql} AS DATE)
            WHEN regexp_matches({sql}, '^[0-9]{{8}}$')
            THEN TRY_CAST(concat(substr({sql},1,4),'-',substr({sql},5,2),'-',substr({sql},7,2)) AS DATE)
            WHEN regexp_matches({sql}, '^[0-9]{{4}}([-/.年])[0-9]{{1,2}}([-/.月])[0-9]{{1,2}}日?([ T][0-9:.]*)?$')
            THEN TRY_CAST(translate(regexp_extract({sql}, '^([0-9]{{4}}[-/.年][0-9]{{1,2}}[-/.月][0-9]{{1,2}})', 1),
                '/.年月', '----') AS DATE) END"""
        return parse_one(tree, dialect="duckdb")
    if field.type == "timestamp":
        plain = f"CASE WHEN strpos({sql}, '/') > 0 THEN replace({sql}, '/', '-') ELSE {sql} END"
        return parse_one(f"TRY_CAST({plain} AS TIMESTAMP)", dialect="duckdb")
    if field.type == "decimal":
        plain = f"translate({sql}, ',，￥¥元', '')"
        exact = f"'^[+-]?[0-9]{{1,14}}([.][0-9]{{0,{field.scale}}}0*)?$'"
        kind = f"DECIMAL(18, {field.scale})"
        tree = f"""CASE WHEN regexp_matches({sql}, {exact}) THEN TRY_CAST({sql} AS {kind})
            WHEN regexp_matches({plain}, {exact}) THEN TRY_CAST({plain} AS {kind}) END"""
        return parse_one(tree, dialect="duckdb")
    if field.type == "integer":
        return parse_one(
            f"CASE WHEN regexp_matches({sql}, '^[+-]?[0-9]{{1,18}}$') THEN TRY_CAST({sql} AS BIGINT)"
            f" WHEN regexp_matches({sql}, '^[+-]?[0-9]{{1,18}}[.]0+$') THEN"
            f" TRY_CAST(substr({sql}, 1, strpos({sql}, '.') - 1) AS BIGINT) END",
            dialect="duckdb",
        )
    if field.type == "boolean":
        return parse_one(
            f"CASE WHEN {sql} IN {TRUE_WORDS} THEN TRUE WHEN {sql} IN {FALSE_WORDS} THEN FALSE END", dialect="duckdb"
        )
    return parse_one(without_cut(sql), dialect="duckdb") if may_be_cut(field) else text.copy()
