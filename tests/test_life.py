"""What events and time make of a record: every consequence follows by itself in the night that learns of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines import run
from pipelines.stages import load
from schemas import load as catalogue
from tests.conftest import soak_only
from tests.dirty_files import number, table
from tests.nights import DAY, Home, begin, limited
from tests.test_privacy import name
from tests.test_wrong_person import findings, no, ticket

CATALOG = catalogue.load()
SENDERS = {"restoration_event": "market_supervision", "objection_event": "development_reform",
           "complaint_event": "development_reform", "reconsideration_event": "justice",
           "withdrawal_event": "public_security"}  # fmt: skip
SAID = {
    "restoration_event": {
        "restoration_no": "琼修复〔2026〕1号", "restoration_mode": "纠错", "breach_class": "一般",
        "restoration_state": "准予", "application_date": "2026-11-17", "acceptance_date": "2026-11-18",
        "is_obligation_met": "是", "decision_no": "琼修复决〔2026〕1号", "decision_date": "2026-11-20",
        "determining_unit": "示例交警大队",
    },
    "objection_event": {
        "objection_no": "琼异议〔2026〕1号", "disputed_content": "示例", "objection_ground": "02",
        "submission_date": "2026-11-17", "objection_state": "已受理", "acceptance_date": "2026-11-18",
        "handling_office": "示例信用中心", "reply_date": "", "objection_outcome": "",
    },
    "complaint_event": {
        "complaint_no": "琼投诉〔2026〕1号", "complained_unit": "示例交警大队", "complaint_content": "示例",
        "complaint_ground": "02", "submission_date": "2026-11-17", "complaint_state": "已受理",
        "acceptance_decision_date": "2026-11-18", "complaint_outcome": "", "closing_date": "",
        "handling_office": "示例信用中心",
    },
    "reconsideration_event": {
        "respondent_organ": "示例交警大队", "reconsideration_no": "琼复决〔2026〕1号",
        "reconsideration_date": "2026-11-19", "reconsideration_organ": "示例复议机关",
        "reconsideration_outcome": "撤销", "is_in_effect": "是", "changed_content": "",
    },
    "withdrawal_event": {
        "withdrawal_kind": "撤销", "withdrawal_cause": "决定机关自行撤销或变更", "basis_no": "琼撤〔2026〕1号",
        "basis_date": "2026-11-19", "basis_organ": "示例交警大队", "effective_date": "2026-11-19",
        "reporting_unit": "示例交警大队", "corrected_content": "",
    },
}  # fmt: skip


def event(item: str, n: int, document: str, **cells: str) -> dict[str, str]:
    """A faultless row of an item of events, about invented person `n` and a ticket; `cells` replace, by field."""
    row = {
        "subject_name": name(n), "certificate_type": "身份证", "credit_number": number(n),
        "referred_department": "public_security", "referred_item": "traffic_penalty", "referred_document_no": document,
        **SAID[item], "row_action": "", **cells,
    }  # fmt: skip
    return {CATALOG.items[item].field(f).label_zh: value for f, value in row.items()}


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")


def send(home: Home, item: str, file: str, *rows: dict[str, str], **manifest: Any) -> None:
    replace(home, item=item, sender=SENDERS[item]).send(**{file: (table(*rows), manifest)})


def shown(home: Home) -> dict[str, str | None]:
    """Document number -> marks, of the tickets that are shared, as the lake and the warehouse agree."""
    sql = "SELECT decision_no, marks FROM records.traffic_penalty"
    found = {str(k): v for k, v in home.rows(sql)}
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        assert {str(k): v for k, v in connection.execute(sql).fetchall()} == found
    return found


def ended(home: Home) -> dict[str, tuple[str, str]]:
    """Document number -> (why, since when), of the tickets that are shared no more."""
    rows = home.rows("SELECT decision_no, ended_by, ended_on FROM ended.traffic_penalty")
    return {str(k): (str(by), str(on)) for k, by, on in rows}


def told(home: Home, row: dict[str, Any]) -> list[tuple[str, int]]:
    """Code and line of what is told of a delivery."""
    return [(f["code"], f["line"]) for f in findings(home, row)]


def test_a_restored_record_is_shared_no_more_and_history_keeps_it(home: Home) -> None:
    home.night(0, a=table(*(ticket(n, n) for n in range(1, 4))))
    assert shown(home) == {no(1): None, no(2): None, no(3): None}
    send(home, "restoration_event", "r", event("restoration_event", 2, no(2)))
    row = home.night(1)["r"]
    assert (row["state"], row["new"]) == ("released", 1)
    assert shown(home) == {no(1): None, no(3): None}
    assert ended(home) == {no(2): ("restored", "2026-11-20")}
    ((event_key, by),) = home.rows("SELECT lower(hex(ended_event)), ended_by FROM ended.traffic_penalty")
    ((key,),) = home.rows("SELECT lower(hex(record_key)) FROM records.restoration_event")
    assert event_key == key and by == "restored"
    assert home.rows("SELECT count(*) FROM history.traffic_penalty") == [(3,)]
    asked = ("changes", "2026-11-22", "2026-11-23", "--item", "traffic_penalty", "--json")
    (change,) = json.loads(home.command(*asked)[1])
    assert change["kind"] == "DEL"
    # What the department says of it again is no news, and does not bring it back.
    rows = home.night(2, b=(table(ticket(2, 2), ticket(3, 3)), {"period": "2026-11-24"}))
    assert rows["b"]["unchanged"] == 2
    assert shown(home) == {no(1): None, no(3): None} and ended(home) == {no(2): ("restored", "2026-11-20")}


def test_an_event_that_is_taken_back_lets_the_record_show_again(home: Home) -> None:
    home.night(0, a=table(ticket(1, 1)))
    send(home, "restoration_event", "r", event("restoration_event", 1, no(1)))
    home.night(1)
    assert shown(home) == {}
    gone = event("restoration_event", 1, no(1), row_action="删除")
    send(home, "restoration_event", "w", gone, period="2026-11-24")
    home.night(2)
    assert shown(home) == {no(1): None} and ended(home) == {}


def test_an_event_waits_for_its_record_and_reaches_nobody_else(home: Home) -> None:
    old = ticket(4, 4, 违法日期="2019-11-20", 处罚决定日期="2019-11-23")
    send(home, "restoration_event", "r", event("restoration_event", 1, no(1)), event("restoration_event", 2, no(3)))
    row = home.night(0)["r"]
    assert told(home, row) == [("D008", 2), ("D008", 3)] and home.receipt(row)["findings_total"] == 2
    before = home.everything()[1]
    home.night(1)
    assert home.everything()[1] == before, "what waits still is not told again"
    rows = home.night(2, a=table(ticket(1, 1), ticket(2, 2), ticket(3, 3), old))
    # Person 2's event names the ticket of person 3: neither of them loses or gains by it.
    assert shown(home) == {no(2): None, no(3): None}
    assert ended(home) == {no(1): ("restored", "2026-11-20"), no(4): ("expired", "2024-11-24")}
    assert told(home, rows["r"]) == [("D008", 3)], "what has found its record is told no more"
    assert home.receipt(rows["r"])["findings_total"] == 1
    # A record that was past its retention as it came is told with it.
    assert told(home, rows["a"]) == [("D007", 5)] and rows["a"]["new"] == 4


def test_event_and_record_of_one_night_meet(home: Home) -> None:
    send(home, "withdrawal_event", "w", event("withdrawal_event", 1, no(1)))
    home.night(0, a=table(ticket(1, 1), ticket(2, 2)))
    assert shown(home) == {no(2): None} and ended(home) == {no(1): ("revoked", "2026-11-19")}


def test_an_objection_is_marked_from_acceptance_to_reply(home: Home) -> None:
    home.night(0, a=table(ticket(1, 1), ticket(2, 2)))
    submitted = event("objection_event", 1, no(1), objection_state="已提交", acceptance_date="")
    send(home, "objection_event", "o1", submitted)
    home.night(1)
    assert shown(home) == {no(1): None, no(2): None}, "nothing is marked before somebody has accepted it"
    send(home, "objection_event", "o2", event("objection_event", 1, no(1)), period="2026-11-24")
    home.night(2)
    assert shown(home) == {no(1): "objected", no(2): None}
    reply = {"objection_state": "已答复", "reply_date": "2026-11-24", "objection_outcome": "保留"}
    send(home, "objection_event", "o3", event("objection_event", 1, no(1), **reply), period="2026-11-25")
    # What was so before and comes only now opens nothing again.
    send(home, "objection_event", "late", event("objection_event", 1, no(1), disputed_content="x"), period="2026-11-23")
    assert home.night(3)["late"]["superseded"] == 1
    assert shown(home) == {no(1): None, no(2): None}
    struck = reply | {"objection_outcome": "删除"}
    send(home, "objection_event", "o4", event("objection_event", 1, no(1), **struck), period="2026-11-26")
    home.night(4)
    row = home.deliveries()["o4"]
    assert shown(home) == {no(2): None} and ended(home) == {no(1): ("struck_out", "2026-11-24")}
    assert told(home, row) == [("D009", 2)], "it had been kept already"


def test_a_complaint_is_marked_while_it_is_open_and_its_outcome_follows(home: Home) -> None:
    def complaint(n: int, **cells: str) -> dict[str, str]:
        return event("complaint_event", n, no(n), complaint_no=f"琼投诉〔2026〕{n}号", **cells)

    nothing = {"acceptance_decision_date": "", "complaint_state": "已提交"}
    home.send(a=table(*(ticket(n, n) for n in range(1, 8))))
    send(home, "complaint_event", "c1", complaint(1, **nothing), *(complaint(n) for n in range(2, 8)))
    home.night(0)
    assert shown(home) == {no(1): None, **{no(n): "complained" for n in range(2, 8)}}
    closed = {"closing_date": "2026-11-23", "complaint_state": "已办结"}
    send(
        home, "complaint_event", "c2",
        complaint(1, complaint_state="不予受理", acceptance_decision_date="2026-11-23", closing_date="2026-11-23"),
        complaint(2, **closed, complaint_outcome="投诉不成立"),
        complaint(3, **closed, complaint_outcome="予以更正"),
        complaint(4, **closed, complaint_outcome="予以删除"),
        complaint(5, complaint_state="已撤回", closing_date="2026-11-23"),
        complaint(6, complaint_state="办理中"),
        complaint(7, **closed),  # nobody knows how it ended
        period="2026-11-23",
    )  # fmt: skip
    row = home.night(1)["c2"]
    assert (row["changed"], told(home, row)) == (6, [("X002", 8)])
    assert shown(home) == {no(1): None, no(2): None, no(3): "amending", no(5): None, no(6): "complained",
                           no(7): "complained"}  # fmt: skip
    assert ended(home) == {no(4): ("struck_out", "2026-11-23")}
    home.night(2, b=(table(ticket(3, 3, **{"罚款金额（元）": "20"})), {"period": "2026-11-24"}))
    assert shown(home)[no(3)] is None, "the correction has come"


def test_a_state_that_may_not_follow_is_told_and_an_earlier_delivery_with_it(home: Home) -> None:
    case = {"closing_date": "2026-11-19", "complaint_state": "已撤回"}
    ends = {"closing_date": "2026-11-19", "complaint_state": "已办结", "complaint_outcome": "投诉不成立"}
    send(home, "complaint_event", "ends", event("complaint_event", 1, no(1), **ends), period="2026-11-20")
    send(home, "complaint_event", "again", event("complaint_event", 1, no(1)), period="2026-11-21")

    def said(rows: dict[str, dict[str, Any]]) -> set[str]:
        found = {name for name, row in rows.items() if ("D009", 2) in told(home, row)}
        assert {name for name, row in rows.items() if "D009" in str(home.receipt(row)["findings"])} == found
        return found

    rows = home.night(0, a=table(ticket(1, 1)))
    assert said(rows) == {"again"} and shown(home) == {no(1): "complained"}
    send(home, "complaint_event", "late", event("complaint_event", 1, no(1), **case), period="2026-11-19")
    assert said(home.night(1)) == {"again", "ends"}, "by their own times, not as they came"
    calm = home.everything()
    home.night(1)
    assert home.everything() == calm, "what was told is not told again"
    of = home.deliveries()["ends"]["delivery_id"]
    assert home.command("revert", "--delivery", of, "--by", "x", "--reason", "y", "--date", "2026-11-24")[0] == 0
    assert said(home.night(2)) == {"again"}, "accepted, though withdrawn"
    gone = event("complaint_event", 1, no(1), row_action="删除", **case)
    send(home, "complaint_event", "gone", gone, period="2026-11-19", sequence=2)
    assert said(home.night(3)) == set(), "what was taken back stands in nobody's way"


@soak_only("more scenes of events")
def test_a_correction_announced_is_marked_until_the_department_says_more(home: Home) -> None:
    home.night(0, a=table(ticket(1, 1)))
    send(home, "withdrawal_event", "w", event(
        "withdrawal_event", 1, no(1), withdrawal_kind="更正", corrected_content="示例", effective_date="2026-11-23"
    ))  # fmt: skip
    home.night(1)
    assert shown(home) == {no(1): "amending"}
    home.night(2, b=(table(ticket(1, 1, **{"罚款金额（元）": "20"})), {"period": "2026-11-24"}))
    assert shown(home) == {no(1): None}


def test_reconsideration_revokes_varies_or_upholds(home: Home) -> None:
    home.night(0, a=table(*(ticket(n, n) for n in range(1, 5))))
    send(
        home, "reconsideration_event", "r",
        event("reconsideration_event", 1, no(1)),
        event("reconsideration_event", 2, no(2), reconsideration_outcome="变更", changed_content="示例"),
        event("reconsideration_event", 3, no(3), reconsideration_outcome="维持"),
        event("reconsideration_event", 4, no(4), is_in_effect="否"),
    )  # fmt: skip
    assert home.night(1)["r"]["new"] == 4
    assert shown(home) == {no(2): "varied", no(3): None, no(4): None}
    assert ended(home) == {no(1): ("revoked", "2026-11-19")}


def test_a_department_withdraws_no_record_of_another(home: Home) -> None:
    home.night(0, a=table(ticket(1, 1)))
    other = replace(home, item="withdrawal_event", sender="tax_service")
    other.send(w=(table(event("withdrawal_event", 1, no(1))), {}))
    home.night(1)
    assert shown(home) == {no(1): None} and ended(home) == {}


def test_retention_ends_a_record_on_its_day_without_any_delivery(home: Home) -> None:
    """Day 0 is 22 November 2026."""
    old = {"违法日期": "2021-11-20", "处罚决定日期": "2021-11-23"}
    home.night(0, a=table(ticket(1, 1, **old), ticket(2, 2), ticket(3, 3, **old | {"处罚决定日期": "2021-11-21"})))
    assert shown(home) == {no(1): None, no(2): None} and ended(home) == {no(3): ("expired", "2026-11-22")}
    home.night(1)
    assert shown(home) == {no(1): None, no(2): None}, "the last day of retention is one more day"
    home.night(2)
    assert shown(home) == {no(2): None}
    assert ended(home) == {no(1): ("expired", "2026-11-24"), no(3): ("expired", "2026-11-22")}
    before = home.everything()
    home.night(3)
    assert home.everything()[0]["ledger.release"] == before[0]["ledger.release"], "nothing is due, so nothing is done"


def test_a_day_on_which_nothing_changes_any_more_costs_a_look_and_no_more(home: Home) -> None:
    """A record that was the first to change is corrected: who has that day in mind is not told until it comes."""

    def changes_on() -> Any:
        with home.told() as ledger:
            return ledger.lives()["traffic_penalty"].changes_on

    first, second = ({"违法日期": "2021-11-20", "处罚决定日期": f"2021-11-{day}"} for day in (23, 24))
    home.night(0, a=table(ticket(1, 1, **first), ticket(2, 2, **second), ticket(3, 3)))
    assert str(changes_on()) == "2026-11-24"
    home.night(1, b=(table(ticket(1, 1, 更新时间="2026-11-23 08:00:00")), {"period": "2026-11-23"}))
    assert str(changes_on()) <= "2026-11-24"
    home.night(2)
    assert shown(home).keys() == {no(1), no(2), no(3)} and str(changes_on()) == "2026-11-25"
    home.night(3)
    assert shown(home).keys() == {no(1), no(3)} and ended(home) == {no(2): ("expired", "2026-11-25")}
    assert str(changes_on()) > "2026-11-25"


@soak_only("more scenes of events")
def test_what_follows_does_not_wait_with_deliveries_that_the_gate_holds(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.night(0, a=table(ticket(1, 1), ticket(2, 2)))
    send(home, "withdrawal_event", "w", event("withdrawal_event", 1, no(1)))
    stage = load.stage

    def spoilt(place: Any, ledger: Any, item: Any, candidate: Any, keys: Any) -> None:
        stage(place, ledger, item, candidate, keys)
        if item.code == "traffic_penalty" and candidate.deliveries:
            with psycopg.connect(home.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("DROP TABLE staging.traffic_penalty")

    home.send(b=(table(ticket(3, 3)), {"period": "2026-11-23"}))
    with monkeypatch.context() as broken:
        broken.setattr(load, "stage", spoilt)
        with home.told():
            assert run.nightly(home.place, DAY + timedelta(1))["held"] == ["traffic_penalty"]
    assert shown(home) == {no(2): None}, "the revoked ticket is gone, the held delivery is not there"
    assert home.deliveries()["b"]["state"] == "checked"
    rows = home.night(2)
    assert rows["b"]["state"] == "released" and shown(home) == {no(2): None, no(3): None}


@soak_only("more scenes of events")
def test_another_policy_looks_at_every_record_again(home: Home, tmp_path: Path) -> None:
    old = {"违法日期": "2022-05-01", "处罚决定日期": "2022-05-02"}
    home.night(0, a=table(ticket(1, 1, **old), ticket(2, 2)))
    assert shown(home) == {no(1): None, no(2): None}
    other = tmp_path / "catalog"
    shutil.copytree(home.catalog, other)
    file = other / "items/traffic_penalty.toml"
    text = file.read_text(encoding="utf-8")
    assert "retention_years = 5" in text
    file.write_text(text.replace("retention_years = 5", "retention_years = 3"), encoding="utf-8")
    replace(home, catalog=other).night(1)
    assert shown(home) == {no(2): None} and ended(home) == {no(1): ("expired", "2025-05-03")}
    home.night(2)
    assert shown(home) == {no(1): None, no(2): None} and ended(home) == {}


def test_rules_that_would_end_many_records_wait_for_a_person(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong figure in a policy is the worst hand at the clock: what it ends is deleted a month later."""
    old = {"违法日期": "2022-05-01", "处罚决定日期": "2022-05-02"}
    limited(monkeypatch, gate_minimum_rows=1)
    less = {"违法日期": "2024-05-01", "处罚决定日期": "2024-05-02"}
    home.night(0, a=table(ticket(1, 1, **old), ticket(2, 2, **less), ticket(3, 3), ticket(4, 4)))
    other = tmp_path / "catalog"
    shutil.copytree(home.catalog, other)
    file = other / "items/traffic_penalty.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("retention_years = 5", "retention_years = 3"), encoding="utf-8")
    changed = replace(home, catalog=other)
    changed.send(b=table(ticket(5, 5)))
    with changed.told():
        assert run.nightly(home.place, DAY + timedelta(1), print)["held"] == ["traffic_penalty"]
    assert len(shown(home)) == 4 and ended(home) == {}
    (held,) = json.loads(changed.command("held", "--json")[1])
    assert held["figures"] == {"ended_rows": {"observed": "1", "allowed": "<= 0 (10% / 4)"}}
    assert held["deliveries"] == [], "its deliveries wait with it, and what the rules make is asked of for itself"
    decided = ("--key", held["key"], "--by", "data desk", "--reason", "three years are right", "--date", "2026-11-24")
    assert changed.command("approve", *decided)[0] == 0
    changed.night(2)
    assert len(shown(home)) == 3 and ended(home) == {no(1): ("expired", "2025-05-03")}
    changed.night(3)
    assert len(shown(home)) == 4, "what was delivered comes the night after"
    # The approval is not one of whatever comes later.
    file.write_text(text.replace("retention_years = 5", "retention_years = 1"), encoding="utf-8")
    with changed.told():
        assert run.nightly(home.place, DAY + timedelta(9), print)["held"] == ["traffic_penalty"]
    assert len(shown(home)) == 4
    home.night(10)
    assert len(shown(home)) == 5, "the old rules are back, and nobody has to be asked to share again"


