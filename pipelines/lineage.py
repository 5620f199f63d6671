"""What a task of the night has read and written, for whoever follows data from one system to the next.

Keys, figures and names of the catalogue alone: no value of anybody, no name of a file, nothing that a person wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.model import ACCOUNT
from pipelines.night import Night, open_night
from pipelines.stages.candidate import Candidate, read_candidate
from pipelines.stages.evaluate import NOT_APPLICABLE, PASSED
from schemas.arrow import record_schema
from schemas.model import Item

FIGURES = ("read", *ACCOUNT)


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    label: str


@dataclass(frozen=True)
class Assertion:
    """What an expectation of the gate gave; one that a person excused did not hold, and stops nothing."""

    name: str
    column: str
    is_held: bool
    is_excused: bool
    allowed: str
    observed: str


@dataclass(frozen=True)
class Dataset:
    """`deliveries.<item>.<delivery>`, `staging.<item>` (a candidate) or `records.<item>` (of a release), of which
    `version` names the candidate or release; `rows` are those read or written, None where nobody has counted yet,
    `account` the row account, `nulls` empty values by column."""

    name: str
    columns: tuple[Column, ...]
    version: str = ""
    rows: int | None = None
    account: Mapping[str, int] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()


@dataclass(frozen=True)
class Told:
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def received(home: str, day: str, portions: Sequence[Sequence[str]]) -> Told:
    """What was taken and is to be checked; its rows are not counted yet."""
    with open_night(home, day) as night:
        return Told(outputs=_deliveries(night, [key for portion in portions for key in portion], is_counted=False))


def checked(home: str, day: str, delivery_ids: Iterable[str]) -> Told:
    """Deliveries with the row account as it is then: what was accepted counts as held until its release."""
    with open_night(home, day) as night:
        return Told(inputs=_deliveries(night, delivery_ids))


def integrated(home: str, day: str, codes: Iterable[str]) -> Told:
    """The candidates of items, and the deliveries they are made of."""
    with open_night(home, day) as night:
        return _made(night, codes)


def gathered(home: str, day: str) -> Told:
    """The same of the items of events and the registers, which go before the others."""
    with open_night(home, day) as night:
        return _made(night, [code for code, item in night.catalog.items.items() if item.goes_first])


def gated(home: str, day: str) -> Told:
    """Every candidate that was judged, with its figures and what was expected of them."""
    with open_night(home, day) as night:
        return Told(inputs=tuple(d for d in _judged(night).values() if d.assertions))


def passed(home: str, day: str) -> dict[str, Dataset]:
    """Candidates that the next release takes, by item; to be asked before it does."""
    with open_night(home, day) as night:
        return _judged(night, is_passed=True)


def released(
    home: str, day: str, release: str | None, accounts: Mapping[str, Mapping[str, int]], passed: Mapping[str, Dataset]
) -> Told:
    """Of the candidates that had passed, those that a release took, and the records of their items in it. `accounts`:
    by item, the sums of the deliveries of that release."""
    with open_night(home, day) as night:
        taken = [code for code in passed if read_candidate(night.home, code) is None] if release else []
        records = [
            Dataset(
                f"records.{code}", passed[code].columns, version=str(release), rows=passed[code].rows,
                account=accounts.get(code, {}),
            )
            for code in taken
        ]  # fmt: skip
        return Told(tuple(passed[code] for code in taken), tuple(records))


def _deliveries(night: Night, keys: Iterable[str], is_counted: bool = True) -> tuple[Dataset, ...]:
    asked = set(keys)
    found = []
    for row in night.ledger.deliveries():
        item = night.catalog.items.get(row["item"])
        if row["delivery_id"] not in asked or item is None:
            continue
        columns = tuple(Column(f.name, f.type, f.label_zh) for f in item.fields)
        account = {name: int(row[name]) for name in FIGURES} if is_counted else {}
        name = f"deliveries.{item.code}.{row['delivery_id']}"
        found.append(Dataset(name, columns, rows=account.get("read"), account=account))
    return tuple(found)


def _made(night: Night, codes: Iterable[str]) -> Told:
    candidates = [c for code in codes if (c := read_candidate(night.home, code)) is not None]
    brought = [key for c in candidates for key in (*c.deliveries, *c.again, *c.reverted)]
    return Told(_deliveries(night, brought), tuple(_candidate(night.catalog.items[c.item], c, ()) for c in candidates))


def _judged(night: Night, is_passed: bool = False) -> dict[str, Dataset]:
    found = {}
    for code, item in night.catalog.items.items():
        c = read_candidate(night.home, code)
        if c is not None and not (is_passed and night.ledger.gate_verdict(c.candidate) != PASSED):
            found[code] = _candidate(item, c, night.ledger.gate_outcomes(c.candidate))
    return found


def _candidate(item: Item, of: Candidate, outcomes: Iterable[Mapping[str, Any]]) -> Dataset:
    labels = {f.name: f.label_zh for f in item.curated_fields}
    columns = tuple(Column(f.name, str(f.type), labels.get(f.name, "")) for f in record_schema(item))
    nulls = {name: of.profile[f"nulls_{name}"] for name in labels if f"nulls_{name}" in of.profile}
    asserted = tuple(_assertion(o, labels) for o in outcomes if o["outcome"] != NOT_APPLICABLE)
    return Dataset(f"staging.{item.code}", columns, of.candidate, of.upsert_rows, nulls=nulls, assertions=asserted)


def _assertion(outcome: Mapping[str, Any], columns: Iterable[str]) -> Assertion:
    """One that could not be evaluated was not held either."""
    about = outcome["name"].partition("_")[2]
    return Assertion(
        outcome["name"], about if about in columns else "", outcome["outcome"] == PASSED,
        outcome.get("decision") is not None, outcome["limit"], outcome["observed"],
    )  # fmt: skip
