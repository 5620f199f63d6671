"""Records that are deleted, night by night against the fold's naive model, and the day on which they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.model import Home
from pipelines.stages import dedupe, deletion
from pipelines.stages.curate import RECEIVED
from pipelines.stages.dedupe import Full, Incoming
from pipelines.stores.files import Files, live
from pipelines.stores.ledger import Pinned
from pipelines.stores.tombstones import SHAPE
from schemas import fold, life
from schemas.arrow import statement_schema
from schemas.load import effective, load
from tests.conftest import SOAK
from tests.test_stages.test_fold import DEPARTMENTS, STRICT, Fulls, naive

Row = dict[str, Any]
GIVEN = ("department", "delivery_id", "period", "sequence")  # what its delivery says of a row
SCHEMA = statement_schema(STRICT)
STORED = pa.schema([*SCHEMA, ("kept_until", pa.date32()), ("ended_on", pa.date32())])
NIGHTS = 3 if SOAK else 2
KEYS = [bytes([n]) * 16 for n in range(4)]  # 0 and 1, 2 and 3 are one decision about two subjects each


@dataclass(frozen=True)
class Sent:
    """A delivery and its rows."""

    of: Row
    is_full: bool
    rows: list[Row]


@dataclass(frozen=True)
class Way:
    """On which of the NIGHTS each delivery comes, and each tombstone is written."""

    sent: list[int]
    dead: dict[bytes, int]


@st.composite
def rows(draw: st.DrawFn, delivery: Row, line: int) -> Row:
    key = draw(st.sampled_from(KEYS))
    other = draw(st.sampled_from([None, None, *KEYS]))
    made = st.none() | st.integers(1, 5).map(lambda d: datetime(2098, 1, d, 9))
    return {
        **delivery, "record_key": key, "subject_id": key, "content_hash": draw(st.sampled_from([b"a", b"b"])) * 16,
        "line": line, "sheet": None, "source_time": draw(made), "certificate_type": None,
        "number": str(key[0] // 2), "replaces": other if other != key else None,
        "action": draw(st.sampled_from(["new", "new", "new", "withdraw"])),
    }  # fmt: skip


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Sent], list[Way]]:
    sent = []
    for n in range(draw(st.integers(2, 6))):
        period = date(2098, 1, draw(st.integers(1, 4)))
        of = {"department": draw(st.sampled_from(DEPARTMENTS)), "delivery_id": f"d{n}", "period": period,
              "sequence": draw(st.integers(1, 2))}  # fmt: skip
        told = [draw(rows(of, line)) for line in range(2, 2 + draw(st.integers(1, 3)))]
        sent.append(Sent(of, draw(st.integers(0, 5)) == 0, told))
    dead = draw(st.sets(st.sampled_from(KEYS), min_size=1, max_size=2))
    night = st.integers(0, NIGHTS - 1)
    ways = [Way([draw(night) for _ in sent], {k: draw(night) for k in sorted(dead)}) for _ in range(2)]
    return sent, ways


def nights(folder: Path, sent: list[Sent], way: Way) -> tuple[dict[bytes, bytes], Counter[str]]:
    """record_key -> content that shows, and the statements that are stored, after the NIGHTS and a calm one."""
    history, records = SCHEMA.empty_table(), STORED.empty_table()
    fulls: list[Full] = []
    for night in range(NIGHTS + 1):
        coming = [s for s, when in zip(sent, way.sent, strict=True) if when == night]
        incoming = []
        for s in coming:
            path = folder / f"{s.of['delivery_id']}.parquet"
            pq.write_table(pa.Table.from_pylist(s.rows, schema=SCHEMA).drop_columns(list(GIVEN)), path)
            said = {k: str(v) if k == "period" else v for k, v in s.of.items()}
            incoming.append(Incoming(**said, accepted=str(path), is_full=s.is_full))
        dead = [{"record_key": k, "is_new": when == night} for k, when in way.dead.items() if when <= night]
        with duckdb.connect(config={"threads": 1}) as engine:
            engine.register("history", history)
            engine.register("records", records)
            dedupe.open_statements(engine, STRICT, incoming, "history", "records", fulls,
                                   tombstones=pa.Table.from_pylist(dead, schema=SHAPE))  # fmt: skip
            dedupe.run_fold(dedupe.Here(engine), STRICT)
            names, none = SCHEMA.names, "NULL::DATE AS kept_until, NULL::DATE AS ended_on"
            shown, unshown, returning = (
                f"({part(names).sql(dialect='duckdb')})" for part in (fold.shown, fold.unshown, fold.returning)
            )
            judged, barred, came = (
                engine.execute(f"SELECT count(*) FROM {t}").fetchall()[0]
                for t in (f"({fold.verdicts().sql(dialect='duckdb')})", "barred", "arrived")
            )
            assert judged == came and came[0] + barred[0] == sum(len(s.rows) for s in coming)
            alive = "history ANTI JOIN tombstones USING (record_key)" if dead else "history"
            stored = f"SELECT * FROM {alive} UNION ALL SELECT * FROM {shown} UNION ALL SELECT * FROM {unshown}"
            show = f"""SELECT * FROM records ANTI JOIN published USING (record_key)
                UNION ALL SELECT *, {none} FROM {shown} UNION ALL SELECT *, {none} FROM {returning}"""
            history, records = engine.sql(stored).to_arrow_table(), engine.sql(show).to_arrow_table()
        fulls += [Full(s.of["department"], str(s.of["period"]), s.of["sequence"]) for s in coming if s.is_full]
        gone = {d["record_key"] for d in dead}
        assert gone.isdisjoint(history["record_key"].to_pylist() + records["record_key"].to_pylist())
    content = dict(zip(records["record_key"].to_pylist(), records["content_hash"].to_pylist(), strict=True))
    assert len(content) == records.num_rows
    return content, Counter(str(sorted(row.items())) for row in history.to_pylist())


@settings(max_examples=300 if SOAK else 6, deadline=None)
@given(story=stories())
def test_the_order_of_arrivals_and_of_deletions_decides_nothing(
    story: tuple[list[Sent], list[Way]], tmp_path: Path
) -> None:
    sent, ways = story
    fulls: Fulls = {}
    for s in (s for s in sent if s.is_full):
        order = (s.of["period"], s.of["sequence"])
        fulls[s.of["department"]] = max(fulls.get(s.of["department"], order), order)
    alive = [
        r | {"decision_key": r["number"], "row_key": None}
        for s in sent for r in s.rows if r["record_key"] not in ways[0].dead
    ]  # fmt: skip
    found = [nights(tmp_path, sent, way) for way in ways]
    assert found[0] == found[1]
    assert found[0][0] == naive(alive, fulls)[0]


def one(n: int, key: int, **more: Any) -> Sent:
    """A delivery with one row of the first department."""
    of = {"department": DEPARTMENTS[0], "delivery_id": f"d{n}", "period": date(2098, 1, n), "sequence": 1}
    told = {
        **of, "record_key": KEYS[key], "subject_id": KEYS[key], "content_hash": b"a" * 16, "line": 2, "sheet": None,
        "source_time": None, "certificate_type": None, "number": "0", "replaces": None, "action": "new", **more,
    }  # fmt: skip
    return Sent(of, False, [told])


@pytest.mark.parametrize("more", [{}, {"replaces": KEYS[1]}], ids=["rivals", "replaced"])
def test_a_record_that_stood_behind_a_deleted_one_is_looked_at_again(more: dict[str, Any], tmp_path: Path) -> None:
    """Whichever of the two nights the tombstone is of, what is left is what statements that are left say."""
    sent = [one(1, 0, **more), one(2, 1)] if not more else [one(2, 0, **more), one(1, 1)]
    for night in range(NIGHTS):
        assert nights(tmp_path, sent, Way([0, 0], {KEYS[0]: night}))[0] == {KEYS[1]: b"a" * 16}


@pytest.mark.parametrize("action", ["new", "refuse"])
def test_what_only_the_second_of_two_like_rows_replaces_stays_replaced(action: str, tmp_path: Path) -> None:
    """Whether what they replace was said on their night or is said late; nothing is deleted here."""
    first, wrong = one(2, 1, action=action), one(1, 3, number="1")
    first.rows.append(first.rows[0] | {"line": 3, "replaces": KEYS[3]})
    for nights_of_both in ([0, 0], [0, 1], [1, 0]):
        content, _ = nights(tmp_path, [first, wrong], Way(nights_of_both, {}))
        assert content == ({KEYS[1]: b"a" * 16} if action == "new" else {}), nights_of_both


CATALOG = load()
DAYS = 30
AT = Pinned(1, 1, 1)
LASTING = {"traffic_penalty": None, "administrative_penalty": None, "judgment_defaulter": "performance_status"}
ends_of_terms = st.sampled_from([
    date(2020, 2, 29), date(2016, 2, 29), date(2021, 2, 28), date(2019, 3, 1), date(2020, 12, 31), date(2021, 1, 31),
    date(2021, 8, 31),
])  # fmt: skip


class OneFileEach:
    """A lake of one file in each space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, space: str, item: str, snapshot: int | None) -> Files:
        path = self.folder / f"{space}.parquet"
        return Files((str(path),) if path.exists() else ())

    def relation(self, engine: Any, space: str, item: str, shape: Any, former: Any, files: Files) -> str:
        return live(files)


