"""The traffic item's night against the floors of disk and database: wall, processor time and peak memory, as ratios.

Floor A: copy the file with SHA-256, then DuckDB copies the same text to Parquet. Floor B: ADBC ingest of the same
warehouse and vault rows into empty tables with the same primary keys. Each run measures, one after the other on the
same rows, floor A, receive→curate, floor B and load, into an empty store and then as new rows on top of the filled one;
printed are the medians of the ratios. Nothing is switched off: the receipt, the gate and the import of Great
Expectations run, and are printed beside the two ratios; all of them but the import count in the one of the whole night,
whose floor is A and B together.

With `--stored N` the runs come one on top of the other in a home that is filled with N rows first. With
`--encoding gb18030` departments send that; the floor, which cannot read it, reads the same text in UTF-8.

    make bench ROWS=1000000 TIMES=5
    .venv/bin/python -m tests.benchmarks.nightly 5000000 3 --stored 20000000
"""

from __future__ import annotations

import argparse
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
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import check, checks, integrate, run, sampling
from pipelines.model import Home
from pipelines.stages import load
from pipelines.stages.candidate import read_candidate
from pipelines.stores import postgres
from schemas import load as catalogue
from schemas.arrow import record_schema
from tests.conftest import discard

ITEM = "traffic_penalty"
FIRST = date(2026, 11, 1)
CASES = ("empty", "filled")
PIECE = 5_000_000  # rows of a night that fills a home, and the most of any


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


def sent(home: Home, n: int, rows: int) -> Path:
    """The delivery of night `n`, alone in the inbox. Seeds are as far apart as the numbers of its documents need: each
    next seed has a million of its own."""
    shutil.rmtree(home.inbox, ignore_errors=True)
    sampling.generate(home.root, rows=rows, seed=1 + 6 * n, as_of=FIRST + timedelta(n), items=(ITEM,))
    (source,) = [p for p in home.inbox.glob("*/*/*") if p.suffix == ".csv"]
    return source


def in_gb18030(source: Path, place: Path) -> Path:
    """Make the delivery one in GB18030; the same text in UTF-8 as another file."""
    text = place / "text.csv"
    source.rename(text)
    with text.open(encoding="utf-8", newline="") as read, source.open("w", encoding="gb18030", newline="") as written:
        shutil.copyfileobj(read, written, 1 << 22)
    manifest = source.with_name(source.name + ".manifest.json")
    told = json.loads(manifest.read_text(encoding="utf-8")) | {"sha256": sampling.writers.sha256(source)}
    manifest.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return text


def one_night(home: Home, url: str, place: Path, n: int, rows: int, encoding: str) -> Clock:
    source, day = sent(home, n, rows), FIRST + timedelta(n)
    text = in_gb18030(source, place) if encoding == "gb18030" else source
    clock = Clock(home)
    with clock.step("floor A"):
        floor_a(text, place)
    receipt, stage = check.tell_department, load.stage
    check.tell_department, load.stage = clock.timed("receipt", receipt), clock.timed("staging", stage)
    try:
        with run.open_night(home.root, day) as night:
            with clock.step("receive→curate"):
                (delivery,) = run.take(night).deliveries
                checks.check_one(night, delivery.delivery_id)
                run.take_events(night)
                integrate.integrate_item(night, ITEM)
            candidate = read_candidate(home, ITEM)
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


@contextmanager
def opened() -> Iterator[tuple[Home, str, Path]]:
    """A home of its own, the URL of its database, and a place for the floors."""
    place = Path(tempfile.mkdtemp(prefix="qiongxin-bench-", dir="/var/tmp"))
    home = Home(place / "home")
    try:
        yield home, postgres.up(home.root), place
    finally:
        discard(home.root)
        shutil.rmtree(place, ignore_errors=True)


def on_little(rows: int, times: int, encoding: str) -> dict[str, list[Clock]]:
    """Clocks by case: each run is two nights of a home of its own."""
    found: dict[str, list[Clock]] = {case: [] for case in CASES}
    for n in range(times):
        with opened() as (home, url, place):
            for later, case in enumerate(CASES):
                found[case].append(one_night(home, url, place, later, rows, encoding))
        print(f"run {n + 1}/{times} done", file=sys.stderr, flush=True)
    return found


def on_much(rows: int, times: int, encoding: str, stored: int) -> dict[str, list[Clock]]:
    """Clocks of the nights on top of what is stored, and of those before."""
    found: list[Clock] = []
    with opened() as (home, url, place):
        filling = -(-stored // PIECE)
        for n in range(filling):
            sent(home, n, min(PIECE, stored - n * PIECE))
            night = run.nightly(home.root, FIRST + timedelta(n))
            assert night["exit_code"] == 0, night
            print(f"{min((n + 1) * PIECE, stored):,} rows stored", file=sys.stderr, flush=True)
        for n in range(times):
            found.append(one_night(home, url, place, filling + n, rows, encoding))
            print(f"run {n + 1}/{times} done", file=sys.stderr, flush=True)
    return {f"on {stored / 1e6:.0f}M": found}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("rows", type=int)
    asked.add_argument("times", type=int)
    asked.add_argument("--stored", type=int, default=0, help="rows that are there before")
    asked.add_argument("--encoding", choices=("utf-8", "gb18030"), default="utf-8")
    said = asked.parse_args()
    if said.rows > PIECE:
        asked.error(f"rows: at most {PIECE:,}")
    import_started = time.perf_counter()
    import great_expectations  # noqa: F401

    imported = time.perf_counter() - import_started
    of = (said.rows, said.times, said.encoding)
    clocks = on_much(*of, said.stored) if said.stored else on_little(*of)
    used = ("duckdb", "pyarrow", "great-expectations", "adbc-driver-postgresql")
    parts = ", ".join(f"{p} {version(p)}" for p in used)
    print(f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}, {parts}")
    print(f"{said.rows:,} rows, {said.encoding}, {said.times} runs; not counted: the import of Great Expectations,"
          f" {imported:.1f} s once a night")  # fmt: skip
    print("| store | step | wall | processor | peak |\n|---|---|--:|--:|--:|")
    for case, runs in clocks.items():
        for steps, floors in RATIOS:
            cells = [told(runs, kind, steps, floors) for kind in ("wall", "cpu")]
            peak = max(r.peak[step] for r in runs for step in steps)
            print(f"| {case} | {name_of(steps, floors)} | {' | '.join(cells)} | {peak:.2f} GB |")
        rest = {k: statistics.median(r.wall[k] for r in runs) for k in ("gate", "receipt")}
        print(f"{case}: gate {rest['gate']:.1f} s, receipt with workbook {rest['receipt']:.1f} s")


# What is held against what.
RATIOS = (
    (("receive→curate",), ("floor A",)),
    (("load",), ("floor B",)),
    (("receive→curate", "receipt", "gate", "load"), ("floor A", "floor B")),
)


def name_of(steps: tuple[str, ...], floors: tuple[str, ...]) -> str:
    return f"{steps[0] if len(steps) == 1 else 'whole night'} / {' + '.join(floors)}"


def told(runs: list[Clock], kind: str, steps: tuple[str, ...], floors: tuple[str, ...]) -> str:
    """Medians of the seconds, and of the ratio."""
    pairs = [[sum(getattr(r, kind)[name] for name in names) for names in (steps, floors)] for r in runs]
    ratio = statistics.median(ours / floor for ours, floor in pairs)
    ours, floor = (statistics.median(pair[n] for pair in pairs) for n in (0, 1))
    return f"{ours:.1f} s / {floor:.1f} s = {ratio:.2f}"


if __name__ == "__main__":
    main()
