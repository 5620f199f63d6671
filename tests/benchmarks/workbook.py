"""Reading an xlsx into staged rows against calamine alone giving the same cells to Python; other forms beside it.

Run: `PYTHONPATH=. python tests/benchmarks/workbook.py [ROWS [TIMES]]` (100,000 and 5). Each of TIMES runs reads the
same file both ways, one after the other, and prints the median of the ratios of wall and of processor time; what texts
a file shares (as Excel writes) or holds in its cells (as programs stream) makes a difference, so both are measured. The
peak memory is that of a process which only reads the file.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psutil
import xlsxwriter
from python_calamine import CalamineWorkbook

from pipelines.readers import decode, normalise_header
from schemas import editions
from schemas.load import load
from tests.dirty_files import HEADER, honour, number
from tests.dirty_files.workbooks import page, spreadsheet_2003

CATALOG = load()
FIELDS = {
    normalise_header(header): field
    for header, field in editions.headers(CATALOG, CATALOG.items["honour"], "civilization_office").items()
}


def row(n: int) -> tuple[str, ...]:
    return tuple(honour(n % 40, 证件号码=number(n), 认定文号=f"琼验字〔2025〕{n:08d}号").values())


def write(path: Path, rows: int, shared: bool) -> Path:
    made = xlsxwriter.Workbook(str(path), {"constant_memory": not shared})
    sheet = made.add_worksheet("荣誉")
    sheet.write_row(0, 0, HEADER)
    for n in range(1, rows + 1):
        sheet.write_row(n, 0, row(n))
    made.close()
    return path


def alone(path: Path) -> None:
    CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()


def ours(path: Path) -> None:
    decode(path, path.with_suffix(".parquet"), FIELDS, path.parent)


def spent(call: Callable[[Path], None], path: Path) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call(path)
    return time.perf_counter() - wall, time.process_time() - cpu


def peak(call: Callable[[Path], None], path: Path) -> float:
    """GB at the most in a process that does only this."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (call, path))


def _peak(call: Callable[[Path], None], path: Path) -> float:
    call(path)
    # Not that of getrusage, which remembers the process that started this one.
    (line,) = [n for n in Path("/proc/self/status").read_text().splitlines() if n.startswith("VmHWM:")]
    return int(line.split()[1]) / 1e6


def main() -> None:
    rows, times = (int(a) if a else b for a, b in zip([*sys.argv[1:], "", ""], (100_000, 5), strict=False))
    used = ", ".join(f"{p} {version(p)}" for p in ("python-calamine", "lxml", "pyarrow"))
    print(f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}, {used}")
    print(f"{rows:,} rows of {len(HEADER)} columns, {times} runs")
    result: dict[str, float] = {"rows": rows, "runs": times}
    with tempfile.TemporaryDirectory() as folder:
        for name, shared in (("shared texts", True), ("texts in cells", False)):
            path = write(Path(folder) / f"{name}.xlsx", rows, shared)
            ours(path)  # what is imported on first use is paid once a process
            pairs = [(spent(alone, path), spent(ours, path)) for _ in range(times)]
            wall, cpu = (statistics.median(b[i] / a[i] for a, b in pairs) for i in (0, 1))
            seconds = [statistics.median(p[which][0] for p in pairs) for which in (0, 1)]
            memory = [peak(call, path) for call in (alone, ours)]
            print(
                f"xlsx, {name:14}: {seconds[1]:5.2f} s / calamine {seconds[0]:5.2f} s = wall {wall:4.2f}×,"
                f" cpu {cpu:4.2f}× · peak {memory[1]:.2f} GB / {memory[0]:.2f} GB"
            )
            result |= {f"xlsx {name} wall": round(wall, 2), f"xlsx {name} cpu": round(cpu, 2)}
        table = [HEADER, *map(row, range(1, rows + 1))]
        for form, text in (("web page", page(table)), ("XML of 2003", spreadsheet_2003(table))):
            path = Path(folder) / f"{form}.xls"
            path.write_text(text, encoding="gb18030")
            seconds_, _ = spent(ours, path)
            size = path.stat().st_size / 1e6
            print(
                f"{form:20}: {seconds_:5.1f} s, {rows / seconds_:8,.0f} rows/s, {size / seconds_:5.1f} MB/s"
                f" · peak {peak(ours, path):.2f} GB"
            )
            result[f"{form} rows/s"] = round(rows / seconds_)
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
