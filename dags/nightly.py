"""The night: one mapped task per delivery for receive → identify, one for the events about records of other items, one
per item for dedupe → curate, one for the gate of all items, then the release. A place of a department that fails stops
nobody else's delivery: the last task, which sends the receipts out, fails with it.

When, how often, how many retries; nothing else. Storage faults are retried, bad data never. The business date is the
run's partition, or the parameter `business_date` of a run started by hand. `QIONGXIN_NIGHTLY_CRON` (Asia/Shanghai)
schedules it; without it the DAG runs only when asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.exceptions import AirflowFailException
from airflow.sdk import CronPartitionTimetable, Param, dag, get_current_context, task

CRON = os.environ.get("QIONGXIN_NIGHTLY_CRON")
SCHEDULE = (
    CronPartitionTimetable(CRON, timezone="Asia/Shanghai", run_offset=-1, key_format="%Y-%m-%d") if CRON else None
)


def step(call: Callable[..., Any], *keys: str) -> Any:
    """Run one step of the journey for this run's business date; only a storage fault may be retried."""
    from pipelines.errors import QiongxinError, StoreError
    from schemas.model import CatalogError

    context = get_current_context()
    day = context["params"]["business_date"] or getattr(context["dag_run"], "partition_key", None)
    if not day:
        raise AirflowFailException("nightly: no business date. Trigger it with business_date = YYYY-MM-DD.")
    try:
        return call(os.environ["QIONGXIN_HOME"], day, *keys)
    except StoreError:
        raise
    except (QiongxinError, CatalogError) as e:
        raise AirflowFailException(str(e)) from None


@dag(
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    params={"business_date": Param("", type="string")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10), "retry_exponential_backoff": True},
    tags=["qiongxin"],
)
def nightly() -> None:
    @task
    def receive() -> list[str]:
        from pipelines import run

        return step(run.receive_all)

    @task(map_index_template="{{ delivery_id }}")
    def check(delivery_id: str) -> str:
        from pipelines import run

        return step(run.check, delivery_id)

    @task(trigger_rule="all_done")
    def events() -> dict[str, str]:
        from pipelines import run

        return step(run.events_of)

    @task(trigger_rule="all_done")
    def items() -> list[str]:
        from pipelines import run

        return step(run.items)

    @task(map_index_template="{{ item }}")
    def integrate(item: str) -> str:
        from pipelines import run

        return step(run.integrate, item)

    @task(trigger_rule="all_done")
    def gate() -> dict[str, str]:
        from pipelines import run

        return step(run.gate_all)

    @task(trigger_rule="all_done")
    def load() -> str | None:
        from pipelines import run

        return step(run.load_release)

    @task(trigger_rule="all_done")
    def receipts() -> int:
        from pipelines import run

        return step(run.receipts)

    @task(trigger_rule="all_done")
    def deliver() -> int:
        from pipelines import run

        return step(run.deliver_all)

    pending = items()
    check.expand(delivery_id=receive()) >> events() >> pending
    integrate.expand(item=pending) >> gate() >> load() >> receipts() >> deliver()


nightly()
