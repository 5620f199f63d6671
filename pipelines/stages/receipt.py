"""`receipt`: what a department gets back for a delivery, a JSON receipt and a workbook of findings.

Both lie in the outbox, one of the restricted places, because a finding shows the value it is about. Every delivery gets
both, also one without findings: the workbook is its proof of filing, and nobody has to ask why there is none.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from xlsxwriter.exceptions import XlsxWriterException

from pipelines.errors import StoreError
from pipelines.model import publish, publish_json
from pipelines.stages.sentences import Expected, Rendered, Tally, rendered, tally
from pipelines.stages.told import Told
from pipelines.stages.workbook import MOST_FREQUENT, Corrections, Summary, encodable, write_workbook
from schemas.model import FindingCode

STATES = {"received": "已接收", "checked": "已检查", "held": "整批暂缓", "returned": "整批退回", "released": "已发布"}
STAGES = {"checked": "检查回执", "final": "最终回执", "trial": "试查，未报送"}
MODES = {"incremental": "增量", "full": "全量"}
ACCOUNT_WORDS = {
    "read": ("读入", "read"),
    "accepted": ("通过", "passed"),
    "new": ("新增", "new"),
    "changed": ("变更", "changed"),
    "unchanged": ("无变化", "unchanged"),
    "duplicate": ("重复", "duplicate"),
    "superseded": ("被其他报送取代", "superseded"),
    "withdrawn": ("撤回", "withdrawn"),
    "rejected": ("退回，需改正", "rejected, to be corrected"),
    "refused": ("依法不予归集", "refused by law"),
    "held": ("暂缓", "held"),
}
NEXT_STEP = {
    "received": ("已收到，尚未检查。", "Received, not checked yet."),
    "checked": (
        "检查完毕，等待发布；发布后本回执会更新。",
        "Checked, waiting for release; this receipt is renewed then.",
    ),
    "released": ("通过检查的行已发布。", "The rows that passed are published."),
    "held": (
        "整批暂缓，没有入库。请按说明和“问题”表核对、改正后重新报送整个文件；内容无误的，请与平台联系确认。",
        "The whole delivery is held. Check it against the message and the tab Findings, correct it and send the whole "
        "file again; if the content is right, contact the platform to confirm it.",
    ),
    "returned": (
        "整个文件没有入库。请按说明改正后重新报送整个文件。",
        "Nothing of this file was taken. Correct it as the message says and send the whole file again.",
    ),
    "rejected": (
        "{n} 行被退回：请在“改正”表中改正标红的内容，把本工作簿作为新的一批报送；也可以在源系统中改正，只报送这些行。",
        "Rejected rows: {n}. Correct what is marked red in the tab Corrections and send this workbook as a new "
        "delivery, or correct the rows at their source and send only them.",
    ),
    "rejected_full": (
        "{n} 行被退回：请按“问题”表改正，重新报送完整文件（全量报送不能只报部分行）。",
        "Rejected rows: {n}. Correct them as the tab Findings says and send the complete file again; a full delivery "
        "cannot be sent in part.",
    ),
    "unread": (
        "其中 {n} 行没能读成行，不在“改正”表中：请按“问题”表在原文件中改正后报送。",
        "Of them {n} could not be read as rows and are not in the tab Corrections: correct them in your own file.",
    ),
    "refused": (
        "{n} 行依法不得归集，没有入库，请不要再次报送。",
        "Rows that the law keeps out: {n}. They were not taken; do not send them again.",
    ),
    "rows_held": (
        "有行暂缓：请核对级别为“暂缓”的问题，更正后重新报送这些行。",
        "Some rows are held: check the findings of severity 'hold', correct them and send those rows again.",
    ),
    "warnings": (
        "警告不影响入库，请在下次报送前改正原因。",
        "Warnings stopped no row; please correct their cause before the next delivery.",
    ),
    "nothing": ("无需处理。", "Nothing needs to be done."),
    "trial": (
        "这是试查，没有报送；重复、与以往报送的比较，要到正式报送时才检查。",
        "This was a dry run: nothing was delivered. Duplicates and what was sent before are looked at only in a "
        "delivery.",
    ),
    "trial_held": (
        "这样报送会整批暂缓：请按说明和“问题”表核对、改正。",
        "Delivered like this, all of it would be held: check it against the message and the tab Findings.",
    ),
    "trial_returned": (
        "这样报送会整批退回：请按说明改正。",
        "Delivered like this, all of it would be returned: correct it as the message says.",
    ),
    "trial_correct": (
        "请按“问题”表改正后再报送整个文件。",
        "Correct the file as the tab Findings says, then deliver it.",
    ),
}


@dataclass(frozen=True)
class Receipt:
    """The facts of one delivery that its receipt states.

    `account` counts rows, in the words of ACCOUNT_WORDS. `stage` trial is a department's own dry run.
    `as_of` is an ISO date; `message_zh` and `message_en` concern the whole file, '' when there is nothing to say.
    """

    delivery_id: str
    department: str
    department_zh: str
    item: str
    item_zh: str
    file: str
    period: str
    sequence: int
    mode: str
    state: str
    stage: Literal["checked", "final", "trial"]
    as_of: str
    revision: str
    account: dict[str, int]
    message_zh: str
    message_en: str


@dataclass(frozen=True)
class Answer:
    """What it takes to answer a delivery: what is told of it, the codes and what fields take (schemas.expected), and
    how a row that comes back is headed: the labels of its fields, field -> label, and the prefix of echo columns."""

    told: Told
    codes: Mapping[str, FindingCode]
    expected: Expected
    labels: dict[str, str]
    prefix: str

    def sentences(self) -> Iterator[Rendered]:
        return rendered(self.told.findings, self.codes, self.expected)


def write_receipt(outbox: Path, receipt: Receipt, answer: Answer) -> tuple[Path, Path]:
    """Write the receipt of one delivery over its earlier one; returns the paths of the JSON and of the workbook.

    Writes `<department>/<delivery_id>.receipt.json` and `.findings.xlsx`, each whole or not at all; the same input
    gives the same bytes. The workbook is published first, so a kill in between leaves a JSON whose checksum disagrees,
    never one that points nowhere. Receipts of one delivery are written by one process at a time. Raises `StoreError`
    if the outbox cannot be written.
    """
    folder = outbox / receipt.department
    receipt_path = folder / f"{receipt.delivery_id}.receipt.json"
    workbook_path = folder / f"{receipt.delivery_id}.findings.xlsx"
    counted = tally(answer.told.findings, answer.codes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder, receipt.delivery_id)
        publish(workbook_path, partial(write_findings, parking=folder, receipt=receipt, counted=counted, answer=answer))
        with workbook_path.open("rb") as f:
            checksum = hashlib.file_digest(f, "sha256").hexdigest()
        book = {"file": workbook_path.name, "sha256": checksum}
        publish_json(receipt_path, {**document(receipt, counted), "workbook": book})
    except (OSError, XlsxWriterException) as e:
        cause = e.strerror if isinstance(e, OSError) and e.strerror else type(e).__name__
        raise StoreError(
            f"outbox/{receipt.department}/{receipt.delivery_id}: the receipt was not written ({cause}). "
            "Make the place writable and give it room, then run again."
        ) from e
    return receipt_path, workbook_path


def write_findings(target: Path, parking: Path, receipt: Receipt, counted: Tally, answer: Answer) -> None:
    """Write the workbook of findings to `target`; a large one parks its rows in `parking` meanwhile."""
    corrections = Corrections(answer.told.rows, answer.labels, answer.prefix)
    write_workbook(target, parking, _summary(receipt, counted), counted, answer.sentences(), corrections)


def document(receipt: Receipt, counted: Tally) -> dict[str, Any]:
    """The facts of a delivery and its findings by code, for machines; `causes` are the most frequent, by field."""
    zh, en = _next_step(receipt, counted)
    facts = {k: encodable(v) if isinstance(v, str) else v for k, v in asdict(receipt).items()}
    return {
        **facts,
        "next_step_zh": zh,
        "next_step_en": en,
        "findings_total": counted.total,
        "findings": counted.codes,
        "causes": counted.causes[:MOST_FREQUENT],
    }


def as_json(r: Rendered) -> dict[str, Any]:
    """A finding as `line, sheet, field, code, severity, value, message_zh, message_en, fix`; `fix` is the Chinese
    sentence, a slash and the English one."""
    return {
        "line": r.line,
        "sheet": r.sheet,
        "field": r.field,
        "code": r.code,
        "severity": r.severity,
        "value": r.value,
        "message_zh": r.message_zh,
        "message_en": r.message_en,
        "fix": f"{r.fix_zh} / {r.fix_en}",
    }


def _next_step(receipt: Receipt, counted: Tally) -> tuple[str, str]:
    """What the department should do, as one paragraph in each language."""
    account = receipt.account
    rejected, refused = account.get("rejected", 0), account.get("refused", 0)
    is_taken = receipt.state in ("checked", "released")
    steps: list[tuple[str, int]] = []
    if receipt.stage == "trial":
        steps.append(("trial", 0))
        if not is_taken:
            steps.append((f"trial_{receipt.state}", 0))
        elif rejected or "hold" in counted.severities:
            steps.append(("trial_correct", 0))
    elif receipt.state in NEXT_STEP:
        steps.append((receipt.state, 0))
    if is_taken and receipt.stage != "trial":
        if rejected:
            steps.append(("rejected_full" if receipt.mode == "full" else "rejected", rejected))
        if counted.unread:
            steps.append(("unread", counted.unread))
        # Until its release all rows of a checked delivery count as held, so only findings tell which ones really are.
        if "hold" in counted.severities or (receipt.state == "released" and account["held"]):
            steps.append(("rows_held", 0))
    if refused:
        steps.append(("refused", refused))
    if (receipt.state == "released" or (receipt.stage == "trial" and is_taken)) and len(steps) == 1:
        steps.append(("warnings" if "warning" in counted.severities else "nothing", 0))
    zh = "".join(NEXT_STEP[step][0].format(n=n) for step, n in steps)
    en = " ".join(NEXT_STEP[step][1].format(n=n) for step, n in steps)
    return zh, en


def _summary(receipt: Receipt, counted: Tally) -> Summary:
    facts = (
        ("状态 state", _both(STATES, receipt.state)),
        ("阶段 stage", _both(STAGES, receipt.stage)),
        ("说明 message", "\n".join(m for m in (receipt.message_zh, receipt.message_en) if m)),
        ("批次 delivery", receipt.delivery_id),
        ("部门 department", f"{receipt.department_zh} {receipt.department}".strip()),
        ("事项 item", f"{receipt.item_zh} {receipt.item}"),
        ("文件 file", receipt.file),
        ("所属期 period", receipt.period),
        ("序号 sequence", str(receipt.sequence)),
        ("方式 mode", _both(MODES, receipt.mode)),
        ("日期 as of", receipt.as_of),
        ("目录版本 revision", receipt.revision),
    )
    account = [(" ".join(ACCOUNT_WORDS[name]), count) for name, count in receipt.account.items()]
    steps = zip(("中文", "English"), _next_step(receipt, counted), strict=True)
    shown = [(label, text) for label, text in facts if text]
    return Summary(f"{receipt.delivery_id} findings", receipt.as_of, shown, account, list(steps))


def _both(words: Mapping[str, str], word: str) -> str:
    return f"{words[word]} {word}" if word in words else word


def _sweep(folder: Path, delivery_id: str) -> None:
    """Remove what a killed run of this delivery left: half a workbook shows values and is nobody's."""
    for left in folder.glob(f".{delivery_id}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
