"""The golden scenario in other orders of arrival: what comes of it is the same in every cell (tests/golden)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import soak_only
from tests.golden import LAST, LEDGER, Entry, catalogue, live, settled
from tests.golden.states import differences, state
from tests.nights import begin

LATE = range(LAST - 4, LAST + 1)  # on the first of these nights every period has begun and every event has happened
Arrival = Mapping[int, list[Entry]]


def spread(entries: list[Entry]) -> Arrival:
    """Entries in this order over the last nights."""
    size = -(-len(entries) // len(LATE))
    return {night: entries[n * size : (n + 1) * size] for n, night in enumerate(LATE)}


def shuffled(seed: int) -> Arrival:
    return spread(random.Random(seed).sample(LEDGER, len(LEDGER)))


ORDERS: dict[str, Arrival] = {
    "all in one night": {LAST: list(LEDGER)},
    "the last first": spread(list(LEDGER[::-1])),
    **{f"shuffled by {seed}": shuffled(seed) for seed in range(20)},
}


@soak_only("the golden scenario in other orders")
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_arrival_changes_no_cell(
    order: str, tmp_path: Path, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", database(), monkeypatch, catalog=catalogue(tmp_path))
    for night, entries in settled(ORDERS[order]).items():
        live(home, night, entries)
    assert differences(state(home, ("records", "ended", "history", "versions")), LAST) == {}
    assert {r["state"] for r in home.deliveries().values()} == {"released", "returned"}
