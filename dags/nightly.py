"""The night as one DAG, for a business date that is asked for: everything that is in the inboxes, from receive on.

It is what `qiongxin stack run` starts, and what a small place may schedule by QIONGXIN_NIGHTLY_CRON (Asia/Shanghai);
in production the DAGs of `daily.py` do the same day by day.
"""

from __future__ import annotations

import os

from airflow.sdk import CronPartitionTimetable, dag

from dags.chain import arrive, publish
from dags.common import SHARED, ZONE, finish

CRON = os.environ.get("QIONGXIN_NIGHTLY_CRON")
SCHEDULE = CronPartitionTimetable(CRON, timezone=ZONE, run_offset=-1, key_format="%Y-%m-%d") if CRON else None


@dag(schedule=SCHEDULE, **SHARED)
def nightly() -> None:
    _, checked = arrive()
    publish(dict, after=checked)


finish(nightly())
