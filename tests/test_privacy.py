"""An identifying value lies in the vault and the restricted places, and nowhere else: every byte is looked at.

The home holds an ordinary sample and deliveries planted by hand: free text with numbers and names in it, held and
returned files, files without header or with broken structure, and values in places where nobody expects them.
PostgreSQL writes every statement with its parameters into its log, so that a number in SQL text is found as well.
"""

import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pipelines import cli, run, sampling
from pipelines.errors import StoreError
from pipelines.stores import postgres
from pipelines.stores.files import SPACES
from tests import leaks
from tests.conftest import ROOT, discard
from tests.mortal_night import Mortals

DAY = "2026-11-22"
ITEMS = ("administrative_penalty", "exam_misconduct", "honour", "identity_reference", "traffic_penalty")
# design.md section 4; inbox because the originals move to .taken, postgres because it is scanned through SQL.
ALLOWED = ("inbox", "raw", "staged", "accepted", "rejected", "findings", "outbox", "postgres")
HONOUR = ("姓名,证件类型,证件号码,荣誉类型,荣誉名称,荣誉级别,评价年度,认定文号,文件名称,认定日期,认定部门,"
          "是否同意公示,备注,更新时间")  # fmt: skip
RARE, SECOND = "䶮𬱖喆堃龑𬭚祎燊昶瑀", "之秋春夏冬晨夕月星雨雪霜露虹松柏竹菊荷梧桐榆柳棠"


def number(n: int) -> str:
    """An invented number: region 469099 was never given out, the birth year is 1861-1898."""
    body = f"469099{1861 + n % 38}{n % 12 + 1:02d}{n % 28 + 1:02d}{n % 999 + 1:03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]


