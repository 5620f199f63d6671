"""receive→curate against floor A, load against floor B, traffic item, interleaved; wall seconds and peak memory.

Floor A: copy the file with SHA-256, then DuckDB copies the same text to Parquet. Floor B: ADBC ingest of the same
warehouse and vault rows into empty tables with the same keys. Run: `make bench ROWS=1000000 TIMES=5`. The as-new case
begins with an empty store; the filled case sends a second file of new rows on top of the first.
"""

from __future__ import annotations

import hashlib
import resource
import shutil
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import duckdb

from pipelines import run, sampling
from pipelines.model import Home
from pipelines.stages import load
from pipelines.stores import postgres

DAYS = ("2026-11-21", "2026-11-22")


def floor_a(source: Path, place: Path) -> float:
    started = time.perf_counter()
    digest = hashlib.sha256()
    with source.open("rb") as f, (place / "copy").open("wb") as out:
        while block := f.read(1 << 22):
            digest.update(block)
            out.write(block)
    with duckdb.connect() as engine:
        engine.execute(
            f"COPY (SELECT * FROM read_csv('{source}', all_varchar=true)) TO '{place}/floor.parquet' (FORMAT parquet)"
        )
    return time.perf_counter() - started


def floor_b(home: Home, url: str, upserts: Path, delivery: str) -> float:
    plain = url.replace("+psycopg", "")
    with adbc.connect(plain) as connection, connection.cursor() as cursor, duckdb.connect() as engine:
        cursor.execute("CREATE TEMP TABLE floor_records (LIKE records.traffic_penalty INCLUDING ALL)")
        cursor.execute("CREATE TEMP TABLE floor_said (LIKE vault.statement_identity INCLUDING ALL)")
        cursor.execute("CREATE TEMP TABLE floor_people (LIKE vault.subject INCLUDING ALL)")
        accepted = f"read_parquet('{home.accepted(delivery)}')"
        parts = {
            "floor_records": f"SELECT * FROM read_parquet('{upserts}')",
            "floor_said": f"SELECT '{delivery}' AS delivery_id, line, coalesce(sheet, '') AS sheet,"
            f" 'traffic_penalty' AS item, record_key, identity FROM {accepted}",
            "floor_people": "SELECT subject_id, any_value(subject_id) AS credit_number, any_value(number_kind) AS"
            f" number_kind FROM {accepted} GROUP BY subject_id",
        }
        started = time.perf_counter()
        for table, sql in parts.items():
            cursor.adbc_ingest(table, engine.sql(sql).to_arrow_reader(64_000), mode="append", temporary=True)
        connection.commit()
        return time.perf_counter() - started


def one(rows: int) -> list[tuple[str, float, float, float, float]]:
    place = Path(tempfile.mkdtemp(prefix="qiongxin-bench-"))
    home = Home(place / "home")
    found = []
    try:
        url = postgres.up(home.root)
        for case, day, seed in (("empty", DAYS[0], 1), ("filled", DAYS[1], 2)):
            as_of = date.fromisoformat(day)
            sampling.generate(home.root, rows=rows, seed=seed, as_of=as_of, items=("traffic_penalty",))
            (source,) = [p for p in home.inbox.glob("*/*/*") if p.suffix == ".csv"]
            a = floor_a(source, place)
            with run.open_night(home.root, as_of) as night:
                started = time.perf_counter()
                (delivery,) = run.take(night).deliveries
                run.check_delivery(night, delivery.delivery_id)
                run.integrate_item(night, "traffic_penalty")
                curated = time.perf_counter() - started
                (upserts,) = (home.work / "candidates").glob("*.upserts.parquet")
                b = floor_b(home, url, upserts, delivery.delivery_id)
                run.gate_items(night)
                started = time.perf_counter()
                run.publish_release(night)
                loaded = time.perf_counter() - started
            found.append((case, a, curated, b, loaded))
    finally:
        postgres.down(home.root)
        shutil.rmtree(place, ignore_errors=True)
    return found


def main() -> None:
    rows, times = int(sys.argv[1]), int(sys.argv[2])
    runs = [one(rows) for _ in range(times)]
    for n, case in enumerate(("empty", "filled")):
        a, curated, b, loaded = (statistics.median(r[n][k] for r in runs) for k in range(1, 5))
        print(
            f"{case} store, {rows:,} rows, median of {times}: floor A {a:.1f} s, receive→gate {curated:.1f} s"
            f" ({curated / a:.2f}×); floor B {b:.1f} s, load {loaded:.1f} s ({loaded / b:.2f}×)"
        )
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    print(f"not switched off: vault, encryption, findings, receipts at check, GX ({load.__name__})")


if __name__ == "__main__":
    main()
