"""What every task of a night pays for the catalogue: reading and checking all of it, then compiling items.

Run: `PYTHONPATH=. python tests/benchmarks/catalogue.py [TIMES]`. Prints processor seconds, the median of TIMES (5) runs
in one warm process. A task loads the catalogue and compiles the one item it is about; compiling all is the upper bound.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import date

from schemas import arrow, overlay, profile, record, row_rules, tables
from schemas.load import load
from schemas.model import Catalog, Item

DAY = date(2026, 11, 22)
POLICY = row_rules.Policy(minimum_birth_year=1900, adult_age=18)


def compile_item(item: Item, catalog: Catalog) -> None:
    """All that a delivery of the item needs, as SQL."""
    judged = overlay.effective(catalog, item.code, item.providers[0], DAY)
    listed = row_rules.checks(judged, catalog, POLICY)
    present = {f.name for f in judged.live_fields}
    for tree in (
        row_rules.texts(judged, present, DAY), row_rules.located(judged), row_rules.accepted(listed),
        row_rules.judged(listed), record.select(judged, "passing"),
    ):  # fmt: skip
        tree.sql(dialect="duckdb", copy=False)
    arrow.statement_schema(item)
    for figures in profile.selects(item, catalog.code_sets, date(1990, 1, 1), DAY):
        figures.sql(dialect="duckdb")


def median(times: int, call: Callable[[], object]) -> float:
    spent = []
    for _ in range(times + 1):  # the first warms up
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return statistics.median(spent[1:])


def main(times: int) -> None:
    catalog = load()
    items = list(catalog.items.values())
    loading = median(times, load)
    each = {i.code: median(times, lambda i=i: compile_item(i, catalog)) for i in items}
    warehouse = median(times, lambda: tables.warehouse(items))
    print(f"{len(items)} items, {sum(len(i.fields) for i in items)} fields, processor seconds, median of {times}")
    print(f"load and check the whole catalogue     {loading:.3f}")
    print(f"compile one item, median               {statistics.median(each.values()):.3f}")
    print(f"compile the costliest ({max(each, key=lambda c: each[c])})  {max(each.values()):.3f}")
    print(f"compile all items                      {sum(each.values()):.3f}")
    print(f"tables of the warehouse                {warehouse:.3f}")
    print(f"load and compile all                   {loading + sum(each.values()) + warehouse:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
