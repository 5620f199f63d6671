"""Everything that is known of a person hangs on the pseudonym key: no night, no question goes on under another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import StoreError
from pipelines.night import open_night
from tests.dirty_files import honour, table
from tests.nights import DAY, begin


def execute(url: str, sql: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(sql.encode())


def test_a_night_stops_where_the_key_is_gone_or_another_one(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch)
    home.night(0, first=table(honour(1), honour(2)))
    key, subjects = home.place / "pseudonym.key", home.rows("SELECT subject_id FROM records.honour ORDER BY 1")
    right = key.read_bytes()
    home.send(second=table(honour(1, 荣誉名称="更正")))
    for wrong in (bytes(64), None):
        key.unlink()
        if wrong is not None:
            key.write_bytes(wrong)
        for command in (("nightly", "--date", DAY.isoformat()), ("subjects", "conflicts"),
                        ("backup", "--to", str(tmp_path / "kept"))):  # fmt: skip
            assert home.command(*command)[0] == 4, command
            said = capsys.readouterr().err
            assert str(key) in said and "back" in said, said
        assert key.exists() is (wrong is not None), "no key is made where one is missing"
        with home.told(), pytest.raises(StoreError), open_night(home.place, DAY, is_preview=True):
            pass
    assert len(home.deliveries()) == 1
    # Nor where the records are older than the ledger's knowledge of the key.
    execute(home.url, "DELETE FROM ledger.pseudonym_key")
    assert home.command("backup", "--to", str(tmp_path / "kept"))[0] == 4 and not key.exists()
    key.write_bytes(right)
    assert home.night(1)["second"]["changed"] == 1
    assert home.rows("SELECT subject_id FROM records.honour ORDER BY 1") == subjects
