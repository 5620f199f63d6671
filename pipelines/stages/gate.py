"""`gate`: a dataset is published, held, or could not be evaluated. GX is the evidence, not the engine."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from pipelines.stages.curate import Candidate
from schemas import suite
from schemas.model import Item

Outcome = dict[str, Any]


def delivery_reasons(read: int, account: dict[str, int], reject_rate_limit: float) -> list[tuple[str, str, str]]:
    """Why a checked delivery is held: (code, message zh, message en); empty means it passes."""
    reasons = []
    if read != sum(account.values()):
        reasons.append(("G001", "行数账不平，整批暂缓。", "The row account does not balance; the delivery is held."))
    if read and account.get("rejected", 0) > reject_rate_limit * read:
        share = account["rejected"] / read
        reasons.append(
            (
                "G002",
                f"{share:.0%} 的行被退回，超过限额 {reject_rate_limit:.0%}，整批暂缓。",
                f"{share:.0%} of the rows were rejected, above the limit of {reject_rate_limit:.0%}; delivery held.",
            )
        )
    return reasons


def gate(candidate: Candidate, item: Item, as_of: str) -> tuple[str, list[Outcome]]:
    """`passed`, `failed` or `could_not_evaluate`, with one outcome per expectation (figures only).

    Great Expectations answers a broken backend with success=False; such an outcome is told apart here.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    frame = pd.DataFrame([candidate.profile])
    outcomes = _evaluate(frame, suite.profile(item, as_of))
    if any(o["outcome"] == "could_not_evaluate" for o in outcomes):
        return "could_not_evaluate", outcomes
    if any(o["outcome"] == "failed" for o in outcomes):
        return "failed", outcomes
    return "passed", outcomes


def _evaluate(frame: pd.DataFrame, asked: list[tuple[str, dict[str, Any]]]) -> list[Outcome]:
    # Five seconds of import: only processes that gate pay it.
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    batch = (
        context.data_sources.add_pandas("figures").add_dataframe_asset("profile")
        .add_batch_definition_whole_dataframe("all")
    )  # fmt: skip
    expectations = [getattr(gx.expectations, name)(**arguments) for name, arguments in asked]
    compiled = context.suites.add(gx.ExpectationSuite(name="profile", expectations=expectations))
    definition = gx.ValidationDefinition(name="profile", data=batch, suite=compiled)
    result = definition.run(batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY")
    outcomes: list[Outcome] = []
    for one in result.results:
        asked_for = one.expectation_config
        broken = any(i.get("raised_exception") for i in _exceptions(one.exception_info))
        outcomes.append(
            {
                "expectation": asked_for.type if asked_for else "",
                "column": asked_for.kwargs.get("column", "") if asked_for else "",
                "outcome": "could_not_evaluate" if broken else "passed" if one.success else "failed",
            }
        )
    return outcomes


def _exceptions(info: Any) -> list[dict[str, Any]]:
    """GX nests exception_info by metric when a metric failed, and has it flat otherwise."""
    if not info:
        return []
    return [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, dict)]
