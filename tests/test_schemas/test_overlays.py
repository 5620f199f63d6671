"""A county adds and tightens; whatever it would widen, lengthen, drop or weaken is refused with the line."""

import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from schemas.load import CATALOG, load
from schemas.model import CatalogError
from schemas.origins import origins
from schemas.overlay import effective

HEAD = """county = "sanya"
basis = "琼府办〔2017〕101号 五（二）"
"""
ITEM = "administrative_penalty"
ADDED = """
[items.administrative_penalty.fields.town_part]
label_zh = "所属镇区"
label_en = "Part of the zone"
type = "text"
length = 50
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "catalog"
    shutil.copytree(CATALOG, target)
    return target


def said(text: str, head: str = HEAD) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        (root / "counties" / "sanya.toml").write_text(head + text, encoding="utf-8")

    return plant


def field(name: str, line: str) -> Callable[[Path], None]:
    return said(f"\n[items.{ITEM}.fields.{name}]\n{line}\n")


def of_item(line: str) -> Callable[[Path], None]:
    return said(f"\n[items.{ITEM}]\n{line}\n")


def cycle(root: Path) -> None:
    said("[items]\n", HEAD + 'extends = "lingshui"\n')(root)
    (root / "counties" / "lingshui.toml").write_text(
        'county = "lingshui"\nextends = "sanya"\nbasis = "x"\n[items]\n', encoding="utf-8"
    )


REFUSED: dict[str, tuple[Callable[[Path], None], int, str, str]] = {
    "wider publicity": (of_item('publicity = "public"'), 5, "publicity", "narrower"),
    "wider sharing": (of_item('sharing = "unconditional"'), 5, "sharing", "narrower"),
    "longer clock": (of_item("retention_years = 6"), 5, "retention_years", "only shorten"),
    "mandatory field dropped": (field("decision_no", "required = false"), 5, "fields.decision_no.required", "Say true"),
    "field ended": (
        field("decision_no", "valid_to = 2026-01-01"), 5, "fields.decision_no.valid_to", "field of its own"),
    "lower sensitivity": (
        field("subject_name", 'sensitivity = "public"'), 5, "fields.subject_name.sensitivity", "field of its own"),
    "another type": (field("decision_date", 'type = "text"'), 5, "fields.decision_date.type", "field of its own"),
    "another code set": (
        field("seriousness", 'code_set = "sex"'), 5, "fields.seriousness.code_set", "field of its own"),
    "longer text": (field("decision_no", "length = 500"), 5, "fields.decision_no.length", "only shorten"),
    "milder rule": (
        field("decision_no", 'rules = [{ kind = "not_placeholder", severity = "warning" }]'),
        5, "fields.decision_no.rules", "only raise"),
    "wider range": (
        field("fine_10k_cny", 'rules = [{ kind = "between", low = 0, high = 999999, severity = "error" }]'),
        5, "fields.fine_10k_cny.rules", "narrow the range"),
    "milder rule of the item": (
        of_item(
            'rules = [\n    { kind = "not_before", field = "publicity_until", other = "decision_date", '
            'severity = "info" },\n]'
        ),
        6, "rules.0", "only raise"),
    "rules taken away": (of_item("drop_rules = true"), 5, "drop_rules", "cannot say"),
    "unknown item": (said("\n[items.penalty]\n"), 4, "items.penalty", "no item 'penalty'"),
    "item of others": (said("\n[items.traffic_penalty]\n"), 4, "items.traffic_penalty", "provider"),
    "no county": (
        said("[items]\n", HEAD.replace("sanya", "honk")), 1, "county", "differs from the file name"),
    "no basis": (said("[items]\n", 'county = "sanya"\n'), 1, "basis", "Add it"),
    "cyclic": (cycle, 2, "extends", "Let one of them stand alone"),
    "follows nobody": (said("[items]\n", HEAD + 'extends = "danzho"\n'), 3, "extends", "Did you mean 'danzhou'?"),
    "prohibited field": (
        said(ADDED.replace("所属镇区", "宗教信仰")), 5, "fields.town_part.label_zh", "Remove it"),
    "added field with a fault": (said(ADDED + "scale = 2\n"), 9, "fields.town_part.scale", "Remove it"),
    "added field of an unknown element": (
        field("town_part", 'element = "regoin"'), 4, "fields.town_part.element", "Did you mean 'region'?"),
    "added rule with a fault": (
        said(ADDED + 'rules = [{ kind = "matchs", pattern = "x" }]\n'), 9, "fields.town_part.rules", "'matches'?"),
    "added header of another field": (
        field("decision_no", 'aliases = ["CF_XDR_MC", "处罚机关"]'), 5, "fields.d", "Remove it from one"),
    "column shared in disagreement": (
        said(ADDED.replace("town", "zone").replace('"text"\nlength = 50', '"date"')),
        7, "fields.zone_part.type", "Agree on it"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_county_that_goes_too_far_is_refused_with_the_line(name: str, copy: Path) -> None:
    plant, line, key, cure = REFUSED[name]
    plant(copy)
    with pytest.raises(CatalogError) as refused:
        load(copy)
    form = r"catalog/counties/(?:sanya|lingshui)\.toml \[(?:line (\d+), )?([^\]]+)\]: (.+)"
    told = re.fullmatch(form, str(refused.value))
    assert told, str(refused.value)
    assert key in told[2] and cure in told[3], str(refused.value)
    assert told[1] is None or int(told[1]) == line, str(refused.value)


def test_a_county_may_add_and_tighten(copy: Path) -> None:
    said(
        ADDED + """required = true

