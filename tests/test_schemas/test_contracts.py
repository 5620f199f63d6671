"""The data contract of every item: the tool of its world takes it, and PostgreSQL bears out what it says."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from sqlglot import exp

from pipelines import run, sampling
from pipelines.stores.ledger import READER
from schemas.exports import FORMATS
from schemas.exports.odcs_rules import counting
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.load import load
from schemas.record import NUMBER_MASK
from schemas.row_rules import code_values
from tests.conftest import SHAPES, SOAK

ROOT = Path(__file__).resolve().parents[2]
HERE = load()
ITEMS = sorted(HERE.items)
DAY = date(2026, 11, 22)
TOOLS = Path(os.environ.get("QIONGXIN_TOOLS") or ROOT / ".venv-tools")
needs_tools = pytest.mark.skipif(
    "QIONGXIN_TOOLS" not in os.environ and not TOOLS.exists(), reason="no .venv-tools: run 'make tools'"
)
# One process for all contracts: to start the command costs more than to lint.
LINT = """
import json, sys
from datacontract.data_contract import DataContract
runs = {path: DataContract(data_contract_file=path).lint() for path in sys.argv[1:]}
print(json.dumps({path: [[c.result, c.name, c.reason] for c in run.checks] for path, run in runs.items()}))
"""


@cache
def contract(item: str) -> dict[str, Any]:
    found = yaml.safe_load(FORMATS["odcs"].make(HERE.items[item], HERE))
    assert isinstance(found, dict)
    return found


def columns(item: str) -> dict[str, dict[str, Any]]:
    (table,) = contract(item)["schema"]
    return {c["name"]: c for c in table["properties"]}


def rules(item: str) -> dict[str, dict[str, Any]]:
    """Name in the contract -> what is asked of the data; columns first, then the table."""
    (table,) = contract(item)["schema"]
    parts = [*table["properties"], table]
    found = [(f"{part['name']}.{rule['id']}", rule) for part in parts for rule in part.get("quality", ())]
    assert len(dict(found)) == len(found)
    return dict(found)


def lint(*paths: Path) -> dict[str, list[list[str]]]:
    command = [TOOLS / "bin" / "python", "-c", LINT, *paths]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    return {Path(path).name: checks for path, checks in json.loads(told.stdout.splitlines()[-1]).items()}


@needs_tools
def test_datacontract_finds_no_fault_in_any_contract(tmp_path: Path) -> None:
    paths = [tmp_path / item for item in list(ITEMS)[:: 1 if SOAK else 8]]
    for path in paths:
        path.write_bytes(FORMATS["odcs"].make(HERE.items[path.name], HERE))
    right = [["passed", "Data contract is valid against ODCS v3.1.0", None]]
    assert {item: checks for item, checks in lint(*paths).items() if checks != right} == {}
    command = [TOOLS / "bin" / "datacontract", "lint", paths[0]]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


@needs_tools
def test_datacontract_names_planted_faults(tmp_path: Path) -> None:
    faults: dict[str, Callable[[dict[str, Any]], object]] = {
        "a type that is none": lambda c: c["schema"][0]["properties"][0].update(logicalType="bytes"),
        "no version": lambda c: c.pop("version"),
        "a key that is none": lambda c: c["team"].update(boss="x"),
        "a rule without a limit": lambda c: c["schema"][0]["quality"][0].pop("mustBe"),
        "a metric without values": lambda c: columns_of(c)["honour_kind"]["quality"][0]["arguments"].clear(),
    }

    def columns_of(c: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {p["name"]: p for p in c["schema"][0]["properties"]}

    for name, plant in faults.items():
        spoilt = deepcopy(contract("honour"))
        plant(spoilt)
        (tmp_path / name).write_text(yaml.safe_dump(spoilt, allow_unicode=True), encoding="utf-8")
    told = lint(*(tmp_path / name for name in faults))
    assert [name for name in faults if all(result == "passed" for result, _, _ in told[name])] == []


@pytest.mark.parametrize("item", ITEMS)
def test_a_contract_says_what_the_catalogue_says(item: str) -> None:
    declared, said = HERE.items[item], contract(item)
    about = {p["property"]: p["value"] for p in said["customProperties"]}
    assert about["legalBasis"] == list(declared.legal_basis)
    assert (about["nature"], about["publicity"], said["domain"]) == (
        declared.nature, declared.publicity, declared.domain,
    )  # fmt: skip
    assert about["category"].split(" ")[0] == declared.category
    assert about["revision"] == HERE.revision and said["version"].endswith(f"+{HERE.revision}")
    assert [m["username"] for m in said["team"]["members"]] == list(declared.providers)
    agreed = {p["property"]: p["value"] for p in said["slaProperties"]}
    assert agreed["retention"] == declared.retention_years
    assert {role["role"] for role in said["roles"]} == {READER}
    found = columns(item)
    for field in declared.curated_fields:
        column = found[field.name]
        assert (column["required"], column["classification"]) == (field.is_always_required, field.sensitivity)
        if field.code_set:
            values = set(column["quality"][0]["arguments"]["validValues"])
            assert values == set(code_values(HERE.code_sets[field.code_set]).values())
    # Nothing that identifies a person is a column, and the reader learns what is left out.
    assert not {f.name for f in declared.identifying_fields} & set(found)
    assert about["identifyingFields"] == [f.name for f in declared.identifying_fields]
    stopping = [r for f in declared.fields for r in f.rules if r.severity in ("error", "hold")]
    asked = [rule for rule in rules(item).values() if rule["type"] == "sql"]
    assert {rule["severity"] for rule in asked} <= {"error", "hold"}
    assert len([r for r in stopping if r.kind == "between"]) == len([r for r in asked if "between" in r["id"]])


@pytest.fixture(scope="module")
def tables(database: Callable[..., str]) -> Iterator[psycopg.Connection]:
    """The warehouse tables of every item, empty, and the night of which the rules speak."""
    with psycopg.connect(database().replace("+psycopg", ""), autocommit=True) as connection:
        for item in ITEMS:
            connection.execute(FORMATS["sql"].make(HERE.items[item], HERE))
        connection.execute("CREATE SCHEMA IF NOT EXISTS records")
        connection.execute("CREATE TABLE release_snapshots (as_of date)")
        connection.execute("INSERT INTO release_snapshots VALUES ('2098-01-05')")
        yield connection


@pytest.mark.parametrize("item", ITEMS)
def test_columns_and_types_are_those_of_postgresql(item: str, tables: psycopg.Connection) -> None:
    actual = tables.execute(
        "SELECT attname, upper(format_type(atttypid, atttypmod)) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        (f"records.{item}",),
    ).fetchall()
    assert [(name, c["physicalType"].replace(", ", ",")) for name, c in columns(item).items()] == actual


@pytest.mark.parametrize("item", ITEMS if SOAK else SHAPES)
def test_every_query_runs_and_finds_nothing_where_there_is_nothing(item: str, tables: psycopg.Connection) -> None:
    for name, rule in rules(item).items():
        if rule["type"] == "sql":
            assert tables.execute(rule["query"]).fetchone() == (rule["mustBe"],), name


def sql_type(values: list[Any]) -> str:
    names = {bool: "boolean", int: "numeric", Decimal: "numeric", float: "numeric", date: "date"}
    return next((names.get(type(v), "text") for v in values if v is not None), "text")


@pytest.mark.parametrize("kind", [*FIELD_KINDS, *ITEM_KINDS])
def test_a_query_finds_the_examples_of_a_kind_that_fail_and_no_other(kind: str, tables: psycopg.Connection) -> None:
    module = (FIELD_KINDS | ITEM_KINDS)[kind]
    rows = [{"place": n, **row} for n, (_, row, _) in enumerate(module.EXAMPLES)]
    names = sorted({name for row in rows for name in row})
    typed = ", ".join(f'"{n}" {sql_type([row.get(n) for row in rows])}' for n in names)
    tables.execute(f"CREATE TEMP TABLE example ({typed})")  # type: ignore[call-overload]
    places = ", ".join(["%s"] * len(names))
    for row in rows:
        tables.execute(f"INSERT INTO example VALUES ({places})", [row.get(n) for n in names])  # type: ignore[call-overload]
    found = []
    for n, (options, _, _) in enumerate(module.EXAMPLES):
        ruled = module.violated(exp.column("value"), options) if kind in FIELD_KINDS else module.violated(options)
        query = counting("example", exp.and_(ruled, exp.column("place").eq(n)))
        found += tables.execute(query.replace('"records".', "pg_temp.")).fetchone()  # type: ignore[arg-type]
    tables.execute("DROP TABLE example")
    assert found == [int(fails) for _, _, fails in module.EXAMPLES]


def test_a_published_night_keeps_its_contracts_and_a_spoilt_record_breaks_them(
    tmp_path: Path, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = ("administrative_penalty", "honour", "traffic_penalty")
    url = database()
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    sampling.generate(tmp_path / "home", rows=600, seed=5, as_of=DAY, dirty=0.1, items=items)
    assert run.nightly(tmp_path / "home", DAY)["exit_code"] == 0
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"SET ROLE {READER}")  # type: ignore[call-overload]

        def broken(item: str) -> list[str]:
            asked = {n: r for n, r in rules(item).items() if r["type"] == "sql"}
            assert asked
            return [n for n, r in asked.items() if connection.execute(r["query"]).fetchone() != (0,)]

        def spoil(item: str, change: str) -> list[str]:
            connection.execute("RESET ROLE")
            connection.execute(
                f"UPDATE records.{item} SET {change} WHERE record_key = (SELECT min(record_key) FROM records.{item})"
            )  # type: ignore[call-overload]
            connection.execute(f"SET ROLE {READER}")  # type: ignore[call-overload]
            return broken(item)

        for item in items:
            assert connection.execute(f"SELECT count(*) > 50 FROM records.{item}").fetchone() == (True,)  # type: ignore[call-overload]
            assert broken(item) == []
        assert spoil("honour", "award_year = 1949") == ["award_year.between_1"]
        assert spoil("honour", "award_year = 2020, determination_no = '无'") == ["determination_no.not_placeholder_2"]
        late = "decision_date = '2026-11-23', violation_date = '2026-11-22'"
        assert spoil("traffic_penalty", late) == ["decision_date.not_after_as_of_1"]
        early = "decision_date = '2026-11-20'"
        assert spoil("traffic_penalty", early) == ["traffic_penalty.not_before_1"]
        # A number of 18 digits that looks like a person's is masked wherever it stands, and then fits no pattern.
        assert spoil("administrative_penalty", "deciding_organ_code = 'x'") == ["deciding_organ_code.matches_1"]
        assert spoil("administrative_penalty", f"deciding_organ_code = '{NUMBER_MASK}'") == []
