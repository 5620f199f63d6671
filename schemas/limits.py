"""The dated policies that checks of rows ask for, as they are in force on a day."""

from __future__ import annotations

from datetime import date
from functools import partial

from schemas.load import effective
from schemas.model import Catalog
from schemas.row_rules import Policy
from schemas.third_persons import ThirdPersons


def policy(catalog: Catalog, on: date, minimum_birth_year: int | None = None) -> Policy:
    """Those of `catalog/policy` on the as-of date; a sample home lowers the `minimum_birth_year`. Raises
    `CatalogError` where one is missing."""
    limit = partial(effective, catalog, on=on)
    return Policy(
        minimum_birth_year=minimum_birth_year or limit("minimum_birth_year"),
        adult_age=limit("adult_age"),
        adult_after_days=limit("adult_after_days"),
        birth_unknown=tuple(sorted(limit("birth_unknown").items())),
        third_persons=_third_persons(catalog, on),
        test_names=tuple(limit("test_names")),
        test_numbers=tuple(limit("test_numbers")),
        withdrawal_words=tuple(limit("withdrawal_words")),
    )


def _third_persons(catalog: Catalog, on: date) -> ThirdPersons:
    limit = partial(effective, catalog, on=on)
    never, seldom = limit("characters_no_given_name")
    return ThirdPersons(
        roles=tuple(limit("third_person_roles")),
        surnames="".join(limit("surnames").split()),
        uncertain=limit("surnames_also_words"),
        compound=tuple(limit("compound_surnames")),
        words=tuple(limit("words_no_name")),
        never=never,
        seldom=seldom,
    )