[items.administrative_penalty.fields.decision_no]
length = 64
aliases = ["本市文号"]
rules = [{ kind = "document_number", severity = "hold" }]

[items.administrative_penalty.fields.fine_10k_cny]
rules = [{ kind = "between", low = 0, high = 50, severity = "hold" }]
"""
    )(copy)
    catalog = load(copy)
    own, other = (effective(catalog, ITEM, d, date(2026, 11, 22)) for d in ("sanya", "haikou"))
    number = own.field("decision_no")
    assert (number.length, number.aliases[-1]) == (64, "本市文号")
    assert [(r.kind, r.severity) for r in number.rules] == [("not_placeholder", "error"), ("document_number", "hold")]
    assert [r.options["high"] for r in own.field("fine_10k_cny").rules] == [100, 100000, 50]
    assert own.field("town_part").required and "town_part" in {f.name for f in own.live_fields}
    assert not other.field("town_part").required and "town_part" not in {f.name for f in other.live_fields}
    assert other.field("decision_no") == load().items[ITEM].field("decision_no")


def test_a_county_follows_the_one_it_extends() -> None:
    catalog = load()
    day = date(2026, 11, 22)
    followed, follows, nobody = (effective(catalog, ITEM, d, day) for d in ("danzhou", "yangpu", "haikou"))
    assert (followed.retention_years, follows.retention_years, nobody.retention_years) == (3, 3, 5)
    assert (followed.publicity, follows.publicity) == ("authorised", "government")
    assert follows.field("certificate_type").required
    before = effective(catalog, ITEM, "yangpu", date(2025, 11, 22))
    assert (before.retention_years, before.publicity) == (5, "authorised")


def test_every_line_of_a_countys_item_tells_its_origin() -> None:
    catalog = load()
    told = origins(CATALOG, catalog, ITEM, "yangpu", date(2026, 11, 22))
    by_key = {o.key: o for o in told}
    assert {"fields.zone_part.label_zh", "retention_years", "rules.amount_if_code"} <= set(by_key)
    files = {o.where.split(":")[0].removeprefix("catalog/counties/") for o in told if "/counties/" in o.where}
    assert files == {"danzhou.toml", "yangpu.toml"}
    for o in told:
        file, line = o.where.split(":")
        text = (CATALOG.parent / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        word = o.key.split(".")[-1]
        assert word in text or f'kind = "{word}"' in text, (o, text)


def test_the_origin_of_what_an_element_says_is_the_element(copy: Path) -> None:
    path = copy / "items" / "honour.toml"
    added = '\n[fields.region]\nelement = "region"\nrequired = true\n'
    path.write_text(path.read_text(encoding="utf-8") + added, encoding="utf-8")
    where = {o.key: o.where for o in origins(copy, load(copy), "honour", "", date(2026, 11, 22))}
    lines = (copy / "elements.toml").read_text(encoding="utf-8").splitlines()
    file, line = where["fields.region.code_set"].split(":")
    assert file == "catalog/elements.toml" and lines[int(line) - 1] == 'code_set = "region"'
    assert where["fields.region.required"].startswith("catalog/items/honour.toml:")