def name(n: int) -> str:
    """Another one for every n below 240; three characters, so that no other text holds it by chance."""
    return "符" + RARE[n % 10] + SECOND[n // 10]


def phone(n: int) -> str:
    return f"1300000{n:04d}"


def honour(n: int, remarks: str, honour_name: str = "示例荣誉", document_name: str = "示例文件", sent: str = "") -> str:
    cells = (name(n), "身份证", sent or number(n), "01", honour_name, "2", "2025", f"琼验字〔2025〕{n:08d}号",
             document_name, "2025-06-01", "海口市示例局", "是", remarks, "2025-07-01 08:00:00")  # fmt: skip
    return ",".join(f'"{c}"' for c in cells) + "\n"


def guises(n: int) -> str:
    """A remark with the row's own name and number, another's number in several writings, and a phone."""
    other = number(n + 500)
    wide = other.translate(str.maketrans("0123456789X", "０１２３４５６７８９Ｘ"))
    spaced = f"{other[:6]} {other[6:14]} {other[14:]}"
    return (f"{name(n)}（{number(n)}）与证件号{other}的人同案，即{wide}，又写作{spaced}或{other.lower()}，"
            f"电话{phone(n)}，{name(n)}已签字。")  # fmt: skip


# file -> bytes, manifest, state that the delivery must reach; the people in it are `origin` "planted".
PLANTED: dict[str, tuple[str, dict[str, Any], str]] = {
    "free.csv": (HONOUR + "\n" + "".join(honour(n, guises(n)) for n in range(1, 9)), {}, "released"),
    "miscounted.csv": (HONOUR + "\n" + honour(21, guises(21)), {"rows": 5}, "held"),
    "rejected.csv": (HONOUR + "\n" + "".join(honour(n, guises(n), sent=number(n)[:17] + "*") for n in (31, 32, 33)),
                     {}, "held"),
    "headless.csv": ("".join(honour(n, guises(n)) for n in (41, 42)), {}, "returned"),
    "broken.json": (json.dumps([{"姓名": name(51), "证件号码": number(51)}], ensure_ascii=False)[:-3], {}, "returned"),
    "broken.xml": (f"<rows><row><姓名>{name(52)}</姓名><证件号码>{number(52)}</row></rows>", {}, "returned"),
    "echo.csv": (f"{HONOUR},回传_经办\n" + f'{honour(72, "").strip()},"{name(74)}{number(74)}"\n' * 2, {}, "released"),
    "quotes.csv": (HONOUR + "\n" + honour(61, guises(61)) * 9 + f'"{name(62)}"","{number(62)},x\n', {}, "released"),
}  # fmt: skip

# Values where nobody expects them, one origin each: all in one file but the one whose file name is the matter.
PASSPORT = "P10203040"
ODD_FILES = {
    f"{name(101)}_{number(101)}.csv": honour(101, ""),
    "odd.csv": honour(102, "", document_name=f"关于表彰{name(102)}同志的决定")
    + honour(103, "", honour_name=f"示例荣誉{number(103)}")
    + honour(104, f"护照{PASSPORT}", sent=PASSPORT).replace("身份证", "外国护照")
    + honour(105, "旧证469099650202002，现已换证")
    + honour(106, f"{' '.join(name(106))}本人签字")
    + honour(107, "电话130-0000-9107，备用+8613000009107"),
}
ODD_SECRETS = {
    "file name": [(name(101), "name"), (number(101), "credit_number")],
    "document name": [(name(102), "name")],
    "number in a title": [(number(103), "credit_number")],
    "own passport in free text": [(PASSPORT, "text")],
    "old number in free text": [("469099650202002", "text")],
    "spaced own name in free text": [(" ".join(name(106)), "name")],
    "phone with hyphens": [("130-0000-9107", "text"), ("13000009107", "text")],
}
NOT_YET: dict[str, str] = {}


@dataclass
class Scanned:
    """A home after its night, what was looked for, and (place, origin, value) of everything found."""

    home: Path
    url: str
    secrets: leaks.Secrets
    said: list[tuple[str, bytes]] = field(default_factory=list)
    found: set[tuple[str, str, str]] = field(default_factory=set)
    bytes_read: int = 0

    def look(self, place: str, data: bytes) -> None:
        self.bytes_read += len(data)
        self.found |= {(place, origin, value) for origin, value in self.secrets.leaks(data)}

    def of(self, *origins: str) -> list[tuple[str, str, str]]:
        return sorted(f for f in self.found if f[1] in origins)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory, mortals: Mortals) -> Iterator[Scanned]:
    home = tmp_path_factory.mktemp("privacy") / "home"
    sampling.generate(home, rows=600, seed=13, dirty=0.08, as_of=date.fromisoformat(DAY), items=ITEMS)
    secrets = leaks.Secrets()
    for path in (p for p in sorted((home / "inbox").glob("*/*/*")) if not p.name.endswith(".manifest.json")):
        for value, kind in leaks.planted(path):
            secrets.add(value, kind, "sample")
    plant(home, secrets)
    url = postgres.up(home)
    try:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
        scanned = Scanned(home, url, secrets)
        done = qiongxin(home, "nightly", "--date", DAY)
        assert done.returncode == 3, done.stderr.decode()[-2000:]
        scanned.said.append(("said by nightly", done.stdout + b"\x1f" + done.stderr))
        commands: list[tuple[str, ...]] = [("nightly", "--date", DAY, "--json"), ("status", "--json")]
        for item in ITEMS:
            commands += [("query", f"SELECT * FROM {space}.{item}", "--json") for space in SPACES]
        for command in commands:
            assert mortals.start(home, url, *command).wait() in (0, 3), command
        scanned.said.append(("said by other commands", (home.parent / "home.said").read_bytes()))
        look_everywhere(scanned)
        yield scanned
    finally:
        discard(home)


def plant(home: Path, secrets: leaks.Secrets) -> None:
    inbox = home / "inbox" / "civilization_office" / "honour"
    files = [(file, text, told) for file, (text, told, _) in PLANTED.items()]
    files += [(file, f"{HONOUR}\n{rows}", {}) for file, rows in ODD_FILES.items()]
    for n, (file, text, told) in enumerate(files, start=1):
        (inbox / file).write_text(text, encoding="utf-8")
        manifest = {"period": DAY, "sequence": 100 + n, **told}
        (inbox / f"{file}.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for text, _, _ in PLANTED.values():
        for n in (m for m in range(1, 100) if name(m) in text):
            secrets.add(name(n), "name", "planted")
            secrets.add(number(n), "credit_number", "planted")
            secrets.add(number(n + 500), "credit_number", "planted")
            secrets.add(phone(n), "text", "planted")
    for origin, values in ODD_SECRETS.items():
        for value, kind in values:
            secrets.add(value, kind, origin)


def qiongxin(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments, "--home", str(home)],
        cwd=ROOT, env={**os.environ, "QIONGXIN_LOOK_SECONDS": "0.1", **environment}, capture_output=True, check=False,
    )  # fmt: skip


