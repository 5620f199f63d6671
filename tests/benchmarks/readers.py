"""Readers' throughput: per format MB/s, rows/s and the memory of a process of its own; and text against floor A.

Floor A: copy the file with SHA-256, then DuckDB copies the same text, as UTF-8, to Parquet. Receive and decode: copy to
the archive with its proof, then `staged/`. Both one after the other on the same rows, planted defects among them, as
often as asked; printed are medians of the ratios. The other formats hold the first readable rows of that text.

    PYTHONPATH=. python tests/benchmarks/readers.py [ROWS [TIMES]]
"""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from xml.sax.saxutils import escape

import duckdb
import psutil
import xlsxwriter

from pipelines import judge, sampling
from pipelines.readers import decode
from pipelines.readers.staging import open_staged
from pipelines.stages import receive
from schemas.load import load
from tests.benchmarks.nightly import floor_a

ITEM, DEPARTMENT, DAY = "traffic_penalty", "public_security", date(2026, 11, 22)
MOST = 200_000  # rows of the formats that are read record by record
XLS_ROWS = 65_000  # a sheet of that form holds no more
Rows = Callable[[], Iterator[dict[str, str]]]


def fields() -> dict[str, str]:
    catalog = load()
    return judge._fields(catalog, catalog.items[ITEM], DEPARTMENT)


def written(place: Path, rows: int) -> Path:
    """The delivery of the item as the sample generator writes it: UTF-8 CSV with two rows in a hundred spoilt."""
    sampling.generate(place / "home", rows=rows, seed=1, as_of=DAY, items=(ITEM,))
    (made,) = [p for p in (place / "home" / "inbox").glob("*/*/*") if p.suffix == ".csv"]
    return Path(shutil.move(made, place / "utf-8.csv"))


def formats(place: Path, text: Path) -> dict[str, Path]:
    """The same rows in every format, each under its name."""
    made = {"csv UTF-8": text, "csv GB18030": place / "gb18030.csv"}
    made["csv GB18030"].write_bytes(text.read_bytes().decode("utf-8-sig").encode("gb18030"))
    decode(text, place / "rows.parquet", fields(), place)
    item = load().items[ITEM]

    def rows() -> Iterator[dict[str, str]]:
        with duckdb.connect() as engine:
            columns = open_staged(engine, place / "rows.parquet")
            labels = [item.field(c).label_zh for c in columns]
            reader = engine.sql(f"SELECT {', '.join(columns)} FROM staged LIMIT {MOST}").to_arrow_reader(10_000)
            for batch in reader:
                for cells in zip(*(batch.column(c).to_pylist() for c in columns), strict=True):
                    yield {label: cell or "" for label, cell in zip(labels, cells, strict=True)}

    made["tsv"] = _lines(place / "rows.tsv", rows)
    made["jsonl"], made["json"], made["xml"] = place / "rows.jsonl", place / "rows.json", place / "rows.xml"
    with made["jsonl"].open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows())
    with made["jsonl"].open(encoding="utf-8") as source, made["json"].open("w", encoding="utf-8") as out:
        out.write("[\n")
        out.writelines(f"{',' if n else ''}{line}" for n, line in enumerate(source))
        out.write("]\n")
    with made["xml"].open("w", encoding="utf-8") as out:
        out.write("<rows>\n")
        for row in rows():
            cells = "".join(f"<{k}>{escape(v)}</{k}>" for k, v in ((_tag(k), v) for k, v in row.items()))
            out.write(f"<row>{cells}</row>\n")
        out.write("</rows>\n")
    made["xlsx"] = _workbook(place / "rows.xlsx", rows, MOST)
    if shutil.which("soffice"):
        small = _workbook(place / "small.xlsx", rows, XLS_ROWS)
        convert = ["soffice", f"-env:UserInstallation=file://{place}/office", "--headless", "--convert-to", "xls"]
        subprocess.run([*convert, "--outdir", str(place), str(small)], check=True, capture_output=True)
        made["xls"] = place / "small.xls"
    return made


