"""What the law keeps out of the catalogue is refused whatever it is called, with its reason; what only sounds like it
is not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas import lint_law
from schemas.load import CATALOG, load
from schemas.model import CatalogError
from tests.conftest import SOAK

HONOUR = "items/honour.toml"
ALLOWED = "law/allowed.csv"


def grow(root: Path, file: str, text: str) -> None:
    path = root / file
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def swap(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def a_field(root: Path, name: str = "extra", zh: str = "另一项", en: str = "Another", more: str = "") -> None:
    text = f'\n[fields.{name}]\nlabel_zh = "{zh}"\nlabel_en = "{en}"\ntype = "text"\nlength = 9\n{more}\n'
    grow(root, HONOUR, text)


def by_name(root: Path, text: str) -> None:
    a_field(root, name=text)


def by_zh(root: Path, text: str) -> None:
    a_field(root, zh=text)


def by_en(root: Path, text: str) -> None:
    a_field(root, en=text)


def by_alias(root: Path, text: str) -> None:
    a_field(root, more=f'aliases = ["{text}"]')


def by_header(root: Path, text: str) -> None:
    grow(root, "headers/professional_qualification.csv", f"*,{text},certificate_no\n")


def by_item(root: Path, text: str) -> None:
    swap(root, HONOUR, 'name_zh = "', f'name_zh = "{text}')


def by_english_item(root: Path, text: str) -> None:
    swap(root, HONOUR, 'name_en = "', f'name_en = "{text} ')


PLANTED: list[tuple[Callable[[Path, str], None], str, str, str]] = [
    (by_zh, "宗教信仰", "faith", "征信业管理条例"),
    (by_alias, "宗 教", "faith", "征信业管理条例"),
    (by_name, "religion", "faith", "征信业管理条例"),
    (by_en, "Religious belief", "faith", "第十四条"),
    (by_header, "信教情况", "faith", "第十四条"),
    (by_zh, "基因信息", "gene", "第十四条"),
    (by_alias, "ＤＮＡ编号", "gene", "第十四条"),
    (by_name, "dna_profile", "gene", "第十四条"),
    (by_en, "Genetic code", "gene", "第十四条"),
    (by_zh, "指纹", "fingerprint", "第十四条"),
    (by_name, "fingerprint_left", "fingerprint", "第十四条"),
    (by_alias, "fingerPrint", "fingerprint", "第十四条"),
    (by_alias, "掌纹特征", "fingerprint", "第十四条"),
    (by_zh, "血型", "blood", "第十四条"),
    (by_alias, "BloodType", "blood", "第十四条"),
    (by_alias, "BLOODTYPE", "blood", "第十四条"),
    (by_en, "Blood donation", "blood", "第十四条"),
    (by_zh, "既往病史", "illness", "第十四条"),
    (by_alias, "所患疾病", "illness", "第十四条"),
    (by_name, "medical_history", "illness", "第十四条"),
    (by_en, "Health condition", "illness", "第十四条"),
    (by_header, "疫苗接种情况", "illness", "第十四条"),
    (by_zh, "人脸照片", "biometric", "个人信息保护法"),
    (by_name, "iris_code", "biometric", "个人信息保护法"),
    (by_en, "Face image", "biometric", "个人信息保护法"),
    (by_alias, "活动轨迹", "track", "个人信息保护法"),
    (by_name, "phone_location", "track", "个人信息保护法"),
    (by_zh, "信访次数", "petition", "49号"),
    (by_item, "信访人员", "petition", "49号"),
    (by_zh, "月收入", "income", "书面|第十四条"),
    (by_name, "annual_salary", "income", "第十四条"),
    (by_en, "Wages", "income", "第十四条"),
    (by_zh, "银行存款", "deposit", "第十四条"),
    (by_name, "savings", "deposit", "第十四条"),
    (by_zh, "持有股票", "securities", "第十四条"),
    (by_en, "Share holdings", "securities", "第十四条"),
    (by_zh, "保单号", "insurance", "第十四条"),
    (by_alias, "商业保险", "insurance", "第十四条"),
    (by_name, "life_insurance", "insurance", "第十四条"),
    (by_zh, "名下房产", "real_estate", "第十四条"),
    (by_alias, "不动产单元", "real_estate", "第十四条"),
    (by_en, "Real estate owned", "real_estate", "第十四条"),
    (by_zh, "年纳税额", "tax_amount", "第十四条"),
    (by_name, "tax_paid", "tax_amount", "第十四条"),
    (by_item, "治安管理处罚", "public_security", "第一百三十六条"),
    (by_english_item, "Public security penalties", "public_security", "第一百三十六条"),
    (by_zh, "治安拘留天数", "public_security", "第一百三十六条"),
    (by_item, "未成年人犯罪", "juvenile", "第五十九条"),
    (by_name, "juvenile_record", "juvenile", "第五十九条"),
    (by_zh, "信用积分", "score", "49号"),
    (by_zh, "金椰分", "score", "49号"),
    (by_name, "credit_score", "score", "49号"),
    (by_en, "Integrity points", "score", "49号"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(CATALOG, tmp_path / "catalog")
    return tmp_path / "catalog"


def refusal(root: Path) -> str:
    with pytest.raises(CatalogError) as refused:
        load(root)
    return str(refused.value)


# Every one loads the whole catalogue, so every other one is left to a soak.
CHOSEN = PLANTED if SOAK else PLANTED[::2]


@pytest.mark.parametrize(("plant", "text", "code", "basis"), CHOSEN, ids=lambda x: x if isinstance(x, str) else "")
def test_what_the_law_keeps_out_is_refused_with_its_reason(
    root: Path, plant: Callable[[Path, str], None], text: str, code: str, basis: str
) -> None:
    plant(root, text)
    told = refusal(root)
    assert f"({code})" in told
    assert any(b in told for b in basis.split("|"))
    assert told.startswith("catalog/headers/" if plant is by_header else "catalog/items/honour.toml [")
    assert "Remove it" in told


HARMLESS = [
    "疾病预防控制中心", "健康管理师", "拖欠农民工工资", "社会保险险种", "养老保险", "Kind of social insurance",
    "证券从业资格", "Securities practitioner", "房地产经纪人", "Real estate broker", "房地产中介", "记录",
    "分类", "部分", "Point of contact", "Interface", "surface", "trackless", "Wage arrears",
    "税务登记号", "Tax registration number",
    "未成年人保护组织", "公安机关", "Public security organ", "精神文明建设", "stockade", "志愿服务时长",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_sounds_like_it_is_not(text: str) -> None:
    assert [k.code for k in load().withheld if lint_law.giveaway(k, text)] == []


def test_an_item_that_ended_before_the_seal_may_stay(root: Path) -> None:
    by_item(root, "治安管理处罚")
    swap(root, HONOUR, "valid_from = ", "valid_to = 2025-12-31\nvalid_from = ")
    assert load(root).items["honour"].valid_to is not None


def test_an_exception_holds_for_the_departments_it_names_and_no_other(root: Path) -> None:
    assert load(root)
    swap(root, ALLOWED, "tax_service,tax_arrears", "development_reform,tax_arrears")
    assert "not allowed for tax_service" in refusal(root)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("tax_service,tax_arears,arrears_cny,tax_amount,x", "Did you mean 'tax_arrears'?"),
        ("tax_service,tax_arrears,arrears_cny,tax_amout,x", "Did you mean 'tax_amount'?"),
        ("haikou,tax_arrears,arrears_cny,tax_amount,x", "does not deliver"),
        ("tax_service,tax_arrears,tax_organ,tax_amount,x", "an exception is for a need"),
        ("tax_service,tax_arrears,arrears_cny,tax_amount,", "basis"),
    ],
)
def test_a_faulty_exception_is_refused(root: Path, row: str, told: str) -> None:
    grow(root, ALLOWED, row + "\n")
    said = refusal(root)
    assert said.startswith("catalog/law/allowed.csv [") and told in said


def test_no_law_makes_an_exception_for_what_may_never_be_collected(root: Path) -> None:
    by_zh(root, "血型")
    grow(root, ALLOWED, "civilization_office,honour,extra,blood,x\npublicity_department,honour,extra,blood,x\n")
    assert "no exception" in refusal(root)


def test_a_catalogue_without_the_law_is_refused(root: Path) -> None:
    (root / "law" / "withheld.csv").unlink()
    assert refusal(root).startswith("catalog/law/withheld.csv [")


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        ("", True),
        ("required = true", False),
        ('purpose = "on the published list of honours"', False),
        ('rules = [{ kind = "not_placeholder" }]', False),
    ],
)
def test_an_attribute_that_nothing_needs_is_told(root: Path, more: str, is_told: bool) -> None:
    a_field(root, zh="获奖时的民族", more=more)
    assert ("honour.extra" in lint_law.unneeded(load(root))) is is_told
