"""What every task of a night pays for the catalogue: all of it, and what its item compiles to.

Run: `PYTHONPATH=. python tests/benchmarks/catalogue.py [TIMES]`. Prints processor seconds in one warm process, the
median of TIMES (5) runs: `first` is what the first night under a catalogue pays, `kept` what every task pays after it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from pipelines.judge import Desk, kept_catalogue
from pipelines.model import Home
from pipelines.stores.keys import Keys
from schemas import arrow, overlay, tables
from schemas.compiled import compile_item
from schemas.load import load
from schemas.model import Catalog

DAY = date(2026, 11, 22)


def median(times: int, call: Callable[[], object]) -> float:
    spent = []
    for _ in range(times + 1):  # the first warms up
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return statistics.median(spent[1:])


def main(times: int) -> None:
    catalog = load()
    items = [overlay.effective(catalog, i.code, i.providers[0], DAY) for i in catalog.items.values()]
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        night = Desk(home, catalog, Keys(bytes(32)), DAY)
        first = {i.code: median(times, lambda i=i: compile_item(i, catalog, night.policy)) for i in items}
        rows = [
            ("read and check the whole catalogue", median(times, load), median(times, lambda: kept_catalogue(home))),
            ("compile all items", sum(first.values()), median(times, lambda: [night.compiled(i) for i in items])),
            ("tables and shapes of all items", median(times, lambda: shapes(catalog)), None),
        ]
    print(f"{len(items)} items, {sum(len(i.fields) for i in items)} fields; processor seconds, median of {times}")
    print(f"{'':38}first    kept")
    for name, once, again in rows:
        print(f"{name:36}{once:7.3f} {once if again is None else again:7.3f}")
    print(f"{'together':36}{sum(r[1] for r in rows):7.3f} {sum(r[1] if r[2] is None else r[2] for r in rows):7.3f}")
    print(f"one item, first: median {statistics.median(first.values()):.3f}, most {max(first.values()):.3f}")


def shapes(catalog: Catalog) -> None:
    tables.warehouse(catalog.items.values())
    for item in catalog.items.values():
        arrow.statement_schema(item)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
