"""The file judged by Great Expectations on pandas: one suite, complete results with the line of each row.

`DEFAULT` as the third argument leaves the form of results as the tool has it.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnPairMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnPairMapMetricProvider,
    column_pair_condition_partial,
)
from plain import Found, number_fits, rows_of, run

RULES: dict[str, Any] = {}


class NumberFits(ColumnPairMapMetricProvider):
    condition_metric_name = "column_pair_values.number_fits"
    condition_domain_keys = ("batch_id", "table", "column_A", "column_B", "row_condition", "condition_parser",
                             "ignore_row_if")  # fmt: skip
    condition_value_keys = ()

    @column_pair_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_A: Any, column_B: Any, **more: Any) -> Any:
        kinds, regions = RULES["certificates"], set(RULES["regions"])
        said = [number_fits(n, kinds.get(c, "111"), regions) for n, c in zip(column_A, column_B, strict=True)]
        return pd.Series(said, index=column_A.index)


class ExpectNumberToFitCertificate(ColumnPairMapExpectation):
    map_metric = "column_pair_values.number_fits"
    success_keys = ("column_A", "column_B", "ignore_row_if")
    ignore_row_if: Literal["both_values_are_missing", "either_value_is_missing", "never"] = "both_values_are_missing"


def suite_of(rules: dict[str, Any], numbers: set[str]) -> list[tuple[str, Any]]:
    """(header, expectation). `numbers` are columns of which the frame also has the values as numbers, `#` before."""
    asked: list[tuple[str, Any]] = []
    for c in rules["columns"]:
        name = c["header"]
        if c["required"]:
            asked.append((name, gxe.ExpectColumnValuesToNotBeNull(column=name)))
        if c["length"]:
            asked.append((name, gxe.ExpectColumnValueLengthsToBeBetween(column=name, max_value=c["length"])))
        if c["enum"]:
            asked.append((name, gxe.ExpectColumnValuesToBeInSet(column=name, value_set=c["enum"])))
        asked += [(name, gxe.ExpectColumnValuesToMatchRegex(column=name, regex=f"^(?:{p})$")) for p in c["patterns"]]
        if c["type"] in ("date", "timestamp"):
            form = rules["forms"][c["header"]]
            asked.append((name, gxe.ExpectColumnValuesToMatchStrftimeFormat(column=name, strftime_format=form)))
        if name in numbers:
            asked.append((name, gxe.ExpectColumnValuesToMatchRegex(column=name, regex=r"^-?\d+(\.\d+)?$")))
        for low, high in c["between"]:
            asked.append((name, gxe.ExpectColumnValuesToBeBetween(column=f"#{name}", min_value=low, max_value=high)))
    for later, earlier in rules["orders"]:
        asked.append(
            (
                later,
                gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                    column_A=f"@{later}", column_B=f"@{earlier}", or_equal=True, ignore_row_if="either_value_is_missing"
                ),
            )
        )
    for amount, _, _ in rules["amounts"]:
        asked.append((amount, gxe.ExpectColumnValuesToBeInSet(column=f"!{amount}", value_set=[True])))
    for needed, _, _ in rules["required_if"]:
        asked.append((needed, gxe.ExpectColumnValuesToBeInSet(column=f"?{needed}", value_set=[True])))
    asked.append(
        (
            rules["number"],
            ExpectNumberToFitCertificate(column_A=rules["number"], column_B=rules["certificate"]),
        )
    )
    every = [c["header"] for c in rules["columns"]]
    asked.append(("", gxe.ExpectCompoundColumnsToBeUnique(column_list=every, ignore_row_if="never")))
    return asked


def with_helpers(frame: Any, rules: dict[str, Any]) -> Any:
    """What no expectation of the tool can say of two columns is made a column first, as its users do: `#` values as
    numbers, `@` values as days, `!` whether an amount is as its kind asks, `?` whether a value is there when needed."""
    kinds = {c["header"]: c["type"] for c in rules["columns"]}
    made: dict[str, Any] = {}
    for name, kind in kinds.items():
        if kind in ("decimal", "integer"):
            made[f"#{name}"] = pd.to_numeric(frame[name], errors="coerce")
    for name in {n for pair in rules["orders"] for n in pair}:
        form = rules["forms"][name]
        made[f"@{name}"] = pd.to_datetime(frame[name], format=form, errors="coerce")
    for amount, when, words in rules["amounts"]:
        asked = frame[when].str.contains("|".join(words), na=False, regex=True)
        made[f"!{amount}"] = ~asked | frame[amount].notna() & ~(made[f"#{amount}"] <= 0)
    for needed, when, words in rules["required_if"]:
        made[f"?{needed}"] = ~frame[when].isin(words) | frame[needed].notna()
    return pd.concat([frame, pd.DataFrame(made, index=frame.index)], axis=1)


def judge(rules: dict[str, Any]) -> Found:
    RULES.update(rules)
    lines, rows, ragged = rows_of(rules)
    frame = pd.DataFrame(rows, columns=[c["header"] for c in rules["columns"]], dtype=object)
    frame = with_helpers(frame, rules)
    frame["line"] = lines
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("files").add_dataframe_asset("file")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    numbers = {c["header"] for c in rules["columns"] if c["type"] in ("decimal", "integer")}
    expectations = []
    for header, expectation in suite_of(rules, numbers):
        expectation.meta = {"header": header}
        expectations.append(expectation)
    suite = gx.ExpectationSuite(name="corpus", expectations=expectations)
    complete: Any = {"result_format": "COMPLETE", "unexpected_index_column_names": ["line"]}
    results = batch.validate(suite, result_format="BASIC" if "DEFAULT" in sys.argv else complete)
    found: set[tuple[int, str]] = {(line, "") for line in ragged}
    for result in results.results:
        if "raised_exception': True" in str(result.exception_info):
            raise SystemExit(f"{result.expectation_config.type}: {result.exception_info}")
        header = result.expectation_config.meta["header"]
        for place in result.result.get("unexpected_index_list") or ():
            found.add((int(place["line"]), header))
    return sorted(found)


if __name__ == "__main__":
    run(judge)
