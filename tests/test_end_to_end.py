"""The whole journey for real: invented deliveries in, a release out, and every promise of the account held to."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pytest

from pipelines import sampling
from pipelines.model import ACCOUNT, Home
from pipelines.query import query
from pipelines.stores import postgres
from pipelines.stores.files import SPACES
from pipelines.stores.ledger import Ledger
from tests.conftest import SHAPES, discard, soak_only
from tests.mortal_night import Mortals

DAY = "2026-11-22"
ITEMS = ("traffic_penalty", "administrative_penalty", "judgment_defaulter", "honour")


def qiongxin(home: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments, "--home", str(home), "--json"],
        capture_output=True, text=True, check=False, env={**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, is_soak: bool) -> Iterator[Path]:
    """A home after one night of the command line on a fresh machine."""
    home = tmp_path_factory.mktemp("night") / "home"
    rows, day = 100_000 if is_soak else 4_000, date.fromisoformat(DAY)
    sampling.generate(home, rows=rows, seed=7, dirty=0.05, as_of=day, items=SHAPES)
    result = qiongxin(home, "nightly", "--date", DAY)
    assert (result["exit_code"], result["waiting"], result["strangers"]) == (0, [], [])
    yield home
    discard(home)


def deliveries(home: Path) -> list[dict[str, Any]]:
    with Ledger(postgres.up(home)) as ledger:
        return ledger.deliveries()


def release_rows(home: Path) -> dict[str, Any]:
    """Current records and statements of every item."""
    found: dict[str, Any] = {}
    with Ledger(postgres.up(home)) as ledger:
        current = ledger.current_release()
        assert current is not None
        items = ledger.snapshots(current["release_id"])
    for item in items:
        for space in SPACES:
            names, rows = query(home, f"SELECT * FROM {space}.{item} ORDER BY ALL", None)
            found[f"{space}.{item}"] = (names, rows)
    return found


def test_every_delivery_is_released_and_its_account_balances(published: Path) -> None:
    rows = deliveries(published)
    assert {r["state"] for r in rows} == {"released"}
    for r in rows:
        assert r["read"] == sum(r[k] for k in ACCOUNT), r
        assert r["read"] == r["declared_rows"]


def test_planted_defects_are_found_at_their_lines_and_nothing_else_is_rejected(
    published: Path, mortals: Mortals
) -> None:
    url = postgres.up(published)
    truth = json.loads((published / "truth.json").read_text())["deliveries"]
    known = {(r["department"], r["item"], r["file"]): r["delivery_id"] for r in deliveries(published)}
    assert len(truth) == len(known)
    planted_total = 0
    for told in truth:
        delivery = known[(told["department"], told["item"], Path(told["file"]).name)]
        planted = {(d["line"], d["sheet"], d["code"]) for d in told["defects"]}
        planted_total += len(planted)
        listed = mortals.ask(published, url, "findings", "--delivery", delivery)
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
        assert (receipt["stage"], receipt["state"]) == ("final", "released")
        book = openpyxl.load_workbook(place / f"{r['delivery_id']}.findings.xlsx", read_only=True)
        assert len(book.sheetnames) >= 2
        book.close()


def test_warehouse_and_lake_hold_the_same_records(published: Path) -> None:
    url = postgres.up(published).replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        for item in ITEMS:
            told = connection.execute(f"SELECT count(*), count(DISTINCT record_key) FROM records.{item}").fetchone()
            assert (
                told
                == query(published, f"SELECT count(*), count(DISTINCT record_key) FROM records.{item}", None)[1][0]
            )


@soak_only("a night run again whole")
def test_running_again_changes_nothing(published: Path) -> None:
    before = (release_rows(published), deliveries(published))
    result = qiongxin(published, "nightly", "--date", DAY)
    assert (release_rows(published), deliveries(published)) == before
    assert result["exit_code"] == 0


def test_status_and_query_answer(published: Path) -> None:
    status = qiongxin(published, "status")
    assert list(status[0]) == ["delivery_id", "department", "item", "file", "state", "read", *ACCOUNT,
                               "missing_before"]  # fmt: skip
    (told,) = qiongxin(published, "query", "SELECT count(*) AS n FROM records.traffic_penalty")
    accounts = [r for r in status if r["item"] == "traffic_penalty"]
    assert int(told["n"]) == sum(r["new"] for r in accounts)


def test_query_cannot_write_or_read_files(published: Path) -> None:
    for sql in ("SELECT * FROM read_text('/etc/hostname')", "COPY (SELECT 1) TO '/tmp/x.csv'", "CREATE TABLE t (n INT)",
                "ATTACH '/tmp/x.db'"):  # fmt: skip
        with pytest.raises(Exception, match="query:"):
            query(published, sql, None)


def test_the_reader_role_cannot_see_the_vault(published: Path) -> None:
    with psycopg.connect(postgres.up(published).replace("+psycopg", "")) as connection:
        connection.execute("SET ROLE qiongxin_reader")
        assert connection.execute("SELECT count(*) FROM records.honour").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM vault.subject")
