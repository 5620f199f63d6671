"""Exports of every item, each held to a tool of its own world: jsonschema, frictionless, PostgreSQL, openpyxl,
LibreOffice. Data contracts have tests of their own."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import frictionless
import jsonschema
import openpyxl
import psycopg
import pyarrow.parquet as pq
import pytest

from pipelines import judge, run, sampling
from pipelines.stores.ledger import Ledger
from schemas.arrow import record_schema, statement_schema
from schemas.editions import headers
from schemas.exports import FORMATS
from schemas.load import load
from schemas.model import Item, Rule
from schemas.row_rules import code_values
from tests.conftest import SHAPES, SOAK

HERE = load()
ITEMS = sorted(HERE.items)
SOME = ITEMS if SOAK else SHAPES  # of what takes long
DAY = date(2026, 11, 22)


def made(item: str, form: str) -> bytes:
    return FORMATS[form].make(HERE.items[item], HERE)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Some rows without a defect of every item, by field, dates in the plain form."""
    home = tmp_path_factory.mktemp("clean")
    sampling.generate(home, rows=30 * len(ITEMS), seed=3, as_of=DAY, dirty=0)
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted((home / "inbox").glob("*/*/*")):
        if path.name.endswith(".manifest.json"):
            continue
        department, code = path.parts[-3:-1]
        item = HERE.items[code]
        target = home / "staged" / f"{department}.{code}.parquet"
        judge.read(path, target, HERE, item, department, home)
        for row in pq.read_table(target).to_pylist()[:8]:
            given = {k: v.strip() for k, v in row.items() if v is not None and k not in ("line", "sheet")}
            plain = {"date": "2026-01-05", "timestamp": "2026-01-05 09:30:00"}
            found.setdefault(code, []).append({k: plain.get(item.field(k).type, v) for k, v in given.items()})
    assert set(found) == set(ITEMS)
    return found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("item", SOME)
def test_the_same_catalogue_gives_the_same_bytes(item: str, form: str) -> None:
    assert made(item, form) == made(item, form) != b""


