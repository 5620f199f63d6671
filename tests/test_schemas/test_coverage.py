"""The catalogue covers the plan (琼府办〔2017〕101号): every unit it names, and something of every kind it asks for."""

import pytest

from schemas.load import load
from schemas.model import Catalog, Department

# III(2): who is to establish records. V(1): every city and county.
RECORDING = [
    "团省委", "省网信办", "省食品药品监管局", "省安全监管局", "省公安厅", "省生态环境保护厅", "省质监局",
    "省地税局", "省国税局", "省卫生计生委", "省人力资源社会保障厅", "省住房城乡建设厅", "省政府金融办",
    "省知识产权局", "省高级法院", "省检察院", "省发展改革委", "省商务厅", "省工商局", "省民政厅", "省公务员局",
    "省司法厅", "省教育厅", "省财政厅", "银监会海南监管局", "证监会海南监管局", "保监会海南监管局", "省旅游委",
    "人行海口中心支行",
]  # fmt: skip
OTHERS = [
    "省委宣传部", "省文明办", "省文化广电出版体育厅", "海南日报社", "省委组织部", "省交通运输厅",
    "省工业和信息化厅", "省通信管理局", "省邮政管理局", "行业协会商会", "全省各级政务中心",
]  # fmt: skip
ENGLISH = [
    "Provincial Public Security Department", "Provincial Internet Information Office",
    "Provincial Government Finance Office", "Provincial Finance Department",
    "Provincial Development and Reform Commission", "Provincial Education Department",
]  # fmt: skip
COUNTIES = [
    "海口市", "三亚市", "三沙市", "儋州市", "五指山市", "琼海市", "文昌市", "万宁市", "东方市", "定安县", "屯昌县",
    "澄迈县", "临高县", "白沙黎族自治县", "昌江黎族自治县", "乐东黎族自治县", "陵水黎族自治县",
    "保亭黎族苗族自治县", "琼中黎族苗族自治县", "洋浦",
]  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def named(catalog: Catalog, name: str) -> Department:
    found = [d for d in catalog.departments.values() if name in (d.name_zh, d.name_en, *d.aliases)]
    assert len(found) == 1, f"{name}: {[d.code for d in found]}"
    return found[0]


def heirs(catalog: Catalog, department: Department) -> list[str]:
    """The department and those that followed it."""
    chain = [department.code]
    while (successor := catalog.departments[chain[-1]].successor) is not None:
        chain.append(successor)
    return chain


def test_there_are_as_many_units_as_the_plan_names() -> None:
    assert len(RECORDING) == len(set(RECORDING)) == 29
    assert len(COUNTIES) == len(set(COUNTIES)) == 20


@pytest.mark.parametrize("name", RECORDING)
def test_every_unit_that_is_to_establish_records_delivers(name: str, catalog: Catalog) -> None:
    assert any(catalog.delivers(code) for code in heirs(catalog, named(catalog, name)))


@pytest.mark.parametrize("name", [*OTHERS, *ENGLISH])
def test_every_other_name_in_the_plan_is_that_of_one_department(name: str, catalog: Catalog) -> None:
    named(catalog, name)


@pytest.mark.parametrize("name", COUNTIES)
def test_every_city_and_county_delivers(name: str, catalog: Catalog) -> None:
    county = named(catalog, name)
    assert county.kind == "county" and "administrative_penalty" in catalog.delivers(county.code)


def test_an_abolished_unit_ends_the_day_before_its_heir_begins_or_its_heir_was_there(catalog: Catalog) -> None:
    ended = [d for d in catalog.departments.values() if d.valid_to is not None]
    assert len(ended) >= 12
    for d in ended:
        assert d.successor is not None and d.valid_to is not None
        assert (catalog.departments[d.successor].valid_from - d.valid_to).days <= 1


@pytest.mark.parametrize(
    ("codes", "of"),
    [
        ("catalogue_category", lambda i: [i.category]),
        ("domain", lambda i: [i.domain]),
        ("professional_group", lambda i: i.groups),
        ("real_name_domain", lambda i: i.real_name_domains),
        ("supervision_target", lambda i: i.supervision_targets),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_something_is_collected_of_every_kind(codes, of, catalog: Catalog) -> None:  # type: ignore[no-untyped-def]
    used = {code for item in catalog.items.values() for code in of(item)}
    assert {c.code for c in catalog.code_sets[codes].codes} - used == set()


def test_there_are_enough_items_and_each_says_what_it_rests_on(catalog: Catalog) -> None:
    assert len(catalog.items) >= 70
    events = ("restoration", "objection", "complaint", "reconsideration", "withdrawal", "authorisation")
    assert {f"{kind}_event" for kind in events} <= set(catalog.items)
    assert [i.code for i in catalog.items.values() if not i.legal_basis or not i.retention_source] == []
