"""The step `check`: decode, validate, identify and the first receipt of one delivery, whatever is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines import passes
from pipelines.answer import answering
from pipelines.errors import DeliveryError
from pipelines.judge import Asked, Desk, Judged, judge_several, judging, limits
from pipelines.model import ACCOUNT, Delivery
from pipelines.night import Night
from pipelines.stages import curate, gate, obligations, series
from pipelines.stages.receipt import Receipt, write_receipt
from pipelines.stages.validate import Fault
from pipelines.stores import waiting
from schemas import in_force
from schemas.yardstick import yardstick


def check_delivery(night: Night, delivery_id: str) -> str:
    """decode, validate, identify and the checked receipt of one delivery; returns its state."""
    return check_deliveries(night, [delivery_id])[delivery_id]


def check_deliveries(night: Night, delivery_ids: Sequence[str]) -> dict[str, str]:
    """The same of several, which goes faster where they are small; returns the state of each."""
    rows = {key: night.ledger.deliveries(only=key)[0] for key in delivery_ids}
    states = {key: str(row["state"]) for key, row in rows.items() if row["state"] == "released"}
    for one, found in judge_several(night, (asked(night, row) for key, row in rows.items() if key not in states)):
        key = one.delivery.delivery_id
        states[key] = _entered(night, rows[key], found)
        tell_department(night, key, "checked")
    return states


def asked(night: Night, row: dict[str, Any]) -> Asked:
    """A delivery of the ledger as something to judge."""
    source = night.home.raw(row["sha256"])
    return Asked(Delivery.of(row), source, tuple(remarks(night, row)), row["received_on"])


def _entered(night: Night, row: dict[str, Any], found: Judged | DeliveryError) -> str:
    """Enter in the ledger what became of a delivery; returns its state."""
    delivery_id, measured = row["delivery_id"], measure(night, row)
    zero = dict.fromkeys(ACCOUNT, 0)
    if isinstance(found, DeliveryError):
        night.ledger.update(
            delivery_id, state="returned", message_code=found.code, message_zh=found.message_zh,
            message_en=found.message_en, **measured, read=0, **zero,
        )  # fmt: skip
        return "returned"
    why, excused = _weighed(night, row, found, night.home.accepted(delivery_id))
    state = "held" if why else "checked"
    # A checked delivery is not released yet: until the load says otherwise, its accepted rows are held.
    account = {**zero, "rejected": found.account["rejected"], "refused": found.account["refused"]}
    account["held"] = found.account["held"] + found.account["accepted"]
    code = why[0][0] if why else passes.LET_PASS if excused else ""
    zh, en = "".join(r[1] for r in why), " ".join(r[2] for r in why)
    if excused and not why:
        zh, en = passes.told(night, passes.LET_PASS, excused[0])
    if "unclear" not in row["manifest"]:
        night.ledger.replace_unclear(
            row, f"清单已更正：同一文件现为报送 {delivery_id}，本批作废。",
            f"The manifest was corrected: the same file is delivery {delivery_id} now, and this one is void.",
        )  # fmt: skip
    night.ledger.update(
        delivery_id, state=state, message_code=code, message_zh=zh, message_en=en, **measured,
        edition=found.item.editions[0].code if found.item.editions else "",
        read=found.read, file=found.file, **account, is_complete=found.is_complete,
    )  # fmt: skip
    return state


def measure(night: Night, row: dict[str, Any]) -> dict[str, str]:
    """By what a delivery is judged now, as the ledger keeps it."""
    revision = night.catalog.revision
    return {"revision": revision, "compared": revision, "yardstick": judged_by(night, row)}


def remarks(night: Night, row: dict[str, Any]) -> list[Fault]:
    """What the other deliveries of its department and the calendar have to say of a delivery."""
    found = series.remarks(row, night.ledger.beside(row))
    if due := obligations.late_by(row, night.catalog, in_force.read(obligations.Limits, night.limit)):
        found.append(Fault("H015", None, value=due.isoformat()))
    return found


def _absent(night: Night, row: dict[str, Any], accepted: Path) -> tuple[int, int]:
    """How many records the release shows of the department, of those that its full delivery speaks of, and how many of
    them it leaves out."""
    item = night.catalog.items[row["item"]]
    records = night.lake.files("records", item.code, night.ledger.published(item.code)[0])
    order = (row["period"], row["sequence"])
    return curate.absent(night.home, night.lake, item, records, row["department"], order, accepted)


def reasons(night: Night, row: dict[str, Any], judged: Judged, accepted: Path) -> list[gate.Reason]:
    """Why a delivery of which the rows in `accepted` are taken is held as a whole: what its own rows and its usual
    volume say, less what a person lets pass."""
    return _weighed(night, row, judged, accepted)[0]


def _weighed(
    night: Night, row: dict[str, Any], judged: Judged, accepted: Path
) -> tuple[list[gate.Reason], list[Mapping[str, Any]]]:
    """`reasons`, and the decisions by which others count no more."""
    most = limits(night)
    history = night.ledger.usual_rows(row, most.volume_history_count)
    found = judged.reasons + gate.volume_reasons(
        judged.read, history, most, is_nil=row["is_nil"], is_supplement=night.ledger.is_supplement(row)
    )
    found += absence(night, row, judged, accepted)
    if row["delivery_id"] in night.limit("let_pass"):
        return [r for r in found if r[0] not in gate.WAIVABLE], []
    book = passes.book(night)
    by = [book.of_delivery(row, r[0]) if r[0] in gate.WAIVABLE else None for r in found]
    return [r for r, d in zip(found, by, strict=True) if d is None], [d for d in by if d is not None]


def absence(night: Night, row: dict[str, Any], judged: Judged, accepted: Path) -> list[gate.Reason]:
    """Why a complete full delivery is held for what it leaves out."""
    if row["mode"] != "full" or not judged.is_complete:
        return []
    shown, absent = _absent(night, row, accepted)
    return gate.absence_reasons(shown, absent, judged.read, limits(night), is_nil=row["is_nil"])


def judged_by(desk: Desk, row: dict[str, Any]) -> str:
    """The yardstick of a delivery: that of its rows and, after a slash, the limits for it as a whole; '' where the
    catalogue does not know its item in that period."""
    try:
        item = judging(desk.catalog, row["item"], row["department"], row["period"])
    except (DeliveryError, KeyError):
        return ""
    rows = yardstick(item, desk.words, desk.compiled(item), row["period"], row["department"])
    return f"{rows}/{'|'.join(str(v) for v in asdict(limits(desk)).values())}"


def tell_department(night: Night, delivery_id: str, stage: str) -> None:
    """Write the receipt of a delivery as it stands now; `stage` is checked or final."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    ended = waiting.ended(night.ledger, delivery_id) if row["state"] == "released" else []
    zh, en = _back(ended)
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
        message_zh=row["message_zh"] + zh,
        message_en=" ".join(part for part in (row["message_en"], en) if part),
    )
    with answering(night, row, {(r["line"], r["sheet"]) for r in ended if r["corrected_by"]}) as answer:
        write_receipt(night.home.outbox, receipt, answer)
    night.ledger.update(delivery_id, receipted=told(row, stage))