@pytest.mark.parametrize("item", ITEMS)
def test_json_schema_is_one_and_takes_clean_rows(item: str, clean: dict[str, list[dict[str, str]]]) -> None:
    schema = json.loads(made(item, "jsonschema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [e.message for e in judge.iter_errors(clean[item])] == []


def wrong(item: Item, row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The row with one thing wrong at a time."""
    spoilt = {f"without {f.name}": {k: v for k, v in row.items() if k != f.name} for f in item.fields if f.required}
    for f in item.fields:
        bad = {"code": "这不是代码", "integer": "三", "decimal": "伍佰元", "date": "2098-13-45", "boolean": "也许"}
        value = bad.get(f.type, "x" * (f.length + 1) if f.length else "x")
        spoilt[f"{f.name} = {value[:20]}"] = row | {f.name: value}
    return spoilt | {"a field too many": row | {"extra": "1"}}


@pytest.mark.parametrize("item", ITEMS)
def test_json_schema_asks_of_a_withdrawal_its_key_alone(item: str, clean: dict[str, list[dict[str, str]]]) -> None:
    judge, spec = jsonschema.Draft202012Validator(json.loads(made(item, "jsonschema"))), HERE.items[item]
    action = next((f.name for f in spec.fields if f.role == "action"), None)
    if action is None:
        return
    told = {spec.by_role("credit_number").name, *(n for n in spec.business_key if spec.field(n).required)}
    certificate = spec.by_role("certificate_type")
    told |= {certificate.name} if certificate.required else set()
    row = {name: clean[item][0][name] for name in told} | {action: "撤回"}
    assert [e.message for e in judge.iter_errors([row])] == []
    assert list(judge.iter_errors([row | {action: "新增"}])) != []
    for name in told:
        assert list(judge.iter_errors([{n: v for n, v in row.items() if n != name}])) != [], name


@pytest.mark.parametrize("item", ITEMS)
def test_json_schema_refuses_what_validation_refuses(item: str, clean: dict[str, list[dict[str, str]]]) -> None:
    schema = json.loads(made(item, "jsonschema"))
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for what, row in wrong(HERE.items[item], clean[item][0]).items():
        assert list(judge.iter_errors([row])), what


def judged(item: Item, package: dict[str, Any], rows: list[dict[str, str]], folder: Path) -> set[tuple[int, str]]:
    """What frictionless has against rows of a CSV file: their places and the fields, '' for the row as a whole."""
    (resource,) = package["resources"]
    with (folder / resource["path"]).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(f.label_zh for f in item.fields)
        out.writerows([row.get(f.name, "") for f in item.fields] for row in rows)
    report = frictionless.Package.from_descriptor(package, basepath=str(folder)).validate()
    found = {(row and row - 2, name or "") for row, name in report.flatten(["rowNumber", "fieldName"])}
    assert report.errors == [] and all(task.stats["rows"] == len(rows) for task in report.tasks)
    return found


@pytest.mark.parametrize("item", ITEMS)
def test_frictionless_takes_clean_rows_and_names_what_is_wrong_with_others(
    item: str, clean: dict[str, list[dict[str, str]]], tmp_path: Path
) -> None:
    declared, package = HERE.items[item], json.loads(made(item, "frictionless"))
    assert judged(declared, package, clean[item], tmp_path) == set()
    spoilt = {w: row for w, row in wrong(declared, clean[item][0]).items() if w != "a field too many"}
    labels = {f.name: f.label_zh for f in declared.fields}
    names = [what.removeprefix("without ").split(" = ")[0] for what in spoilt]
    found = judged(declared, package, list(spoilt.values()), tmp_path)
    assert found == {(place, labels[name]) for place, name in enumerate(names)}


def test_frictionless_takes_the_words_of_departments_and_no_bad_number_pattern_or_header(
    clean: dict[str, list[dict[str, str]]], tmp_path: Path
) -> None:
    declared, package = HERE.items["traffic_penalty"], json.loads(made("traffic_penalty", "frictionless"))
    right = clean["traffic_penalty"][0] | {"is_paid": "√", "penalty_kind": "罚款", "demerit_points": "\u3000"}
    bad = {
        "fine_cny": ("-1", "1000001", "二百", "1.2.3"),
        "demerit_points": ("13", "-1", "1.5"),
        "decision_no": ("12号", "46" + "1" * 15),
        "violation_code": ("0345", "13455Z"),
        "decision_date": ("2026/1/5", "20260105", "2026-02-30"),
    }
    rows = [right | {name: value} for name, values in bad.items() for value in values]
    labels = [declared.field(name).label_zh for name, values in bad.items() for _ in values]
    assert judged(declared, package, [right], tmp_path) == set()
    assert judged(declared, package, rows, tmp_path) == set(enumerate(labels))
    ticket = declared.field("decision_no")
    either = ticket.model_copy(update={"rules": (Rule(kind="matches", options={"pattern": "甲|乙"}),)})
    changed = declared.model_copy(update={"fields": tuple(either if f is ticket else f for f in declared.fields)})
    narrow = json.loads(FORMATS["frictionless"].make(changed, HERE))
    rows = [right | {"decision_no": value} for value in ("甲", "甲1", "1乙", "乙")]
    assert judged(declared, narrow, rows, tmp_path) == {(1, ticket.label_zh), (2, ticket.label_zh)}
    schema = package["resources"][0]["schema"]
    schema["fields"][0], schema["fields"][1] = schema["fields"][1], schema["fields"][0]
    assert {place for place, _ in judged(declared, package, [right], tmp_path)} == {None, 0}


@pytest.mark.parametrize("item", ITEMS)
def test_a_data_package_tells_every_header_that_the_readers_know(item: str) -> None:
    declared, package = HERE.items[item], json.loads(made(item, "frictionless"))
    fields = package["resources"][0]["schema"]["fields"]
    for department in declared.providers:
        told = {word: f["title"] for f in fields for word in (f["name"], f["title"], *f.get("aliases", ()))}
        # A department's own word goes before everybody's.
        told |= {word: f["title"] for f in fields for word in f.get("departmentHeaders", {}).get(department, ())}
        assert told == headers(HERE, declared, department)


def test_a_data_package_has_a_key_only_where_rows_of_a_delivery_cannot_share_it() -> None:
    def key(item: Item) -> list[str] | None:
        schema = json.loads(FORMATS["frictionless"].make(item, HERE))["resources"][0]["schema"]
        return schema.get("primaryKey")

    honour = HERE.items["honour"]
    single = tuple(f for f in honour.fields if f.role != "action")
    once = {"fields": single, "source_time": None}
    assert key(honour.model_copy(update=once)) == ["证件号码", "认定文号", "荣誉类型"]
    assert key(honour.model_copy(update={"fields": single})) is None
    assert key(honour.model_copy(update={"source_time": None})) is None
    assert key(honour.model_copy(update=once | {"business_key": ("document_name", "valid_until")})) is None


def test_sql_makes_the_tables_that_the_pipeline_fills(database: Callable[..., str]) -> None:
    url = database().replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        for code in ITEMS:
            connection.execute(made(code, "sql").decode())  # type: ignore[call-overload]
            shapes = {"records": record_schema(HERE.items[code])}
            if HERE.items[code].history_in_warehouse:
                shapes["history"] = statement_schema(HERE.items[code])
            for schema, shape in shapes.items():
                columns = connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
                    " ORDER BY ordinal_position",
                    (schema, code),
                ).fetchall()
                assert [c[0] for c in columns] == shape.names


@pytest.mark.parametrize("item", SOME)
def test_a_filled_template_is_read_as_it_was_filled(
    item: str, clean: dict[str, list[dict[str, str]]], tmp_path: Path
) -> None:
    declared = HERE.items[item]
    book = openpyxl.load_workbook(io.BytesIO(made(item, "xlsx")))
    sheet = book["填报"]
    labels = [cell.value for cell in sheet[1]]
    assert labels == [f.label_zh for f in declared.fields]
    assert sheet.max_row == 1  # no example that could be taken for data
    columns = sheet.column_dimensions.values()  # neighbours of one width and format are one entry
    formats = {place: c.number_format for c in columns for place in range(c.min, c.max + 1)}
    for place, field in enumerate(declared.fields, start=1):
        if field.type in ("text", "code"):
            assert formats[place] == "@", field.name
        assert "必填" in sheet.cell(1, place).comment.text if field.required else True
        sheet.cell(2, place).value = clean[item][0].get(field.name)
    path, target = tmp_path / "filled.xlsx", tmp_path / "staged.parquet"
    book.save(path)
    for department in declared.providers:  # whatever their own words for headers are
        decoded = judge.read(path, target, HERE, declared, department, tmp_path)
        assert (decoded.rows, decoded.unknown_headers, decoded.faults) == (1, (), ())
        (row,) = pq.read_table(target).to_pylist()
        assert (row.pop("line"), row.pop("sheet")) == (2, "填报")
        assert {k: v for k, v in row.items() if v is not None} == clean[item][0]


@pytest.mark.parametrize("item", SOME)
def test_every_list_of_a_template_offers_the_codes_in_force(item: str) -> None:
    declared = HERE.items[item]
    book = openpyxl.load_workbook(io.BytesIO(made(item, "xlsx")))
    lists = {str(v.sqref).split(":")[0][:-1]: v.formula1 for v in book["填报"].data_validations.dataValidation}
    for place, field in enumerate(declared.fields, start=1):
        source = lists.pop(openpyxl.utils.get_column_letter(place), None)
        if field.code_set is None:
            assert source == ('"是,否"' if field.type == "boolean" else None)
            continue
        first, last = (int(part.split("$")[2]) for part in str(source).removeprefix("代码!").split(":"))
        offered = [book["代码"].cell(row, 2).value for row in range(first, last + 1)]
        known = HERE.code_sets[field.code_set]
        assert offered == [c.label for c in known.codes if c.valid_to is None] != []
        assert {code_values(known)[label] for label in offered} == {c.code for c in known.codes if c.valid_to is None}
    assert lists == {}


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_a_template(tmp_path: Path) -> None:
    (tmp_path / "honour.xlsx").write_bytes(made("honour", "xlsx"))
    subprocess.run(
        ["soffice", f"-env:UserInstallation=file://{tmp_path}/profile", "--headless", "--convert-to", "csv:Text - txt -"
         " csv (StarCalc):44,34,76", "--outdir", str(tmp_path), str(tmp_path / "honour.xlsx")],
        check=True, capture_output=True, timeout=180,
    )  # fmt: skip
    (head,) = csv.reader(io.StringIO((tmp_path / "honour.csv").read_text(encoding="utf-8")))
    assert head == [f.label_zh for f in HERE.items["honour"].fields]


def test_what_the_exports_describe_is_taken(
    clean: dict[str, list[dict[str, str]]],
    tmp_path: Path,
    database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = database()
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    home = tmp_path / "home"
    sampling.generate(home, rows=1, seed=1, as_of=DAY, items=("honour",))  # marks a home for invented persons
    shutil.rmtree(home / "inbox")
    inbox = home / "inbox" / "publicity_department" / "honour"
    inbox.mkdir(parents=True)
    rows = clean["honour"]
    (inbox / "rows.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    (inbox / "rows.json.manifest.json").write_text(json.dumps({"rows": len(rows)}))
    assert run.nightly(home, DAY)["exit_code"] == 0
    with Ledger(url) as ledger:
        (told,) = ledger.deliveries()
    records = {(r["determination_no"], r["honour_kind"], r["credit_number"]) for r in rows}
    assert (told["state"], told["read"], told["new"]) == ("released", len(rows), len(records))
    assert told["rejected"] == told["held"] == 0
