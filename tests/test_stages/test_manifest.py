"""What a manifest may say, and what it is held for: nothing of it is guessed, nothing of it is a person's."""

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.stages.manifest import KEYS, LARGEST, Manifest, parse, told
from tests.conftest import SOAK


def of(**said: object) -> Manifest:
    return parse(json.dumps(said, ensure_ascii=False).encode())


def test_a_manifest_that_says_everything_is_taken_as_it_is() -> None:
    said = of(
        rows=5000, sha256="AB" * 32, period="2026-11-22", sequence=3, mode="full", nil=False,
        totals={"罚款金额": {"sum": "12.50", "min": 0}, "处罚决定日期": {"min": "2026-01-01", "max": "2026-11-20"}},
    )  # fmt: skip
    assert said.unclear == said.ignored == ()
    assert (said.rows, said.sha256, said.period) == (5000, "ab" * 32, date(2026, 11, 22))
    assert (said.sequence, said.mode, said.is_nil) == (3, "full", False)
    assert said.totals["罚款金额"] == {"sum": "12.50", "min": "0"}
    assert said.stated == KEYS


def test_a_manifest_that_says_nothing_leaves_the_defaults_and_the_ledger_empty() -> None:
    assert of() == Manifest() and of().kept() == {}
    assert of(rows=None, sha256="") == Manifest()


@pytest.mark.parametrize(
    ("encoding", "before"),
    [
        ("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("gb18030", b""), ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
    ],
)  # fmt: skip
def test_what_editors_of_windows_write_is_read(encoding: str, before: bytes) -> None:
    text = '{"rows": "5", "totals": {"罚款金额": {"sum": "1"}}}'
    assert parse(before + text.encode(encoding)) == of(rows=5, totals={"罚款金额": {"sum": 1}})


@pytest.mark.parametrize(
    "content",
    [
        b"", b"rows: 5", b'{"rows": 5', b"[5]", b"5", b"\xff\xff\xff", b'{"a":' * 100_000, b" " * (LARGEST + 1),
        '{"rows"：5}'.encode(),
    ],
    ids=["empty", "yaml", "cut", "list", "number", "bytes", "nested", "huge", "full-width colon"],
)  # fmt: skip
def test_a_manifest_that_cannot_be_read_is_held_and_not_guessed(content: bytes) -> None:
    assert parse(content) == Manifest(unclear=("file",))


@pytest.mark.parametrize(
    ("said", "unclear"),
    [
        ({"rows": -1}, "value:rows"),
        ({"rows": 4.5}, "value:rows"),
        ({"rows": True}, "value:rows"),
        ({"rows": "five"}, "value:rows"),
        ({"rows": "٥"}, "value:rows"),
        ({"rows": 10**30}, "value:rows"),
        ({"sha256": "abc"}, "value:sha256"),
        ({"period": "2026年11月"}, "value:period"),
        ({"period": "2026-02-30"}, "value:period"),
        ({"period": "2026-W47-7"}, "value:period"),
        ({"period": 20261122.5}, "value:period"),
        ({"sequence": 0}, "value:sequence"),
        ({"sequence": 1 << 31}, "value:sequence"),
        ({"mode": "all"}, "value:mode"),
        ({"nil": "yes"}, "value:nil"),
        ({"nil": True, "rows": 5}, "value:nil"),
        ({"perid": "2026-01-31"}, "near:perid:period"),
        ({"Rows": 5}, "near:Rows:rows"),
        ({"modes": "full"}, "near:modes:mode"),
        ({"totals": [1]}, "value:totals"),
        ({"totals": {"罚款金额": 5}}, "total:罚款金额"),
        ({"totals": {"罚款金额": {}}}, "total:罚款金额"),
        ({"totals": {"罚款金额": {"mean": 5}}}, "total:罚款金额"),
        ({"totals": {"罚款金额": {"sum": "5 元"}}}, "total:罚款金额"),
        ({"totals": {"罚款金额": {"sum": "2026-01-01"}}}, "total:罚款金额"),
        ({"totals": {"罚款金额": {"sum": True}}}, "total:罚款金额"),
        ({"totals": {"罚款金额": {"sum": float("nan")}}}, "total:罚款金额"),
    ],
)
def test_what_is_unclear_is_named_with_what_was_expected(said: dict[str, object], unclear: str) -> None:
    assert of(**said).unclear == (unclear,)
    zh, en = told([unclear])
    assert unclear.split(":")[1] in zh and unclear.split(":")[1] in en


def test_a_key_that_stands_twice_is_unclear_and_a_nested_one_is_not() -> None:
    assert parse(b'{"rows": 5, "rows": 6}').unclear == ("twice:rows",)
    assert of(rows=5, totals={"罚款金额": {"min": 1}, "没收金额": {"min": 1}}).unclear == ()


def test_other_keys_are_told_but_no_name_and_no_number_of_a_person() -> None:
    said = of(operator="x", 填报人="符某某", **{"460106186003070037": 1, "tel13000001234": 2})
    assert said.ignored == ("operator", "#2", "#3", "#4") and said.unclear == ()
    number = {"sum": "460106186003070037"}
    kept = json.dumps(of(totals={"460106186003070037": {"sum": 1}, "证件号码": number}).kept(), ensure_ascii=False)
    assert kept == '{"unclear": ["total:#1", "total:证件号码"]}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=1000 if SOAK else 50)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), json_values, max_size=6))
def test_any_object_gives_a_manifest_that_the_ledger_can_keep_and_a_clerk_can_read(said: dict[str, object]) -> None:
    found = parse(json.dumps(said).encode())
    assert json.loads(json.dumps(found.kept())) == found.kept()
    assert all(told(found.unclear)) or not found.unclear
    # Every key is stated, unclear or ignored, unless it says nothing.
    heard = len(found.stated) + len(found.ignored) + sum(not u.startswith("total:") for u in found.unclear)
    assert heard >= sum(name != "totals" and value not in (None, "") for name, value in said.items())


@given(st.binary(max_size=200))
def test_any_bytes_give_a_manifest(content: bytes) -> None:
    assert isinstance(parse(content), Manifest)
