"""Every kind of rule through all its forms: what it says, what it computes, on DuckDB and rendered for Spark."""

from typing import Any

import duckdb
import pyarrow as pa
import pytest
from sqlglot import exp

from schemas import spark
from schemas.kinds import FIELD_KINDS, ITEM_KINDS

KINDS = FIELD_KINDS | ITEM_KINDS
CASES = [
    pytest.param(name, options, row, fails, id=f"{name}-{n}")
    for name, kind in KINDS.items()
    for n, (options, row, fails) in enumerate(kind.EXAMPLES)
]


def tree(name: str, options: dict[str, Any]) -> exp.Expr:
    if name in FIELD_KINDS:
        return FIELD_KINDS[name].violated(exp.column("value"), options)
    return ITEM_KINDS[name].violated(options)


@pytest.mark.parametrize(("name", "options", "row", "fails"), CASES)
def test_an_example_comes_out_as_stated(name: str, options: dict[str, Any], row: dict[str, Any], fails: bool) -> None:
    violated = tree(name, options)
    # All examples of the kind in one table, so that an absent value has the type of the others.
    rows = [{"place": n, **row} for n, (_, row, _) in enumerate(KINDS[name].EXAMPLES)]
    place = next(n for n, example in enumerate(KINDS[name].EXAMPLES) if example == (options, row, fails))
    with duckdb.connect() as engine:
        engine.register("examples", pa.Table.from_pylist(rows))
        asked = f"SELECT coalesce({violated.sql(dialect='duckdb')}, false) FROM examples WHERE place = {place}"
        assert engine.execute(asked).fetchone() == (fails,)
    assert spark.sql(violated)


def test_no_amount_is_too_great_to_be_compared_with_a_text() -> None:
    violated = ITEM_KINDS["unit_of_text"].violated({"field": "fine", "other": "content", "yuan": 1, "word": "罚款"})
    asked = violated.sql(dialect="duckdb")
    with duckdb.connect() as engine:
        engine.execute("CREATE TABLE rows AS SELECT 99999999999999::DECIMAL(18, 2) AS fine, '罚款5元' AS content")
        assert engine.execute(f"SELECT {asked} FROM rows").fetchone() == (False,)


@pytest.mark.parametrize(("name", "options", "row", "fails"), CASES)
def test_a_sentence_names_its_options_in_both_languages(
    name: str, options: dict[str, Any], row: dict[str, Any], fails: bool
) -> None:
    zh, en = KINDS[name].sentence(options)
    for value in options.values():
        assert str(value) in zh and str(value) in en
    assert any("\u4e00" <= c <= "\u9fff" for c in zh)
    assert not zh.endswith(("。", ".")) and not en.endswith(".")


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_an_example_that_fails_and_one_that_passes(name: str) -> None:
    kind = KINDS[name]
    assert {fails for _, _, fails in kind.EXAMPLES} == {True, False}, f"schemas/kinds/{name}.py: add to EXAMPLES"
    assert all(set(kind.REQUIRED) <= set(options) <= set(kind.OPTIONS) for options, _, _ in kind.EXAMPLES)