def look_everywhere(scanned: Scanned) -> None:
    home = scanned.home
    for path in home.rglob("*"):
        inside = path.relative_to(home)
        if path.is_file() and inside.parts[0] not in ALLOWED:
            scanned.look(f"name of {inside.as_posix()}", inside.as_posix().encode())
            scanned.look(f"file {inside.as_posix()}", path.read_bytes())
            if path.suffix == ".parquet":
                scanned.look(f"values of {inside.as_posix()}", leaks.parquet_bytes(path))
        elif path.is_file() and inside.parts[0] in ("raw", "staged", "accepted", "rejected", "findings"):
            scanned.look(f"name of {inside.as_posix()}", inside.as_posix().encode())
    scanned.look("iceberg manifests", leaks.manifest_bytes(SqlCatalog("qiongxin", uri=scanned.url)))
    for table, data in leaks.database_bytes(scanned.url, without=("vault",)):
        scanned.look(f"table {table}", data)
    scanned.look("server log", server_log(scanned.url))
    for what, data in scanned.said:
        scanned.look(what, data)


def server_log(url: str) -> bytes:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    return (Path(folder) / "server.log").read_bytes()


def test_no_identifying_value_lies_outside_the_allowed_places(scanned: Scanned) -> None:
    assert scanned.of("sample") == []
    assert len(scanned.secrets) > 3_000 and scanned.bytes_read > 1_000_000


def test_numbers_names_and_phones_in_planted_files_are_nowhere_else(scanned: Scanned) -> None:
    """Free text, held and returned deliveries, messages about broken structure."""
    assert scanned.of("planted") == []


@pytest.mark.parametrize("origin", ODD_SECRETS)
def test_a_value_in_an_unusual_place_is_nowhere_else(
    origin: str, scanned: Scanned, request: pytest.FixtureRequest
) -> None:
    if origin in NOT_YET:
        request.applymarker(pytest.mark.xfail(strict=False, reason=NOT_YET[origin]))
    assert scanned.of(origin) == []


def without(file: str) -> str:
    """A file name as the ledger keeps it: without the name and number of the person it is about."""
    return file.replace(name(101), "[当事人]").replace(number(101), "[证件号]")


def test_planted_deliveries_end_as_planned(scanned: Scanned) -> None:
    rows = json.loads(qiongxin(scanned.home, "status", "--json").stdout)
    states = {r["file"]: r["state"] for r in rows}
    assert {file: states[file] for file in PLANTED} == {file: state for file, (_, _, state) in PLANTED.items()}
    assert {states[without(file)] for file in ODD_FILES} == {"released"}


def test_what_is_looked_for_lies_in_the_vault(scanned: Scanned) -> None:
    """The scan knows what it looks for: in the vault, where names are readable, it finds them."""
    with psycopg.connect(scanned.url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT identity FROM vault.statement_identity").fetchall()
    found = {origin for row in rows for origin, _ in scanned.secrets.leaks(row[0].encode())}
    assert {"sample", "planted"} <= found
    raw = b"".join(p.read_bytes() for p in (scanned.home / "raw").rglob("*") if p.is_file())
    assert {"sample", "planted", *ODD_SECRETS} <= {origin for origin, _ in scanned.secrets.leaks(raw)}


def test_free_text_is_kept_without_numbers_names_and_phones(scanned: Scanned) -> None:
    files = [str(p) for p in (scanned.home / "curated" / "records" / "honour").rglob("*.parquet")]
    rows = duckdb.sql(f"SELECT determination_no, remarks FROM read_parquet({files})").fetchall()
    told = {int(n[9:17]): remarks for n, remarks in rows if n.startswith("琼验字〔2025〕")}
    for n in range(1, 9):
        assert told[n].count("[当事人]") == 2 and told[n].count("[证件号]") == 5 and "[电话]" in told[n]
        assert "同案" in told[n] and "已签字" in told[n]
        assert not re.search(r"[0-9０-９]{6}", told[n])


def test_no_curated_table_has_a_column_for_an_identifying_field(scanned: Scanned) -> None:
    """An ordinary day, as a day of birth, cannot be told from others by its value; so its column must be absent."""
    for item in ITEMS:
        hidden = {h.lower() for h in leaks.identifying(item, "") if h.isascii()}
        for path in (scanned.home / "curated" / "records" / item).rglob("*.parquet"):
            assert not hidden & {re.sub(r"[^\w]", "", n) for n in pq.read_schema(path).names}
        with psycopg.connect(scanned.url.replace("+psycopg", "")) as connection:
            rows = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [item]
            )
            assert not hidden & {name for (name,) in rows.fetchall()}


