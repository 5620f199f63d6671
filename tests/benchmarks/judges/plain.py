"""What the three tools share: the file as rows with their lines, and the rule of identity numbers in plain Python.

Imports nothing of the house, so that it also runs where only the tool is installed. `rules.json` beside the file says
what the catalogue asks; tests/benchmarks/corpus.py writes it.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

PERSON = re.compile("[1-9][0-9]{16}[0-9X]")
OTHER = {"414": re.compile("[A-Z0-9]{5,17}")}
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

Found = list[tuple[int, str]]  # line, header of the column or ""


def number_fits(number: str | None, certificate: str, regions: set[str]) -> bool:
    """GB 11643 for residents: shape, birth date, check digit, a region that exists; the shape of passports for others.
    An empty number fits: that it is missing is another rule's to say."""
    if number is None:
        return True
    if certificate in OTHER:
        return OTHER[certificate].fullmatch(number) is not None
    if not PERSON.fullmatch(number) or (number.startswith("46") and number[:6] not in regions):
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return "10X98765432"[sum(int(d) * w for d, w in zip(number, WEIGHTS, strict=False)) % 11] == number[17]


def rows_of(rules: dict[str, Any]) -> tuple[list[int], list[list[str | None]], list[int]]:
    """Lines and cells of the rows, empty cells as None; and the lines of records of another width, which no frame can
    hold: whoever reads a file row by row knows of them."""
    lines: list[int] = []
    rows: list[list[str | None]] = []
    ragged: list[int] = []
    with open(rules["path"], encoding=rules["encoding"], newline="") as f:
        reader = csv.reader(f, delimiter=rules["delimiter"])
        width = len(next(reader))
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) == width:
                lines.append(line)
                rows.append([c or None for c in cells])
            else:
                ragged.append(line)
            line = reader.line_num + 1
    return lines, rows, ragged


def peak_gb() -> float:
    """The most memory this process ever held. What `getrusage` says of a child begins with the memory of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def run(judge: Callable[[dict[str, Any]], Found]) -> None:
    """Judge the file of `rules.json`; write what was found, the seconds it took without the imports, and the memory."""
    rules = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wall, cpu = time.perf_counter(), time.process_time()
    found = judge(rules)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    told = {"wall": seconds[0], "cpu": seconds[1], "peak_gb": peak_gb(), "found": found}
    Path(sys.argv[2]).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
