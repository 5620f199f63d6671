"""The batch profile counts what its names say, on a table small enough to count by hand."""

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from schemas import profile
from schemas.arrow import record_schema
from schemas.load import load

CATALOG = load()
AS_OF, EARLIEST = date(2098, 6, 1), date(1949, 10, 1)


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as engine:
        yield engine


def tables(engine: duckdb.DuckDBPyConnection, item: str, rows: str) -> None:
    """`current` from rows of (record_key, subject_id, content_hash, ...); the others empty."""
    engine.register("nothing", record_schema(CATALOG.items[item]).empty_table())
    engine.execute("CREATE TABLE current AS SELECT * FROM nothing")
    engine.execute(f"INSERT INTO current BY NAME ({rows})")
    shown = "record_key, content_hash, delivery_id, TRUE AS was_shared"
    engine.execute(f"CREATE TABLE published AS SELECT {shown} FROM nothing")
    engine.execute("CREATE TABLE due AS SELECT record_key FROM nothing")
    engine.execute("CREATE TABLE dropped AS SELECT delivery_id FROM nothing")
    engine.execute("CREATE TABLE arrived AS SELECT record_key FROM current")
    engine.execute("CREATE TABLE verdicts AS SELECT 'new' AS verdict FROM current")


def figures(engine: duckdb.DuckDBPyConnection, item: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for select in profile.selects(CATALOG.items[item], CATALOG.code_sets, EARLIEST, AS_OF):
        row = engine.execute(select.sql("duckdb"))
        found |= zip([c[0] for c in row.description], row.fetchone() or (), strict=True)
    return found


def test_figures_of_the_records_that_would_show(engine: duckdb.DuckDBPyConnection) -> None:
    tables(
        engine,
        "volunteer_service",
        """SELECT 'a'::BLOB AS record_key, 's'::BLOB AS subject_id, 'F' AS star_rating,
            DATE '1900-01-01' AS registration_date
        UNION ALL SELECT 'b'::BLOB, NULL, NULL, DATE '2098-06-02'
        UNION ALL SELECT 'c'::BLOB, 's'::BLOB, '2', DATE '2098-06-01'""",
    )
    found = figures(engine, "volunteer_service")
    told = {k: found[k] for k in ("rows", "subjects_missing", "nulls_star_rating", "outside_star_rating",
                                  "nulls_region_code", "events_early", "events_late", "event_min", "event_max",
                                  "rows_arrived", "rows_judged")}  # fmt: skip
    assert told == {
        "rows": 3, "subjects_missing": 1, "nulls_star_rating": 1, "outside_star_rating": 1, "nulls_region_code": 3,
        "events_early": 1, "events_late": 1, "event_min": "1900-01-01", "event_max": "2098-06-02",
        "rows_arrived": 3, "rows_judged": 3,
    }  # fmt: skip


def test_movement_against_the_published_release(engine: duckdb.DuckDBPyConnection) -> None:
    tables(
        engine,
        "honour",
        """SELECT 'same'::BLOB AS record_key, 'x'::BLOB AS content_hash UNION ALL SELECT 'new'::BLOB, 'x'::BLOB
        UNION ALL SELECT 'other'::BLOB, 'y'::BLOB""",
    )
    engine.execute("INSERT INTO published VALUES ('same', 'x', 'd', TRUE), ('other', 'x', 'd', TRUE),"
                   " ('gone', 'x', 'd', TRUE), ('over', 'x', 'd', FALSE)")
    found = figures(engine, "honour")
    assert (found["removed_rows"], found["changed_rows"]) == (1, 1)
    engine.execute("INSERT INTO published VALUES ('restored', 'x', 'd', TRUE)")
    engine.execute("INSERT INTO due VALUES ('restored')")  # an event or time ended it, and no department took it away
    engine.execute("INSERT INTO published VALUES ('back', 'x', 'e', TRUE)")
    engine.execute("INSERT INTO dropped VALUES ('e'), ('e')")  # a person took that delivery back
    found = figures(engine, "honour")
    assert (found["removed_rows"], found["changed_rows"]) == (1, 1)
    engine.execute("INSERT INTO due VALUES ('same'), ('back'), ('over')")
    (ended,) = engine.execute(profile.ENDED.sql("duckdb")).fetchall()
    assert ended == (1,), "neither what is still shared, nor what was not, nor what a person took back"


def test_an_empty_candidate_has_figures_and_no_days(engine: duckdb.DuckDBPyConnection) -> None:
    tables(engine, "honour", "SELECT 'a'::BLOB AS record_key WHERE FALSE")
    found = figures(engine, "honour")
    assert found["rows"] == found["removed_rows"] == 0
    assert found["event_min"] is None


@pytest.mark.parametrize("item", sorted(CATALOG.items))
def test_every_item_has_a_profile_that_both_engines_can_be_asked(item: str, engine: duckdb.DuckDBPyConnection) -> None:
    tables(engine, item, "SELECT 'a'::BLOB AS record_key, 's'::BLOB AS subject_id")
    found = figures(engine, item)
    assert found["rows"] == 1
    assert {f"nulls_{f.name}" for f in CATALOG.items[item].curated_fields} <= set(found)
    for select in profile.selects(CATALOG.items[item], CATALOG.code_sets, EARLIEST, AS_OF):
        assert select.sql("spark")
