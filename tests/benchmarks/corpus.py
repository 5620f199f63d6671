"""One dirty file of 200,000 rows judged by this house, by SQL and by three tools: what each returns, and what it costs.

Run: `PYTHONPATH=. python tests/benchmarks/corpus.py [--rows N] [--times T] [--pandera PYTHON] [--only NAME…]`.

The rows are invented with a fixed seed; `truth.json` says what was planted where. Every tool gets the same file and the
same rules, written down once from the catalogue (`rules.json`), and is written as its user would write it: reading with
lines, built-in checks first, own checks where the tool allows them. Each runs in a process of its own. `--pandera`
names a Python with pandera, pandas and polars; without it pandera is left out (how to make one: docs/benchmarks.md).

A row is *returned* when the tool reports its line; a *false alarm* is a reported line that holds no planted defect. The
first of two equal rows, which some tools report with its copy, is counted as neither.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines import sampling
from pipelines.judge import judging
from schemas import editions, row_rules
from schemas.kinds import document_number
from schemas.load import load
from schemas.model import Catalog, Item, Rule

ITEM, DEPARTMENT, DAY, SEED = "administrative_penalty", "haikou", date(2026, 11, 22), 4
JUDGES = Path(__file__).parent / "judges"
TOOLS = {
    "qiongxin": ["ours.py"],
    "Great Expectations": ["by_gx.py"],
    "Great Expectations, default": ["by_gx.py", "DEFAULT"],
    "DuckDB, SQL by hand": ["by_duckdb.py"],
    "pandera": ["by_pandera.py"],
    "pandera on polars": ["by_pandera_polars.py"],
    "frictionless": ["by_frictionless.py"],
    "frictionless, default": ["by_frictionless.py", "DEFAULT"],
}


@dataclass(frozen=True)
class Made:
    """The file, what was planted in it by line, the header of each field, and the rows that a duplicate repeats."""

    rules_file: Path
    source: Path
    rows: int
    truth: dict[int, dict[str, Any]]
    header: dict[str, str]
    firsts: set[int]


def rules_of(catalog: Catalog, item: Item, source: Path, home: Path) -> dict[str, Any]:
    """What the catalogue asks of the file, in words that any tool can be told."""
    encoding = "utf-8-sig" if source.read_bytes()[:3] == codecs.BOM_UTF8 else "utf-8"
    with source.open(encoding=encoding, newline="") as f:
        reader = csv.reader(f)
        headers, some = next(reader), list(islice(reader, 2000))
    known = editions.headers(catalog, item, DEPARTMENT)
    columns = [_column(catalog, item, known[h], h) for h in headers]
    header = {c["field"]: c["header"] for c in columns}
    kinds = row_rules.code_values(catalog.code_sets["certificate_type"], DAY, DEPARTMENT)
    rules = [r for r in item.rules if {r.options["field"], r.options.get("other", r.options["field"])} <= set(header)]
    return {
        "path": str(source), "encoding": encoding, "delimiter": ",", "home": str(home), "item": item.code,
        "department": DEPARTMENT, "day": DAY.isoformat(),
        "forms": {
            c["header"]: _form([row[n] for row in some if len(row) == len(headers)])
            for n, c in enumerate(columns) if c["type"] in ("date", "timestamp")
        },
        "columns": columns,
        "number": header["credit_number"], "certificate": header["certificate_type"],
        "certificates": kinds,
        "regions": sorted({c.code for c in catalog.code_sets["region"].codes}),
        "orders": [[header[r.options["field"]], header[r.options["other"]]] for r in rules if r.kind == "not_before"],
        "amounts": [
            [header[r.options["field"]], header[r.options["when"]], [r.options["contains"]]]
            for r in rules if r.kind == "amount_if_code"
        ],
        "required_if": [
            [header[r.options["field"]], header[r.options["when"]], _words(catalog, item, r)]
            for r in rules if r.kind == "required_if"
        ],
    }  # fmt: skip


def _form(cells: list[str]) -> str:
    """The form of the dates, or moments, of a column: the one that most of its cells have."""
    forms = (*sampling.rows.DAY_FORMS, "%Y-%m-%d %H:%M:%S")
    return max(forms, key=lambda form: sum(_reads(cell, form) for cell in cells))


def _column(catalog: Catalog, item: Item, name: str, header: str) -> dict[str, Any]:
    field = item.field(name)
    code_set = catalog.code_sets[field.code_set] if field.code_set else None
    codes = row_rules.code_values(code_set, DAY, DEPARTMENT) if code_set else {}
    shapes = [_shape(r) for r in field.rules if r.kind in ("matches", "document_number")]
    if field.code_set:  # the rule looks at the code, the file holds what departments write for it
        allowed = [r.options["pattern"].split("|") for r in field.rules if r.kind == "matches"]
        codes = {text: code for text, code in codes.items() if all(code in a for a in allowed)}
        shapes = []
    return {
        "field": name, "header": header, "type": field.type, "required": field.required,
        "length": field.length if field.type == "text" else None, "enum": list(codes), "patterns": shapes,
        "between": [[r.options["low"], r.options["high"]] for r in field.rules if r.kind == "between"],
    }  # fmt: skip


def _shape(rule: Rule) -> str:
    return str(rule.options["pattern"]) if rule.kind == "matches" else document_number.SHAPE.strip("^$")


def _words(catalog: Catalog, item: Item, rule: Rule) -> list[str]:
    when = item.field(rule.options["when"])
    codes = row_rules.code_values(catalog.code_sets[str(when.code_set)], DAY, DEPARTMENT)
    return [text for text, code in codes.items() if code == rule.options["equals"]]


def _reads(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def lines_of(rules: dict[str, Any]) -> list[int]:
    """The line on which each record begins, for a tool that counts records."""
    with open(rules["path"], encoding=rules["encoding"], newline="") as f:
        reader = csv.reader(f, delimiter=rules["delimiter"])
        next(reader)
        found, line = [], reader.line_num + 1
        for _ in reader:
            found.append(line)
            line = reader.line_num + 1
    return found


def child(python: str, arguments: list[str], rules: Path, answer: Path) -> dict[str, Any]:
    """Run one judge; its answer, and the seconds and the memory of its whole process."""
    command = [python, str(JUDGES / arguments[0]), str(rules), str(answer), *arguments[1:]]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(Path(__file__).parents[2])}
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[0]}: ended with {process.returncode}.")
    told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return told | {
        "process_wall": time.perf_counter() - started, "process_cpu": used.ru_utime + used.ru_stime,
    }  # fmt: skip


def score(found: list[list[Any]], made: Made) -> dict[str, Any]:
    """Planted defects returned by line, and by line and column; by code what was missed; lines invented."""
    lines = {line for line, _ in found}
    cells = {(line, column) for line, column in found}
    hit = [d for line, d in made.truth.items() if line in lines]
    exact = [d for d in hit if d["field"] is None or (d["line"], made.header[d["field"]]) in cells]
    known = made.truth.keys() | made.firsts
    return {
        "returned": len(hit), "with_column": len(exact),
        "missed": Counter(d["code"] for line, d in made.truth.items() if line not in lines),
        "invented": Counter(column for line, column in found if line not in known),
        "invented_rows": len(lines - known),
    }  # fmt: skip


def first_copies(rules: dict[str, Any], truth: dict[int, dict[str, Any]]) -> set[int]:
    """Lines of the rows that planted duplicates repeat."""
    with open(rules["path"], encoding=rules["encoding"], newline="") as f:
        reader = csv.reader(f, delimiter=rules["delimiter"])
        next(reader)
        rows = {line: tuple(cells) for line, cells in zip(rules["lines"], reader, strict=True)}
    copied = {rows[line] for line, d in truth.items() if d["code"] == "D001"}
    return {line for line, cells in rows.items() if cells in copied and line not in truth}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", type=int, default=200_000)
    asked.add_argument("--times", type=int, default=1)
    asked.add_argument("--pandera", default="")
    asked.add_argument("--only", nargs="*", default=list(TOOLS))
    said = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="qiongxin-corpus-") as folder:
        measure(Path(folder), said.rows, said.times, said.pandera, said.only)


def make(home: Path, rows: int) -> Made:
    """Write the file of about `rows` rows and its rules into `home`."""
    # Three departments share the item, each in its own format; the one that writes CSV gets a third.
    truth_file = sampling.generate(home, rows=rows * 3, seed=SEED, dirty=0.05, items=(ITEM,), as_of=DAY)
    deliveries = json.loads(truth_file.read_text(encoding="utf-8"))["deliveries"]
    (delivery,) = [d for d in deliveries if d["department"] == DEPARTMENT]
    source = home / delivery["file"]
    catalog = load()
    rules = rules_of(catalog, judging(catalog, ITEM, DEPARTMENT, DAY), source, home)
    rules |= {"rows": delivery["rows"], "sha256": sampling.writers.sha256(source), "lines": lines_of(rules)}
    place = home / "rules.json"
    place.write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")
    truth = {d["line"]: d for d in delivery["defects"]}
    assert len(truth) == len(delivery["defects"])
    header = {c["field"]: c["header"] for c in rules["columns"]}
    return Made(place, source, delivery["rows"], truth, header, first_copies(rules, truth))


def measure(home: Path, rows: int, times: int, pandera: str, only: list[str]) -> None:
    made = make(home, rows)
    kinds = len({d["code"] for d in made.truth.values()})
    print(heading())
    print(f"{made.rows:,} rows, {len(made.header)} columns, {made.source.stat().st_size / 1e6:.1f} MB CSV,"
          f" {len(made.truth):,} planted defects of {kinds} kinds, seed {SEED}")
    runs: dict[str, list[dict[str, Any]]] = {}
    for n in range(times):
        for name in only:
            if name.startswith("pandera") and not pandera:
                continue
            python = pandera if name.startswith("pandera") else sys.executable
            told = child(python, TOOLS[name], made.rules_file, home / "answer.json")
            runs.setdefault(name, []).append(told | score(told["found"], made))
            print(f"run {n + 1}/{times}: {name} done", file=sys.stderr, flush=True)
    report(runs, len(made.truth), made.rows)


def heading() -> str:
    used = ", ".join(f"{p} {version(p)}" for p in ("duckdb", "great-expectations", "frictionless", "pandas"))
    return f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, {used}"


def report(runs: dict[str, list[dict[str, Any]]], planted: int, rows: int) -> None:
    print("| tool | returned | in the right column | invented rows | processor s | rows per processor s | wall s"
          " | whole process, processor s | peak GB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, told in runs.items():
        middle = {k: statistics.median(t[k] for t in told)
                  for k in ("wall", "cpu", "process_wall", "process_cpu", "peak_gb")}
        one = told[0]
        share = one["returned"] / planted
        print(
            f"| {name} | {one['returned']:,} ({share:.1%}) | {one['with_column']:,} | {one['invented_rows']:,}"
            f" | {middle['cpu']:.1f} | {rows / middle['cpu']:,.0f} | {middle['wall']:.1f} | {middle['process_cpu']:.1f}"
            f" | {middle['peak_gb']:.2f} |"
        )
    for name, told in runs.items():
        for what in ("missed", "invented"):
            if told[0][what]:
                listed = ", ".join(f"{k or 'whole row'} {n:,}" for k, n in told[0][what].most_common())
                print(f"{name}: {what} {listed}")


if __name__ == "__main__":
    main()
