"""The golden scenario in its own order; what has to come of it was written by hand (tests/golden)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from tests.conftest import SOAK
from tests.golden import ITEMS, LAST, LEDGER, SPECS, Entry, catalogue, live
from tests.golden.states import State, differences, state
from tests.nights import Home, begin

ASKED = (8, 16, 22) if SOAK else (16,)
# At the reduced size what came in lies in the inboxes until the next night that is asked of: nothing depends on that.
NIGHTS = tuple(range(1, LAST + 1)) if SOAK else (*ASKED, LAST)
HELD = (("volunteers-b", "F011", 8, 9), ("qh-early", "H010", 10, 15))  # file, why, from and to which night


@dataclass(frozen=True)
class Lived:
    """The home after the last night, and what it said on earlier ones: its records, and which files were held."""

    home: Home
    then: dict[int, State] = field(default_factory=dict)
    held: dict[int, dict[str, str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, database: Callable[..., str]) -> Iterator[Lived]:
    place = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        lived = Lived(begin(place / "home", database(), patch, catalog=catalogue(place)))
        for before, night in zip((0, *NIGHTS), NIGHTS, strict=False):
            live(lived.home, night, [e for e in LEDGER if before < e.night <= night])
            rows = lived.home.deliveries()
            lived.held[night] = {f: r["message_code"] for f, r in rows.items() if r["state"] == "held"}
            if night in ASKED:
                lived.then[night] = state(lived.home, ("records", "ended"))
        yield lived


@pytest.mark.parametrize("night", ASKED)
def test_records_are_on_that_night_what_was_said_until_then_makes_of_them(lived: Lived, night: int) -> None:
    assert differences(lived.then[night], night) == {}


@pytest.mark.parametrize("night", ASKED)
def test_that_night_can_be_asked_for_when_all_is_over(lived: Lived, night: int) -> None:
    assert differences(state(lived.home, ("records", "ended"), as_of=night), night) == {}


def test_after_thirty_nights_every_cell_is_what_it_has_to_be(lived: Lived) -> None:
    assert differences(state(lived.home, ("records", "ended", "history", "versions")), LAST) == {}


def test_the_warehouse_says_what_the_lake_says(lived: Lived) -> None:
    with psycopg.connect(lived.home.url.replace("+psycopg", "")) as connection:
        for item in ITEMS:
            for space in ("records", "history") if SPECS[item].history_in_warehouse else ("records",):
                sql = f"SELECT * FROM {space}.{item} ORDER BY record_key, delivery_id, line"
                assert connection.execute(sql).fetchall() == lived.home.rows(sql), sql  # type: ignore[arg-type]


def test_what_is_planted_came_to_what_it_was_planted_for(lived: Lived) -> None:
    assert lived.held == {n: {f: why for f, why, first, last in HELD if first <= n <= last} for n in NIGHTS}
    rows = lived.home.deliveries()
    assert {f: (r["state"], r["message_code"]) for f, r in rows.items() if r["message_code"]} == {
        "ic-b": ("returned", "F017"), "honours-d": ("returned", "F017"), "sy-b": ("released", "H018"),
    }  # fmt: skip
    assert {f: r["refused"] for f, r in rows.items() if r["refused"]} == {"tickets-i": 1, "tickets-k": 1}
    assert {f for f, r in rows.items() if r["rejected"] + r["held"]} == set(), "whatever waited has its answer"
    sent = [e for e in LEDGER if e.do == "send"]
    assert len({e.department for e in sent}) == 16 and len(rows) == len({_tuple(e) for e in sent})


def _tuple(e: Entry) -> tuple[str, ...]:
    """What makes a file the same delivery, whatever it is called."""
    return e.department, e.item, e.content, *(str(e.manifest.get(k)) for k in ("period", "sequence", "mode"))
