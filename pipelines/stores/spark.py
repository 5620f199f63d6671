"""A session on a Spark cluster, under the settings in which the SQL that `schemas.spark` renders means what it says.

pyspark is no part of what is installed by default (half a gigabyte); where it is missing, importing it fails in
`connect` and nowhere else. Executors run SQL only: they need no Python, and are sent no key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTINGS = {
    # Moments here have no zone; where Spark insists on one, it is that of nobody.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.ansi.enabled": "true",
    # Texts hold ${...} as it is written.
    "spark.sql.variable.substitute": "false",
    # A product keeps its places instead of being rounded to six.
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    # Texts stay out of logs and messages, as far as Spark lets them.
    "spark.sql.redaction.string.regex": "(?s).+",
    "spark.sql.maxPlanStringLength": "0",
    # Planning what is asked of the rows took longer than to answer it, most of it for what there is none of here.
    "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",
    "spark.sql.constraintPropagation.enabled": "false",
    # Deep trees are read and long texts searched by recursion.
    "spark.driver.extraJavaOptions": "-Xss16m",
    "spark.executor.extraJavaOptions": "-Xss16m",
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.eventLog.enabled": "false",
}


def connect(master: str, work: Path, more: dict[str, str] | None = None) -> SparkSession:
    """A session of this process, whose own spill lies under `work` (a restricted place). Where executors spill is for
    their workers to say, and has to be as restricted."""
    from pyspark.sql import SparkSession

    building = SparkSession.builder.appName("qiongxin").master(master)
    settings = {**SETTINGS, "spark.local.dir": str(work), "spark.sql.warehouse.dir": str(work / "none"), **(more or {})}
    for name, value in settings.items():
        building = building.config(name, value)
    return building.getOrCreate()
