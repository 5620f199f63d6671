"""A Spark cluster, under the settings in which the SQL that `schemas.spark` renders means what it says.

pyspark is no part of what is installed by default (half a gigabyte); where it is missing, that is told when a cluster
is asked for the first time. Executors run SQL only: they need no Python, and are sent no key. They read and write files
of the home, so all hosts see it under the same path, as the same user.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import StoreError, UsageFault
from pipelines.model import setting
from pipelines.stores.engine import beside

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

class OnCluster(Protocol):
    cluster: Cluster


A = TypeVar("A", bound=OnCluster)
P = ParamSpec("P")
R = TypeVar("R")
ENGINES = ("duckdb", "spark")
MASTER = "QIONGXIN_SPARK_MASTER"
ROWS = "QIONGXIN_SPARK_ROWS"  # what has no more rows stays here: to plan it there would take longer
PATIENCE = 60  # seconds until a cluster without executors counts as down
PORT = 7077
TYPES = {
    pa.bool_(): "BOOLEAN", pa.int32(): "INT", pa.int64(): "BIGINT", pa.string(): "STRING", pa.binary(): "BINARY",
    pa.date32(): "DATE", pa.timestamp("us"): "TIMESTAMP_NTZ",
}  # fmt: skip
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


class Cluster:
    """A cluster to which nobody connects before something is asked of it. What it is given and gives lies as Parquet in
    `folder`, which goes when it is closed, and with the next sweep where the process was killed. Raises `StoreError`
    for whatever goes wrong there; of what Spark says no more than its kind is told, since its texts hold values."""

    def __init__(self, master: str, work: Path) -> None:
        self.master = master
        self.folder = work / f"cluster.{os.getpid()}.part"
        self.worked = Counter[str]()  # what was asked of it: "deliveries" judged, "items" folded
        self.least = int(setting(ROWS, 1_000))

    def takes(self, rows: int) -> bool:
        """Whether so many rows are worth the way."""
        return rows > self.least

    @cached_property
    def session(self) -> SparkSession:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _reach(self.master)
        try:
            with _errors_to(self.folder / "log"), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of pandas, through which nothing goes here
                opened = connect(self.master, self.folder)
        except ImportError:
            raise UsageFault("--engine spark: pyspark is not installed. Install qiongxin[spark].") from None
        except Exception as e:
            raise self._fault(e) from None
        self._await_executors(opened)
        return opened

    def close(self) -> None:
        if "session" in self.__dict__:
            with suppress(Exception):
                self.session.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, *paths: Path) -> DataFrame:
        """The rows of Parquet files, or folders of them, of one shape. Told their columns, Spark need not look into
        them for these, which is a job of its own."""
        return self.session.read.schema(columns(paths[0])).parquet(*(path.as_uri() for path in paths))

    def ask(self, sql: str, target: Path, tell: Callable[[float], None] | None = None) -> Path:
        """Write what a query gives as Parquet files of the folder `target`; returns it. `tell` hears the share done."""
        with self.guarded(), self._watched(tell or (lambda share: None)):
            self.session.sql(sql).write.mode("overwrite").parquet(target.as_uri())
        return target

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever Spark, or the way to it, is at fault for in the block is a `StoreError`."""
        try:
            yield
        except Exception as e:
            if type(e).__module__.partition(".")[0] not in ("pyspark", "py4j") and not isinstance(e, ConnectionError):
                raise
            raise self._fault(e) from None

    def _fault(self, error: Exception) -> StoreError:
        return StoreError(
            f"spark: {self.master}: {type(error).__name__}. Look into the log of the master, then run again, or with"
            " --engine duckdb."
        )

    def _await_executors(self, session: SparkSession) -> None:
        """Spark itself would wait for executors for ever, and say so in a log."""
        deadline = time.monotonic() + PATIENCE
        while not self._has_executors(session):
            if time.monotonic() > deadline:
                session.stop()
                raise StoreError(
                    f"spark: {self.master} gave no executor within {PATIENCE} s. See that a worker is up and has memory"
                    " and a core to spare, then run again."
                )
            time.sleep(0.1)

    def _has_executors(self, session: SparkSession) -> bool:
        context: Any = session.sparkContext
        return self.master.startswith("local") or context._jsc.sc().getExecutorMemoryStatus().size() > 1  # the driver

    @contextmanager
    def _watched(self, tell: Callable[[float], None]) -> Iterator[None]:
        """While the block asks something, `tell` hears how much of it is done, from another thread; which gives up for
        it where all executors are gone and none comes."""
        session, seen = self.session, dict[int, tuple[int, int]]()

        def watch(done: threading.Event) -> None:
            tracker, alive = session.sparkContext.statusTracker(), time.monotonic()
            while not done.wait(1):
                if self._has_executors(session):
                    alive = time.monotonic()
                elif time.monotonic() > alive + PATIENCE:
                    session.sparkContext.cancelAllJobs()
                for n in tracker.getActiveStageIds():
                    if info := tracker.getStageInfo(n):
                        seen[n] = info.numCompletedTasks, info.numTasks
                if every := sum(tasks for _, tasks in seen.values()):
                    tell(sum(ended for ended, _ in seen.values()) / every)

        def watch_quietly(done: threading.Event) -> None:
            with suppress(Exception):  # where the way to Spark is gone, the block itself is told so
                watch(done)

        with beside(watch_quietly):
            yield


def guarded(step: Callable[Concatenate[A, P], R]) -> Callable[Concatenate[A, P], R]:
    """A method of what works on a `cluster`: all that goes wrong with that is a `StoreError`."""

    @wraps(step)
    def guard(of: A, /, *arguments: P.args, **named: P.kwargs) -> R:
        with of.cluster.guarded():
            return step(of, *arguments, **named)

    return guard


@contextmanager
def cluster_of(engine: str, work: Path) -> Iterator[Cluster | None]:
    """The cluster that `engine` stands for, closed in the end; None for the engine of one machine. Raises `UsageFault`.
    """
    if engine not in ENGINES:
        raise UsageFault(f"--engine {engine}: no such engine. Known: {', '.join(ENGINES)}.")
    if engine == "duckdb":
        yield None
        return
    if not (master := os.environ.get(MASTER)):
        raise UsageFault(f"--engine spark: no cluster is named. Set {MASTER}, as spark://HOST:{PORT}.")
    cluster = Cluster(master, work)
    try:
        yield cluster
    finally:
        cluster.close()


def columns(path: Path) -> str:
    """The columns of a Parquet file, or of all files of a folder, in Spark's words."""
    shape = pq.read_schema(next(path.glob("*.parquet")) if path.is_dir() else path)
    return ", ".join(f"`{column.name}` {_type(column.type)}" for column in shape)


def _type(kind: pa.DataType) -> str:
    return f"DECIMAL({kind.precision}, {kind.scale})" if pa.types.is_decimal(kind) else TYPES[kind]


def _reach(master: str) -> None:
    """Raises `StoreError` where no master listens: Spark itself would try for minutes."""
    found = re.fullmatch(r"spark://(.+)", master)
    if found is None:
        return
    for address in found[1].split(","):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host.strip("[]"), int(port)), 5):
            return
    raise StoreError(f"spark: nobody listens at {master}. Start the master, or set {MASTER}, then run again.")


@contextmanager
def _errors_to(path: Path) -> Iterator[None]:
    """Whatever a process that is started meanwhile says of errors goes to a file: the driver's JVM has much to say, and
    its log may hold values."""
    kept = os.dup(2)
    try:
        with path.open("ab") as log:
            os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
