"""Files spoilt at random, night after night: nothing breaks off, every account balances, lake and warehouse agree."""

import csv
import io
import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from pipelines import judge, run, sampling
from pipelines.errors import DeliveryError
from pipelines.model import ACCOUNT, Home
from pipelines.query import query
from pipelines.stages.validate import Fault, Part, Rules, validate
from pipelines.stores.keys import open_keys
from pipelines.stores.ledger import Ledger
from schemas.arrow import record_schema
from schemas.compiled import compile_item
from schemas.load import load
from schemas.row_rules import Policy
from schemas.words import Words
from tests.conftest import SHAPES, SOAK, soak_only

CATALOG = load()
DAY = date(2026, 11, 1)
NIGHTS, ROUNDS = (40, 600) if SOAK else (2, 15)
ODD = [
    "", "0", "-1", "9" * 24, "1e309", "NaN", "-0", "0x1F", "１２３", "١٢٣", "2098-02-30", "0000-00-00", "99999999",
    "2098-1-1 25:00", "9999-12-31", "-4713-01-01", "2098年13月", "\u202e反", "a\u0301", "😀" * 50,
    "'; DROP TABLE x; --", "\\", "\\N", "NULL", "%", "(", "[", "$1", "\\1", "{{}}", "\x1f", "\x7f", "\x01", "=1+1",
    "@x", '"', '""', "\n", "\t", "\u2028", "\u0085", "〔", "第", "x" * 5000, "一" * 1001, "true", "0.1.2", "1,000",
    "￥5", "5万", "+5", "5%", "E12345678", "H12345678", "*" * 18, "张*三", "李某某", "张 三", "欧阳·娜娜", " ",
    "\u3000\u3000", "\u200b",
]  # fmt: skip


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One delivery of every department and item."""
    home = tmp_path_factory.mktemp("clean")
    sampling.generate(home, rows=420, seed=5, as_of=DAY, items=SHAPES)
    return [p for p in sorted((home / "inbox").glob("*/*/*")) if not p.name.endswith(".manifest.json")]


def spoilt(content: bytes, rng: random.Random) -> bytes:
    """Parts doubled, taken out, put in, or other words in place of some."""
    for _ in range(rng.randrange(3)):
        start = rng.randrange(max(1, len(content)))
        end = min(len(content), start + rng.randrange(1, 400))
        before, part, after = content[:start], content[start:end], content[end:]
        put_in = rng.choice(['"', ",", "\n", "张", "0", "\u3000", "是", "\0"]).encode() * rng.randrange(1, 5)
        content = rng.choice([
            before + part + part + after,
            before + after,
            before + put_in + part + after,
            content.replace(b"\n", b"", rng.randrange(1, 4)),
            content.replace("示例".encode(), "范例".encode(), rng.randrange(1, 9)),
        ])  # fmt: skip
    return content


@soak_only("whole nights of spoilt files")
@pytest.mark.parametrize("seed", [1])
def test_nights_of_spoilt_files_end_well(
    seed: int, clean: list[Path], tmp_path: Path, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, home, url = random.Random(seed), tmp_path / "home", database()
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    home.mkdir()
    (home / "sample.json").write_text("{}")
    for night in range(NIGHTS):
        day = DAY + timedelta(night)
        for path in rng.sample(clean, 7 if SOAK else 5):
            inbox = home.joinpath("inbox", *path.parts[-3:-1])
            inbox.mkdir(parents=True, exist_ok=True)
            (inbox / f"{night}{path.suffix}").write_bytes(spoilt(path.read_bytes(), rng))
            manifest = {
                "period": (day - timedelta(rng.randrange(4))).isoformat(),
                "sequence": rng.randrange(1, 3),
                "mode": rng.choice(["incremental", "incremental", "full"]),
            }
            (inbox / f"{night}{path.suffix}.manifest.json").write_text(json.dumps(manifest))
        assert run.nightly(home, day)["exit_code"] in (0, 3)
        with Ledger(url) as ledger:
            for row in ledger.deliveries():
                assert row["state"] in ("released", "returned", "held", "checked"), row["state"]
                assert (row["read"] or 0) == sum(row[k] for k in ACCOUNT), (row["item"], row["file"])
    agree(home, url)


def agree(home: Path, url: str) -> None:
    """Lake and warehouse hold the same records, each once; every record is a statement, and each statement one row."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for code, item in ((code, CATALOG.items[code]) for code in SHAPES):
            columns = ", ".join(record_schema(item).names)
            sql = f"SELECT {columns} FROM records.{code}"
            lake, warehouse = rows(query(home, sql, None)[1]), rows(connection.execute(sql).fetchall())
            assert lake == warehouse, code
            assert len({row[0] for row in lake}) == len(lake), code
            place = "delivery_id, line, coalesce(sheet, '')"
            ((stated, places),) = query(home, f"SELECT count(*), count(DISTINCT ({place})) FROM history.{code}", None)[
                1
            ]
            assert stated == places, code
            shown = f"SELECT record_key, content_hash, {place} FROM records.{code}"
            ((lost,),) = query(
                home, f"SELECT count(*) FROM ({shown} EXCEPT {shown.replace('records.', 'history.')})", None
            )[1]
            assert lost == 0, code


def rows(found: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    return sorted(tuple(str(bytes(v) if isinstance(v, memoryview) else v) for v in row) for row in found)


def test_whatever_stands_in_a_cell_every_row_is_taken_or_told(clean: list[Path], tmp_path: Path) -> None:
    rng, home = random.Random(7), Home(tmp_path / "home")
    home.root.mkdir()
    home.make_restricted()
    home.work.mkdir(exist_ok=True)
    keys, policy = open_keys(home.root), Policy(minimum_birth_year=1850, adult_age=18)
    for _ in range(ROUNDS):
        path = rng.choice(clean)
        item, department = CATALOG.items[path.parts[-2]], path.parts[-3]
        judge.read(path, home.staged("sent"), CATALOG, item, department, home.work)
        table = pq.read_table(home.staged("sent")).drop_columns(
            [c for c in ("line", "sheet") if c in pq.read_schema(home.staged("sent")).names]
        )
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([item.field(name).label_zh for name in table.column_names])
        for row in table.slice(0, 60).to_pylist():
            cells = [value or "" for value in row.values()]
            for _ in range(rng.randrange(3)):
                cells[rng.randrange(len(cells))] = rng.choice(ODD)
            writer.writerow(cells)
        source = tmp_path / "odd.csv"
        source.write_text(text.getvalue(), encoding="utf-8")
        try:
            decoded = judge.read(source, home.staged("odd"), CATALOG, item, department, home.work)
        except DeliveryError as e:
            pytest.fail(f"{item.code}: {e}")
        faults = [Fault(f.code, f.line, f.sheet) for f in decoded.faults]
        compiled = compile_item(item, CATALOG, policy)
        rules = Rules(item, compiled, policy, Words(CATALOG), DAY + timedelta(30), keys, DAY + timedelta(30))
        (result,) = validate(home, [Part("odd", tuple(faults), "odd.csv")], rules)
        assert decoded.read == result.read == result.accepted + result.rejected + result.refused + result.held
        findings = pq.read_table(home.findings("odd")).to_pylist()
        stopped = {f["line"] for f in findings if f["severity"] in ("error", "hold") and f["line"] is not None}
        accepted = set(pq.read_table(home.accepted("odd"))["line"].to_pylist())
        assert not stopped & accepted
        assert len(stopped) == result.read - result.accepted
