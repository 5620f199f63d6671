"""Homes in which rows are struck out where they lie, and homes in which their files are written anew, tell the same."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from pipelines import steps
from pipelines.query import query
from pipelines.stages import datafiles
from pipelines.stores.files import SPACES, Files, live
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Pinned
from tests.conftest import SOAK
from tests.dirty_files import table
from tests.nights import DAY, Home, begin, limited
from tests.test_kills import litter
from tests.test_life import event, send
from tests.test_wrong_person import no, ticket

WHO = ("--by", "示例", "--reason", "test")
ALWAYS = {"strike_spared_rows": 0, "strike_share": 2.0}
NEVER = {"strike_spared_rows": 1_000_000, "strike_share": 0.0}
SOME = {"strike_spared_rows": 0, "strike_share": 0.3}


def corrected(n: int, day: int, text: str, **cells: str) -> dict[str, str]:
    return ticket(n, n, 违法事实=text, 更新时间=f"2026-11-{day} 08:00:00", **cells)


def nights(home: Home) -> None:
    """What can become of a record: new, corrected, corrected back, ended, marked, returning, replaced, deleted."""
    home.night(0, a=table(*(ticket(n, n) for n in range(1, 11))))
    send(home, "withdrawal_event", "w", event("withdrawal_event", 5, no(5)))
    withdrawn = corrected(4, 23, "示例", 操作类型="撤销")
    later = corrected(2, 23, "示例二"), corrected(3, 23, "示例三"), withdrawn, ticket(11, 11)
    home.night(1, b=(table(*later), {"period": "2026-11-23"}))
    send(home, "objection_event", "o", event("objection_event", 6, no(6)))
    home.night(2, c=(table(corrected(2, 24, "示例四"), corrected(11, 24, "示例五")), {"period": "2026-11-24"}))
    key = home.deliveries()["c"]["delivery_id"]
    assert home.command("revert", "--delivery", key, *WHO, "--date", str(DAY + timedelta(3)))[0] == 0
    right = corrected(7, 26, "示例", 证件号码=ticket(20, 7)["证件号码"], 更正前证件号码=ticket(7, 7)["证件号码"])
    home.night(4, d=(table(right, corrected(3, 26, "示例六")), {"period": "2026-11-26"}))
    ((doomed,),) = home.rows(f"SELECT lower(hex(record_key)) FROM records.traffic_penalty WHERE decision_no={no(3)!r}")
    deleted = ("delete", "--record", doomed, "--by", "x", "--basis", "y", "--date", str(DAY + timedelta(5)))
    assert home.command(*deleted)[0] == 0
    for n in (6, 7):
        home.night(n, **{f"e{n}": (table(corrected(8, n + 22, f"示例{n}")), {"period": str(DAY + timedelta(n))})})


def asked(home: Home) -> dict[str, str]:
    """What a home tells of every release: its tables, what differs from one to another, and the life of each record."""
    releases = [r["release_id"] for r in json.loads(home.command("releases", "--json")[1])][::-1]
    found: dict[str, Any] = {"releases": len(releases)}
    for number, release in enumerate(releases):
        for space in SPACES:
            rows = query(home.place, f"SELECT * FROM {space}.traffic_penalty ORDER BY ALL", release)[1]
            found[f"{space} {number}"] = rows
    pairs = [*zip(releases, releases[1:], strict=False), (releases[-1], releases[0]), (releases[0], releases[-1])]
    for number, pair in enumerate(pairs):
        found[f"changes {number}"] = json.loads(home.command("changes", *pair, "--json")[1])
    keys = home.rows("SELECT DISTINCT lower(hex(record_key)) FROM history.traffic_penalty ORDER BY 1")
    for (key,) in keys if SOAK else keys[::4]:
        found[f"life {key}"] = json.loads(home.command("life", "--record", key, "--json")[1])
        found[f"trace {key}"] = home.trace("--record", key)
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        found["warehouse"] = sorted(map(str, connection.execute("SELECT * FROM records.traffic_penalty").fetchall()))
    said = {name: str(rows) for name, rows in found.items()}
    for number, release in enumerate(releases):  # what they are called hangs on the files
        said = {name: text.replace(release, f"release {number}") for name, text in said.items()}
    return said


def stored(home: Home) -> dict[str, Files]:
    with home.told() as ledger, closing(Lake(home.url, home.place / "curated")) as lake:
        at = ledger.current_snapshots().get("traffic_penalty", Pinned())
        return {space: lake.files(space, "traffic_penalty", s) for space, s in zip(SPACES, at, strict=True)}


def test_struck_out_or_written_anew_is_all_the_same(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, homes = [], []
    monkeypatch.setattr(datafiles, "STRIKES", 2)
    for n, limits in enumerate((NEVER, ALWAYS, SOME) if SOAK else (NEVER, ALWAYS)):
        home = begin(tmp_path / f"home{n}", applied(), monkeypatch, item="traffic_penalty", sender="public_security")
        with monkeypatch.context() as patch:
            limited(patch, **limits)
            nights(home)
        told.append(asked(home))
        homes.append(home)
    for other in told[1:]:
        assert {k for k in told[0].keys() | other.keys() if told[0].get(k) != other.get(k)} == set()
    left = [stored(home) for home in homes]
    assert left[0]["records"].strikes == () and 0 < len(left[1]["records"].strikes) <= 2
    assert left[1]["history"].strikes == ()
    for home, files in zip(homes, left, strict=True):
        raw = " UNION ALL ".join(f"SELECT record_key FROM {live(Files(f.data))}" for f in files.values() if f)
        gone = home.rows("SELECT count(*) FROM history.traffic_penalty WHERE decision_no = '" + no(3) + "'")
        assert gone == [(0,)]
        known = {bytes(k) for (k,) in home.rows("SELECT DISTINCT record_key FROM history.traffic_penalty")}
        assert {bytes(k) for (k,) in duckdb.sql(raw).fetchall()} == known, "of the deleted one no struck row is left"
        assert litter(home.place, home.url) == []
    # Merged, and under another key, nothing is struck out any more, and it is still the same.
    home = homes[1]
    shown = "SELECT * EXCLUDE (record_key, subject_id, content_hash{0}) FROM {1}.traffic_penalty ORDER BY ALL"
    others = {"records": "", "ended": ", ended_event", "history": ", replaces"}
    columns = {space: shown.format(more, space) for space, more in others.items()}
    before = {space: home.rows(sql) for space, sql in columns.items()}
    with monkeypatch.context() as patch:
        limited(patch, compact_small_files=1, **ALWAYS)
        steps.tidy(str(home.place), str(DAY + timedelta(8)))
    assert {space: home.rows(sql) for space, sql in columns.items()} == before
    assert len(stored(home)["records"].data) == 1 and stored(home)["records"].strikes == ()
    with monkeypatch.context() as patch:
        limited(patch, **ALWAYS)
        home.night(9, z=(table(corrected(9, 30, "示例")), {"period": str(DAY + timedelta(9))}))
    before = {space: home.rows(sql) for space, sql in columns.items()}
    assert len(stored(home)["records"].strikes) == 1
    assert home.command("keys", "rotate", "--json")[0] == 0
    assert {space: home.rows(sql) for space, sql in columns.items()} == before
    assert stored(home)["records"].strikes == ()
