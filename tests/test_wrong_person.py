"""A record under the wrong number or document number, and a file sent by mistake: how it ends, and what is left of it.

A record on an innocent person is the worst fault that this system can have.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import run
from pipelines.model import ACCOUNT
from pipelines.stores import reversals, waiting
from pipelines.stores.keys import Keys
from tests.conftest import soak_only
from tests.dirty_files import csv, honour, number, table
from tests.nights import DAY, Home, begin
from tests.test_editions import NEW, written
from tests.test_privacy import name

TICKETS = "records.traffic_penalty"
FULL = {"mode": "full"}


def ticket(n: int, no: int, **cells: str) -> dict[str, str]:
    """A faultless row of the item traffic_penalty about invented person `n`."""
    row = {
        "当事人姓名": name(n), "证件类型": "身份证", "证件号码": number(n), "处罚决定书编号": f"469099{no:09d}",
        "违法日期": "2026-11-10", "违法行为代码": "1625A", "违法事实": "示例", "处罚种类": "罚款",
        "罚款金额（元）": "50", "处罚决定日期": "2026-11-16", "处理机关": "示例交警大队", "操作类型": "",
        "更新时间": "", "更正前证件号码": "", "更正前文书号": "",
    }  # fmt: skip
    assert row.keys() >= cells.keys()
    return row | cells


def no(n: int) -> str:
    return f"469099{n:09d}"


@pytest.fixture
def tickets(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")


@pytest.fixture
def honours(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch)


def account(row: dict[str, Any]) -> dict[str, int]:
    return {k: row[k] for k in ACCOUNT if row[k]}


def findings(home: Home, row: dict[str, Any]) -> list[dict[str, Any]]:
    code, said = home.command("findings", "--delivery", row["delivery_id"], "--json")
    assert code == 0
    found: list[dict[str, Any]] = json.loads(said)
    return found


def shown(home: Home) -> dict[str, list[str]]:
    """Decision -> the subjects it shows for, as the numbers of persons."""
    people = {subject(n): n for n in range(60)}
    found: dict[str, list[str]] = {}
    for decision, whom in home.rows(f"SELECT decision_no, hex(subject_id) FROM {TICKETS} ORDER BY ALL"):
        found.setdefault(decision, []).append(str(people[whom]))
    return found


def subject(n: int) -> str:
    return str(Keys(bytes(range(64))).subject_ids(pa.array([number(n)]))[0].as_py().hex().upper())


def test_a_ticket_of_two_persons_is_held_until_the_wrong_one_is_withdrawn(tickets: Home) -> None:
    rows = tickets.night(0, first=table(ticket(1, 7), ticket(2, 8)))
    assert shown(tickets) == {no(7): ["1"], no(8): ["2"]}
    rows = tickets.night(1, second=(table(ticket(3, 7)), {"period": "2026-11-23"}))
    assert account(rows["second"]) == {"held": 1}
    assert shown(tickets) == {no(7): ["1"], no(8): ["2"]}
    (finding,) = findings(tickets, rows["second"])
    assert (finding["code"], finding["line"]) == ("D005", 2) and "撤回原记录" in finding["fix"]
    key_only = {"证件号码": number(1), "处罚决定书编号": no(7), "操作类型": "撤回"}
    rows = tickets.night(2, withdrawn=(table(key_only), {"period": "2026-11-24"}))
    assert shown(tickets) == {no(7): ["3"], no(8): ["2"]}
    assert account(rows["withdrawn"]) == {"withdrawn": 1} and account(rows["second"]) == {"new": 1}
    told = tickets.trace("--delivery", rows["second"]["delivery_id"])["rows"]
    assert [(r["verdict"], r["corrected_by"]) for r in told] == [("new", rows["withdrawn"]["delivery_id"])]


def test_an_older_file_that_names_another_person_is_told_what_it_does(tickets: Home) -> None:
    """The order of arrival decides nothing, so what was named first in time shows, and the department hears of it."""
    tickets.night(0, second=table(ticket(3, 7), ticket(2, 8)))
    rows = tickets.night(1, first=(table(ticket(1, 7), ticket(4, 9)), {"period": "2026-11-20"}))
    assert shown(tickets) == {no(7): ["1"], no(8): ["2"], no(9): ["4"]}
    assert account(rows["first"]) == {"new": 2}
    assert [(f["code"], f["line"]) for f in findings(tickets, rows["first"]) if f["line"]] == [("D006", 2)]


def test_a_row_that_names_the_wrong_number_ends_what_stood_under_it_the_same_night(tickets: Home) -> None:
    tickets.night(0, first=table(ticket(1, 7), ticket(2, 8), ticket(4, 9)))
    corrected = [
        ticket(3, 7, 更正前证件号码=number(1)),
        ticket(2, 18, 更正前文书号=no(8)),
        ticket(5, 19, 更正前证件号码=number(4).lower(), 更正前文书号=no(9)),
    ]
    rows = tickets.night(1, second=(table(*corrected), {"period": "2026-11-23"}))
    assert account(rows["second"]) == {"new": 3}
    assert shown(tickets) == {no(7): ["3"], no(18): ["2"], no(19): ["5"]}
    lineage = tickets.rows(
        "SELECT n.decision_no, o.decision_no FROM history.traffic_penalty n JOIN history.traffic_penalty o"
        " ON o.record_key = n.replaces ORDER BY ALL"
    )
    assert lineage == [(no(7), no(7)), (no(18), no(8)), (no(19), no(9))]
    ((gone,),) = tickets.rows(f"SELECT hex(record_key) FROM history.traffic_penalty WHERE decision_no = '{no(8)}'")
    told = tickets.trace("--record", gone)
    assert [(s["action"], s["shown"]) for s in told] == [("replaced", []), ("new", [[1, 1]])]
    assert told[0]["replaces"] == gone != told[0]["record_key"]
    rows = tickets.night(2, again=(table(ticket(1, 7)), {"period": "2026-11-24"}))
    assert account(rows["again"]) == {"held": 1}, "a system that was not mended goes on saying it"
    assert shown(tickets) == {no(7): ["3"], no(18): ["2"], no(19): ["5"]}


@soak_only("scenes that properties of the fold hold, too")
def test_the_wrong_record_may_come_after_the_row_that_replaces_it(tickets: Home) -> None:
    late = {"period": "2026-11-21"}
    tickets.night(0, second=(table(ticket(3, 17, 更正前证件号码=number(1), 更正前文书号=no(7)))))
    rows = tickets.night(1, first=(table(ticket(1, 7)), late))
    assert account(rows["first"]) == {"superseded": 1}
    assert shown(tickets) == {no(17): ["3"]}


def test_a_wrong_number_that_nobody_can_have_is_told(tickets: Home) -> None:
    rows = tickets.night(0, first=table(ticket(1, 7, 更正前证件号码=number(2)[:17]), ticket(2, 8), ticket(3, 9)))
    assert account(rows["first"]) == {"new": 2, "rejected": 1}
    assert [(f["code"], f["field"]) for f in findings(tickets, rows["first"])] == [("I002", "wrong_credit_number")]


def defaulter(n: int, case: int, key: int, **cells: str) -> dict[str, str]:
    """A faultless row of the item judgment_defaulter under row key `key` of the court's own system."""
    row = {
        "被执行人姓名": name(n), "主体类型": "自然人", "证件类型": "身份证", "身份证号码": number(n),
        "执行法院": "示例法院", "执行依据文号": f"（2024）琼示民初{case}号", "作出执行依据单位": "示例法院",
        "执行案号": f"（2025）琼示执{case}号", "立案时间": "2025-01-15", "生效法律文书确定的义务": "示例",
        "被执行人的履行情况": "全部未履行", "失信被执行人行为具体情形": "示例", "发布时间": "2025-02-15",
        "序号": str(700000 + key),
    }  # fmt: skip
    return row | cells


