"""Samples: the truth points at the planted values, the same seed gives the same bytes, nobody can be real."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from pipelines.sampling import CATALOG, generate
from pipelines.sampling.rows import alternatives

AS_OF = date(2026, 11, 22)
HEAD = """
code = "{code}"
name_zh = "{name}"
providers = {providers}
business_key = ["{key}"]
event_date = "decision_date"
source_time = "updated_at"
rules = [{{kind = "not_before", field = "decision_date", other = "breach_date"}},
         {{kind = "amount_if_code", field = "fine_cny", when = "kind", contains = "02"}}]
[fields.subject_name]
label_zh = "姓名"
type = "text"
role = "name"
required = true
[fields.certificate_type]
label_zh = "证件类型"
type = "code"
code_set = "certificate_type"
role = "certificate_type"
[fields.credit_number]
label_zh = "证件号码"
type = "text"
role = "credit_number"
required = true
[fields.{key}]
label_zh = "决定书文号"
type = "text"
required = true
rules = [{rule}]
[fields.kind]
label_zh = "处罚种类"
type = "code"
code_set = "kind"
required = true
[fields.breach_date]
label_zh = "违法日期"
type = "date"
[fields.decision_date]
label_zh = "决定日期"
type = "date"
required = true
rules = [{{kind = "not_after_as_of"}}]
[fields.fine_cny]
label_zh = "罚款金额（元）"
type = "decimal"
scale = 2
rules = [{{kind = "between", low = 0, high = 1000000}}]
[fields.points]
label_zh = "记分"
type = "integer"
rules = [{{kind = "between", low = 0, high = 12}}]
[fields.facts]
label_zh = "违法事实"
type = "text"
is_free_text = true
[fields.updated_at]
label_zh = "更新时间"
type = "timestamp"
"""
CODES = {
    "certificate_type": "111,居民身份证,,,s\n414,普通护照,,,s\n",
    "kind": "01,警告,,,s\n02,罚款,,,s\n99,旧类,,2010-01-01,s\n",
}
ITEMS = {
    "administrative_penalty": ("行政处罚", ["market_supervision", "haikou", "danzhou"], '{kind = "document_number"}'),
    "traffic_penalty": ("交通违法", ["public_security"], '{kind = "matches", pattern = "46[0-9]{13,14}"}'),
    "alpha": ("甲类", ["a", "b", "c"], '{kind = "document_number"}'),
    "beta": ("乙类", ["a", "b", "c"], '{kind = "document_number"}'),
    "gamma": ("丙类", ["a", "b", "c"], '{kind = "document_number"}'),
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    (folder / "items").mkdir()
    (folder / "codes").mkdir()
    for code, (name, providers, rule) in ITEMS.items():
        text = HEAD.format(code=code, name=name, providers=json.dumps(providers), key="decision_no", rule=rule)
        (folder / "items" / f"{code}.toml").write_text(text, encoding="utf-8")
    for code, text in CODES.items():
        text = "code,label,valid_from,valid_to,source\n" + text
        (folder / "codes" / f"{code}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def home(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    generate(home, rows=6000, seed=7, dirty=0.06, nights=2, as_of=AS_OF, catalog=catalog)
    return home


def deliveries(home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((home / "truth.json").read_text(encoding="utf-8"))["deliveries"]
    return found


def text_of(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")


def delimited(text: str) -> dict[int, list[str]]:
    delimiter = max(",\t;|", key=text.splitlines()[0].count)
    reader, found, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), {}, 1
    for cells in reader:
        found[line] = cells
        line = reader.line_num + 1
    return found


def read(path: Path) -> dict[int, list[str]]:
    """Rows by line as people and their tools see them; the first is the header."""
    if path.suffix == ".xlsx":
        sheet = openpyxl.load_workbook(path)["数据"]
        return {n: [c or "" for c in r] for n, r in enumerate(sheet.iter_rows(values_only=True), 1)}
    text = text_of(path)
    if path.suffix == ".jsonl":
        return {0: [], **{n: values(r) for n, r in enumerate(text.splitlines(), 1)}}
    if path.suffix == ".json":
        lines = text.splitlines()
        rows = {n: values(r.rstrip(",")) for n, r in enumerate(lines, 1) if r.startswith("{")}
        assert [[c or "" for c in r.values()] for r in json.loads(text)] == list(rows.values())
        return {0: [], **rows}
    if path.suffix == ".xml":
        starts = [n for n, r in enumerate(text.split("\n"), 1) if r.startswith("<row>")]
        rows = [[c.text or "" for c in r] for r in ElementTree.fromstring(text)]
        return {0: [], **dict(zip(starts, rows, strict=True))}
    return delimited(text)


def values(element: str) -> list[str]:
    return [c or "" for c in json.loads(element).values()]


def looks_like(code: str, cell: str) -> bool:
    """What a person sees in the cell that the truth names."""
    return {
        "I001": cell in ("无", "/", "-", "暂无", "null", "不详", "未提供"),
        "I002": len(cell) == 17,
        "I003": len(cell) == 18 and check(cell) != cell[17],
        "I004": len(cell) == 18 and check(cell) == cell[17] and not is_day(cell[6:14]),
        "I005": "E+17" in cell,
        "I006": "********" in cell,
        "I007": cell.startswith("469099"),
        "I009": len(cell) == 18 and not re.fullmatch("[0-9]{17}[0-9X]", cell),
        "I013": cell.endswith("\u0425"),
        "V001": cell == "",
        "V002": "-13-" in cell,
        "V003": cell == "5-10万",
        "V004": cell.startswith("未知"),
        "V006": cell.isdigit() and int(cell) > 12,
        "X001": is_day(re.sub("[-/年月日]", "", cell)),
    }[code]


def check(number: str) -> str:
    """The check digit that the first seventeen ask for; nothing where they are no digits."""
    if not re.fullmatch("[0-9]{17}.*", number):
        return ""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(c) * w for c, w in zip(number, weights, strict=False)) % 11]


def is_day(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return False
    return True


FIELDS = (
    "subject_name", "certificate_type", "credit_number", "decision_no", "kind", "breach_date", "decision_date",
    "fine_cny", "points", "facts", "updated_at",
)  # fmt: skip


def test_truth_points_at_the_planted_value_in_every_format(home: Path) -> None:
    seen = set()
    for delivery in deliveries(home):
        rows = read(home / delivery["file"])
        first = min(rows)
        for defect in delivery["defects"]:
            cells, code = rows[defect["line"]], defect["code"]
            seen.add(code)
            if code == "F007":
                assert len(cells) == len(FIELDS) + 1
            elif code == "D001":
                assert any(r == cells for n, r in rows.items() if first < n < defect["line"])
            else:
                assert looks_like(code, cells[FIELDS.index(defect["field"])]), (delivery["file"], defect)
    assert seen >= {"I001", "I002", "I003", "I004", "I005", "I006", "I007", "I009", "I013", "V001", "V002", "V003"}
    assert seen >= {"V004", "V006", "X001", "F007", "D001"}


def test_rows_without_a_planted_defect_are_clean(home: Path) -> None:
    for delivery in deliveries(home):
        rows = read(home / delivery["file"])
        del rows[min(rows)]
        struck = {d["line"] for d in delivery["defects"]}
        assert len(struck) == len(delivery["defects"])
        for line, cells in rows.items():
            if line in struck:
                continue
            r = dict(zip(FIELDS, cells, strict=True))
            number = r["credit_number"]
            if r["certificate_type"] not in ("414", "普通护照"):
                assert number[17] == check(number) and is_day(number[6:14])
                assert 1850 <= int(number[6:10]) <= 1899
            assert r["subject_name"] and r["decision_no"] and r["kind"] in ("01", "02", "警告", "罚款")
            breach, decision = (re.sub("[-/年月日]", "", r[k]) for k in ("breach_date", "decision_date"))
            assert breach <= decision <= AS_OF.strftime("%Y%m%d")
            assert 0 < float(r["fine_cny"]) <= 1000000 and 0 <= int(r["points"] or 0) <= 12


def test_no_file_holds_a_valid_number_of_a_person_who_may_live(home: Path) -> None:
    for delivery in deliveries(home):
        for cells in read(home / delivery["file"]).values():
            for number in re.findall(r"[1-9]\d{16}[\dX]", " ".join(str(c) for c in cells)):
                assert check(number) != number[17] or "1850" <= number[6:10] <= "1899"


def test_manifest_states_rows_and_hash(home: Path) -> None:
    total = 0
    for delivery in deliveries(home):
        path = home / delivery["file"]
        manifest = json.loads(path.with_name(path.name + ".manifest.json").read_text(encoding="utf-8"))
        assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert manifest["rows"] == delivery["rows"] == len(read(path)) - 1
        total += delivery["rows"]
    assert total == 6000
    assert json.loads((home / "sample.json").read_text()) == {"seed": 7, "minimum_birth_year": 1850}


def test_half_of_the_rows_are_traffic_penalties_and_formats_vary(home: Path) -> None:
    found = deliveries(home)
    assert sum(d["rows"] for d in found if d["item"] == "traffic_penalty") == 3000
    assert {Path(d["file"]).suffix for d in found} >= {".csv", ".xlsx", ".jsonl", ".xml"}


def test_document_numbers_are_unlike_unless_sent_again(home: Path) -> None:
    for delivery in deliveries(home):
        struck = {d["line"] for d in delivery["defects"]}
        rows = read(home / delivery["file"])
        numbers = [r[3] for n, r in rows.items() if n not in struck and n != min(rows)]
        assert len(numbers) == len(set(numbers))


def by_number(home: Path, delivery: dict[str, Any]) -> dict[str, list[str]]:
    struck = {d["line"] for d in delivery["defects"]}
    return {r[3]: r for n, r in read(home / delivery["file"]).items() if r and n not in struck}


def test_a_later_night_sends_rows_again_unchanged_and_changed(home: Path) -> None:
    first, second = (by_number(home, d) for d in deliveries(home) if d["item"] == "traffic_penalty")
    again = (first.keys() & second.keys()) - {"决定书文号"}
    unchanged = sum(first[n] == second[n] for n in again)
    assert 100 < unchanged < len(again) - 100
    assert len(second) > 1000


def test_departments_overlap_on_administrative_penalties(home: Path) -> None:
    lead, *others = (by_number(home, d) for d in deliveries(home) if d["item"] == "administrative_penalty")
    for other in others[:2]:
        both = lead.keys() & other.keys()
        alike = sum(lead[n][2] == other[n][2] and lead[n][7:10] == other[n][7:10] for n in both)
        assert len(both) * 0.8 < alike < len(both)


def test_same_seed_same_bytes_and_other_seed_other_bytes(catalog: Path, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> dict[str, bytes]:
        generate(tmp_path / name, rows=900, seed=seed, nights=2, as_of=AS_OF, catalog=catalog)
        home = tmp_path / name
        return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}

    one = made("one", 1)
    assert one == made("again", 1)
    assert one != made("other", 2)


def test_unknown_item_is_named(catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no item nonsense"):
        generate(tmp_path, rows=10, seed=1, items=["nonsense"], as_of=AS_OF, catalog=catalog)


def test_patterns_become_characters_by_position() -> None:
    assert alternatives("4[0-2]{2}X?(ab|cd)") == ["4", "012", "012", "a", "b"]


@pytest.mark.skipif(not any((CATALOG / "items").glob("*.toml")), reason="no items in the catalogue")
def test_every_item_of_the_catalogue_can_be_sampled(tmp_path: Path) -> None:
    written: list[int] = []
    truth = generate(tmp_path, rows=3000, seed=3, nights=2, as_of=AS_OF, progress=written.append)
    found = json.loads(truth.read_text(encoding="utf-8"))["deliveries"]
    assert sum(written) == sum(d["rows"] for d in found) == 3000
