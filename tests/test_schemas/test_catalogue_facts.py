"""What the catalogue says, held against the published layouts and code tables it was copied from."""

from datetime import date
from pathlib import Path

import pytest

from schemas import row_rules
from schemas.editions import headers
from schemas.load import CATALOG, load
from schemas.model import Catalog, Code, CodeSet

PENALTY_2018 = """CF_XDR_MC CF_XDR_LB CF_XDR_SHXYM CF_XDR_GSZC CF_XDR_ZZJG CF_XDR_SWDJ CF_XDR_SYDW CF_XDR_SHZZ CF_FRDB
    CF_FR_ZJLX CF_FR_ZJHM CF_XDR_ZJLX CF_XDR_ZJHM CF_WSH CF_WFXW CF_SY CF_YJ CF_CFLB CF_NR CF_NR_FK CF_NR_WFFF
    CF_NR_ZKDX CF_JDRQ CF_YXQ CF_GSJZQ CF_CFJG CF_CFJGDM CF_SJLY CF_SJLYDM BZ"""
PENALTY_2016 = """CF_WSH CF_CFMC CF_CFLB1 CF_CFLB2 CF_SY CF_YJ CF_XDR_MC CF_XDR_SHXYM CF_XDR_ZDM CF_XDR_GSDJ CF_XDR_SWDJ
    CF_XDR_SFZ CF_FR CF_JG CF_JDRQ CF_JZQ CF_XZJG CF_ZT DFBM SJC BZ CF_SYFW CF_SXYZCD CF_GSJZQ"""
LICENCE_2018 = """XK_XDR_MC XK_XDR_LB XK_XDR_SHXYM XK_XDR_GSZC XK_XDR_ZZJG XK_XDR_SWDJ XK_XDR_SYDW XK_XDR_SHZZ XK_FRDB
    XK_FR_ZJLX XK_FR_ZJHM XK_XDR_ZJLX XK_XDR_ZJHM XK_XKWS XK_WSH XK_XKLB XK_XKZS XK_XKBH XK_NR XK_JDRQ XK_YXQZ XK_YXQZI
    XK_XKJG XK_XKJGDM XK_ZT XK_LYDW XK_LYDWDM BZ"""
COURT = """iname sexy age cardnum partytypename courtname areaname gistid gistunit casecode regdate duty performance
    performedpart unperformpart disrupttypename publishdate bzxrxh"""
