"""What the command line writes: aligned tables, JSON, CSV and the progress of long work. Nothing is ever cut short.

Results go to standard output, remarks to standard error, so that a result can be piped.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

Row = Sequence[Any]
Tell = Callable[[str], None]
COUNTED = re.compile(r"^(\w+) ([\d,]+)/([\d,]+)")


def table(head: Sequence[str], rows: Iterable[Row], thousands: bool = False) -> None:
    """Columns set side by side, numbers to the right; as wide as they need to be, also when piped."""
    from rich.cells import cell_len

    values = [list(row) for row in rows]
    lines = [list(head), *([_text(v, thousands) for v in row] for row in values)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    is_number = [
        all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in column)
        for column in zip(*values, strict=True)
    ] or [False] * len(head)
    for line in lines:
        cells = []
        for text, width, right in zip(line, widths, is_number, strict=True):
            gap = " " * (width - cell_len(text))
            cells.append(gap + text if right else text + gap)
        print("  ".join(cells).rstrip())


def _text(value: Any, thousands: bool) -> str:
    """One cell on one line."""
    if thousands and type(value) is int:
        return f"{value:,}"
    value = plain(value)
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("\r", "\\r").replace("\n", "\\n")


def plain(value: Any) -> Any:
    """What JSON can carry: bytes as hexadecimal, dates and decimals as text, no number that is none."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def as_json(value: Any) -> None:
    print(json.dumps(plain(value), ensure_ascii=False))


def as_json_list(rows: Iterable[dict[str, Any]]) -> None:
    """A list written as it comes, one object to a line, so that a million findings need no memory."""
    lead = "["
    for row in rows:
        print(lead + json.dumps(plain(row), ensure_ascii=False), end="")
        lead = ",\n "
    print("[]" if lead == "[" else "]")


def as_csv(head: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows(chain([head], ([plain(v) for v in row] for row in rows)))


def distinct(names: Sequence[str]) -> list[str]:
    """Column names as keys of an object: the second `n` becomes `n_1`, as the engine itself would call it."""
    found: list[str] = []
    for name in names:
        free, count = name, 0
        while free in found:
            count += 1
            free = f"{name}_{count}"
        found.append(free)
    return found


def remark(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Tell]:
    """A `tell` for long work: a bar on a terminal, plain lines otherwise; `quiet` keeps standard output for JSON.

    A text like `check 3/19: …` moves the bar, any other stays on the screen.
    """
    stream = sys.stderr if quiet else sys.stdout
    if not stream.isatty():
        yield (lambda text: None) if quiet else (lambda text: print(text, flush=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    name = TextColumn("{task.description}")
    columns = (SpinnerColumn(), name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=stream, highlight=False), transient=True) as bar:
        task = bar.add_task("running", total=None)

        def tell(text: str) -> None:
            nonlocal task
            if counted := COUNTED.match(text):
                done, total = (int(n.replace(",", "")) for n in counted.groups()[1:])
                bar.update(task, description=counted[1], completed=done, total=total)
            else:
                bar.print(text, markup=False)
                bar.remove_task(task)  # a bar that has a length cannot lose it
                task = bar.add_task("running", total=None)

        yield tell
