"""What a night costs on a Spark cluster, beside the same night on one machine; both have the same two processors.

Two homes with the same files: night 1 brings as many new rows as are asked for, night 2 corrects one in ten of them.
One home judges and folds here, the other on a standalone cluster of two workers on loopback. Told are wall time and the
processor time of all processes of the machine, which has to be idle otherwise, by step; and whether both releases say
the same.

    QIONGXIN_SPARK=.venv-spark .venv/bin/python -m tests.benchmarks.cluster 500000
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines import run, sampling
from pipelines.model import Home
from pipelines.query import query
from pipelines.stores.keys import open_keys
from pipelines.stores.spark import MASTER
from tests import spark_cluster
from tests.benchmarks.life import FIRST, ITEM, SENDER, corrected, some, write
from tests.conftest import discard

SHARE = 10
SAME = f"SELECT count(*), md5(string_agg(hex(content_hash), '' ORDER BY record_key)) FROM records.{ITEM}"


def busy() -> float:
    """Processor seconds that the machine has spent."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def night(home: Home, day: Any, engine: str) -> dict[str, float]:
    before, started = busy(), time.perf_counter()
    told = run.nightly(home.root, day, print, 1, engine)
    assert told["exit_code"] == 0, told
    spent = {step: seconds for step, seconds in told["seconds"].items() if step in ("check", "integrate")}
    return {**spent, "night": time.perf_counter() - started, "processor": busy() - before}


def main(rows: int) -> None:
    if why := spark_cluster.missing():
        sys.exit(f"no Spark: {why}")
    place = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="qiongxin-cluster-"))
    homes = {engine: Home(place / engine) for engine in ("duckdb", "spark")}
    try:
        sampling.generate(homes["duckdb"].root, rows=rows, seed=100, as_of=FIRST, items=(ITEM,))
        (source,) = [p for p in homes["duckdb"].inbox.glob("*/*/*") if p.suffix == ".csv"]
        shutil.copyfile(source, kept := place / "rows.csv")
        open_keys(homes["duckdb"].root)  # one key for both, or nothing of them would be equal
        shutil.copytree(homes["duckdb"].root, homes["spark"].root)
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        (place / "conf").mkdir()
        (place / "conf/spark-defaults.conf").write_text(
            "spark.executor.memory 3g\nspark.driver.memory 2g\nspark.sql.shuffle.partitions 8\n"
        )
        os.environ["SPARK_CONF_DIR"] = str(place / "conf")
        figures: dict[tuple[str, int], dict[str, float]] = {}
        with spark_cluster.cluster(place / "cluster", memory="3g") as cluster:
            os.environ[MASTER] = cluster.master
            for n in (1, 2):
                for engine, home in homes.items():
                    if n == 2:
                        period = str(FIRST + timedelta(1))
                        count = write(home, SENDER, ITEM, map(corrected, some([kept], 0, SHARE)), period=period)
                        print(f"night 2: {count:,} corrections")
                    figures[engine, n] = night(home, FIRST + timedelta(n - 1), engine)
                    print(engine, n, {k: round(v, 1) for k, v in figures[engine, n].items()}, flush=True)
        said = [query(home.root, SAME, None)[1] for home in homes.values()]
        print("equal" if said[0] == said[1] else f"DIFFERENT: {said}")
        print("| night | step | duckdb s | spark s | ratio |\n|---|---|--:|--:|--:|")
        for n in (1, 2):
            for step in figures["spark", n]:
                here, there = (figures[engine, n][step] for engine in homes)
                print(f"| {n} | {step} | {here:.1f} | {there:.1f} | {there / max(here, 0.1):.1f} |")
    finally:
        for home in homes.values():
            discard(home.root)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
