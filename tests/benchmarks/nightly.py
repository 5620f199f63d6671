"""The traffic item's night against the floors of disk and database: wall, processor time and peak memory, as ratios.

Floor A: copy the file with SHA-256, then DuckDB copies the same text to Parquet. Floor B: ADBC ingest of the same
warehouse and vault rows into empty tables with the same primary keys. Each run measures, one after the other on the
same rows, floor A, receive→curate, floor B and load, into an empty store and then as new rows on top of the filled one;
printed are the medians of the ratios. Nothing is switched off: the receipt, the gate and the import of Great
Expectations run, and are printed beside the two ratios.

    make bench ROWS=1000000 TIMES=5
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import check, checks, run, sampling
from pipelines.model import Home
from pipelines.stages import curate, load
from pipelines.stores import postgres
from schemas import load as catalogue
from schemas.arrow import record_schema
from tests.conftest import discard

ITEM = "traffic_penalty"
DAYS = (("empty", date(2026, 11, 21)), ("filled", date(2026, 11, 22)))


def tree(home: Home) -> list[psutil.Process]:
    """This process, and the database server of `home` with its backends; servers of other homes are not ours."""
    data = json.loads((home.root / "postgres.json").read_text())["data"]
    server = psutil.Process(int((Path(data) / "postmaster.pid").read_text().split()[0]))
    return [psutil.Process(), server, *server.children(recursive=True)]


def processor_seconds(home: Home) -> float:
    total = 0.0
    for p in tree(home):
        try:
            t = p.cpu_times()
            total += t.user + t.system + t.children_user + t.children_system
        except psutil.Error:
            continue
    return total


@dataclass
class Clock:
    """Wall and processor seconds by step, and the greatest memory of the process tree seen in a step."""

    home: Home
    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        done, seen = threading.Event(), [0]

        def watch() -> None:
            me = psutil.Process()
            while not done.wait(0.05):
                seen[0] = max(seen[0], me.memory_info().rss)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        started, used = time.perf_counter(), processor_seconds(self.home)
        try:
            yield
        finally:
            self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - started
            self.cpu[name] = self.cpu.get(name, 0.0) + processor_seconds(self.home) - used
            done.set()
            watcher.join()
            self.peak[name] = max(self.peak.get(name, 0.0), seen[0] / 1e9)

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **more: Any) -> Any:
            with self.step(name):
                return call(*args, **more)

        return timed


def floor_a(source: Path, place: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as f, (place / "copy").open("wb") as out:
        while block := f.read(1 << 22):
            digest.update(block)
            out.write(block)
    # The dialect is told: left to guess, DuckDB takes a file with ragged rows for one column of whole lines.
    dialect = "delim=',', quote='\"', escape='\"', header=true, all_varchar=true, auto_detect=false, ignore_errors=true"
    with source.open(encoding="utf-8") as f:
        columns = ", ".join(f"'{c}': 'VARCHAR'" for c in f.readline().strip().split(","))
    with duckdb.connect() as engine:
        read = f"read_csv('{source}', {dialect}, columns={{{columns}}})"
        engine.execute(f"COPY (SELECT * FROM {read}) TO '{place}/floor.parquet' (FORMAT parquet)")


def floor_b_rows(home: Home, delivery: str, upserts: str, place: Path) -> dict[str, Path]:
    """The rows that load brings into the database, as files, so that the floor pays for nothing but the ingest."""
    accepted = f"read_parquet('{home.accepted(delivery)}')"
    seen = ", ".join(record_schema(catalogue.load().items[ITEM]).names)
    parts = {
        "records": f"SELECT {seen} FROM read_parquet('{upserts}')",
        "statement_identity": f"SELECT '{delivery}' AS delivery_id, line, coalesce(sheet, '') AS sheet,"
        f" '{ITEM}' AS item, record_key, identity FROM {accepted}",
        "subject": "SELECT subject_id, unhex(hex(subject_id) || hex(subject_id) || 'ABCD') AS credit_number,"
        f" any_value(number_kind) AS number_kind FROM {accepted} GROUP BY subject_id",
    }
    files = {}
    with duckdb.connect() as engine:
        for name, sql in parts.items():
            files[name] = place / f"floor_{name}.parquet"
            engine.execute(f"COPY ({sql}) TO '{files[name]}' (FORMAT parquet)")
    return files


def floor_b(cursor: Any, files: dict[str, Path]) -> None:
    for name, path in files.items():
        reader = pq.ParquetFile(path)
        rows = pa.RecordBatchReader.from_batches(reader.schema_arrow, reader.iter_batches(64_000))
        cursor.adbc_ingest(name, rows, mode="append", db_schema_name="floor")


def one_night(home: Home, url: str, place: Path, day: date, rows: int) -> Clock:
    sampling.generate(home.root, rows=rows, seed=day.day, as_of=day, items=(ITEM,))
    (source,) = [p for p in home.inbox.glob("*/*/*") if p.suffix == ".csv"]
    clock = Clock(home)
    with clock.step("floor A"):
        floor_a(source, place)
    receipt, stage = check.tell_department, load.stage
    check.tell_department, load.stage = clock.timed("receipt", receipt), clock.timed("staging", stage)
    try:
        with run.open_night(home.root, day) as night:
            with clock.step("receive→curate"):
                (delivery,) = run.take(night).deliveries
                checks.check_one(night, delivery.delivery_id)
                run.take_events(night)
                run.integrate_item(night, ITEM)
            candidate = curate.read_candidate(home, ITEM)
            assert candidate is not None
            files = floor_b_rows(home, delivery.delivery_id, candidate.upserts[0], place)
            with adbc.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE SCHEMA floor")
                for table, like in (
                    ("records", f"records.{ITEM}"),
                    ("statement_identity", "vault.statement_identity"),
                    ("subject", "vault.subject"),
                ):
                    keys = {"records": "record_key", "subject": "subject_id"}
                    key = keys.get(table, "delivery_id, line, sheet")
                    cursor.execute(f"CREATE TABLE floor.{table} (LIKE {like}, PRIMARY KEY ({key}))")
                connection.commit()
                with clock.step("floor B"):
                    floor_b(cursor, files)
                    connection.commit()
                cursor.execute("DROP SCHEMA floor CASCADE")
                connection.commit()
            with clock.step("gate"):
                assert run.gate_items(night) == {ITEM: "passed"}
            with clock.step("load"):
                assert run.publish_release(night)
    finally:
        check.tell_department, load.stage = receipt, stage
    for figures in (clock.wall, clock.cpu):
        figures["receive→curate"] -= figures["receipt"] + figures["staging"]
        figures["load"] += figures.pop("staging")
    clock.peak["load"] = max(clock.peak["load"], clock.peak["staging"])
    return clock


def one_run(rows: int) -> dict[str, Clock]:
    place = Path(tempfile.mkdtemp(prefix="qiongxin-bench-"))
    home = Home(place / "home")
    try:
        url = postgres.up(home.root)
        return {case: one_night(home, url, place, day, rows) for case, day in DAYS}
    finally:
        discard(home.root)
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    rows, times = int(sys.argv[1]), int(sys.argv[2])
    import_started = time.perf_counter()
    import great_expectations  # noqa: F401

    imported = time.perf_counter() - import_started
    runs = []
    for n in range(times):
        runs.append(one_run(rows))
        print(f"run {n + 1}/{times} done", file=sys.stderr, flush=True)
    used = ("duckdb", "pyarrow", "great-expectations", "adbc-driver-postgresql")
    parts = ", ".join(f"{p} {version(p)}" for p in used)
    print(f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}, {parts}")
    print(f"{rows:,} rows, {times} runs; not counted: the import of Great Expectations, {imported:.1f} s once a night")
    result: dict[str, Any] = {"rows": rows, "runs": times}
    for case, _ in DAYS:
        for step, floor in (("receive→curate", "floor A"), ("load", "floor B")):
            line = [f"{case:6} {step:15}"]
            for kind in ("wall", "cpu"):
                pairs = [(getattr(r[case], kind)[step], getattr(r[case], kind)[floor]) for r in runs]
                ratio = statistics.median(a / b for a, b in pairs)
                ours, theirs = (statistics.median(p[i] for p in pairs) for i in (0, 1))
                line.append(f"{kind} {ours:6.1f} s / {floor} {theirs:5.1f} s = {ratio:4.2f}×")
                result[f"{case} {step} {kind}"] = round(ratio, 2)
            peak = max(r[case].peak[step] for r in runs)
            print(f"{' · '.join(line)} · peak {peak:.2f} GB")
            result[f"{case} {step} peak_gb"] = round(peak, 2)
        rest = {k: statistics.median(r[case].wall[k] for r in runs) for k in ("gate", "receipt")}
        print(f"{case:6} beside them: gate {rest['gate']:.1f} s, receipt with workbook {rest['receipt']:.1f} s")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
