"""A real Spark cluster on loopback: one master and workers, each a process of its own, from the programs of pyspark.

pyspark is looked for in this environment, and then in the folder that QIONGXIN_SPARK names (`pip install --target`).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import sessions
from pipelines.stores import spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVAS = (17, 21)
WORKERS = 2
EXECUTOR = "CoarseGrainedExecutorBackend"  # how the process of one is known
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
JVMS = ("driver", "executor")
# What a test can do with: little memory, few partitions of little data, everything on loopback.
SMALL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.executor.memory": "1g",
    "spark.executor.cores": "1",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",  # plans again after each stage
    "spark.sql.codegen.wholeStage": "false",  # to compile it takes longer than few rows do
    "spark.task.maxFailures": "8",
    # To compile what runs once or twice as well as can be takes longer than to run it.
    **{f"spark.{of}.extraJavaOptions": f"{spark.SETTINGS[f'spark.{of}.extraJavaOptions']} {QUICK}" for of in JVMS},
}


@cache
def missing() -> str | None:
    """Why there can be no cluster here; None where there can."""
    folder = os.environ.get("QIONGXIN_SPARK")
    if importlib.util.find_spec("pyspark") is None and folder:
        sys.path.append(folder)
        importlib.invalidate_caches()
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed"
    java = shutil.which("java")
    if java is None:
        return "no Java"
    told = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) not in JAVAS:
        return f"Java {found[1] if found else '?'}, not {' or '.join(map(str, JAVAS))}"
    return None


@dataclass(frozen=True)
class Cluster:
    """Its address, and the session (as in `pipelines.sessions`) of each worker, in which its executors run."""

    master: str
    workers: tuple[sessions.Session, ...]

    @contextmanager
    def session(self, work: Path) -> Iterator[SparkSession]:
        """The one session of this process; the driver's JVM ends with it."""
        opened = spark.connect(self.master, work, SMALL)
        gateway = opened.sparkContext._gateway
        try:
            yield opened
        finally:
            opened.stop()
            _forget(gateway)

    def executors(self) -> list[sessions.Process]:
        """The processes that do the work."""
        return [p for w in self.workers for p in w.members() if EXECUTOR in _command(p)]

    def kill_executor(self) -> None:
        """Kill the first executor that runs, as the machine's own killer would."""
        sessions.send(self.executors()[:1], signal.SIGKILL)


@contextmanager
def cluster(folder: Path, workers: int = WORKERS, memory: str = "1g") -> Iterator[Cluster]:
    """One that is up. Its processes end, and whatever they forked, however the block is left."""
    with ExitStack() as ending:
        master = _begin(ending, folder / "master", "master.Master", "--port", "0")
        address = _said(folder / "master", master, r"(spark://[0-9.]+:[0-9]+)")
        begun = []
        for n in range(workers):
            at = folder / f"worker_{n}"
            own = ("--port", "0", "--cores", "1", "--memory", memory, "--work-dir", str(at), address)
            begun.append(_begin(ending, at, "worker.Worker", *own))
        for n, worker in enumerate(begun):
            _said(folder / f"worker_{n}", worker, r"(Successfully registered with master)")
        yield Cluster(address, tuple(begun))


def _begin(ending: ExitStack, folder: Path, program: str, *arguments: str) -> sessions.Session:
    import pyspark

    folder.mkdir(parents=True)
    home = Path(pyspark.__file__).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    own = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
    own["SPARK_DAEMON_JAVA_OPTS"] = QUICK
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{program}", "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        begun = sessions.begin([*command, "--webui-port", "0", *arguments], folder, kept | own, log)
        with begun as session:
            ending.callback(session.end)
    return session


def _said(folder: Path, of: sessions.Session, sign: str) -> str:
    """What the log of a process says, once it says it. Raises `TimeoutError`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and of.leader():
        if found := re.search(sign, (folder / "log").read_text(errors="replace")):
            return found[1]
        time.sleep(0.1)
    raise TimeoutError(f"{folder.name}: {(folder / 'log').read_text(errors='replace')[-2000:]}")


def _command(p: sessions.Process) -> str:
    with suppress(OSError):
        return Path(f"/proc/{p.pid}/cmdline").read_text(errors="replace")
    return ""


def _forget(gateway: object) -> None:
    """End the JVM of a driver that stopped: pyspark keeps it for a next one."""
    from pyspark import SparkContext

    gateway.shutdown()  # type: ignore[attr-defined]
    process: subprocess.Popen[bytes] = gateway.proc  # type: ignore[attr-defined]
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)
    SparkContext._gateway = SparkContext._jvm = None
