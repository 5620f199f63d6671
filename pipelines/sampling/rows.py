"""Rows of any item, made field by field from what the catalogue declares; every row obeys every declared rule.

A row is a pure function of the seed, the item, its serial number and its version, so the same serial can be sent again
tomorrow (unchanged) or in another version (changed), and nothing needs to be remembered.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sampling.persons import Ints, Persons, below, digits, pick, salt, scramble, texts

DAY_FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y年%m月%d日")
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2060, 12, 31)
COMMON_SUMS = (50, 100, 150, 200, 300, 500, 1000, 1500, 2000, 5000, 8000, 10000)
ORGANS = (
    "海口市示例综合行政执法局", "三亚市示例市场监督管理局", "海南省示例主管厅", "儋州市示例行政审批服务局",
    "海口市龙华区示例局", "海口市美兰区示例局", "琼海市示例局", "文昌市示例局", "陵水黎族自治县示例局",
)  # fmt: skip
PLACES = (
    "海口市龙华区滨海大道", "海口市美兰区海府路", "三亚市天涯区解放路", "儋州市那大镇中兴大街", "琼海市嘉积镇银海路",
    "文昌市文城镇文建路", "G98环岛高速", "澄迈县金江镇解放路", "陵水县椰林镇", "五指山市通什镇河北路",
)  # fmt: skip
STORIES = (
    "当事人在检查中被发现存在示例情形，现场制作笔录并拍照留存。", "经调查，事实清楚，证据确凿，当事人予以承认。",
    "驾驶机动车违反道路交通信号灯通行", "未按规定期限履行义务，经催告后仍未履行", "在人行道上停放车辆，影响通行",
    "逾期未申报，责令限期改正", "情况属实，予以登记。", "经审核，材料齐全，符合规定。", "超过限速行驶百分之二十以上",
)  # fmt: skip
LONG_STORIES = tuple(f"{a}\n一、基本情况：{b}\n二、处理意见：依法办理。" for a in STORIES[:3] for b in STORIES[3:6])
ORGAN_CODE = "11469099008171007K"  # invented organ, region 469099, right check character
BASES = ("《示例条例》第三十八条", "《示例管理办法》第十二条第一款", "《中华人民共和国道路交通安全法》第九十条")
PLATE_CHARS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True)
class Catalogue:
    """What the generator reads of catalog/: items as plain tables, valid writings of codes, known Hainan regions."""

    items: dict[str, dict[str, Any]]
    codes: dict[str, dict[str, tuple[str, ...]]]


def read_catalogue(folder: Path) -> Catalogue:
    items = {}
    shared = folder / "elements.toml"
    elements = tomllib.loads(shared.read_text(encoding="utf-8")) if shared.exists() else {}
    for path in sorted((folder / "items").glob("*.toml")):
        item = tomllib.loads(path.read_text(encoding="utf-8"))
        item["fields"] = {n: elements.get(f.get("element"), {}) | f for n, f in item["fields"].items()}
        items[item["code"]] = item
    codes: dict[str, dict[str, tuple[str, ...]]] = {}
    for path in sorted((folder / "codes").glob("*.csv")):
        if not path.name.endswith(".variants.csv"):
            codes[path.stem] = _writings(path)
    return Catalogue(items, codes)


def _writings(path: Path) -> dict[str, tuple[str, ...]]:
    """Code -> all that may be written for it, for the codes that are in force without an end; the label is second."""
    with path.open(encoding="utf-8-sig", newline="") as f:
        found = {r["code"]: [r["code"], r["label"]] for r in csv.DictReader(f) if not r.get("valid_to")}
    labels = [names[1] for names in found.values()]
    for names in found.values():
        if labels.count(names[1]) > 1:
            del names[1]
    variants = path.with_name(f"{path.stem}.variants.csv")
    if variants.exists():
        with variants.open(encoding="utf-8-sig", newline="") as f:
            for r in csv.DictReader(f):
                is_common = r.get("department", "*") == "*"
                if is_common and r["code"] in found and '"' not in r["value"] and "\n" not in r["value"]:
                    found[r["code"]].append(r["value"])
    return {code: tuple(dict.fromkeys(names)) for code, names in found.items()}


def _in_force(declared: dict[str, Any], as_of: date) -> bool:
    return bool(declared.get("valid_from", date.min) <= as_of <= declared.get("valid_to", date.max))


class Rows:
    """The rows of one item. `columns` gives text columns by field name for serial numbers and versions."""

    def __init__(self, item: dict[str, Any], catalogue: Catalogue, persons: Persons, seed: int, as_of: date) -> None:
        self.item, self.codes, self.persons, self.as_of = item, catalogue.codes, persons, as_of
        self.code: str = item["code"]
        self.fields: dict[str, dict[str, Any]] = {n: f for n, f in item["fields"].items() if _in_force(f, as_of)}
        self.seed = salt(seed, self.code)
        # Nights of different seeds are sent to one home: their documents bear other numbers, as their persons differ.
        self.first_number = seed % 89 * 1_000_000
        declared = [r | r.get("options", {}) for r in item.get("rules", []) if _in_force(r, as_of)]
        self.rules: list[dict[str, Any]] = [r for r in declared if self._mentions(r) <= set(self.fields)]
        self.roles = {
            spec["role"]: name for name, spec in self.fields.items() if spec.get("role", "attribute") != "attribute"
        }
        self.never_empty = set(item["business_key"]).union(*(self._mentions(r) for r in self.rules))
        self.unique = next((n for n in item["business_key"] if self._is_numbered(n)), None)
        self.order = self._date_order()

    # what the declarations say

    @staticmethod
    def _mentions(rule: dict[str, Any]) -> set[str]:
        return {rule[k] for k in ("field", "other", "when") if k in rule}

    def rule(self, name: str, kind: str) -> dict[str, Any] | None:
        found = next((r for r in self.fields[name].get("rules", []) if r["kind"] == kind), None)
        return None if found is None else found | found.get("options", {})

    def label(self, name: str) -> str:
        return str(self.fields[name]["label_zh"])

    def says(self, name: str, *words: str) -> bool:
        text = f"{name} {self.label(name)}"
        return any(w in text for w in words)

    def _is_numbered(self, name: str) -> bool:
        if self.fields[name]["type"] != "text":
            return False
        pattern = self.rule(name, "matches")
        if pattern is not None:
            room = 1
            for options in alternatives(pattern["pattern"]):
                room *= len(options)
            return room >= 10**7
        return self.rule(name, "document_number") is not None or self.says(
            name, "文号", "文书", "编号", "案号", "证号", "证书号", "号码", "户号", "合同号", "_no", "number"
        )

    def _date_order(self) -> dict[str, list[str]]:
        """Date and timestamp fields, each after those it may not precede."""
        after: dict[str, list[str]] = {n: [] for n, f in self.fields.items() if f["type"] in ("date", "timestamp")}
        for r in self.rules:
            if r["kind"] == "not_before" and r["field"] in after and r["other"] in after:
                after[r["field"]].append(r["other"])
        ordered: dict[str, list[str]] = {}
        while len(ordered) < len(after):
            ready = [n for n in after if n not in ordered and all(o in ordered for o in after[n])]
            if not ready:
                raise ValueError(f"catalog/items/{self.code}.toml: not_before rules form a circle. Remove one of them.")
            ordered |= {n: after[n] for n in ready}
        return ordered

    # values

    def mark(self, *words: str) -> int:
        return salt(self.seed, *words)

    def people_of(self, serials: Ints, pool: int) -> Ints:
        """The person of each row: anybody of the pool, or one each where no document number tells records apart."""
        return below(serials, self.mark("person"), pool) if self.unique is not None else serials

    def columns(self, serials: Ints, versions: Ints, pool: int, day_form: str, resident: Ints) -> dict[str, pa.Array]:
        """Text columns by field name. `resident` are positions that must show a resident identity number."""
        people = self.people_of(serials, pool)
        foreign = self.persons.is_foreign(people)
        passport = self._writing("certificate_type", "外国护照", "外国人护照", "护照", "普通护照")
        if not passport:
            foreign[:] = False
        foreign[resident] = False
        days = self.days(serials)
        found: dict[str, pa.Array] = {}
        for name, spec in self.fields.items():
            role = spec.get("role", "attribute")
            if role == "credit_number":
                column = pc.if_else(
                    pa.array(foreign), self.persons.passports(people), texts(self.persons.numbers(people))
                )
            elif role == "name":
                column = pc.if_else(pa.array(foreign), self.persons.latin_names(people), self.persons.names(people))
            elif role == "certificate_type":
                column = self._certificates(serials, foreign, passport)
            elif role == "action":
                new = list(self.codes.get(spec["code_set"], {}).get("new", ("new",)))
                column = pick(new[:1], np.zeros(len(serials), dtype=np.int64))
            elif self.rule(name, "birth_of_number"):
                born = self.persons.parts(people)[1]
                column = pa.array([f"{b // 10000}-{b // 100 % 100:02d}-{b % 100:02d}" for b in born.tolist()])
                if self.item["nature"] == "adverse":  # asked for where a passport does not tell it
                    found[name] = pc.if_else(pa.array(foreign), column, pa.scalar(None, pa.string()))
                    continue
            elif spec["type"] == "date":
                column = pick(day_texts(day_form), days[name] - FIRST_DAY.toordinal())
            elif spec["type"] == "timestamp":
                column = self._moments(name, serials, versions, days[name])
            else:
                column = self._value(name, spec, serials, versions, people)
            found[name] = self._thinned(name, spec, column, serials)
        return found | self._linked(found, people)

    def _linked(self, found: dict[str, pa.Array], people: Ints) -> dict[str, pa.Array]:
        """Another number of the person, where a rule asks for one: that of nobody else in the sample."""
        said = self.item.get("registers", {})
        if (name := said.get("number")) not in found:
            return {}
        asked = pa.array(np.zeros(len(people), dtype=bool))
        for r in self.rules:
            if r["kind"] == "required_if" and r["field"] == name:
                written = self.codes[self.fields[r["when"]]["code_set"]][str(r["equals"])]
                asked = pc.or_(asked, pc.is_in(found[r["when"]], pa.array(written)))
        none = pa.nulls(len(people), pa.string())
        number = texts(self.persons.numbers(people + self.persons.size // 2))
        linked = {name: pc.if_else(asked, number, none)}
        if (kind := said.get("certificate_type")) in found:
            linked[kind] = pc.if_else(asked, self._writing("certificate_type", "居民身份证")[0], none)
        return linked

    def days(self, serials: Ints) -> dict[str, Ints]:
        """Ordinal day of every date field, in the order the date rules ask; in the past unless it may be future."""
        found: dict[str, Ints] = {}
        start = self.as_of.toordinal() - 160 - below(serials, self.mark("day"), 700)
        for name, others in self.order.items():
            step = 1 + below(serials, self.mark("step", name), 20)
            first = (
                start + 100 if name == self.item.get("source_time") else start
            )  # a record is stamped after its events
            day = first if not others else np.maximum.reduce([found[o] for o in others]) + step
            ends = self.says(name, "until", "valid_to", "expir", "end_date", "_end", "截止", "有效期至", "届满")
            if ends and self.rule(name, "not_after_as_of") is None and self.fields[name]["type"] == "date":
                day = day + 365 * (1 + below(serials, self.mark("years", name), 3))
            if self.rule(name, "not_before_as_of"):
                day = np.maximum(day, self.as_of.toordinal() + below(serials, self.mark("left", name), 700))
            found[name] = day
        return found

    def _moments(self, name: str, serials: Ints, versions: Ints, days: Ints) -> pa.Array:
        hours = below(serials, self.mark("hour", name), 12 * 60)
        clock = pick([f" {h:02d}:{m:02d}:00" for h in range(8, 20) for m in range(60)], hours)
        later = days + (versions if name == self.item.get("source_time") else 0)
        return pc.binary_join_element_wise(pick(day_texts("%Y-%m-%d"), later - FIRST_DAY.toordinal()), clock, "")

    def _writing(self, role: str, *labels: str) -> tuple[str, ...]:
        """All writings of the first code whose label begins with one of `labels`, tried in turn; empty if none does."""
        name = self.roles.get(role)
        known = self.codes.get(self.fields[name]["code_set"], {}) if name else {}
        return next((w for label in labels for w in known.values() if any(t.startswith(label) for t in w[1:2])), ())

    def _certificates(self, serials: Ints, foreign: Any, passport: tuple[str, ...]) -> pa.Array:
        own = self._writing("certificate_type", "居民身份证", "身份证") or ("",)
        resident = pick(own, below(serials, self.mark("certificate"), len(own)))
        if not passport:
            return resident
        return pc.if_else(
            pa.array(foreign), pick(passport, below(serials, self.mark("passport"), len(passport))), resident
        )

    def _thinned(self, name: str, spec: dict[str, Any], column: pa.Array, serials: Ints) -> pa.Array:
        """One optional cell in ten is empty; nothing was sent under a wrong key before."""
        if spec.get("replaces"):
            return pa.nulls(len(serials), pa.string())
        kept = spec.get("required") or name in self.never_empty or name == self.item.get("source_time")
        if kept or spec.get("role", "attribute") != "attribute" or name == self.item.get("event_date"):
            return column
        empty = pa.array(below(serials, self.mark("empty", name), 10) == 0)
        return pc.if_else(empty, pa.scalar(None, pa.string()), column)

    def _value(self, name: str, spec: dict[str, Any], serials: Ints, versions: Ints, people: Ints) -> pa.Array:
        mark = self.mark(name)
        key = name in self.item["business_key"]
        seen = serials if key else serials * 8 + versions
        kind = spec["type"]
        if self.rule(name, "sex_of_number"):
            known = self.codes[spec["code_set"]]
            return pick((known["2"][0], known["1"][0]), self.persons.parts(people)[2] % 2)
        if kind == "code":
            return self._code(name, spec["code_set"], serials, mark)
        if kind == "boolean":
            return pick(("是", "否"), below(serials, mark, 2))
        if kind in ("integer", "decimal"):
            return self._number(name, spec, seen, mark)
        return self._text(name, spec, serials, versions, people, mark)

    def _code(self, name: str, code_set: str, serials: Ints, mark: int) -> pa.Array:
        known = self.codes.get(code_set, {})
        chosen = list(known.values())
        if self.says(name, "subject", "类别"):
            chosen = [w for w in chosen if any("自然人" in text for text in w)] or chosen
        every = [text for writings in chosen for text in writings]
        if not every:
            raise ValueError(f"catalog/codes/{code_set}.csv: no code is in force. Add one that {self.code} can use.")
        if self.says(name, "region", "区划"):
            local = [t for t in every if t.startswith("46") and not t.endswith("00") and t != "469099"]
            every = local or every
        return pick(every, below(serials, mark, len(every)))

    def _number(self, name: str, spec: dict[str, Any], seen: Ints, mark: int) -> pa.Array:
        limits = self.rule(name, "between") or {}
        low, high = limits.get("low"), limits.get("high")
        year = self.says(name, "year", "年度")
        least = max(float(low if low is not None else 0), self.as_of.year - 10 if year else float("-inf"))
        most = min(float(high if high is not None else 10_000), self.as_of.year - 1 if year else 20_000.0)
        if not year and name in {r["field"] for r in self.rules if r["kind"] == "amount_if_code"}:
            least = max(least, 0.01 if spec["type"] == "decimal" else 1)
        scale = int(spec.get("scale", 0)) if spec["type"] == "decimal" else 0
        unit = 10 ** min(scale, 2)
        first, last = int(np.ceil(round(least * unit, 6))), int(np.floor(round(max(most, least) * unit, 6)))
        if unit > 1 and scale <= 2:
            round_sums = [a * unit for a in COMMON_SUMS if first <= a * unit <= last]
            sums = below(seen, mark, last - first + 1) + first
            if round_sums:
                common = np.array(round_sums, dtype=np.int64)[below(seen, mark + 1, len(round_sums))]
                sums = np.where(below(seen, mark + 2, 10) < 8, common, sums)
        else:
            sums = below(seen, mark, last - first + 1) + first
        if unit == 1:
            return pc.cast(pa.array(sums), pa.string())
        sign = pick(("", "-"), (sums < 0).astype(np.int64))
        whole = pc.cast(pa.array(np.abs(sums) // unit), pa.string())
        tail = [f".{n:0{len(str(unit)) - 1}d}".ljust(scale + 1, "0") for n in range(unit)]
        return pc.binary_join_element_wise(sign, whole, pick(tail, np.abs(sums) % unit), "")

    def _text(
        self, name: str, spec: dict[str, Any], serials: Ints, versions: Ints, people: Ints, mark: int
    ) -> pa.Array:
        length = spec.get("length")
        pattern = self.rule(name, "matches")
        if pattern is not None:
            values = self.first_number + serials if name == self.unique else below(serials, mark, 2**53)
            return matching(pattern["pattern"], values)
        if self.says(name, "basis", "依据") and self.rule(name, "document_number") is None:
            return self._cut(pick(BASES, below(serials, mark, len(BASES))), length)
        if spec.get("is_free_text"):
            return self._cut(self._story(serials, versions, mark), length)
        if self.says(name, "组织机构代码"):
            return pick((ORGAN_CODE[8:17],), np.zeros(len(serials), dtype=np.int64))
        if self.says(name, "统一社会信用代码", "uscc", "organ_code"):
            return pick((ORGAN_CODE,), np.zeros(len(serials), dtype=np.int64))
        if self.says(name, "plate", "号牌号码", "车牌"):
            return plates(serials, mark)
        if self.says(name, "phone", "mobile", "电话", "手机"):
            return pc.binary_join_element_wise("0898-", texts(digits(below(people, mark, 10**6), 8)), "")
        if self._is_numbered(name) or name == self.unique:
            return self._cut(self._document(name, serials, length), length)
        if self.says(name, "address", "place", "地点", "住址", "地址", "场所"):
            spot = below(serials, mark + 1, 400)
            place = pick(PLACES, below(serials, mark, len(PLACES)))
            door = pick([f"{n + 1}号" for n in range(400)], spot)
            return self._cut(pc.binary_join_element_wise(place, door, ""), length)
        if self.says(name, "organ", "authority", "court", "unit", "机关", "法院", "单位", "部门", "机构", "source"):
            return self._cut(pick(ORGANS, below(serials, mark, len(ORGANS))), length)
        if self.says(name, "content", "fact", "behaviour", "reason", "事实", "内容", "行为", "事由", "情形"):
            return self._cut(pick(STORIES, below(serials, mark, len(STORIES))), length)
        words = [f"{self.label(name)[:8]}示例{n + 1}" for n in range(40)]
        return self._cut(pick(words, below(serials, mark, len(words))), length)

    def _story(self, serials: Ints, versions: Ints, mark: int) -> pa.Array:
        short = pick(STORIES, below(serials, mark, len(STORIES)))
        long = pick(LONG_STORIES, below(serials, mark + 1, len(LONG_STORIES)))
        told = pc.if_else(pa.array(below(serials, mark + 2, 40) == 0), long, short)
        return pc.binary_join_element_wise(told, pick(("", "（更正）"), np.minimum(versions, 1)), "")

    def _document(self, name: str, serials: Ints, length: int | None) -> pa.Array:
        """琼示罚〔2026〕00000012号, or letters and digits where it is no document number; unlike for unlike serials."""
        numbers = self.first_number + serials + 1
        if self.rule(name, "document_number") is not None or self.says(name, "文号", "案号"):
            year = self.as_of.year - 2 + below(serials, self.mark("year", name), 2)
            years = pick([f"琼示字〔{y}〕" for y in range(1990, 2061)], year - 1990)
            return pc.binary_join_element_wise(years, texts(digits(numbers, 8)), "号", "")
        head = f"HN{salt(self.code, name) % 90 + 10}"
        return pc.binary_join_element_wise(head, texts(digits(numbers, max(8, min(12, (length or 16) - 4)))), "")

    def _cut(self, column: pa.Array, length: int | None) -> pa.Array:
        return column if length is None else pc.utf8_slice_codeunits(column, 0, length)


def day_texts(form: str) -> pa.Array:
    """Every day from FIRST_DAY on in one writing; index = ordinal - FIRST_DAY.toordinal()."""
    if form not in _days:
        count = (LAST_DAY - FIRST_DAY).days + 1
        _days[form] = pa.array([(FIRST_DAY + timedelta(n)).strftime(form) for n in range(count)])
    return _days[form]


_days: dict[str, pa.Array] = {}


def plates(serials: Ints, mark: int) -> pa.Array:
    """Invented plates of Hainan: 琼, a letter, five characters of which two may be letters."""
    area = pick([f"琼{c}" for c in "ABCDEF"], below(serials, mark, 6))
    pairs = [a + b for a in PLATE_CHARS for b in PLATE_CHARS]
    return pc.binary_join_element_wise(
        area, pick(pairs, below(serials, mark + 1, len(pairs))), texts(digits(below(serials, mark + 2, 1000), 3)), ""
    )


def alternatives(pattern: str) -> list[str]:
    """A pattern as positions, each with the characters it allows; repeats are short, branches the first.

    >>> alternatives("4[0-2]{2}X?")
    ['4', '012', '012']
    """
    found: list[str] = []

    def walk(parts: Sequence[Any]) -> None:
        for op, value in parts:
            if op is sre.LITERAL:
                found.append(chr(value))
            elif op is sre.IN:
                found.append(_class(value))
            elif op is sre.ANY:
                found.append("示例")
            elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
                low, high, inner = value
                times = low if low == high or high == 1 else min(int(high), max(low, 12 if low else 2))
                for _ in range(times):
                    walk(inner)
            elif op is sre.SUBPATTERN:
                walk(value[3])
            elif op is sre.BRANCH:
                walk(value[1][0])
            elif op is not sre.AT:
                raise ValueError(f"pattern {pattern}: samples cannot be made for {op}. Use a simpler one.")

    walk(_parser.parse(pattern))
    return found


def _class(parts: Sequence[Any]) -> str:
    chars = ""
    for op, value in parts:
        if op is sre.LITERAL:
            chars += chr(value)
        elif op is sre.RANGE:
            chars += "".join(chr(c) for c in range(value[0], min(value[1], value[0] + 63) + 1))
        elif op is sre.CATEGORY and value is sre.CATEGORY_DIGIT:
            chars += "0123456789"
        elif op is sre.CATEGORY and value is sre.CATEGORY_WORD:
            chars += "0123456789ABCXYZ"
        else:
            return "示例"
    return chars


def matching(pattern: str, values: Ints) -> pa.Array:
    """Texts that match `pattern`; unlike for unlike values as far as the pattern has room."""
    positions = alternatives(pattern)
    matrix = np.zeros((len(values), len(positions)), dtype=np.uint32)
    rest = values.copy()
    for n in range(len(positions) - 1, -1, -1):
        options = np.array([ord(c) for c in positions[n]], dtype=np.uint32)
        matrix[:, n] = options[rest % len(options)]
        rest //= len(options)
    if not matrix.size or int(matrix.max()) < 128:
        return texts(matrix.astype(np.uint8))
    return pa.array(matrix.view(f"<U{len(positions)}").ravel(), pa.string())


def chance(values: Ints, mark: int) -> Any:
    """A number in [0, 1) for each value."""
    return scramble(values, mark) / np.float64(2**64)
