"""What a department gets back can be acted on: in the order of its file, complete, and to be sent back corrected."""

import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from pipelines import run
from pipelines.judge import Asked, Desk, judge
from pipelines.model import ACCOUNT, Home
from pipelines.stages.manifest import Manifest, described
from pipelines.stages.sentences import tally
from pipelines.stages.told import told
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Ledger
from schemas.load import load
from tests.dirty_files import HEADER, csv, honour, number

CATALOG = load()
AS_OF = date(2026, 11, 22)
INBOX = ("inbox", "civilization_office", "honour")
BAD_DAY = {"认定日期": "2025-13-05"}


def sample_home(root: Path) -> Home:
    home = Home(root)
    root.mkdir(exist_ok=True)
    (root / "sample.json").write_text("{}")
    home.make_restricted()
    return home


def judged(tmp_path: Path, name: str, content: bytes) -> tuple[Home, str]:
    home = sample_home(tmp_path / "home")
    (tmp_path / name).write_bytes(content)
    delivery = described("civilization_office", "honour", name, len(content), "0" * 64, Manifest(), AS_OF)
    judge(Desk(home, CATALOG, Keys(bytes(32)), AS_OF), Asked(delivery, tmp_path / name))
    return home, delivery.delivery_id


def findings(home: Home, delivery: str) -> list[tuple[Any, ...]]:
    with told(home, delivery, CATALOG.items["honour"], CATALOG.findings) as found:
        rows = [r for batch in found.findings() for r in batch.to_pylist()]
    return [(r["sheet"], r["line"], r["code"]) for r in rows]


def test_findings_stand_in_the_order_of_the_file_the_faults_of_its_records_among_them(tmp_path: Path) -> None:
    rows = [honour(n, **(BAD_DAY if n % 2 else {"荣誉级别": "九", "证件号码": "无"})) for n in range(1, 30)]
    lines = csv(*rows).splitlines(keepends=True)
    lines.insert(9, "a,b\n")
    lines.insert(20, '"a"b,c\n')
    found = findings(*judged(tmp_path, "a.csv", "".join(lines).encode()))
    assert [line for _, line, _ in found] == sorted(line for _, line, _ in found)
    assert {("F007", 10), ("F008", 21)} <= {(code, line) for _, line, code in found} and len(found) == 45


def test_sheets_stand_as_in_the_workbook_and_records_that_share_a_line_by_number(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in ("乙", "甲"):
        tab = book.create_sheet(name)
        for cells in (HEADER, *(tuple(honour(n, **BAD_DAY).values()) for n in (1, 2))):
            tab.append(cells)
    target = io.BytesIO()
    book.save(target)
    (tmp_path / "x").mkdir()
    (tmp_path / "j").mkdir()
    found = findings(*judged(tmp_path / "x", "a.xlsx", target.getvalue()))
    assert [(s, n) for s, n, _ in found] == [("乙", 2), ("乙", 3), ("甲", 2), ("甲", 3)]
    rows: list[Any] = [dict(zip(HEADER, honour(n, **BAD_DAY).values(), strict=True)) for n in range(1, 12)]
    rows[4] = 7
    found = findings(*judged(tmp_path / "j", "a.json", json.dumps(rows, ensure_ascii=False).encode()))
    assert [s for s, _, _ in found] == [f"#{n}" for n in range(1, 12)] and found[4][2] == "F013"


def test_what_stops_a_row_comes_before_what_does_not(tmp_path: Path) -> None:
    spaced = f" {number(1)[:6]} {number(1)[6:]}"
    sent = honour(1, 证件号码=spaced, 认定文号="12号", 荣誉级别="九", 认定日期="2025-13-05")
    found = findings(*judged(tmp_path, "a.csv", csv(sent).encode()))
    assert [code for _, _, code in found] == ["V004", "V002", "V012", "I009"]


def test_rows_of_an_older_layout_are_still_told(tmp_path: Path) -> None:
    home, delivery = judged(tmp_path, "a.csv", csv(honour(1), honour(2, **BAD_DAY)).encode())
    for path in (home.findings(delivery), home.rejected(delivery)):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([c for c in ("place", "wrong", "echo") if c in table.column_names]), path)
    assert findings(home, delivery) == [(None, 3, "V002")]
    with told(home, delivery, CATALOG.items["honour"], CATALOG.findings) as found:
        assert [r["subject_name"] for batch in found.rows() for r in batch.to_pylist()] == [honour(2)["姓名"]]


