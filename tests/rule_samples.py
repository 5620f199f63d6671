"""Committed rows that show what every check of an item stops: tests/samples/rules/<item>.csv, and how they are judged.

Of an item that was declared otherwise in another time there is one more file for each, `<item>.<first day>.csv`; for
a county that adjusts the item, `<item>.<county>.csv`.

The first row of a file passes and is written in full. Every later row says only what is different from it: an empty
cell stands for the value of the first row, `∅` for no value, and `例{201}` at the end of a cell for 201 times 例.
`expected` is `passes` or the finding (field:code:severity) that the row is there for; `with` are the findings that
come with it; `where` is the condition, as compiled, under which the check fails. A row that passes and has a `where`
stands at the very edge of that condition.

`python -m tests.rule_fixtures` renews the files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from schemas import limits, overlay, row_rules
from schemas.characters import MISREAD
from schemas.model import Catalog, Dated, Item
from schemas.row_rules import Check, Policy

FOLDER = Path(__file__).parent / "samples" / "rules"
RENEW = "python -m tests.rule_fixtures"
# Births of 1850-1899 and of 2080-2099 are nobody's: the former are adults on this day, the latter may be minors or
# not born yet. A minimum within the former lets one invented person be too old and another just young enough.
AS_OF = date(2099, 6, 30)
SENT = date(2026, 11, 1)  # the day whose declarations `<item>.csv` shows
MINIMUM_BIRTH_YEAR = 1860
PASSES, NOTHING = "passes", "∅"
Cells = dict[str, str | None]


@dataclass(frozen=True)
class Case:
    """An item as deliveries of the period `on` are judged by it, and the name of its file."""

    name: str
    item: Item
    on: date


@dataclass(frozen=True)
class Sample:
    """A row and the findings it must have, the one it is there for first; none if it must pass."""

    cells: Cells
    expected: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Judged:
    """What the engine says of a row: its findings, its verdict, and whether the select of accepted rows keeps it with
    the same findings. `tags` tell checks apart that make the same finding."""

    findings: tuple[str, ...]
    verdict: str
    is_kept: bool
    tags: tuple[str, ...] = field(default=(), compare=False)


def cases(catalog: Catalog) -> dict[str, Case]:
    """Every item as it is on SENT, as it was or will be wherever a date of its declarations changes it, and as the
    counties have it; by name."""
    found = {}
    for code, item in catalog.items.items():
        starts = sorted(day for day in _changes(item) if item.holds(day))
        for start, after in zip(starts, [*starts[1:], None], strict=True):
            last = after - timedelta(1) if after else item.valid_to or date.max
            is_now = start <= SENT <= last
            on = SENT if is_now else last if after else start
            name = code if is_now else f"{code}.{start}"
            found[name] = Case(name, overlay.effective(catalog, code, "", on), on)
    for county, said in catalog.overlays.items():
        for code in {c for o in overlay.chain(catalog, county) for c in o.items}:
            on = SENT if said.holds(SENT) else said.valid_from or SENT
            found[f"{code}.{county}"] = Case(f"{code}.{county}", overlay.effective(catalog, code, county, on), on)
    return dict(sorted(found.items()))


def _changes(item: Item) -> set[date]:
    """The days from which on the item is another one."""
    dated: list[Dated] = [*item.editions, *item.fields, *item.rules, *(r for f in item.fields for r in f.rules)]
    ends = {d.valid_to + timedelta(1) for d in dated if d.valid_to}
    return {item.valid_from, *ends, *(d.valid_from for d in dated if d.valid_from)}


def policy(catalog: Catalog) -> Policy:
    return limits.policy(catalog, AS_OF, MINIMUM_BIRTH_YEAR)


def checks(item: Item, catalog: Catalog) -> list[Check]:
    return row_rules.checks(item, catalog, policy(catalog))


def finding(check: Check) -> str:
    return f"{check.field}:{check.code}:{check.severity}"


def condition(check: Check) -> str:
    """When the check fails, with every option of its rule: what tells two rules of one field and code apart.
    Patterns of hundreds of characters go by their names."""
    if check.code == "L004":
        return "SEALED"
    return check.violated.sql(dialect="duckdb").replace(MISREAD, "MISREAD")


def verdict(findings: Sequence[str]) -> str:
    """What must become of a row with these findings."""
    said = [f.split(":")[1:] for f in findings]
    if any(code in row_rules.REFUSING for code, _ in said):
        return "refused"
    severities = {severity for _, severity in said}
    return "rejected" if "error" in severities else "held" if "hold" in severities else "accepted"


@dataclass
class Judge:
    """Rows through the compiled checks, of any number of items in one engine."""

    catalog: Catalog
    engine: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    _sets: dict[str, date] = field(default_factory=dict)

    def locate(self, case: Case, rows: Sequence[Cells]) -> None:
        """Read the rows as the item declares its fields; `ask` then asks any checks of them."""
        item = case.item
        columns = {f.name: pa.array([r.get(f.name) for r in rows], pa.string()) for f in item.fields}
        columns["as_of"] = pa.array([AS_OF] * len(rows), pa.date32())
        places = pa.array(range(len(rows)), pa.int64())
        self.engine.register("staged", pa.table({"place": places, "line": places, "sheet": places, **columns}))
        for name in {f.code_set for f in item.fields if f.code_set} | {"region"}:
            self._code_table(name, case.on)
        texts = row_rules.texts(item).sql(dialect="duckdb")
        self.engine.execute(f"CREATE OR REPLACE VIEW texts AS {texts}")
        self.engine.execute(f"CREATE OR REPLACE TABLE located AS {row_rules.located(item).sql(dialect='duckdb')}")

    def ask(self, listed: Sequence[Check]) -> list[Judged]:
        said = {check.tag: finding(check) for check in listed}
        accepted = row_rules.accepted(list(listed)).sql(dialect="duckdb")
        judged = row_rules.judged(list(listed)).sql(dialect="duckdb")
        notes = dict(self.engine.execute(f"SELECT place, notes FROM ({accepted})").fetchall())
        rows = self.engine.execute(f"SELECT place, failed, verdict FROM ({judged}) ORDER BY place").fetchall()
        found = []
        for place, failed, verdict in rows:
            tags = tuple(failed.split(",")) if failed else ()
            found.append(Judged(tuple(sorted(said[t] for t in tags)), verdict, notes.get(place) == failed, tags))
        return found

    def judge(self, case: Case, rows: Sequence[Cells]) -> list[Judged]:
        return self.judge_by(case, rows, checks(case.item, self.catalog))

    def judge_by(self, case: Case, rows: Sequence[Cells], listed: Sequence[Check]) -> list[Judged]:
        self.locate(case, rows)
        return self.ask(listed)

    def _code_table(self, name: str, on: date) -> None:
        if self._sets.get(name) != on:
            self.engine.register("arriving", code_table(self.catalog, name, on))
            self.engine.execute(f"CREATE OR REPLACE TABLE codes_{name} AS SELECT * FROM arriving")
            self._sets[name] = on


def code_table(catalog: Catalog, name: str, on: date) -> pa.Table:
    """A code set as `row_rules.located` joins it."""
    known, ended = row_rules.code_values(catalog.code_sets[name], on), row_rules.ended(catalog.code_sets[name])
    values, codes = pa.array(known, pa.string()), pa.array(known.values(), pa.string())
    last = pa.array([ended.get(code) for code in known.values()], pa.date32())
    return pa.table({"value": values, "code": codes, "valid_to": last})


def differences(samples: Sequence[Sample], judged: Sequence[Judged]) -> list[str]:
    """What the engine says otherwise than the file, row by row."""
    found = []
    for number, (sample, said) in enumerate(zip(samples, judged, strict=True), start=1):
        wanted, became = tuple(sorted(sample.expected)), verdict(sample.expected)
        if said != Judged(wanted, became, became == "accepted"):
            now = f"{' '.join(said.findings) or PASSES}, {said.verdict}"
            found.append(f"record {number} should be {' '.join(wanted) or PASSES}, {became}; it is {now}")
    return found


def path_of(case: str) -> Path:
    return FOLDER / f"{case}.csv"


def read(path: Path) -> list[Sample]:
    with path.open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    first: Cells = {}
    samples = []
    for row in rows:
        expected = () if row["expected"] == PASSES else (row["expected"], *row["with"].split())
        where = row["where"]
        told = {name: cell for name, cell in row.items() if name not in ("expected", "with", "where")}
        cells: Cells = {n: first.get(n) if c == "" else None if c == NOTHING else _long(c) for n, c in told.items()}
        first = first or cells
        samples.append(Sample(cells, expected, where))
    return samples


def write(path: Path, samples: Sequence[Sample]) -> None:
    first = samples[0].cells
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["expected", "with", "where", *first])
        for n, sample in enumerate(samples):
            aim, *more = sample.expected or (PASSES,)
            cells = ["" if n and value == first[name] else _short(value) for name, value in sample.cells.items()]
            out.writerow([aim, " ".join(more), sample.where, *cells])


def _short(value: str | None) -> str:
    if value is None:
        return NOTHING
    return re.sub(r"(.)\1{11,}$", lambda m: f"{m[1]}{{{len(m[0])}}}", value)


def _long(cell: str) -> str:
    return re.sub(r"(.)\{([0-9]+)\}$", lambda m: m[1] * int(m[2]), cell)