# Columns in which an identity number, a name, an account or an address of a person may stand.
IDENTIFYING = {
    "administrative_penalty": """CF_XDR_MC CF_XDR_ZJHM CF_XDR_SFZ CF_XDR_SHXYM CF_XDR_GSZC CF_XDR_ZZJG CF_XDR_SWDJ
        CF_XDR_SYDW CF_XDR_SHZZ CF_FRDB CF_FR CF_FR_ZJHM CF_FR_SFZH CF_NR_ZKDX CF_CFMC""",
    "administrative_licence": """XK_XDR_MC XK_XDR_ZJHM XK_XDR_SHXYM XK_XDR_GSZC XK_XDR_SWDJ XK_FRDB XK_FR_ZJHM
        XK_FR_SFZH XK_XKBH""",
    "traffic_penalty": "当事人姓名 证件号码 驾驶证号 号牌号码",
    "judgment_defaulter": "姓名 身份证号码 cardnum",
    "major_tax_violation": "纳税人识别号 注册地址 财务负责人姓名 财务负责人证件号码 中介机构及从业人员",
    "exam_misconduct": "考生姓名 准考证号",
    "student_loan_default": "借款学生姓名 贷款合同号",
    "professional_qualification": "资格证书编号 执业证号",
    "honour": "文件名称",
    "volunteer_service": "志愿者编号",
    "identity_reference": "曾用名 原证件号码 出生日期",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def fields_of(catalog: Catalog, item: str, department: str | None = None) -> dict[str, str]:
    return {h.upper(): f for h, f in headers(catalog, catalog.items[item], department).items()}


@pytest.mark.parametrize(
    ("item", "columns"),
    [
        ("administrative_penalty", PENALTY_2018),
        ("administrative_penalty", PENALTY_2016),
        ("administrative_licence", LICENCE_2018),
        ("judgment_defaulter", COURT),
    ],
    ids=["penalty 2018", "penalty 2016", "licence 2018", "court"],
)
def test_every_column_of_a_layout_has_a_field(catalog: Catalog, item: str, columns: str) -> None:
    known = fields_of(catalog, item)
    assert [c for c in columns.split() if c.upper() not in known] == []


@pytest.mark.parametrize("item", IDENTIFYING)
def test_columns_that_may_name_a_person_never_leave_the_vault(catalog: Catalog, item: str) -> None:
    known = fields_of(catalog, item)
    spec = catalog.items[item]
    open_ones = [c for c in IDENTIFYING[item].split() if spec.field(known[c.upper()]).sensitivity != "identifying"]
    assert open_ones == []


def test_mandatory_columns_of_the_2018_penalty_layout_are_required(catalog: Catalog) -> None:
    known, item = fields_of(catalog, "administrative_penalty"), catalog.items["administrative_penalty"]
    mandatory = """CF_XDR_MC CF_XDR_LB CF_XDR_ZJHM CF_WSH CF_WFXW CF_SY CF_YJ CF_CFLB CF_NR CF_JDRQ CF_CFJG
        CF_CFJGDM CF_SJLY CF_SJLYDM"""
    assert {known[c] for c in mandatory.split()} == {f.name for f in item.fields if f.required}
    of_persons = {(r.options["field"], r.options["equals"]) for r in item.rules if r.kind == "required_if"}
    assert of_persons == {(known["CF_XDR_ZJLX"], "natural_person")}


def test_a_departments_own_header_goes_before_everybodys(catalog: Catalog) -> None:
    assert fields_of(catalog, "professional_qualification")["执业证号"] == "practice_no"
    assert fields_of(catalog, "professional_qualification", "justice")["执业证号"] == "certificate_no"


def test_every_item_states_one_of_the_fourteen_domains(catalog: Catalog) -> None:
    assert len(catalog.code_sets["domain"].codes) == 14
    assert {i.domain for i in catalog.items.values()} <= {c.code for c in catalog.code_sets["domain"].codes}


def test_a_code_used_for_two_places_keeps_both_rows_and_reads_as_itself(catalog: Catalog) -> None:
    regions = catalog.code_sets["region"]
    rows = {(c.label, c.valid_from, c.valid_to) for c in regions.codes if c.code == "469025"}
    assert rows == {
        ("定安县", date(2003, 1, 1), date(2006, 12, 31)),
        ("白沙黎族自治县", date(2007, 1, 1), None),
    }
    values = row_rules.code_values(regions)
    assert values["469025"] == "469025"
    assert values["定安县"] == "469021"


def test_a_label_out_of_force_means_the_code_that_bore_it_last(catalog: Catalog) -> None:
    values = row_rules.code_values(catalog.code_sets["region"])
    assert values["琼山县"] == "460021"  # 442121 until 1988
    two = CodeSet(
        name="x",
        codes=(
            Code(code="1", label="old", valid_from=date(1990, 1, 1), valid_to=date(1999, 12, 31), source="s"),
            Code(code="2", label="old", valid_from=date(2000, 1, 1), valid_to=date(2009, 12, 31), source="s"),
        ),
    )
    assert row_rules.code_values(two)["old"] == "2"


@pytest.mark.parametrize(
    "codes",
    [
        "460100 460105 460106 460107 460108 460200 460202 460203 460204 460205 460300 460302 460303 460400",
        "469001 469002 469005 469006 469007 469021 469022 469023 469024 469025 469026 469027 469028 469029 469030",
        "460001 460002 460003 460004 460005 460006 460007 460021 460022 460023 460024 460025 460026 460027 460028",
        "460029 460030 460031 460032 460033 460034 460035 460036 460037 460038 460039 460102 460103 460104",
        "469003 469031 469032 469033 469034 469035 469036 469037 469038 469039 460321 460322 460323",
        "442100 442101 442121 442122 442129 442200 442201 442202 442221 442222 442228 441000 449003 441100",
    ],
    ids=["cities", "counties", "1988-2002", "1988-2002 rest", "2003-2019", "Guangdong"],
)
def test_codes_that_stand_in_living_peoples_numbers_are_known(catalog: Catalog, codes: str) -> None:
    known = {c.code for c in catalog.code_sets["region"].codes}
    assert set(codes.split()) <= known
    assert "469099" not in known


@pytest.mark.parametrize(
    ("code", "writings"),
    [
        ("111", "身份证 10 01 111 112 113 0 201 居民身份证 二代身份证 公民身份号码 SFZ"),
        ("114", "其他-军官证 20 114 3"),
        ("516", "港澳居民来往内地通行证 30 03 516 5"),
        ("511", "台湾居民来往大陆通行证 40 04 511 512 6"),
        ("414", "护照号 50 02 414 412 413 420 421 2"),
        ("553", "外国人永久居留身份证 05 553 8"),
        ("154", "其他-港澳台居民居住证 154"),
        ("990", "90 990 415 416 X"),
    ],
)
def test_five_vocabularies_of_certificates_read_as_one(catalog: Catalog, code: str, writings: str) -> None:
    values = row_rules.code_values(catalog.code_sets["certificate_type"], department="tax_service")  # 201 is theirs
    assert {values.get(w) for w in writings.split()} == {code}


def test_the_wrong_education_table_is_not_read(catalog: Catalog) -> None:
    values = row_rules.code_values(catalog.code_sets["education"])
    assert [w for w in ("01", "02", "03", "04", "05", "06", "07", "08", "1", "2", "72") if w in values] == []
    assert (values["大学本科毕业"], values["初中肄业"], values["本科"]) == ("21", "73", "20")


def test_penalties_that_the_repair_classes_keep_apart_are_codes_of_their_own(catalog: Catalog) -> None:
    values = row_rules.code_values(catalog.code_sets["penalty_kind"])
    assert len({values[w] for w in ("暂扣许可证件", "吊销许可证件", "降低资质等级", "没收违法所得")}) == 4
    assert "罚金" not in values  # a criminal penalty


def test_what_rests_on_general_knowledge_says_so(catalog: Catalog) -> None:
    assert all(d.to_confirm for d in catalog.departments.values())
    cited = {i.code: i.to_confirm for i in catalog.items.values() if "第四十条" in "".join(i.legal_basis)}
    assert any("第四十条" in line for line in cited["administrative_licence"])


def test_the_header_files_are_those_of_items(catalog: Catalog) -> None:
    assert {p.stem for p in Path(CATALOG / "headers").glob("*.csv")} <= set(catalog.items)


@pytest.mark.parametrize(
    "name", ["catalogue_category", "domain", "professional_group", "real_name_domain", "supervision_target"]
)
def test_every_code_that_places_an_item_is_named_in_english(catalog: Catalog, name: str) -> None:
    nameless = [c.code for c in catalog.code_sets[name].codes if not (c.label_en or "").isascii() or not c.label_en]
    assert nameless == [], f"catalog/codes/{name}.csv: give label_en"
