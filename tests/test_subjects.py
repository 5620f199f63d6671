"""Who a record is about: several numbers of one person, as the register of the police and people's judgements say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
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
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")


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
    under_passport = ticket(4, 4, 证件类型="普通护照", 证件号码=PASSPORT) | {"出生日期": "1880-01-01"}
    tickets = [ticket(1, 1), ticket(11, 2), ticket(3, 3), ticket(5, 5, 证件号码=OLD),
               ticket(5, 6, 证件号码="469099196501010016")]  # fmt: skip
    home.send(a=table(*({**t, "出生日期": ""} for t in tickets), under_passport))
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
    assert persons(home) == {
        subject("469099196501010016"): subject(number(9)), subject("P10203042"): subject(number(3))
    }  # fmt: skip
    assert standing(home)[subject(PASSPORT)] == standing(home)[subject(number(3))] == 1
    before = home.rows("SELECT count(*) FROM subjects")
    assert len(home.command("query", "SELECT * FROM subjects", "--as-of", str(DAY))[1].splitlines()) > 1
    assert before == home.rows("SELECT count(DISTINCT subject_id) FROM subjects")


def listed(home: Home, *more: str) -> dict[str, list[dict[str, Any]]]:
    """The conflicts by kind."""
    code, said = home.command("subjects", "conflicts", "--json", *more)
    assert code == 0 and not [n for n in range(1, 31) if number(n) in said or name(n) in said]
    found: dict[str, list[dict[str, Any]]] = {}
    for conflict in json.loads(said):
        found.setdefault(conflict["kind"], []).append(conflict)
    return found


def judge(home: Home, day: int, *options: str) -> int:
    asked = ("subjects", "judge", *options, "--by", "data desk", "--reason", "files compared", "--json")
    code, said = home.command(*asked, "--date", str(DAY + timedelta(day)))
    assert code == 0
    (made,) = json.loads(said)["judgements"]
    return int(made)


def test_people_judge_what_is_in_conflict_and_take_it_back(home: Home) -> None:
    twin = 1 + 1596  # born on the day of person 1
    former = {"当事人姓名": "吕示例"}
    home.send(a=table(ticket(1, 1), ticket(11, 2), ticket(2, 3), ticket(1, 4, 证件号码=number(twin)),
                      ticket(23, 5, **former), ticket(24, 6, 当事人姓名="古丽·示例")))  # fmt: skip
    home.send(b=(table(ticket(2, 7, 当事人姓名="冼示例"), ticket(24, 8, 当事人姓名="古丽•示 例")), {"sequence": 2}))
    odd = {"性别": "女男"[1 - int(number(13)[16]) % 2], "出生日期": "1870-02-03"}
    tell(home, "r", register(21, number(20)), register(22, number(20)), register(13, "", 登记类型="身份登记", **odd),
         register(23, "", 登记类型="身份登记", 曾用名=former["当事人姓名"]))  # fmt: skip
    send(home, "restoration_event", "restored", event("restoration_event", 11, no(1)))
    home.night(0)
    assert ended(home) == {} and persons(home) == {}, "nobody is joined on a name, and a number of two is nobody's"
    found = listed(home)
    assert {kind: [c["subjects"] for c in conflicts] for kind, conflicts in found.items()} == {
        "number_with_names": [[subject(number(2))]],
        "sex_against_number": [[subject(number(13))]],
        "birth_against_number": [[subject(number(13))]],
        "name_and_birth_with_numbers": [sorted([subject(number(1)), subject(number(twin))])],
        "link": [[subject(number(20)), *sorted([subject(number(21)), subject(number(22))])]],
    }
    (twins,), (link,), (names,) = (found[k] for k in ("name_and_birth_with_numbers", "link", "number_with_names"))
    assert (link["why"], link["departments"], link["items"]) == ("several", ["public_security"], ["identity_reference"])
    assert (names["records"], names["items"], names["judgements"]) == (2, ["traffic_penalty"], [])
    old, new = subject(number(1)), subject(number(11))
    same = judge(home, 0, "--subject", old, "--other", new, "--verdict", "same")
    wrong = judge(home, 0, "--subject", subject(number(20)), "--other", subject(number(22)), "--verdict", "different")
    judge(home, 0, "--conflict", twins["conflict"], "--verdict", "different")
    judge(home, 0, "--conflict", names["conflict"], "--verdict", "same")
    linked = {old: new, subject(number(20)): subject(number(21))}
    assert persons(home) == linked and standing(home)[new] == 2, "at once"
    assert {*listed(home)} == {"sex_against_number", "birth_against_number"}
    told = listed(home, "--all")
    assert [c["judgements"] for c in told["number_with_names"]] == [[4]]
    assert [c["judgements"] for c in told["name_and_birth_with_numbers"]] == [[3]]
    assert [(c["why"], c["judgements"]) for c in told["link"]] == [("judged_different", [wrong])]
    home.night(1, c=(table(ticket(20, 9), ticket(2, 10, 当事人姓名="符示例")), {"period": "2026-11-23"}))
    assert ended(home) == {no(1): ("restored", "2026-11-20")}
    assert persons(home) == linked
    assert [c["records"] for c in listed(home)["number_with_names"]] == [3], "a third name is news"
    rows = json.loads(home.command("subjects", "coverage", "--json")[1])
    assert {k: rows[0][k] for k in ("scope", "records", "verified", "subjects", "persons", "verified_persons")} == {
        "scope": "all", "records": 14, "verified": 6, "subjects": 9, "persons": 8, "verified_persons": 4
    }  # fmt: skip
    assert rows[0]["persons_share"] == round(rows[0]["persons"] / 10081232, 6)
    # Taken back: from the next night on it is as if nobody had said it, and the release of then stays as it was.
    undone = ("subjects", "undo", str(same), "--by", "data desk", "--reason", "the wrong file")
    assert home.command(*undone, "--date", str(DAY + timedelta(2)))[0] == 0
    assert home.command(*undone)[0] == 2
    assert old not in persons(home)
    asked = f"SELECT count(*) FROM subjects WHERE hex(subject_id) = '{old.upper()}' AND subject_id <> person_id"
    assert [home.command("query", asked, "--as-of", str(DAY + timedelta(n)))[1].split()[-1] for n in (0, 2)] == [
        "1", "0"
    ]  # fmt: skip
    home.night(2)
    assert no(1) in shown(home) and ended(home) == {}
    (kept, *_) = json.loads(home.command("subjects", "judgements", "--all", "--json")[1])
    assert (kept["made_by"], kept["reason"], kept["undone_reason"]) == ("data desk", "files compared", "the wrong file")


def test_a_judgement_that_says_nothing_or_too_much_is_refused(home: Home) -> None:
    home.night(0, a=table(ticket(1, 1), ticket(2, 2)))
    pair = ("--subject", subject(number(1)), "--other", subject(number(2)))

    def code(*options: str, reason: str = "x", verdict: str = "same") -> int:
        asked = ("subjects", "judge", *options, "--verdict", verdict, "--by", "desk", "--reason", reason)
        return home.command(*asked)[0]

    assert code(*pair, reason=f"is {number(3)}") == code(*pair, reason=" ") == code(*pair, verdict="alike") == 2
    assert code(*pair[:2]) == code(*pair, "--conflict", "0") == code("--conflict", "0") == 2
    assert code(*pair[:3], subject(number(3))) == code(*pair[:3], "x") == code(*pair[:3], pair[1]) == 2
    assert code(*pair) == 0
    assert code(*pair) == code(*pair, verdict="different") == 2, "one word of two subjects stands"
    assert code(pair[0], pair[3], pair[2], pair[1]) == 2
    assert home.command("subjects", "conflicts", "--kind", "x")[0] == 2


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
