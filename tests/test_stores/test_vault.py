"""The vault, where many items enter whom their rows speak of at the same time."""

import json
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


Place = tuple[str, int, str]


def of_rows(path: Path, rows: list[tuple[int, str | None, bytes, str]]) -> Path:
    """An accepted file as far as `enter_statements` asks: line, sheet, record key and identity of each row."""
    line, sheet, key, said = zip(*rows, strict=True)
    shape = {"line": pa.int64(), "sheet": pa.string(), "record_key": pa.binary(), "identity": pa.string()}
    pq.write_table(pa.table([line, sheet, key, said], schema=pa.schema(list(shape.items()))), path)
    return path


def test_what_was_said_is_known_by_its_place_whatever_came_again_or_was_taken_out(
    database: Callable[..., str], tmp_path: Path
) -> None:
    """Against rows in a dictionary: deliveries that are entered, entered anew, of which rows come back, and records
    that are taken out, in several sheets, with gaps, in any order and across the bounds of blocks and batches."""
    draw, known = random.Random(11), dict[Place, tuple[str, bytes, str]]()
    made = database()
    with Ledger(made) as ledger:
        ledger.prepare()

        def rows(name: str, lines: list[int]) -> list[tuple[int, str | None, bytes, str]]:
            sheets = [None] if draw.random() < 0.5 else ["甲", "乙"]
            return [
                (line, sheet, bytes([draw.randrange(200)]), f'{{"a": "{name}{draw.randrange(9)}", "b": "{line % 7}"}}')
                for sheet in sheets for line in lines
            ]  # fmt: skip

        with adbc.connect(made.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
            for step in range(40):
                name, item = f"d{draw.randrange(5)}", "honour"
                kind = draw.choice(["whole", "again", "records"]) if step > 3 else "whole"
                if kind == "records":
                    gone = {bytes([draw.randrange(200)]) for _ in range(3)}
                    keys = ", ".join(f"'\\x{k.hex()}'::bytea" for k in gone)
                    other = "judgment_defaulter" if step % 4 == 0 else item  # a key is that of an item
                    vault.take_out_records(cursor, other, f"SELECT unnest(ARRAY[{keys}])")
                    known = {p: v for p, v in known.items() if v[0] != other or v[1] not in gone}
                else:
                    lines = draw.sample(range(2, 3_000), draw.choice([1, 40, 900]))
                    lines = lines if draw.random() < 0.3 else sorted(lines)
                    said = rows(name, lines)
                    file = of_rows(tmp_path / f"{step}.parquet", said)
                    vault.enter_statements(cursor, tmp_path, item, {name: file}, kind == "again")
                    if kind == "whole":
                        known = {p: v for p, v in known.items() if p[0] != name}
                    known |= {(name, line, sheet or ""): (item, key, text) for line, sheet, key, text in said}
                connection.commit()
                found = ask(made.replace("+psycopg", ""), "SELECT * FROM vault.statement_identity")
                assert len(found) == len(known)
                assert {(d, line, s): (i, key, text) for d, line, s, i, key, text in found} == known
        assert len({p[2] for p in known}) == 3 and len(known) > 500
        places = sorted(known)
        pairs = [(draw.choice(places), draw.choice(places)) for _ in range(200)]
        pairs[7] = (pairs[7][0], ("d0", 5_000, ""))  # of which the vault knows nothing
        shown = [tuple(dict(zip(("delivery_id", "line", "sheet"), p, strict=True)) for p in pair) for pair in pairs]
        told = vault.differing(ledger.engine, {"a": ["a"], "b": ["b"]}, shown)
    for n, (first, other) in enumerate(pairs):
        a, b = (json.loads(known[p][2]) if p in known else None for p in (first, other))
        assert told[n] == (() if a is None or b is None else tuple(f for f in "ab" if a[f] != b[f]))
