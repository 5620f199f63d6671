"""Files that are no good each get a defined state, a message in two languages and a receipt; nobody else waits.

A place that cannot be written or a database that is down is exit 4 with a cure; nothing is lost, a rerun finishes.
"""

import io
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from pipelines import sampling
from pipelines.model import ACCOUNT
from pipelines.stores.ledger import Ledger
from tests.conftest import ROOT
from tests.mortal_night import Mortals
from tests.test_privacy import HONOUR, honour

DAY = "2026-11-22"
HEADER = "姓名,证件号码,荣誉名称\n"
PLACE = ("civilization_office", "honour")
NOWHERE = "postgresql+psycopg://nobody:x@127.0.0.1:1/none"


def text(*numbers: int) -> bytes:
    return (HONOUR + "\n" + "".join(honour(n, "") for n in numbers)).encode()


def workbook(*numbers: int) -> bytes:
    book = openpyxl.Workbook()
    for line in text(*numbers).decode().splitlines():
        book.active.append([cell.strip('"') for cell in line.split(",")])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def one_line(*rows: str) -> bytes:
    """The same as an array that a program wrote without a line break."""
    head = HONOUR.split(",")
    cells = (row.strip().strip('"').split('","') for row in rows)
    return json.dumps([dict(zip(head, c, strict=True)) for c in cells], ensure_ascii=False).encode()


# file -> content, state, code, what the manifest says beside period and sequence
BAD: dict[str, tuple[bytes, str, str, dict[str, Any]]] = {
    "empty.csv": (b"", "returned", "F002", {}),
    "blank.csv": (b"\xef\xbb\xbf \r\n\r\n", "returned", "F002", {}),
    "picture.csv": (b"%PDF-1.7 nothing", "returned", "F010", {}),
    "half.xlsx": (b"PK\x03\x04 half", "returned", "F014", {}),
    "cut.xlsx": (workbook(1, 2)[:-700], "returned", "F014", {}),
    "half.csv": (text(3)[:-20], "returned", "F014", {"sha256": "0" * 64}),
    "layout.csv": ("甲列,乙列\n1,2\n".encode(), "returned", "F004", {}),
    "broken.json": (b'[{"a": 1}, {', "returned", "F013", {}),
    "broken.xml": ("<rows><row><姓名>甲</row></rows>".encode(), "returned", "F013", {}),
    "unreadable.csv": (HEADER.encode() + b"\xc3\x28\xff\xff\xff,1,2\n" * 3, "returned", "F001", {}),
    "locked.xlsx": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1016) + "EncryptedPackage".encode("utf-16-le") + bytes(992),
        "returned", "F009", {},
    ),
    "header.csv": (HEADER.encode(), "released", "", {}),
    "all_bad.csv": ((HONOUR + "\n" + honour(3, "", sent="460106186003070038") * 3).encode(), "held", "G002", {}),
    "columns.csv": (HEADER.encode() + "甲,460106186003070037,x\n".encode() * 3, "returned", "F012", {}),
    "nil.csv": (b"", "released", "", {"nil": True}),
    "not_nil.csv": (text(8), "held", "F011", {"nil": True}),
    "extra.csv": (
        (HONOUR + ",内部编号,血 型,表彰的日期\n" + honour(9, "").strip() + ",7,B,1\n").encode(), "released", "", {}),
    "one_line.json": (
        one_line(honour(10, ""), honour(11, "", sent="460106186003070038"), honour(12, "")), "released", "", {},
    ),
    "told.csv": (HEADER.encode(), "held", "F011", {"rows": 7}),
    "really_text.xlsx": (text(4, 5), "released", "", {}),
    "really_a_workbook.csv": (workbook(6, 7), "released", "", {}),
}  # fmt: skip


