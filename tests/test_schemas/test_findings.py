"""The list of finding codes: each can really be given or is reserved, each sentence can be acted on."""

import ast
import re
import string
from pathlib import Path

import pytest

from schemas.findings import FAMILIES, SEVERITIES
from schemas.load import load
from schemas.model import FindingCode

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"\b[FVIXDHLG]\d{3}\b")
RESERVED = {
    "F003": "a header without rows is released as a delivery of 0 rows; it has no finding yet",
    "F005": "columns that the catalogue does not know stay in raw/; nobody is told yet",
    "F012": "a missing required column shows as V001 in each row yet",
    "G003": "a failed data set check is told by the gate's verdict yet",
    "G004": "a data set check that could not be evaluated is told by the gate's verdict yet",
    "H001": "comparison with usual volumes",
    "V011": "dates with month and day in doubt are read as no date (V002) yet",
}
FINDINGS = load().findings.values()


def given() -> set[str]:
    """Codes that stand in the source as a value, not in a comment or docstring, or in a rule of the catalogue."""
    found: set[str] = set()
    for path in [*(ROOT / "schemas").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        if {"sampling", "commands"} & set(path.parts):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                found |= set(CODE.findall(node.value))
    for item in load().items.values():
        rules = [*item.rules, *(r for f in item.fields for r in f.rules)]
        found |= {r.code for r in rules if r.code}
    return found


def test_every_code_given_is_explained() -> None:
    unknown = given() - {f.code for f in FINDINGS}
    assert not unknown, f"catalog/findings.csv: add {sorted(unknown)} with cause and cure."


def test_every_code_explained_is_given_or_reserved() -> None:
    idle = {f.code for f in FINDINGS} - given()
    assert idle <= set(RESERVED), f"{sorted(idle - set(RESERVED))}: nothing gives it. Drop it, or reserve it here."
    assert set(RESERVED) <= {f.code for f in FINDINGS}


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda f: f.code)
def test_a_finding_says_what_is_wrong_and_what_to_do(finding: FindingCode) -> None:
    assert finding.code[0] in FAMILIES and finding.severity in SEVERITIES
    for zh in (finding.message_zh, finding.fix_zh):
        assert zh.endswith("。") and not re.search(r"[\u4e00-\u9fff][,;:?!.]", zh), zh
    for en in (finding.message_en, finding.fix_en):
        assert en.endswith(".") and not re.search(r"[。，；：]", en), en
    for text in (finding.message_zh, finding.message_en, finding.fix_zh, finding.fix_en):
        slots = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        assert slots <= {"label", "value", "line"}, text
    assert not re.search(r"\bQ\d+", finding.source), f"{finding.code}: cite the law, the standard or the reason itself"
