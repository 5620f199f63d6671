"""`receipt`: what a department gets back for a delivery, a JSON receipt and a workbook of findings.

Both lie in the outbox, one of the restricted places, because a finding shows the value it is about.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException

from pipelines.errors import StoreError
from pipelines.model import ACCOUNT, publish, publish_json
from schemas.model import FindingCode

Findings: TypeAlias = "pa.Table | Iterable[pa.RecordBatch]"

TEXTS = ("sheet", "field", "label", "code", "severity", "value", "own_key")
SCHEMA = pa.schema([("line", pa.int64()), *((name, pa.large_string()) for name in TEXTS)])
BATCH_ROWS = 65_536

# A sheet of a workbook has 1,048,576 rows (ECMA-376, limits of the application); one is the header.
ROWS_PER_TAB = 1_048_575
# A cell holds 32,767 UTF-16 units; a character is at most two. The full value stays in `findings/`.
CELL_CHARACTERS = 16_000
MESSAGE_CHARACTERS = 120

SEVERITIES = {"error": "错误", "hold": "暂缓", "warning": "警告", "info": "提示"}
STATES = {"received": "已接收", "checked": "已检查", "held": "整批暂缓", "returned": "整批退回", "released": "已发布"}
STAGES = {"checked": "检查回执", "final": "最终回执"}
MODES = {"incremental": "增量", "full": "全量"}
ACCOUNT_WORDS = {
    "read": ("读入", "read"),
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
        "{n} 行被退回：请按“问题”表改正，只把改正后的行作为新的一批报送。",
        "Rejected rows: {n}. Correct them as the tab Findings says and send only those rows, as a new delivery.",
    ),
    "rejected_full": (
        "{n} 行被退回：请按“问题”表改正，重新报送完整文件（全量报送不能只报部分行）。",
        "Rejected rows: {n}. Correct them as the tab Findings says and send the complete file again; a full delivery "
        "cannot be sent in part.",
    ),
    "refused": (
        "{n} 行依法不得归集，没有入库，请不要再次报送。",
        "Rows that the law keeps out: {n}. They were not taken; do not send them again.",
    ),
    "rows_held": (
        "有行暂缓：请核对级别为“暂缓”的问题，更正后重新报送。",
        "Some rows are held: check the findings of severity 'hold', correct them and send those rows again.",
    ),
    "warnings": (
        "警告不影响入库，请在下次报送前改正原因。",
        "Warnings stopped no row; please correct their cause before the next delivery.",
    ),
    "nothing": ("无需处理。", "Nothing needs to be done."),
}

COLUMNS = (
    ("行号\nline", 9),
    ("工作表或 #序号\nsheet or #number", 16),
    ("业务主键\nown key", 24),
    ("字段\nfield", 18),
    ("代码\ncode", 9),
    ("级别\nseverity", 14),
    ("原值\nvalue", 30),
    ("问题\nmessage zh", 44),
    ("问题\nmessage en", 44),
    ("改正办法\nfix zh", 44),
    ("改正办法\nfix en", 44),
)

COUNT_COLUMNS = (
    *("问题代码 code", "级别 severity", "个数 count"),
    *("原因 cause zh", "原因 cause en", "改正 cure zh", "改正 cure en"),
)

_SLOT = re.compile(r"\{(line|label|value)\}")
# What XML 1.0 cannot carry (section 2.2): xlsxwriter would write most of these as visible _x0001_.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Full-width signs too: a Chinese input method's ＝ starts a formula when the cell is entered again.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True)
class Receipt:
    """The facts of one delivery that its receipt states.

    `account` counts rows: read, new, changed, unchanged, duplicate, superseded, withdrawn, rejected, refused, held.
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
    stage: Literal["checked", "final"]
    as_of: str
    revision: str
    account: dict[str, int]
    message_zh: str
    message_en: str


class Rendered(NamedTuple):
    """One finding with its sentences."""

    line: int | None
    sheet: str | None
    field: str
    label: str
    code: str
    severity: str
    value: str | None
    own_key: str | None
    message_zh: str
    message_en: str
    fix_zh: str
    fix_en: str


