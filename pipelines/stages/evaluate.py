"""Great Expectations, put to work: a compiled suite over one frame of figures or one table, answered in our words.

GX is the gate and its evidence, not the row engine. Its import takes seconds, so one process a night pays it: make
one `Evaluator` and ask it for every item. It answers a broken backend with success=False, which is told apart here;
a store that cannot even be reached gives the same answer for the whole suite. Nothing but figures leaves this module.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

from schemas.suite import Asked, Figures

PASSED, FAILED, UNEVALUATED, NOT_APPLICABLE = "passed", "failed", "could_not_evaluate", "not_applicable"


@dataclass(frozen=True)
class Outcome:
    """What one expectation gave. `observed` is a figure (or column names) as text, '' when unknown."""

    name: str
    place: str
    outcome: str
    observed: str
    limit: str
    zh: str
    en: str
    error: str = ""
    decision: int | None = None  # of a person, by which it counts as passed


@contextmanager
def _without_pyspark() -> Iterator[None]:
    """Nobody finds pyspark meanwhile. GX imports what it can get of it, which serves no suite of ours; and a part of it
    ends the process where Python was started without a file, as if all were done."""
    of_it = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == "pyspark"}
    sys.modules["pyspark"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        yield
    finally:
        del sys.modules["pyspark"]
        sys.modules.update(of_it)


class Evaluator:
    """GX imported and an ephemeral context: no file, no network. `import_seconds` is what the import took."""

    def __init__(self) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        started = time.perf_counter()
        import pandas as pd
        import sqlalchemy as sa

        with _without_pyspark():
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig

        self.import_seconds = time.perf_counter() - started
        self._gx, self._frame, self._url = gx, pd.DataFrame, sa.make_url
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        source = self._context.data_sources.add_pandas("figures")
        self._frames = source.add_dataframe_asset("profile").add_batch_definition_whole_dataframe("all")
        self._sources: dict[tuple[str, str], Any] = {}
        self._count = count()  # GX wants every asset of a source to have its own name

    def figures(self, figures: Figures, asked: Iterable[Asked]) -> list[Outcome]:
        """The suite over one row of figures. A missing figure cannot be evaluated: GX would pass a null."""
        known = {name: [value] for name, value in figures.items() if value is not None}
        parameters = {"dataframe": self._frame(known)}
        return self._answer("profile", list(asked), lambda: self._frames, parameters, figures)

    def table(self, url: str, schema: str, table: str, asked: Iterable[Asked]) -> list[Outcome]:
        """The suite over one table of PostgreSQL. `url` is a SQLAlchemy URL; no connection outlives this evaluator."""

        key = (url, schema)

        def batch() -> Any:
            if key not in self._sources:
                # The schema comes with the connection; the table alone is looked up in it.
                address = self._url(url).update_query_dict({"options": f"-csearch_path={schema}"})
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # GX prefers add_postgres, which refuses a server behind a socket
                    self._sources[key] = self._context.data_sources.add_sql(
                        f"warehouse_{len(self._sources)}",
                        connection_string=address.render_as_string(hide_password=False),
                    )
            asset = self._sources[key].add_table_asset(f"{table}_{next(self._count)}", table_name=table)
            return asset.add_batch_definition_whole_table("all")

        return self._answer("staged", list(asked), batch, None, {})

    def _answer(
        self, place: str, asked: list[Asked], batch: Callable[[], Any], parameters: Any, figures: Figures
    ) -> list[Outcome]:
        put = [a for a in asked if a.expectation]
        error = ""
        results: dict[str, Any] = {}
        try:
            suite = self._gx.ExpectationSuite(
                name=place,
                expectations=[
                    getattr(self._gx.expectations, a.expectation)(**a.arguments, meta={"name": a.name}) for a in put
                ],
            )
            # The suite and its results are kept by nobody but us, so none of them is added to the context's stores.
            # BASIC carries a count or the column names; these suites hold no expectation that would list values.
            form = {"result_format": "BASIC", "partial_unexpected_count": 0}
            run = batch().get_batch(parameters).validate(suite, result_format=form)
            results = {r.expectation_config.meta["name"]: r for r in run.results if r.expectation_config}
        except Exception as e:  # whatever GX, the driver or the server raise, the answer is that it was not evaluated
            error = type(e).__name__  # its message may hold an address or a piece of SQL
        return [_outcome(place, a, results.get(a.name), error, figures) for a in asked]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for source in self._sources.values():
            source.get_engine().dispose()  # by which it looks whether a table is there
            source.get_execution_engine().engine.dispose()  # by which it asks


def _outcome(place: str, asked: Asked, result: Any, error: str, figures: Figures) -> Outcome:
    value = figures.get(asked.figure) if asked.figure else None
    if result is not None and value is None:
        value = (result.result or {}).get("observed_value")
    told = _exceptions(result.exception_info) if result is not None else []
    raised = next((i for i in told if i.get("raised_exception")), None)
    if not asked.expectation:
        outcome = NOT_APPLICABLE
    elif result is None or raised:
        outcome = UNEVALUATED
        # The last line of a traceback begins with the class of the error; what follows may hold values.
        trace = (raised or {}).get("exception_traceback") or ""
        error = error or trace.strip().rsplit("\n", 1)[-1].split(":", 1)[0][:80] or "no result"
    else:
        outcome, error = (PASSED if result.success else FAILED), ""
    zh, en = asked.zh, asked.en
    if outcome == NOT_APPLICABLE:
        zh, en, error = f"{zh}（{asked.reason_zh}）", f"{en} ({asked.reason_en})", ""
    return Outcome(asked.name, place, outcome, _text(value), asked.limit, zh, en, error)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _exceptions(info: Any) -> list[dict[str, Any]]:
    """GX nests exception_info by metric when a metric failed, and has it flat otherwise."""
    if not info:
        return []
    return [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, dict)]
