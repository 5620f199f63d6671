"""The OpenLineage event of a task, from what it tells of itself (`pipelines.lineage.Told`) and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.openlineage import api, conf
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.sdk.exceptions import AirflowFailException
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)

from dags.common import ZONE, day_of
from pipelines.errors import QiongxinError
from pipelines.lineage import Assertion, Dataset, Told

NAMESPACE = "qiongxin"
ACCOUNT = "qiongxin_rowAccount"


def emit(state: str, context: Any, told: list[Told]) -> None:
    """Send the event, and wait no longer for it to be taken than the provider would."""
    sending = Thread(target=api.emit, args=[event(state, context, told)], daemon=True)
    sending.start()
    sending.join(conf.execution_timeout())


def event(state: str, context: Any, told: list[Told]) -> RunEvent:
    """START, COMPLETE or FAIL of the try of a task."""
    ti, run = context["ti"], context["dag_run"]
    began = run.logical_date or run.run_after
    index = -1 if ti.map_index is None else ti.map_index
    of_task = OpenLineageAdapter.build_task_instance_run_id(ti.dag_id, ti.task_id, ti.try_number, began, index)
    of_run = OpenLineageAdapter.build_dag_run_id(ti.dag_id, began, run.clear_number)
    facets: dict[str, Any] = {
        "parent": parent_run.ParentRunFacet(parent_run.Run(of_run), parent_run.Job(conf.namespace(), ti.dag_id)),
        **nominal(day_of(context)),
    }
    if state == "FAIL":
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(message(context.get("exception")), "python")
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="AIRFLOW", jobType="TASK")
    return RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        eventType=RunState[state],
        run=Run(of_task, facets),
        job=Job(conf.namespace(), f"{ti.dag_id}.{ti.task_id}", {"jobType": kind}),
        inputs=[given(d) for t in told for d in t.inputs],
        outputs=[written(d) for t in told for d in t.outputs],
    )


def nominal(day: str) -> dict[str, Any]:
    """The business date of a run, as the time it stands for; a person may have asked for one that is none."""
    try:
        start = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(ZONE))
    except ValueError:
        return {}
    end = start + timedelta(1)
    return {"nominalTime": nominal_time_run.NominalTimeRunFacet(start.isoformat(), end.isoformat())}


def message(error: Any) -> str:
    """The text of our own errors, which hold no value of anybody (dags/common.py `step`); of any other, what it is."""
    if error is None:
        return "the task ended without telling why"
    return str(error) if isinstance(error, (QiongxinError, AirflowFailException)) else type(error).__name__


def given(of: Dataset) -> InputDataset:
    """A dataset that a task read, with what was found of its quality."""
    quality: dict[str, Any] = {}
    if of.rows is not None:
        metrics = data_quality_metrics_input_dataset
        nulls = {column: metrics.ColumnMetrics(nullCount=count) for column, count in of.nulls.items()}
        quality["dataQualityMetrics"] = metrics.DataQualityMetricsInputDatasetFacet(nulls, rowCount=of.rows)
    if of.assertions:
        quality["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            [asserted(a) for a in of.assertions]
        )
    return InputDataset(NAMESPACE, of.name, facets=described(of), inputFacets=quality)


def written(of: Dataset) -> OutputDataset:
    counted: dict[str, Any] = {}
    if of.rows is not None:
        counted["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(of.rows)
    return OutputDataset(NAMESPACE, of.name, facets=described(of), outputFacets=counted)


def described(of: Dataset) -> dict[str, Any]:
    columns = [
        schema_dataset.SchemaDatasetFacetFields(c.name, c.type, c.label or None, ordinal_position=n)
        for n, c in enumerate(of.columns, start=1)
    ]
    facets: dict[str, Any] = {"schema": schema_dataset.SchemaDatasetFacet(columns)}
    if of.version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(of.version)
    if of.account:
        facets[ACCOUNT] = DatasetFacet().with_additional_properties(**of.account)
    return facets


def asserted(of: Assertion) -> data_quality_assertions_dataset.Assertion:
    return data_quality_assertions_dataset.Assertion(
        of.name, of.is_held, column=of.column or None, severity="warn" if of.is_excused else "error",
        expected=of.allowed, actual=of.observed,
    )  # fmt: skip
