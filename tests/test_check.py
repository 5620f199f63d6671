"""`qiongxin check`: a department's dry run says what a night would say, and leaves nothing but its two files."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from pipelines.cli import main
from pipelines.commands.vanishing import vanishing
from tests.conftest import ROOT
from tests.dirty_files import csv, honour, number

DAY = "2026-11-22"
WHO = ("--item", "honour", "--department", "civilization_office")
HEAVY = (
    "airflow", "great_expectations", "pyiceberg", "sqlalchemy", "psycopg", "openpyxl", "adbc_driver_postgresql",
    "pyarrow.dataset", "pyspark",
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of samples, so that invented persons pass, and places of its own for what is kept and what is not."""
    home = tmp_path / "home"
    for folder in (home, tmp_path / "tmp", tmp_path / "files"):
        folder.mkdir()
    (home / "sample.json").write_text("{}")
    monkeypatch.setenv("QIONGXIN_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return home


def put(tmp_path: Path, *rows: dict[str, str], name: str = "荣誉.csv") -> Path:
    path = tmp_path / "files" / name
    path.write_text(csv(*rows), encoding="utf-8")
    return path


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["check", *map(str, arguments), *(() if "--date" in arguments else ("--date", DAY))])
    seen = capsys.readouterr()
    return int(stopped.value.code or 0), seen.out, seen.err


def files(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "files").iterdir())


def test_a_faultless_file_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(capsys, put(tmp_path, honour(1), honour(2)), *WHO)
    assert code == 0 and "read 2, accepted 2, rejected 0" in out and "无需处理" in out
    assert files(tmp_path) == ["荣誉.csv", "荣誉.csv.findings.json", "荣誉.csv.findings.xlsx"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["sample.json"]


def test_the_findings_are_shown_and_written_each_with_its_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [honour(n, 荣誉级别="九") for n in range(2, 5)]
    rows = [honour(1, 认定日期="2025-13-05"), *wrong, *(honour(n) for n in range(5, 12))]
    code, out, _ = check(capsys, put(tmp_path, *rows), *WHO, "--first", 2)
    assert code == 1
    assert "line 2 determination_date V002 error: 认定日期“2025-13-05”不是有效日期。请写成" in out
    assert "line 3 honour_level V004" in out and "line 4" not in out
    assert "… and 2 more in 荣誉.csv.findings.xlsx" in out
    told = json.loads((tmp_path / "files" / "荣誉.csv.findings.json").read_text(encoding="utf-8"))
    assert told["account"] == {"read": 11, "accepted": 7, "rejected": 4, "refused": 0, "held": 0}
    found = [(f["line"], f["code"]) for f in told["all_findings"]]
    assert found == [(2, "V002"), (3, "V004"), (4, "V004"), (5, "V004")]
    assert told["all_findings"][0]["expected"] == "2098-01-05"
    book = openpyxl.load_workbook(tmp_path / "files" / "荣誉.csv.findings.xlsx")
    assert [len(list(book[n].iter_rows())) for n in ("问题 Findings", "改正 Corrections")] == [5, 7]


def test_json_is_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = check(capsys, put(tmp_path, honour(1, 荣誉级别="九"), honour(2)), *WHO, "--json")
    assert code == 1 and err == ""
    assert out == (tmp_path / "files" / "荣誉.csv.findings.json").read_text(encoding="utf-8")


def test_the_values_of_identifying_fields_stay_off_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = honour(1, 证件号码=number(1)[:17] + "*")
    _, out, err = check(capsys, put(tmp_path, sent, honour(2), honour(3)), *WHO)
    assert number(1)[:14] not in out + err and sent["姓名"] not in out + err and "I006" in out


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 1, "文件是空的"),
        (b"%PDF-1.7", 1, "不是表格"),
        ("甲列,乙列\n1,2\n".encode(), 1, "找不到本目录项的表头"),
        (csv(*(honour(n, 荣誉级别="九") for n in range(3))).encode(), 1, "整批暂缓"),
    ],
    ids=["empty", "pdf", "layout", "held"],
)
def test_what_would_go_back_or_be_held_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, code: int, said: str
) -> None:
    path = tmp_path / "files" / "a.csv"
    path.write_bytes(content)
    given, out, _ = check(capsys, path, *WHO)
    assert given == code and said in out and "这是试查" in out


def test_the_manifest_beside_the_file_counts_and_a_named_one_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, honour(1))
    path.with_name("荣誉.csv.manifest.json").write_text('{"rows": 2}')
    assert "清单写明 2 行，文件有 1 行" in check(capsys, path, *WHO)[1]
    (tmp_path / "m.json").write_text('{"rows": 1, "period": "2015-01-01"}')
    code, out, _ = check(capsys, path, *WHO, "--manifest", tmp_path / "m.json")
    assert code == 1 and "所属期 2015-01-01" in out
    assert check(capsys, path, *WHO, "--manifest", tmp_path / "m.json", "--period", DAY)[0] == 0


