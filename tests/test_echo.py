"""Echo columns come back beside the findings as they were sent, and lie nowhere but in the restricted places before."""

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from pipelines.judge import Asked, Desk, echoes, judge
from pipelines.model import Home
from pipelines.readers import Headers
from pipelines.readers.headers import match
from pipelines.stages.manifest import Manifest, described
from pipelines.stores.keys import Keys
from schemas.load import load
from tests.dirty_files import HEADER, honour
from tests.test_bad_input import workbook as as_workbook

CATALOG = load()
AS_OF = date(2026, 11, 22)
MORE = {"回传_序号": "00017", "echo_ID": "=1+1", "回传_ 备 注": " a “b” ", "内部编号": "x", "回传_血型": "A"}
ROWS = [honour(1), honour(2, 认定日期="2025-13-05"), honour(3, 备注="联系 13000000001")]


def judged(tmp_path: Path, name: str, content: bytes) -> tuple[Home, str]:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    (home.root / "sample.json").write_text("{}")
    home.make_restricted()
    file = tmp_path / name
    file.write_bytes(content)
    delivery = described("civilization_office", "honour", name, len(content), "0" * 64, Manifest(), AS_OF)
    judge(Desk(home, CATALOG, Keys(bytes(32)), AS_OF), Asked(delivery, file))
    return home, delivery.delivery_id


def table() -> list[list[str]]:
    return [[*HEADER, *MORE], *([*cells.values(), *MORE.values()] for cells in ROWS)]


def as_csv() -> bytes:
    return "".join(",".join(f'"{c}"' for c in cells) + "\n" for cells in table()).encode()


def as_json() -> bytes:
    head, *rows = table()
    return json.dumps([dict(zip(head, cells, strict=True)) for cells in rows], ensure_ascii=False, indent=0).encode()


def as_xlsx() -> bytes:
    book, target = openpyxl.Workbook(), io.BytesIO()
    for cells in table():
        book.active.append(cells)
        for cell in book.active[book.active.max_row]:
            cell.data_type = "s"
    book.save(target)
    return target.getvalue()


@pytest.mark.parametrize(("name", "content"), [("a.csv", as_csv()), ("a.json", as_json()), ("a.xlsx", as_xlsx())])
def test_they_come_back_with_every_finding_of_a_row_and_go_no_further(
    tmp_path: Path, name: str, content: bytes
) -> None:
    home, delivery = judged(tmp_path, name, content)
    sent = {"回传_序号": "00017", "echo_ID": "=1+1", "回传_ 备 注": " a “b” "}
    found = pq.read_table(home.findings(delivery)).to_pylist()
    assert [(f["code"], f["value"]) for f in found if f["line"] is None] == [
        ("F005", "内部编号"), ("L003", "回传_血型")
    ]  # fmt: skip
    beside = [(f["code"], json.loads(f["echo"])) for f in found if f["line"] is not None]
    assert beside == [("V002", sent), ("L002", sent)]
    assert [json.loads(r["echo"]) for r in pq.read_table(home.rejected(delivery)).to_pylist()] == [sent]
    staged = pq.read_schema(home.staged(delivery)).names
    assert [c for c in staged if "血型" in c or "内部编号" in c] == []
    accepted = pq.read_table(home.accepted(delivery))
    assert not any("echo" in c or "回传" in c for c in accepted.column_names)
    assert not any("00017" in str(v) for r in accepted.to_pylist() for v in r.values())


def headers(cells: list[str], fields: dict[str, str] | None = None) -> list[str | None]:
    return match(cells, Headers(fields or {}, lambda header: header.startswith("回传_")))


def test_a_field_is_a_field_whatever_its_header_begins_with() -> None:
    assert headers(["回传_金额"], {"回传_金额": "amount"}) == ["amount"]


def test_two_that_an_engine_cannot_tell_apart_get_numbers() -> None:
    assert headers(["回传_a", "b", "回传_A", "回传_a"]) == ["echo 回传_a", None, "echo 回传_A 2", "echo 回传_a 3"]


def test_a_header_that_no_column_can_be_called_is_cleaned() -> None:
    assert headers(['回传_"x"\n(y)']) == ["echo 回传_ x (y)"]


@pytest.mark.parametrize("cells", [["回传_a", "回传_b"], ["x", "回传_b"]])
def test_readers_that_are_told_of_none_know_none(cells: list[str]) -> None:
    assert match(cells, {}) == [None, None]


def test_a_row_of_the_policy_in_force_decides(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"value": ["自用"], "valid_from": date(2026, 1, 1), "source": "test"}
    policy = {**CATALOG.policy, "national": {**CATALOG.policy["national"], "echo_prefixes": [entry]}}
    is_echo = echoes(CATALOG.model_copy(update={"policy": policy}), AS_OF)
    assert [is_echo(h) for h in ("自用编号", "回传_编号", "自用病史")] == [True, False, False]


def test_workbooks_of_rows_without_them_are_read_as_before(tmp_path: Path) -> None:
    home, delivery = judged(tmp_path, "a.xlsx", as_workbook(1, 2))
    assert pq.read_table(home.accepted(delivery)).num_rows == 2
