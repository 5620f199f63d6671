"""Control totals, periods and late rows, as a delivery is judged: what holds it, what is only told."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.judge import Asked, Desk, about_the_period, judge
from pipelines.model import Delivery, Home
from pipelines.stages.totals import fits
from pipelines.stores.keys import Keys
from schemas.load import load
from tests.dirty_data import Sent
from tests.dirty_files.senders import FINE, penalty, table
from tests.test_dirty_data import delivery_of

CATALOG = load()
AS_OF = date(2026, 11, 22)
FINES, DAYS, CONFISCATED = FINE, "处罚决定日期", "没收违法所得、没收非法财物的金额（万元）"
Answer = tuple[list[tuple[str, str]], dict[str, str | None]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """Judges a file under a manifest; why it is held, codes and English messages, and what is told of it as a whole."""
    home = Home(tmp_path_factory.mktemp("totals"))
    (home.root / "sample.json").write_text("{}")
    home.make_restricted()

    def judge_it(said: dict[str, Any] | str, *rows: dict[str, str], content: str = "", as_of: date = AS_OF) -> Answer:
        path = Path(home.root / "work" / "file.csv")
        path.write_text(content or table(*rows), encoding="utf-8")
        sent = Sent(file="file.csv", item="administrative_penalty", department="haikou", manifest=said)
        delivery = delivery_of(sent, path.read_bytes(), as_of)
        result = judge(Desk(home, CATALOG, Keys(bytes(32)), as_of), Asked(delivery, path))
        told = {
            f["code"]: f["value"]
            for f in pq.read_table(home.findings(delivery.delivery_id)).to_pylist() if f["line"] is None
        }  # fmt: skip
        assert result.read == sum(result.account.values())
        return [(code, en) for code, _, en in result.reasons], told

    return judge_it


ROWS = (
    penalty(1),
    penalty(2, **{FINES: '" 1,000.25 "', DAYS: "2026/11/13"}),
    penalty(3, **{FINES: "", "处罚类别": "警告", DAYS: "20261117"}),
)


@pytest.mark.parametrize(
    "totals",
    [
        {
            FINES: {"sum": "1000.30", "min": 0.05, "max": "1000.250"},
            DAYS: {"min": "2026-11-13", "max": "2026-11-17"},
            "更新时间": {"min": "2026-11-17", "max": "2026-11-17"},
            CONFISCATED: {"sum": 0},  # no such column in the file: nothing was confiscated
        },
        {"fine_10k_cny": {"max": "1000.25"}},  # the catalogue's own name of the field
    ],
)
def test_totals_that_agree_hold_nothing_however_the_cells_are_written(
    judged: Callable[..., Answer], totals: dict[str, Any]
) -> None:
    assert judged({"rows": 3, "totals": totals}, *ROWS) == ([], {})


def test_a_total_that_differs_holds_with_both_figures(judged: Callable[..., Answer]) -> None:
    differing = {
        FINES: {"sum": "1000.31", "min": "0"},
        DAYS: {"min": "2026-11-13", "max": "2026-11-18"},
        CONFISCATED: {"sum": 5},
    }
    reasons, told = judged({"totals": differing}, *ROWS)
    assert [code for code, _ in reasons] == ["F042"] * 4 and not told
    for (_, message), figures in zip(
        reasons,
        [("sum", "1000.31", "1000.3"), ("least", "0", "0.05"), ("greatest", "2026-11-18", "2026-11-17"),
         ("sum", "5", "nothing")],
        strict=True,
    ):  # fmt: skip
        assert all(f" {figure} " in message for figure in figures), message


def test_a_cell_or_a_row_that_cannot_be_read_leaves_its_total_uncompared(judged: Callable[..., Answer]) -> None:
    said = {"totals": {FINES: {"sum": "0.10"}}}
    bad = penalty(2, **{FINES: "5-10万"})
    assert judged(said, penalty(1), bad) == ([], {"F043": "罚款金额（万元）"})
    assert judged({"totals": {FINES: {"sum": "0.10"}}}, penalty(1), penalty(2, **{FINES: "伍百元"})) == ([], {})
    cut = table(penalty(1), penalty(2)) + "a row cut short\n"
    assert judged(said, content=cut) == ([], {})  # what could be read adds up already
    assert judged({"totals": {FINES: {"sum": "0.15"}}}, content=cut) == ([], {"F043": "罚款金额（万元）"})


def test_a_total_of_a_column_that_has_none_holds_and_names_it(judged: Callable[..., Answer]) -> None:
    totals = {
        "自然人证件号码": {"max": 5},
        "行政处罚决定书文号": {"max": 5},
        DAYS: {"sum": 5},
        FINES: {"max": "2026-11-18"},
        "罚款": {"sum": 5},
    }
    (((code, message),), _) = judged({"totals": totals}, *ROWS)
    assert code == "F040" and all(f"'{column}' of totals" in message for column in totals)


def test_nothing_that_identifies_a_person_has_a_total() -> None:
    identifying = [f for i in CATALOG.items.values() for f in i.fields if f.sensitivity == "identifying"]
    assert identifying and not any(fits(f, {"min": "1"}) or fits(f, {"min": "2026-01-01"}) for f in identifying)


def test_an_unreadable_manifest_holds_and_a_strange_key_is_told(judged: Callable[..., Answer]) -> None:
    assert [code for code, _ in judged('{"rows": 3', *ROWS)[0]] == ["F040"]
    assert judged({"rows": 3, "operator": "x"}, *ROWS) == ([], {"F041": "operator"})
    reasons, _ = judged({"rows": 4, "perid": "2026-01-01"}, *ROWS)
    assert [code for code, _ in reasons] == ["F040", "F011"] and "perid may be meant for period" in reasons[0][1]


@pytest.mark.parametrize(
    ("period", "as_of", "code"),
    [
        ("2026-11-24", AS_OF, "H010"),
        ("2026-11-23", AS_OF, ""),  # on a Sunday the running working day is Monday
        ("2026-11-22", AS_OF, ""),
        ("2025-11-21", AS_OF, ""),
        ("2025-11-20", AS_OF, "H011"),
        ("2026-10-08", date(2026, 10, 2), ""),  # the first working day after the holiday
        ("2026-10-09", date(2026, 10, 2), "H010"),
    ],
)
def test_a_period_ahead_holds_and_one_long_past_is_told(tmp_path: Path, period: str, as_of: date, code: str) -> None:
    desk = Desk(Home(tmp_path), CATALOG, Keys(bytes(32)), as_of)
    day, item = date.fromisoformat(period), CATALOG.items["administrative_penalty"]
    delivery = Delivery("d", "haikou", item.code, "f", day, 1, "incremental", "s", 9, None)
    reasons, told = about_the_period(desk, delivery, item)
    assert [*(r[0] for r in reasons), *(f.code for f in told)] == ([code] if code else [])
    assert all(period in said for r in reasons for said in r[1:])


def test_rows_are_late_by_working_days_and_withdrawals_are_not(judged: Callable[..., Answer]) -> None:
    rows = [penalty(n, **{DAYS: day}) for n, day in enumerate(("2026-11-12", "2026-11-11", "2026-09-30"), start=1)]
    gone = penalty(4, **{DAYS: "2026-09-30", "操作类型": "撤销"})
    assert judged({}, *rows, gone) == ([], {"H016": "2 / 4"})
    assert judged({}, rows[0]) == ([], {})
