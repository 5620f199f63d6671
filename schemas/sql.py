"""Pieces of SQL that many write."""

from __future__ import annotations

from pathlib import Path

from sqlglot import exp, parse_one


def literal(text: str | Path) -> str:
    """A text or a path as a literal."""
    return "'" + str(text).replace("'", "''") + "'"


def tree(sql: str) -> exp.Expr:
    """An expression of DuckDB's dialect, parsed."""
    return parse_one(sql, dialect="duckdb")
