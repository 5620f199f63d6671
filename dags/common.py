"""What the DAGs share: how a step is called, the days, the assets, the pools. No import of the pipeline: every task
process reads this first.

Business dates are those of Asia/Shanghai. A day ends at DAY_ENDS of the next morning: what comes before is still
of the night that ends. From the hour of CUT_OFF on, a day is integrated with what is in.
"""

from __future__ import annotations

import os
import tomllib
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, CronPartitionTimetable, Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from dags import lineage

HOME = os.environ.get("QIONGXIN_HOME", "var")
ZONE = "Asia/Shanghai"
DAY_ENDS = time.fromisoformat(os.environ.get("QIONGXIN_DAY_ENDS", "06:00"))
CUT_OFF = time.fromisoformat(os.environ.get("QIONGXIN_CUT_OFF", "07:00"))
CATALOG = Path(os.environ.get("QIONGXIN_CATALOG") or Path(__file__).resolve().parents[1] / "catalog").resolve()
DEPARTMENTS = tuple(sorted(p.stem for p in (CATALOG / "departments").glob("*.toml")))
ITEMS = tuple(sorted(p.stem for p in (CATALOG / "items").glob("*.toml")))

# Groups of departments whose places are asked together (exchange.groups): those that have all in the home, and each one
# that has a place elsewhere, by itself.
AT_HOME = "home"


def _has_a_place(code: str) -> bool:
    said = tomllib.loads((CATALOG / "departments" / f"{code}.toml").read_text(encoding="utf-8"))
    return "inbox" in said or "outbox" in said


ELSEWHERE = tuple(filter(_has_a_place, DEPARTMENTS))

# What each department has brought for a day, when a day may be integrated, what waits for a person, the records of each
# item as released; an event carries the row account.
LANDED = {code: Asset(f"land_{code}", group="qiongxin-landed") for code in DEPARTMENTS}
DAY_READY = Asset("day_ready", group="qiongxin")
HELD = Asset("held", group="qiongxin")
RECORDS = {code: Asset(code, group="qiongxin-records") for code in ITEMS}

# dags/pools.json says how many at a time; `qiongxin stack up` sets them up, as does `airflow pools import`.
PLACES, FAR, WORK, RELEASE = "places", "elsewhere", "work", "release"


def _where(context: Any) -> str:
    """A DAG and its day: an alert holds until a run of it succeeds."""
    run = context["dag_run"]
    return f"{run.dag_id} {getattr(run, 'partition_key', None) or context['params'].get('business_date') or ''}".strip()


def alarm(context: Any) -> None:
    """A task has failed for good: the next round of alerts tells it."""
    from pipelines import notify

    error = context.get("exception")
    notify.failed(HOME, _where(context), type(error).__name__, f"{context['ti'].task_id}: {error}")


def all_clear(context: Any) -> None:
    from pipelines import notify

    notify.succeeded(HOME, _where(context))


TOLD = lineage.callbacks()

SHARED: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "params": {"business_date": Param("", type="string", description="YYYY-MM-DD; empty: the day of the run")},
    "tags": ["qiongxin"],
    "on_success_callback": all_clear,
    "default_args": {
        "retries": 2, "retry_delay": timedelta(seconds=10), "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=2), **TOLD,
        "on_failure_callback": [alarm, *TOLD.get("on_failure_callback", [])],
    },
}  # fmt: skip


def daily(at: time) -> CronPartitionTimetable:
    """Each day at a time, for the day before."""
    cron = f"{at.minute} {at.hour} * * *"
    return CronPartitionTimetable(cron, timezone=ZONE, run_offset=-1, key_format="%Y-%m-%d")


def business_date(moment: datetime) -> date:
    """The day to which a moment belongs."""
    local = moment.astimezone(ZoneInfo(ZONE))
    return local.date() - timedelta(local.time() < DAY_ENDS)


def is_past_cut_off(day: str, moment: datetime) -> bool:
    limit = datetime.combine(date.fromisoformat(day) + timedelta(1), CUT_OFF, ZoneInfo(ZONE))
    return moment >= limit


def day_of_run() -> str:
    return day_of(get_current_context())


def day_of(context: Any) -> str:
    """The business date of a run: its partition, the parameter `business_date`, or the day on which it runs."""
    run = context["dag_run"]
    asked = context["params"].get("business_date") or getattr(run, "partition_key", None)
    return str(asked or business_date(run.run_after).isoformat())


def as_of_run() -> str:
    """The as-of date of this run: its business date, but never one that has not come yet, as the period of a delivery
    may be. By the clock of now: a run of a backfill says to be due when its partition began."""
    asked = get_current_context()["params"].get("business_date")
    return asked or min(day_of_run(), business_date(datetime.now(UTC)).isoformat())


def step(call: Callable[..., Any], *keys: Any, **more: Any) -> Any:
    """Call a step of the journey with the home, and tell its errors as a scheduler understands them: a storage fault is
    tried again, bad data and faults of the catalogue or the platform are not. Only our own errors keep their text: any
    other may hold a value of somebody."""
    from pipelines.errors import QiongxinError, StoreError, of_storage
    from schemas.model import CatalogError

    try:
        return call(HOME, *keys, **more)
    except StoreError:
        raise
    except (QiongxinError, CatalogError) as e:
        raise AirflowFailException(str(e)) from None
    except Exception as e:
        if fault := of_storage(e):
            raise fault from None
        at = traceback.extract_tb(e.__traceback__)[-1]
        place = f"{Path(at.filename).name}:{at.lineno}"
        told = f"{type(e).__name__} at {place}. Nothing was lost: mend it, then clear the task."
        raise AirflowFailException(told) from None


def finish(dag: DAG) -> None:
    """A last task that fails where any other has, since most go on after a failure: of a run only the last ones tell
    what became of it. It has nothing to do, so no process is started for it."""
    others = list(dag.tasks)
    EmptyOperator(task_id="done", trigger_rule="none_failed", retries=0) << others
    lineage.stand_alone(dag)


def emit_only(assets: Iterable[Asset]) -> None:
    """Tell no other outlet of this task as updated: an outlet without an event of its own would be told with the run's
    partition."""
    touched = {a.name for a in assets}
    task = get_current_context()["task"]
    task.outlets = [a for a in task.outlets if a.name in touched]
