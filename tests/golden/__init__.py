"""A golden scenario: sixteen departments, thirty nights, a ledger of planted events, and what has to come of them.

`ledger.csv` says who sends what on which night (night 1 is 10 February 2104, so that people born in the 2080s are grown
up) and what is planted there; `sent/<item>.csv` has the rows of each file, `constants.toml` the cells that are the same
in all of them, `catalog.diff` what the catalogue says beside ours: a department that is renamed in between, and a
delivery that a person lets pass.

The rest is what has to come of it, written by hand from what departments said and what the law and the catalogue make
of it: `current/` records after each asked night, `history/` statements, `versions/` valid time. Empty cells are NULL.
What depends on the arrival (deliveries, releases, lines) stands nowhere here.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import run
from pipelines.model import delivery_id
from schemas import load
from tests.dirty_files import table
from tests.nights import Home
from tests.oracle_credit_number import mod_11_2
from tests.test_privacy import name

HERE = Path(__file__).parent
FIRST = date(2104, 2, 10)
LAST = 30
ITEMS = tuple(sorted(p.stem for p in (HERE / "sent").glob("*.csv")))
EMPTY = "∅"
SPECS = load.load().items


def day(night: int) -> date:
    return FIRST + timedelta(night - 1)


@cache
def rows_of(path: str) -> tuple[dict[str, str], ...]:
    with (HERE / path).open(encoding="utf-8", newline="") as file:
        found = tuple(csv.DictReader(file))
    for n, row in enumerate(found, start=2):
        assert None not in row and None not in row.values(), f"{path} line {n}: more or less cells than the header"
    return found


CONSTANTS = tomllib.loads((HERE / "constants.toml").read_text(encoding="utf-8"))


def number_of(born: str, serial: str) -> str:
    """An invented number: region 469099 was never given out, and nobody was born then."""
    body = "469099" + born.replace("-", "") + serial
    return body + mod_11_2(body)


PEOPLE = {
    r["person"]: (name(n), number_of(r["born"], r["serial"])) for n, r in enumerate(rows_of("people.csv"), start=1)
}


@dataclass(frozen=True)
class Entry:
    """A line of the ledger: a file that is sent, or one that is taken back."""

    place: int
    night: int
    do: str
    file: str
    department: str
    item: str
    manifest: dict[str, Any]
    content: str


def _entry(place: int, row: Mapping[str, str]) -> Entry:
    said = {"period": row["period"], "mode": row["mode"], "sequence": row["sequence"], "rows": row["rows"]}
    manifest = {k: int(v) if k in ("sequence", "rows") else v for k, v in said.items() if v not in ("", "key")}
    content = ""
    if row["do"] == "send":
        content = written(row["item"], row["content"] or row["file"], is_key_only=row["mode"] == "key")
    return Entry(
        place, int(row["night"]), row["do"], row["file"], row["department"], row["item"], manifest, content
    )


def written(item: str, file: str, is_key_only: bool) -> str:
    """The file as its department writes it."""
    of = SPECS[item]
    name_field, number_field = of.by_role("name").name, of.by_role("credit_number").name
    found = []
    for row in rows_of(f"sent/{item}.csv"):
        if row["file"] != file:
            continue
        said = {k: v for k, v in row.items() if k not in ("file", "person")}
        whose, number = PEOPLE[row["person"]]
        if wrong := said.get("wrong_credit_number"):
            said["wrong_credit_number"] = PEOPLE[wrong][1]
        if is_key_only:
            said = {k: said[k] for k in of.business_key} | {number_field: number, "row_action": "撤回"}
        else:
            constant = CONSTANTS[item]["sent"]
            said = {**constant, **{k: v for k, v in said.items() if v or k not in constant}}
            said = {k: "" if v == EMPTY else v for k, v in said.items()} | {name_field: whose, number_field: number}
        if said.get("zone_part") == "":
            del said["zone_part"]  # a column of one county
        found.append({of.field(k).label_zh: v for k, v in said.items()})
    assert found, f"sent/{item}.csv has no row of {file}"
    return table(*found)


LEDGER = tuple(_entry(n, row) for n, row in enumerate(rows_of("ledger.csv")))


def catalogue(place: Path) -> Path:
    """Our catalogue with what `catalog.diff` says, under `place`."""
    shutil.copytree(load.CATALOG, place / "catalog")
    early = next(e for e in LEDGER if e.file == "qh-early")
    sha256 = hashlib.sha256(early.content.encode()).hexdigest()
    period = date.fromisoformat(early.manifest["period"])
    known = delivery_id(early.department, early.item, period, 1, "incremental", sha256)
    text = (HERE / "catalog.diff").read_text(encoding="utf-8").replace("qh-early", known)
    subprocess.run(["git", "apply", "-"], input=text.encode(), cwd=place, check=True)
    return place / "catalog"


def live(home: Home, night: int, entries: Iterable[Entry]) -> None:
    """One night: what is sent comes in, the nightly runs, and what a person takes back goes."""
    entries = sorted(entries, key=lambda e: e.place)
    for e in entries:
        if e.do == "send":
            replace(home, item=e.item, sender=e.department).send(**{e.file: (e.content, e.manifest)})
    with home.told():
        assert run.nightly(home.place, day(night))["failed"] == []
    for e in entries:
        if e.do == "revert":
            told = home.deliveries()[e.file]
            with home.told():
                run.revert(home.place, day(night), told["delivery_id"], "the data desk", "sent by mistake")


def settled(nights: Mapping[int, Sequence[Entry]]) -> dict[int, list[Entry]]:
    """The same arrival, but nothing is taken back before it was there."""
    came = {e.file: n for n, entries in nights.items() for e in entries if e.do == "send"}
    found: dict[int, list[Entry]] = {n: [] for n in nights}
    for n, entries in nights.items():
        for e in entries:
            found[max(n, came[e.file]) if e.do == "revert" else n].append(e)
    return found