def due(said: list[Row], years: int, lasts: bool) -> date | None:
    """The first day on which a record is deleted of which the last of `said` shows, or none where that withdraws it."""

    def first(s: Row) -> date:
        try:
            end = s["day"].replace(year=s["day"].year + years)
        except ValueError:  # there is no 29 February in that year
            end = date(s["day"].year + years, 2, 28)
        return max(end, s["received"]) + timedelta(DAYS + 1)

    if said[-1]["action"] == "withdraw":
        return max(first(s) for s in said if s["action"] != "withdraw" or len(said) == 1)
    return None if lasts else first(said[-1])


@st.composite
def kept_ones(draw: st.DrawFn) -> tuple[str, list[list[Row]], bool]:
    """An item, what is said of each of its records, and whether all of them say that they last."""
    near = st.sampled_from([-1, 0, 1, 29, 30, 31, 400, -1500])
    item = draw(st.sampled_from(sorted(LASTING)))
    said = []
    for _ in range(draw(st.integers(1, 4))):
        department = draw(st.sampled_from(["haikou", "danzhou", "yangpu"]))
        count = draw(st.integers(1, 2))
        actions = [*["new"] * (count - 1), draw(st.sampled_from(["new", "new", "withdraw"]))]
        said.append([])
        for action in actions:
            day = draw(ends_of_terms | st.dates(date(2015, 1, 1), date(2022, 12, 31)))
            received = max(day, day + timedelta(5 * 365 + 1 + draw(near)))
            said[-1].append({"day": day, "received": received, "department": department, "action": action})
    return item, said, draw(st.booleans())