def test_the_life_of_a_record_can_be_told_and_events_that_found_none(home: Home) -> None:
    home.night(0, a=table(ticket(1, 1), ticket(2, 2)))
    ((key,),) = home.rows("SELECT lower(hex(record_key)) FROM records.traffic_penalty WHERE line = 2")
    send(home, "objection_event", "o", event("objection_event", 1, no(1)))
    wrong = event("restoration_event", 2, "469099000000099", restoration_no="琼修复〔2026〕9号")
    send(home, "restoration_event", "r", wrong)
    home.night(1)
    send(home, "withdrawal_event", "w", event("withdrawal_event", 1, no(1)))
    home.night(2)
    code, said = home.command("life", "--record", key, "--json")
    spans = json.loads(said)
    assert code == 0
    assert [(s["first"], s["last"], s["state"], s["marks"], s["ended_by"]) for s in spans] == [
        (1, 1, "shared", None, None), (2, 2, "shared", "objected", None), (3, 3, "ended", "objected", "revoked"),
    ]  # fmt: skip
    assert "revoked" in home.command("life", "--record", key)[1]
    assert home.command("life", "--record", "00" * 16)[0] == home.command("life", "--record", "x")[0] == 2
    found = json.loads(home.command("events", "--json")[1])
    assert {(e["name"], e["record_key"]) for e in found} == {
        ("objected", key), ("revoked", key), ("restored", None),
    }  # fmt: skip
    (waits,) = json.loads(home.command("events", "--waiting", "--json")[1])
    assert (waits["event_item"], waits["name"], waits["item"]) == ("restoration_event", "restored", "traffic_penalty")
    assert "1 waiting for a record" in home.command("events")[1]
    for text in (said, home.command("events")[1]):
        assert name(1) not in text and number(1) not in text and no(1) not in text


