"""What the README says is all it takes: its diffs, applied to a catalogue, and deliveries that only then are taken."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import schemas.load
from pipelines import run
from pipelines.query import query
from pipelines.stores.ledger import Ledger
from schemas.load import CATALOG
from tests.conftest import ROOT
from tests.test_editions import NEW, written
from tests.test_privacy import HONOUR, honour, name, number

DAY = date(2026, 11, 22)
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
BRAVERY = "姓名,证件类型,证件号码,行为日期,认定文号,认定日期,更新时间\n"


def placed(n: int, place: str) -> str:
    return f"{honour(n, '').rstrip()},{place}\n"


SENT = {  # department, item, content
    "department": ("archives", "honour", HONOUR + "\n" + honour(1, "")),
    "item": (
        "public_security", "bravery",
        BRAVERY + f"{name(2)},身份证,{number(2)},2026-01-02,琼公认〔2026〕1号,2026-02-02,2026-02-03 08:00:00\n"),
    "field": ("civilization_office", "honour", HONOUR + ",颁奖地点\n" + placed(3, "海南省三亚市") + placed(4, "别处")),
    "code": (
        "publicity_department", "honour",
        HONOUR + "\n" + honour(5, "").replace('"2","2025"', '"开发区级","2025"')),
    "county": ("sanya", "administrative_penalty", written(NEW | {"备注": ""})),
    "another county": ("haikou", "administrative_penalty", written(NEW | {"备注": ""})),
}  # fmt: skip


def night(root: Path, url: str, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Deliveries by what they prove, after a night under `catalog`; a stranger has none."""
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    monkeypatch.setattr(schemas.load, "CATALOG", catalog)
    for what, (department, item, content) in SENT.items():
        inbox = root / "inbox" / department / item
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / f"{what}.csv").write_text(content, encoding="utf-8")
        (inbox / f"{what}.csv.manifest.json").write_text("{}")
    (root / "sample.json").write_text("{}")
    run.nightly(root, DAY)
    with Ledger(url) as ledger:
        return {r["file"].removesuffix(".csv"): r for r in ledger.deliveries()}


def test_the_diffs_touch_no_python() -> None:
    touched = re.findall(r"^\+\+\+ b/(.+)$", "".join(DIFFS), re.MULTILINE)
    assert len(DIFFS) == 5 and all(t.startswith("catalog/") and t.endswith((".toml", ".csv")) for t in touched)


def test_what_the_readme_adds_is_taken_from_then_on(
    tmp_path: Path, database: Callable[..., str], applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = night(tmp_path / "before", applied(), CATALOG, monkeypatch)
    assert "department" not in before and "item" not in before, "nobody knows them yet"
    assert (before["field"]["new"], before["code"]["rejected"]) == (2, 1)
    assert before["county"]["rejected"] == before["another county"]["rejected"] == 0

    shutil.copytree(CATALOG, tmp_path / "catalog")
    for text in DIFFS:
        subprocess.run(["git", "apply", "-"], input=text.encode(), cwd=tmp_path, check=True)
    after = night(tmp_path / "after", database(), tmp_path / "catalog", monkeypatch)
    assert {w: after[w]["new"] for w in ("department", "item", "code")} == {"department": 1, "item": 1, "code": 1}
    assert (after["field"]["new"], after["field"]["rejected"]) == (1, 1), "the new field has a rule"
    assert (after["county"]["rejected"], after["another county"]["new"]) == (1, 1)
    place = "SELECT award_place FROM records.honour WHERE award_place IS NOT NULL"
    assert query(tmp_path / "after", place, None)[1] == [("海南省三亚市",)]
    level = "SELECT honour_level FROM records.honour WHERE department = 'publicity_department'"
    assert query(tmp_path / "after", level, None)[1] == [("7",)]