def test_a_row_under_the_same_row_key_of_the_sender_corrects_what_stood_under_it(honours: Home) -> None:
    court = replace(honours, item="judgment_defaulter", sender="high_court")
    told = "SELECT case_no FROM records.judgment_defaulter ORDER BY 1"

    def case(n: int) -> str:
        return f"〔2025〕琼示执{n}号"

    def cases() -> list[str]:
        return [str(c).replace("（", "〔").replace("）", "〕") for (c,) in court.rows(told)]

    court.night(0, first=table(*(defaulter(n, n, n) for n in (1, 2, 3, 4))))
    assert cases() == [case(n) for n in (1, 2, 3, 4)]
    ((gone,),) = court.rows("SELECT hex(record_key) FROM records.judgment_defaulter WHERE source_record_no = '700001'")
    # Another person, another case number, a key that is used again, and two cases under one key.
    rows = [defaulter(11, 1, 1), defaulter(2, 12, 2), defaulter(13, 13, 3), defaulter(14, 14, 9), defaulter(14, 15, 9)]
    later = {"period": "2026-11-23"}
    second = court.night(1, second=(table(*rows), later))["second"]
    assert account(second) == {"new": 3, "held": 2}
    seen = [(f["code"], f["line"]) for f in findings(court, second) if f["code"].startswith("D")]
    assert seen == [("D011", 2), ("D011", 3), ("D012", 4), ("D010", 5), ("D010", 6)]
    assert cases() == sorted(case(n) for n in (1, 12, 3, 13, 4))
    lineage = court.trace("--record", gone)
    assert [(s["action"], s["replaces"]) for s in lineage] == [("replaced", gone), ("new", None)]
    assert lineage[1]["shown"] == [[1, 1]]
    assert court.trace("--record", lineage[0]["record_key"])[0]["replaces"] == gone
    versions = court.rows("SELECT hex(record_key) FROM versions.judgment_defaulter WHERE valid_to IS NOT NULL")
    assert len(versions) == 2 and (gone,) in versions
    third = court.night(2, third=(table(defaulter(14, 15, 9)), {"period": "2026-11-24"}))
    assert account(third["third"]) == {"new": 1}
    assert account(third["second"]) == {"new": 3, "superseded": 1, "duplicate": 1}
    with court.told():
        back = run.revert(court.place, DAY + timedelta(3), second["delivery_id"], "desk", "a wrong file")
    assert back["exit_code"] == 0
    assert cases() == sorted(case(n) for n in (1, 2, 3, 4, 15))


