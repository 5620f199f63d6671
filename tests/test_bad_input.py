"""Files that are no good each get a defined state, a message in two languages and a receipt; nobody else waits."""

import json
import os
from datetime import date
from pathlib import Path

import pytest

from pipelines import run, sampling
from pipelines.model import ACCOUNT
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger

DAY = "2026-11-22"
HEADER = "姓名,证件号码,荣誉名称\n"
BAD: dict[str, tuple[bytes, str, str]] = {
    "empty.csv": (b"", "returned", "F002"),
    "picture.csv": (b"%PDF-1.7 nothing", "returned", "F010"),
    "half.xlsx": (b"PK\x03\x04 half", "returned", "F014"),
    "layout.csv": ("甲列,乙列\n1,2\n".encode(), "returned", "F004"),
    "broken.json": (b'[{"a": 1}, {', "returned", "F013"),
    "header.csv": (HEADER.encode(), "released", ""),
    "all_bad.csv": (HEADER.encode() + "甲,460106186003070038,x\n".encode() * 3, "held", "G002"),
}


def test_bad_files_are_answered_and_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0.1")
    home = tmp_path / "home"
    sampling.generate(home, rows=200, seed=2, as_of=date.fromisoformat(DAY), items=("traffic_penalty",))
    inbox = home / "inbox" / "civilization_office" / "honour"
    inbox.mkdir(parents=True)
    for n, (name, (content, _, _)) in enumerate(BAD.items(), start=1):
        (inbox / name).write_bytes(content)
        (inbox / f"{name}.manifest.json").write_text(json.dumps({"period": DAY, "sequence": n}))
    (inbox / "told.csv").write_text(HEADER, encoding="utf-8")
    (inbox / "told.csv.manifest.json").write_text(json.dumps({"rows": 7, "sequence": 99}))
    try:
        result = run.nightly(home, DAY)
        with Ledger(postgres.up(home)) as ledger:
            rows = {r["file"]: r for r in ledger.deliveries()}
    finally:
        postgres.down(home)
    for name, (_, state, code) in BAD.items():
        assert (rows[name]["state"], rows[name]["message_code"]) == (state, code), name
        receipt = home / "outbox" / "civilization_office" / f"{rows[name]['delivery_id']}.receipt.json"
        assert json.loads(receipt.read_text())["state"] == state
        assert bool(rows[name]["message_zh"]) == bool(rows[name]["message_en"]) == bool(code)
    assert (rows["told.csv"]["state"], rows["told.csv"]["message_code"]) == ("held", "F011")
    assert all(r["read"] == sum(r[k] for k in ACCOUNT) for r in rows.values())
    assert [r["state"] for r in rows.values() if r["item"] == "traffic_penalty"] == ["released"]
    assert result["exit_code"] == 3


@pytest.mark.skipif(os.environ.get("QIONGXIN_DATABASE_URL") is not None, reason="needs its own server")
def test_database_down_is_exit_4_and_a_rerun_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.errors import StoreError

    home = tmp_path / "home"
    sampling.generate(home, rows=100, seed=2, as_of=date.fromisoformat(DAY), items=("honour",))
    with monkeypatch.context() as broken:
        broken.setenv("QIONGXIN_DATABASE_URL", "postgresql+psycopg://nobody:x@127.0.0.1:1/none")
        with pytest.raises(StoreError) as caught:
            run.nightly(home, DAY)
        assert caught.value.exit_code == 4
    try:
        assert run.nightly(home, DAY)["exit_code"] == 0
    finally:
        postgres.down(home)
