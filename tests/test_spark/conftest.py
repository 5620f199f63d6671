"""One cluster, and one session of it, for all modules of this folder: to begin one takes as long as several tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import spark_cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What master, workers and driver write lies under this folder."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="package")
def begun(place: Path) -> Iterator[spark_cluster.Cluster]:
    if why := spark_cluster.missing():
        pytest.skip(f"no Spark: {why}")
    with spark_cluster.cluster(place) as found:
        yield found


@pytest.fixture(scope="package")
def session(begun: spark_cluster.Cluster, place: Path) -> Iterator["SparkSession"]:
    """Of one process there is one."""
    with begun.session(place / "work") as opened:
        yield opened