@soak_only("more scenes of events")
def test_what_is_overdue_is_told_in_working_days(home: Home) -> None:
    """The holiday of October 2026 lasts from the 1st to the 7th; Saturday the 10th is worked on."""
    home.night(0, a=table(*(ticket(n, n) for n in (1, 2, 3))))
    waits = {"objection_state": "已提交", "acceptance_date": "", "submission_date": "2026-09-30"}
    send(
        home, "objection_event", "o",
        event("objection_event", 1, no(1), **waits),
        event("objection_event", 2, no(2), objection_no="琼异议〔2026〕2号", submission_date="2026-11-01"),
    )  # fmt: skip
    send(home, "reconsideration_event", "r", event("reconsideration_event", 3, no(3)))
    gone = {"complaint_state": "已撤回", "acceptance_decision_date": "", "closing_date": "2026-11-20"}
    send(home, "complaint_event", "c", event("complaint_event", 1, no(1), acceptance_decision_date="2026-11-20"),
         event("complaint_event", 2, no(2), complaint_no="琼投诉〔2026〕2号", **gone))  # fmt: skip
    home.night(1)

    def open_on(day: str, *more: str) -> list[tuple[str, str, str, int]]:
        code, said = home.command("deadlines", "--date", day, "--json", *more)
        assert code == 0
        return [(o["item"], o["en"].split()[0], o["due"], o["working_days"]) for o in json.loads(said)]

    accept = ("objection_event", "accept", "2026-10-10")
    withdraw = ("traffic_penalty", "withdraw", "2026-11-24")  # revoked on Thursday the 19th
    reply = ("objection_event", "reply", "2026-11-27")  # accepted on Wednesday the 18th
    assert open_on("2026-10-10") == []
    assert open_on("2026-10-12") == [(*accept, 1)]
    assert open_on("2026-11-24") == [(*accept, 32)]
    assert open_on("2026-11-25") == [(*accept, 33), (*withdraw, 1)]
    answer = ("complaint_event", "conclude", "2026-12-21")  # thirty days from the 20th end on a Sunday
    assert open_on("2026-11-24", "--all") == [(*accept, 32), (*withdraw, 0), (*reply, 0), (*answer, 0)]
    assert "1 overdue on 2026-11-24" in home.command("deadlines", "--date", "2026-11-24")[1]
    home.night(2, w=(table(ticket(3, 3, 操作类型="撤回")), {"period": "2026-11-24"}))
    assert open_on("2026-11-25") == [(*accept, 33)]
    assert ended(home) == {}, "what its department has withdrawn is not there to end"