@settings(max_examples=300 if SOAK else 10, deadline=None)
@given(told=kept_ones())
def test_a_record_is_deleted_on_its_day_and_not_on_the_eve(
    told: tuple[str, list[list[Row]], bool], tmp_path: Path
) -> None:
    """Thirty days after the last day of its retention, and after it came; it has ended by then."""
    code, said, lasts = told
    item, field = CATALOG.items[code], LASTING[code]
    lasts = lasts and field is not None
    of = life.clocks(item, CATALOG, lambda n: effective(CATALOG, n, date(2026, 11, 26)), date(2026, 11, 26))
    rows = [
        {"record_key": bytes([n]) * 16, "subject_id": bytes([n]) * 16, "delivery_id": f"{n}-{m}", "action": s["action"],
         "department": s["department"], "period": s["received"], item.event_date: s["day"],
         **({field: "none" if lasts else "all"} if field else {})}
        for n, case in enumerate(said) for m, s in enumerate(case)
    ]  # fmt: skip
    received = pa.Table.from_pylist(
        [{"delivery_id": f"{n}-{m}", "received_on": s["received"]}
         for n, case in enumerate(said) for m, s in enumerate(case)],
        schema=RECEIVED,
    )  # fmt: skip
    home = Home(tmp_path)
    home.work.mkdir(exist_ok=True)
    shorter = {"danzhou": 3, "yangpu": 3} if code == "administrative_penalty" else {}
    dues = {bytes([n]) * 16: due(case, shorter.get(case[0]["department"], 5), lasts) for n, case in enumerate(said)}
    last = {f"{n}-{len(case) - 1}" for n, case in enumerate(said) if case[-1]["action"] != "withdraw"}
    for on in {d + timedelta(shift) for d in dues.values() if d for shift in (-1, 0)}:
        with duckdb.connect(config={"threads": 1}) as engine:
            engine.register("said", pa.Table.from_pylist(rows, schema=statement_schema(item)))
            engine.execute(f"CREATE TABLE showing AS SELECT * FROM said WHERE delivery_id IN {(*last, '')}")
            engine.execute(f"CREATE TABLE lived AS {life.life(item, of, 'showing', on, False).sql('duckdb')}")
            for space, where in (("records", "ended_on IS NULL"), ("ended", "ended_on IS NOT NULL")):
                engine.execute(f"COPY (SELECT * FROM lived WHERE {where}) TO '{tmp_path / space}.parquet'")
            engine.execute(f"COPY said TO '{tmp_path / 'history'}.parquet'")
        lake: Any = OneFileEach(tmp_path)
        found = {key for key, _ in deletion.past(home, lake, item, AT, of, received, on - timedelta(DAYS))}
        assert found == {key for key, day in dues.items() if day is not None and day <= on}, on
