"""The vault, where many items enter whom their rows speak of at the same time."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.stores import vault
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Ledger

KEYS = Keys(bytes(range(64)))


@pytest.fixture(scope="module")
def url(database: Callable[..., str]) -> str:
    made = database()
    with Ledger(made) as ledger:
        ledger.prepare()
    return made.replace("+psycopg", "")


def accepted(path: Path, numbers: list[str], called: str = "") -> Path:
    """What `validate` accepted of these persons, as far as the vault asks; the numbers are no identity numbers."""
    ids = KEYS.subject_ids(pa.array(numbers))
    columns = {
        "subject_id": ids, "credit_number": pa.array(numbers), "number_kind": pa.array(["18"] * len(numbers)),
        "line": pa.array(range(2, len(numbers) + 2), pa.int64()), "sheet": pa.nulls(len(numbers), pa.string()),
        "record_key": ids, "identity": pa.array([called + n for n in numbers]),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_items_that_speak_of_the_same_persons_enter_them_side_by_side(url: str, tmp_path: Path) -> None:
    """Each waits for subjects that another has just entered; in no order is that a ring, which PostgreSQL would break
    by an error."""
    rounds, items, draw = 6, 3, random.Random(4)
    begin = Barrier(items)
    people = [[f"{r}-{n}" for n in range(6_000)] for r in range(rounds)]

    def parts(n: int, r: int) -> list[Path]:
        mine = draw.sample(people[r], 4_000)
        return [
            accepted(tmp_path / f"{n}-{r}-{k}.parquet", mine[at : at + 500])
            for k, at in enumerate(range(0, len(mine), 500))
        ]

    files = [[parts(n, r) for r in range(rounds)] for n in range(items)]

    def enter(n: int) -> None:
        with adbc.connect(url) as connection, connection.cursor() as cursor:
            for r in range(rounds):
                begin.wait(60)
                vault.enter_subjects(cursor, tmp_path, files[n][r], KEYS)
                connection.commit()

    with ThreadPoolExecutor(items) as pool:
        for done in [pool.submit(enter, n) for n in range(items)]:
            done.result()
    entered = {p for item in files for parts in item for path in parts for p in numbers(path)}
    ((count,),) = ask(url, "SELECT count(*) FROM vault.subject")
    assert count == len(entered)


def numbers(path: Path) -> list[str]:
    return pq.read_table(path, columns=["credit_number"])["credit_number"].to_pylist()


def test_a_delivery_entered_again_replaces_what_it_said_and_rows_that_come_back_only_their_places(
    url: str, tmp_path: Path
) -> None:
    def enter(files: dict[str, Path], is_again: bool = False) -> list[tuple[Any, ...]]:
        with adbc.connect(url) as connection, connection.cursor() as cursor:
            vault.enter_statements(cursor, tmp_path, "honour", files, is_again)
            connection.commit()
        return ask(url, "SELECT delivery_id, line, identity FROM vault.statement_identity ORDER BY 1, 2")

    a, b = accepted(tmp_path / "a.parquet", ["p", "q"]), accepted(tmp_path / "b.parquet", ["p"])
    said = [("a", 2, "p"), ("a", 3, "q"), ("b", 2, "p")]
    assert enter({"a": a, "b": b}) == said == enter({"a": a, "b": b})
    assert enter({"b": accepted(b, ["r"])}) == [*said[:2], ("b", 2, "r")]
    assert enter({"a": accepted(a, ["p"], "later ")}, is_again=True) == [("a", 2, "later p"), said[1], ("b", 2, "r")]
    assert enter({}) == [("a", 2, "later p"), said[1], ("b", 2, "r")]
