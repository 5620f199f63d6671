"""The night as it runs in production, day by day:

intake      whenever files have arrived: take and check them, answer the departments, tell what has landed for which
            day; intake_<department> does it for one that has a place elsewhere: a slow line delays nobody else
land        each night, and what a backfill repeats: the same for the files that say to be of one day
day_ready   whenever something landed for a day: which of its items nobody owes any more; or from the cut-off on, all
cut_off     each morning: the day is integrated with what is in
integrate   a day that is ready: events, records, gate, release, receipts
clocks      each day: what time alone makes of the records

A late file holds back its own day, a correction repeats its own day, and days may come in any order.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, time
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetWatcher,
    PartitionedAssetTimetable,
    TaskGroup,
    dag,
    get_current_context,
    task,
)

from dags.arrivals import Arrivals
from dags.chain import publish, take_in
from dags.common import (
    AT_HOME,
    CUT_OFF,
    DAY_READY,
    ELSEWHERE,
    HOME,
    LANDED,
    SHARED,
    as_of_run,
    daily,
    day_of_run,
    emit_only,
    finish,
    is_past_cut_off,
    step,
)

LOOK = float(os.environ.get("QIONGXIN_INTAKE_SECONDS", "120"))


def arrivals(place: str) -> Asset:
    name = "arrivals" if place == AT_HOME else f"arrivals_{place}"
    watcher = AssetWatcher(name=f"inboxes_{place}", trigger=Arrivals(HOME, LOOK, place))
    return Asset(name, group="qiongxin", watchers=[watcher])


def intake(place: str) -> DAG:
    @dag(dag_id="intake" if place == AT_HOME else f"intake_{place}", schedule=[arrivals(place)], **SHARED)
    def made() -> None:
        take_in([place])

    return made()


@dag(schedule=daily(time(1)), **SHARED)
def land() -> None:
    take_in([AT_HOME], only=True)
    if ELSEWHERE:
        with TaskGroup("elsewhere"):
            take_in(ELSEWHERE, only=True)


def anything(assets: list[Asset]) -> Any:
    either: Any = assets[0]
    for a in assets[1:]:
        either = either | a
    return either


@dag(schedule=PartitionedAssetTimetable(assets=anything(list(LANDED.values()))), **SHARED)
def day_ready() -> None:
    @task(outlets=[DAY_READY])
    def ready() -> list[str]:
        from pipelines import steps

        day = day_of_run()
        items = step(steps.day_ready, as_of_run(), day, is_past_cut_off(day, datetime.now(UTC)))
        get_current_context()["outlet_events"][DAY_READY].extra = {"items": items}
        emit_only([DAY_READY] if items else [])
        return items

    ready()


@dag(schedule=daily(CUT_OFF), **SHARED)
def cut_off() -> None:
    @task(outlets=[DAY_READY])
    def say() -> None:
        get_current_context()["outlet_events"][DAY_READY].extra = {"cut_off": True}

    say()


def ready_of_day() -> dict[str, Any]:
    """What became ready of the day; all that is in, where it is past its cut-off or a person started the run."""
    told = [e.extra or {} for e in get_current_context()["triggering_asset_events"].get(DAY_READY, [])]
    day = day_of_run()
    if not told or any("items" not in extra for extra in told):
        return {"last": day}
    return {"first": day, "last": day, "items": sorted({item for extra in told for item in extra["items"]})}


@dag(schedule=PartitionedAssetTimetable(assets=DAY_READY), **SHARED)
def integrate() -> None:
    publish(ready_of_day)


@dag(schedule=daily(time(0, 10)), **SHARED)
def clocks() -> None:
    publish(lambda: {"items": []})


for place in (AT_HOME, *ELSEWHERE):
    finish(intake(place))
finish(land())
finish(day_ready())
finish(cut_off())
finish(integrate())
finish(clocks())
