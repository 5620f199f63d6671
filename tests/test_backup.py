"""A home that was backed up is restored elsewhere, and goes on as the original does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.night import open_night
from pipelines.stages import deletion
from pipelines.stores.copies import read_sums, write_sums
from pipelines.stores.files import SPACES
from pipelines.stores.lake import Lake
from pipelines.stores.still import still
from tests.conftest import every_row
from tests.dirty_files import table
from tests.nights import DAY, Home, begin
from tests.test_deletion import OLD
from tests.test_wrong_person import no, ticket

ITEM = "traffic_penalty"
# What two homes cannot have in common: Iceberg draws ids and file names at random, and clocks go on.
DRAWN = "ARRAY['seen_at', 'records_snapshot', 'history_snapshot', 'ended_snapshot', 'metadata_location',"
CELLS = f"to_jsonb(t) - {DRAWN} 'previous_metadata_location']"


def shown(home: Home) -> list[str]:
    """What commands tell of a home: every space of the current release, an older release, and the accounts."""
    asked = [("query", f"SELECT * FROM {space}.{ITEM} ORDER BY ALL", "--csv") for space in (*SPACES, "versions")]
    of_all = "SELECT CAST(t AS VARCHAR) FROM subjects t UNION ALL SELECT CAST(t AS VARCHAR) FROM standing t ORDER BY 1"
    asked += [("query", of_all, "--csv")]
    asked += [(*a, "--as-of", DAY.isoformat()) for a in asked[:2]]
    said = [home.command(*a) for a in (*asked, ("status", "--json"), ("releases", "--json"))]
    assert [code for code, _ in said] == [0] * len(said)
    return [text for _, text in said]


def files(home: Home, *places: str) -> dict[str, bytes]:
    paths = [p for place in places for p in (home.place / place).rglob("*") if p.is_file()]
    return {p.relative_to(home.place).as_posix(): p.read_bytes() for p in paths}


def lake(home: Home) -> dict[tuple[Any, ...], Any]:
    """(table, snapshot) -> its rows, as readers of Iceberg find them; every manifest is as long as its list says."""
    found = {}
    catalog = Lake(home.url, home.place / "curated").catalog
    for space in SPACES:
        for identifier in catalog.list_tables(space):
            at = catalog.load_table(identifier)
            for snapshot in at.snapshots():
                for manifest in snapshot.manifests(at.io):
                    path = Path(manifest.manifest_path.removeprefix("file://"))
                    assert path.is_relative_to(home.place) and path.stat().st_size == manifest.manifest_length
                found[(*identifier, snapshot.snapshot_id)] = at.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
    return found


def bury(home: Home, document: str) -> None:
    """Decide that a record is deleted; the next night does it."""
    ((key, subject),) = home.rows(f"SELECT record_key, subject_id FROM records.{ITEM} WHERE decision_no = '{document}'")
    with open_night(home.place, DAY + timedelta(3)) as night:
        items = night.catalog.items
        deletion.write(night.home, night.lake, night.ledger, items, items[ITEM], [(bytes(key), bytes(subject))],
                       night.as_of, "order 12", "office")  # fmt: skip


def test_a_backup_restored_under_another_path_goes_on_as_the_original(
    tmp_path: Path, applied: Callable[[], str], database: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch, item=ITEM, sender="public_security")
    kept, key, list_of = tmp_path / "kept", tmp_path / "key", tmp_path / "deletions.json"
    assert home.command("backup", "--to", str(kept))[0] == 2, "no release yet, so nothing to back up"
    home.night(0, a=table(ticket(1, 1, **OLD), ticket(2, 2), ticket(3, 3), ticket(4, 4)))
    later = {"period": "2026-11-24"}
    home.night(2, b=(table(ticket(2, 2, **{"罚款金额（元）": "70"}), ticket(5, 5)), later))
    key.write_bytes((home.place / "pseudonym.key").read_bytes())
    # While a night is at work there is no backup.
    with open_night(home.place, DAY + timedelta(2)):
        assert home.command("backup", "--to", str(kept))[0] == 4
    assert not kept.exists()
    with home.told() as ledger, still(ledger):
        assert home.command("backup", "--to", str(kept))[0] == 4, "nor while another one is made"
    code, said = home.command("backup", "--to", str(kept), "--json")
    note = json.loads(said)
    made = Path(note["folder"])
    assert code == 0 and [p.name for p in kept.iterdir()] == [f"{note['as_of']}-{note['release_id']}"] == [made.name]
    assert made.stat().st_mode & 0o777 == 0o700
    secret = key.read_bytes()
    assert not any(secret in p.read_bytes() for p in made.rglob("*") if p.is_file()), "the key is never in it"
    before, raw, tables = shown(home), files(home, "raw", "outbox", "staged"), lake(home)
    bury(home, no(3))
    list_of.write_text(home.command("deletions", "--keys", "--json")[1])
    away = home.place.rename(tmp_path / "away")

    # What does not fit is refused before anything is written.
    other = Home(tmp_path / "quite" / "another place", database(), monkeypatch, item=ITEM, sender="public_security")
    source = ("restore", "--from", str(made))
    (tmp_path / "wrong").write_bytes(bytes(64))
    assert other.command(*source)[0] == 2, "no key"
    assert other.command(*source, "--key-file", str(tmp_path / "wrong"))[0] == 2
    assert other.command(*source, "--key-file", str(key), "--tombstones", str(key))[0] == 2
    capsys.readouterr()
    assert other.command("restore", "--from", str(kept), "--key-file", str(key))[0] == 2
    assert str(made) in capsys.readouterr().err, "the folder of backups is none, and the latest in it is named"
    assert Home(away, other.url, monkeypatch).command(*source, "--key-file", str(key))[0] == 2, "not empty"
    assert Home(other.place, home.url, monkeypatch).command(*source, "--key-file", str(key))[0] == 2, "nor its database"
    for changed in ("database.dump", next(n for n in read_sums(made / "SHA256SUMS") if n.endswith(".parquet"))):
        whole = (made / changed).read_bytes()
        (made / changed).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert other.command(*source, "--key-file", str(key))[0] == 4, changed
        (made / changed).write_bytes(whole)
    assert not other.place.exists()

    # The original is away while the restored one is read and has its next night.
    code, said = other.command(*source, "--key-file", str(key), "--tombstones", str(list_of), "--json")
    assert code == 0 and json.loads(said)["tombstones"] == 1
    assert shown(other) == before and files(other, "raw", "outbox", "staged") == raw
    assert {at: rows.to_pylist() for at, rows in lake(other).items()} == {
        at: rows.to_pylist() for at, rows in tables.items()
    }
    old, named = str(home.place).encode(), files(other, "curated", "work")
    assert [n for n, content in named.items() if n.endswith(".json") and old in content] == []
    sent = (table(ticket(3, 3), ticket(4, 4, **{"罚款金额（元）": "90"}), ticket(6, 6)), {"period": "2026-11-26"})
    other.night(4, c=sent)
    away.rename(home.place)
    home.night(4, c=sent)
    mine, theirs = (every_row(h.url, CELLS, "1") for h in (home, other))
    drawn = [rows.pop("ledger.data_file_segment") for rows in (mine, theirs)]  # data files are named by chance
    assert theirs == mine and len(drawn[0]) == len(drawn[1]) > 0
    assert files(other, "outbox") == files(home, "outbox")
    for space in SPACES:
        found, same = (h.rows(f"FROM {space}.{ITEM} ORDER BY ALL") for h in (other, home))
        assert found == same and found and no(3) not in str(found), "what was deleted since the backup is deleted again"
    # A home whose restoring was broken off is none.
    (other.place / "restoring").touch()
    assert other.command("status")[0] == 4


def test_sums_of_odd_names_are_read_as_they_were_written(tmp_path: Path) -> None:
    sums = {"a b": "0" * 64, "一": "1" * 64, "line\nbreak\\n": "2" * 64, "\r\\": "3" * 64, "\udcff": "4" * 64}
    write_sums(tmp_path / "sums", sums)
    assert read_sums(tmp_path / "sums") == sums
