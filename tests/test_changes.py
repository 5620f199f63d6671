"""What differs between two releases is told, and nothing else, and no value of a record with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dirty_files import csv, honour, name, number
from tests.nights import DAY, Home, begin


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch)


def told(home: Home, *options: str) -> Any:
    code, said = home.command("changes", *options)
    assert code == 0
    assert number(1) not in said and name(1) not in said and "琼验字" not in said
    return json.loads(said) if "--json" in options else said


def content(home: Home, release: str) -> dict[str, tuple[Any, ...]]:
    from pipelines.query import query

    home.told().close()
    sql = "SELECT lower(hex(record_key)), lower(hex(content_hash)), honour_level, award_year FROM records.honour"
    return {key: row for key, *row in query(home.place, sql, release)[1]}


def test_records_added_modified_and_deleted_between_any_two_releases(home: Home) -> None:
    later = {"更新时间": "2025-08-01 08:00:00"}
    home.night(0, a=csv(*(honour(n) for n in range(1, 9))))
    home.night(1, b=(csv(honour(2, 荣誉级别="3", **later), honour(9), honour(3)), {"period": "2026-11-23"}))
    gone = {"更新时间": "2025-09-01 08:00:00", "备注": ""}
    last = csv(honour(10), honour(2, **gone, 荣誉级别="3"), honour(4, 姓名=name(77), **later))
    home.night(2, c=(last, {"period": "2026-11-24"}))
    revert = home.deliveries()["b"]["delivery_id"]
    assert home.command("revert", "--delivery", revert, "--by", "x", "--reason", "y", "--date", "2026-11-25")[0] == 0
    _, said = home.command("releases", "--json")
    ids = [r["release_id"] for r in reversed(json.loads(said))]
    assert len(ids) == 4 and [r["number"] for r in json.loads(said)] == [4, 3, 2, 1]
    contents = {release: content(home, release) for release in ids}
    for first, a in contents.items():
        for last, b in contents.items():
            expected = {k: "ADD" if k not in a else "DEL" if k not in b else "MOD"
                        for k in {*a, *b} if a.get(k) != b.get(k)}  # fmt: skip
            found = told(home, first, last, "--json")
            assert {c["record_key"]: c["kind"] for c in found} == expected, (first, last)
    (level, *_) = (c for c in told(home, ids[0], ids[1], "--json") if c["kind"] == "MOD")
    assert level["fields"] == ["honour_level"]
    assert (level["before"]["line"], level["after"]["line"]) == (3, 2)
    only_name = [c for c in told(home, ids[1], ids[2], "--json") if c["kind"] == "MOD"]
    assert [c["fields"] for c in only_name] == [[]], "a corrected name is a change, and what it is stays in the vault"
    assert told(home, DAY.isoformat(), DAY.isoformat()).strip().endswith("no record differs")
    assert "2026" not in told(home, ids[0], ids[3], "--item", "honour").replace(ids[0], "")
    assert home.command("changes", ids[0], "2020-01-01")[0] == 2
    assert home.command("changes", ids[0], ids[1], "--item", "nothing")[0] == 2