def _back(ended: list[dict[str, Any]]) -> tuple[str, str]:
    """What became of the rows that wait no more, in Chinese and English."""
    corrected = Counter(r["corrected_by"] for r in ended if r["corrected_by"])
    taken = sum(not r["corrected_by"] and r["outcome"] not in ("rejected", "held", "refused") for r in ended)
    zh = [f"原先退回或暂缓的 {n:,} 行已由批次 {by} 改正，不必再报。" for by, n in sorted(corrected.items())]
    en = [f"Rows corrected by delivery {by}: {n:,}; do not send them again." for by, n in sorted(corrected.items())]
    if taken:
        zh.append(f"原先退回或暂缓的 {taken:,} 行按现行规则已收下，不必再报。")
        en.append(f"Rejected or held rows taken under the rules of today: {taken:,}; do not send them again.")
    return "".join(zh), " ".join(en)


def told(row: dict[str, Any], stage: str) -> str:
    """What a receipt says; one that says it already need not be written again, however long the ledger grows."""
    waits = f"{row['rejected']}+{row['held']}"
    if row["no_record"]:
        waits += f"+{row['no_record']}"
    if row["strayed"]:
        waits += f"+{row['strayed']}"
    return "/".join([stage, row["state"], row["message_code"], row["release_id"] or "", waits])
