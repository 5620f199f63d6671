"""Data files of which the key texts need not be brought into their form: what is found, and what is made of it."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.model import Home
from pipelines.stages import canonical, dedupe
from pipelines.stores.files import Files
from schemas.load import load

ITEM = load().items["traffic_penalty"]


class Uniform:
    """A lake whose data files all have the columns of today."""

    def is_uniform(self, *_: object) -> bool:
        return True


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def stored(path: Path, *numbers: str | None) -> str:
    pq.write_table(pa.table({"decision_no": pa.array(numbers, pa.string())}), path)
    return str(path)


def test_each_data_file_is_looked_at_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        stored(home.root / "digits.parquet", "460000", None, "粤公交决〔2026〕1号"),
        stored(home.root / "lower.parquet", "460000", "a1"),
        stored(home.root / "brackets.parquet", "粤公交决(2026)1号"),
        stored(home.root / "ordinal.parquet", "粤公交决〔2026〕第1号"),
        stored(home.root / "blank.parquet", "460000　"),
    ]
    files, engine = Files(tuple(names), ("strikes",)), duckdb.connect()
    with monkeypatch.context() as patch:
        patch.setattr(canonical, "MUCH", 10_000_000)
        found = canonical.split(engine, home, Uniform(), ITEM, files)
    assert found == (Files(), files), "of little it is not worth it"
    ours, others = canonical.split(engine, home, Uniform(), ITEM, files)
    assert (ours.data, others.data) == ((names[0],), tuple(names[1:]))
    assert ours.strikes == others.strikes == files.strikes
    (note,) = home.root.rglob("*.json")
    Path(names[0]).write_bytes(b"nobody reads it again")
    assert canonical.split(engine, home, Uniform(), ITEM, files) == (ours, others)
    with pytest.raises(duckdb.Error):
        note.write_text(json.dumps(json.loads(note.read_text()) | {"rule": "another"}))
        canonical.split(engine, home, Uniform(), ITEM, files)
    assert canonical.split(engine, home, Uniform(), load().items["volunteer_service"], files) == (Files(), files)


@pytest.mark.parametrize("number", ["460000", "粤公交决〔2026〕1号", "a b(7)", None])
def test_a_text_in_its_form_is_looked_up_as_any_other(number: str | None) -> None:
    """Both ways give the same keys, of what is in its form already and of what was brought into it."""
    engine = duckdb.connect()
    row = "CAST(? AS VARCHAR) AS decision_no, 'new' AS action, NULL::BLOB AS subject_id, NULL::BLOB AS replaces"

    def key(text: str | None, is_canonical: bool) -> str | None:
        sql = f"SELECT decision_key FROM (SELECT *{dedupe.lookups(ITEM, is_canonical)} FROM (SELECT {row}))"
        ((found,),) = engine.execute(sql, [text]).fetchall()
        return found

    assert key(key(number, False), True) == key(number, False)
