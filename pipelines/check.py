"""The step `check`: decode, validate, identify and the first receipt of one delivery, whatever is wrong with it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pipelines.answer import answering
from pipelines.errors import DeliveryError
from pipelines.judge import judge, limits
from pipelines.model import ACCOUNT, Delivery
from pipelines.night import Night
from pipelines.stages import curate, gate, obligations, series
from pipelines.stages.receipt import Receipt, write_receipt
from pipelines.stages.validate import Fault


def check_delivery(night: Night, delivery_id: str) -> str:
    """decode, validate, identify and the checked receipt of one delivery; returns its state."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    if row["state"] not in ("received", "checked", "held"):
        return str(row["state"])
    zero = dict.fromkeys(ACCOUNT, 0)
    remarks = series.remarks(row, night.ledger.beside(row))
    if due := obligations.late_by(row, night.catalog, obligations.limits(night.limit)):
        remarks.append(Fault("H015", None, value=due.isoformat()))
    try:
        delivery = Delivery(**{f.name: row[f.name] for f in fields(Delivery)})
        judged = judge(night, delivery, night.home.raw(row["sha256"]), remarks, row["received_on"])
    except DeliveryError as e:
        night.ledger.update(
            delivery_id, state="returned", message_code=e.code, message_zh=e.message_zh, message_en=e.message_en,
            revision=night.catalog.revision, read=0, **zero,
        )  # fmt: skip
        tell_department(night, delivery_id, "checked")
        return "returned"
    most = limits(night)
    history = night.ledger.usual_rows(row, most.volume_history_count)
    reasons = judged.reasons + gate.volume_reasons(
        judged.read, history, most, is_nil=row["is_nil"], is_supplement=night.ledger.is_supplement(row)
    )
    if row["mode"] == "full" and judged.is_complete:
        shown, absent = _absent(night, row)
        reasons += gate.absence_reasons(shown, absent, judged.read, most, is_nil=row["is_nil"])
    if delivery_id in night.limit("let_pass"):
        reasons = [r for r in reasons if r[0] not in gate.WAIVABLE]
    state = "held" if reasons else "checked"
    # A checked delivery is not released yet: until the load says otherwise, its accepted rows are held.
    found = judged.account
    account = {**zero, "rejected": found["rejected"], "refused": found["refused"]}
    account["held"] = found["held"] + found["accepted"]
    code = reasons[0][0] if reasons else ""
    zh, en = "".join(r[1] for r in reasons), " ".join(r[2] for r in reasons)
    if "unclear" not in row["manifest"]:
        night.ledger.replace_unclear(
            row, f"清单已更正：同一文件现为报送 {delivery_id}，本批作废。",
            f"The manifest was corrected: the same file is delivery {delivery_id} now, and this one is void.",
        )  # fmt: skip
    night.ledger.update(
        delivery_id, state=state, message_code=code, message_zh=zh, message_en=en, revision=night.catalog.revision,
        edition=judged.item.editions[0].code if judged.item.editions else "",
        read=judged.read, file=judged.file, **account, is_complete=judged.is_complete,
    )  # fmt: skip
    tell_department(night, delivery_id, "checked")
    return state


def _absent(night: Night, row: dict[str, Any]) -> tuple[int, int]:
    """How many records the release shows of the department, of those that its full delivery speaks of, and how many of
    them it leaves out."""
    release = night.ledger.current_release()
    base = night.ledger.snapshots(release["release_id"] if release else None).get(row["item"], (None, None))
    item = night.catalog.items[row["item"]]
    records = night.lake.files("records", item.code, base[0])
    accepted = night.home.accepted(row["delivery_id"])
    order = (row["period"], row["sequence"])
    return curate.absent(night.home, night.lake, item, records, row["department"], order, accepted)


def tell_department(night: Night, delivery_id: str, stage: str) -> None:
    """Write the receipt of a delivery as it stands now; `stage` is checked or final."""
    row = night.ledger.deliveries(only=delivery_id)[0]
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
    with answering(night, row) as answer:
        write_receipt(night.home.outbox, receipt, answer)
    night.ledger.update(delivery_id, receipted=told(row, stage))


def told(row: dict[str, Any], stage: str) -> str:
    """What a receipt says; one that says it already need not be written again, however long the ledger grows."""
    return "/".join([stage, row["state"], row["message_code"], row["release_id"] or ""])
