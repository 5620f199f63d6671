"""Small data files are merged into few by a release that shows the same, and releases are kept as long as is said."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import run, steps
from pipelines import tidy as housekeeping
from pipelines.errors import QueryFault, StoreError
from pipelines.model import Home as Place
from pipelines.query import query
from pipelines.stages import compact as compaction
from pipelines.stages import load
from pipelines.stages.compact import Limits, compact, fingerprint, grouped
from pipelines.stores import tombstones
from pipelines.stores.engine import connect
from pipelines.stores.files import SPACES, Change
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Life, Pinned
from schemas.arrow import former_names, stored_schema
from tests.conftest import SOAK, every_row, soak_only
from tests.dirty_files import table
from tests.nights import DAY, Home, begin, limited
from tests.test_kills import litter
from tests.test_life import CATALOG, event, send, shown
from tests.test_wrong_person import no, ticket

ITEM = CATALOG.items["traffic_penalty"]
FEW = Limits(compact_small_megabytes=1, compact_small_files=2, compact_target_megabytes=1)
KNOWN = Life("said", "rules", date(2026, 11, 30), None)
VERSIONS = "FROM versions.traffic_penalty ORDER BY ALL"


def cell(rng: random.Random, kind: pa.DataType) -> Any:
    """A value of few, or none, so that rows are alike in much."""
    n = rng.randrange(3)
    if n == 0:
        return None
    if pa.types.is_decimal(kind):
        return n
    return {"binary": b"%d" % n, "bool": n == 1, "date32[day]": date(2098, 1, n), "int32": n, "int64": n,
            "string": "甲" * (n - 1), "timestamp[us]": datetime(2098, 1, n)}[str(kind)]  # fmt: skip


def rows(rng: random.Random, shape: pa.Schema) -> pa.Table:
    made = [{f.name: cell(rng, f.type) for f in shape} for _ in range(rng.randrange(1, 6))]
    return pa.Table.from_pylist([*made, *made[: rng.randrange(2)]], schema=shape)  # some of them twice


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(f"sqlite:///{tmp_path / 'lake.db'}", tmp_path / "home" / "curated")) as made:
        yield made


def filled(lake: Lake, rng: random.Random) -> Pinned:
    """Small files in every space; the first ones are from before an item's last columns."""
    whole = stored_schema(ITEM)
    before = pa.schema([f for f in whole if f.name not in ("fine_cny", "replaces")])
    at: dict[str, int | None] = dict.fromkeys(SPACES)
    for space in SPACES:
        for n in range(rng.randrange(3, 7)):
            shape = before if n < 2 else whole
            if n == 2:
                lake.evolve(space, ITEM.code, whole, {})
            path = lake.new_file(space, ITEM.code)
            pq.write_table(rows(rng, shape), path)
            at[space] = lake.commit(space, ITEM.code, shape, at[space], f"night {n}", Change([str(path)])).snapshot
    return Pinned(**at)


def content(lake: Lake, place: Place, at: Pinned) -> dict[str, list[tuple[Any, ...]]]:
    shape, found = stored_schema(ITEM), {}
    with connect(place.work) as engine:
        for space, snapshot in zip(SPACES, at, strict=True):
            stored = lake.relation(engine, space, ITEM.code, shape, {}, lake.files(space, ITEM.code, snapshot))
            found[space] = engine.execute(f"SELECT {', '.join(shape.names)} FROM {stored} ORDER BY ALL").fetchall()
    return found


@pytest.mark.parametrize("seed", range(30 if SOAK else 4))
def test_merged_files_hold_the_same_rows_cell_by_cell(lake: Lake, tmp_path: Path, seed: int) -> None:
    assert not former_names(ITEM)
    place, base = Place(tmp_path / "home"), filled(lake, random.Random(seed))
    before = content(lake, place, base)
    made = compact(place, lake, ITEM, base, KNOWN, FEW)
    assert made is not None and (made.life, made.deliveries, made.upserts, made.stated) == (KNOWN, [], [], [])
    at = Pinned(**{
        space: lake.commit(space, ITEM.code, stored_schema(ITEM), old, made.candidate, made.changes[space]).snapshot
        for space, old in zip(SPACES, base, strict=True)
    })  # fmt: skip
    assert [len(lake.files(space, ITEM.code, s).data) for space, s in zip(SPACES, at, strict=True)] == [1, 1, 1]
    assert content(lake, place, at) == before
    assert content(lake, place, base) == before, "older snapshots keep their files"
    assert compact(place, lake, ITEM, at, KNOWN, FEW) is None