def write_receipt(
    outbox: Path, receipt: Receipt, findings: Findings, codes: Mapping[str, FindingCode]
) -> tuple[Path, Path]:
    """Write the receipt of one delivery over its earlier one; returns the paths of the JSON and of the workbook.

    Reads `findings` once: line int64 (1-based), sheet, field, label, code, severity, value, own_key; empty means the
    delivery has none. Writes `<department>/<delivery_id>.receipt.json` and `.findings.xlsx`, each whole or not at all;
    the same input gives the same bytes, in whatever order the findings come. The workbook is published first, so a
    kill in between leaves a JSON whose checksum disagrees, never one that points nowhere. Receipts of one delivery are
    written by one process at a time. Raises `StoreError` if the outbox cannot be written.
    """
    folder = outbox / receipt.department
    receipt_path = folder / f"{receipt.delivery_id}.receipt.json"
    workbook_path = folder / f"{receipt.delivery_id}.findings.xlsx"
    table = _ordered(findings)
    counts = _counts(table, codes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder, receipt.delivery_id)
        publish(workbook_path, partial(_write_workbook, receipt=receipt, table=table, counts=counts, codes=codes))
        with workbook_path.open("rb") as f:
            checksum = hashlib.file_digest(f, "sha256").hexdigest()
        publish_json(receipt_path, _document(receipt, counts, workbook_path.name, checksum))
    except (OSError, XlsxWriterException) as e:
        cause = e.strerror if isinstance(e, OSError) and e.strerror else type(e).__name__
        raise StoreError(
            f"outbox/{receipt.department}/{receipt.delivery_id}: the receipt was not written ({cause}). "
            "Make the place writable and give it room, then run again."
        ) from e
    return receipt_path, workbook_path


