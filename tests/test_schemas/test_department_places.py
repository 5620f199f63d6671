"""What may stand in the catalogue as a place of a department."""

import pytest
from pydantic import ValidationError

from schemas import lint
from schemas.load import load
from schemas.model import Catalog, CatalogError, Inbox, Place


@pytest.mark.parametrize(
    "said",
    [
        {"url": "file:///srv/exchange/tax"},
        {"url": "sftp://tax@files.example:2222/in", "credentials": "tax"},
        {"url": "s3://exchange"},
        {"url": "s3://exchange/tax", "endpoint": "https://s3.example", "region": "cn-1", "credentials": "tax"},
    ],
)
def test_a_place_is_a_folder_a_server_or_a_bucket(said: dict[str, str]) -> None:
    assert Inbox.model_validate(said).after_archiving == "move"


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ({"url": "ftp://files.example/in"}, "no place of kind 'ftp'. Use file://, sftp:// or s3://."),
        ({"url": "file://in"}, "it names no folder of this machine"),
        ({"url": "file:///"}, "it names no folder of this machine"),
        ({"url": "file:///srv/../etc"}, "Write it straight."),
        ({"url": "sftp://files.example/in", "credentials": "tax"}, "user, host or folder is missing"),
        ({"url": "sftp://tax@files.example:port/in", "credentials": "tax"}, "it cannot be read"),
        ({"url": "sftp://tax@files.example/in"}, "Name the credentials that hold it."),
        ({"url": "sftp://tax:secret@files.example/in", "credentials": "tax"}, "Leave secrets out"),
        ({"url": "s3://exchange/tax?secret_key=x"}, "Leave secrets out"),
        ({"url": "s3:///tax"}, "it names no bucket"),
        ({"url": "file:///srv", "endpoint": "https://s3.example"}, "only an S3 service has endpoint and region"),
        ({"url": "s3://exchange", "endpoint": "https://key:secret@s3.example"}, "String should match pattern"),
        ({"url": "file:///srv/x", "after_archiving": "delete"}, "Input should be 'move' or 'leave'"),
    ],
    ids=lambda said: said if isinstance(said, str) else str(said["url"]),
)
def test_what_is_no_place_is_told_with_its_cure(said: dict[str, str], cure: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Inbox.model_validate(said)
    assert cure in refused.value.errors()[0]["msg"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def placed(catalog: Catalog, **places: Place) -> Catalog:
    """The catalogue with `inbox_<department>` and `outbox_<department>`."""
    departments = dict(catalog.departments)
    for name, place in places.items():
        key, _, code = name.partition("_")
        departments[code] = departments[code].model_copy(update={key: place})
    return catalog.model_copy(update={"departments": departments})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///srv/tax", "file:///srv/tax"), ("file:///srv/tax", "file:///srv/tax/"),
        ("file:///srv", "file:///srv/tax"), ("s3://exchange", "s3://exchange/tax"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["inbox_high_court", "outbox_high_court", "outbox_tax_service"])
def test_no_place_lies_in_another(catalog: Catalog, one: str, other: str, where: str) -> None:
    for inner, outer in ((one, other), (other, one)):
        with pytest.raises(CatalogError, match="lie in one another. Give each a folder of its own"):
            lint._places(placed(catalog, inbox_tax_service=Inbox(url=inner), **{where: Inbox(url=outer)}))


def test_places_beside_each_other_are_fine(catalog: Catalog) -> None:
    places = {"inbox_tax_service": "file:///srv/tax", "outbox_tax_service": "file:///srv/tax_answers"}
    lint._places(placed(catalog, **{name: Inbox(url=url) for name, url in places.items()}))
    same = Inbox(url="s3://exchange", endpoint="https://a.example")
    lint._places(placed(catalog, inbox_tax_service=same, inbox_high_court=Inbox(url="s3://exchange")))
