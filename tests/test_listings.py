"""When somebody was on a list of serious cases, as departments and events tell it: who corrects himself leaves it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.query import query
from schemas.load import load
from tests.conftest import SOAK
from tests.dirty_files import number, table
from tests.nights import Home, begin
from tests.test_disagreements import penalty
from tests.test_life import event, send
from tests.test_privacy import name

ITEM = load().items["market_serious_violation"]
LISTED = {
    "certificate_type": "身份证", "subject_type": "自然人", "business_name": "", "unified_credit_code": "",
    "list_ground": "食品安全领域", "facts": "示例", "entry_date": "2026-05-01", "deciding_organ": "示例市场监督管理局",
    "penalty_decision_no": "琼示罚〔2026〕1号", "penalty_date": "2026-04-20", "list_state": "列入",
    "removal_date": "", "removal_reason": "", "remarks": "", "row_action": "", "updated_at": "2026-05-02 08:00:00",
}  # fmt: skip
SQL = """SELECT h.line - 1 AS n, CAST(l.listed_from AS VARCHAR), CAST(l.listed_until AS VARCHAR), l.left_by,
        l.event IS NOT NULL
    FROM listings l JOIN (SELECT record_key, min(line) AS line FROM history.market_serious_violation
        WHERE period = DATE '2026-11-20' GROUP BY record_key) h USING (record_key) ORDER BY ALL"""


def no(n: int) -> str:
    return f"琼示列〔2026〕{n}号"


def entry(n: int, at: str = "2026-05-02", **cells: str) -> dict[str, str]:
    """A faultless row about invented person `n`, said on the day `at`; `cells` replace, by field."""
    own = {"subject_name": name(n), "credit_number": number(n), "entry_decision_no": no(n)}
    own |= {"updated_at": f"{at} 08:00:00"}
    return {ITEM.field(f).label_zh: value for f, value in (LISTED | own | cells).items()}


def removed(n: int, day: str, why: str, at: str) -> dict[str, str]:
    return entry(n, at, list_state="移出", removal_date=day, removal_reason=why)


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item=ITEM.code, sender="market_supervision")


def about(n: int, item: str, **cells: str) -> dict[str, str]:
    refers = {"referred_department": "market_supervision", "referred_item": ITEM.code}
    return event(item, n, no(n), **refers, **cells)


def test_who_corrects_himself_or_is_restored_leaves_the_list_and_the_days_are_told(home: Home) -> None:
    home.night(0, a=(table(*(entry(n) for n in range(1, 9))), {"period": "2026-11-20"}))
    until = "2026-05-01"
    assert home.rows(SQL) == [(n, until, None, None, False) for n in range(1, 9)]
    # The four modes of restoration have one effect; so has a department's own word that somebody corrected himself.
    send(home, "restoration_event", "r", about(2, "restoration_event", restoration_mode="自新"))
    send(home, "reconsideration_event", "c", about(3, "reconsideration_event"), about(8, "reconsideration_event"))
    said = [
        removed(1, "2026-06-01", "自行纠正", "2026-06-02"),
        # Removed and listed again for something new, which gives two spells; removed by mistake, which gives none.
        removed(5, "2026-06-01", "期满", "2026-06-02"), entry(5, "2026-08-02", entry_date="2026-08-01"),
        removed(6, "2026-06-01", "期满", "2026-06-02"), entry(6, "2026-06-03"),
        # The day of the entry was wrong: the list was never entered on it.
        entry(7, "2026-06-02", entry_date="2026-05-11"),
        # Withdrawn as it has to be once it is revoked: the day is that of the revocation.
        entry(4, "2026-06-02", row_action="撤回"), entry(8, "2026-11-22", row_action="撤回"),
    ]  # fmt: skip
    rows = home.night(1, b=(table(*said), {"period": "2026-11-22"}))
    assert rows["b"]["rejected"] == 0
    assert home.rows(SQL) == [
        (1, until, "2026-06-01", "removed", False), (2, until, "2026-11-20", "restored", True),
        (3, until, "2026-11-19", "revoked", True), (4, until, "2026-06-02", "withdrawn", False),
        (5, until, "2026-06-01", "removed", False), (5, "2026-08-01", None, None, False),
        (6, until, None, None, False), (7, "2026-05-11", None, None, False),
        (8, until, "2026-11-19", "revoked", True),
    ]  # fmt: skip
    assert home.rows("SELECT count(*) FROM standing WHERE serious_lists > 0") == [(3,)]
    # Persons 1 and 4 are spoken of no more; of the others person 5 has two rows.
    assert home.rows("SELECT count(*) FROM listings JOIN subjects USING (subject_id)") == [(7,)]
    now = "SELECT count(*) FROM listings WHERE listed_until IS NULL"
    assert (home.rows(now), query(home.place, now, "2026-11-22")[1]) == ([(3,)], [(8,)])


def test_the_penalty_behind_an_entry_is_kept_while_the_entry_lasts(home: Home) -> None:
    """Day 0 is 22 November 2026; by themselves these penalties are kept until the 23rd."""
    sent = {"行政处罚决定书文号": "琼示罚〔2026〕1号", "处罚决定日期": "2021-11-23"}
    penalties = replace(home, item="administrative_penalty", sender="haikou")
    penalties.send(p=table(*(penalty(n, **sent) for n in (1, 2, 3))))
    # The entry of person 1 rests on the penalty, that of person 3 begins when the penalty is past its time.
    home.night(0, a=(table(entry(1)), {"period": "2026-11-20"}))
    home.night(2, c=(table(entry(3, "2026-11-24", entry_date="2026-11-24")), {"period": "2026-11-24"}))
    shared = "SELECT r.kept_until IS NULL, count(*) FROM records.administrative_penalty r GROUP BY ALL"
    assert home.rows(shared) == [(True, 1)], "only that of person 1 is kept"
    told = json.loads(home.command("events", "--json")[1])
    assert {(e["does"], e["event_item"], e["until"]) for e in told} == {("keeps", home.item, None)}
    ((key,),) = home.rows("SELECT lower(hex(record_key)) FROM records.administrative_penalty")
    assert key in [e["record_key"] for e in told] and len(told) == 2
    over = "SELECT ended_by, CAST(ended_on AS VARCHAR), CAST(kept_until AS VARCHAR) FROM ended.administrative_penalty"
    assert home.rows(over) == [("expired", "2026-11-24", "2026-11-23")] * 2
    home.night(3)
    assert home.rows(shared) == [(True, 1)], "the entry of person 3 is known now, and keeps nothing"
    before = home.everything()
    home.night(4)
    assert home.everything()[0]["ledger.release"] == before[0]["ledger.release"], "nothing is due, so nothing is done"
    home.night(9, b=(table(removed(1, "2026-11-30", "期满", "2026-12-01")), {"period": "2026-11-30"}))
    assert home.rows(shared) == [(True, 1)], "it is told from the next night on"
    home.night(10)
    assert home.rows(shared) == []
    assert sorted(home.rows(over))[-1] == ("expired", "2026-12-01", "2026-11-30")
    if not SOAK:
        return
    # The entry was a mistake: by itself the penalty was past its time long ago.
    home.night(11, c=(table(entry(1, "2026-12-02", row_action="撤回")), {"period": "2026-12-01"}))
    home.night(12)
    assert home.rows(over) == [("expired", "2026-11-24", "2026-11-23")] * 3


def test_a_list_that_tells_no_state_is_left_on_the_day_of_removal_or_by_withdrawal(home: Home) -> None:
    tax = {
        "case_nature": "虚开发票", "violation_fact": "示例", "penalty_basis": "示例",
        "document_no": "琼示税〔2026〕1号",
        "determination_date": "2026-05-01", "entry_date": "2026-05-03", "determining_organ": "示例税务局",
    }  # fmt: skip
    court = {
        "subject_type": "自然人", "court_name": "示例法院", "basis_document_no": "（2026）示民初1号",
        "basis_issuer": "示例法院", "filing_date": "2026-04-01", "obligation": "示例",
        "performance_status": "全部未履行", "dishonest_behaviour": "违反财产报告制度", "publication_date": "2026-05-02",
    }  # fmt: skip

    def said(item: str, at: str, n: int, **cells: str) -> dict[str, str]:
        own = {"subject_name": name(n), "certificate_type": "身份证", "credit_number": number(n), "row_action": "",
               "updated_at": f"{at} 08:00:00"}  # fmt: skip
        if item == courts.item:
            own |= {"source_record_no": str(n), "case_no": f"（2026）示执{n}号"}
        fields = load().items[item]
        return {fields.field(f).label_zh: v for f, v in (own | (tax if "tax" in item else court) | cells).items()}

    taxes = replace(home, item="major_tax_violation", sender="tax_service")
    courts = replace(home, item="judgment_defaulter", sender="high_court")
    first, later = {"period": "2026-11-20"}, {"period": "2026-11-22"}
    taxes.send(t=(table(*(said(taxes.item, "2026-05-04", n) for n in (1, 2))), first))
    courts.send(c=(table(*(said(courts.item, "2026-05-04", n) for n in (3, 4))), first))
    home.night(0)
    listed = "SELECT item, CAST(listed_from AS VARCHAR), CAST(listed_until AS VARCHAR), left_by FROM listings"
    listed += " ORDER BY ALL"
    on = [("judgment_defaulter", "2026-05-02"), ("major_tax_violation", "2026-05-01")]
    assert home.rows(listed) == [(i, day, None, None) for i, day in on for _ in range(2)]
    assert home.rows("SELECT count(*), sum(serious_lists) FROM standing") == [(4, 4)]
    taxes.send(u=(table(said(taxes.item, "2026-06-02", 1, removal_date="2026-06-01")), later))
    courts.send(d=(table(said(courts.item, "2026-06-02", 3, row_action="撤回")), later))
    home.night(1)
    assert home.rows(listed) == [
        (*on[0], "2026-06-02", "withdrawn"), (*on[0], None, None),
        (*on[1], "2026-06-01", "removed"), (*on[1], None, None),
    ]  # fmt: skip
    assert home.rows("SELECT sum(serious_lists) FROM standing") == [(2,)]