def _tag(label: str) -> str:
    """A header as the name of an element."""
    return label.replace("（", "").replace("）", "")


def _lines(target: Path, rows: Rows) -> Path:
    with target.open("w", encoding="utf-8") as out:
        for n, row in enumerate(rows()):
            for line in ([row, row.values()] if n == 0 else [row.values()]):
                out.write("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in line) + "\n")
    return target


def _workbook(target: Path, rows: Rows, most: int) -> Path:
    with xlsxwriter.Workbook(str(target), {"constant_memory": True, "strings_to_numbers": False}) as book:
        sheet = book.add_worksheet()
        for n, row in enumerate(rows()):
            if n == 0:
                sheet.write_row(0, 0, list(row))
            if n == most:
                break
            for column, cell in enumerate(row.values()):
                sheet.write_string(n + 1, column, cell)
    return target


def throughput(name: str, source: Path, times: int) -> dict[str, float]:
    known = source.with_name("fields.json")
    known.write_text(json.dumps(fields(), ensure_ascii=False), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("one_file.py")), str(source), str(known)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(times)]
    wall, cpu = (statistics.median(r[kind] for r in runs) for kind in ("wall", "cpu"))
    size, read = source.stat().st_size / 1e6, runs[0]["read"]
    peak, idle = (max(r[kind] for r in runs) for kind in ("peak_mb", "idle_mb"))
    print(
        f"{name:12} {size:7.1f} MB {read:9,} rows  wall {wall:6.2f} s  cpu {cpu:6.2f} s  {size / wall:6.1f} MB/s"
        f" {read / wall:10,.0f} rows/s  peak {peak:5.0f} MB ({idle:.0f} MB before)",
        flush=True,
    )
    return {"mb_s": round(size / wall, 1), "rows_s": round(read / wall), "peak_mb": round(peak)}


def against_floor(text: Path, sent: Path, place: Path, times: int) -> dict[str, float]:
    """Receive and decode of `sent` over floor A of `text`, the same as UTF-8: medians of wall and processor time."""
    known, target = fields(), place / "staged.parquet"

    def ours() -> None:
        with sent.open("rb", buffering=0) as source:
            receive._copied(source, place / "raw")
        decode(place / "raw", target, known, place)

    pairs = [(_timed(lambda: floor_a(text, place)), _timed(ours)) for _ in range(times)]
    found = {}
    for n, kind in enumerate(("wall", "cpu")):
        found[kind] = round(statistics.median(mine[n] / floor[n] for floor, mine in pairs), 2)
        mine, floor = (statistics.median(p[side][n] for p in pairs) for side in (1, 0))
        print(f"receive+decode {sent.name:12} {kind:4} {mine:6.2f} s / floor A {floor:6.2f} s = {found[kind]:.2f}×")
    return found


def _timed(call: Callable[[], None]) -> tuple[float, float]:
    process = psutil.Process()
    before, started = process.cpu_times(), time.perf_counter()
    call()
    wall, after = time.perf_counter() - started, process.cpu_times()
    return wall, after.user + after.system - before.user - before.system


def main() -> None:
    rows, times = (int(given) for given in (sys.argv[1:] + ["1000000", "5"][len(sys.argv) - 1 :]))
    used = ", ".join(f"{p} {version(p)}" for p in ("duckdb", "pyarrow", "python-calamine"))
    print(f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}, {used}")
    place = Path(tempfile.mkdtemp(prefix="qiongxin-readers-"))
    try:
        text = written(place, rows)
        made = formats(place, text)
        result: dict[str, object] = {name: throughput(name, path, min(times, 3)) for name, path in made.items()}
        for name in ("csv UTF-8", "csv GB18030"):
            result[f"{name} over floor A"] = against_floor(text, made[name], place, times)
        print(json.dumps(result, ensure_ascii=False))
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
