"""The catalogue as a whole, and the messages that name file, key and cure."""

import shutil
from pathlib import Path

import pytest

from schemas.load import CATALOG, load
from schemas.model import CatalogError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "catalog"
    shutil.copytree(CATALOG, target)
    return target


def test_the_shipped_catalogue_has_no_fault() -> None:
    catalog = load()
    assert len(catalog.items) >= 14
    assert len(catalog.departments) >= 12
    assert sum(d.kind == "county" for d in catalog.departments.values()) >= 2


def test_unknown_rule_kind_names_file_key_and_cure(copy: Path) -> None:
    path = copy / "items" / "traffic_penalty.toml"
    path.write_text(path.read_text().replace('kind = "between"', 'kind = "betwen"', 1))
    with pytest.raises(CatalogError, match=r"traffic_penalty.toml .*no rule kind 'betwen'. Did you mean 'between'\?"):
        load(copy)


def test_misspelt_key_names_the_nearest(copy: Path) -> None:
    path = copy / "items" / "traffic_penalty.toml"
    path.write_text(path.read_text().replace("update_cycle =", "update_cicle =", 1))
    with pytest.raises(CatalogError, match="update_c"):
        load(copy)


def test_revision_changes_with_any_byte(copy: Path) -> None:
    before = load(copy).revision
    path = copy / "items" / "traffic_penalty.toml"
    path.write_text(path.read_text() + "\n")
    assert load(copy).revision != before


def test_a_field_that_names_an_element_is_that_element_save_for_what_it_says_otherwise(copy: Path) -> None:
    path = copy / "items" / "honour.toml"
    added = '\n[fields.region]\nelement = "region"\nlabel_zh = "表彰所在市县"\nrequired = true\n'
    path.write_text(path.read_text(encoding="utf-8") + added, encoding="utf-8")
    field = load(copy).items["honour"].field("region")
    assert (field.label_zh, field.label_en, field.required) == ("表彰所在市县", "Region", True)
    assert (field.code_set, field.aliases) == ("region", ("所在市县", "XZQH"))
