"""What each kind of change is called, and where it is told."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.diff import KINDS, changelog, diff, gravest
from schemas.load import CATALOG, load
from tests.conftest import SOAK
from tests.test_schemas.test_planted_faults import add, drop_line, swap

BASE = load()
Plant = Callable[[Path], None]
HONOUR, TRAFFIC, PENALTY = "items/honour.toml", "items/traffic_penalty.toml", "items/administrative_penalty.toml"
COURT = "items/judgment_defaulter.toml"
REVERSED = '["civilization_office", "publicity_department"]'
EXTRA = '\n[fields.extra]\nlabel_zh = "另一项"\nlabel_en = "Another"\ntype = "boolean"\n'


def gone(file: str) -> Plant:
    return lambda root: (root / file).unlink()


CHANGES: dict[str, tuple[Plant, str, str, str]] = {
    "item removed": (gone(HONOUR), "breaking", "honour", "item"),
    "item ended": (swap(HONOUR, "\nvalid_from = 2017-06-16", "\nvalid_from = 2017-06-16\nvalid_to = 2027-01-01"),
                   "tightening", "honour", "valid_to"),
    "name of an item": (swap(HONOUR, 'name_en = "Honour"', 'name_en = "Honours"'), "editorial", "honour", "name_en"),
    "wider publicity": (
        swap(HONOUR, 'publicity = "authorised"', 'publicity = "public"'), "widening", "honour", "publicity"),
    "narrower sharing": (
        swap(HONOUR, 'sharing = "conditional"', 'sharing = "none"'), "tightening", "honour", "sharing"),
    "longer clock": (
        swap(HONOUR, "retention_years = 10", "retention_years = 12"), "widening", "honour", "retention_years"),
    "shorter clock": (
        swap(HONOUR, "retention_years = 10", "retention_years = 8"), "tightening", "honour", "retention_years"),
    "one more provider": (
        swap(HONOUR, '"civilization_office"]', '"civilization_office", "youth_league"]'),
        "widening", "honour", "providers"),
    "one provider less": (
        swap(HONOUR, ', "civilization_office"]', "]"), "tightening", "honour", "providers"),
    "another precedence": (
        swap(HONOUR, '["publicity_department", "civilization_office"]', REVERSED),
        "breaking", "honour", "providers"),
    "another key": (
        swap(HONOUR, '"determination_no", "honour_kind"]', '"determination_no"]'),
        "breaking", "honour", "business_key"),
    "another event date": (
        swap(TRAFFIC, 'event_date = "decision_date"', 'event_date = "violation_date"'),
        "breaking", "traffic_penalty", "event_date"),
    "history asked for": (
        swap(TRAFFIC, "history_in_warehouse = false", "history_in_warehouse = true"),
        "widening", "traffic_penalty", "history_in_warehouse"),
    "row keys of another field": (
        swap(COURT, 'field = "source_record_no"', 'field = "basis_document_no"'),
        "tightening", "judgment_defaulter", "sender_key"),
    "optional field added": (add(HONOUR, EXTRA), "widening", "honour", "fields.extra"),
    "required field added": (add(HONOUR, EXTRA + "required = true\n"), "tightening", "honour", "fields.extra"),
    "field removed": (
        swap(TRAFFIC, '[fields.is_paid]\nlabel_zh = "是否缴款"\nlabel_en = "Paid"\ntype = "boolean"\n'
             'aliases = ["交款标记", "缴款标记", "JKBJ"]\n', ""), "breaking", "traffic_penalty", "fields.is_paid"),
    "field renamed": (
        swap(TRAFFIC, "[fields.is_paid]", '[fields.is_settled]\nformerly = ["is_paid"]'),
        "widening", "traffic_penalty", "fields.is_settled"),
    "field retired": (
        swap(TRAFFIC, "[fields.is_paid]", "[fields.is_paid]\nvalid_to = 2027-01-01"),
        "tightening", "traffic_penalty", "fields.is_paid.valid_to"),
    "longer text": (
        swap(TRAFFIC, "length = 1000", "length = 2000"), "widening", "traffic_penalty", "fields.violation_fact.length"),
    "shorter text": (
        swap(TRAFFIC, "length = 1000", "length = 500"),
        "tightening", "traffic_penalty", "fields.violation_fact.length"),
    "type": (
        swap(TRAFFIC, 'type = "integer"', 'type = "decimal"\nscale = 1'),
        "breaking", "traffic_penalty", "fields.demerit_points.type"),
    "unit": (swap(TRAFFIC, 'unit = "CNY"', 'unit = "10k CNY"'), "breaking", "traffic_penalty", "fields.fine_cny.unit"),
    "scale": (
        swap(TRAFFIC, "scale = 2", "scale = 4"), "breaking", "traffic_penalty", "fields.fine_cny.scale"),
    "becomes identifying": (
        swap(TRAFFIC, 'length = 200\nsensitivity = "personal"', 'length = 200\nsensitivity = "identifying"'),
        "breaking", "traffic_penalty", "fields.violation_place.sensitivity"),
    "more open": (
        swap(TRAFFIC, 'length = 200\nsensitivity = "personal"', 'length = 200\nsensitivity = "internal"'),
        "widening", "traffic_penalty", "fields.violation_place.sensitivity"),
    "no longer required": (
        swap(TRAFFIC, 'length = 5\nrequired = true', "length = 5"),
        "widening", "traffic_penalty", "fields.violation_code.required"),
    "more headers": (
        swap(TRAFFIC, '"JKBJ"]', '"JKBJ", "SFJK"]'), "widening", "traffic_penalty", "fields.is_paid.aliases"),
    "fewer headers": (
        swap(TRAFFIC, ', "JKBJ"]', "]"), "tightening", "traffic_penalty", "fields.is_paid.aliases"),
    "another label": (
        swap(TRAFFIC, 'label_en = "Paid"', 'label_en = "Is paid"'),
        "editorial", "traffic_penalty", "fields.is_paid.label_en"),
    "rule added": (
        swap(TRAFFIC, 'high = 12, severity = "error" }]',
             'high = 12, severity = "error" }, { kind = "between", low = 1 }]'),
        "tightening", "traffic_penalty", "fields.demerit_points.rules.between"),
    "rule removed": (
        swap(TRAFFIC, 'rules = [{ kind = "between", low = 0, high = 12, severity = "error" }]', ""),
        "widening", "traffic_penalty", "fields.demerit_points.rules.between"),
    "rule milder": (
        swap(TRAFFIC, 'high = 12, severity = "error"', 'high = 12, severity = "warning"'),
        "widening", "traffic_penalty", "fields.demerit_points.rules.between"),
    "wider range": (
        swap(TRAFFIC, "high = 12", "high = 15"), "widening", "traffic_penalty", "fields.demerit_points.rules.between"),
    "narrower range": (
        swap(TRAFFIC, "high = 12", "high = 9"), "tightening", "traffic_penalty", "fields.demerit_points.rules.between"),
    "another pattern": (
        swap(TRAFFIC, "46[0-9]{13,14}", "46[0-9]{14}"),
        "tightening", "traffic_penalty", "fields.decision_no.rules.matches"),
    "rule of the item removed": (
        drop_line(TRAFFIC, '    { kind = "not_before"'), "widening", "traffic_penalty", "rules.not_before"),
    "county tightens": (
        swap("counties/danzhou.toml", "retention_years = 3", "retention_years = 2"),
        "tightening", "administrative_penalty@danzhou", "retention_years"),
    "county lets go": (
        gone("counties/yangpu.toml"), "breaking", "administrative_penalty", "fields.zone_part"),
    "department removed": (
        gone("departments/culture_sports.toml"), "breaking", "departments.culture_sports", "department"),
    "department ended": (
        add("departments/service_centres.toml", "valid_to = 2027-01-01\n"),
        "tightening", "departments.service_centres", "valid_to"),
    "code added": (add("codes/sex.csv", "3,新值,,,x\n"), "widening", "codes.sex", "3"),
    "code removed": (
        drop_line("codes/usage_scope.csv", "2,"), "breaking", "codes.usage_scope", "2"),
    "header added": (add("headers/administrative_penalty.csv", "*,CF_NEU,remarks\n"),
                     "widening", "headers.administrative_penalty", "*,*,CF_NEU"),
    "policy changed": (
        swap("policy/national.toml", "value = 18", "value = 19"), "tightening", "policy.national", "adult_age"),
    "finding reworded": (swap("findings.csv", "Empty file", "Nothing in it"), "editorial", "findings", "F002"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CHANGES)[:: 1 if SOAK else 2])
def test_a_change_is_called_what_it_means(name: str, tmp_path: Path) -> None:
    plant, kind, where, key = CHANGES[name]
    root = tmp_path / "catalog"
    shutil.copytree(CATALOG, root)
    plant(root)
    altered = load(root)
    changes = diff(BASE, altered)
    assert (kind, where, key) in {c[:3] for c in changes}, changes
    assert gravest(changes) == kind
    assert all(bool(c.cure) == (c.kind == "breaking") for c in changes)
    text = changelog(changes)
    assert f"### {where}" in text and f"`{key}`" in text
    # The other way round nothing is silent either.
    assert diff(altered, BASE)


def test_editions_that_move_are_told(tmp_path: Path) -> None:
    root = tmp_path / "catalog"
    shutil.copytree(CATALOG, root)
    swap(PENALTY, "valid_to = 2024-12-31", "valid_to = 2025-01-31")(root)
    swap(PENALTY, 'code = "2025", valid_from = 2025-01-01', 'code = "2025", valid_from = 2025-02-01')(root)
    assert ("tightening", "administrative_penalty", "editions") in {c[:3] for c in diff(BASE, load(root))}


def test_a_catalogue_does_not_differ_from_itself() -> None:
    assert diff(load(), load()) == []
    assert "没有变更" in changelog([])
    assert gravest([]) == KINDS[-1]
