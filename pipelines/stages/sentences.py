"""Findings as sentences, one by one and counted by cause; every one names its cure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.stages.told import SEVERITIES, Batches
from schemas.model import FindingCode

MESSAGE_CHARACTERS = 120
_SLOT = re.compile(r"\{(line|label|value)\}")

Expected = Callable[[str, str], str]


class Rendered(NamedTuple):
    """One finding with its sentences. `expected` is what the field takes, `echo` what the department sent to see it
    again, header -> value."""

    line: int | None
    sheet: str | None
    field: str
    label: str
    code: str
    severity: str
    value: str | None
    own_key: str | None
    expected: str
    echo: dict[str, str | None]
    message_zh: str
    message_en: str
    fix_zh: str
    fix_en: str


class Cause(NamedTuple):
    """What findings have in common; `header` is the column that a finding about the whole file names."""

    code: str
    severity: str
    label: str
    header: str


@dataclass
class Tally:
    """The findings of a delivery, counted. `causes` has one entry per `Cause`, the most frequent first; `codes`
    one per code. Each holds code, severity, count and the four sentences, without a value. `unread` counts the records
    that could not be read as rows; `echoes` are the headers of the echo columns."""

    total: int = 0
    unread: int = 0
    severities: set[str] = field(default_factory=set)
    causes: list[dict[str, Any]] = field(default_factory=list)
    codes: list[dict[str, Any]] = field(default_factory=list)
    echoes: list[str] = field(default_factory=list)


def rendered(
    findings: Batches, codes: Mapping[str, FindingCode], expected: Expected, hidden: Container[str] = ()
) -> Iterator[Rendered]:
    """Each finding in the order it comes in; the sentences do without the values of the fields in `hidden`."""
    for batch in findings():
        columns = dict(zip(batch.schema.names, (c.to_pylist() for c in batch.columns), strict=True))
        for line, sheet, name, label, code, severity, value, own_key, echo in zip(
            *(columns[n] for n in ("line", "sheet", "field", "label", "code", "severity", "value", "own_key", "echo")),
            strict=True,
        ):
            told = _told(codes, code)
            words = (line, label or name, "…" if value and name in hidden else value)
            yield Rendered(
                line, sheet, name or "", label or name or "", code, severity, value, own_key,
                expected(name, code), json.loads(echo) if echo else {},
                _fill(told.message_zh, *words, "zh"), _fill(told.message_en, *words, "en"),
                _fill(told.fix_zh, *words, "zh"), _fill(told.fix_en, *words, "en"),
            )  # fmt: skip


def tally(findings: Batches, codes: Mapping[str, FindingCode]) -> Tally:
    """All findings, counted in one pass. What is said of one record stands together, so no place has to be kept."""
    groups: Counter[Cause] = Counter()
    last: tuple[int, str | None] | None = None
    result = Tally()
    for batch in findings():
        table = pa.Table.from_batches([batch])
        if not result.echoes and (echo := table["echo"].drop_null().slice(0, 1).to_pylist()):
            result.echoes = list(json.loads(echo[0]))
        # What is said of the whole file names a column of it, never a value of a row.
        header = pc.if_else(pc.is_null(table["line"]), table["value"], pa.scalar(None, pa.string()))
        keys = ["code", "severity", "label", "field", "header"]
        for g in table.append_column("header", header).group_by(keys).aggregate([([], "count_all")]).to_pylist():
            cause = Cause(g["code"], g["severity"] or "", g["label"] or g["field"] or "", g["header"] or "")
            groups[cause] += g["count_all"]
        has_no_row = pc.and_(pc.is_null(table["place"]), pc.is_valid(table["line"]))
        lost = table.filter(pc.and_(has_no_row, pc.equal(table["severity"], "error")))
        for place in zip(lost["line"].to_pylist(), lost["sheet"].to_pylist(), strict=True):
            result.unread += place != last
            last = place
    result.total = groups.total()
    result.severities = {cause.severity for cause in groups}
    result.causes = _causes(groups, codes)
    result.codes = _codes(groups, codes)
    return result


def _causes(groups: Counter[Cause], codes: Mapping[str, FindingCode]) -> list[dict[str, Any]]:
    found = []
    for c, count in groups.items():
        told = _sentences(codes, c.code, c.label, c.header or "…")
        found.append({"code": c.code, "label": c.label, "severity": c.severity, "count": count, **told})
    return sorted(found, key=lambda c: (-c["count"], *(c[k] for k in ("code", "label", "severity", "message_zh"))))


def _codes(groups: Counter[Cause], codes: Mapping[str, FindingCode]) -> list[dict[str, Any]]:
    """Counts by severity and by label of each code, its sentences naming the five labels it is given for most."""
    found: dict[str, dict[str, Any]] = {}
    for c, count in groups.items():
        entry = found.setdefault(c.code, {"code": c.code, "count": 0, "severities": Counter(), "labels": Counter()})
        entry["count"] += count
        entry["severities"][c.severity] += count
        entry["labels"][c.label] += count
    for code, entry in found.items():
        by_count = sorted(entry["labels"], key=lambda name: (-entry["labels"][name], name))
        many = "、".join(name for name in by_count[:5] if name) + ("…" if len(by_count) > 5 else "")
        entry["severity"] = next((s for s in SEVERITIES if s in entry["severities"]), "")
        entry["title_en"] = _told(codes, code).title_en
        entry |= _sentences(codes, code, many, "…")
    return sorted(found.values(), key=lambda e: (-e["count"], e["code"]))


def _sentences(codes: Mapping[str, FindingCode], code: str, label: str, value: str) -> dict[str, str]:
    told = _told(codes, code)
    words = (None, label, value)
    return {
        "message_zh": _fill(told.message_zh, *words, "zh"),
        "message_en": _fill(told.message_en, *words, "en"),
        "fix_zh": _fill(told.fix_zh, *words, "zh"),
        "fix_en": _fill(told.fix_en, *words, "en"),
    }


def _told(codes: Mapping[str, FindingCode], code: str) -> FindingCode:
    """The sentences of a code; an older delivery may carry one that the catalogue has dropped since."""
    known = codes.get(code)
    return known or FindingCode.model_construct(
        code=code,
        severity="error",
        title_en=code,
        message_zh=f"代码 {code} 在目录中没有说明。",
        message_en=f"The catalogue does not explain code {code}.",
        fix_zh="请与平台联系。",
        fix_en="Contact the platform.",
        example="",
        source="",
    )


def _fill(text: str, line: int | None, label: str | None, value: str | None, language: Literal["zh", "en"]) -> str:
    """One pass over the slots, so braces inside a value stay what they are."""
    if "{" not in text:
        return text
    row, empty = ("本行", "（空）") if language == "zh" else ("the row", "(empty)")
    words = {"line": "–" if line is None else str(line), "label": label or row, "value": _clip(value) or empty}
    return _SLOT.sub(lambda slot: words[slot[1]], text)


def _clip(value: str | None) -> str | None:
    return value if value is None or len(value) <= MESSAGE_CHARACTERS else value[:MESSAGE_CHARACTERS] + "…"
