"""The step `check`: decode, validate, identify and the first receipt of one delivery, whatever is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.errors import DeliveryError
from pipelines.model import ACCOUNT
from pipelines.night import Night
from pipelines.readers import Decoded, decode, empty, normalise_header
from pipelines.stages import gate, validate
from pipelines.stages.receipt import Receipt, write_receipt
from pipelines.stages.validate import Fault
from schemas import editions, lint_law, overlay
from schemas.model import Catalog, Item


def check_delivery(night: Night, delivery_id: str) -> str:
    """decode, validate, identify and the checked receipt of one delivery; returns its state."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    if row["state"] not in ("received", "checked", "held"):
        return str(row["state"])
    zero = dict.fromkeys(ACCOUNT, 0)
    try:
        if row["declared_rows"] == -1:
            raise DeliveryError(
                "F014",
                "文件内容与清单中的 SHA-256 不一致，可能没有传完。请重新上传文件和清单。",
                "The content differs from the manifest's SHA-256; the upload may be incomplete. Send both again.",
            )
        item = judging(night.catalog, row["item"], row["department"], row["period"])
        decoded = _decode(night, row, item)
        faults = [Fault(f.code, f.line, f.sheet) for f in decoded.faults]
        faults += _about_the_file(item, decoded, row["department"], night.catalog, night.as_of)
        result = validate.validate(
            night.home, delivery_id, item, night.catalog, night.compiled(item), night.as_of, night.keys, faults,
            row["file"], row["mode"] == "full", row["period"], row["department"],
        )  # fmt: skip
    except DeliveryError as e:
        night.ledger.update(
            delivery_id, state="returned", message_code=e.code, message_zh=e.message_zh, message_en=e.message_en,
            revision=night.catalog.revision, read=0, **zero,
        )  # fmt: skip
        tell_department(night, delivery_id, "checked")
        return "returned"
    account = {**zero, "rejected": result.rejected, "refused": result.refused, "held": result.held}
    limits = gate.DeliveryLimits(**{name: night.limit(name) for name in gate.DeliveryLimits.__dataclass_fields__})
    reasons = gate.delivery_reasons(decoded.read, {**account, "accepted": result.accepted}, limits)
    if row["declared_rows"] is not None and row["declared_rows"] != decoded.read:
        told = row["declared_rows"]
        reasons.append(
            (
                "F011",
                f"清单写明 {told} 行，文件有 {decoded.read} 行，整批暂缓。请核对后重新报送。",
                f"The manifest says {told} rows, the file has {decoded.read}; held. Check it and send it again.",
            )
        )
    history = night.ledger.usual_rows(row, limits.volume_history_count)
    is_supplement = night.ledger.is_supplement(row)
    reasons += gate.volume_reasons(
        decoded.read, history, limits, is_nil=row["is_nil"], is_supplement=is_supplement
    )  # fmt: skip
    if delivery_id in night.limit("let_pass"):
        reasons = [r for r in reasons if r[0] not in gate.WAIVABLE]
    state = "held" if reasons else "checked"
    # A checked delivery is not released yet: until the load says otherwise, its accepted rows are held.
    account["held"] += result.accepted
    code = reasons[0][0] if reasons else ""
    zh, en = "".join(r[1] for r in reasons), " ".join(r[2] for r in reasons)
    night.ledger.update(
        delivery_id, state=state, message_code=code, message_zh=zh, message_en=en,
        revision=night.catalog.revision, edition=item.editions[0].code if item.editions else "",
        read=decoded.read, file=result.file, **account,
        # A row that was not taken may be about any record: its delivery says nothing by leaving a record out.
        is_complete=decoded.read == result.accepted,
    )  # fmt: skip
    tell_department(night, delivery_id, "checked")
    return state


def judging(catalog: Catalog, code: str, department: str, period: date) -> Item:
    """The item by which a delivery of a department is judged: the edition of its period, as its county has it. Raises
    `DeliveryError` where the department or the item was not there in that period."""
    sender, item = catalog.departments[department], catalog.items[code]
    if not sender.holds(period):
        until = f"，{sender.valid_to} 起撤销" if sender.valid_to and sender.valid_to < period else ""
        heir = catalog.departments.get(sender.successor or "")
        to_zh = f"请由{heir.name_zh}报送" if heir else "请在清单中写明正确的所属期"
        to_en = f"Let {heir.name_en} send it" if heir else "State the right period in the manifest"
        raise DeliveryError(
            "F017",
            f"{sender.name_zh}在所属期 {period} 不存在{until}，整个文件退回。{to_zh}。",
            f"{sender.name_en} did not exist in the period {period}; the whole file is returned. {to_en}.",
        )
    if not item.holds(period):
        raise DeliveryError(
            "F016",
            f"目录中没有适用于所属期 {period} 的“{item.name_zh}”，整个文件退回。请在清单中写明正确的所属期。",
            f"The catalogue has no edition of '{item.name_en}' for the period {period}; the whole file is returned."
            " State the right period in the manifest.",
        )
    return overlay.effective(catalog, code, department, period)


