"""Make tests/samples/rules: for every check of every item rows that fail it, and rows at its very edge that pass.

    python -m tests.rule_fixtures [ITEM or FILE ...]

The first row of an item comes from the generator of sample deliveries, which shares no code with the rules. For every
compiled check there are changes to that row which should make it fail, most telling first. All are judged in one
pass; of those that fail as planned the one with the fewest other findings is kept. A check that nothing makes fail is
named, and the exit code is 1. Same catalogue, same bytes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from pipelines.sampling.persons import Persons
from pipelines.sampling.rows import Rows, read_catalogue
from schemas import load as catalogue
from schemas import sealed
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.model import FieldSpec, Item
from schemas.row_rules import CREDIT_ERRORS, Check, birth_field, ended
from tests.oracle_credit_number import mod_11_2
from tests.rule_samples import (
    AS_OF,
    FOLDER,
    MINIMUM_BIRTH_YEAR,
    Case,
    Cells,
    Judge,
    Judged,
    Sample,
    cases,
    checks,
    condition,
    finding,
    path_of,
    policy,
    write,
)

DRAWN, COMPLETE = 2000, 200
PERSON = "460106186003070037"
IDENTITY_CARD, PASSPORT = "111", "414"
ORGANISATION, SOLE_TRADER = "91469099MA5T00010A", "92469099MA5T000294"  # region 469099 was never given out
EVENT = date(2098, 5, 1)  # somebody born in 2080 comes of age


def born(day: date, region: str = "460106") -> str:
    body = f"{region}{day:%Y%m%d}003"
    return body + mod_11_2(body)


# Finding code of the credit number -> numbers that show it, each a row of its own. All are invented.
NUMBERS: dict[str, tuple[str | None, ...]] = {
    "I001": (None, "暂无", "111111"),
    "I002": ("46010618600307003", "4601061860030700377"),
    "I003": ("460106186003070038",),
    "I004": ("830000186302290035",),
    "I005": ("4.60106E+17", "460106186003070000"),
    "I006": ("460106********0037",),
    "I007": (born(date(1860, 3, 7), region="469099"),),
    "I008": ("460106600307997",),  # 996-999 stood for people born in 18xx: 1860
    "I009": ("46010618600307007x", "460106 18600307 007X", "４６０１０６１８６００３０７００７Ｘ"),
    "I011": (born(date(MINIMUM_BIRTH_YEAR - 1, 12, 31)),),
    "I012": (born(AS_OF + timedelta(1)), born(date(2099, 12, 31))),
    "I013": ("46010618600307007×", "4601061860O3070037"),
    "I014": (ORGANISATION[:-1] + "B",),
    "I015": ("460106186003073000",),
}
UNREADABLE = {
    "date": ("2098-13-05", "2098-02-30"),
    "timestamp": ("下午三点",),
    "integer": ("三", "1.5"),
    "decimal": ("5-10万",),
    "boolean": ("部分",),
    "code": ("未知7",),
}
# Writings that are read all the same, each of a type.
RARE = {
    "date": ("二〇九八年一月五日", "2098-01-04T16:00:00Z"),
    "timestamp": ("2098-01-04T16:00:00Z",),
    "integer": ("１",),
    "decimal": ("１",),
    "boolean": ("YES",),
}
# What the cell of the name may hold; `{}` is the name.
NAMES = {
    "V001": (None,),
    "V017": ("{}（经营者）", "符　三"),
    "V018": ("{}等3人", "{}、冼三"),
    "V019": ("符某某", "无", "符**"),
    "V020": ("示例餐饮店（{}）", "符"),
    "V021": ("测试甲",),
}


@dataclass
class Ways:
    """Groups of changes to the first row; one of each group is kept. `failing` fail the check, the fewer other findings
    the better; `passing` stand at the edge and have no finding at all."""

    failing: list[list[Cells]]
    passing: list[list[Cells]] = field(default_factory=list)


class Fixtures:
    """The samples of one item as of a day."""

    def __init__(self, case: Case, judge: Judge, rows: Rows) -> None:
        self.case, self.item, self.judge, self.catalog = case, case.item, judge, judge.catalog
        self.number, self.certificate = (self.item.by_role(r).name for r in ("credit_number", "certificate_type"))
        self.specs = {f.name: f for f in self.item.live_fields}
        self.drawn = self._draw(rows)
        self.row = self.drawn[0]
        self.declared = {
            (f.name, FIELD_KINDS[r.kind].violated(exp.column(f.name), r.options).sql(dialect="duckdb")): r
            for f in self.item.live_fields
            for r in f.rules
        }
        self.declared |= {
            (r.options["field"], ITEM_KINDS[r.kind].violated(r.options).sql(dialect="duckdb")): r
            for r in self.item.rules
        }

    def _draw(self, rows: Rows) -> list[Cells]:
        """Rows without any finding, the most complete first."""
        serials = np.arange(DRAWN, dtype=np.int64)
        columns = rows.columns(serials, serials * 0, DRAWN, "%Y-%m-%d", serials)
        card = next(c.label for c in self.catalog.code_sets["certificate_type"].codes if c.code == IDENTITY_CARD)
        # What the number of PERSON tells, and what holds on the day of judging.
        told = {"sex_of_number": "1", "birth_of_number": "1860-03-07", "not_before_as_of": AS_OF.isoformat()}
        fixed = {f.name: told[r.kind] for f in self.specs.values() for r in f.rules if r.kind in told}
        drawn: list[Cells] = [
            {**r, **{k: v for k, v in fixed.items() if r[k] is not None}, self.number: PERSON, self.certificate: card}
            for r in pa.table(columns).to_pylist()
            if not any("\n" in (cell or "") for cell in r.values())
        ]
        drawn = sorted(drawn, key=lambda r: sum(cell is None for cell in r.values()))[:COMPLETE]
        passing = [r for r, said in zip(drawn, self.judge.judge(self.case, drawn), strict=True) if not said.findings]
        if not passing:
            raise SystemExit(f"{self.case.name}: no row of the sample generator passes. Mend pipelines/sampling.")
        return passing

    def samples(self) -> tuple[list[Sample], list[str], list[str]]:
        """The samples, the checks that nothing makes fail, and those at whose edge nothing passes."""
        plans = [(check, self.ways(check)) for check in checks(self.item, self.catalog)]
        tried = [
            (check, is_failing, [{**self.row, **c} for change in group for c in self.relaxed(change)])
            for check, ways in plans
            for is_failing, groups in ((True, ways.failing), (False, ways.passing))
            for group in groups
        ]
        answers = iter(self.judge.judge(self.case, [cells for _, _, group in tried for cells in group]))
        made, no_edge = [Sample(self.row)], []
        fired: set[str] = set()
        for check, is_failing, group in tried:
            said = list(islice(answers, len(group)))
            best = (_failing if is_failing else _passing)(check, group, said)
            if best is not None and is_failing:
                fired.add(check.tag)
            elif best is None and not is_failing:
                no_edge.append(_named(check))
            if best is not None and not any(best.cells == m.cells and best.expected == m.expected for m in made):
                made.append(best)
        return made, [_named(check) for check, _ in plans if check.tag not in fired], no_edge

    # changes that make a check fail

    def ways(self, check: Check) -> Ways:
        rule = self.declared.get((check.field, condition(check)))
        if rule is not None:
            way = getattr(self, f"_{rule.kind}", None)
            if way is None:
                raise SystemExit(f"tests/rule_fixtures.py: no way to break '{rule.kind}'. Write one as _{rule.kind}.")
            found: Ways = way(check.field, rule.options)
            return found
        if check.code in ("L001", "L004", "L005"):
            return {"L001": self._minor, "L004": self._sealed, "L005": self._birth_unknown}[check.code]()
        if check.field == self.number:
            return self._number(check)
        spec = self.specs[check.field]
        text = self.row[spec.name] or ""
        is_linked = self.item.registers is not None and spec.name == self.item.registers.number
        if (spec.replaces == self.number or is_linked) and check.code in (*CREDIT_ERRORS, "I015"):
            wrong = ("E00000000", ORGANISATION)[: 1 + is_linked] if check.code == "I010" else NUMBERS[check.code]
            return Ways([[{spec.name: n}] for n in wrong])
        if spec.role == "name" and check.code in NAMES:
            return Ways([[{spec.name: n and n.format(text)}] for n in NAMES[check.code]])
        if check.code == "V011":
            return Ways([[{spec.name: "5/1/2098"}]])
        if check.code in ("V014", "V015"):
            return Ways([[{spec.name: said}] for said in (RARE[spec.type] if check.code == "V014" else ("72325",))])
        if check.code == "V016":
            return Ways([[{spec.name: "暂无"}]])
        if check.code == "X007":
            return Ways([[{spec.name: "natural_person", self.number: SOLE_TRADER}]])
        if check.code == "V024":
            return Ways([[{spec.name: "该处罚已撤销，请删除"}]], [[{spec.name: "仅作示例"}]])
        if check.code == "V022":
            return Ways([[{spec.name: f"{text[: (spec.length or 0) - 6]}&nbsp;"}, {spec.name: "<b>例</b>"}]])
        if check.code == "V001":
            return Ways([[{spec.name: said}] for said in ((None,) if spec.type == "text" else (None, "暂无"))])
        if check.code == "V005":
            return self._length(spec)
        if check.code == "V013":
            return self._ended(spec)
        if check.code == "F015":
            return Ways([self._lost(spec, "\ufffd末"), self._lost(spec, "锟斤拷")])
        if check.code == "F034":
            return Ways([[{spec.name: text}] for text in ("寮犱笁锛", "å¼\u00a0ä¸‰ï¼Œ")])
        if check.code == "F033":
            return Ways([self._lost(spec, "▀")])
        if check.code == "F035":
            return Ways([self._lost(spec, "\ufffd")])
        texts = list(UNREADABLE[spec.type])
        if spec.type == "decimal":
            texts.append(f"1.{'1' * ((spec.scale or 0) + 1)}")
        return Ways([[{spec.name: text}] for text in texts])

    def _ended(self, spec: FieldSpec) -> Ways:
        """A code that had ended before the day of the row, and one on its last day."""
        last = sorted(ended(self.catalog.code_sets[spec.code_set or ""]).items())
        event = self.item.event_date
        on_the_day = [[{spec.name: code, event: day.isoformat()} for code, day in last]] if event else []
        return Ways([[{spec.name: code} for code, _ in last]], on_the_day)

    def _number(self, check: Check) -> Ways:
        if check.code == "I010":
            return self._certificate(check)
        groups: list[list[Cells]] = [[{self.number: n}] for n in NUMBERS[check.code]]
        edge = [[{self.number: born(date(MINIMUM_BIRTH_YEAR, 1, 1))}]] if check.code == "I011" else []
        return Ways(groups, edge)

    def _certificate(self, check: Check) -> Ways:
        if "uscc" in condition(check):
            return Ways([[{self.number: ORGANISATION}]])
        ways = Ways([[{self.certificate: PASSPORT}], [{self.number: "E00000000"}]])
        if "sole_trader" in self.item.subject_types:
            kinds = {f.name: "sole_trader" for f in self.specs.values() if f.code_set == "subject_type"}
            ways.passing.append([{self.number: SOLE_TRADER, **kinds}])
        return ways

    def _minor(self) -> Ways:
        """One day too young on the day of the event, or of the act before it, and just old enough on both."""
        age = policy(self.catalog).adult_age
        day = EVENT if self.item.event_date else AS_OF
        of_age = day.replace(year=day.year - age)
        event: Cells = {self.item.event_date: day.isoformat()} if self.item.event_date else {}
        acts: Cells = {name: day.isoformat() for name in self.item.acted_on if name in self.specs}
        failing: list[list[Cells]] = [[{**event, **acts, **self._born(of_age + timedelta(1))}]]
        if acts:
            before = dict.fromkeys(acts, (day - timedelta(1)).isoformat())
            failing.append([{**event, **before, **self._born(of_age)}])
        return Ways(failing, [[{**event, **acts, **self._born(of_age)}]])

    def _born(self, day: date) -> Cells:
        """The number of somebody born on the day, which a row that tells it tells alike."""
        told = birth_field(self.item)
        said: Cells = {told.name: day.isoformat()} if told and self.row[told.name] else {}
        return {self.number: born(day), **said}

    def _sealed(self) -> Ways:
        """A word of each line of catalog/law/sealed.csv, and the phrases in which it is harmless."""
        texts = [s.name for s in self.specs.values() if s.type == "text" and s.sensitivity != "identifying"]
        name = next((n for n in texts if self.specs[n].is_free_text), texts[0])
        listed = sealed.of(self.item, self.catalog)
        harmless: list[list[Cells]] = [[{name: phrase} for phrase in s.unless] for s in listed if s.unless]
        return Ways([[{name: word} for word in s.words] for s in listed], harmless)

    def _birth_unknown(self) -> Ways:
        passport: Cells = {self.number: "E00000000", self.certificate: PASSPORT}
        told = birth_field(self.item)
        failing: list[Cells] = [{**passport, told.name: None} if told else passport]
        return Ways([failing], [[{**passport, told.name: "1860-03-07"}]] if told else [])

    def _length(self, spec: FieldSpec) -> Ways:
        """One character too many in a way that other rules of the field may like, and exactly as many as allowed."""
        length, text = spec.length or 0, self.row[spec.name] or ""
        longer, full = (
            [{spec.name: ("" if n < len(text) else text).ljust(n, pad)} for pad in ("例", "1", "A", "0")]
            for n in (length + 1, length)
        )
        joined = [sep.join([text] * (length // max(1, len(text)) + 2)) for sep in (";", "、", ",", "")]
        return Ways([[*longer, *({spec.name: j} for j in joined if len(j) > length)]], [full])

    def _lost(self, spec: FieldSpec, characters: str) -> list[Cells]:
        text = self.row[spec.name] or ""
        return [{spec.name: (text + characters)[-(spec.length or 0) :]}, {spec.name: characters}]

    def _between(self, name: str, options: dict[str, Any]) -> Ways:
        spec = self.specs[name]
        step = Decimal(1).scaleb(-(spec.scale or 0))
        failing, passing = [], []
        for bound, outward in (("low", -step), ("high", step)):
            if bound in options:
                edge = Decimal(str(options[bound]))
                passing.append([{name: f"{edge:f}"}])
                failing.append([{name: f"{edge + outward:f}"}])
        return Ways(failing, passing)

    def _matches(self, name: str, options: dict[str, Any]) -> Ways:
        spec, text = self.specs[name], self.row[name] or ""
        if spec.code_set:
            codes: list[Cells] = [{name: c.code} for c in self.catalog.code_sets[spec.code_set].codes]
            fitting = [c for c in codes if re.fullmatch(options["pattern"], c[name] or "")]
            return Ways([codes], [[c] for c in fitting])
        # As long as it was, with one character out of place, the last or the first if possible; and with one too many.
        odd = ("#", "1", "例", " ")
        spoilt: list[Cells] = [{name: text[:at] + o + text[at + 1 :]} for at in range(len(text)) for o in odd]
        back: list[Cells] = [{name: text[:at] + o + text[at + 1 :]} for at in reversed(range(len(text))) for o in odd]
        longer: list[list[Cells]] = [[{name: text + o} for o in odd], [{name: o + text} for o in odd]]
        return Ways([back, spoilt, *(longer if len(text) < (spec.length or 0) else [])])

    def _document_number(self, name: str, options: dict[str, Any]) -> Ways:
        return Ways([[{name: "12号"}, {name: "示例文号"}, {name: "示例文第12号"}]], [[{name: "示〔2098〕1号"}]])

    def _not_placeholder(self, name: str, options: dict[str, Any]) -> Ways:
        # A row of noughts or dashes has the form of a ticket number and makes no other finding.
        return Ways([[{name: "000000"}, {name: "------"}], [{name: "无"}], [{name: "1号"}]])

    def _not_after_as_of(self, name: str, options: dict[str, Any]) -> Ways:
        late = " 23:59:59" if self.specs[name].type == "timestamp" else ""
        return Ways([[{name: (AS_OF + timedelta(1)).isoformat()}]], [[{name: AS_OF.isoformat() + late}]])

    def _not_before_as_of(self, name: str, options: dict[str, Any]) -> Ways:
        return Ways([[{name: (AS_OF - timedelta(1)).isoformat()}]], [[{name: AS_OF.isoformat()}]])

    def _not_before(self, name: str, options: dict[str, Any]) -> Ways:
        other = options["other"]
        day = date.fromisoformat((self.row[other] or "")[:10])
        before: list[Cells] = [{name: (day - timedelta(1)).isoformat()}]
        if self.row[name]:
            before.append({other: (date.fromisoformat((self.row[name] or "")[:10]) + timedelta(1)).isoformat()})
        return Ways([before], [[{name: self.row[other]}]])

    def _sex_of_number(self, name: str, options: dict[str, Any]) -> Ways:
        return Ways([[{name: "2"}]], [[{name: "1"}]])  # the number is a man's

    def _birth_of_number(self, name: str, options: dict[str, Any]) -> Ways:
        return Ways([[{name: "1860-07-03"}]], [[{name: "1860-03-07"}]])

    def _unit_of_text(self, name: str, options: dict[str, Any]) -> Ways:
        told: Cells = {options["other"]: f"{options['word']}50元"}
        right, wrong = ("0.005", "50") if options["yuan"] == 10000 else ("50", "0.005")
        return Ways([[{**told, name: wrong}]], [[{**told, name: right}]])

    def _required_if(self, name: str, options: dict[str, Any]) -> Ways:
        when, value = options["when"], str(options["equals"])
        others: list[Cells] = [{when: v, name: None} for v in self._values(when) if v != value]
        return Ways([[{when: value, name: None}]], [[{when: value}], others[:9]])

    def _amount_if_code(self, name: str, options: dict[str, Any]) -> Ways:
        when, word = options["when"], options["contains"]
        naming: list[Cells] = [{when: v} for v in (*self._values(when), word) if word in v]
        other: list[Cells] = [{when: v, name: None} for v in self._values(when) if word not in v]
        least = f"{Decimal(1).scaleb(-(self.specs[name].scale or 0)):f}"
        failing = [[{**n, name: amount} for n in naming] for amount in ("0", None)]
        return Ways(failing, [[{**n, name: least} for n in naming], other[:4]])

    def _values(self, name: str) -> list[str]:
        """What else may stand there: the codes; the words of the pattern; what other rows have."""
        spec = self.specs[name]
        if spec.code_set:
            return [c.code for c in self.catalog.code_sets[spec.code_set].codes if c.valid_to is None]
        words = [w for r in spec.rules if r.kind == "matches" for w in re.findall("[一-龥]+", r.options["pattern"])]
        return list(dict.fromkeys([*words, *(r[name] or "" for r in self.drawn)]))

    # the rest of the row

    def relaxed(self, change: Cells) -> Iterator[Cells]:
        """The change alone, then with changes to fields that rules of the item tie to it, so that it may fail alone."""
        yield change
        tied = self._tied(set(change))
        dates = [n for n in tied if self.specs[n].type in ("date", "timestamp")]
        moved = next((v for n, v in change.items() if v and self.specs[n].type in ("date", "timestamp")), None)
        if dates and moved:
            together: Cells = dict.fromkeys(dates, moved)
            yield {**together, **change}
            yield {**{n: moved if self.specs[n].required else None for n in dates}, **change}
        for name in tied:
            if name not in dates:
                for value in self._values(name)[:6]:
                    yield {name: value, **change}
            elif not self.specs[name].required:
                yield {name: None, **change}

    def _tied(self, names: set[str]) -> list[str]:
        found = set(names)
        groups = [{r.options[k] for k in ("field", "other", "when") if k in r.options} for r in self.item.rules]
        while reached := [g for g in groups if g & found and not g <= found]:
            found = found.union(*reached)
        return [name for name in self.specs if name in found - names]


def _failing(check: Check, group: Sequence[Cells], said: Sequence[Judged]) -> Sample | None:
    """The row that fails the check with the fewest other findings, the finding of the check first."""
    found = [(cells, judged) for cells, judged in zip(group, said, strict=True) if check.tag in judged.tags]
    if not found:
        return None
    cells, judged = min(found, key=lambda f: len(f[1].findings))
    others = list(judged.findings)
    others.remove(finding(check))
    return Sample(cells, (finding(check), *others), condition(check))


def _passing(check: Check, group: Sequence[Cells], said: Sequence[Judged]) -> Sample | None:
    clean = [cells for cells, judged in zip(group, said, strict=True) if not judged.findings]
    return Sample(clean[0], (), condition(check)) if clean else None


def _named(check: Check) -> str:
    return f"{finding(check)} where {condition(check)}"


def plain(item: Item) -> dict[str, Any]:
    """The item as the generator of samples reads it: tables, without what is not said."""
    told = item.model_dump(exclude_none=True)
    live = {f.name for f in item.live_fields}
    return told | {"fields": {f["name"]: f for f in told["fields"] if f["name"] in live}}


def main(only: Sequence[str]) -> int:
    catalog = catalogue.load()
    known, persons, judge = read_catalogue(catalogue.CATALOG), Persons(1), Judge(catalog)
    silent = 0
    for name, case in cases(catalog).items():
        if only and name not in only and case.item.code not in only:
            continue
        rows = Rows(plain(case.item), known, persons, 1, case.on)
        samples, never, no_edge = Fixtures(case, judge, rows).samples()
        write(path_of(name), samples)
        silent += len(never)
        told = [f"  nothing fails {n}" for n in never] + [f"  nothing passes beside {n}" for n in no_edge]
        print("\n".join([f"{name}: {len(samples)} rows", *told]))
    if not only:
        for path in FOLDER.glob("*.csv"):
            if path.stem not in cases(catalog):
                path.unlink()
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
