"""A delivery is held for a reason, or not at all; an item's verdict keeps three answers apart."""

import pytest

from pipelines.stages import gate
from pipelines.stages.evaluate import FAILED, NOT_APPLICABLE, PASSED, UNEVALUATED, Outcome

LIMITS = gate.DeliveryLimits(
    reject_rate_limit=0.5, volume_low_factor=0.2, volume_high_factor=5.0, volume_history_count=10,
    volume_minimum_history=5, volume_minimum_rows=100, absent_share_limit=0.2, absent_minimum_rows=20,
    destroyed_share_limit=0.02, destroyed_minimum_count=3,
    rounded_share_limit=0.1, rounded_minimum_count=10,
)  # fmt: skip
USUAL = [900, 1000, 1000, 1100, 5000]


def test_a_balanced_account_with_few_rejected_rows_passes() -> None:
    assert gate.delivery_reasons(10, {"rejected": 5, "accepted": 5}, LIMITS) == []
    assert gate.delivery_reasons(0, {"rejected": 0, "accepted": 0}, LIMITS) == []


def test_a_broken_account_and_too_many_rejected_rows_are_both_told() -> None:
    codes = [code for code, _, _ in gate.delivery_reasons(10, {"rejected": 6, "accepted": 3}, LIMITS)]
    assert codes == ["G001", "G002"]


@pytest.mark.parametrize(
    ("numbers", "destroyed", "rounded", "is_held"),
    [
        (100, 3, 0, True),
        (10, 2, 2, False),  # their rows are stopped one by one
        (1000, 20, 20, False),  # exactly the share
        (1000, 21, 16, True),
        (100, 0, 10, False),
        (100, 0, 11, True),
        (9, 0, 9, False),  # too few to tell; the rejected rows hold it
        (0, 0, 0, False),
    ],
)
def test_numbers_that_were_taken_for_quantities_hold_a_delivery(
    numbers: int, destroyed: int, rounded: int, is_held: bool
) -> None:
    reasons = gate.number_reasons(numbers, destroyed, rounded, LIMITS)
    assert [code for code, _, _ in reasons] == ["G005"] * is_held


@pytest.mark.parametrize(
    ("read", "history", "is_supplement", "is_held"),
    [
        (200, USUAL, False, False),  # exactly the low limit
        (199, USUAL, False, True),
        (199, USUAL, True, False),  # a correction is small by nature
        (5000, USUAL, False, False),
        (5001, USUAL, False, True),
        (5001, USUAL, True, True),
        (0, USUAL, False, True),  # an empty file that nobody declared
        (0, USUAL, True, False),
        (1, [], False, False),  # the first delivery
        (1, USUAL[:4], False, False),  # nothing is usual yet
        (1, [90] * 5, False, False),  # too small to tell
        (451, [90] * 5, False, True),  # small before, not small now
    ],
)
def test_volume_is_judged_against_the_median_of_history(
    read: int, history: list[int], is_supplement: bool, is_held: bool
) -> None:
    found = gate.volume_reasons(read, history, LIMITS, is_supplement=is_supplement)
    assert [code for code, _, _ in found] == (["H001"] if is_held else [])
    for _, zh, en in found:
        assert f"{read:,}" in zh and f"{read:,}" in en


def test_a_declared_nil_return_is_not_judged_by_volume() -> None:
    assert gate.volume_reasons(0, USUAL, LIMITS, is_nil=True) == []


@pytest.mark.parametrize(
    ("shown", "absent", "is_held"),
    [
        (1000, 200, False),  # exactly the limit
        (1000, 201, True),
        (40, 19, False),  # too few to tell
        (40, 20, True),
        (40, 40, True),
        (0, 0, False),
        (100_000, 97_000, True),  # the feed sends 3 % of yesterday
    ],
)
def test_a_full_delivery_that_leaves_out_too_many_records_is_held(shown: int, absent: int, is_held: bool) -> None:
    found = gate.absence_reasons(shown, absent, shown - absent, LIMITS)
    found += gate.absence_reasons(shown, absent, 0, LIMITS, is_nil=True)
    assert [code for code, _, _ in found] == (["H017", "H017"] if is_held else [])
    for _, zh, en in found:
        assert f"{absent:,}" in zh and f"{shown:,}" in en


def test_an_empty_full_delivery_withdraws_nothing_unless_it_says_nil() -> None:
    assert [code for code, _, _ in gate.absence_reasons(3, 3, 0, LIMITS)] == ["H017"]
    assert gate.absence_reasons(3, 3, 0, LIMITS, is_nil=True) == gate.absence_reasons(0, 0, 0, LIMITS) == []


def outcome(name: str, kind: str) -> Outcome:
    error = "OperationalError" if kind == UNEVALUATED else ""
    return Outcome(name, "profile", kind, "300", "<= 200 (20% / 1,000)", "没有大批消失", "do not disappear", error)


def test_a_seen_failure_outweighs_what_was_not_evaluated_and_nothing_is_not_a_pass() -> None:
    assert gate.verdict([outcome("a", PASSED), outcome("b", NOT_APPLICABLE)]) == "passed"
    assert gate.verdict([outcome("a", PASSED), outcome("b", UNEVALUATED)]) == "could_not_evaluate"
    assert gate.verdict([outcome("a", FAILED), outcome("b", UNEVALUATED)]) == "failed"
    assert gate.verdict([]) == "could_not_evaluate"


def test_a_held_item_says_which_expectation_what_was_seen_and_what_is_allowed() -> None:
    zh, en = gate.because([outcome("a", PASSED), outcome("removed_rows", FAILED), outcome("key", UNEVALUATED)])
    assert en == "removed_rows: 300, allowed <= 200 (20% / 1,000); key: could not be evaluated (OperationalError)"
    assert zh == "没有大批消失：实际 300，允许 <= 200 (20% / 1,000)；没有大批消失：未能检查（OperationalError）"
