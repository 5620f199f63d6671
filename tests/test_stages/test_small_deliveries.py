"""A small delivery is judged in fewer steps than a large one, and its rows hear the same."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import sampling
from pipelines.judge import Asked, Desk, Judged, judge
from pipelines.model import Delivery, Home, delivery_id
from pipelines.stages import validate
from pipelines.stores.keys import Keys
from schemas.load import load

DAY = date(2026, 11, 22)
ITEM = "administrative_penalty"


def judged(desk: Desk, source: Path) -> tuple[Judged, list[Any]]:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    department = source.parts[-3]
    name = delivery_id(department, ITEM, DAY, 1, "incremental", digest)
    size = source.stat().st_size
    delivery = Delivery(name, department, ITEM, source.name, DAY, 1, "incremental", digest, size, None)
    told = judge(desk, Asked(delivery, source))
    written = []
    for path in (desk.home.accepted(name), desk.home.rejected(name), desk.home.findings(name)):
        table = pq.read_table(path)
        table = table.sort_by([(c, "ascending") for c in table.column_names])
        written.append((table.schema.types, table.to_pydict()))
    return told, written


@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_small_delivery_says_what_a_large_one_would(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling.generate(tmp_path, rows=600, seed=3, dirty=0.2, items=(ITEM,), as_of=DAY)
    (source,) = tmp_path.glob(f"inbox/*/*/*.{form}")
    desk = Desk(Home(tmp_path), load(), Keys(bytes(32)), DAY)
    small, rows = judged(desk, source)
    monkeypatch.setattr(validate, "SMALL", 0)
    large, expected = judged(desk, source)
    assert small == large
    assert small.account["rejected"] > 10
    assert rows == expected
