"""A delivery is judged by the edition of its period: layout, codes, and who was there to send it."""

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.query import query
from pipelines.stores.ledger import Ledger
from schemas import editions, row_rules
from schemas.load import load
from schemas.model import Variant
from tests.mortal_night import Mortals
from tests.test_privacy import number

DAY = "2026-11-22"
OLD = {  # the layout of 2016, as back-files still have it
    "CF_WSH": "琼工商罚决字〔2017〕0012号", "CF_CFMC": "示例案", "CF_CFLB1": "罚款", "CF_SY": "示例",
    "CF_YJ": "《示例条例》第三条",
    "CF_XDR_MC": "符示例", "CF_XDR_SFZ": number(1), "CF_JG": "罚款", "CF_JDRQ": "2017/03/01",
    "CF_XZJG": "示例局", "CF_ZT": "0", "DFBM": "460100", "SJC": "2017/03/02 10:00:00",
}  # fmt: skip
NEW = {  # that of 2018
    "CF_XDR_MC": "符示例", "CF_XDR_LB": "自然人", "CF_XDR_ZJLX": "身份证", "CF_XDR_ZJHM": number(2),
    "CF_WSH": "琼市监罚决字〔2026〕0012号",
    "CF_WFXW": "示例行为", "CF_SY": "示例事实", "CF_YJ": "《示例条例》第三条", "CF_CFLB": "罚款",
    "CF_NR": "罚款", "CF_NR_FK": "0.05",
    "CF_JDRQ": "2026-03-01", "CF_CFJG": "示例局", "CF_CFJGDM": "11469099008171007K",
    "CF_SJLY": "示例局", "CF_SJLYDM": "11469099008171007K",
}  # fmt: skip
MIXED = NEW | {"CF_CFMC": "示例案", "CF_WSH": "海市监罚决字〔2026〕0013号"}
ZONE = {"CF_CFMC": "", "所属片区": "示例片区", "CF_WSH": "浦市监罚决字〔2026〕0014号"}
BEFORE = NEW | {"CF_WSH": "浦市监罚决字〔2025〕0015号", "CF_JDRQ": "2025-03-01"}
UNTYPED = NEW | {"CF_XDR_ZJLX": "", "CF_XDR_LB": "个体工商户", "CF_WSH": "儋市监罚决字〔2026〕0016号"}
SENT = {  # file: department, item, row, period -> state, code
    "back.csv": ("industry_commerce", "administrative_penalty", OLD, "2017-04-01", "released", ""),
    "undeclared.csv": ("market_supervision", "administrative_penalty", OLD, DAY, "returned", "F012"),
    "today.csv": ("market_supervision", "administrative_penalty", NEW, DAY, "released", ""),
    "with_case_name.csv": ("haikou", "administrative_penalty", MIXED, DAY, "released", ""),
    "late.csv": ("industry_commerce", "administrative_penalty", NEW, DAY, "returned", "F017"),
    "zone.csv": ("yangpu", "administrative_penalty", MIXED | ZONE, DAY, "released", ""),
    "no_zone.csv": ("yangpu", "administrative_penalty", NEW, DAY, "returned", "F012"),
    "before_the_overlay.csv": ("yangpu", "administrative_penalty", BEFORE, "2025-11-22", "released", ""),
    "untyped.csv": ("danzhou", "administrative_penalty", UNTYPED, DAY, "held", "G002"),
    "early.csv": ("tax_service", "major_tax_violation", {"姓名": "符示例"}, "2019-01-01", "returned", "F016"),
}

Night = tuple[Path, dict[str, dict[str, Any]], list[tuple[Any, ...]]]


def written(row: dict[str, str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([row.keys(), row.values()])
    return text.getvalue()


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory, applied: Callable[[], str], mortals: Mortals
) -> Night:
    home, url = tmp_path_factory.mktemp("editions") / "home", applied()
    for name, (department, item, row, period, _, _) in SENT.items():
        inbox = home / "inbox" / department / item
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_text(written(row), encoding="utf-8")
        (inbox / f"{name}.manifest.json").write_text(json.dumps({"period": period}))
    (home / "sample.json").write_text("{}")
    mortals.night(home, url, DAY)
    with Ledger(url) as ledger:
        rows = {r["file"]: r for r in ledger.deliveries()}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    sql = "SELECT delivery_id, zone_part FROM records.administrative_penalty WHERE zone_part IS NOT NULL"
    zones = query(home, sql, None)[1]
    monkeypatch.undo()
    return home, rows, zones


@pytest.mark.parametrize("name", SENT)
def test_the_period_decides_the_edition(name: str, night: Night) -> None:
    row = night[1][name]
    assert (row["state"], row["message_code"]) == SENT[name][4:], row["message_en"]
    assert row["new"] == (1 if row["state"] == "released" else 0)


def test_a_file_in_another_editions_layout_is_told_which(night: Night) -> None:
    row = night[1]["undeclared.csv"]
    assert "2016 版格式（2016-01-01 至 2018-07-24）" in row["message_zh"]
    assert "edition 2016 (2016-01-01 to 2018-07-24)" in row["message_en"]


def test_the_heir_of_a_department_is_named(night: Night) -> None:
    assert "海南省市场监督管理局" in night[1]["late.csv"]["message_zh"]


def test_a_field_of_another_edition_is_not_read(night: Night) -> None:
    home, rows, _ = night
    findings = pq.read_table(home / "findings" / f"{rows['with_case_name.csv']['delivery_id']}.parquet").to_pylist()
    about = [(f["code"], f["value"]) for f in findings if f["line"] is None]
    assert ("F005", "CF_CFMC (2016)") in about and {code for code, _ in about} == {"F005", "H016"}


def test_what_a_county_adds_is_kept_in_the_column_all_share(night: Night) -> None:
    _, rows, zones = night
    assert zones == [(rows["zone.csv"]["delivery_id"], "示例片区")]


def test_every_edition_of_an_item_has_the_same_columns() -> None:
    item = load().items["administrative_penalty"]
    for one in item.editions:
        judged = editions.as_of(item, one.valid_from)
        assert [f.name for f in judged.curated_fields] == [f.name for f in item.curated_fields]
        assert judged.live_fields != item.live_fields and judged.editions == (one,)


def test_a_code_that_came_later_is_not_known_in_an_earlier_period() -> None:
    kinds = load().code_sets["penalty_kind"]
    born = {c.code: c.valid_from for c in kinds.codes if c.valid_from and c.valid_from > date(2020, 1, 1)}
    assert born
    assert set(born).isdisjoint(row_rules.code_values(kinds, date(2020, 1, 1)).values())
    assert set(born) <= set(row_rules.code_values(kinds, date(2026, 1, 1)).values())


def test_a_departments_own_word_goes_before_everybodys() -> None:
    types = load().code_sets["subject_type"]
    assert row_rules.code_values(types, department="high_court")["580"] == "natural_person"
    assert "580" not in row_rules.code_values(types, department="tax_service")
    opposite = Variant(value="自然人", code="organisation", source="x", department="haikou", valid_to=date(2020, 1, 1))
    altered = types.model_copy(update={"own": (opposite,)})
    assert row_rules.code_values(altered, date(2019, 1, 1), "haikou")["自然人"] == "organisation"
    assert row_rules.code_values(altered, date(2021, 1, 1), "haikou")["自然人"] == "natural_person"
    assert row_rules.code_values(altered, date(2019, 1, 1), "sanya")["自然人"] == "natural_person"