def test_rows_that_are_not_the_same_are_not_published(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, base = Place(tmp_path / "home"), filled(lake, random.Random(1))
    real = compaction.data_file
    monkeypatch.setattr(compaction, "data_file", lambda engine, plan, space, select: real(
        engine, plan, space, f"{select} LIMIT 2"
    ))  # fmt: skip
    with pytest.raises(StoreError, match="do not hold the rows"):
        compact(place, lake, ITEM, base, KNOWN, FEW)


def test_the_proof_sees_every_cell_and_how_often_a_row_is_there(tmp_path: Path) -> None:
    row = "(1, 'a', NULL)", "(2, 'b', NULL)", "(1, 'a', NULL)", "(3, NULL, 'c')"
    others = [
        row[:3], (*row, row[0]), (*row, row[0], row[0]), (*row[:3], "(3, 'c', NULL)"), (*row[:3], "(3, NULL, '')"),
        ("(1, 'b', NULL)", "(2, 'a', NULL)", *row[2:]), (*row[1:], row[3]), (row[1], row[3]),
    ]  # fmt: skip
    with connect(tmp_path) as engine:
        def told(rows: tuple[str, ...]) -> tuple[int, ...]:
            return fingerprint(engine, f"(VALUES {', '.join(rows)}) t(a, b, c)", "a, b, c")

        assert told(row) == told((row[3], row[0], row[2], row[1]))
        assert all(told(other) != told(row) for other in others)


def test_files_are_grouped_by_the_limits(tmp_path: Path) -> None:
    def files(*kilobytes: int) -> list[str]:
        made = []
        for n, size in enumerate(kilobytes):
            made.append(str(tmp_path / str(n)))
            Path(made[-1]).write_bytes(bytes(1000 * size))
        return made

    limits = Limits(compact_small_megabytes=0.05, compact_small_files=3, compact_target_megabytes=0.06)
    for sizes, expected in (
        ((1, 2, 3), []),
        ((1, 2, 3, 50), []),
        ((1, 3, 2, 4, 50), [[1, 2, 3, 4]]),
        ((20, 30, 10, 40), [[10, 20, 30]]),  # one alone is left as it is
        ((20, 30, 20, 40, 10, 15), [[10, 15, 20], [20, 30]]),
    ):
        found = grouped(files(*sizes), limits)
        assert [[Path(f).stat().st_size // 1000 for f in group] for group in found] == expected, sizes


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")


def two_nights(home: Home) -> None:
    """New, corrected and ended tickets."""
    home.night(0, a=table(*(ticket(n, n) for n in range(1, 5))))
    send(home, "withdrawal_event", "w", event("withdrawal_event", 1, no(1)))
    later = table(ticket(2, 2, 违法事实="示例二", 更新时间="2026-11-23 08:00:00"), ticket(5, 5))
    home.night(1, b=(later, {"period": "2026-11-23"}))


def tidied(home: Home, n: int) -> dict[str, Any]:
    home.told().close()
    return steps.tidy(str(home.place), (DAY + timedelta(n)).isoformat())


def seen(home: Home, as_of: str | None = None) -> dict[str, list[Any]]:
    """All rows of the item's tables."""
    home.told().close()
    parts = (f"(SELECT list(t ORDER BY t) FROM {space}.traffic_penalty t)" for space in SPACES)
    ((*found,),) = query(home.place, f"SELECT {', '.join(parts)}", as_of)[1]
    return {space: rows or [] for space, rows in zip(SPACES, found, strict=True)}


@soak_only("nights on both sides of a merge")
def test_a_home_is_compacted_in_a_release_that_shows_the_same(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, compact_small_files=2)
    monkeypatch.setattr(housekeeping, "vacuum", lambda night: None)  # has a test elsewhere
    two_nights(home)
    home.send(c=(table(ticket(3, 3, 操作类型="删除"), ticket(6, 6)), {"period": "2026-11-24"}))
    place, day = str(home.place), "2026-11-24"
    for portion in steps.receive(place, day):
        steps.check(place, day, portion)
    for portion in steps.events(place, day, {}):
        steps.integrate(place, day, portion, {})
    assert tidied(home, 2)["items_compacted"] == [], "its candidate waits for the load"
    steps.gate(place, day)
    assert steps.load(place, day)["items"]["traffic_penalty"]["new"] == 1
    steps.receipts(place, day)

    before, at_first = seen(home), seen(home, "2026-11-22")
    assert {space: len(rows) for space, rows in before.items()} == {"records": 4, "ended": 1, "history": 8}
    versions = home.rows(VERSIONS)
    ((key,),) = home.rows(f"SELECT lower(hex(record_key)) FROM records.traffic_penalty WHERE decision_no = '{no(2)}'")
    life = json.loads(home.command("life", "--record", key, "--json")[1])
    with home.told() as ledger:
        last, lives = ledger.current_release(), ledger.lives()
    warehouse = every_row(home.url, "xmin::text, t::text", "1, 2")
    code, said = home.command("tidy", "--date", "2026-11-26", "--json")
    told = json.loads(said)
    assert code == 0 and told["items_compacted"] == ["traffic_penalty"]
    assert told["files_merged"] > told["files_made"] and told["files_unnamed"] == 0
    with home.told() as ledger:
        now = ledger.current_release()
        assert ledger.lives() == lives
    assert now == {**last, "release_id": told["release"], "number": last["number"] + 1, "previous": last["release_id"]}
    assert litter(home.place, home.url) == []
    assert seen(home) == before and seen(home, last["release_id"]) == before
    assert seen(home, "2026-11-22") == at_first and home.rows(VERSIONS) == versions != []
    assert home.command("changes", last["release_id"], told["release"], "--json") == (0, "[]\n")
    after = every_row(home.url, "xmin::text, t::text", "1, 2")
    same = [t for t in warehouse if t.startswith(("records.", "history.", "segments.", "vault.", "ledger.delivery"))]
    assert {t: after[t] for t in same} == {t: warehouse[t] for t in same}, "no row of the warehouse is touched"
    *older, kept = json.loads(home.command("life", "--record", key, "--json")[1])
    assert older == life[:-1] and kept == {**life[-1], "last": now["number"]}
    code, said = home.command("tidy", "--date", "2026-11-26")
    assert code == 0 and "merged: 0 small data files into 0; release: none" in said

    # The nights go on from there: a deletion, a correction and a withdrawal find what was merged.
    with home.told() as ledger:
        tombstones.write(ledger, ITEM.code, [(bytes.fromhex(key), None)], DAY, "示例", "x")
    late = table(ticket(4, 4, 操作类型="删除"), ticket(5, 5, 违法事实="示例三", 更新时间="2026-11-26 08:00:00"))
    home.night(4, d=(late, {"period": "2026-11-26"}))
    assert shown(home) == {no(5): None, no(6): None}
    stated = {d for (d,) in home.rows("SELECT decision_no FROM history.traffic_penalty")}
    assert stated == {no(n) for n in (1, 3, 4, 5, 6)}

    # Releases are kept for ever, unless a policy says how long.
    calm = seen(home)
    assert tidied(home, 10)["items_expired"] == []
    limited(monkeypatch, keep_releases_days=2)
    assert "traffic_penalty" in tidied(home, 5)["items_expired"]
    assert seen(home, "2026-11-25") == before, "two days ago it was the current one"
    asked = ("query", "SELECT * FROM records.traffic_penalty", "--as-of", "2026-11-23")
    assert home.command(*asked)[0] == 2 and home.command("changes", "2026-11-23", "2026-11-26")[0] == 2
    assert home.command("subjects", "coverage", "--as-of", "2026-11-23")[0] == 4
    with pytest.raises(QueryFault, match="keep_releases_days"):
        query(home.place, asked[1], "2026-11-23")
    tidied(home, 40)
    assert seen(home) == calm and litter(home.place, home.url) == []
    with home.told() as ledger, closing(Lake(home.url, home.place / "curated")) as lake:
        at = ledger.published(ITEM.code)
        files = {f for space, s in zip(SPACES, at, strict=True) for f in lake.files(space, ITEM.code, s).all}
    stored = {str(p) for space in SPACES for p in (home.place / "curated" / space / ITEM.code / "data").iterdir()}
    assert stored == files, "the room of older releases comes back as they go"


PLACES = {
    "merge": (compaction, "fingerprint"), "commit": (Lake, "commit"), "switch": (load, "_switch"),
    "forget": (load, "forget"),
}  # fmt: skip
ALONE = [(place,) for place in PLACES]


def kill(patch: pytest.MonkeyPatch, place: str) -> None:
    """Let the process end there; in `commit` one table is committed, and the others are not."""
    owner, name = PLACES[place]
    real, calls = getattr(owner, name), []

    def killed(*arguments: Any, **more: Any) -> Any:
        calls.append(name)
        if place == "commit" and len(calls) == 1:
            return real(*arguments, **more)
        raise KeyboardInterrupt

    patch.setattr(owner, name, killed)


@soak_only("nights that are killed while they merge files")
@pytest.mark.parametrize("is_nightly", [False, True], ids=str)
@pytest.mark.parametrize("places", [*ALONE, ("switch", "forget"), tuple(PLACES)], ids=" ".join)
def test_housekeeping_that_is_killed_is_taken_up_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, places: tuple[str, ...], is_nightly: bool
) -> None:
    """Killed at one place after the other. `is_nightly`: what comes next is a night, and not another housekeeping."""
    limited(monkeypatch, compact_small_files=1)
    monkeypatch.setattr(housekeeping, "vacuum", lambda night: None)
    two_nights(home)
    before = seen(home)
    for place in places:
        with monkeypatch.context() as patch:
            kill(patch, place)
            with pytest.raises(KeyboardInterrupt):
                tidied(home, 3)
        assert seen(home) == before, "readers see one release or the other"
    if is_nightly:
        home.send(d=(table(ticket(2, 2, 违法事实="示例四", 更新时间="2026-11-25 08:00:00")), {"period": "2026-11-25"}))
        run.nightly(home.place, DAY + timedelta(3))
        changed = seen(home)
        assert [len(changed[space]) - len(before[space]) for space in SPACES] == [0, 1, 0]
        before = changed
    tidied(home, 3)
    assert tidied(home, 3)["items_compacted"] == [] and seen(home) == before
    assert litter(home.place, home.url) == []
    with home.told() as ledger:
        count = len(ledger.releases())
    assert is_nightly or count == 3, "it is published once"