def test_standing_counts_what_the_years_and_the_law_say(home: Home, tmp_path: Path) -> None:
    """Three years before 22 November 2026 end on 22 November 2023."""
    def of(n: int, day: str) -> dict[str, str]:
        return ticket(n, n, 违法日期=day, 处罚决定日期=day)

    days = {1: "2023-11-22", 2: "2023-11-23", 3: "2026-11-01", 4: "2026-11-01", 5: "2025-11-01", 6: "2025-11-25"}
    home.send(a=table(*(of(n, day) for n, day in days.items())))
    send(home, "reconsideration_event", "r", event("reconsideration_event", 3, no(3)))
    send(home, "objection_event", "o", event("objection_event", 4, no(4)))
    # The window of an ordinary breach is a year: that of person 5 is over, that of person 6 is not.
    send(home, "restoration_event", "s", event("restoration_event", 5, no(5)),
         event("restoration_event", 6, no(6), restoration_no="琼修复〔2026〕6号"))  # fmt: skip
    home.night(0)
    sql = """SELECT DISTINCT h.line - 1, s.adverse, s.objected, s.clean_three_years, s.because, s.missing_feeds > 0
        FROM standing s JOIN subjects USING (person_id) JOIN history.traffic_penalty h USING (subject_id) ORDER BY 1"""
    found = {n: tuple(told) for n, *told in home.rows(sql)}
    bad = "traffic_penalty"
    assert found == {
        1: (1, 0, "unknown", None, True), 2: (1, 0, "no", bad, True), 3: (0, 0, "unknown", None, True),
        4: (1, 1, "no", bad, True), 5: (0, 0, "unknown", None, True), 6: (0, 0, "no", bad, True),
    }  # fmt: skip
    other = tmp_path / "catalog"  # nobody owes anything: what is not known then is not there
    shutil.copytree(home.catalog, other)
    file = other / "policy/national.toml"
    text = file.read_text(encoding="utf-8")
    assert "value = 2026-01-01" in text
    file.write_text(text.replace("value = 2026-01-01", "value = 2027-01-01"), encoding="utf-8")
    owing_nothing = replace(home, catalog=other)
    owing_nothing.night(1, b=(table(of(1, days[1])), {"period": "2026-11-23"}))
    now = {n: told[2] for n, *told in owing_nothing.rows(sql)}
    assert now == {1: "yes", 2: "yes", 3: "yes", 4: "no", 5: "yes", 6: "no"}, "and a day later the years of 2 are over"
