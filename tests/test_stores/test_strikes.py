"""Rows that are struck out: every snapshot shows what is left, to us and to a reader that knows nothing of us."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from pipelines.stores.engine import connect
from pipelines.stores.files import Change, Files, holding, live, shown_in
from pipelines.stores.lake import Lake
from pipelines.stores.strikes import FIELD_IDS
from tests.conftest import SOAK

SHAPE = pa.schema([("record_key", pa.binary()), ("n", pa.int64())])
Shown = dict[tuple[str, int], int]  # place -> its number


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with closing(Lake(f"sqlite:///{tmp_path / 'lake.db'}", tmp_path / "o'clock" / "curated")) as made:
        yield made


def written(lake: Lake, numbers: list[int]) -> str:
    path = lake.new_file("records", "tickets")
    pq.write_table(pa.table({"record_key": [b"%d" % n for n in numbers], "n": numbers}, schema=SHAPE), path)
    return str(path)


def struck(lake: Lake, places: list[tuple[str, int]]) -> str:
    path = lake.new_file("records", "tickets")
    with connect(lake.root) as engine:
        engine.register("places", pa.table({"file_path": [f for f, _ in places], "pos": [n for _, n in places]}))
        engine.execute(f"""COPY (FROM places ORDER BY file_path, pos) TO '{str(path).replace("'", "''")}'
            (FORMAT parquet, FIELD_IDS {FIELD_IDS})""")
    return str(path)


def change(lake: Lake, rng: random.Random, files: Files, shown: Shown, fresh: Iterator[int]) -> tuple[Change, Shown]:
    """Something that a night may do, and what is shown then: some files come, some go, rows are struck out, and files
    of struck places are made one."""
    made, now = Change(), dict(shown)
    for _ in range(rng.randrange(3)):
        numbers = [next(fresh) for _ in range(rng.randrange(1, 6))]
        made.added.append(written(lake, numbers))
        now |= {(made.added[-1], at): n for at, n in enumerate(numbers)}
    made.removed.extend(f for f in files.data if rng.random() < 0.2)
    now = {place: n for place, n in now.items() if place[0] not in made.removed}
    old = sorted(place for place in now if place[0] not in made.added)
    gone = [place for place in old if rng.random() < 0.3]
    places = list(gone)
    if files.strikes and rng.random() < 0.3:
        made.lifted.extend(files.strikes)
        with connect(lake.root) as engine:
            listed = ", ".join(f"""'{f.replace("'", "''")}'""" for f in files.strikes)
            places += engine.execute(f"SELECT file_path, pos FROM read_parquet([{listed}])").fetchall()
    if places:
        made.strikes.append(struck(lake, places))
    return made, {place: n for place, n in now.items() if place not in gone}


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(("records", "tickets"))


@pytest.mark.parametrize("seed", range(60 if SOAK else 12))
def test_every_snapshot_shows_what_is_not_struck_out(lake: Lake, seed: int) -> None:
    rng, fresh = random.Random(seed), iter(range(1000))
    at: int | None = None
    shown: Shown = {}
    history: dict[int, Shown] = {}
    for night in range(12):
        made, shown = change(lake, rng, lake.files("records", "tickets", at), shown, fresh)
        at = lake.commit("records", "tickets", SHAPE, at, f"night {night}", made).snapshot
        if at is not None:
            history[at] = shown
    assert len(history) > 5
    with connect(lake.root) as engine:
        for snapshot, expected in history.items():
            files = lake.files("records", "tickets", snapshot)
            numbers = sorted(expected.values())
            theirs = table(lake).scan(snapshot_id=snapshot).to_arrow()
            assert sorted(theirs["n"].to_pylist()) == numbers
            assert table(lake).scan(snapshot_id=snapshot).count() == len(numbers)
            if files:
                stored = lake.relation(engine, "records", "tickets", SHAPE, {}, files)
                assert [n for (n,) in engine.execute(f"SELECT n FROM {stored} ORDER BY n").fetchall()] == numbers
                placed = engine.execute(f"SELECT filename, file_row_number, n FROM {live(files, is_placed=True)}")
                assert {(f, at): n for f, at, n in placed.fetchall()} == expected
            else:
                assert numbers == []
        every = [lake.files("records", "tickets", snapshot) for snapshot in history]
        for n in range(next(fresh)):
            where = holding(engine, every, (b"%d" % n).hex())
            for files, expected in zip(every, history.values(), strict=True):
                assert shown_in(files, where) == next((f for (f, _), m in expected.items() if m == n), None)
    summary = table(lake).current_snapshot().summary  # type: ignore[union-attr]
    assert int(summary["total-data-files"]) == len(every[-1].data)
    assert int(summary.get("total-delete-files", 0)) >= len(every[-1].strikes)


def test_what_strikes_nothing_any_more_is_let_go(lake: Lake) -> None:
    first = written(lake, [1, 2, 3])
    at = lake.commit("records", "tickets", SHAPE, None, "a", Change([first])).snapshot
    at = lake.commit("records", "tickets", SHAPE, at, "b", Change(strikes=[struck(lake, [(first, 1)])])).snapshot
    assert at is not None
    before = lake.files("records", "tickets", at)
    assert (len(before.data), len(before.strikes)) == (1, 1)
    second = written(lake, [4])
    last = lake.commit("records", "tickets", SHAPE, at, "c", Change([second], [first])).snapshot
    last = lake.commit("records", "tickets", SHAPE, last, "d", Change([written(lake, [5])], [second])).snapshot
    assert last is not None and lake.files("records", "tickets", last).strikes == ()
    lake.expire("records", "tickets", {last}, lake.root / "note.json")
    left = {str(p) for p in (lake.root / "records/tickets/data").iterdir()}
    assert left == {*lake.files("records", "tickets", last).data}, "with the snapshot that named it, the file goes"


def test_a_commit_that_is_adopted_or_rolled_back(lake: Lake) -> None:
    first = written(lake, [1, 2, 3])
    base = lake.commit("records", "tickets", SHAPE, None, "a", Change([first])).snapshot
    one = struck(lake, [(first, 0)])
    killed = lake.commit("records", "tickets", SHAPE, base, "b", Change(strikes=[one])).snapshot
    two = struck(lake, [(first, 0)])
    assert lake.commit("records", "tickets", SHAPE, base, "b", Change(strikes=[two])) == (killed, (two,))
    assert lake.sweep("records", "tickets", [one, two]) == 1 and Path(one).exists()
    three = struck(lake, [(first, 2)])
    other = lake.commit("records", "tickets", SHAPE, base, "c", Change(strikes=[three])).snapshot
    assert lake.files("records", "tickets", other) == Files((first,), (three,))


def test_a_small_file_is_no_measure_of_the_others(lake: Lake) -> None:
    """What is looked up among the stored rows is few; the engine has to know that, whatever the names of the files."""
    small, large = written(lake, [1]), written(lake, list(range(20_000)))
    with connect(lake.root) as engine:
        engine.execute("CREATE TABLE asked AS SELECT n::VARCHAR::BLOB AS record_key FROM range(500) t(n)")
        for files in (Files((small, large)), Files((large, small))):
            looked_up = f"SELECT n FROM {live(files, is_placed=True)} SEMI JOIN asked USING (record_key)"
            ((_, plan),) = engine.execute(f"EXPLAIN {looked_up}").fetchall()
            assert "Join Type: SEMI" in plan, plan
