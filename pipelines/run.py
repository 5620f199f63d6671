"""The journey in order. Each function takes and returns keys, never rows, so a scheduler or a loop may call it.

`nightly` is the loop; `dags/` is the scheduler. Both follow `ORDER`, and a test holds them to it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pipelines import again, parked, passes, strays
from pipelines.check import tell_department, told
from pipelines.checks import SMALL, check_one, checked, unchecked
from pipelines.errors import UsageFault
from pipelines.exchange import deliver, take
from pipelines.hands import Hands
from pipelines.integrate import (
    CANDIDATES,
    doomed,
    due_items,
    integrate,
    integrate_item,
    pending_events,
    pending_items,
    write_tombstones,
)
from pipelines.night import Night, open_night
from pipelines.stages import datafiles, deletion, events, gate, load, obligations, report, sweep, validate
from pipelines.stages.candidate import read_candidate
from pipelines.stores import inquiries, judgements, reversals, tombstones, waiting
from pipelines.stores.ledger import Pinned
from pipelines.stores.still import turn
from pipelines.trace import digits
from schemas import in_force, suite
from schemas.calendar import calendar as calendar_of

ORDER = ("receive", "check", "events", "integrate", "gate", "load", "receipts", "deliver")
Progress = Callable[[str], None]


def take_events(night: Night, tell: Progress = lambda text: None) -> dict[str, str]:
    """events: integrate and gate what goes before the others, the items of events and the registers of persons, and
    gather what they say of the records of others; returns item -> passed, failed or could_not_evaluate."""
    with turn(night.ledger, CANDIDATES):
        return _take_events(night, tell)


def _take_events(night: Night, tell: Progress) -> dict[str, str]:
    codes = pending_events(night)
    for code in codes:
        tell(f"events: {code} {integrate(night, code)}")
    verdicts = _gate(night, codes, tell)
    told, pinned = {}, night.ledger.current_snapshots()
    for code, item in night.catalog.items.items():
        if item.goes_first:
            files = night.lake.files("records", code, pinned.get(code, Pinned()).records)
            candidate = read_candidate(night.home, code) if verdicts.get(code) == "passed" else None
            told[code] = files.after(candidate.changes["records"]) if candidate else files
    # What rests on a listing is kept from the night after the listing is released: nothing ends for want of that day,
    # and no item has to wait for another.
    listed = {c: pinned.get(c, Pinned()) for c, i in night.catalog.items.items() if i.rests_on is not None}
    events.gather(night.home, night.lake, night.catalog, told, listed, judgements.known(night.ledger, night.as_of))
    return verdicts


def gate_items(night: Night, tell: Progress = lambda text: None) -> dict[str, str]:
    """gate: every waiting candidate but those of events; returns item -> passed, failed or could_not_evaluate.

    What events and time make of the records of an item that is held does not wait with its deliveries: that alone
    becomes its candidate then, and is gated for itself.
    """
    with turn(night.ledger, CANDIDATES):
        verdicts = _gate(night, pending_items(night), tell)
        held = sorted({code for code, found in verdicts.items() if found != "passed"} & due_items(night))
        alone = [code for code in held if integrate(night, code, is_alone=True) == "candidate"]
        for code, found in _gate(night, alone, tell).items():
            tell(f"gate: {code} without its deliveries {found}")
        return verdicts


def _gate(night: Night, codes: list[str], tell: Progress) -> dict[str, str]:
    candidates = [c for code in codes if (c := read_candidate(night.home, code)) is not None]
    limits = in_force.read(suite.Limits, night.limit)
    book = passes.book(night)
    return gate.gate_items(
        night.ledger, night.catalog, candidates, limits, night.as_of,
        lambda c, name: book.of_item(c.item, c.deliveries, name), partial(passes.told, night, gate.LET_PASS), tell,
    )  # fmt: skip


def publish_release(night: Night) -> str | None:
    """load: every candidate that passed, as one release."""
    with turn(night.ledger, CANDIDATES):
        return _publish(night)


def _publish(night: Night) -> str | None:
    passed = []
    waits = {r["delivery_id"] for r in night.ledger.deliveries("checked")} | {*waiting.replays(night.ledger, "pending")}
    waits |= {r["delivery_id"] for r in reversals.pending(night.ledger)}
    due = due_items(night) | doomed(night)
    for code in night.catalog.items:
        candidate = read_candidate(night.home, code)
        if candidate is None:
            continue
        brings = [*candidate.deliveries, *candidate.again, *candidate.reverted]
        if not (waits.intersection(brings) if brings else code in due):
            datafiles.sweep_planned(night.home, night.lake, code)
            load.forget(night.home, candidate)  # released by a run that was killed before it could put this away
        elif night.ledger.gate_verdict(candidate.candidate) == "passed":
            passed.append(candidate)
    return load.load(
        night.home, night.ledger, night.lake, night.catalog.items, passed, night.catalog.revision, night.as_of,
    )  # fmt: skip


def write_receipts(night: Night, hands: Hands | None = None, seconds: Mapping[str, float] | None = None) -> int:
    """Final receipts of everything released or returned, and what a held item has to say; returns how many.

    The last step: it also writes the night's report, `reports/<day>/index.html`, and sweeps up what is past its limit
    and what is left of deleted records.
    """
    with turn(night.ledger, CANDIDATES):
        return _write_receipts(night, hands, seconds)


def _write_receipts(night: Night, hands: Hands | None, seconds: Mapping[str, float] | None) -> int:
    again.finish(night)
    parked.count(night)
    strays.find(night)
    due = [
        r["delivery_id"]
        for r in night.ledger.deliveries("released", "returned", "held", "checked")
        if r["receipted"] != told(r, _stage(r)) and (_stage(r) == "final" or r["message_code"])
    ]
    done = sum(1 for _ in (hands or Hands(night, 1)).each(receipt_one, due, is_worth_it=False))
    within = in_force.read(obligations.Limits, night.limit)
    report.report(night.home, night.ledger, night.catalog, night.as_of, seconds or {}, within)
    sweep_files(night)
    expire(night)
    return done


def expire(night: Night) -> list[str]:
    """Let go of what is left of deleted records, of releases and of inquiries that are not kept so long; returns the
    items of which snapshots went."""
    inquiries.forget(night.ledger, night.as_of - timedelta(night.limit("keep_inquiries_days")))
    limits = night.limit("keep_snapshots_days"), night.limit("keep_releases_days")
    return deletion.finish(night.home, night.ledger, night.lake, night.catalog.items, *limits, night.as_of)


def _stage(row: Mapping[str, Any]) -> str:
    return "checked" if row["state"] == "checked" else "final"


def receipt_one(night: Night, delivery_id: str) -> None:
    """The receipt of a delivery as it stands after the load."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    _count_late(night, row)
    tell_department(night, delivery_id, _stage(row))


