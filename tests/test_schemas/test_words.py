"""Code sets worked out once say what they would say when asked anew."""

from datetime import date, timedelta

import pytest

from schemas.load import load
from schemas.model import Code, CodeSet, Variant
from schemas.row_rules import code_values, ended
from schemas.words import Words

CATALOG = load()
DEPARTMENTS = ("haikou", "tax_service", "high_court", None)


@pytest.mark.parametrize("name", sorted(CATALOG.code_sets))
def test_every_code_set_says_the_same_around_every_day_on_which_it_changes(name: str) -> None:
    check(CATALOG.code_sets[name], Words(CATALOG))


def test_what_one_department_writes_for_a_time_is_its_own() -> None:
    altered = CodeSet(
        name="altered",
        codes=(
            Code(code="1", label="甲", source="-"),
            Code(code="2", label="乙", source="-", valid_from=date(2020, 1, 1), valid_to=date(2021, 12, 31)),
        ),
        own=(
            Variant(value="9", code="2", department="haikou", source="-", valid_from=date(2020, 6, 1),
                    valid_to=date(2020, 6, 30)),
            Variant(value="8", code="1", department="*", source="-", valid_to=date(2020, 12, 31)),
        ),
    )  # fmt: skip
    words = Words(CATALOG.model_copy(update={"code_sets": {"altered": altered}}))
    check(altered, words)
    digests = {
        words.of("altered", day, who).digest
        for day in (date(2019, 1, 1), date(2020, 6, 15), date(2022, 1, 1)) for who in ("haikou", "sanya")
    }  # fmt: skip
    assert len(digests) == 4  # before, within for either, after


def check(code_set: CodeSet, words: Words) -> None:
    days = {d for c in (*code_set.codes, *code_set.own) for d in (c.valid_from, c.valid_to) if d and d < date.max}
    around = {d + timedelta(n) for d in (*days, date(2026, 11, 22)) for n in (-1, 0, 1)}
    for day in sorted(around):
        for department in DEPARTMENTS:
            known = words.of(code_set.name, day, department)
            assert known.values == code_values(code_set, day, department), (day, department)
            assert known.until == ended(code_set)
