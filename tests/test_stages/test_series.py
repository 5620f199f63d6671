"""Missing numbers, numbers used twice and the same file again, told from rows of the ledger."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages import series

DAY = date(2026, 11, 22)


def row(sequence: int, month: int = 11, **other: Any) -> dict[str, Any]:
    made = {
        "department": "a", "item": "x", "period": date(2026, month, 28), "sequence": sequence, "mode": "incremental",
        "sha256": f"s{month}.{sequence}", "received_on": DAY, "is_nil": False, "size": 9,
    }  # fmt: skip
    made |= other
    return {"delivery_id": "-".join(map(str, made.values())), **made}


@pytest.mark.parametrize(
    ("earlier", "number", "missing"),
    [
        ({}, 7, None),  # nobody knows what was before the first
        ({11: [7]}, 9, (8, 8)),
        ({11: [7]}, 12, (8, 11)),
        ({11: [7, 8]}, 9, None),
        ({11: [7, 10]}, 9, (8, 8)),  # what came later does not fill a gap before
        ({11: [9]}, 7, None),
        ({10: [5, 6]}, 7, None),  # counted through the periods
        ({10: [5, 6]}, 9, (7, 8)),
        ({10: [5, 6]}, 1, None),  # or from 1 again
        ({9: [1, 2], 10: [1]}, 3, (1, 2)),  # counted within periods
        ({9: [1, 2], 10: [1]}, 2, None),  # 2 follows the 1 of the last period
        ({10: [1, 2, 3]}, 2, (1, 1)),
        ({10: [5]}, 3, None),  # numbers that go back say nothing
        ({12: [1]}, 4, None),  # a later period is not before
    ],
)
def test_missing_numbers(earlier: dict[int, list[int]], number: int, missing: tuple[int, int] | None) -> None:
    used = series.numbers(row(n, month) for month, ns in earlier.items() for n in ns)
    assert series.missing_before(row(number), used) == missing


def test_a_gap_is_told_with_the_delivery_behind_it_until_it_is_filled() -> None:
    seven, nine = row(7), row(9)
    assert [(f.code, f.value) for f in series.remarks(nine, [seven, nine])] == [("H012", "8")]
    assert series.missing([seven, nine, row(8, department="b")]) == {nine["delivery_id"]: "8"}
    assert series.missing([seven, nine, row(8)]) == {}
    assert series.missing([row(7), row(12)]) == {row(12)["delivery_id"]: "8–11"}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8, unique=True))
def test_within_a_period_the_gaps_are_exactly_the_numbers_that_are_not_there(numbers: list[int]) -> None:
    rows = [row(n) for n in numbers]
    used = series.numbers(rows)
    gaps = [series.missing_before(r, used) for r in rows]
    told = {n for gap in gaps if gap for n in range(gap[0], gap[1] + 1)}
    assert told == set(range(min(numbers), max(numbers))) - set(numbers)


def codes(of: dict[str, Any], *others: dict[str, Any]) -> list[str]:
    return [f.code for f in series.remarks(of, others)]


def test_a_number_used_for_another_content_is_told_to_the_later_one_only() -> None:
    first, second = row(3), row(3, sha256="other", received_on=date(2026, 11, 23))
    assert codes(second, first) == ["H013"] and codes(first, second) == []
    assert codes(row(3, sha256="other", item="y"), first) == []


@pytest.mark.parametrize(
    ("again", "is_told"),
    [
        ({"month": 12}, True),
        ({"sequence": 2}, True),
        ({"mode": "full"}, True),
        ({"department": "b"}, True),
        ({"item": "y"}, True),
        ({"month": 12, "is_nil": True}, False),
        ({"month": 12, "size": 0}, False),
    ],
)
def test_the_same_file_elsewhere_is_told_with_the_earlier_delivery(again: dict[str, Any], is_told: bool) -> None:
    first = row(1, sha256="same")
    other = {"sequence": 1, "month": 11, "sha256": "same", "received_on": date(2026, 11, 23)} | again
    second = row(**other)
    found = series.remarks(second, [first])
    assert [f.code for f in found] == (["H014"] if is_told else [])
    assert all(first["delivery_id"] in str(f.value) for f in found)
    assert codes(first, second) == []


def test_a_full_list_that_did_not_change_is_right_to_be_the_same_file() -> None:
    first, second = (row(1, month, sha256="same", mode="full") for month in (10, 11))
    assert codes(second, first) == []
    assert codes(row(2, 11, sha256="same", mode="full"), second) == ["H014"]  # but not twice in one period