def put(home: Path, file: str, content: bytes, manifest: dict[str, Any] | None = None) -> Path:
    inbox = home.joinpath("inbox", *PLACE)
    inbox.mkdir(parents=True, exist_ok=True)
    (home / "sample.json").write_text("{}")
    (inbox / file).write_bytes(content)
    if manifest is not None:
        (inbox / f"{file}.manifest.json").write_text(json.dumps(manifest))
    return inbox / file


def deliveries(url: str) -> dict[str, dict[str, Any]]:
    with Ledger(url) as ledger:
        return {r["file"]: r for r in ledger.deliveries()}


def said(home: Path) -> str:
    return (home.parent / f"{home.name}.said").read_text()


def answer(home: Path, row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((home / "outbox" / PLACE[0] / f"{row['delivery_id']}.receipt.json").read_text()))


@pytest.fixture(scope="module")
def answered(
    tmp_path_factory: pytest.TempPathFactory, applied: Callable[[], str], mortals: Mortals
) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A home after a night with every bad file and a good delivery of somebody else; and its ledger by file."""
    home, url = tmp_path_factory.mktemp("bad") / "home", applied()
    sampling.generate(home, rows=200, seed=2, as_of=date.fromisoformat(DAY), items=("traffic_penalty",))
    for n, (name, (content, _, _, told)) in enumerate(BAD.items(), start=1):
        put(home, name, content, {"period": DAY, "sequence": n, **told})
    assert mortals.night(home, url, DAY) == 3, said(home)
    return home, deliveries(url)


@pytest.mark.parametrize("file", BAD)
def test_a_bad_file_is_answered_in_two_languages(file: str, answered: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    home, rows = answered
    content, state, code, _ = BAD[file]
    row = rows[file]
    assert (row["state"], row["message_code"]) == (state, code)
    assert bool(row["message_zh"]) == bool(row["message_en"]) == bool(code)
    receipt = answer(home, row)
    assert (receipt["state"], receipt["stage"]) == (state, "final")
    book = openpyxl.load_workbook(home / "outbox" / PLACE[0] / f"{row['delivery_id']}.findings.xlsx")
    assert len(book.sheetnames) >= 2
    assert (home / "raw" / row["sha256"][:2] / row["sha256"]).read_bytes() == content


def test_nobody_else_is_held_up_and_every_account_balances(answered: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    _, rows = answered
    assert [r["state"] for r in rows.values() if r["item"] == "traffic_penalty"] == ["released"]
    assert all(r["read"] == sum(r[k] for k in ACCOUNT) for r in rows.values())
    assert {rows[f]["new"] for f in ("really_text.xlsx", "really_a_workbook.csv")} == {2}


def test_a_header_alone_is_said_to_be_one(answered: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    home, rows = answered
    assert "F003" in json.dumps(answer(home, rows["header.csv"]))


def test_an_unknown_column_is_told_and_stays_in_raw(answered: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    home, rows = answered
    findings = pq.read_table(home / "findings" / f"{rows['extra.csv']['delivery_id']}.parquet").to_pylist()
    told = [(f["code"], f["line"], f["severity"], f["value"]) for f in findings if f["line"] is None]
    assert sorted(told) == [
        ("F005", None, "warning", "内部编号"),
        ("F005", None, "warning", "表彰的日期 ≈ 表彰日期"),
        ("L003", None, "warning", "血 型"),
    ]
    staged = pq.read_schema(home / "staged" / f"{rows['extra.csv']['delivery_id']}.parquet").names
    assert not {"内部编号", "血 型", "表彰的日期"} & set(staged)


def test_records_on_one_line_are_kept_apart(answered: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    home, rows = answered
    row = rows["one_line.json"]
    assert (row["read"], row["new"], row["rejected"]) == (3, 2, 1)
    findings = pq.read_table(home / "findings" / f"{row['delivery_id']}.parquet").to_pylist()
    assert [(f["line"], f["sheet"], f["code"]) for f in findings if f["severity"] == "error"] == [(1, "#2", "I003")]


def test_a_file_still_being_written_waits_and_is_taken_when_it_is_whole(
    tmp_path: Path, applied: Callable[[], str], mortals: Mortals
) -> None:
    home, url = tmp_path / "home", applied()
    path, stop = put(home, "growing.csv", text(1)), threading.Event()
    put(home, "whole.csv", text(2))

    def grow() -> None:
        while not stop.wait(0.01):
            with path.open("a") as f:
                f.write("\n")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert mortals.night(home, url, DAY) == 0, said(home)
    finally:
        stop.set()
        writer.join()
    assert list(deliveries(url)) == ["whole.csv"]
    (waiting,) = json.loads(said(home).splitlines()[-1])["waiting"]
    assert waiting.endswith("growing.csv") and path.exists()
    assert mortals.night(home, url, DAY) == 0, said(home)
    assert {r["state"] for r in deliveries(url).values()} == {"released"} and not path.exists()


def test_a_half_uploaded_part_shows_as_waiting(tmp_path: Path, applied: Callable[[], str], mortals: Mortals) -> None:
    home, url = tmp_path / "home", applied()
    part = put(home, "upload.csv.part", text(1)[:-30])
    assert mortals.night(home, url, DAY) == 0, said(home)
    assert part.exists() and deliveries(url) == {}
    (waiting,) = json.loads(said(home).splitlines()[-1])["waiting"]
    assert waiting.endswith("upload.csv.part")


@dataclass(frozen=True)
class Stopped:
    """A night that met a fault: exit code, what it said, what its file became; and the ledger after a second night."""

    code: int
    said: str
    file_kept: bool
    after: list[dict[str, Any]]
    stage: str


PLACES = ("raw", "staged", "accepted", "rejected", "findings", "curated", "outbox", "work")


@pytest.fixture(scope="module", params=["database down", "full disk", *(f"{p} in the way" for p in PLACES)])
def stopped(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    applied: Callable[[], str],
    mortals: Mortals,
) -> Stopped:
    """A plain file lies where a folder should be: no user, not even root, can write below it. On the full disk no file
    grows beyond 4 kB. The database that is down is an address where nobody listens."""
    home, url = tmp_path_factory.mktemp("stopped") / "home", applied()
    fault = str(request.param)
    path = put(home, "a.csv", text(1, 2) + b"\n" * 8192, {})
    if fault == "full disk":
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "nightly", "--date", DAY, "--home", str(home)],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "QIONGXIN_DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        )  # fmt: skip
        code, told = done.returncode, done.stdout + done.stderr
    else:
        place = home / fault.removesuffix(" in the way")
        if fault != "database down":
            place.write_text("in the way")
        code = mortals.night(home, NOWHERE if fault == "database down" else url, DAY)
        told = said(home)
        place.unlink(missing_ok=True)
    kept = path.exists() or any(p.is_file() for p in (home / "raw").rglob("*"))
    assert mortals.night(home, url, DAY) == 0, said(home)[-2000:]
    rows = list(deliveries(url).values())
    return Stopped(code, told, kept, rows, answer(home, rows[0])["stage"])


def test_a_fault_of_disk_or_database_loses_nothing_and_a_rerun_finishes(stopped: Stopped) -> None:
    assert stopped.file_kept
    assert [(r["state"], r["read"], r["new"]) for r in stopped.after] == [("released", 2, 2)]
    assert stopped.stage == "final"


def test_a_fault_of_disk_or_database_is_exit_4_with_a_cure(stopped: Stopped) -> None:
    assert stopped.code == 4, stopped.said[-2000:]
    assert "Traceback" not in stopped.said, stopped.said[-2000:]
    assert "run" in stopped.said.lower(), stopped.said


def test_a_file_where_the_home_should_be_is_a_wrong_argument(
    tmp_path: Path, applied: Callable[[], str], mortals: Mortals
) -> None:
    (tmp_path / "home").write_text("in the way")
    assert mortals.start(tmp_path / "home", applied(), "nightly", "--date", DAY).wait() == 2
    assert "Traceback" not in said(tmp_path / "home")
