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
