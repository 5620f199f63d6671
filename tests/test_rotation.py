"""The pseudonym key is rotated: every pseudonym is another one, all else is as it was, and goes on as it would have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag

from pipelines import sampling
from pipelines.judge import Asked, Desk, judge
from pipelines.model import Home as Place
from pipelines.night import open_night
from pipelines.stages import validate
from pipelines.stages.candidate import read_candidate
from pipelines.stages.manifest import Manifest, described
from pipelines.stores import ledger as book
from pipelines.stores import rotation
from pipelines.stores.files import SPACES, live
from pipelines.stores.keys import Keys, read_keys
from pipelines.stores.lake import Lake
from schemas.load import load
from tests.conftest import SOAK, every_row
from tests.dirty_files import number, table
from tests.mortal_night import Death, Mortals
from tests.nights import DAY, Home, begin
from tests.test_deletion import places
from tests.test_disagreements import WHO, penalty
from tests.test_kills import litter
from tests.test_life import ended, event, send, shown
from tests.test_privacy import name
from tests.test_subjects import judge as decide
from tests.test_subjects import listed, persons, register, standing, tell
from tests.test_wrong_person import account, findings, no, ticket

# What a rotation changes by itself: places of data files, the release and the key, and what is sealed anew; and what
# goes on while it is looked at.
OWN = {"release", "release_snapshot", "pseudonym_key", "iceberg_tables", "inquiry", "data_file_segment"}
SEALED = "ARRAY['credit_number', 'metadata_location', 'previous_metadata_location']"
SEALED_BY_LAW = {"违法事实": "犯罪记录已封存"}
CORRECTED = ticket(6, 5, 更正前证件号码=number(5))
KEPT = 30  # days, policy keep_snapshots_days


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, applied: Callable[[], str]) -> tuple[Path, str]:
    """An eventful home, and the URL of its database; every test has it at the path where it was made."""
    place, url = tmp_path_factory.mktemp("rotation") / "home", applied()
    with pytest.MonkeyPatch.context() as patch:
        eventful(begin(place, url, patch, item="traffic_penalty", sender="public_security"))
    copied(place, place.with_name("saved"))
    with psycopg.connect(url.replace("+psycopg", "")) as connection:  # a database that is copied has no sessions
        connection.execute("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""")
    return place, url


