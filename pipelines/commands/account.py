"""Deliveries as the command line shows them: their states and row accounts, read from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands import screen
from pipelines.commands.options import existing
from pipelines.errors import StoreError, UsageFault
from pipelines.model import ACCOUNT

if TYPE_CHECKING:
    from pipelines.stores.ledger import Ledger

STATUS = ("delivery_id", "department", "item", "file", "state", "read", *ACCOUNT, "missing_before")
OBLIGATION = ("department", "item", "period_from", "period_to", "due", "state", "working_days", "delivery_id")


@contextmanager
def named_server(place: Path) -> Iterator[None]:
    """Nothing is left running unnamed: a server of this home that was started meanwhile is told on standard error."""
    from pipelines.stores import postgres

    was_up = postgres.is_running(place)
    try:
        yield
    finally:
        if not was_up and postgres.is_running(place):
            screen.remark("database: started; 'qiongxin db down' stops it")


@contextmanager
def open_ledger(home: Path) -> Iterator[Ledger]:
    """The ledger of a home in which a night has run."""
    from pipelines.stores import postgres
    from pipelines.stores.ledger import Ledger

    place = existing(home)
    if not has_ledger(home):
        raise UsageFault(f"{home}: no night has run here yet. Run 'qiongxin nightly --date DATE' first.")
    with named_server(place), Ledger(postgres.ensure(place)) as ledger:
        ledger.prepare()
        yield ledger


def numbers_missing(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Delivery id -> the numbers of its sequence that have not come before it."""
    from pipelines.stages import series

    return series.missing(rows)


def has_ledger(home: Path) -> bool:
    """Whether a night has run here, without making a database to find out."""
    from pipelines.stores import postgres

    try:
        return bool(postgres.url(existing(home)))
    except StoreError:
        return False


def one_delivery(ledger: Ledger, wanted: str) -> dict[str, Any]:
    """The one delivery whose id begins so."""
    found = [r for r in ledger.deliveries() if r["delivery_id"].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    told = "no such delivery" if not found else f"{len(found)} deliveries begin so"
    raise UsageFault(f"--delivery {wanted}: {told}. See 'qiongxin status'.")


def as_status(row: dict[str, Any], missing: Mapping[str, str]) -> dict[str, Any]:
    """A delivery with the names that machines rely on. `missing` tells numbers of its sequence that have not come."""
    return {name: row[name] for name in STATUS[:-1]} | {"missing_before": missing.get(row["delivery_id"], "")}


def show_account(rows: list[dict[str, Any]], missing: Mapping[str, str]) -> None:
    """The row account, then why a delivery was held or returned, and numbers that are `missing` before one. Columns
    that are 0 throughout are left out."""
    if not rows:
        print("no deliveries yet")
        return
    counts = [n for n in ("read", *ACCOUNT) if n in ("read", "new", "rejected", "held") or any(r[n] for r in rows)]
    names = ("delivery_id", "department", "item", "state")
    lines = [[r[n] for n in (*names, *counts)] for r in rows]
    total = [f"{len(rows):,} deliveries", "", "", "", *(sum(r[n] for r in rows) for n in counts)]
    screen.table(("delivery", *names[1:], *counts), [*lines, total], thousands=True)
    for r in rows:
        if r["message_code"]:
            print(f"{r['state']}: {r['delivery_id']} {r['file']} {r['message_code']}: {r['message_zh']}")
        if gap := missing.get(r["delivery_id"]):
            print(f"missing: {r['department']} {r['item']} {r['period']} number {gap} before {r['sequence']}")


def show_failed(places: list[dict[str, Any]]) -> None:
    """Inboxes and outboxes that could not be asked, since when, and what to do."""
    for place in places:
        print(f"failed: {place['direction']} of {place['department']}, since {place['since']}: {place['message']}")


def show_resolved(rows: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    """What became of rows that were rejected or held and are not any more."""
    shown = {r["delivery_id"] for r in rows}
    for f in found:
        if f["delivery_id"] in shown:
            by = f"delivery {f['corrected_by']}" if f["corrected_by"] else f"revision {f['judged_under']}"
            print(f"came back: {f['delivery_id']}: {f['rows']:,} rejected or held rows are {f['outcome']} by {by}")


def show_places(home: Path, day: date) -> None:
    """Where to look next: the departments' receipts, and the night's evidence where there is one."""
    print(f"receipts: {home}/outbox/<department>/")
    evidence = home / "reports" / day.isoformat() / "index.html"
    if evidence.exists():
        print(f"evidence: {evidence}")


def sentence(finding: dict[str, Any]) -> str:
    """One line to a finding: where, code, severity, what is wrong and what to do."""
    where = " ".join(part for part in (_where(finding), finding["field"]) if part)
    cure = finding["fix"].partition(" / ")[0]
    return f"{where} {finding['code']} {finding['severity']}: {finding['message_zh']}{cure}"


def _where(finding: dict[str, Any]) -> str:
    if finding["line"] is None:
        return "whole file"
    sheet = finding["sheet"]
    if sheet and not sheet.startswith("#"):
        return f"{sheet}!{finding['line']}"
    return f"line {finding['line']}" + (f" {sheet}" if sheet else "")