@soak_only("scenes that properties of the fold hold, too")
def test_what_a_row_key_corrected_stays_away_once_the_right_record_is_deleted(honours: Home) -> None:
    """Else the person under whose number it stood by mistake would bear it again."""
    court = replace(honours, item="judgment_defaulter", sender="high_court")
    court.night(0, first=table(defaulter(1, 1, 1), defaulter(2, 2, 2)))
    court.night(1, second=(table(defaulter(11, 1, 1)), {"period": "2026-11-23"}))
    ((right,),) = court.rows("SELECT hex(record_key) FROM records.judgment_defaulter WHERE source_record_no = '700001'")
    with court.told():
        run.delete(court.place, DAY + timedelta(2), right, "desk", "court order")
    assert court.rows("SELECT source_record_no FROM records.judgment_defaulter") == [("700002",)]
    court.night(3, third=(table(defaulter(3, 3, 3)), {"period": "2026-11-25"}))
    assert court.rows("SELECT count(*) FROM records.judgment_defaulter") == [(2,)]
    assert court.rows("SELECT count(*) FROM history.judgment_defaulter") == [(2,)]


def test_a_delivery_sent_by_mistake_is_taken_back_by_one_command(honours: Home) -> None:
    first = honours.night(0, first=csv(*(honour(n) for n in range(1, 5))))["first"]
    changed = {"更新时间": "2025-08-01 08:00:00", "荣誉级别": "3"}
    mistake = csv(honour(1, **changed), honour(5), honour(6, 荣誉级别="开发区级"), honour(2))
    before = honours.night(1, mistake=(mistake, {"period": "2026-11-23"}))["mistake"]
    assert account(before) == {"new": 1, "changed": 1, "unchanged": 1, "rejected": 1}
    reason = "sent by mistake; O'Hara's desk"
    code, said = honours.command(
        "revert", "--delivery", before["delivery_id"][:8], "--by", "data desk", "--reason", reason,
        "--date", str(DAY + timedelta(2)),
    )  # fmt: skip
    assert code == 0 and "release: " in said and reason in said
    rows = honours.deliveries()
    assert account(rows["mistake"]) == {"withdrawn": 3, "rejected": 1}
    assert account(rows["first"]) == account(first)
    levels = honours.rows("SELECT count(*), min(honour_level), max(honour_level) FROM records.honour")
    assert levels == [(4, "2", "2")], "what others say of its records shows again"
    assert honours.rows("SELECT count(*) FROM history.honour") == [(7,)], "history keeps what it said"
    assert honours.receipt(rows["mistake"])["account"]["withdrawn"] == 3
    (whole, *_) = findings(honours, rows["mistake"])
    assert whole["code"] == "H018" and reason in whole["message_en"]
    with honours.told() as ledger:
        assert waiting.open_rows(ledger).num_rows == 0, "nothing of it comes back by a milder rule"
        assert waiting.account_on(ledger, rows["mistake"], DAY + timedelta(1)) == {k: before[k] for k in ACCOUNT}
        assert waiting.account_on(ledger, rows["mistake"], DAY + timedelta(2)) == {
            k: rows["mistake"][k] for k in ACCOUNT
        }
    code, said = honours.command(
        "revert", "--delivery", before["delivery_id"], "--by", "x", "--reason", "y", "--date", str(DAY + timedelta(2))
    )
    assert code == 2
    rows = honours.night(3, again=(csv(honour(5), honour(7)), {"period": "2026-11-23", "sequence": 2}))
    assert account(rows["again"]) == {"new": 2}
    assert honours.rows("SELECT count(*) FROM records.honour") == [(6,)]


