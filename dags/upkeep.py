"""What keeps the night in order:

approval       when something is held: people are asked, with the figures; what they decide is carried out
replay         on demand: deliveries of past periods judged again under today's catalogue, shown or applied
alerts         every ten minutes: who runs the platform is told what is wrong, and what is over
housekeeping   each day: what is past its limit, unused files, compaction, statistics of the database
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, dag, get_current_context, task, task_group

from dags.common import (
    DAY_READY,
    HELD,
    LANDED,
    PLACES,
    RELEASE,
    SHARED,
    WORK,
    as_of_run,
    daily,
    emit_only,
    finish,
    step,
)

APPROVE, REJECT, WAIVE, WAIT = "Approve", "Reject", "Waive", "Leave it held"
ASKED = {
    "reason": Param("", type="string", description="why; the department reads it. No name, no number of a person"),
    "until": Param("", type="string", description="of a waiver: its last day, YYYY-MM-DD"),
}


@dag(schedule=[HELD], **{**SHARED, "max_active_runs": 16})
def approval() -> None:
    @task
    def held() -> list[dict[str, Any]]:
        """What is held and nobody was asked of yet."""
        from pipelines import steps

        return step(steps.held, as_of_run())

    @task_group
    def each(thing: dict[str, Any]) -> None:
        @task
        def evidence(thing: dict[str, Any]) -> dict[str, Any]:
            return thing

        asked = HITLOperator(
            task_id="ask",
            subject="{{ ti.xcom_pull(task_ids='each.evidence', map_indexes=ti.map_index)['subject'] }}",
            body="{{ ti.xcom_pull(task_ids='each.evidence', map_indexes=ti.map_index)['body'] }}",
            options=[APPROVE, REJECT, WAIVE, WAIT],
            params=ASKED,
            retries=0,
            execution_timeout=None,
        )

        @task(pool=WORK, outlets=[*LANDED.values(), DAY_READY])
        def carry_out(thing: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
            from pipelines import steps

            said, by = answer["params_input"], answer["responded_by_user"]
            does = {APPROVE: "approve", REJECT: "reject", WAIVE: "waive"}.get(answer["chosen_options"][0])
            if does is None:
                emit_only([])
                return {"does": "nothing"}
            who = (by or {}).get("name") or (by or {}).get("id") or "?"
            told = step(steps.decide, as_of_run(), thing["key"], does, who, said["reason"], said["until"])
            events = get_current_context()["outlet_events"]
            touched = []
            for department, periods in told["landed"].items():
                events[LANDED[department]].add_partitions(list(periods))
                touched.append(LANDED[department])
            if told["ready"]:
                events[DAY_READY].add_partitions(told["ready"])
                events[DAY_READY].extra = {"items": [thing["item"]]}
                touched.append(DAY_READY)
            emit_only(touched)
            return told

        known = evidence(thing)
        known >> asked
        carry_out(known, asked.output)

    each.expand(thing=held())


@dag(
    schedule=None,
    **{
        **SHARED,
        "params": {
            **SHARED["params"],
            "first": Param("", type="string", description="first period, YYYY-MM-DD"),
            "last": Param("", type="string", description="last period; the same by default"),
            "apply": Param(False, type="boolean", description="let rows come back; else nothing is changed"),
        },
    },
)
def replay() -> None:
    @task(pool=RELEASE)
    def judge() -> dict[str, Any]:
        from pipelines import steps

        asked = get_current_context()["params"]
        return step(steps.replay, as_of_run(), asked["first"], asked["last"] or asked["first"], asked["apply"])

    @task(pool=PLACES, trigger_rule="all_done")
    def deliver() -> int:
        from pipelines import steps

        return step(steps.deliver_all, as_of_run())

    judge() >> deliver()


@dag(schedule=daily(time(4)), **SHARED)
def housekeeping() -> None:
    @task(pool=RELEASE)
    def tidy() -> dict[str, Any]:
        from pipelines import steps

        return step(steps.tidy, as_of_run())

    tidy()


@dag(schedule="*/10 * * * *", **SHARED)
def alerts() -> None:
    @task(retries=0)
    def look() -> dict[str, Any]:
        """Tell who runs the platform what is wrong, or over; fails where a notifier does, and the next look tries."""
        from pipelines import notify
        from pipelines.errors import StoreError

        sent = step(notify.send, datetime.now(UTC))
        if sent.failed:
            raise StoreError(f"alerts: {', '.join(sent.failed)}")
        return {"holding": sent.holding, "over": sent.over}

    look()


finish(approval())
finish(replay())
finish(housekeeping())
finish(alerts())
