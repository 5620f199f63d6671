"""Who is shown values of records is entered before, without a name or a number, and no entry can be changed unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines.query import query
from pipelines.stores import inquiries
from pipelines.stores.inquiries import _without_people
from tests.dirty_files import honour, number, table
from tests.nights import Home, begin
from tests.test_privacy import name


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch)


def told(home: Home, *more: str) -> list[dict[str, Any]]:
    code, said = home.command("inquiries", "--json", *more)
    assert code == 0, said
    found: list[dict[str, Any]] = json.loads(said)
    return found


def test_who_is_shown_values_is_entered_and_a_changed_entry_is_found(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.night(0, a=table(honour(1), honour(2), honour(3, 荣誉级别="没有这一级")))
    (delivery,) = (row["delivery_id"] for row in json.loads(home.command("status", "--json")[1]))
    assert home.command("query", "SELECT nothing FROM records.honour")[0] == 2, "what is not answered is not entered"
    asked = f"SELECT * FROM records.honour WHERE honour_name <> '{name(1)}' -- {number(1)}"
    assert home.command("query", asked, "--reason", f"complaint of {name(1)}")[0] == 0
    assert home.command("findings", "--delivery", delivery, "--json")[0] == 0
    assert home.command("disagreements", "--json")[0] == 0
    found = told(home)
    assert [(f["number"], f["command"], f["rows"]) for f in found] == [
        (1, "query", 2), (2, "findings", 1), (3, "disagreements", 0)
    ]  # fmt: skip
    assert found[0]["said"] == "SELECT * FROM records.honour WHERE honour_name <> '…'"
    assert found[0]["reason"] == "complaint of …" and found[1]["said"] == f"honour {delivery}"
    assert found[0]["release_id"] and found[0]["asked_by"]
    assert name(1) not in json.dumps(found, ensure_ascii=False) and number(1) not in json.dumps(found)
    assert [f["number"] for f in told(home, "--naming", "records.honour")] == [1]
    assert told(home, "--since", "2999-01-01") == []
    # Somebody who can write to the database makes his own inquiry another one, or takes it out.
    with psycopg.connect(home.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE ledger.inquiry SET rows = 0 WHERE number = 1")
        assert home.command("inquiries")[0] == 4 and "inquiry 1: " in capsys.readouterr().err
        connection.execute("UPDATE ledger.inquiry SET rows = 2 WHERE number = 1")
        assert home.command("inquiries")[0] == 0
        connection.execute("DELETE FROM ledger.inquiry WHERE number = 2")
        assert home.command("inquiries")[0] == 4


def test_entries_go_from_the_beginning_when_their_time_is_over(home: Home) -> None:
    with home.told() as ledger:
        ledger.prepare()
        assert inquiries.forget(ledger, date(2999, 1, 1)) == 0
        for day in (1, 2, 3):
            at = datetime(2026, 11, day, 16, 0, tzinfo=UTC)  # midnight of the next day in Beijing
            inquiries.enter(ledger, "query", "SELECT 1", None, 1, at=at)
        assert inquiries.forget(ledger, date(2026, 11, 2)) == 0, "that of this day stays"
        assert inquiries.forget(ledger, date(2026, 11, 3)) == 1
        assert [r["number"] for r in inquiries.known(ledger)] == [2, 3] and inquiries.fault(ledger) is None
        assert [r["number"] for r in inquiries.known(ledger, date(2026, 11, 4))] == [3]
        assert inquiries.forget(ledger, date(2999, 1, 1)) == 2 and inquiries.fault(ledger) is None


def test_the_log_of_the_library_is_that_of_the_command(home: Home) -> None:
    home.night(0, a=table(honour(1)))
    query(home.place, "SELECT count(*) FROM records.honour", None, "monthly figures")
    assert [(f["command"], f["reason"]) for f in told(home)] == [("query", "monthly figures")]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("SELECT 1 WHERE a = 'fine'", "SELECT 1 WHERE a = 'fine'"),
        ("WHERE d = DATE '2026-11-22'", "WHERE d = DATE '2026-11-22'"),
        ("WHERE k = unhex('0F3A0F3A0F3A0F3A0F3A0F3A0F3A0F3A')", "WHERE k = unhex('0F3A0F3A0F3A0F3A0F3A0F3A0F3A0F3A')"),
        ("WHERE n = 'It''s Zhang San'", "WHERE n = '…'"),
        ("WHERE n = $$Zhang San$$ AND m = $q$x$q$", "WHERE n = '…' AND m = '…'"),
        ('SELECT 1 AS "张三"', 'SELECT 1 AS "…"'),
        ("SELECT 13800000000, 46909918990101001x", "SELECT …, …"),
        ("SELECT 1 -- Zhang San\n, 2 /* Li\nSi */ FROM t", "SELECT 1 , 2 FROM t"),
        ("WHERE n = 'x--y\nz' AND m = 'Zhang San'", "WHERE n = '…' AND m = '…'"),
    ],
)
def test_what_was_asked_is_kept_without_people(asked: str, kept: str) -> None:
    assert _without_people(asked) == kept
