"""The whole journey for real: invented deliveries in, a release out, and every promise of the account held to."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines import run, sampling
from pipelines.model import ACCOUNT, Home
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger

DAY = "2026-11-22"
ITEMS = ("traffic_penalty", "administrative_penalty", "judgment_defaulter", "honour")


def qiongxin(home: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments, "--home", str(home), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, is_soak: bool) -> Iterator[Path]:
    """A home after one night."""
    home = tmp_path_factory.mktemp("night") / "home"
    os.environ["QIONGXIN_LOOK_SECONDS"] = "0.1"
    sampling.generate(home, rows=100_000 if is_soak else 4_000, seed=7, dirty=0.05, as_of=date.fromisoformat(DAY))
    run.nightly(home, DAY)
    yield home
    postgres.down(home)


def deliveries(home: Path) -> list[dict[str, Any]]:
    with Ledger(postgres.up(home)) as ledger:
        return ledger.deliveries()


def release_rows(home: Path) -> dict[str, Any]:
    """Everything that must not depend on kills and reruns: current records and statements of every item."""
    found: dict[str, Any] = {}
    with Ledger(postgres.up(home)) as ledger:
        current = ledger.current_release()
        assert current is not None
        items = ledger.snapshots(current["release_id"])
    for item in items:
        for space in ("records", "history"):
            names, rows = run.query(home, f"SELECT * FROM {space}.{item} ORDER BY ALL", None)
            found[f"{space}.{item}"] = (names, rows)
    return found


def test_every_delivery_is_released_and_its_account_balances(published: Path) -> None:
    rows = deliveries(published)
    assert {r["state"] for r in rows} == {"released"}
    for r in rows:
        assert r["read"] == sum(r[k] for k in ACCOUNT), r
        assert r["read"] == r["declared_rows"]


def test_planted_defects_are_found_at_their_lines_and_nothing_else_is_rejected(published: Path) -> None:
    truth = json.loads((published / "truth.json").read_text())["deliveries"]
    known = {(r["department"], r["item"], r["file"]): r["delivery_id"] for r in deliveries(published)}
    assert len(truth) == len(known)
    planted_total = 0
    for told in truth:
        delivery = known[(told["department"], told["item"], Path(told["file"]).name)]
        planted = {(d["line"], d["sheet"], d["code"]) for d in told["defects"]}
        planted_total += len(planted)
        listed = qiongxin(published, "findings", "--delivery", delivery)
        found = {(f["line"], f["sheet"] or None, f["code"]) for f in listed}
        with_duplicates = found | duplicates(published, delivery)
        assert planted <= with_duplicates, (told["file"], sorted(planted - with_duplicates, key=str)[:5])
        lines = {(line, sheet) for line, sheet, _ in planted}
        stopping = {(f["line"], f["sheet"] or None, f["code"]) for f in listed if f["severity"] in ("error", "hold")}
        strangers = {f for f in stopping | duplicates(published, delivery) if (f[0], f[1]) not in lines}
        assert not strangers, (told["file"], sorted(strangers, key=str)[:5])
    assert planted_total > 100


def duplicates(home: Path, delivery: str) -> set[tuple[int, str | None, str]]:
    import duckdb

    path = Home(home).verdicts(delivery)
    rows = duckdb.sql(f"SELECT line, sheet, code FROM read_parquet('{path}') WHERE code IS NOT NULL").fetchall()
    return {(line, sheet, code) for line, sheet, code in rows}


def test_receipts_lie_in_the_departments_outboxes(published: Path) -> None:
    for r in deliveries(published):
        place = published / "outbox" / r["department"]
        receipt = json.loads((place / f"{r['delivery_id']}.receipt.json").read_text())
        assert receipt["stage"] == "final"
        assert (place / f"{r['delivery_id']}.findings.xlsx").stat().st_size > 1000


def test_warehouse_and_lake_hold_the_same_records(published: Path) -> None:
    url = postgres.up(published).replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        for item in ITEMS:
            told = connection.execute(f"SELECT count(*), count(DISTINCT record_key) FROM records.{item}").fetchone()
            assert (
                told
                == run.query(published, f"SELECT count(*), count(DISTINCT record_key) FROM records.{item}", None)[1][0]
            )


def test_running_again_changes_nothing(published: Path) -> None:
    before = (release_rows(published), deliveries(published))
    result = run.nightly(published, DAY)
    assert (release_rows(published), deliveries(published)) == before
    assert result["exit_code"] == 0


def test_query_cannot_write_or_read_files(published: Path) -> None:
    for sql in ("SELECT * FROM read_text('/etc/hostname')", "COPY (SELECT 1) TO '/tmp/x.csv'", "CREATE TABLE t (n INT)",
                "ATTACH '/tmp/x.db'"):  # fmt: skip
        with pytest.raises(Exception, match="query:"):
            run.query(published, sql, None)


def test_no_number_or_name_lies_outside_the_allowed_places(published: Path) -> None:
    """Scan everything but the vault and the restricted places for every number and name that was accepted."""
    import duckdb

    values = set()
    for path in (published / "accepted").glob("*.parquet"):
        rows = duckdb.sql(f"SELECT credit_number, identity ->> '$.subject_name' FROM read_parquet('{path}')").fetchall()
        values |= {r[0] for r in rows} | {r[1] for r in rows if r[1] and len(r[1]) > 2}
    assert len(values) > 500
    texts: list[str] = []
    for item in ITEMS:
        for space in ("records", "history"):
            names, rows = run.query(published, f"SELECT * FROM {space}.{item}", None)
            assert not {"subject_name", "credit_number"} & set(names)
            texts += ["\x1f".join(str(c) for c in r) for r in rows]
    with psycopg.connect(postgres.up(published).replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema IN ('ledger', 'records', 'history', 'public')"
        ).fetchall()
        for space, table in tables:
            texts += [str(r) for r in connection.execute(f'SELECT * FROM "{space}"."{table}"').fetchall()]
    allowed = ("raw", "staged", "accepted", "rejected", "findings", "outbox", "inbox", "curated", "postgres")
    for path in published.rglob("*"):
        if path.is_file() and path.relative_to(published).parts[0] not in allowed:
            texts += [path.name, path.read_bytes().decode("utf-8", "replace")]
    whole = "\n".join(texts)
    numbers = {v for v in values if len(v) >= 15}
    assert not numbers & set(re.findall(r"(?<![0-9A-Z])[0-9A-Z]{15,18}(?![0-9A-Z])", whole))
    for name in sorted(values - numbers)[:300]:
        assert f"\x1f{name}\x1f" not in whole


def test_the_reader_role_cannot_see_the_vault(published: Path) -> None:
    with psycopg.connect(postgres.up(published).replace("+psycopg", "")) as connection:
        connection.execute("SET ROLE qiongxin_reader")
        assert connection.execute("SELECT count(*) FROM records.honour").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM vault.subject")


def test_killed_anywhere_and_run_again_gives_the_same_release(tmp_path: Path, is_soak: bool) -> None:
    """SIGKILL at random moments until one run gets through; compare with a home that was left in peace."""
    homes = {name: tmp_path / name for name in ("calm", "killed")}
    key = os.urandom(64)
    for home in homes.values():
        sampling.generate(home, rows=600, seed=11, as_of=date.fromisoformat(DAY), items=ITEMS)
        (home / "pseudonym.key").write_bytes(key)
        postgres.up(home)
    try:
        started = time.monotonic()
        night(homes["calm"]).wait()
        whole = time.monotonic() - started
        rng = random.Random(5)
        for _ in range(50 if is_soak else 8):
            process = night(homes["killed"])
            time.sleep(rng.uniform(0.2, 1.0) * whole)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert night(homes["killed"]).wait() == 0
        assert release_rows(homes["killed"]) == release_rows(homes["calm"])
        columns = ("delivery_id", "state", "read", *ACCOUNT)
        told = [[{c: r[c] for c in columns} for r in deliveries(home)] for home in homes.values()]
        assert told[0] == told[1]
    finally:
        for home in homes.values():
            postgres.down(home)


def night(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "nightly", "--date", DAY, "--home", str(home), "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
