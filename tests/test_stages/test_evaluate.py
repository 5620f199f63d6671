"""Great Expectations over figures and over a real PostgreSQL table; a broken backend is neither passed nor failed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.dialects import postgresql

from pipelines.stages import gate
from pipelines.stages.evaluate import Evaluator, Outcome
from pipelines.stores import postgres
from schemas import in_force, suite
from schemas.arrow import record_schema
from schemas.load import effective, load
from schemas.tables import warehouse

CATALOG = load()
ITEM = CATALOG.items["honour"]
AS_OF = date(2098, 6, 1)
LIMITS = in_force.read(suite.Limits, lambda name: effective(CATALOG, name, AS_OF))
NUMBER = "469099209001011239"  # no such region ever


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator() as evaluator:
        yield evaluator


def test_pyspark_beside_it_does_not_end_the_process(tmp_path: Path) -> None:
    """Its Spark Connect leaves with exit code 0, and so without a release, where Python was not started by a file."""
    connect = tmp_path / "pyspark/sql/connect/dataframe.py"
    connect.parent.mkdir(parents=True)
    connect.write_text("class DataFrame: ...\n")
    for package in ("pyspark/sql/connect", "pyspark/sql", "pyspark"):
        (tmp_path / package / "__init__.py").write_text("")
    (connect.parent / "__init__.py").write_text("import sys\nsys.exit(0)\n")
    before = "import pyspark.sql; there = pyspark; "
    now = "from pipelines.stages.evaluate import Evaluator; Evaluator(); import pyspark; print('evaluated')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    for program in (now, f"{before}{now}; assert pyspark is there and pyspark.sql"):
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "evaluated\n"), done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("gate") / "home"
    postgres.up(home)
    yield home
    postgres.down(home)


@pytest.fixture
def url(home: Path) -> str:
    """A server with `staging.honour` as the load stage makes it: three records under a primary key."""
    url = postgres.up(home)
    columns = warehouse([ITEM]).tables["records.honour"].columns
    listed = ", ".join(f'"{c.name}" {c.type.compile(dialect=postgresql.dialect())}' for c in columns)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS staging CASCADE; CREATE SCHEMA staging")
        connection.execute(f"CREATE TABLE staging.honour ({listed}, PRIMARY KEY (record_key))")
        for n in range(3):
            connection.execute(
                "INSERT INTO staging.honour (record_key, sheet) VALUES (%s, %s)", (n.to_bytes(16, "big"), NUMBER)
            )
    return url


def execute(url: str, sql: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET lock_timeout = '2s'")
        connection.execute(sql)


def staged(evaluator: Evaluator, url: str, rows: int = 3) -> list[Outcome]:
    return gate.gate_staged(evaluator, url, "staging", "honour", ITEM, rows)


def kinds(outcomes: list[Outcome]) -> dict[str, str]:
    return {o.name: o.outcome for o in outcomes}


def figures(**changed: Any) -> dict[str, Any]:
    """A profile in which nothing is wrong, but for what is named."""
    names = [f"nulls_{f.name}" for f in ITEM.curated_fields]
    names += [f"outside_{f.name}" for f in ITEM.curated_fields if f.code_set]
    names += ["subjects_missing", "events_early", "events_late", "removed_rows", "changed_rows"]
    whole = {"rows": 1000, "published_rows": 1000, "rows_arrived": 1010, "rows_judged": 1010}
    return dict.fromkeys(names, 0) | whole | {"event_min": "2090-01-01", "event_max": "2098-05-31"} | changed


def judged(evaluator: Evaluator, **changed: Any) -> list[Outcome]:
    found = figures(**changed)
    return evaluator.figures(found, suite.profile(ITEM, found, figures(), LIMITS, AS_OF))


def test_a_sound_profile_passes(evaluator: Evaluator) -> None:
    outcomes = judged(evaluator)
    assert set(kinds(outcomes).values()) == {"passed"}
    assert gate.verdict(outcomes) == "passed"


@pytest.mark.parametrize(
    ("name", "observed"),
    [
        ("subjects_missing", 1),
        ("nulls_determination_no", 1),
        ("outside_honour_kind", 2),
        ("nulls_updated_at", 501),
        ("events_early", 11),
        ("events_late", 1),
        ("removed_rows", 201),
        ("changed_rows", 501),
    ],
)
def test_each_figure_fails_alone(evaluator: Evaluator, name: str, observed: int) -> None:
    outcomes = judged(evaluator, **{name: observed})
    assert [(o.name, o.observed) for o in outcomes if o.outcome != "passed"] == [(name, str(observed))]
    assert gate.verdict(outcomes) == "failed"


def test_a_row_without_a_verdict_fails_the_account(evaluator: Evaluator) -> None:
    outcomes = judged(evaluator, rows_judged=1009)
    assert [o.name for o in outcomes if o.outcome == "failed"] == ["account"]


@pytest.mark.parametrize("how", ["null", "absent"])
def test_a_missing_figure_is_neither_passed_nor_failed(evaluator: Evaluator, how: str) -> None:
    found = figures(removed_rows=None)
    if how == "absent":
        del found["removed_rows"]
    outcomes = evaluator.figures(found, suite.profile(ITEM, found, figures(), LIMITS, AS_OF))
    assert [o.name for o in outcomes if o.outcome == "could_not_evaluate"] == ["removed_rows"]
    assert gate.verdict(outcomes) == "could_not_evaluate"


def test_a_staged_table_as_declared_passes(evaluator: Evaluator, url: str) -> None:
    outcomes = staged(evaluator, url)
    assert kinds(outcomes) == dict.fromkeys(("columns", "staged_rows", "primary_key"), "passed")
    assert next(o.observed for o in outcomes if o.name == "staged_rows") == "3"


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        ("ALTER TABLE staging.honour DROP CONSTRAINT honour_pkey", ["primary_key"]),
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'staging.honour_pkey'::regclass", ["primary_key"]),
        ("ALTER TABLE staging.honour DROP CONSTRAINT honour_pkey, ADD PRIMARY KEY (record_key, content_hash)",
         ["primary_key"]),
        ("ALTER TABLE staging.honour DROP CONSTRAINT honour_pkey, ADD UNIQUE (record_key)", ["primary_key"]),
        ("DELETE FROM staging.honour WHERE record_key = '\\x00000000000000000000000000000001'", ["staged_rows"]),
        ("ALTER TABLE staging.honour ADD COLUMN more TEXT", ["columns"]),
        ("ALTER TABLE staging.honour RENAME COLUMN sheet TO leaf", ["columns"]),
    ],
)  # fmt: skip
def test_each_fault_of_the_staged_table_fails_alone(
    evaluator: Evaluator, url: str, broken: str, failing: list[str]
) -> None:
    if "content_hash" in broken:
        execute(url, "UPDATE staging.honour SET content_hash = record_key")
    execute(url, broken)
    assert [n for n, kind in kinds(staged(evaluator, url)).items() if kind != "passed"] == failing


def test_a_dropped_table_could_not_be_evaluated(evaluator: Evaluator, url: str) -> None:
    execute(url, "DROP TABLE staging.honour")
    outcomes = staged(evaluator, url)
    assert set(kinds(outcomes).values()) == {"could_not_evaluate"}
    assert all(o.error for o in outcomes)
    assert gate.verdict(outcomes) == "could_not_evaluate"


def test_a_table_nobody_may_read_could_not_be_evaluated(evaluator: Evaluator, url: str) -> None:
    execute(url, "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD 'x'")
    address = url.split("@")[1]
    outcomes = staged(evaluator, f"postgresql+psycopg://stranger:x@{address}")
    assert gate.verdict(outcomes) == "could_not_evaluate"


def test_a_closed_server_could_not_be_evaluated_and_the_next_item_still_is(
    evaluator: Evaluator, url: str, home: Path
) -> None:
    postgres.down(home)
    try:
        outcomes = staged(evaluator, url)
    finally:
        again = postgres.up(home)
    assert set(kinds(outcomes).values()) == {"could_not_evaluate"}
    assert "@" not in "".join(o.error for o in outcomes)  # no address, no password
    assert gate.verdict(staged(evaluator, again)) == "passed"


def test_no_connection_stays_open_on_the_staged_table(evaluator: Evaluator, url: str) -> None:
    staged(evaluator, url)
    execute(url, "DROP TABLE staging.honour")  # would wait for the lock of a transaction left open


def test_no_value_of_a_row_reaches_an_outcome(evaluator: Evaluator, url: str) -> None:
    execute(url, "ALTER TABLE staging.honour DROP CONSTRAINT honour_pkey")
    told = json.dumps([asdict(o) for o in staged(evaluator, url, rows=4)], ensure_ascii=False)
    assert NUMBER not in told
    assert set(record_schema(ITEM).names) & set(told.replace('"', " ").replace(",", " ").split())
