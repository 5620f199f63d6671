"""Planted defects: what people and spreadsheets do to a row, one defect on a row of its own, written down as truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sampling.persons import NEVER_REGION, Ints, ending_in_x, number, pick, scramble
from pipelines.sampling.rows import FIRST_DAY, Rows, day_texts

PLACEHOLDERS = ("无", "/", "-", "暂无", "null", "不详", "未提供")
ON_NUMBER = ("I003", "I004", "I005", "I006", "I001", "I002", "I009", "I013", "I007")
WIDE = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")


@dataclass
class Plan:
    """Defects of one chunk: positions in it with code and field; what to send twice; what to lengthen."""

    positions: list[int] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    fields: list[str | None] = field(default_factory=list)

    def at(self, *codes: str) -> Ints:
        return np.array([p for p, c in zip(self.positions, self.codes, strict=True) if c in codes], dtype=np.int64)


class Defects:
    """Which defects an item's rows can show, and how each is made."""

    def __init__(self, rows: Rows, *, delimited: bool) -> None:
        self.rows = rows
        self.credit = rows.roles["credit_number"]
        self.targets: dict[str, list[str | None]] = {c: [self.credit] for c in ON_NUMBER}
        amounts = {r["field"] for r in rows.rules if r["kind"] in ("amount_if_code", "required_if")}
        plain = [n for n in rows.fields if n not in rows.roles.values() or n == rows.roles["name"]]
        calm = [n for n in plain if n not in amounts]  # others would break a second rule as well
        typed = {n: rows.fields[n]["type"] for n in calm}
        ranged = [n for n in plain if (rows.rule(n, "between") or {}).get("high") is not None]
        self._may("V001", [n for n in calm if rows.fields[n].get("required")])
        self._may("V002", [n for n, t in typed.items() if t == "date"])
        self._may("V003", [n for n, t in typed.items() if t == "decimal"] or self._decimals(plain))
        self._may("V004", [n for n, t in typed.items() if t == "code"])
        self._may("V006", ranged)
        orders = [r for r in rows.rules if r["kind"] == "not_before" and rows.fields[r["field"]]["type"] == "date"]
        self.others = {r["field"]: r["other"] for r in orders if r["other"] in rows.order}
        self._may("X001", list(self.others))
        if delimited:
            self.targets["F007"] = [None]
        self.targets["D001"] = [None]

    def _may(self, code: str, fields: Sequence[str]) -> None:
        if fields:
            self.targets[code] = list(fields)

    def _decimals(self, names: Sequence[str]) -> list[str]:
        return [n for n in names if self.rows.fields[n]["type"] == "decimal"]

    def plan(self, hits: Ints, start: int, mark: int) -> Plan:
        """Give each hit a code in turn, `start` being how many the file had before, and a field by chance."""
        codes, found = list(self.targets), Plan()
        struck = set(hits.tolist())
        chances = scramble(hits, mark)
        turn = mark % len(codes) + start
        for n, position in enumerate(hits.tolist()):
            code = codes[(turn + n) % len(codes)]
            if code == "D001" and clean_before(position, struck) is None:
                code = "I006"
            fields = self.targets[code]
            found.positions.append(position)
            found.codes.append(code)
            found.fields.append(fields[int(chances[n] % np.uint64(len(fields)))])
        return found

    def spoil(self, plan: Plan, columns: dict[str, pa.Array], serials: Ints, day_form: str, mark: int) -> None:
        """Put the planned wrong values into `columns`."""
        edits: dict[str, dict[int, str]] = {}
        for position, code, name in zip(plan.positions, plan.codes, plan.fields, strict=True):
            if name is not None:
                old = columns[name][position].as_py() or ""
                random = int(scramble(serials[position : position + 1], mark)[0] >> np.uint64(2))
                edits.setdefault(name, {})[position] = self._wrong(code, name, old, serials[position], day_form, random)
        for name, cells in edits.items():
            where = np.zeros(len(serials), dtype=bool)
            where[list(cells)] = True
            values = pa.array([cells[p] for p in sorted(cells)], pa.string())
            columns[name] = pc.replace_with_mask(columns[name], pa.array(where), values)

    def _wrong(self, code: str, name: str, old: str, serial: int, day_form: str, random: int) -> str:
        if code in ON_NUMBER:
            return WRONG_NUMBERS[code](old, random)
        if code == "V006":
            return str(int((self.rows.rule(name, "between") or {})["high"]) + 1 + random % 9)
        if code == "X001":
            others = self.rows.days(np.array([serial], dtype=np.int64))[self.others[name]]
            return str(pick(day_texts(day_form), others - 10 - FIRST_DAY.toordinal())[0].as_py())
        wrong = {"V001": "", "V002": f"{2020 + random % 6}-13-05", "V003": "5-10万", "V004": f"未知{random % 1000}"}
        return wrong[code]


def clean_before(position: int, struck: set[int]) -> int | None:
    """The nearest earlier row of the chunk without a defect; None if there is none."""
    return next((p for p in range(position - 1, -1, -1) if p not in struck), None)


def other_check(old: str, random: int) -> str:
    others = [c for c in "0123456789X" if c != old[17]]
    return old[:17] + others[random % 10]


def remade(region: int, birth: int, serial: int) -> str:
    parts = (np.array([n], dtype=np.int64) for n in (region, birth, serial))
    return bytes(number(*parts)[0]).decode()


def impossible_day(old: str, random: int) -> str:
    day = ("0230", "0431", "1301", "0100")[random % 4]
    return remade(int(old[:6]), int(old[6:10] + day), int(old[14:17]))


def wide_or_lower(old: str, random: int) -> str:
    return old.lower() if old.endswith("X") and random % 2 else old.translate(WIDE)


WRONG_NUMBERS: dict[str, Callable[[str, int], str]] = {
    "I001": lambda old, random: PLACEHOLDERS[random % len(PLACEHOLDERS)],
    "I002": lambda old, random: old[:17],
    "I003": other_check,
    "I004": impossible_day,
    "I005": lambda old, random: f"{old[0]}.{old[1:6]}E+17",
    "I006": lambda old, random: f"{old[:6]}********{old[14:]}",
    "I007": lambda old, random: remade(NEVER_REGION, int(old[6:14]), int(old[14:17])),
    "I009": wide_or_lower,
    "I013": lambda old, random: ending_in_x(int(old[:6]), int(old[6:14]), int(old[14:17]))[:17] + "\u0425",
}
