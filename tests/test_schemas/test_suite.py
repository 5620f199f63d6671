"""What is asked of an item, and when a question is not put at all."""

from datetime import date
from typing import Any

import pytest

from schemas import in_force, suite
from schemas.load import effective, load
from schemas.model import CatalogError

CATALOG = load()
AS_OF = date(2098, 6, 1)
LIMITS = suite.Limits(
    gate_minimum_rows=100, removed_share_limit=0.2, changed_share_limit=0.5, ended_share_limit=0.2,
    empty_share_rise_limit=0.5, early_event_share_limit=0.01, earliest_event_date=date(1949, 10, 1),
)  # fmt: skip


def asked(item: str, figures: dict[str, Any], previous: dict[str, Any] | None = None) -> dict[str, suite.Asked]:
    return {a.name: a for a in suite.profile(CATALOG.items[item], figures, previous, LIMITS, AS_OF)}


@pytest.mark.parametrize("item", sorted(CATALOG.items))
def test_every_item_is_asked_for_its_account_required_fields_and_codes(item: str) -> None:
    found = asked(item, {"rows": 1000, "published_rows": 0})
    fields = CATALOG.items[item].curated_fields
    assert {"account", "subjects_missing"} <= set(found)
    for f in fields:
        if f.is_always_required:
            assert found[f"nulls_{f.name}"].arguments["max_value"] == 0
        if f.code_set:
            assert found[f"outside_{f.name}"].arguments["max_value"] == 0
    assert ("events_late" in found) == (CATALOG.items[item].event_date is not None)


def test_limits_are_counts_of_what_is_published() -> None:
    found = asked("honour", {"rows": 10, "published_rows": 1000})
    assert found["removed_rows"].arguments["max_value"] == 200
    assert found["changed_rows"].arguments["max_value"] == 500
    assert found["removed_rows"].limit == "<= 200 (20% / 1,000)"


def test_no_share_is_judged_of_few_records_and_the_reason_is_told() -> None:
    found = asked("honour", {"rows": 99, "published_rows": 99})
    for name in ("removed_rows", "changed_rows", "events_early"):
        assert found[name].expectation == ""
        assert "100" in found[name].reason_zh and "100" in found[name].reason_en


def test_an_optional_field_is_compared_with_the_last_batch_that_passed() -> None:
    now = {"rows": 1000, "published_rows": 0}
    assert asked("volunteer_service", now)["nulls_star_rating"].expectation == ""
    small = asked("volunteer_service", now, {"rows": 20, "nulls_star_rating": 2})
    assert small["nulls_star_rating"].expectation == ""
    full = asked("volunteer_service", now, {"rows": 200, "nulls_star_rating": 20})
    assert full["nulls_star_rating"].arguments["max_value"] == 600
    empty = asked("volunteer_service", now, {"rows": 200, "nulls_star_rating": 200})
    assert empty["nulls_star_rating"].arguments["max_value"] == 1000


def test_every_limit_is_dated_policy() -> None:
    assert in_force.read(suite.Limits, lambda name: effective(CATALOG, name, AS_OF)).gate_minimum_rows == 100
    with pytest.raises(CatalogError, match="no 'gate_minimum_rows' in force"):
        in_force.read(suite.Limits, lambda name: effective(CATALOG, name, date(1800, 1, 1)))
