"""A small delivery is judged in fewer steps than a large one, and its rows hear the same."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import sampling
from pipelines.errors import DeliveryError
from pipelines.judge import Asked, Desk, Judged, judge, judge_several
from pipelines.model import Delivery, Home, delivery_id
from pipelines.stages import validate
from pipelines.stores.keys import Keys
from schemas.load import load
from tests.conftest import SOAK
from tests.dirty_files import csv, honour, number

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
    for few in (validate.FEW, 0):  # and one of which few rows are stopped what one of which many are
        monkeypatch.setattr(validate, "FEW", few)
        large, expected = judged(desk, source)
        assert small == large
        assert rows == expected
    assert small.account["rejected"] > 10


@pytest.mark.parametrize("small", [validate.SMALL, 120] if SOAK else [120])
def test_deliveries_that_are_judged_together_hear_what_each_hears_alone(
    small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of two items and of every way to read: rows at the same lines, one number under two names in two files and
    in one, repaired and unread rows, echoes, full deliveries, periods that know other codes, one that goes back."""
    long_name, echoing = "冼文山", csv(honour(10), honour(11, 认定日期="")).splitlines()
    files = {
        "clean.csv": csv(*(honour(n) for n in range(1, 30))),
        "odd.csv": csv(honour(1, 姓名=long_name), honour(2, 认定日期="2025-13-05"), honour(3, 荣誉级别="未知7")),
        "two_names.csv": csv(honour(4), honour(4, 姓名=long_name, 认定文号="琼验字〔2025〕00000901号"), honour(5)),
        "short_row.csv": csv(honour(6), honour(7)) + "a row cut short\n",
        "mended.csv": csv(honour(8, 备注="示\x0b例"), honour(9, 姓名="符\ue863之"), honour(2)),
        "echoes.csv": "".join(f"{a},{b}\n" for a, b in zip(echoing, ("回传_号", "7", "8"), strict=True)),
        "符喆之.csv": csv(honour(12, 姓名="符喆之")),
        "old.csv": csv(honour(13, 认定日期="2019-06-01")),
        "nothing.csv": "no header\n",
        "numbers.csv": csv(*(honour(n, 证件号码=number(n)[:15] + "000") for n in range(14, 20))),
    }
    asked = []
    for n, (name, content) in enumerate(files.items()):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        period = date(2019, 12, 31) if name == "old.csv" else DAY
        asked.append(put(path, "honour", "civilization_office", "full" if n % 2 else "incremental", period))
    sampling.generate(tmp_path / "home", rows=300, seed=5, dirty=0.2, items=(ITEM,), as_of=DAY)
    for path in sorted((tmp_path / "home").glob("inbox/*/*/*")):
        if not path.name.endswith(".manifest.json"):
            asked.append(put(path, ITEM, path.parts[-3], "incremental", DAY))
    monkeypatch.setattr(validate, "SMALL", small)  # more rows than that are planned for, together too
    desks = []
    for name in ("alone", "together"):
        home = Home(tmp_path / name)
        (home.root / "work").mkdir(parents=True)
        (home.root / "sample.json").write_text("{}")
        desks.append(Desk(home, load(), Keys(bytes(32)), DAY))
    alone = {one.delivery.delivery_id: heard(desks[0], one) for one in asked}
    times: list[int] = []
    monkeypatch.setattr(validate, "validate", lambda *a, of=validate.validate: times.append(len(a[1])) or of(*a))
    together = {one.delivery.delivery_id: said(told) for one, told in judge_several(desks[1], asked)}
    assert sum(times) == sum(isinstance(told, Judged) for told in alone.values()) and max(times) > 5
    assert together == alone
    assert sum(isinstance(told, Judged) for told in alone.values()) > len(files)
    for one in asked:
        for place in ("accepted", "rejected", "findings"):
            paths = [getattr(desk.home, place)(one.delivery.delivery_id) for desk in desks]
            assert [p.exists() for p in paths] == [isinstance(alone[one.delivery.delivery_id], Judged)] * 2
            if paths[0].exists():
                expected, found = (pq.read_table(p) for p in paths)
                if place == "accepted":
                    expected, found = (t.sort_by("place") for t in (expected, found))
                assert found.schema.types == expected.schema.types
                assert found.to_pylist() == expected.to_pylist(), (one.delivery.file, place)


def put(path: Path, item: str, department: str, mode: str, period: date) -> Asked:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = delivery_id(department, item, period, 1, mode, digest)
    size = path.stat().st_size
    return Asked(Delivery(name, department, item, path.name, period, 1, mode, digest, size, None), path)


def heard(desk: Desk, one: Asked) -> Judged | str:
    try:
        return judge(desk, one)
    except DeliveryError as e:
        return said(e)


def said(told: Judged | DeliveryError) -> Judged | str:
    return told if isinstance(told, Judged) else f"{told.code} {told.message_zh}"