def test_only_a_home_of_samples_lets_invented_birth_years_pass(
    tmp_path: Path, own_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_places / "sample.json").unlink()
    code, out, _ = check(capsys, put(tmp_path, honour(1)), *WHO)
    assert code == 1 and "I011" in out
    assert list(own_places.iterdir()) == []


def test_without_a_department_the_words_of_the_catalogue_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = check(capsys, put(tmp_path, honour(1)), "--item", "honour")
    assert code == 0 and "honour comes from publicity_department, civilization_office" in err


STOPS: list[tuple[tuple[str, ...], str]] = [
    (("{files}/none.csv", *WHO), "no such file. Name the file to check."),
    (("{files}", *WHO), "a folder. Name the file to check."),
    (("{files}/荣誉.csv", "--item", "honor"), "--item honor: no such item. Did you mean 'honour'?"),
    (("{files}/荣誉.csv", "--item", "honour", "--department", "tax"), "--department tax: does not provide honour."),
    (("{files}/荣誉.csv", *WHO, "--manifest", "{files}/none"), "no such file. Name the manifest"),
    (("{files}/荣誉.csv", *WHO, "--out", "{home}/inbox/a/b"), "what lies in an inbox is delivered"),
    (("{files}/荣誉.csv", *WHO, "--date", "22.11.2026"), "is not a date"),
    (("{files}/荣誉.csv",), "Missing option '--item'"),
]


@pytest.mark.parametrize(("arguments", "said"), STOPS, ids=[said for _, said in STOPS])
def test_what_cannot_be_checked_as_written_ends_with_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    put(tmp_path, honour(1))
    places = {"files": tmp_path / "files", "home": tmp_path / "home"}
    code, out, err = check(capsys, *(a.format(**places) for a in arguments))
    assert (code, out) == (2, "") and said in err
    assert files(tmp_path) == ["荣誉.csv"] and list((tmp_path / "tmp").iterdir()) == []


def program(text: str, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_it_runs_where_nothing_of_the_platform_is_imported(tmp_path: Path) -> None:
    path = put(tmp_path, honour(1))
    asked = program(f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
from pipelines.cli import main
main(["check", {str(path)!r}, *{WHO!r}, "--date", {DAY!r}])
""", tmp_path)
    out, err = asked.communicate()
    assert asked.returncode == 0, err
    assert "accepted 1" in out


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda s: s.name)
def test_a_stop_amid_a_long_query_leaves_no_values(tmp_path: Path, told: signal.Signals) -> None:
    asked = program(f"""
from pathlib import Path
from pipelines.commands.vanishing import vanishing
with vanishing(Path({str(tmp_path / "files")!r})) as folder:
    import duckdb, os
    (folder / "staged").mkdir()
    (folder / "staged" / "rows").write_text("values")
    Path({str(tmp_path / "files")!r}, f".a.csv.findings.xlsx.{{os.getpid()}}.part").write_text("half")
    print("ready", flush=True)
    duckdb.sql("SELECT max(hash(a.range * b.range)) FROM range(10000000) a, range(10000000) b").fetchall()
""", tmp_path)
    assert asked.stdout is not None and asked.stdout.readline() == "ready\n"
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    time.sleep(0.2)
    asked.send_signal(told)
    assert asked.wait(30) == 128 + told
    assert list((tmp_path / "tmp").iterdir()) == [] and files(tmp_path) == []


def test_what_a_killed_run_left_is_swept_up_by_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "tmp" / f"qiongxin-check.abc.{gone.pid}.part"
    mine = tmp_path / "tmp" / f"qiongxin-check.def.{os.getpid()}.part"
    for folder in (left, mine):
        folder.mkdir()
    with vanishing(tmp_path) as folder:
        assert not left.exists() and mine.exists() and folder.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "tmp").iterdir()) == [mine]


def test_progress_tells_bytes_and_rows_of_a_large_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.dry_run.BLOCK", 1 << 10)
    path = put(tmp_path, *(honour(n) for n in range(1, 30)))
    _, out, _ = check(capsys, path, *WHO)
    size = path.stat().st_size
    assert f"read {size:,}/{size:,} bytes" in out and "decode: reading rows" in out


def test_the_compiled_catalogue_is_kept_and_an_old_one_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "qiongxin"
    kept.mkdir(parents=True)
    for old in ("catalogue-1-2.json", "abc.json"):
        (kept / old).write_text("{}")
    assert check(capsys, put(tmp_path, honour(1)), *WHO)[0] == 0
    found = [p.name for p in kept.iterdir()]
    assert sum(name.startswith("catalogue-") for name in found) == 1
    assert len(found) == 2 and not {"catalogue-1-2.json", "abc.json"} & set(found)


def test_a_place_where_nothing_can_be_kept_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").write_text("no folder")
    assert check(capsys, put(tmp_path, honour(1)), *WHO)[0] == 0


def test_the_as_of_date_is_today_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, honour(1))
    with pytest.raises(SystemExit):
        main(["check", str(path), *WHO])
    told: dict[str, Any] = json.loads(path.with_name("荣誉.csv.findings.json").read_text(encoding="utf-8"))
    assert told["as_of"] in (date.today().isoformat(), date.fromordinal(date.today().toordinal() - 1).isoformat())