def render_findings(findings: Findings, codes: Mapping[str, FindingCode]) -> Iterator[dict[str, Any]]:
    """The findings as `line, sheet, field, code, severity, value, message_zh, message_en, fix`: errors first, by line.

    `fix` is the Chinese sentence, a slash and the English one.
    """
    for r in _rendered(_ordered(findings), codes):
        yield {
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


def _ordered(findings: Findings) -> pa.Table:
    """By severity, then line; every other column breaks ties, so that the order of arrival never shows."""
    if isinstance(findings, pa.Table):
        table = findings.select(SCHEMA.names).cast(SCHEMA)
    else:
        parts = [pa.Table.from_batches([batch]).select(SCHEMA.names).cast(SCHEMA) for batch in findings]
        table = pa.concat_tables([SCHEMA.empty_table(), *parts])
    rank = pc.fill_null(pc.index_in(table["severity"], pa.array(list(SEVERITIES), pa.large_string())), len(SEVERITIES))
    keys = ["rank", *(name for name in SCHEMA.names if name != "severity")]
    placed = [(key, "ascending", "at_start") for key in keys]
    return table.take(pc.sort_indices(table.append_column("rank", rank), placed))


def _rendered(table: pa.Table, codes: Mapping[str, FindingCode]) -> Iterator[Rendered]:
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        for line, sheet, field, label, code, severity, value, own_key in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            told = _told(codes, code)
            words = (line, label or field, value)
            yield Rendered(
                line, sheet, field or "", label or field or "", code, severity, value, own_key,
                _fill(told.message_zh, *words, "zh"), _fill(told.message_en, *words, "en"),
                _fill(told.fix_zh, *words, "zh"), _fill(told.fix_en, *words, "en"),
            )  # fmt: skip


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


def _counts(table: pa.Table, codes: Mapping[str, FindingCode]) -> list[dict[str, Any]]:
    """One entry per code, most frequent first: count, counts by severity and by label, sentences without a value."""
    found: dict[str, dict[str, Any]] = {}
    groups = table.group_by(["code", "severity", "label", "field"]).aggregate([([], "count_all")]).to_pylist()
    for g in groups:
        entry = found.setdefault(g["code"], {"code": g["code"], "count": 0, "severities": {}, "labels": {}})
        entry["count"] += g["count_all"]
        label = g["label"] or g["field"] or ""
        for kind, name in (("severities", g["severity"] or ""), ("labels", label)):
            entry[kind][name] = entry[kind].get(name, 0) + g["count_all"]
    for code, entry in found.items():
        told = _told(codes, code)
        by_count = sorted(entry["labels"], key=lambda name: (-entry["labels"][name], name))
        many = "、".join(name for name in by_count[:5] if name) + ("…" if len(by_count) > 5 else "")
        words = (None, many, "…")
        entry["severity"] = next((s for s in SEVERITIES if s in entry["severities"]), "")
        entry["title_en"] = told.title_en
        entry["message_zh"] = _fill(told.message_zh, *words, "zh")
        entry["message_en"] = _fill(told.message_en, *words, "en")
        entry["fix_zh"] = _fill(told.fix_zh, *words, "zh")
        entry["fix_en"] = _fill(told.fix_en, *words, "en")
    return sorted(found.values(), key=lambda e: (-e["count"], e["code"]))


def _next_step(receipt: Receipt, counts: list[dict[str, Any]]) -> tuple[str, str]:
    """What the department should do, as one paragraph in each language."""
    seen = {severity for entry in counts for severity in entry["severities"]}
    account = receipt.account
    steps: list[tuple[str, int]] = []
    if receipt.state in NEXT_STEP:
        steps.append((receipt.state, 0))
    if receipt.state in ("checked", "released"):
        if account["rejected"]:
            steps.append(("rejected_full" if receipt.mode == "full" else "rejected", account["rejected"]))
        # Until its release all rows of a checked delivery count as held, so only findings tell which ones really are.
        if "hold" in seen or (receipt.state == "released" and account["held"]):
            steps.append(("rows_held", 0))
    if account["refused"]:
        steps.append(("refused", account["refused"]))
    if receipt.state == "released" and len(steps) == 1:
        steps.append(("warnings" if "warning" in seen else "nothing", 0))
    zh = "".join(NEXT_STEP[step][0].format(n=n) for step, n in steps)
    en = " ".join(NEXT_STEP[step][1].format(n=n) for step, n in steps)
    return zh, en


def _document(receipt: Receipt, counts: list[dict[str, Any]], workbook: str, checksum: str) -> dict[str, Any]:
    zh, en = _next_step(receipt, counts)
    facts = {k: _encodable(v) if isinstance(v, str) else v for k, v in asdict(receipt).items()}
    return {
        **facts,
        "next_step_zh": zh,
        "next_step_en": en,
        "findings_total": sum(entry["count"] for entry in counts),
        "findings": counts,
        "workbook": {"file": workbook, "sha256": checksum},
    }


def _sweep(folder: Path, delivery_id: str) -> None:
    """Remove what a killed run of this delivery left: half a workbook shows values and is nobody's."""
    for left in folder.glob(f".{delivery_id}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _write_workbook(
    target: Path,
    receipt: Receipt,
    table: pa.Table,
    counts: list[dict[str, Any]],
    codes: Mapping[str, FindingCode],
) -> None:
    # xlsxwriter parks rows in temporary files. They show values, so they lie in the outbox, not in the system's folder.
    suffix = f".{os.getpid()}.part"  # what a killed run leaves is swept up by its name
    with TemporaryDirectory(prefix=f".{receipt.delivery_id}.", suffix=suffix, dir=target.parent) as parking:
        options = {
            "constant_memory": True,
            "tmpdir": parking,
            "strings_to_numbers": False,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "use_zip64": True,
        }
        with xlsxwriter.Workbook(str(target), options) as book:
            book.set_properties(
                {"title": f"{receipt.delivery_id} findings", "created": datetime.fromisoformat(receipt.as_of)}
            )
            styles = _Styles(book)
            _summary(book.add_worksheet("摘要 Summary"), styles, receipt, counts)
            _tabs(book, styles, table.num_rows, _rendered(table, codes))


class _Styles:
    """The formats of the workbook, and the one way text enters a cell.

    A text that Excel could read as a formula is stored as text and marked with quotePrefix, the attribute Excel itself
    sets for a typed apostrophe: it stays text when somebody edits the cell, and no character is added, so the value
    can be searched for and copied back as the department wrote it.
    """

    def __init__(self, book: Any) -> None:
        text = {"num_format": "@", "text_wrap": True, "valign": "top"}
        self.text = book.add_format(text)
        self.quoted = book.add_format({**text, "quote_prefix": True})
        self.number = book.add_format({"num_format": "0", "valign": "top"})
        head = {"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#D9E2F3", "bottom": 1}
        self.head = book.add_format(head)
        self.title = book.add_format({"bold": True, "font_size": 14})

    def put(self, tab: Any, row: int, column: int, text: str | None) -> None:
        """Write `text` as a text cell; None leaves the cell empty."""
        if text is None:
            return
        legal = _legal(text)
        tab.write_string(row, column, legal, self.quoted if legal.startswith(_FORMULA) else self.text)


def _encodable(text: str) -> str:
    """File names may hold bytes that were no text; UTF-8 cannot carry what stands for them."""
    return _SURROGATE.sub("\ufffd", text)


def _legal(text: str) -> str:
    # Almost every text is printable throughout, and asking is far cheaper than two substitutions.
    legal = text if text.isprintable() else _ILLEGAL.sub("", _encodable(text))
    if len(legal) > CELL_CHARACTERS:
        return f"{legal[:CELL_CHARACTERS]}…（原文 {len(legal)} 字，已截断 / cut, {len(legal)} characters）"
    return legal


def _summary(tab: Any, styles: _Styles, receipt: Receipt, counts: list[dict[str, Any]]) -> None:
    for column, width in enumerate((18, 24, 44, 44, 44, 44, 44)):
        tab.set_column(column, column, width)
    tab.write_string(0, 0, "数据报送回执 Delivery receipt", styles.title)
    facts = (
        ("状态", "state", _both(STATES, receipt.state)),
        ("阶段", "stage", _both(STAGES, receipt.stage)),
        ("批次", "delivery", receipt.delivery_id),
        ("部门", "department", f"{receipt.department_zh} {receipt.department}"),
        ("事项", "item", f"{receipt.item_zh} {receipt.item}"),
        ("文件", "file", receipt.file),
        ("数据期", "period", receipt.period),
        ("序号", "sequence", str(receipt.sequence)),
        ("方式", "mode", _both(MODES, receipt.mode)),
        ("日期", "as of", receipt.as_of),
        ("目录版本", "revision", receipt.revision),
        ("说明", "message", "\n".join(m for m in (receipt.message_zh, receipt.message_en) if m)),
    )
    row = 1
    for zh, en, value in facts:
        if value:
            row = _line(tab, styles, row, (zh, en, value))
    row = _head(tab, styles, row + 1, ("行数账", "row account", "行数 rows"))
    for key in ("read", *ACCOUNT):
        row = _line(tab, styles, row, (*ACCOUNT_WORDS[key], receipt.account[key]))
    row = _head(tab, styles, row + 1, ("下一步", "what to do next"))
    zh, en = _next_step(receipt, counts)
    for name, text in (("中文", zh), ("English", en)):
        row = _line(tab, styles, row, (name, "", text))
    row = _head(tab, styles, row + 1, COUNT_COLUMNS)
    for entry in counts:
        sentences = (entry[key] for key in ("message_zh", "message_en", "fix_zh", "fix_en"))
        row = _line(tab, styles, row, (entry["code"], _severity(entry["severity"]), entry["count"], *sentences))
    if not counts:
        _line(tab, styles, row, ("没有问题", "no findings"))


def _head(tab: Any, styles: _Styles, row: int, names: tuple[str, ...]) -> int:
    for column, name in enumerate(names):
        tab.write_string(row, column, name, styles.head)
    return row + 1


def _line(tab: Any, styles: _Styles, row: int, cells: tuple[str | int, ...]) -> int:
    for column, cell in enumerate(cells):
        if isinstance(cell, int):
            tab.write_number(row, column, cell, styles.number)
        else:
            styles.put(tab, row, column, cell)
    return row + 1


def _both(words: Mapping[str, str], word: str) -> str:
    return f"{words[word]} {word}" if word in words else word


def _severity(word: str | None) -> str:
    return _both(SEVERITIES, word or "")


def _tabs(book: Any, styles: _Styles, total: int, rows: Iterator[Rendered]) -> None:
    """All findings, no cap: as many tabs as it takes, at least one."""
    for number in range(1, max(1, -(-total // ROWS_PER_TAB)) + 1):
        tab = book.add_worksheet("问题 Findings" + (f" {number}" if number > 1 else ""))
        for column, (_, width) in enumerate(COLUMNS):
            tab.set_column(column, column, width)
        _head(tab, styles, 0, tuple(name for name, _ in COLUMNS))
        held = min(ROWS_PER_TAB, total - (number - 1) * ROWS_PER_TAB)
        for row, r in zip(range(1, held + 1), rows, strict=False):
            if r.line is not None:
                tab.write_number(row, 0, r.line, styles.number)
            texts = (
                r.sheet, r.own_key, r.label, r.code, _severity(r.severity), r.value,
                r.message_zh, r.message_en, r.fix_zh, r.fix_en,
            )  # fmt: skip
            for column, text in enumerate(texts, start=1):
                styles.put(tab, row, column, text)
        last = len(COLUMNS) - 1
        tab.freeze_panes(1, 0)
        tab.autofilter(0, 0, held, last)
        # Ids are text on purpose; without this Excel marks each of them as a mistake.
        tab.ignore_errors({"number_stored_as_text": f"A1:K{held + 1}"})
