"""OpenLineage events of the tasks, where whoever runs Airflow has named a transport for them.

The provider's own events hold what people wrote (why a run was started and by whom, what they answered) and the text of
any error. So these DAGs have it emit none, and their tasks tell of themselves: keys, figures, names of the catalogue.
What is told never fails a task. Read by every task process, so what it takes is imported where it is needed.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict

ASKS = "HITLOperator"
POLICY = "_openlineage_emission_policy"  # the provider's OL_EMISSION_POLICY_PARAM
log = logging.getLogger(__name__)
_noted: list[Any] = []  # what the task of this process has read and written


def is_on() -> bool:
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return False
    return not conf.is_disabled()


def look(what: str, *keys: Any) -> Any:
    """What `pipelines.lineage` says; None where nobody asks, or it failed."""
    if not is_on():
        return None
    from pipelines import lineage

    try:
        return getattr(lineage, what)(*keys)
    except Exception as e:  # its text may hold anything
        log.warning("lineage: %s: %s", what, type(e).__name__)
        return None


def note(what: str, *keys: Any) -> None:
    """The same, for the event that ends this task."""
    if (told := look(what, *keys)) is not None:
        _noted.append(told)


def callbacks() -> dict[str, list[Any]]:
    """What tasks are to call as they begin and end, as default arguments of a DAG."""
    if not is_on():
        return {}
    kinds = {"execute": "START", "success": "COMPLETE", "skipped": "COMPLETE", "retry": "FAIL", "failure": "FAIL"}
    return {f"on_{kind}_callback": [partial(_emit, state)] for kind, state in kinds.items()}


def stand_alone(dag: DAG) -> None:
    """Let the provider emit nothing of a DAG that has all its tasks. It keeps that as a parameter, which a task that
    asks a person would have to show and get back."""
    if not is_on():
        return
    from airflow.providers.openlineage.api.emission_policy import extend_global_openlineage_emission_policy

    shown = {t.task_id: ParamsDict(t.params) for t in dag.tasks if t.task_type == ASKS}
    extend_global_openlineage_emission_policy(dag, emit=False)
    for name, params in shown.items():
        dag.get_task(name).params = _Mute(params)


class _Mute(ParamsDict):
    """Parameters that a person fills in, with what the provider looks for among them and nobody else finds."""

    __slots__ = ()

    def get(self, key: str, default: Any = None) -> Any:
        return {"emit": False} if key == POLICY else super().get(key, default)


def _emit(state: str, context: Any) -> None:
    if context["task"].task_type == ASKS:
        return  # it waits for a person, ends and begins again, and has no data
    try:
        from dags import facets

        facets.emit(state, context, _noted)
    except Exception as e:
        log.warning("lineage: %s: %s", state, type(e).__name__)