def test_what_was_reported_late_can_be_taken_back_on_the_day_it_came(honours: Home) -> None:
    penalties = replace(honours, item="administrative_penalty", sender="market_supervision")
    late = penalties.night(0, late=written(NEW))["late"]
    assert (late["new"], late["late"]) == (1, 1)
    with penalties.told():
        told = run.revert(penalties.place, DAY, late["delivery_id"], "desk", "sent by mistake")
    assert told["exit_code"] == 0
    void = penalties.deliveries()["late"]
    assert (account(void), void["late"]) == ({"withdrawn": 1}, 0)


@soak_only("scenes that properties of the fold hold, too")
def test_a_full_delivery_taken_back_gives_back_what_it_left_out(honours: Home) -> None:
    everybody = [honour(n) for n in range(1, 31)]
    honours.night(0, first=(csv(*everybody), FULL))
    rows = honours.night(1, fewer=(csv(*everybody[4:]), FULL | {"period": "2026-11-23"}))
    assert honours.rows("SELECT count(*) FROM records.honour") == [(26,)]
    with honours.told():
        told = run.revert(honours.place, DAY + timedelta(2), rows["fewer"]["delivery_id"], "desk", "half an export")
    assert told["exit_code"] == 0
    assert honours.rows("SELECT count(*) FROM records.honour") == [(30,)]
    assert account(honours.deliveries()["fewer"]) == {"withdrawn": 26}


def test_a_reversal_that_was_asked_for_and_killed_is_carried_out_by_the_next_night(honours: Home) -> None:
    rows = honours.night(0, first=csv(*(honour(n) for n in range(1, 130))))
    with honours.told() as ledger:
        assert reversals.ask(ledger, rows["first"]["delivery_id"], DAY, "desk", "a test file")
    rows = honours.night(1)
    assert account(rows["first"]) == {"withdrawn": 129}, "a person's word moves more than a gate lets pass"
    assert honours.rows("SELECT count(*) FROM records.honour") == [(0,)]
    before = honours.everything()
    honours.night(1)
    assert honours.everything() == before


def test_only_what_is_released_is_reverted(honours: Home) -> None:
    rows = honours.night(0, odd="姓名,x\n甲,y\n")
    code, _ = honours.command("revert", "--delivery", rows["odd"]["delivery_id"], "--by", "x", "--reason", "y")
    assert code == 2
    code, _ = honours.command("revert", "--delivery", rows["odd"]["delivery_id"], "--by", " ", "--reason", "y")
    assert code == 2
    assert json.loads(honours.command("status", "--json")[1])[0]["state"] == "returned"