def _about_the_file(
    item: Item, decoded: Decoded, department: str, catalog: Catalog, as_of: date
) -> list[Fault]:
    """What is to be said of the file as a whole. Raises `DeliveryError` F012 where a required column is missing."""
    if decoded.read == 0:
        return [Fault("F003", None)]
    missing = [f.label_zh for f in item.fields if f.required and f.name not in decoded.columns]
    if missing:
        named = "、".join(missing)
        zh, en = _other_edition(item, decoded, department, catalog)
        raise DeliveryError(
            "F012",
            f"文件缺少必填的列：{named}。请补上后重新报送整个文件。{zh}",
            f"Required columns are missing: {named}. Add them and send the whole file again.{en}",
        )
    if not decoded.unknown_headers:
        return []
    known, whole = editions.headers(catalog, item, department), catalog.items[item.code]
    elsewhere = _fields(catalog, whole, department) if whole.editions else {}
    return [
        Fault("L003", None, value=header)
        if lint_law.is_withheld(catalog, header, as_of)
        else Fault("F005", None, value=_with_edition(header, elsewhere, whole) or _with_nearest(header, known))
        for header in decoded.unknown_headers
    ]


def _with_edition(header: str, elsewhere: Mapping[str, str], item: Item) -> str | None:
    """A header that only other editions of the item know, with their names; None where none knows it."""
    if (name := elsewhere.get(normalise_header(header))) is None:
        return None
    field = item.field(name)
    named = [e.code for e in item.editions if field.holds(e.valid_from) and field.holds(e.valid_to or e.valid_from)]
    return f"{header} ({', '.join(named)})"


def _other_edition(item: Item, decoded: Decoded, department: str, catalog: Catalog) -> tuple[str, str]:
    """What to say where the file has the columns that another edition of the item asks for."""
    whole = catalog.items[item.code]
    for other in whole.editions:
        then = editions.as_of(whole, other.valid_from)
        known = _fields(catalog, then, department)
        there = {*decoded.columns} | {known.get(normalise_header(h)) for h in decoded.unknown_headers}
        if other not in item.editions and all(f.name in there for f in then.live_fields if f.required):
            until = other.valid_to or "今 now"
            return (
                f"文件的列符合 {other.code} 版格式（{other.valid_from} 至 {until}）："
                "属该时期的数据，请在清单中写明所属期。",
                f" The columns are those of edition {other.code} ({other.valid_from} to {until}): if the data are of"
                " that time, state their period in the manifest.",
            )
    return "", ""


def _with_nearest(header: str, known: Iterable[str]) -> str:
    """An unknown header and, where one is near, the known one that may have been meant."""
    close = difflib.get_close_matches(normalise_header(header), [normalise_header(k) for k in known], n=1, cutoff=0.7)
    return f"{header} ≈ {next(k for k in known if normalise_header(k) == close[0])}" if close else header


def _decode(night: Night, row: dict[str, Any], item: Item) -> Decoded:
    if row["is_nil"] and row["size"] == 0:  # a declared nil return need not even have a header
        return empty(night.home.staged(row["delivery_id"]))
    source, target = night.home.raw(row["sha256"]), night.home.staged(row["delivery_id"])
    return read(source, target, night.catalog, item, row["department"], night.home.work)


def read(source: Path, target: Path, catalog: Catalog, item: Item, department: str, work: Path) -> Decoded:
    """decode a file by its department's own words for headers. Where two of its columns would then stand for one field,
    the file follows the template, and the words are the catalogue's. Raises `DeliveryError`."""
    own, common = (_fields(catalog, item, whose) for whose in (department, None))
    try:
        return decode(source, target, own, work)
    except DeliveryError as e:
        if e.code != "F006" or own == common:
            raise
        return decode(source, target, common, work)


def _fields(catalog: Catalog, item: Item, department: str | None) -> dict[str, str]:
    known = editions.headers(catalog, item, department)
    return {normalise_header(header): field for header, field in known.items()}


def tell_department(night: Night, delivery_id: str, stage: str) -> None:
    """Write the receipt of a delivery as it stands now; `stage` is checked or final."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    path = night.home.findings(delivery_id)
    item = night.catalog.items[row["item"]]
    receipt = Receipt(
        delivery_id=delivery_id,
        department=row["department"],
        department_zh=night.catalog.departments[row["department"]].name_zh,
        item=row["item"],
        item_zh=item.name_zh,
        file=row["file"],
        period=row["period"].isoformat(),
        sequence=row["sequence"],
        mode=row["mode"],
        state=row["state"],
        stage="final" if stage == "final" else "checked",
        as_of=row["received_on"].isoformat(),
        revision=row["revision"] or "",
        account={k: row[k] for k in ("read", *ACCOUNT)},
        message_zh=row["message_zh"],
        message_en=row["message_en"],
    )
    batches = pq.ParquetFile(path).iter_batches() if path.exists() else iter(())
    write_receipt(night.home.outbox, receipt, batches, night.catalog.findings)
    night.ledger.update(delivery_id, receipted=told(row, stage))


def told(row: dict[str, Any], stage: str) -> str:
    """What a receipt says; one that says it already need not be written again, however long the ledger grows."""
    return "/".join([stage, row["state"], row["message_code"], row["release_id"] or ""])
