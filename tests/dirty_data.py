"""What departments really send, Q01 to Q133 of the dirty-data list: a folder of bytes and of what has to come of them.

`tests/samples/Q…/case.toml` says it (see `Case`); `tests/test_dirty_data.py` holds the pipeline to it, and
`python -m tests.dirty_data` writes the page docs/dirty-data.md from it. The folders are made by hand, or by
`tests/samples/make/q….py` where the bytes have to be computed; what was made is committed, and the test reads that.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tests.conftest import ROOT

SAMPLES = ROOT / "tests" / "samples"
PAGE = ROOT / "docs" / "dirty-data.md"
AS_OF = date(2026, 11, 22)
VERDICTS = {
    "accepted": "收下 accepted", "rejected": "退回 rejected", "held": "暂缓 held", "refused": "不予归集 refused",
}  # fmt: skip
STATES = {"checked": "", "released": "", "held": "整批暂缓 held", "returned": "整批退回 returned"}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(Strict):
    """What becomes of one row. `codes` are all its findings but those of the whole file, sorted; `values` are canonical
    values of an accepted row, its identifying ones among them; a value of "" is none."""

    line: int
    sheet: str = ""
    verdict: str = "accepted"
    codes: tuple[str, ...] = ()
    values: dict[str, str] = {}


class Sent(Strict):
    """One file and what becomes of it. A row that is not listed has to be accepted without a finding; `read` counts
    all. `codes` are those of the whole file: why it goes back or is held, and findings without a line.

    `declared` is what the catalogue would say of how the department writes texts. `manifest` is written
    as JSON, or as it stands where it is text. `account` and `on` (the as-of date of its night) count where the case is
    held over nights; rows that are not listed may then have been judged in any way.
    """

    file: str
    item: str
    department: str
    manifest: dict[str, Any] | str = {}
    declared: dict[str, str] = {}
    state: str = "checked"
    codes: tuple[str, ...] = ()
    read: int = 0
    rows: tuple[Row, ...] = ()
    account: dict[str, int] = {}
    on: date = AS_OF


class Asked(Strict):
    """A question to the release after the last night, and its answer."""

    sql: str
    answer: tuple[tuple[Any, ...], ...]


class Case(Strict):
    """One row of the dirty-data list. With `ask` the deliveries go through whole nights in their order, else each
    alone through what `qiongxin check` does. A night costs seconds, so cases of the same `home` share theirs: each has
    its own departments and persons, and asks for nothing else. `handling` are the sentences of the page: what the
    sender will see."""

    number: str = ""
    folder: Path = Path()
    symptom_zh: str
    symptom_en: str
    handling_zh: str
    handling_en: str
    as_of: date = AS_OF
    sent: tuple[Sent, ...] = Field(min_length=1)
    ask: tuple[Asked, ...] = ()
    nights: bool = False
    home: str = ""


def cases() -> list[Case]:
    return [read(path.parent) for path in sorted(SAMPLES.glob("Q*/case.toml"), key=lambda p: int(p.parent.name[1:]))]


def read(folder: Path) -> Case:
    content = tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))
    return Case(number=folder.name, folder=folder, **content)


def page() -> str:
    lines = [
        "# 脏数据与结果 Dirty data and what comes of it",
        "",
        "Generated from `tests/samples/Q…` by `python -m tests.dirty_data`; the tests hold the pipeline to every row."
        " Codes are explained in [findings.md](findings.md).",
        "",
        "| no. | 现象 symptom | 处理 handling | 样例与结果 sample and outcome |",
        "|---|---|---|---|",
    ]
    for case in cases():
        outcomes = "<br>".join(_outcome(sent) for sent in case.sent)
        symptom = f"{case.symptom_zh}<br>{case.symptom_en}"
        handling = f"{case.handling_zh}<br>{case.handling_en}"
        lines.append("| " + " | ".join((case.number, *map(_cell, (symptom, handling, outcomes)))) + " |")
    return "\n".join(lines) + "\n"


def _outcome(sent: Sent) -> str:
    parts = [STATES[sent.state], *(f"`{code}`" for code in sent.codes)]
    groups: dict[tuple[str, tuple[str, ...]], int] = {}
    for row in sent.rows:
        groups[row.verdict, row.codes] = groups.get((row.verdict, row.codes), 0) + 1
    if sent.read > len(sent.rows):
        groups["accepted", ()] = groups.get(("accepted", ()), 0) + sent.read - len(sent.rows)
    for (verdict, codes), count in groups.items():
        parts.append(" ".join([f"{count} ×", VERDICTS[verdict], *(f"`{code}`" for code in codes)]))
    return f"`{sent.file}`: " + ", ".join(part for part in parts if part)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
