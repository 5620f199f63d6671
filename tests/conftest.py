"""Fixtures shared by all rooms. Sizes are reduced unless QIONGXIN_SOAK=1."""

import os
from pathlib import Path

import pytest

SOAK = os.environ.get("QIONGXIN_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def is_soak() -> bool:
    return SOAK


@pytest.fixture(autouse=True)
def no_outer_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never writes into the database of whoever runs it."""
    for name in ("QIONGXIN_DATABASE_URL", "QIONGXIN_HOME", "QIONGXIN_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
