"""The warehouse over several nights: it holds the release's records, however they came to lie in segments."""

import csv
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import adbc_driver_manager.dbapi as adbc
import psycopg
import pyarrow.parquet as pq
import pytest

from pipelines import run, sampling
from pipelines.query import query

ITEM = "traffic_penalty"
DAY = date(2026, 11, 22)


@pytest.fixture
def nights(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], str]:
    url = applied()
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")

    def night(n: int, rows: int) -> str:
        """One night of new rows (another seed each); returns the URL."""
        day = DAY + timedelta(n)
        sampling.generate(tmp_path / "home", rows=rows, seed=n, as_of=day, items=(ITEM,))
        assert run.nightly(tmp_path / "home", day)["exit_code"] == 0
        return url

    return night


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return connection.execute(sql).fetchall()


def segments(url: str) -> int:
    return asked(url, f"SELECT count(*) FROM pg_inherits WHERE inhparent = 'records.{ITEM}'::regclass")[0][0]


def held_alike(home: Path, url: str) -> bool:
    """The same keys, contents and lineage in the lake's release and in the warehouse, no key twice."""
    sql = f"SELECT record_key, content_hash, delivery_id, line, decision_no FROM records.{ITEM} ORDER BY ALL"
    lake = [tuple(r) for r in query(home, sql, None)[1]]
    warehouse = sorted(asked(url, sql.replace(" ORDER BY ALL", "")))
    return sorted(lake) == warehouse and len({r[0] for r in warehouse}) == len(warehouse) > 0


def test_a_large_load_is_a_segment_and_a_small_one_goes_into_another(
    nights: Callable[[int, int], str], tmp_path: Path
) -> None:
    home, grown = tmp_path / "home", []
    for n, rows in enumerate((400, 40, 400)):
        url = nights(n, rows)
        grown.append(segments(url))
        assert held_alike(home, url)
    assert grown == [1, 1, 2]