def _count_late(night: Night, row: Mapping[str, Any]) -> None:
    """Enter how many of the new rows of a released delivery came later than their item allows; of one that was taken
    back no row is new any more."""
    limit = night.catalog.items[row["item"]].reporting_limit
    if row["state"] != "released" or limit is None:
        return
    if reversals.of(night.ledger, row["delivery_id"]):
        night.ledger.update(row["delivery_id"], late=0)
        return
    late = calendar_of(night.catalog.calendar).last_late(night.limit(limit), row["received_on"])
    count = validate.late_new(night.home, row["delivery_id"], night.catalog.items[row["item"]], late)
    night.ledger.update(row["delivery_id"], late=count)


def sweep_files(night: Night, is_preview: bool = False) -> list[sweep.Swept]:
    """Remove files of deliveries that are past the dated limits of today."""
    days = {place: night.limit(f"keep_{place}_days") for place in sweep.PLACES}
    return sweep.sweep(night.home, night.ledger, days, night.as_of, is_preview)


def nightly(
    home: str | Path,
    day: str | date,
    tell: Progress = lambda text: None,
    jobs: int = 1,
    engine: str | None = None,
) -> dict[str, Any]:
    """The whole journey over every finished file now in the inboxes; returns the release, the exit code and the
    seconds of each step. `jobs` processes work on what is small, the `engine` on what is large (`open_night`)."""
    seconds: dict[str, float] = {}
    with open_night(home, day, engine=engine) as night, Hands(night, jobs) as hands:
        for line in night.applied:
            tell(line)
        with _timed(seconds, "receive"):
            taken = take(night)
        tell(f"receive: {len(taken.deliveries)} new, {len(taken.again)} known already, {len(taken.waiting)} waiting")
        for name in taken.left:
            tell(f"receive: {name} is left to another run, which takes from its inbox now")
        with _timed(seconds, "check"):
            unfinished = unchecked(night)
            for n, (key, state) in enumerate(checked(hands, unfinished), start=1):
                tell(f"check {n}/{len(unfinished)}: {key} {state}")
        published = _published(night, hands, seconds, tell)
        if (cluster := night.cluster) is not None:
            judged, folded = (cluster.worked[what] for what in ("deliveries", "items"))
            tell(f"spark: {judged} deliveries judged and {folded} items folded on {cluster.master}")
        return {
            **published,
            "waiting": list(taken.waiting),
            "strangers": list(taken.strangers),
            "report": str(night.home.report(night.as_of.isoformat())),
            "seconds": {step: round(spent, 3) for step, spent in seconds.items()},
        }


