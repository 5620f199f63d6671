"""What the ledger does with a delivery that comes again, and with one that another replaces."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest
import sqlalchemy as sa

from pipelines.errors import StoreError
from pipelines.model import Delivery
from pipelines.stores import waiting
from pipelines.stores.bulk import Bulk
from pipelines.stores.ledger import Ledger, waiting_row

DAY, NEXT = date(2026, 11, 22), date(2026, 11, 23)
SEEN = ("inbox/a", b"name", "9/1")
FIRST = Delivery("first", "a", "x", "f.csv", DAY, 1, "incremental", "s", 9, 5, manifest={"unclear": ["value:period"]})


@pytest.fixture(scope="module")
def shared(database: Callable[..., str]) -> Iterator[Ledger]:
    with Ledger(database()) as ledger:
        ledger.prepare()
        yield ledger


@pytest.fixture
def ledger(shared: Ledger) -> Ledger:
    with shared.engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE ledger.delivery")
    assert shared.register(FIRST, DAY, *SEEN)
    return shared


def only(ledger: Ledger, delivery_id: str = "first") -> dict[str, Any]:
    (row,) = ledger.deliveries(only=delivery_id)
    return row


def test_a_delivery_is_entered_with_what_its_manifest_says(ledger: Ledger) -> None:
    row = only(ledger)
    assert (row["state"], row["manifest"], row["declared_rows"]) == ("received", FIRST.manifest, 5)
    assert not ledger.register(FIRST, NEXT, *SEEN) and only(ledger) == row


@pytest.mark.parametrize("state", ["held", "returned"])
@pytest.mark.parametrize("other", [{"manifest": {}}, {"declared_rows": 4}, {"declared_rows": None}, {"is_nil": True}])
def test_a_corrected_manifest_takes_the_delivery_anew(ledger: Ledger, state: str, other: dict[str, Any]) -> None:
    ledger.update("first", state=state, message_code="F040", held=5)
    assert not ledger.register(FIRST, NEXT, *SEEN)  # the same again is known
    assert ledger.register(replace(FIRST, **other), NEXT, *SEEN)
    row = only(ledger)
    assert (row["state"], row["received_on"]) == ("received", NEXT)
    assert all(row[name] == value for name, value in other.items())


@pytest.mark.parametrize("state", ["received", "checked", "released"])
def test_what_is_taken_is_not_taken_anew_whatever_its_manifest_says(ledger: Ledger, state: str) -> None:
    ledger.update("first", state=state)
    before = only(ledger)
    assert not ledger.register(replace(FIRST, manifest={}, declared_rows=4), NEXT, *SEEN)
    assert only(ledger) == before


def test_a_delivery_held_for_its_manifest_is_void_once_the_same_file_came_with_another(ledger: Ledger) -> None:
    second = replace(FIRST, delivery_id="second", period=date(2026, 10, 31), manifest={})
    assert ledger.register(second, NEXT, *SEEN)
    for code, is_void in (("G002", False), ("F040", True)):
        ledger.update("first", state="held", message_code=code, read=5, held=5)
        ledger.replace_unclear(only(ledger, "second"), "作废", "void")
        row = only(ledger)
        assert (row["state"], row["read"], row["held"]) == (("returned", 0, 0) if is_void else ("held", 5, 5))
    assert only(ledger, "second")["state"] == "received"


def test_others_with_the_same_bytes_or_of_the_same_series_are_found(ledger: Ledger) -> None:
    for name, other in {
        "same series": {"sha256": "t"}, "same bytes": {"department": "b"}, "neither": {"item": "y", "sha256": "t"},
    }.items():  # fmt: skip
        ledger.register(replace(FIRST, delivery_id=name, **other), DAY, *SEEN)
    assert {r["delivery_id"] for r in ledger.beside(only(ledger))} == {"first", "same series", "same bytes"}


def test_much_at_once_is_read_in_the_types_that_are_asked_for(database: Callable[..., str]) -> None:
    """Also where there is none; and a database that does not answer is told of as such."""
    shape = pa.schema([("line", pa.int64()), ("sheet", pa.string()), ("record_key", pa.binary())])
    url = database()
    with Ledger(url) as ledger:
        ledger.prepare()
        query = sa.select(waiting_row.c.line, waiting_row.c.sheet, waiting_row.c.record_key)
        assert ledger.bulk.read(query, shape).equals(shape.empty_table())
        row = {"delivery_id": "a", "since_release": "r", "since": DAY, "item": "it's", "verdict": "held",
               "codes": "D005", "is_stated": True, "sheet": "", "record_key": b"\x00\xff"}  # fmt: skip
        with ledger.engine.begin() as connection:
            connection.execute(sa.insert(waiting_row), [{**row, "line": n} for n in (1, 2)])
        found = ledger.bulk.read(query.where(waiting_row.c.item == "it's").order_by(waiting_row.c.line), shape)
        assert found.to_pylist() == [{"line": n, "sheet": "", "record_key": b"\x00\xff"} for n in (1, 2)]
    bulk = Bulk(sa.make_url(url).set(port=1).render_as_string(hide_password=False))
    with pytest.raises(StoreError, match="Start it"):
        bulk.read(query, shape)


def test_few_open_rows_are_read_as_many_are(database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"delivery_id": "first", "since_release": "r", "since": DAY, "item": "x", "verdict": "held", "codes": "D005",
           "is_stated": True, "sheet": "", "record_key": b"\x00\xff"}  # fmt: skip
    with Ledger(database()) as ledger:
        ledger.prepare()
        ledger.register(FIRST, DAY, *SEEN)
        with ledger.engine.begin() as connection:
            connection.execute(sa.insert(waiting_row), [{**row, "line": n} for n in range(3)])
        found, read = [], Mock(wraps=ledger.bulk.read)
        monkeypatch.setattr(ledger.bulk, "read", read)
        for much, asked in ((1, 1), (3, 2), (4, 2)):
            monkeypatch.setattr(waiting, "MUCH", much)
            found.append(waiting.open_rows(ledger).sort_by("line"))
            assert read.call_count == asked
        assert found[0].num_rows == 3 and found[0].schema == waiting.OPEN
        assert all(other.equals(found[0]) for other in found[1:])
        assert waiting.open_rows(ledger, item="y").num_rows == 0
