"""Records past their retention, or deleted on a decision: nothing is left of them anywhere but a tombstone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from pipelines import run
from pipelines.stages import curate, deletion
from pipelines.stores import tombstones
from pipelines.stores.lake import Lake
from tests import leaks
from tests.conftest import SOAK
from tests.dirty_files import number, table
from tests.nights import DAY, Home, begin
from tests.test_disagreements import penalty
from tests.test_life import event, send, shown
from tests.test_privacy import name
from tests.test_wrong_person import account, findings, no, ticket

OLD = {"违法日期": "2021-11-20", "处罚决定日期": "2021-11-23"}  # kept until 23 November 2026, the day after day 0
FACT = "在示例大道违法停车"
GONE = 32  # the first night that deletes them: more than thirty days after their last day


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")


def places(home: Home) -> Iterator[tuple[str, bytes]]:
    """Every place of a home and its database, decoded as far as it can be."""
    for path in sorted(home.place.rglob("*")):
        if path.is_file() and "compiled" not in path.parts:
            whole = path.read_bytes()
            yield str(path.relative_to(home.place)), whole
            if path.suffix == ".parquet":
                yield f"{path.relative_to(home.place)} decoded", leaks.parquet_bytes(path)
    yield "manifests", leaks.manifest_bytes(Lake(home.url, home.place / "curated").catalog)
    yield from leaks.database_bytes(home.url)


def holds(home: Home, *secrets: str | bytes) -> set[str]:
    """The first parts of the places in which one of the values stands."""
    wanted = [s if isinstance(s, bytes) else s.encode() for s in secrets]
    return {place.partition("/")[0] for place, data in places(home) if any(w in data for w in wanted)}


def key_of(home: Home, document: str) -> str:
    stated = f"FROM history.traffic_penalty WHERE decision_no = '{document}'"
    ((key,),) = home.rows(f"SELECT DISTINCT lower(hex(record_key)) {stated}")
    return str(key)


def subjects(home: Home) -> int:
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM vault.subject").fetchall()
    return int(count)


def test_what_is_past_its_retention_is_deleted_everywhere_and_taken_in_no_more(home: Home) -> None:
    """Persons 1 and 2 have an old ticket, 2 has another one; 3 had an old one that was withdrawn; 4 has a new one."""
    was = home.night(0, a=table(
        ticket(1, 1, 违法事实=FACT, **OLD), ticket(2, 2, **OLD), ticket(2, 3), ticket(3, 4, **OLD), ticket(4, 5),
    ))["a"]  # fmt: skip
    send(home, "objection_event", "o", event("objection_event", 1, no(1)))
    home.night(1, b=(table(ticket(3, 4, 操作类型="删除", **OLD)), {"period": "2026-11-23"}))
    mine = home.rows("SELECT subject_id, record_key FROM history.traffic_penalty WHERE decision_no = '" + no(1) + "'")
    (subject, key), document = mine[0], key_of(home, no(1))
    home.night(2)
    kept = home.rows(f"SELECT * FROM history.traffic_penalty WHERE decision_no IN ('{no(3)}', '{no(5)}') ORDER BY ALL")
    assert home.rows("SELECT decision_no FROM ended.traffic_penalty ORDER BY 1") == [(no(1),), (no(2),)]
    home.night(GONE - 1)
    assert len(home.rows("FROM ended.traffic_penalty")) == 2, "the thirtieth day after the last one"
    # The day comes by itself, without any delivery.
    home.night(GONE)
    shown = home.rows("SELECT decision_no FROM records.traffic_penalty ORDER BY 1")
    assert shown == [(no(3),), (no(5),)] and home.rows("FROM ended.traffic_penalty") == []
    assert home.rows("SELECT DISTINCT decision_no FROM history.traffic_penalty ORDER BY 1") == shown
    assert home.rows("SELECT * FROM history.traffic_penalty ORDER BY ALL") == kept, "the others are as they were"
    assert subjects(home) == 3, "person 3 is known no more; of 1 there is an event, that goes with the next night"
    home.night(GONE + 1)
    for space in ("records", "history"):
        assert home.rows(f"SELECT count(*) FROM {space}.objection_event") == [(0,)]
    assert subjects(home) == 2
    with home.told() as ledger:
        told = [(d["item"], d["records"], d["written_by"]) for d in tombstones.summary(ledger) if d["release"]]
        assert told == [("objection_event", 1, deletion.BY), ("traffic_penalty", 3, deletion.BY)]
        assert "第十六条" in tombstones.summary(ledger)[0]["basis"]
    code, seen = home.command("life", "--record", document, "--json")
    *_, last = json.loads(seen)
    assert code == 0 and (last["state"], last["since"]) == ("deleted", "2026-12-24")
    assert account(home.deliveries()["a"]) == account(was), "the account stays as it was"
    # A calm night does nothing more.
    calm = home.everything()
    home.night(GONE + 1)
    assert home.everything() == calm
    # Sent again it is refused, also where another department's word would have changed it.
    again = home.night(GONE + 2, c=(table(ticket(1, 1, 违法事实=FACT, **OLD), ticket(4, 6)), {"period": "2026-12-26"}))
    assert account(again["c"]) == {"new": 1, "refused": 1} and again["c"]["state"] == "released"
    assert [(f["line"], f["code"]) for f in findings(home, again["c"])] == [(2, "L010")]
    assert subjects(home) == 2 and home.rows("SELECT count(*) FROM records.traffic_penalty") == [(3,)]
    assert holds(home, name(1), number(1)) <= {"raw", "staged", "accepted", "inbox", "outbox", "findings"}
    # Older releases show it until their limit.
    asked = ("query", f"SELECT * FROM records.traffic_penalty WHERE decision_no = '{no(1)}'")
    assert FACT in home.command(*asked, "--as-of", "2026-11-22", "--csv")[1]
    home.night(GONE + 32)
    code, _ = home.command(*asked, "--as-of", "2026-11-22")
    assert code == 2 and home.command(*asked)[0] == 0
    assert home.command("changes", "2026-11-22", "2026-12-25", "--item", "traffic_penalty")[0] == 2
    assert holds(home, FACT, no(1), subject) <= {"raw", "staged", "accepted", "inbox", "outbox", "findings"}
    assert "ledger.tombstone" in holds(home, key)
    # And the files of deliveries have limits of their own.
    home.night(GONE + 500)
    assert holds(home, FACT, no(1), subject, name(1), number(1)) == set()
    assert holds(home, key) == {"ledger.tombstone"}
    assert account(home.deliveries()["a"]) == account(was)


def test_a_record_is_deleted_on_a_decision_and_a_replay_does_not_bring_it_back(home: Home) -> None:
    odd = ticket(2, 2) | {"罚款金额（元）": "五十整块"}
    replace(home, item="administrative_penalty", sender="haikou").send(p=table(penalty(1), penalty(3)))
    row = home.night(0, a=table(ticket(1, 1, 违法事实=FACT), odd, ticket(3, 3)))["a"]
    assert account(row) == {"new": 2, "rejected": 1}
    key = key_of(home, no(1))
    code, _ = home.command("delete", "--record", key, "--by", "x", "--basis", " ", "--date", "2026-11-23")
    assert code == 2
    asked = ("delete", "--record", key, "--by", "示例信用中心", "--basis", "示例判决", "--date", "2026-11-23")
    assert home.command(*asked)[0] == 0
    assert shown(home) == {no(3): None}
    assert home.rows("SELECT decision_no FROM history.traffic_penalty") == [(no(3),)]
    assert home.command(*asked)[0] == 2, "twice is once too often"
    code, seen = home.command("deletions", "--json")
    (told,) = json.loads(seen)
    # The warehouse has the history of some items, too.
    at = "FROM history.administrative_penalty ORDER BY 1"
    keys = home.rows(f"SELECT lower(hex(record_key)) {at}")
    assert home.command("delete", "--record", keys[0][0], *asked[3:])[0] == 0
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        assert connection.execute(f"SELECT encode(record_key, 'hex') {at}").fetchall() == keys[1:]
    assert home.rows(f"SELECT lower(hex(record_key)) {at}") == keys[1:]
    assert (told["records"], told["written_by"], told["basis"]) == (1, "示例信用中心", "示例判决")
    # What was taken in once comes back from raw bytes in a replay of another home alone; here it stays gone.
    code, _ = home.command("replay", "--from", "2026-11-01", "--apply", "--date", "2026-11-24")
    assert code == 0 and home.rows("SELECT decision_no FROM history.traffic_penalty") == [(no(3),)]
    late = home.night(3, b=(table(ticket(1, 1, 违法事实="另一说法")), {"period": "2026-11-25"}))["b"]
    assert account(late) == {"refused": 1}


def test_with_a_record_goes_what_it_replaced_and_what_stood_behind_it_shows(home: Home) -> None:
    """Ticket 1 was sent for person 1 by mistake, person 2 is the right one; ticket 2 is claimed for 3 and then 4."""
    home.send(a=(table(ticket(1, 1), ticket(3, 2)), {"sequence": 1}))
    home.send(b=(table(ticket(2, 1, 更正前证件号码=number(1)), ticket(4, 2)), {"sequence": 2}))
    rows = home.night(0)
    assert account(rows["b"]) == {"new": 1, "held": 1} and [f["code"] for f in findings(home, rows["b"])] == ["D005"]
    said = "SELECT decision_no, lower(hex(record_key)), delivery_id FROM {}.traffic_penalty ORDER BY 1"
    assert len(home.rows(said.format("history"))) == 4
    asked = ("--by", "示例信用中心", "--basis", "示例判决", "--date", "2026-11-23")
    for _, key, _ in home.rows(said.format("records")):
        assert home.command("delete", "--record", key, *asked)[0] == 0
    # Nobody has person 1 bear ticket 1 again; that it is 4 whom ticket 2 is about nobody denies any more.
    left = [(d, of) for d, _, of in home.rows(said.format("records"))]
    assert left == [(no(2), rows["b"]["delivery_id"])]
    assert [d for d, *_ in home.rows(said.format("history"))] == [no(2)]
    assert account(home.deliveries()["b"]) == {"new": 2}


@pytest.mark.parametrize("step", ["write", "load", "expire", "unlink"] if SOAK else ["load"])
def test_a_deletion_that_is_killed_is_taken_up_again(home: Home, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    over = OLD | {"处罚决定日期": "2021-11-21"}  # its retention is over when it comes
    home.night(0, a=table(ticket(1, 1, 违法事实=FACT, **over), ticket(2, 2)))
    if is_late := step in ("expire", "unlink"):
        home.night(GONE)
    with monkeypatch.context() as patch:
        target, attribute = {
            "write": (curate, "curate"), "load": (run.load, "_switch"), "expire": (Lake, "expire"),
            "unlink": (Path, "unlink"),
        }[step]  # fmt: skip
        real = getattr(target, attribute)

        def killed(*arguments: object, **more: object) -> object:
            if step == "unlink" and "manifest" not in str(arguments[0]) and "-m0" not in str(arguments[0]):
                return real(*arguments, **more)
            raise KeyboardInterrupt

        patch.setattr(target, attribute, killed)
        with pytest.raises(KeyboardInterrupt):
            home.told().close()
            run.nightly(home.place, DAY + timedelta(GONE + 31 * is_late))
    home.night(GONE + 31)
    if not is_late:
        home.night(GONE + 31 + 31)
    assert holds(home, FACT) <= {"raw", "staged", "accepted", "inbox", "outbox"}
    assert home.rows("SELECT decision_no FROM history.traffic_penalty") == [(no(2),)]