def replay(
    home: str | Path,
    day: str | date,
    first: date,
    last: date,
    is_applied: bool = False,
    tell: Progress = lambda text: None,
) -> dict[str, Any]:
    """Judge the deliveries of the periods `first` to `last` again from `raw/` under today's catalogue, and tell what
    that would change; applied, rows that wait come back with a release of their own.

    A preview changes nothing. What was accepted once stays, even where it would be rejected today: that is told only.
    Returns `deliveries` (again.Difference as a dict), `gone` (those whose bytes are past their limit) and, applied,
    `release`, `held`, `failed`, `exit_code`.
    """
    with open_night(home, day, is_preview=not is_applied) as night:
        if is_applied:
            again.finish(night)
        found, gone = [], []
        states = ("checked", "held", "returned", "released")
        void = {r["delivery_id"] for r in reversals.known(night.ledger)}
        asked = [r for r in night.ledger.deliveries(*states) if first <= r["period"] <= last]
        rows = [r for r in asked if r["delivery_id"] not in void]
        for n, row in enumerate(rows, start=1):
            if not night.home.raw(row["sha256"]).exists():
                gone.append(row["delivery_id"])
                continue
            found.append(again.difference(night, row))
            tell(f"judge {n}/{len(rows)}: {row['delivery_id']}")
        told = {"deliveries": [d.as_dict() for d in found], "gone": gone}
        if not is_applied:
            return {**told, "release": None, "held": [], "failed": [], "exit_code": 0}
        for d in found:
            if not d.is_none:
                tell(f"check: {d.delivery_id} {check_one(night, d.delivery_id)}")
        with Hands(night, 1) as hands:
            return {**told, **_published(night, hands, {}, tell)}


def revert(
    home: str | Path, day: str | date, delivery_id: str, by: str, reason: str, tell: Progress = lambda text: None
) -> dict[str, Any]:
    """Take a released delivery back: none of its statements counts any more, what others say of its records shows, and
    its rows are `withdrawn` in the account. History keeps them. Says who decided it, and why.

    Safe to kill: asked once, it is carried out by this run or by the next night. Returns `release`, `held`, `failed`,
    `exit_code`. Raises `StoreError`, `UsageFault`.
    """
    with open_night(home, day) as night, Hands(night, 1) as hands:
        if not night.ledger.deliveries("released", only=delivery_id):
            raise UsageFault(f"{delivery_id}: no release holds it, so nothing of it shows. Reject it with its receipt.")
        if reversals.of(night.ledger, delivery_id):
            raise UsageFault(f"{delivery_id}: reverted already. Send what is right in it under a higher sequence.")
        again.finish(night)
        waiting.forget_replay(night.ledger, delivery_id)
        reversals.ask(night.ledger, delivery_id, night.as_of, by, reason)
        return _published(night, hands, {}, tell)


def delete(
    home: str | Path, day: str | date, key: str, by: str, basis: str, tell: Progress = lambda text: None
) -> dict[str, Any]:
    """Delete a record by its key, in a release of its own: its tombstone comes first, and nothing of it is left in
    records, history, warehouse and vault, nor taken in again. Says who decided it, and on which basis.

    Safe to kill, like `revert`, and returns the same. Raises `StoreError`, `UsageFault`.
    """
    with open_night(home, day) as night, Hands(night, 1) as hands:
        if tombstones.find(night.ledger, bytes.fromhex(digits(key))):
            raise UsageFault(f"--record {key}: deleted already. See 'qiongxin life --record {key}'.")
        again.finish(night)
        item, subject = deletion.found(night.home, night.lake, night.catalog.items, night.ledger, key)
        write_tombstones(night, night.catalog.items[item], [(bytes.fromhex(key), subject)], basis, by)
        return _published(night, hands, {}, tell)


def _published(night: Night, hands: Hands, seconds: dict[str, float], tell: Progress) -> dict[str, Any]:
    """All steps after check; returns the release, what is held, what failed, the exit code."""
    held = [r["delivery_id"] for r in night.ledger.deliveries("held")]
    with _timed(seconds, "events"):
        verdicts = take_events(night, tell)
    with _timed(seconds, "integrate"):
        for code, made in _integrated(hands, pending_items(night)):
            tell(f"integrate: {code} {made}")
    with _timed(seconds, "gate"):
        verdicts |= gate_items(night, tell)
    held += [code for code, verdict in verdicts.items() if verdict != "passed"]
    with _timed(seconds, "load"):
        release = publish_release(night)
    tell(f"load: release {release or 'none'}")
    with _timed(seconds, "receipts"):
        tell(f"receipts: {write_receipts(night, hands, dict(seconds))}")
    with _timed(seconds, "deliver"):
        tell(f"deliver: receipts of {deliver(night)} deliveries sent")
    failed = night.ledger.unreachable()
    return {"release": release, "exit_code": 4 if failed else 3 if held else 0, "held": held, "failed": failed}


def _integrated(hands: Hands, codes: list[str]) -> Iterator[tuple[str, str]]:
    """Items and what comes of them, in the same way."""
    sizes = Counter[str]()
    for row in hands.night.ledger.deliveries("checked"):
        sizes[row["item"]] += row["size"]
    for code in codes:
        if sizes[code] > SMALL:
            yield code, integrate_item(hands.night, code)
    yield from hands.each(integrate_item, [code for code in codes if sizes[code] <= SMALL], is_worth_it=False)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - started
