"""The tasks of the journey, as the DAGs put them together: what arrives, and what is made of it.

Small work is divided into few portions, since each task costs the start of a process; within a portion, each delivery
and each item stands for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context, task

from dags import lineage
from dags.common import (
    AT_HOME,
    FAR,
    HELD,
    HOME,
    LANDED,
    PLACES,
    RECORDS,
    RELEASE,
    WORK,
    as_of_run,
    day_of_run,
    emit_only,
    step,
)

TRANSFER = timedelta(hours=12)  # a file may be large, and the line of a department slow


def take_in(places: Sequence[str], only: bool = False) -> None:
    """Take and check what has arrived at the places of these groups, `only` what says to be of this day; answer the
    departments, and tell what has landed for which day."""
    tell(*arrive(places, only), places)


def arrive(places: Sequence[str] | None = None, only: bool = False) -> Any:
    """Take and check what has arrived, everywhere by default; returns the portions, and the task to follow with."""
    pool, limit = (PLACES, {}) if places is None or AT_HOME in places else (FAR, {"execution_timeout": TRANSFER})

    @task(pool=pool, **limit)
    def receive() -> list[list[str]]:
        from pipelines import steps

        portions = step(steps.receive, as_of_run(), day_of_run() if only else None, places)
        lineage.note("received", HOME, as_of_run(), portions)
        return portions

    @task(pool=WORK)
    def check(portion: list[str]) -> dict[str, str]:
        from pipelines import steps

        states = step(steps.check, as_of_run(), portion)
        lineage.note("checked", HOME, as_of_run(), states)
        return states

    portions = receive()
    return portions, check.expand(portion=portions)


def tell(portions: Any, checked: Any, places: Sequence[str]) -> None:
    """Answer the departments, and tell what has landed for which day."""

    @task(pool=PLACES if AT_HOME in places else FAR, trigger_rule="all_done")
    def answer() -> int:
        from pipelines import steps

        return step(steps.deliver_all, as_of_run(), places)

    @task(trigger_rule="all_done", outlets=[*LANDED.values(), HELD])
    def land(portions: list[list[str]]) -> None:
        from pipelines import steps

        told = step(steps.landed, as_of_run(), [key for portion in portions for key in portion])
        events = get_current_context()["outlet_events"]
        for department, periods in told["landed"].items():
            for period, account in periods.items():
                events[LANDED[department]].add_partitions(period)
                events[LANDED[department]].extra[period] = account
        if told["held"]:
            events[HELD].extra = {"deliveries": told["held"]}
        emit_only([*(LANDED[d] for d in told["landed"]), *([HELD] if told["held"] else [])])

    checked >> answer()
    checked >> land(portions)


def publish(scope: Callable[[], dict[str, Any]], after: Any = None) -> None:
    """What follows check, for the deliveries of the scope that the run has (steps.scope_of)."""

    @task(pool=RELEASE, trigger_rule="all_done")
    def events() -> list[dict[str, Any]]:
        """Take in the events; returns the items to integrate, in portions that bear their scope."""
        from pipelines import steps

        asked = scope()
        portions = step(steps.events, as_of_run(), asked)
        lineage.note("gathered", HOME, as_of_run())
        return [{"items": portion, "scope": asked} for portion in portions]

    @task(pool=WORK)
    def integrate(portion: dict[str, Any]) -> dict[str, str]:
        from pipelines import steps

        made = step(steps.integrate, as_of_run(), portion["items"], portion["scope"])
        lineage.note("integrated", HOME, as_of_run(), [item for item, what in made.items() if what == "candidate"])
        return made

    @task(pool=RELEASE, trigger_rule="all_done", outlets=[HELD])
    def gate() -> dict[str, str]:
        from pipelines import steps

        verdicts = step(steps.gate, as_of_run())
        lineage.note("gated", HOME, as_of_run())
        held = sorted(item for item, verdict in verdicts.items() if verdict != "passed")
        get_current_context()["outlet_events"][HELD].extra = {"items": held}
        emit_only([HELD] if held else [])
        return verdicts

    @task(pool=RELEASE, trigger_rule="all_done", outlets=list(RECORDS.values()))
    def load() -> str | None:
        from pipelines import steps

        passed = lineage.look("passed", HOME, as_of_run())
        told = step(steps.load, as_of_run())
        lineage.note("released", HOME, as_of_run(), told["release"], told["items"], passed or {})
        events = get_current_context()["outlet_events"]
        for item, account in told["items"].items():
            events[RECORDS[item]].extra = {"release": told["release"], "account": account}
        emit_only(RECORDS[item] for item in told["items"])
        return told["release"]

    @task(pool=RELEASE, trigger_rule="all_done")
    def receipts() -> int:
        from pipelines import steps

        return step(steps.receipts, as_of_run())

    @task(pool=PLACES, trigger_rule="all_done")
    def deliver() -> int:
        from pipelines import steps

        return step(steps.deliver_all, as_of_run())

    portions = events()
    if after is not None:
        after >> portions
    integrate.expand(portion=portions) >> gate() >> load() >> receipts() >> deliver()
