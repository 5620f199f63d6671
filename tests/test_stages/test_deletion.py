"""Records that are deleted, night by night against the fold's naive model, and the day on which they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.stages import dedupe
from pipelines.stages.dedupe import Full, Incoming
from pipelines.stores.tombstones import SHAPE
from schemas import fold
from schemas.arrow import statement_schema
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
            dedupe.run_fold(engine, STRICT)
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


@settings(max_examples=300 if SOAK else 6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories())
def test_the_order_of_arrivals_and_of_deletions_decides_nothing(
    story: tuple[list[Sent], list[Way]], tmp_path: Path
) -> None:
    sent, ways = story
    fulls: Fulls = {}
    for s in (s for s in sent if s.is_full):
        order = (s.of["period"], s.of["sequence"])
        fulls[s.of["department"]] = max(fulls.get(s.of["department"], order), order)
    alive = [r | {"decision_key": r["number"]} for s in sent for r in s.rows if r["record_key"] not in ways[0].dead]
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
