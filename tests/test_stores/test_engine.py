"""Engines of one machine: how much memory they take."""

from pathlib import Path

import pytest

from pipelines import model
from pipelines.errors import UsageFault
from pipelines.night import open_night
from pipelines.stores.engine import connect


@pytest.mark.parametrize(("said", "is_told"), [("64MB", "61.0 MiB"), ("0.5 gib", "512.0 MiB"), ("", "1.3 GiB")])
def test_an_engine_takes_what_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_told: str) -> None:
    monkeypatch.setenv("QIONGXIN_MEMORY_LIMIT", said)
    with connect(tmp_path) as engine:
        assert engine.execute("SELECT current_setting('memory_limit')").fetchall() == [(is_told,)]


@pytest.mark.parametrize("said", ["much", "2", "-1GB", "2GB; SET threads = 1", "80%"])
def test_what_is_no_amount_of_memory_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("QIONGXIN_MEMORY_LIMIT", said)
    with pytest.raises(UsageFault, match="is no amount of memory. Write it like 1500MB or 16GB."):
        model.memory_limit()
    with pytest.raises(UsageFault), open_night(tmp_path / "home", "2026-11-22"):
        pass
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("said", "told"), [("", 5.0), ("0.1", 0.1), ("0", 0.0)])
def test_a_number_may_be_set(monkeypatch: pytest.MonkeyPatch, said: str, told: float) -> None:
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", said)
    assert model.setting("QIONGXIN_LOOK_SECONDS", 5) == told


@pytest.mark.parametrize("said", ["soon", "-1", "nan", "inf"])
def test_what_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", said)
    told = f"QIONGXIN_LOOK_SECONDS: '{said}' is no number that it can be. Write it like 5."
    with pytest.raises(UsageFault, match=told):
        model.setting("QIONGXIN_LOOK_SECONDS", 5)