def test_nothing_but_the_events_lies_in_the_work_folder_after_a_night(scanned: Scanned) -> None:
    assert [p.name for p in (scanned.home / "work").rglob("*") if p.is_file()] == ["events.parquet"]


@pytest.mark.parametrize("encoding", leaks.ENCODINGS)
@pytest.mark.parametrize("kind", ["number", "name", "cut number", "common name"])
def test_the_scan_finds_a_value_written_into_a_report(
    kind: str, encoding: str, scanned: Scanned, tmp_path: Path
) -> None:
    secrets = leaks.Secrets()
    secrets.add(number(7), "credit_number", "planted")
    secrets.add(name(7), "name", "planted")
    secrets.add("王芳", "name", "planted")
    value = {"number": number(7), "name": name(7), "cut number": number(7)[:15], "common name": "王芳"}[kind]
    report = Scanned(tmp_path, "", secrets)
    page = "<p>" * 1001 + f"<td>{value}</td>" + "</p>" * 1001
    report.look("reports/gate.html", page.replace(value, "示例").encode(encoding))
    assert not report.found
    report.look("reports/gate.html", page.encode(encoding))
    assert {origin for _, origin, _ in report.found} == {"planted"}


def test_the_scan_finds_a_value_in_a_parquet_file_and_in_a_table(scanned: Scanned, tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    duckdb.sql(f"COPY (SELECT '{name(1)}x' AS remarks, {10**6} AS n FROM range(9)) TO '{path}' (COMPRESSION zstd)")
    assert scanned.secrets.leaks(leaks.parquet_bytes(path))
    assert pq.ParquetFile(path).metadata.num_rows == 9
    with psycopg.connect(scanned.url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE SCHEMA planted")
        connection.execute("CREATE TABLE planted.t AS SELECT %s::bytea AS b", [number(1).encode("utf-16-le")])
        connection.commit()
        told = {t: scanned.secrets.leaks(data) for t, data in leaks.database_bytes(scanned.url, without=("vault",))}
        connection.execute("DROP SCHEMA planted CASCADE")
    assert told["planted.t"]


@dataclass(frozen=True)
class Failed:
    """A night whose vault refuses every row, so that PostgreSQL tells the failing row to its client and to its log."""

    code: int
    said: bytes
    traceback: str
    server_log: bytes
    secrets: leaks.Secrets


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, applied: Callable[[], str], mortals: Mortals) -> Failed:
    home, url = tmp_path_factory.mktemp("failed") / "home", applied()
    inbox = home / "inbox" / "civilization_office" / "honour"
    inbox.mkdir(parents=True)
    secrets = leaks.Secrets()
    for n in range(201, 209):
        secrets.add(name(n), "name", "planted")
        secrets.add(number(n), "credit_number", "planted")
    (home / "sample.json").write_text("{}")
    (inbox / "a.csv").write_text(HONOUR + "\n" + "".join(honour(n, guises(n)) for n in range(201, 209)))
    (inbox / "a.csv.done").touch()
    assert mortals.start(home, url, "status", "--json").wait() == 0
    before = len(server_log(url))
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("ALTER TABLE vault.identity_block ADD CHECK (line < 0)")
    code = mortals.night(home, url, DAY)
    # A scheduler runs the same step as a function, and logs the error with everything that caused it.
    with pytest.MonkeyPatch.context() as named, pytest.raises(StoreError) as caught:
        named.setenv("QIONGXIN_DATABASE_URL", url)
        run.nightly(home, DAY)
    told = "".join(traceback.format_exception(caught.value))
    return Failed(code, (home.parent / "home.said").read_bytes(), told, server_log(url)[before:], secrets)


def test_a_failing_load_is_exit_4_and_tells_no_value(failed: Failed) -> None:
    assert failed.code == 4
    assert failed.secrets.leaks(failed.said) == set()


def test_a_failing_load_tells_no_value_to_a_scheduler_that_logs_the_cause(failed: Failed) -> None:
    assert failed.secrets.leaks(failed.traceback.encode()) == set()


def test_a_failing_load_leaves_no_value_in_the_server_log(failed: Failed) -> None:
    assert b"identity_block" in failed.server_log
    assert failed.secrets.leaks(failed.server_log) == set()


def test_an_unexpected_error_shows_no_local_variables() -> None:
    assert not cli.app.pretty_exceptions_show_locals
