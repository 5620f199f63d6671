"""The command line from outside: what it prints can be used by machines, what stops it is one sentence."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy.exc import OperationalError

from pipelines import run, sampling
from pipelines.cli import answer as stopped_by
from pipelines.cli import main
from pipelines.commands import screen
from pipelines.commands.account import STATUS
from pipelines.commands.journey import FINDING
from pipelines.errors import GateHeld, StoreError
from pipelines.stores import postgres
from schemas.model import CatalogError
from tests.conftest import soak_only

DAY = "2026-11-22"
HEAVY = ("duckdb", "pandas", "numpy", "pyarrow", "great_expectations", "airflow", "pyiceberg", "sqlalchemy", "psycopg")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home after one small night, with an empty file among its deliveries."""
    place = tmp_path_factory.mktemp("commands") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QIONGXIN_LOOK_SECONDS", "0.1")
        items = ("honour", "tax_arrears")
        sampling.generate(place, rows=60, seed=3, dirty=0.3, as_of=date.fromisoformat(DAY), items=items)
        empty = place / "inbox" / "civilization_office" / "honour" / "empty.csv"
        empty.write_bytes(b"")
        empty.with_name("empty.csv.manifest.json").write_text('{"sequence": 9}')
        run.nightly(place, DAY)
    yield place
    postgres.down(place)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    seen = capsys.readouterr()
    return int(stopped.value.code or 0), seen.out, seen.err


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = call(capsys, *arguments)
    assert code == 0, err
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_json_of_the_journey_has_the_promised_names(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliveries = answer(capsys, "status", "--json", "--home", home)
    assert len(deliveries) == 4 and all(tuple(d) == STATUS for d in deliveries)
    for d in deliveries:
        assert answer(capsys, "status", "--delivery", d["delivery_id"][:12], "--json", "--home", home) == [d]
        told = answer(capsys, "findings", "--delivery", d["delivery_id"], "--json", "--home", home)
        assert all(tuple(f) == FINDING for f in told)
        if d["file"] == "empty.csv":
            assert [(f["line"], f["code"], f["severity"]) for f in told] == [(None, "F002", "error")]
        else:
            assert {f["line"] for f in told if f["severity"] == "error"} or d["rejected"] == 0
        _, text, _ = call(capsys, "findings", "--delivery", d["delivery_id"], "--csv", "--home", home)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [r["message_zh"] for r in rows] == [f["message_zh"] for f in told]
    again = answer(capsys, "nightly", "--date", DAY, "--json", "--home", home)
    assert again["exit_code"] == 0


def test_a_server_that_a_command_starts_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    postgres.down(home)
    assert "'qiongxin db down' stops it" in call(capsys, "status", "--home", home)[2]
    assert call(capsys, "status", "--home", home)[2] == ""


def test_json_of_a_query_loses_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = """SELECT count(*) n, max(award_year) n, max(subject_id) id, max(determination_date) AS day,
        CAST(0.10 AS DECIMAL(18,6)) AS fine, 'nan'::DOUBLE AS nothing, [1, NULL] AS list, NULL AS absent,
        'a' || chr(10) || 'b' AS lines FROM records.honour"""
    [row] = answer(capsys, "query", sql, "--json", "--home", home)
    assert list(row) == ["n", "n_1", "id", "day", "fine", "nothing", "list", "absent", "lines"]
    assert len(bytes.fromhex(row["id"])) == 16 and date.fromisoformat(row["day"])
    assert (row["fine"], row["nothing"], row["list"], row["absent"]) == ("0.100000", None, [1, None], None)
    assert row["lines"] == "a\nb"
    assert answer(capsys, "query", "SELECT 1 WHERE false", "--json", "--home", home) == []


def test_a_table_is_complete_and_one_line_to_a_row(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = call(capsys, "query", "SELECT i, repeat('长', 60) t FROM range(300) r(i)", "--home", home)
    assert out.count("长" * 60) == 300 and len(out.splitlines()) == 301


@pytest.mark.parametrize(
    "arguments",
    [("lint",), ("list",), ("show", "honour"), ("docs", "--to", "{tmp}"),
     pytest.param(("site", "--to", "{tmp}/site"), marks=soak_only("a whole site"))],
    ids=lambda a: a[0],
)
def test_json_of_the_catalogue_parses(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "catalog", *(a.format(tmp=tmp_path) for a in arguments), "--json")


def test_json_of_the_services_parses(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "db", "up", "--json", "--home", home) == {"database": "up"}
    assert answer(capsys, "db", "url", "--json", "--home", home)["url"].startswith("postgresql+psycopg://")
    assert answer(capsys, "db", "down", "--json", "--home", tmp_path) == {"database": "was not running"}
    assert answer(capsys, "stack", "down", "--json", "--home", tmp_path) == {"airflow": "was not running"}


def test_sample_tells_where_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "new"
    told = answer(capsys, "sample", "--rows", "20", "--items", "honour", "--date", DAY, "--json", "--home", place)
    assert told == {"inbox": f"{place}/inbox", "truth": f"{place}/truth.json", "rows": 20, "date": DAY}
    assert Path(told["truth"]).exists()


STOPS = [
    (("nightly",), 2, "qiongxin nightly: Missing option '--date'"),
    (("nightly", "--date", "2026-13-01"), 2, "'2026-13-01' is not a date. Write it like 2026-11-22."),
    (("nightly", "--date", DAY, "--home", "{tmp}/none"), 2, "no such home"),
    (("nightly", "--date", DAY, "--engine", "spark", "--home", "{tmp}"), 2, "QIONGXIN_SPARK_MASTER"),
    (("nightly", "--date", DAY, "--engine", "flink", "--home", "{tmp}"), 2, "Known: duckdb, spark"),
    (("catalog", "export", "honour", "--format", "sql", "--county", "sanya"), 2, "sql is about the table"),
    (("catalog", "show", "honour", "--county", "honk"), 2, "--county honk: no such county. Known: baisha"),
    (("catalog", "show", "honour", "--period", "2010-01-01"), 2, "not in force on 2010-01-01"),
    (("catalog", "diff", "nowhere", "--home", "{home}"), 2, "neither a folder nor a revision"),
    (("catalog", "apply", "--home", "{tmp}/none"), 2, "no such home"),
    (("sample", "--items", "honor", "--home", "{tmp}/none"), 2, "--items honor: no such item. Known: "),
    (("sample", "--home", "{tmp}/file"), 4, "{tmp}/file: File exists."),
    (("status", "--home", "{tmp}/none"), 2, "no such home"),
    (("findings", "--delivery", "../x", "--home", "{home}"), 2, "--delivery ../x: no such delivery"),
    (("findings", "--delivery", "x", "--home", "{tmp}"), 2, "no night has run here yet"),
    (("query", "SELECT 1", "--home", "{tmp}"), 2, "no night has run here yet"),
    (("query", "SELECT 1", "--as-of", "2020-01-01", "--home", "{home}"), 2, f"({DAY})"),
    (("query", "DROP TABLE records.honour", "--home", "{home}"), 2, "read-only"),
    (("query", "SELECT * FROM records.nothing", "--home", "{home}"), 2, "nothing does not exist"),
    (("catalog", "show", "honor"), 2, "honor: no such item. Did you mean 'honour'?"),
    (("db", "url", "--home", "{tmp}"), 4, "Run 'qiongxin db up'."),
    (("db", "up", "--home", "/proc/none"), 4, "/proc/none: No such file or directory."),
    (("stack", "run", "--date", DAY, "--home", "{tmp}"), 4, "Run 'qiongxin stack up' first."),
    (("alerts", "--now", "noon", "--home", "{tmp}"), 2, "'noon' is not a time. Write it like 2026-11-22T07:00."),
    (("alerts", "--send", "--home", "{tmp}"), 2, "nobody to send to. Name them by QIONGXIN_ALERT_SMTP"),
    (("alerts", "--home", "{tmp}"), 2, "no night has run here yet"),
    (("nothing",), 2, "No such command 'nothing'"),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), STOPS, ids=[" ".join(s[0]) for s in STOPS])
def test_what_stops_a_command_is_one_sentence_on_standard_error(
    arguments: tuple[str, ...], code: int, sentence: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    places = {"tmp": tmp_path, "home": home}
    given, out, err = call(capsys, *(a.format(**places) for a in arguments))
    assert given == code
    assert sentence.format(**places) in err
    assert "Traceback" not in err and out == ""
    assert not (tmp_path / "none").exists()


def test_each_kind_of_stop_has_its_exit_code() -> None:
    fault = OperationalError("INSERT …", {"name": "张三"}, Exception("connection refused"))
    assert stopped_by(CatalogError("catalog/x: wrong. Mend it.")) == (2, "catalog/x: wrong. Mend it.")
    assert stopped_by(GateHeld("held"))[0] == 3
    assert stopped_by(StoreError("raw/: full. Make room."))[0] == 4
    assert stopped_by(OSError(28, "No space left on device", "/home/raw"))[0] == 4
    assert stopped_by(fault)[0] == 4 and "张三" not in stopped_by(fault)[1]
    with pytest.raises(duckdb.IOException) as no_disk, duckdb.connect() as engine:
        engine.execute("COPY (SELECT 1) TO '/nowhere/张三.parquet' (FORMAT parquet)")
    assert stopped_by(no_disk.value)[0] == 4 and "张三" not in stopped_by(no_disk.value)[1]
    with pytest.raises(ZeroDivisionError):
        stopped_by(ZeroDivisionError())


def test_columns_stand_below_each_other_in_chinese_too(capsys: pytest.CaptureFixture[str]) -> None:
    screen.table(("名称", "n", "when"), [("海口", 5, date(2098, 1, 5)), ("a", 1234, None)], thousands=True)
    assert capsys.readouterr().out == "名称      n  when\n海口      5  2098-01-05\na     1,234\n"


def test_a_home_with_real_deliveries_takes_no_invented_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    code, _, err = call(capsys, "sample", "--home", tmp_path)
    assert code == 2 and "real deliveries" in err
    assert not (tmp_path / "sample.json").exists()


@pytest.mark.parametrize("text", ["--help", "nightly --help", "catalog list", "catalog lint", "catalog show honour"])
def test_help_and_catalogue_import_nothing_heavy(text: str) -> None:
    asked = f"""
import sys
from pipelines.cli import answer as stopped_by
from pipelines.cli import main
try:
    main({text.split()!r})
finally:
    print(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stderr.split() == [], f"imported at start: {done.stderr.strip()}. Import it inside the command."


def test_telling_alerts_imports_nothing_that_only_large_data_need() -> None:
    """A scheduler does so after every run, in a process that ends with it."""
    asked = f"import sys, pipelines.notify; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert {"pandas", "pyiceberg", "great_expectations"}.isdisjoint(done.stdout.split())


def test_progress_is_plain_lines_when_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.progress() as tell:
        tell("check 1/2: a")
    with screen.progress(quiet=True) as tell:
        tell("check 2/2: b")
    assert capsys.readouterr() == ("check 1/2: a\n", "")


def test_progress_is_a_bar_on_a_terminal() -> None:
    theirs, ours = pty.openpty()
    program = """
from pipelines.commands import screen
with screen.progress() as tell:
    tell('receive: 2')
    tell('check 1/2: a')
"""
    terminal = {**os.environ, "TERM": "xterm"}
    asked = [sys.executable, "-c", program]
    done = subprocess.run(asked, stdout=ours, stderr=subprocess.PIPE, check=True, env=terminal)
    os.close(ours)
    seen = os.read(theirs, 65536).decode()
    os.close(theirs)
    assert done.stderr == b""
    assert "receive: 2" in seen and "1/2" in seen and "check 1/2: a" not in seen
