"""A catalogue that changes under a filled store: columns change in place, old releases stay readable, what would break
stops before anything is touched."""

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog

import schemas.load
from pipelines import checks, run, sampling
from pipelines.apply import plan
from pipelines.query import query
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from pipelines.stores.migrations import MIGRATIONS
from schemas.load import CATALOG, load
from schemas.model import CatalogError
from tests.conftest import SOAK, soak_only

ITEM, DAY = "honour", date(2026, 11, 20)


class Place:
    """A home with a catalogue of its own; `night` runs one of `n` days later."""

    def __init__(self, root: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.url, self.catalog = root / "home", url, root / "catalog"
        shutil.copytree(CATALOG, self.catalog)
        monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
        monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
        monkeypatch.setattr(schemas.load, "CATALOG", self.catalog)
        self.told: list[str] = []

    def change(self, *swaps: tuple[str, str], item: str = ITEM) -> None:
        path = self.catalog / "items" / f"{item}.toml"
        text = path.read_text(encoding="utf-8")
        for old, new in swaps:
            assert old in text, old
            text = text.replace(old, new, 1)
        path.write_text(text, encoding="utf-8")

    def night(self, n: int, seed: int | None = None) -> str:
        day = DAY + timedelta(n)
        if seed is not None:
            self.send(n, seed)
        self.told = []
        answer = run.nightly(self.home, day, self.told.append)
        assert answer["exit_code"] == 0, "\n".join(self.told)
        return str(answer["release"])

    def send(self, n: int, seed: int) -> None:
        day = DAY + timedelta(n)
        sampling.generate(self.home, rows=80, seed=seed, dirty=0, as_of=day, items=(ITEM,), catalog=self.catalog)

    def asked(self, sql: str, release: str | None = None) -> list[tuple[Any, ...]]:
        return query(self.home, sql, release)[1]

    def warehouse(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            return connection.execute(sql).fetchall()

    def send_again(self, n: int, files: int = 99) -> None:
        """The files of the nights before once more, as deliveries of another day."""
        day = DAY + timedelta(n)
        all_taken = sorted((self.home / "inbox").glob(f"*/{ITEM}/.taken/*"))
        sent = [p for p in all_taken if not p.name.endswith((".manifest.json", ".done")) and "again_" not in p.name]
        for taken in sent[:files]:
            again = taken.parents[1] / f"again_{taken.name}"
            shutil.copyfile(taken, again)
            (again.parent / f"{again.name}.manifest.json").write_text(json.dumps({"period": day.isoformat()}))


@pytest.fixture
def place(tmp_path: Path, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, database(), monkeypatch)


NEW_FIELD = """[fields.recommended_by]
formerly = ["recommending_body"]"""
ADDED = """
[fields.award_place]
label_zh = "颁奖地点"
label_en = "Place of the award"
type = "text"
length = 100
sensitivity = "internal"

[fields.award_share]
label_zh = "贡献比例（%）"
label_en = "Share in the award"
type = "decimal"
scale = 2
unit = "percent"
"""


def evolve(place: Place) -> None:
    """A field added in front, one renamed, one retired, one widened."""
    place.change(
        ("[fields.recommending_body]", NEW_FIELD),
        ("[fields.remarks]\n", "[fields.remarks]\nvalid_to = 2026-11-22\n"),
        ("[fields.honour_kind]", ADDED + "\n[fields.honour_kind]"),
        ("length = 500\nis_free_text", "length = 900\nis_free_text"),
    )


def test_a_release_is_readable_before_the_night_that_brings_its_stores_to_a_changed_catalogue(place: Place) -> None:
    place.night(0, seed=1)
    before = place.asked("SELECT count(*), count(recommending_body) FROM records.honour")
    evolve(place)
    after = place.asked("SELECT count(*), count(recommended_by), count(award_place) FROM records.honour")
    assert after == [(*before[0], 0)]
    assert place.asked("SELECT sum(records) FROM subjects") == [(before[0][0],)]
    assert place.asked("SELECT count(*) FROM (SELECT * FROM HISTORY.HONOUR h JOIN records.honour r USING (record_key))")


def test_added_renamed_retired_and_widened_fields_evolve_in_place(place: Place) -> None:
    first = place.night(0, seed=1)
    before = place.asked("SELECT record_key, recommending_body FROM records.honour ORDER BY ALL", first)
    keys = place.warehouse("SELECT record_key, content_hash, recommending_body FROM records.honour ORDER BY 1")
    assert len(before) == len(keys) > 50 and any(b for _, b in before)

    evolve(place)
    second = place.night(1, seed=2)
    assert place.told[0].endswith("3 widening") or "widening" in place.told[0], place.told
    assert "records.honour: recommending_body is now recommended_by" in place.told
    assert "Iceberg history.honour: award_share added" in place.told
    held = place.asked("SELECT record_key, recommended_by, award_place FROM records.honour ORDER BY ALL")
    assert {(k, b, None) for k, b in before} <= set(held) and len(held) > len(before)
    assert any(p for _, _, p in held), "the new column is filled by the second night"
    assert place.asked("SELECT record_key, recommended_by FROM records.honour ORDER BY ALL", first) == before
    assert len(place.asked("SELECT award_share FROM history.honour", second)) == len(held)
    now = place.warehouse("SELECT record_key, content_hash, recommended_by FROM records.honour ORDER BY 1")
    assert set(keys) <= set(now) and len(now) == len(held)

    place.send_again(2)
    place.night(2)
    with Ledger(place.url) as ledger:
        again = [r for r in ledger.deliveries() if r["period"] == DAY + timedelta(2)]
        assert again and {r["edition"] for r in again} == {""}
        assert [r["unchanged"] for r in again] == [r["read"] for r in again], "a new column changes no old record"
    remarked = place.asked("SELECT count(remarks) FROM records.honour")[0][0]
    place.send_again(3, files=1)
    place.night(3)
    assert 0 < place.asked("SELECT count(remarks) FROM records.honour")[0][0] < remarked, "retired: read no more"
    assert place.asked("SELECT count(remarks) FROM records.honour", second)[0][0] == remarked
    # A table that the engine never saw reads the same through Iceberg itself, in both shapes.
    with Ledger(place.url) as ledger:
        table = Lake(place.url, place.home / "curated").catalog.load_table(("records", ITEM))
        pair = ledger.snapshots(first)[ITEM]
    told = table.scan(snapshot_id=pair[0]).to_arrow().select(["record_key", "recommending_body"]).to_pylist()
    assert sorted(tuple(r.values()) for r in told) == sorted(before)
    told = table.scan().to_arrow()
    assert set(told["recommended_by"].to_pylist()) == {b for _, b, _ in held}


def test_running_the_same_catalogue_again_changes_nothing(place: Place) -> None:
    place.night(0, seed=1)
    evolve(place)
    place.night(1, seed=2)
    place.night(2)
    assert not any("honour" in line and "added" in line for line in place.told)


BREAKING = {
    "field removed": ([("[fields.honour_level]", "[fields.honour_rank]")], "fields.honour_level", "valid_to"),
    "another key": (
        [('business_key = ["determination_no", "honour_kind"]', 'business_key = ["determination_no"]')],
        "business_key", "new item"),
    "another type": ([('type = "boolean"', 'type = "text"\nlength = 9')], "type", "retire this field"),
    "providers in another order": (
        [('["publicity_department", "civilization_office"]', '["civilization_office", "publicity_department"]')],
        "providers", "keep it"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKING if SOAK else ("another type", "field removed"))
def test_a_breaking_change_stops_with_its_cure_and_touches_nothing(name: str, place: Place) -> None:
    release = place.night(0, seed=1)
    shape = "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns ORDER BY 1, 2, 3"
    before = place.warehouse(shape)
    swaps, key, cure = BREAKING[name]
    place.send(1, seed=2)
    place.change(*swaps)
    with pytest.raises(CatalogError) as refused:
        place.night(1)
    assert key in str(refused.value) and cure in str(refused.value)
    assert place.warehouse(shape) == before
    shutil.rmtree(place.catalog)
    shutil.copytree(CATALOG, place.catalog)
    assert place.night(1) != release


def test_what_a_kill_left_undone_is_done_by_the_next_night(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.night(0, seed=1)
    evolve(place)
    with monkeypatch.context() as broken:
        broken.setattr(Lake, "evolve", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):  # PostgreSQL has the new columns by now, Iceberg has not
            place.night(1, seed=2)
    place.night(1)
    assert "Iceberg records.honour: award_place added" in place.told
    assert "records.honour: award_place added" not in place.told
    assert any(p for (p,) in place.asked("SELECT award_place FROM records.honour"))


@soak_only("another stop")
def test_a_catalogue_of_another_version_is_said_not_to_be_comparable(place: Place) -> None:
    place.night(0, seed=1)
    with psycopg.connect(place.url.replace("+psycopg", "")) as connection:
        connection.execute("UPDATE ledger.catalogue SET content = '{}'")
    evolve(place)
    place.night(1, seed=2)
    assert place.told[0].endswith("written by another version, cannot be compared")


def test_what_nothing_was_ever_received_of_may_change_as_it_likes(place: Place) -> None:
    place.night(0, seed=1)
    key = 'business_key = ["decision_no"'
    place.change((key, f'{key}, "penalty_kind"'), ("scale = 2\nunit", "scale = 4\nunit"), item="traffic_penalty")
    with Ledger(place.url) as ledger:
        planned = plan(ledger, load(place.catalog))
    assert len(planned.waived) == 2 and not planned.stopping
    place.night(1, seed=2)
    kind = "SELECT numeric_scale FROM information_schema.columns WHERE table_name = 'traffic_penalty'"
    assert (4,) in place.warehouse(kind + " AND column_name = 'fine_cny' AND table_schema = 'records'")


def test_a_history_that_is_asked_for_later_is_filled(place: Place) -> None:
    place.night(0, seed=1)
    place.change(("history_in_warehouse = false", "history_in_warehouse = true"))
    place.night(1, seed=2)
    assert "history.honour: filled from the release" in place.told
    sql = "SELECT record_key, action, period FROM history.honour ORDER BY 1, 2, 3"
    lake = [(bytes(k), a, p) for k, a, p in place.asked(sql)]
    assert [(bytes(k), a, p) for k, a, p in place.warehouse(sql)] == lake and len(lake) > 100


def test_deliveries_judged_by_the_old_catalogue_are_judged_anew(place: Place) -> None:
    place.night(0, seed=1)
    with Ledger(place.url) as ledger:
        waiting = ledger.deliveries("released")[0]
        ledger.update(waiting["delivery_id"], state="checked", release_id=None)
        evolve(place)
        with run.open_night(place.home, DAY + timedelta(1)) as night:
            assert checks.unchecked(night) == [waiting["delivery_id"]]
            checks.check_one(night, waiting["delivery_id"])
            assert checks.unchecked(night) == []


def test_several_may_open_a_new_home_at_once(
    database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has looked what there is of the lake before any other has made it."""
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", database())
    real = SqlCatalog.namespace_exists

    def slowly(self: SqlCatalog, *arguments: Any) -> bool:
        found = real(self, *arguments)
        time.sleep(0.2)
        return found

    monkeypatch.setattr(SqlCatalog, "namespace_exists", slowly)

    def opened() -> str:
        with run.open_night(tmp_path / "home", "2026-11-22") as night:
            return night.catalog.revision

    with ThreadPoolExecutor(3) as pool:
        assert len({made.result() for made in [pool.submit(opened) for _ in range(3)]}) == 1


def test_an_older_home_is_migrated_to_what_a_new_one_has(database: Callable[..., str]) -> None:
    new, old = database(), database()
    shape = """SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema IN ('ledger', 'vault') ORDER BY 1, 2, 3"""

    def told(url: str, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            return connection.execute(sql).fetchall()

    for url in (new, old):
        with Ledger(url) as ledger:
            ledger.prepare()
    # The tables as they were before the first migration.
    with psycopg.connect(old.replace("+psycopg", ""), autocommit=True) as connection:
        columns = ("edition", "delivered", "manifest", "late", "yardstick", "compared", "no_record", "looks",
                   "strayed")  # fmt: skip
        connection.execute(f"ALTER TABLE ledger.delivery {', '.join(f'DROP COLUMN {c}' for c in columns)}")
        connection.execute("DROP VIEW release_snapshots")
        connection.execute("ALTER TABLE ledger.release_snapshot DROP COLUMN ended_snapshot, DROP COLUMN expired_on")
        tables = ("asked", "catalogue", "decision", "migration", "look", "unreachable", "waiting_row", "replay",
                  "reversal", "life", "judgement", "tombstone", "alert", "pseudonym_key", "inquiry",
                  "data_file_segment")  # fmt: skip
        connection.execute(f"DROP TABLE {', '.join(f'ledger.{t}' for t in tables)}")
        connection.execute("DROP TABLE vault.identity_block CASCADE")
        connection.execute("""CREATE TABLE vault.statement_identity (delivery_id TEXT, line BIGINT, sheet TEXT,
            item TEXT NOT NULL, record_key BYTEA NOT NULL, identity TEXT NOT NULL,
            PRIMARY KEY (delivery_id, line, sheet))""")
        connection.execute("""INSERT INTO vault.statement_identity
            SELECT 'd' || n % 3, n, CASE n % 2 WHEN 0 THEN '' ELSE 's'
            END, 'honour', decode(md5(n::text), 'hex'), '{"name": ' || n || '}' FROM generate_series(2, 2000) n""")
    said = "SELECT * FROM vault.statement_identity ORDER BY delivery_id, line, sheet"
    before = told(old, said)
    for _ in range(2):
        with Ledger(old) as ledger:
            ledger.prepare()
    assert told(old, shape) == told(new, shape)
    assert told(old, said) == before and told(old, "SELECT count(*) FROM vault.identity_block") == [(48,)]
    numbers = "SELECT max(number) FROM ledger.migration"
    assert told(old, numbers) == told(new, numbers) == [(len(MIGRATIONS),)]