@pytest.fixture
def full(saved: tuple[Path, str], database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Home:
    place, url = saved
    shutil.rmtree(place)
    copied(place.with_name("saved"), place)
    return Home(place, database(url), monkeypatch, item="traffic_penalty", sender="public_security")


def copied(source: Path, target: Path) -> None:
    """A copy in which two names of one file are so again."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def rotate(home: Home) -> tuple[Keys, dict[str, Any]]:
    """The keys after a rotation, and what the command says of it."""
    code, said = home.command("keys", "rotate", "--json")
    assert code == 0
    return read_keys(home.place / "pseudonym.key"), json.loads(said)


def lake(home: Home) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """(space, item) -> the rows of the current release."""
    found = {}
    with home.told() as ledger, closing(Lake(home.url, home.place / "curated")) as made:
        for item, at in ledger.current_snapshots().items():
            for space, snapshot in zip(SPACES, at, strict=True):
                files = made.files(space, item, snapshot)
                found[space, item] = duckdb.sql(f"FROM {live(files)}").to_arrow_table().to_pylist() if files else []
    return found


def files(home: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of what deliveries left in a home, in their order."""
    return {
        path.relative_to(home).as_posix(): pq.ParquetFile(path).read().to_pylist()
        for place in rotation.PLACES for path in sorted((home / place).glob("*.parquet"))
    }  # fmt: skip


def cells(home: Home) -> dict[str, list[str]]:
    """Table -> its rows, but what a rotation makes by itself. Segments are seen through the tables they belong to."""
    found = every_row(home.url, f"(to_jsonb(t) - {SEALED})::text", "1")
    return {
        place: [row for (row,) in rows] for place, rows in found.items()
        if place.split(".")[1].strip('"') not in OWN and not place.startswith("segments.")
    }  # fmt: skip


def numbers(home: Home, keys: Keys) -> dict[bytes, str]:
    """Subject -> the number that the vault knows of it."""
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT subject_id, credit_number FROM vault.subject").fetchall()
    return dict(zip((s for s, _ in rows), keys.decrypt([n for _, n in rows], [s for s, _ in rows]), strict=True))


class Taken:
    """What becomes of values of before, by the keys of after."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def value(self, value: Any, is_constant: bool = False) -> Any:
        if not isinstance(value, bytes) or is_constant:
            return value
        return self.keys.renewed(pa.array([value], pa.binary()))[0].as_py()

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        is_refused = row.get("action") == "refuse"
        return {k: self.value(v, is_refused and k == "content_hash") for k, v in row.items()}

    def text(self, row: str) -> str:
        """Of a row of the database as JSON."""
        def pseudonym(found: re.Match[str]) -> str:
            return r"\\x" + self.value(bytes.fromhex(found[1])).hex()

        def mark(found: re.Match[str]) -> str:
            return found[1] + self.keys.marks_renewed(pa.array([bytes.fromhex(found[2])]))[0].as_py().hex() + '"'

        return re.sub(r'("conflict": ")([0-9a-f]{16})"', mark, re.sub(r"\\\\x([0-9a-f]{32})", pseudonym, row))


def as_set(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def pseudonyms(*stores: dict[Any, list[dict[str, Any]]]) -> set[bytes]:
    """Every keyed value in these rows."""
    return {
        v for store in stores for rows in store.values() for row in rows for k, v in row.items()
        if isinstance(v, bytes) and not (k == "content_hash" and row.get("action") == "refuse")
    }  # fmt: skip


def eventful(home: Home) -> None:
    """A home in which everything occurs that is stored of a key. Persons 1 to 4 have a ticket each; 5 has one under the
    wrong number of 6; 7's decision is claimed for 8, which is held; 9's row is rejected, that of 10 the law keeps out.
    """
    odd = ticket(9, 9) | {"罚款金额（元）": "五十整块"}
    home.send(a=(table(*(ticket(n, n) for n in (1, 2, 3, 4)), ticket(5, 5), ticket(7, 7), odd), {"sequence": 1}))
    home.send(b=(table(CORRECTED, ticket(8, 7), ticket(4, 14, 当事人姓名="符示例"), ticket(10, 10, **SEALED_BY_LAW)),
                 {"sequence": 2}))  # fmt: skip
    city = replace(home, item="administrative_penalty", sender="haikou")
    city.send(p=table(penalty(1), penalty(3, **{WHO: name(3)})))
    tell(home, "r", register(11, number(1)), register(13, number(12)))
    send(home, "restoration_event", "restored", event("restoration_event", 2, no(2)))
    send(home, "objection_event", "objected", event("objection_event", 11, no(1)))
    rows = home.night(0)
    assert account(rows["a"]) == {"new": 5, "superseded": 1, "rejected": 1}
    assert account(rows["b"]) == {"new": 2, "held": 1, "refused": 1}
    ((key,),) = home.rows(f"SELECT lower(hex(record_key)) FROM records.traffic_penalty WHERE decision_no = '{no(3)}'")
    asked = ("delete", "--record", key, "--by", "office", "--basis", "order 12", "--date", "2026-11-23")
    assert home.command(*asked)[0] == 0
    (names,) = listed(home)["number_with_names"]
    decide(home, 0, "--conflict", names["conflict"], "--verdict", "same")
    old, new = (keyed(home, number(n)) for n in (7, 1))
    decide(home, 0, "--subject", old, "--other", new, "--verdict", "different")
    with home.told() as ledger:
        ledger.note_looks("elsewhere", {looked_for(home): "stamp"}, [])


def looked_for(home: Home) -> bytes:
    """What a file name is remembered as."""
    hashed = read_keys(home.place / "pseudonym.key").content_hashes(pa.array([b"a file"], pa.binary()))
    return bytes(hashed[0].as_py())


def keyed(home: Home, of: str) -> str:
    """The pseudonym of a number, in hexadecimal."""
    return str(read_keys(home.place / "pseudonym.key").subject_ids(pa.array([of]))[0].as_py().hex())


def test_every_pseudonym_is_another_one_and_all_else_is_as_it_was(full: Home) -> None:
    home = full
    root = read_keys(home.place / "pseudonym.key")
    versions = home.rows("SELECT count(*) FROM versions.traffic_penalty")
    was = lake(home), files(home.place), cells(home), numbers(home, root)
    conflicts, marks, people, stands = listed(home, "--all"), shown(home), persons(home), standing(home)
    known = json.loads(home.command("events", "--json")[1])
    old = pseudonyms(was[0], was[1]) | {*was[3]}
    old |= {bytes.fromhex(v) for rows in was[2].values() for r in rows for v in re.findall(r"\\x([0-9a-f]{32})", r)}
    secrets = [form for v in old for form in (v, v.hex().encode(), v.hex().upper().encode())]
    secrets += [c["conflict"].encode() for cs in conflicts.values() for c in cs if c["judgements"]]

    def holding() -> set[str]:
        return {place.partition("/")[0] for place, data in places(home) if any(s in data for s in secrets)}

    assert {"curated", "accepted", "rejected", "work", "ledger.judgement", "ledger.tombstone", "ledger.waiting_row",
            "ledger.look", "vault.subject", "vault.identity_block"} <= holding()  # fmt: skip
    keys, said = rotate(home)
    new = Taken(keys)
    now = lake(home), files(home.place), cells(home), numbers(home, keys)
    # Cell by cell, in the lake, in the files of deliveries and in the database.
    assert {k: as_set(rows) for k, rows in now[0].items()} == {
        k: as_set([new.row(r) for r in rows]) for k, rows in was[0].items()
    }
    assert now[1] == {k: [new.row(r) for r in rows] for k, rows in was[1].items()}
    assert now[2] == {k: sorted(map(new.text, rows)) for k, rows in was[2].items()}
    assert now[3] == {new.value(s): n for s, n in was[3].items()}
    # None stays, and none becomes another one's.
    before, after = pseudonyms(was[0], was[1]), pseudonyms(now[0], now[1])
    assert len(before) == len(after) > 30 and not before & after
    assert {s.hex() for s in numbers(home, keys)} >= {keyed(home, number(n)) for n in (1, 2, 6, 11)}
    with home.told() as ledger:
        assert ledger.looks("elsewhere").keys() == {looked_for(home)}
    # What is asked of it says the same.
    assert home.rows("SELECT count(*) FROM versions.traffic_penalty") == versions
    assert shown(home) == marks

    def taken(text: str) -> str:
        return str(new.value(bytes.fromhex(text)).hex())

    assert persons(home) == {taken(s): taken(p) for s, p in people.items()}
    assert standing(home) == {taken(p): n for p, n in stands.items()}
    found = {kind: [(c["records"], c["judgements"], {*c["subjects"]}) for c in cs]
             for kind, cs in listed(home, "--all").items()}  # fmt: skip
    assert found == {kind: [(c["records"], c["judgements"], {taken(s) for s in c["subjects"]}) for c in cs]
                     for kind, cs in conflicts.items()}  # fmt: skip
    assert found["number_with_names"][0][1] == [1], "what was judged stays judged"
    assert [{**e, "event": taken(e["event"]), "subject_id": taken(e["subject_id"]),
             "record_key": e["record_key"] and taken(e["record_key"])} for e in known] == json.loads(
        home.command("events", "--json")[1]
    )  # fmt: skip
    # It is a release like another; the ones before are not answered from any more.
    *_, last = sorted(json.loads(home.command("releases", "--json")[1]), key=lambda r: r["number"])
    assert (last["release_id"], last["as_of"]) == (said["release"], "2026-11-23")
    asked_before = ("query", "FROM records.traffic_penalty", "--as-of", "2026-11-22")
    assert home.command(*asked_before)[0] == 2 and litter(home.place, home.url) == []
    # The old ones are in the data files of older releases alone, until their limit, and then nowhere.
    with pytest.raises(InvalidTag):
        numbers(home, root)
    assert holding() == {"curated"}
    home.night(KEPT)
    assert holding() == {"curated"}
    home.night(KEPT + 2)
    assert holding() == set() and litter(home.place, home.url) == []
    assert home.command(*asked_before)[0] == 2
    assert home.command("changes", "2026-11-22", "2026-12-24", "--item", "traffic_penalty")[0] == 2


def test_what_comes_after_a_rotation_goes_on_as_if_there_had_been_none(full: Home) -> None:
    home = full
    tombstone = ticket(3, 3)
    rotate(home)
    keys, _ = rotate(home)
    assert keys.subject_ids(pa.array([number(1)])) != Keys(bytes(range(64))).subject_ids(pa.array([number(1)]))
    day = {"period": "2026-11-24"}
    # The same again is no news, and what was deleted is taken in no more.
    home.send(same=(table(*(ticket(n, n) for n in (1, 2, 3, 4)), CORRECTED, ticket(7, 7)), day))
    home.send(early=(table(ticket(10, 10), ticket(5, 5)), {"period": "2026-11-21"}))
    replace(home, item="administrative_penalty", sender="haikou").send(p2=(table(penalty(1), penalty(3)), day))
    tell(home, "r2", register(11, number(1)), register(13, number(12)), **day)
    rows = home.night(2)
    assert account(rows["same"]) == {"unchanged": 5, "refused": 1}
    assert account(rows["early"]) == {"superseded": 2}, "by a refusal, of which the key is known, and by a correction"
    assert account(rows["p2"]) == account(rows["r2"]) == {"unchanged": 2}
    assert [f["code"] for f in findings(home, rows["same"])].count("L010") == 1
    assert ended(home) == {no(2): ("restored", "2026-11-20")} and shown(home)[no(1)] == "objected"
    assert tombstone["处罚决定书编号"] not in shown(home)
    # Corrections: a wrong number, a row that waits, a decision that was claimed twice, an event and a link taken back.
    later = {"period": "2026-11-26"}
    gone = {"证件号码": number(7), "处罚决定书编号": no(7), "操作类型": "撤回"}
    key_only = {k: gone.get(k, "") for k in ticket(1, 1)}
    home.send(c=(table(ticket(9, 9), ticket(16, 4, 更正前证件号码=number(4)), key_only), later))
    home.send(d=(table(ticket(1, 1, **SEALED_BY_LAW)), later))
    taken_back = event("restoration_event", 2, no(2), row_action="删除")
    send(home, "restoration_event", "w", taken_back, **later)
    tell(home, "w2", {**register(13, number(12)), "操作类型": "撤回"}, **later)
    rows = home.night(4)
    assert account(rows["c"]) == {"new": 2, "withdrawn": 1} and account(rows["a"])["superseded"] >= 1
    assert "rejected" not in account(rows["a"]) and "held" not in account(rows["b"])
    tickets = home.rows("SELECT decision_no, lower(hex(subject_id)) FROM records.traffic_penalty")
    whose = {str(decision): subject for decision, subject in tickets}
    assert whose[no(4)] == keyed(home, number(16)) and whose[no(7)] == keyed(home, number(8))
    assert no(2) in whose and no(1) not in whose and ended(home) == {}, "what the law keeps out ends, too"
    assert persons(home) == {keyed(home, number(1)): keyed(home, number(11))}
    # A delivery is taken back, another record deleted; a replay finds nothing to do.
    assert home.command("revert", "--delivery", rows["c"]["delivery_id"], "--by", "desk", "--reason", "x", "--date",
                        "2026-11-27")[0] == 0  # fmt: skip
    assert home.rows(f"SELECT subject_id FROM records.traffic_penalty WHERE decision_no = '{no(4)}'") == [
        (bytes.fromhex(keyed(home, number(4))),)
    ]
    ((key,),) = home.rows(f"SELECT lower(hex(record_key)) FROM records.traffic_penalty WHERE decision_no = '{no(2)}'")
    spans = json.loads(home.command("life", "--record", key, "--json")[1])
    assert [(s["first"], s["state"]) for s in spans] == [(4, "ended"), (5, "ended"), (6, "shared")], "no older ones"
    assert [t["line"] for t in home.trace("--record", key)] == [3, 3]
    asked = ("delete", "--record", key, "--by", "office", "--basis", "order 13", "--date", "2026-11-28")
    assert home.command(*asked)[0] == 0 and no(2) not in shown(home)
    asked = ("replay", "--from", "2026-11-01", "--to", "2026-11-30", "--date", "2026-11-28", "--json")
    code, said = home.command(*asked)
    told = {(d["taken"], d["stopped"], d["changed"]) for d in json.loads(said)["deliveries"]}
    assert code == 0 and told == {(0, 0, 0)}


@pytest.mark.parametrize("small", [validate.SMALL, 0])
def test_rows_judged_under_a_rotated_key_are_those_of_the_first_key_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    items = ("administrative_penalty", "identity_reference", "traffic_penalty")
    sampling.generate(tmp_path / "sent", rows=300, seed=3, dirty=0.2, items=items, as_of=DAY)
    kept_out = ticket(8, 8, 更正前文书号=no(1), **SEALED_BY_LAW)
    (tmp_path / "sent/inbox/public_security/traffic_penalty/own.csv").write_text(table(CORRECTED, kept_out))
    monkeypatch.setattr(validate, "SMALL", small)
    chain, catalog, told = (bytes(range(64)), bytes(range(1, 65))), load(), []
    for n in (1, 2):
        place = Place(tmp_path / str(n))
        place.root.mkdir()
        place.make_restricted()
        (place.root / "sample.json").write_text("{}")
        for path in sorted((tmp_path / "sent").glob("inbox/*/*/*")):
            if not path.name.endswith(".manifest.json"):
                sent = described(*path.parts[-3:], path.stat().st_size, path.name.encode().hex(), Manifest(), DAY)
                judge(Desk(place, catalog, Keys(*chain[:n]), DAY), Asked(sent, path))
        told.append(files(place.root))
    (was, now), new = told, Taken(Keys(*chain))
    assert {k: as_set(r) for k, r in now.items()} == {k: as_set([new.row(r) for r in rs]) for k, rs in was.items()}
    seen = {(file.split("/")[0], k) for file, rows in was.items() for row in rows for k, v in row.items()
            if isinstance(v, bytes)}  # fmt: skip
    assert seen == {
        *(("accepted", k) for k in ("subject_id", "record_key", "content_hash", "linked_subject_id", "replaces")),
        *(("rejected", k) for k in ("record_key", "name_key", "replaces")),
    }


def test_all_that_is_binary_in_ledger_and_vault_is_taken_over() -> None:
    known = [t for t in book.metadata.sorted_tables if t not in rotation.OTHERS]
    binary = {c for t in known for c in t.columns if isinstance(getattr(c.type, "item_type", c.type), sa.LargeBinary)}
    assert {c.table for c in binary} == {*rotation.tables().values()}
    assert {f"{c.table.fullname}.{c.name}" for c in binary} == {
        "ledger.waiting_row.record_key", "ledger.waiting_row.name_key", "ledger.tombstone.record_key",
        "ledger.tombstone.subject_id", "ledger.judgement.subject_id", "ledger.judgement.other_id", "ledger.look.name",
        "vault.subject.subject_id", "vault.subject.credit_number", "vault.identity_block.record_keys",
    }, "a new one: is it made under the key? Then this list, else stores/rotation.py is to be mended"  # fmt: skip


def test_nothing_is_rotated_beside_a_night_or_before_its_end(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.command("keys", "rotate")[0] == 2, "nothing is released yet"
    home.night(0, a=table(ticket(1, 1)))
    key = (home.place / "pseudonym.key").read_bytes()
    with open_night(home.place, DAY):
        assert home.command("keys", "rotate")[0] == 4
    assert "a night is at work" in capsys.readouterr().err
    home.send(b=(table(ticket(2, 2)), {"period": "2026-11-23"}))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipelines.run.gate_items", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        home.night(1)
    assert home.command("keys", "rotate")[0] == 4
    assert "traffic_penalty waits" in capsys.readouterr().err
    assert (home.place / "pseudonym.key").read_bytes() == key
    # What a gate has held is made anew.
    with home.told() as ledger:
        candidate = read_candidate(Place(home.place), "traffic_penalty")
        assert candidate is not None
        ledger.gate(candidate.candidate, "traffic_penalty", "failed", {})
    assert rotate(home)[1]["held_again"] == ["traffic_penalty"] and litter(home.place, home.url) == []
    assert account(home.night(1)["b"]) == {"new": 1}
    # Nor once the server was started anew meanwhile, as a night may have been at work.
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.rotate.rotation.has_been_still", lambda _: "SELECT 1 WHERE FALSE")
        assert home.command("keys", "rotate")[0] == 4
    assert "Nothing was rotated" in capsys.readouterr().err
    rows = home.night(3, c=(table(ticket(1, 1), ticket(2, 2)), {"period": "2026-11-25"}))
    assert account(rows["c"]) == {"unchanged": 2}
    # A key file that cannot be written to is told before anything is done.
    monkeypatch.setattr("pipelines.rotate.add_key", lambda _: (_ for _ in ()).throw(PermissionError(13, "denied")))
    rotate(home)  # of a secret that is in the file already
    before = home.everything()
    assert home.command("keys", "rotate")[0] == 4
    assert "docs/runbook.md" in capsys.readouterr().err and home.everything() == before


# The eighth commit is that of the release: six tables and the records of one item are staged before.
BEFORE = (("rename accepted", 1, "after"), ("bulk commit", 3, "before"), ("lake commit history", 1, "after"),
          ("bulk commit", 8, "before"))  # fmt: skip
AFTER = (("bulk commit", 8, "after"), ("rename rejected", 2, "after"))
DEATHS = [Death(*death) for death in ((*BEFORE, *AFTER) if SOAK else (BEFORE[2], AFTER[0]))]


@pytest.mark.parametrize("death", DEATHS, ids=str)
def test_a_rotation_that_is_killed_has_not_begun_or_is_finished(
    home: Home, mortals: Mortals, death: Death, tmp_path: Path
) -> None:
    odd = ticket(9, 9) | {"罚款金额（元）": "五十整块"}
    home.night(0, a=table(ticket(1, 1), ticket(2, 2), odd))
    root = keyed(home, number(1))
    assert mortals.start(home.place, home.url, "keys", "rotate", death=death).wait() == -9
    assert "Traceback" not in (tmp_path / "home.said").read_text()
    rows = home.night(1, b=(table(ticket(1, 1), ticket(2, 2), ticket(9, 9), ticket(3, 3)), {"period": "2026-11-23"}))
    is_done = (death.event, death.nth, death.when) in AFTER
    assert account(rows["b"]) == {"new": 2, "unchanged": 2} and account(rows["a"]) == {"new": 2, "superseded": 1}
    subjects = {bytes(s).hex() for (s,) in home.rows("SELECT subject_id FROM records.traffic_penalty")}
    assert (root in subjects) is not is_done and [*home.place.rglob("*.rotated")] == []
    file = read_keys(home.place / "pseudonym.key")
    assert [k.is_rotated for k in file.before()] == [True, False], "one secret more, whether it is in use or not"
    rotate(home)
    assert len([*read_keys(home.place / "pseudonym.key").before()]) == 2 + is_done
    home.command("tidy", "--date", "2026-11-23")
    assert litter(home.place, home.url) == []
    again = home.night(3, c=(table(ticket(1, 1), ticket(9, 9)), {"period": "2026-11-25"}))
    assert account(again["c"]) == {"unchanged": 2}


def test_backups_of_before_and_after_are_restored_with_the_key_file_of_after(
    home: Home, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home.night(0, a=table(ticket(1, 1), ticket(2, 2), ticket(3, 3)))

    def backup() -> str:
        return str(json.loads(home.command("backup", "--to", str(tmp_path / "kept"), "--json")[1])["folder"])

    def listed_deletions(name: str) -> str:
        (tmp_path / name).write_text(home.command("deletions", "--keys", "--json")[1])
        return str(tmp_path / name)

    def key_of(document: str) -> str:
        at = f"FROM records.traffic_penalty WHERE decision_no = '{document}'"
        ((key,),) = home.rows(f"SELECT lower(hex(record_key)) {at}")
        return str(key)

    def delete(document: str) -> None:
        asked = ("delete", "--record", key_of(document), "--by", "office", "--basis", "order 12")
        assert home.command(*asked, "--date", "2026-11-23")[0] == 0

    before, first = backup(), tmp_path / "first.key"
    shutil.copy(home.place / "pseudonym.key", first)
    delete(no(2))
    old_list = listed_deletions("old")
    rotate(home)
    after = backup()
    delete(no(3))
    new_list, key = listed_deletions("new"), str(home.place / "pseudonym.key")
    others = [Home(tmp_path / f"other{n}", database(), monkeypatch, item="traffic_penalty", sender="public_security")
              for n in range(2)]  # fmt: skip
    restored = ("restore", "--from", after, "--key-file")
    assert others[0].command(*restored, str(first))[0] == 2, "the file of before does not open what came after"
    assert others[0].command("restore", "--from", before, "--key-file", str(first), "--tombstones", new_list)[0] == 2
    for other, source, deletions in ((others[0], before, new_list), (others[1], after, old_list)):
        options = ("restore", "--from", source, "--key-file", key, "--tombstones", deletions)
        assert other.command(*options)[0] == 0
        rows = other.night(3, b=(table(*(ticket(n, n) for n in (1, 2, 3, 4))), {"period": "2026-11-25"}))
        # What was deleted since is deleted again, and nothing is taken for somebody else's.
        is_old = source == before
        refused = {"refused": 2} if is_old else {"refused": 1}
        assert account(rows["b"]) == {"new": 1, "unchanged": 2 - is_old, **refused}
        with other.told() as ledger:
            assert read_keys(other.place / "pseudonym.key").at(ledger.known_key() or "") is not None
    assert others[0].rows("SELECT decision_no FROM records.traffic_penalty ORDER BY 1") == [(no(1),), (no(4),)]
    rotate(others[0])
    assert len([*read_keys(others[0].place / "pseudonym.key").before()]) == 2, "the secret of the file is the next one"
    again = others[0].night(4, c=(table(ticket(1, 1), ticket(2, 2)), {"period": "2026-11-26"}))
    assert account(again["c"]) == {"unchanged": 1, "refused": 1}