def answer(home: Path, row: dict[str, Any]) -> Any:
    return openpyxl.load_workbook(home / "outbox" / row["department"] / f"{row['delivery_id']}.findings.xlsx")


def rows_of(tab: Any, head: int) -> list[dict[str, Any]]:
    names = [str(c.value).partition("\n")[0] for c in tab[head]]
    return [dict(zip(names, (c.value for c in r), strict=True)) for r in tab.iter_rows(min_row=head + 1)]


def test_the_corrections_are_filled_in_dropped_back_and_taken(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first night rejects two rows, finds one twice, and holds two that contradict each other; a row of values that
    are headers is among them, so that only its marks keep the tab of findings from being read as data."""
    url = applied()
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    sample_home(tmp_path)
    inbox = tmp_path.joinpath(*INBOX)
    inbox.mkdir(parents=True)
    good = [honour(n) for n in range(20, 30)]
    headers = dict(zip(HEADER, HEADER, strict=True))
    sent = [honour(1, **BAD_DAY), honour(2), honour(2), honour(3), honour(3, 荣誉名称="另一荣誉"), headers, *good]
    (inbox / "first.csv").write_text(csv(*sent), encoding="utf-8")
    run.nightly(tmp_path, AS_OF)
    with Ledger(url) as ledger:
        (first,) = ledger.deliveries()
    assert {k: first[k] for k in ACCOUNT if first[k]} == {"new": 11, "duplicate": 1, "rejected": 2, "held": 2}
    book = answer(tmp_path, first)
    told_ = [(r["行号"], r["代码"]) for r in rows_of(book["问题 Findings"], 1)]
    assert [t for t in told_ if t[0] < 7] == [(2, "V002"), (4, "D001"), (5, "D002"), (6, "D002")]
    tab = book["改正 Corrections"]
    assert [r["回传_行号"] for r in rows_of(tab, 3)] == ["2", "5", "6", "7"]
    names = [c.value for c in tab[3]]
    tab.cell(4, names.index("认定日期") + 1).value = "2025-12-05"
    tab.cell(6, names.index("更新时间") + 1).value = "2025-08-01 08:00:00"
    tab.delete_rows(7)
    book.save(inbox / "back.xlsx")
    run.nightly(tmp_path, date(2026, 11, 23))
    with Ledger(url) as ledger:
        (second,) = [r for r in ledger.deliveries() if r["file"] == "back.xlsx"]
    assert second["state"] == "released", second["message_en"]
    assert second["read"] == 3 and second["rejected"] == second["held"] == 0
    found = rows_of(answer(tmp_path, second)["问题 Findings"], 1)
    assert [r["代码"] for r in found if str(r["代码"])[0] in "FL"] == []


def test_what_the_reader_mended_is_told_with_the_key_of_its_row_and_is_no_unread_row(tmp_path: Path) -> None:
    home, delivery = judged(tmp_path, "a.csv", csv(honour(1), honour(2, 认定部门="海口市\x0b示例局")).encode())
    (mended,) = [r for r in pq.read_table(home.findings(delivery)).to_pylist() if r["code"] == "F031"]
    assert (mended["line"], mended["own_key"]) == (3, f"{honour(2)['认定文号']} · 01 · {honour(2)['姓名']}")
    with told(home, delivery, CATALOG.items["honour"], CATALOG.findings) as found:
        assert tally(found.findings, CATALOG.findings).unread == 0
