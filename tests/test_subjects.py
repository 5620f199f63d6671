"""Who a record is about: several numbers of one person, as the register of the police and people's judgements say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from pipelines.stores.keys import Keys
from tests.dirty_files import number, table
from tests.dirty_files.penalties import reference
from tests.nights import DAY, Home, begin
from tests.test_life import ended, event, send, shown
from tests.test_privacy import name
from tests.test_wrong_person import findings, no, ticket

KEYS = Keys(bytes(range(64)))
PASSPORT = "P10203041"
OLD = "469099650101001"  # of a region that never was
LINK: dict[str, Any] = {"登记类型": "号码更正"}


def subject(of: str) -> str:
    return str(KEYS.subject_ids(pa.array([of]))[0].as_py().hex())


def register(n: int, other: str, **cells: str) -> dict[str, str]:
    """What police say: person `n` had (or holds) another number."""
    row = reference(n, **{"登记类型": "号码更正", **{k: v for k, v in cells.items() if k in reference(n)}})
    more = {"原证件号码": other, "原证件类型": "", "曾用名": "", "操作类型": ""}
    return {**row, **more, **cells}


def tell(home: Home, file: str, *rows: dict[str, str], **manifest: Any) -> None:
    replace(home, item="identity_reference").send(**{file: (table(*rows), manifest)})


@pytest.fixture
def home(tmp_path: Path, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", database(), monkeypatch, item="traffic_penalty", sender="public_security")


def standing(home: Home) -> dict[str, int]:
    """Person -> adverse records."""
    return {str(p): n for p, n in home.rows("SELECT lower(hex(person_id)), adverse FROM standing WHERE adverse > 0")}


def persons(home: Home) -> dict[str, str]:
    """Subject -> person where they differ, as lake and warehouse agree."""
    sql = "SELECT {0}(subject_id{1}), {0}(person_id{1}) FROM subjects WHERE subject_id <> person_id"
    found = {str(s).lower(): str(p).lower() for s, p in home.rows(sql.format("hex", ""))}
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        rows = connection.execute(sql.format("encode", ", 'hex'")).fetchall()
    assert dict(rows) == found
    return found


def test_events_and_standing_reach_a_person_under_every_number_while_the_register_says_so(home: Home) -> None:
    under_passport = ticket(4, 4, 证件类型="普通护照", 证件号码=PASSPORT)
    tickets = [ticket(1, 1), ticket(11, 2), ticket(3, 3), under_passport]
    home.send(a=table(*tickets, ticket(5, 5, 证件号码=OLD), ticket(5, 6, 证件号码="469099196501010016")))
    wrong = register(6, number(7)[:17] + "*")
    passport = register(3, PASSPORT, 登记类型="另持证件", 原证件类型="普通护照")
    same = register(8, number(8).lower(), 登记日期="2025-06-02")
    tell(home, "r", register(11, number(1)), passport, register(9, OLD), same, wrong)
    send(home, "restoration_event", "restored", event("restoration_event", 11, no(1)))
    send(home, "objection_event", "objected", event("objection_event", 1, no(2)),
         event("objection_event", 2, no(3), objection_no="琼异议〔2026〕2号"))  # fmt: skip
    rows = home.night(0)
    assert (rows["r"]["new"], rows["r"]["rejected"]) == (4, 1)
    assert [(f["code"], f["field"]) for f in findings(home, rows["r"]) if f["severity"] == "error"] == [
        ("I006", "replaced_number")
    ]
    assert shown(home) == {no(2): "objected", no(3): None, no(4): None, no(5): None, no(6): None}
    assert ended(home) == {no(1): ("restored", "2026-11-20")}, "spoken under the new number of a record under the old"
    linked = {subject(number(1)): subject(number(11)), subject(PASSPORT): subject(number(3)),
              subject("469099196501010016"): subject(number(9))}  # fmt: skip
    assert persons(home) == linked
    assert standing(home) == {subject(number(11)): 1, subject(number(3)): 2, subject(number(9)): 2}
    found = json.loads(home.command("events", "--json")[1])
    assert sorted((e["name"], e["record_key"] is None) for e in found) == [
        ("objected", False), ("objected", True), ("restored", False)
    ]  # fmt: skip
    nobody_else_has(home, number(1), PASSPORT, OLD, "469099196501010016", name(11))
    # The police take back what they said of one, and correct the other: it was the passport of somebody else.
    gone = {**register(11, number(1)), "操作类型": "撤回"}
    corrected = register(3, "P10203042", 登记类型="另持证件", 原证件类型="普通护照", 更新时间="2025-08-01 08:00:00")
    tell(home, "w", gone, corrected, period="2026-11-23")
    assert home.night(1)["w"]["state"] == "released"
    assert shown(home) == dict.fromkeys(map(no, range(1, 7))) and ended(home) == {}
    assert persons(home) == {subject("469099196501010016"): subject(number(9))}
    assert standing(home)[subject(PASSPORT)] == standing(home)[subject(number(3))] == 1
    before = home.rows("SELECT count(*) FROM subjects")
    assert len(home.command("query", "SELECT * FROM subjects", "--as-of", str(DAY))[1].splitlines()) > 1
    assert before == home.rows("SELECT count(DISTINCT subject_id) FROM subjects")


def nobody_else_has(home: Home, *values: str) -> None:
    """None of the values lies in the curated store or in a table outside the vault; the vault has all subjects."""
    files = [str(p) for p in (home.place / "curated").rglob("*.parquet")]
    said = [duckdb.sql(f"SELECT CAST(t AS VARCHAR) FROM '{f}' t").fetchall() for f in files]
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        names = connection.execute("""SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema
            IN ('ledger', 'records', 'history', 'public') AND table_name <> 'catalogue'""").fetchall()
        said += [connection.execute(f'SELECT t::text FROM {s}."{n}" t').fetchall() for s, n in names]
        vault = connection.execute("SELECT subject_id, credit_number FROM vault.subject").fetchall()
    assert len(said) > 20 and not [v for v in values if v in str(said)]
    assert set(values[:-1]) - {OLD} <= set(KEYS.decrypt([n for _, n in vault], [s for s, _ in vault]))