def test_what_little_comes_night_by_night_goes_into_an_open_segment(
    nights: Callable[[int, int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment is closed when it holds its share, so that the index of what is inserted into stays small."""
    monkeypatch.setattr("pipelines.stages.load.OPEN_BYTES", 10_000)
    home, grown = tmp_path / "home", []
    for n, rows in enumerate((1200, 30, 30, 30, 400, 30)):
        url = nights(n, rows)
        grown.append(segments(url))
        assert held_alike(home, url)
    assert grown == [1, 2, 2, 2, 3, 3]
    rows = sorted(asked(url, f"SELECT count(*) FROM records.{ITEM} GROUP BY tableoid"))
    assert rows[0][0] > 100, "the little ones lie together"


@pytest.mark.parametrize("forgotten", [False, True])
def test_many_changed_records_are_looked_for_where_they_lie(
    forgotten: bool, nights: Callable[[int, int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the segments that are known for their data files, whether those were written anew since or not; in every
    segment where that is not known."""
    monkeypatch.setattr("pipelines.stages.load.OPEN_BYTES", 0)
    home, url, content = tmp_path / "home", "", ""
    for n, rows in enumerate((300, 100, 20)):
        url = nights(n, rows)
        (source,) = [p for p in (home / "inbox").rglob("*.csv") if f"{DAY + timedelta(n):%Y%m%d}" in p.name]
        header, _, rest = source.read_text(encoding="utf-8-sig").partition("\n")
        content = (content or header + "\n") + rest
    assert segments(url) == 3
    asked_for: list[str] = []
    execute = adbc.Cursor.execute

    def heard(self: Any, sql: Any, *more: Any, **named: Any) -> Any:
        asked_for.append(str(sql))
        return execute(self, sql, *more, **named)

    monkeypatch.setattr(adbc.Cursor, "execute", heard)
    for turn, (before, after) in enumerate((("市示例局", "市范例局"), ("市范例局", "市样例局"))):
        if forgotten:
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("TRUNCATE ledger.data_file_segment")
        asked_for.clear()
        content = content.replace(before, after)
        (home / "inbox" / "public_security" / ITEM / f"again{turn}.csv").write_text(content, encoding="utf-8")
        assert run.nightly(home, DAY + timedelta(5 + turn))["exit_code"] == 0
        assert held_alike(home, url)
        everywhere = [sql for sql in asked_for if sql.startswith("DELETE FROM records.")]
        assert len(everywhere) == forgotten
    ((left,),) = asked(url, f"SELECT count(*) FROM records.{ITEM} WHERE deciding_organ LIKE '%市示例局'")
    assert left == 0


def test_a_changed_record_leaves_the_segment_it_lay_in(nights: Callable[[int, int], str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    url = nights(1, 400)
    (source,) = (home / "inbox").rglob("*.csv")
    content = source.read_text(encoding="utf-8").replace("琼海市示例局", "琼海市范例局")
    (home / "inbox" / "public_security" / ITEM / "again.csv").write_text(content, encoding="utf-8")
    assert run.nightly(home, DAY + timedelta(5))["exit_code"] == 0
    ((changed, new),) = asked(url, "SELECT changed, new FROM ledger.delivery WHERE period = '2026-11-27'")
    assert changed > 5 and new == 0
    assert held_alike(home, url)
    (before, after) = (asked(url, f"SELECT count(*) FROM records.{ITEM} WHERE deciding_organ = '琼海市{x}局'")[0][0]
                       for x in ("示例", "范例"))  # fmt: skip
    assert before == 0 and after == changed


def test_a_statement_that_a_record_shows_is_stored_once_and_outlives_the_record(
    nights: Callable[[int, int], str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    nights(1, 400)
    ((stated,),) = query(home, f"SELECT count(*) FROM history.{ITEM}", None)[1]
    (record,) = (home / "curated" / "records" / ITEM / "data").glob("*.parquet")
    assert record.stat().st_nlink == 2
    record.unlink()  # as housekeeping will, when no snapshot of records names the file any more
    files = (home / "curated" / "history" / ITEM / "data").glob("*.parquet")
    assert sum(pq.read_table(f).num_rows for f in files) == stated > 300


def test_readers_see_records_subjects_and_snapshots_but_not_the_vault(nights: Callable[[int, int], str]) -> None:
    url = nights(1, 60)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SET ROLE qiongxin_reader")
        counted = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()
                   for t in (f"records.{ITEM}", "subjects", "release_snapshots")}  # fmt: skip
        assert all(n and n[0] > 0 for n in counted.values())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM vault.subject")


def send(home: Path, name: str, content: str, **manifest: Any) -> None:
    inbox = home / "inbox" / "public_security" / ITEM
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / name).write_text(content, encoding="utf-8")
    (inbox / f"{name}.manifest.json").write_text(json.dumps({"sequence": 1, "mode": "full", **manifest}))


@pytest.mark.parametrize("broken", [False, True])
def test_a_record_that_a_complete_full_delivery_leaves_out_shows_no_more(
    broken: bool, tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, home = applied(), tmp_path / "home"
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    sampling.generate(tmp_path / "made", rows=100, seed=3, dirty=0, as_of=DAY, items=(ITEM,))
    (made,) = (tmp_path / "made" / "inbox").rglob("*.csv")
    header, *rows = csv.reader(made.read_text(encoding="utf-8").splitlines())
    rows = [r for r in rows if len(r) == len(header)]

    def text(chosen: list[list[str]]) -> str:
        return "\n".join(",".join(f'"{c}"' for c in r) for r in [header, *chosen]) + "\n"

    home.mkdir()
    (home / "sample.json").write_text("{}")
    send(home, "all.csv", text(rows), period="2026-11-22")
    assert run.nightly(home, DAY)["exit_code"] == 0
    before = {r[0] for r in asked(url, f"SELECT decision_no FROM records.{ITEM}")}
    number = header.index("处罚决定书编号")
    fewer = rows[5:]
    if broken:  # one row that is not taken: nobody knows which record it is about
        fewer = [*fewer[:-1], [c if n != number else "" for n, c in enumerate(fewer[-1])]]
    send(home, "fewer.csv", text(fewer), period="2026-11-23")
    assert run.nightly(home, DAY + timedelta(1))["exit_code"] == 0
    after = {r[0] for r in asked(url, f"SELECT decision_no FROM records.{ITEM}")}
    assert before - after == (set() if broken else {r[number] for r in rows[:5]})
    assert held_alike(home, url)
    told = [f["code"] for p in (home / "findings").glob("*.parquet") if "verdicts" not in p.name
            for f in pq.read_table(p).to_pylist()]  # fmt: skip
    assert ("H002" in told) == broken
