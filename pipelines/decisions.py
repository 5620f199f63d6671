"""People decide of what is held: let it pass, send it back, or waive the rule for a time.

A decision says who made it, when and why, and is told wherever what it let through is told. It covers measures, such as
a volume or a share; never a row account that does not balance, a check that could not be carried out, something of
which there must be none, or a row that the law keeps out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

from pipelines import passes
from pipelines.check import tell_department
from pipelines.checks import PARKED
from pipelines.errors import UsageFault
from pipelines.model import ACCOUNT
from pipelines.night import Night
from pipelines.stages import gate
from pipelines.stages.candidate import read_candidate
from pipelines.stages.evaluate import FAILED, PASSED, UNEVALUATED
from pipelines.stores import decisions


@dataclass(frozen=True)
class Held:
    """What waits for a person. `key` names it: a delivery, or an item with the deliveries that wait in it. `codes` are
    what a decision would let pass (finding codes of a delivery, expectations of an item); none: it cannot be let pass.
    `figures` are the evidence, without any value of a person."""

    key: str
    item: str
    department: str
    deliveries: tuple[str, ...]
    periods: tuple[date, ...]
    code: str
    codes: tuple[str, ...]
    message_zh: str
    message_en: str
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_delivery(self) -> bool:
        return not self.key.startswith("item:")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def held(night: Night) -> list[Held]:
    """Everything that waits for a person, deliveries first."""
    return [*_deliveries(night), *_items(night)]


def find(night: Night, key: str) -> Held:
    """By key, the beginning of a delivery's, or an item's code. Raises `UsageFault`."""
    found = [h for h in held(night) if h.key.startswith(key) or (not h.is_delivery and h.item == key)]
    if len(found) != 1:
        told = "several things that are held begin so" if found else "nothing of that name is held"
        raise UsageFault(f"{key}: {told}. See 'qiongxin held'.")
    return found[0]


def decide(night: Night, of: Held, does: str, by: str, reason: str, until: date | None = None) -> int:
    """Enter a decision about something held and carry out what can be done at once: what is sent back goes with its
    receipt; what is let pass is taken up by the next check or integration. Returns the decision's number. Raises
    `UsageFault`."""
    if not by.strip() or not reason.strip():
        raise UsageFault(f"{does}: a decision says who made it, and why. Give both.")
    if does != "reject" and not of.codes:
        raise UsageFault(f"{of.key}: nobody can let this pass ({of.code}). Mend what it says, or reject it.")
    if does == "waive":
        _check_until(night, until)
    elif does == "approve" and not of.deliveries:  # nothing else tells it from what comes to be held later
        until = night.as_of + timedelta(night.limit("approval_days"))
    department = of.department if of.is_delivery else None
    number = decisions.make(
        night.ledger, does, of.item, night.as_of, by.strip(), reason.strip(), department=department, codes=of.codes,
        delivery_id=of.key if of.is_delivery and does != "waive" else None,
        deliveries=of.deliveries if does == "approve" else (), until=until,
    )  # fmt: skip
    if does == "reject":
        _send_back(night, of, number, by.strip(), reason.strip())
    elif of.code == PARKED:
        night.ledger.update(of.key, state="received", message_code="", message_zh="", message_en="", looks=0)
    return number


def _check_until(night: Night, until: date | None) -> None:
    most = night.as_of + timedelta(night.limit("waiver_most_days"))
    if until is None or not night.as_of <= until <= most:
        raise UsageFault(f"waive: name its last day, from {night.as_of} to {most} (policy waiver_most_days).")


def _send_back(night: Night, of: Held, number: int, by: str, reason: str) -> None:
    decided = {"made_on": night.as_of, "made_by": by, "reason": reason, "number": number}
    zh, en = passes.told(night, passes.REJECTED, decided)
    zero = dict.fromkeys(("read", *ACCOUNT), 0)
    for delivery_id in of.deliveries:
        night.ledger.update(
            delivery_id, state="returned", message_code=passes.REJECTED, message_zh=zh, message_en=en, looks=0, **zero
        )
        tell_department(night, delivery_id, "final")


def _deliveries(night: Night) -> list[Held]:
    return [
        Held(
            r["delivery_id"], r["item"], r["department"], (r["delivery_id"],), (r["period"],), r["message_code"],
            tuple(c for c in (r["message_code"],) if c in gate.WAIVABLE or c == PARKED),
            r["message_zh"], r["message_en"], {name: r[name] for name in ("read", "rejected", "refused", "held")},
        )
        for r in night.ledger.deliveries("held")
    ]  # fmt: skip


def _items(night: Night) -> list[Held]:
    found = []
    for code in night.catalog.items:
        c = read_candidate(night.home, code)
        if c is None or (verdict := night.ledger.gate_verdict(c.candidate)) in (None, PASSED):
            continue
        outcomes = night.ledger.gate_outcomes(c.candidate)
        rows = [r for r in night.ledger.deliveries("checked", item=code) if r["delivery_id"] in c.deliveries]
        wrong = [o for o in outcomes if o["outcome"] in (FAILED, UNEVALUATED) and not o.get("decision")]
        codes = tuple(sorted(o["name"] for o in wrong)) if all(map(_is_measure, wrong)) else ()
        found.append(Held(
            item_key(code, c.deliveries), code, "", tuple(c.deliveries), tuple(sorted({r["period"] for r in rows})),
            gate.FINDING[verdict], codes, "；".join(o["zh"] for o in wrong), "; ".join(o["en"] for o in wrong),
            {o["name"]: {"observed": o["observed"], "allowed": o["limit"]} for o in wrong},
        ))  # fmt: skip
    return found


def _is_measure(outcome: Mapping[str, Any]) -> bool:
    """Whether a person may let it pass: a figure above its measure, not something of which there must be none."""
    return outcome["place"] == "profile" and outcome["outcome"] == FAILED and not outcome["limit"].startswith("= ")


def item_key(item: str, deliveries: Iterable[str]) -> str:
    return f"item:{item}:{sha256(' '.join(sorted(deliveries)).encode()).hexdigest()[:8]}"
