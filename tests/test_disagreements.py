"""What departments say differently of one record is told with both lineages, and no name or number with it."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.dirty_files import number, table
from tests.nights import Home, begin
from tests.test_privacy import name

FIELDS = {
    "行政相对人名称": "", "行政相对人类别": "自然人", "自然人证件类型": "身份证", "自然人证件号码": "",
    "行政处罚决定书文号": "", "违法行为类型": "占道经营", "违法事实": "占道摆卖", "处罚依据": "条例第一条",
    "处罚类别": "罚款", "处罚内容": "罚款五百元", "罚款金额（万元）": "0.05", "处罚决定日期": "2026-11-16",
    "处罚机关": "海口市综合行政执法局", "处罚机关统一社会信用代码": "11469099MB00000001",
    "数据来源单位": "海口市综合行政执法局", "数据来源单位统一社会信用代码": "11469099MB00000001",
    "备注": "", "操作类型": "", "更新时间": "",
}  # fmt: skip
ORGAN, FINE, WHO, ACTION = "处罚机关", "罚款金额（万元）", "行政相对人名称", "操作类型"


def penalty(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of the item administrative_penalty about invented person `n`."""
    own = {WHO: name(n), "自然人证件号码": number(n), "行政处罚决定书文号": f"琼综执罚决字〔2026〕{n}号"}
    assert FIELDS.keys() >= cells.keys()
    return FIELDS | own | cells


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch, item="administrative_penalty", sender="haikou")


def told(home: Home, *more: str) -> list[dict[str, Any]]:
    code, said = home.command("disagreements", "--json", *more)
    assert code == 0
    found: list[dict[str, Any]] = json.loads(said)
    return found


def short(home: Home) -> list[tuple[Any, ...]]:
    """By line of the statement that comes first: state, the other department, what differs."""
    return sorted(
        (d["first"]["line"], d["state"], d["other"]["department"], d["fields"], d["identifying"]) for d in told(home)
    )


def test_what_city_and_province_say_differently_is_told_with_both_lineages(home: Home) -> None:
    province = replace(home, sender="market_supervision")
    assert told(home) == [], "nothing is released"
    city = [penalty(1, **{ORGAN: "海口市龙华区综合行政执法局", FINE: "0.06"}), penalty(2), penalty(3, **{WHO: name(4)}),
            penalty(5)]  # fmt: skip
    province.send(province=(table(*(penalty(n) for n in (1, 2, 3))), {"period": "2026-11-20"}))
    rows = home.night(0, city=(table(*city), {"period": "2026-11-21"}))
    # The later word of the city changes nothing: the province comes first.
    organs = ["海口市综合行政执法局", "海口市龙华区综合行政执法局"]
    differs = {"deciding_organ": organs, "fine_10k_cny": ["0.050000", "0.060000"]}
    assert short(home) == [
        (2, "shared", "haikou", differs, []),
        (4, "shared", "haikou", {}, ["subject_name"]),
    ]  # fmt: skip
    organ = next(d for d in told(home, "--item", "administrative_penalty") if d["fields"])
    asked = f"""SELECT lower(hex(record_key)), lower(hex(subject_id)) FROM records.administrative_penalty
        WHERE delivery_id = '{rows['province']['delivery_id']}' AND line = 2"""
    assert home.rows(asked) == [(organ["record_key"], organ["subject_id"])]
    lineage = {"line": 2, "sheet": None}
    assert organ["first"] == lineage | {
        "department": "market_supervision", "delivery_id": rows["province"]["delivery_id"], "period": "2026-11-20",
    }  # fmt: skip
    assert organ["other"] == lineage | {
        "department": "haikou", "delivery_id": rows["city"]["delivery_id"], "period": "2026-11-21",
    }  # fmt: skip
    code, text = home.command("disagreements")
    assert code == 0 and "2 administrative_penalty: market_supervision before haikou" in text
    lines = list(csv.DictReader(io.StringIO(home.command("disagreements", "--csv")[1])))
    assert sorted(line["fields"] for line in lines)[1].startswith("fine_10k_cny: 0.050000 / 0.060000; deciding_organ: ")
    for n in range(1, 6):
        assert name(n) not in text and number(n) not in text
    assert told(home, "--item", "honour") == [] and home.command("disagreements", "--item", "x")[0] == 2

    # A correction ends one disagreement; a department that withdraws its word says nothing any more. Where the first
    # contradicts itself nothing shows, and the others say something else than either.
    mended = table(penalty(1, **{ORGAN: "海口市综合行政执法局"}), penalty(3, **{WHO: name(4), ACTION: "撤回"}))
    both = table(penalty(2, **{FINE: "0.07"}), penalty(2, **{FINE: "0.08"}))
    province.send(both=(both, {"period": "2026-11-23"}))
    rows = home.night(1, mended=(mended, {"period": "2026-11-23"}))
    assert {s[1:3] for s in short(home)} == {("held", "haikou")}
    # What is taken back was never said.
    back = ("revert", "--delivery", rows["both"]["delivery_id"], "--by", "x", "--reason", "y", "--date", "2026-11-25")
    assert home.command(*back)[0] == 0
    assert short(home) == []
