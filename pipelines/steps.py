"""The steps of the journey by keys alone, for a scheduler that hands on strings: each opens the home and closes it.

A day that is integrated after a later one takes the later as-of date, so clocks never run backwards and days may come
in any order. What arrives and is checked keeps its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

from pipelines import decisions, run
from pipelines import tidy as housekeeping
from pipelines.again import Difference
from pipelines.checks import SMALL, check_several, pieces, unchecked
from pipelines.errors import QiongxinError, StoreError
from pipelines.exchange import deliver, groups, take
from pipelines.integrate import Scope, integrate_item, pending_items
from pipelines.model import ACCOUNT
from pipelines.night import Night, open_night
from pipelines.ready import ready
from pipelines.stores import decisions as asking

AT_MOST = 8  # tasks in which small work is divided, since each costs the start of a process


@contextmanager
def open_day(home: str, day: str) -> Iterator[Night]:
    """The night of a day, not before the last release."""
    with open_night(home, day) as night:
        last = night.ledger.current_release()
        yield replace(night, as_of=max(night.as_of, last["as_of"])) if last else night


def receive(home: str, day: str, only: str | None = None, places: Sequence[str] | None = None) -> list[list[str]]:
    """Take what is finished, `only` of one day where asked, from all places or those of some groups (exchange.groups);
    returns the deliveries of their departments to check, in portions."""
    with open_night(home, day) as night:
        of = groups(night.catalog, places)
        for name in take(night, date.fromisoformat(only) if only else None, of).left:
            print(f"receive: {name} is left to another run, which takes from its inbox now")
        waiting = unchecked(night)
        senders = {r["delivery_id"]: r["department"] for r in night.ledger.deliveries()}
        large, small = pieces(night, [key for key in waiting if any(senders[key] in group for group in of)])
        return [[key] for key in large] + _portions(small)


def _portions(small: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pieces as at most AT_MOST portions of about the same number of deliveries; no piece is torn."""
    portions: list[list[str]] = [[] for _ in range(min(AT_MOST, len(small)))]
    for piece in sorted(small, key=len, reverse=True):
        min(portions, key=len).extend(piece)
    return portions


def check(home: str, day: str, portion: Sequence[str]) -> dict[str, str]:
    """Check the deliveries of a portion, each piece for itself; returns the state of each. Raises `StoreError` once all
    others are done."""
    with open_night(home, day) as night:
        states: dict[str, str] = {}
        failed: list[StoreError] = []
        large, small = pieces(night, portion)
        for piece in (*((key,) for key in large), *small):
            try:
                states |= check_several(night, piece)
            except StoreError as e:
                failed.append(e)
        if failed:
            raise failed[0]
        return states


def landed(home: str, day: str, delivery_ids: Sequence[str]) -> dict[str, Any]:
    """What became of deliveries: {"landed": {department: {period: figures}}, "held": [delivery]}; the figures count
    deliveries, rows read, and those rejected and refused."""
    asked = set(delivery_ids)
    with open_night(home, day) as night:
        told: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
        rows = [r for r in night.ledger.deliveries() if r["delivery_id"] in asked]
        for row in rows:
            figures = told[row["department"]].setdefault(row["period"].isoformat(), defaultdict(int))
            figures["deliveries"] += 1
            for name in ("read", "rejected", "refused"):
                figures[name] += row[name]
        return {"landed": told, "held": [r["delivery_id"] for r in rows if r["state"] == "held"]}


def day_ready(home: str, day: str, period: str, is_past_cut_off: bool) -> list[str]:
    """Items of a period that are complete and wait to be integrated; past its cut-off none waits to be complete."""
    with open_day(home, day) as night:
        return ready(night, date.fromisoformat(period), is_past_cut_off)


def events(home: str, day: str, scope: Mapping[str, Any]) -> list[list[str]]:
    """Take in the events, all that are in; returns the items with something to integrate, in portions."""
    with open_day(home, day) as night:
        run.take_events(night, print)
        sizes: dict[str, int] = defaultdict(int)
        for row in night.ledger.deliveries("checked"):
            sizes[row["item"]] += row["size"]
        return _spread(pending_items(night, scope_of(scope)), sizes)


def _spread(codes: Sequence[str], sizes: Mapping[str, int]) -> list[list[str]]:
    """A portion for each large item, the others in few."""
    large = [[code] for code in codes if sizes.get(code, 0) > SMALL]
    return large + _portions([[code] for code in codes if sizes.get(code, 0) <= SMALL])


def scope_of(scope: Mapping[str, Any]) -> Scope:
    """{"first": day, "last": day, "items": [code]}, each of which may be missing, as a scope."""
    days = {name: date.fromisoformat(scope[name]) for name in ("first", "last") if scope.get(name)}
    named = scope.get("items")
    return Scope(**days, items=frozenset(named) if named is not None else None)


def integrate(home: str, day: str, portion: Sequence[str], scope: Mapping[str, Any]) -> dict[str, str]:
    """dedupe and curate the items of a portion, each for itself; returns what came of each. Raises what the first one
    that failed raised, once all others are done."""
    with open_day(home, day) as night:
        made: dict[str, str] = {}
        failed: list[Exception] = []
        for code in portion:
            try:
                made[code] = integrate_item(night, code, scope_of(scope))
            except Exception as e:
                failed.append(e)
                print(f"integrate: {code} failed: {type(e).__name__}")
        if failed:
            raise failed[0]
        return made


def gate(home: str, day: str) -> dict[str, str]:
    with open_day(home, day) as night:
        return run.gate_items(night, print)


def load(home: str, day: str) -> dict[str, Any]:
    """Publish; returns {"release", "items": {item: sums of the accounts of what it published}}."""
    with open_day(home, day) as night:
        before = night.ledger.current_release()
        release = run.publish_release(night)
        told: dict[str, dict[str, int]] = {}
        if release and (before is None or before["release_id"] != release):
            for row in night.ledger.deliveries("released"):
                if row["release_id"] == release:
                    sums = told.setdefault(row["item"], dict.fromkeys(("read", *ACCOUNT), 0))
                    for name in sums:
                        sums[name] += row[name]
        return {"release": release, "items": told}


def held(home: str, day: str) -> list[dict[str, Any]]:
    """What is held and nobody was asked of yet, as {"key", "item", "subject", "body"}; it counts as asked from now
    on."""
    with open_day(home, day) as night:
        news = [h for h in decisions.held(night) if asking.ask(night.ledger, h.key, night.as_of)]
        return [{"key": h.key, "item": h.item, **_question(night, h)} for h in news]


def _question(night: Night, of: decisions.Held) -> dict[str, str]:
    """What a person is asked, with the evidence; no value of anybody."""
    item = night.catalog.items[of.item]
    who = night.catalog.departments[of.department].name_zh if of.is_delivery else "全部 all"
    figures = "".join(f"\n| {name} | {value} |" for name, value in of.figures.items())
    periods = ", ".join(p.isoformat() for p in of.periods)
    can = "" if of.codes else "\n\n不能放行，只能退回。It cannot be let pass, only rejected."
    body = (
        f"{item.name_zh} `{of.item}` · {who} · {periods} · `{of.code}`\n\n{of.message_zh}\n\n{of.message_en}{can}"
        f"\n\n| | |\n|---|---|{figures}\n\n`qiongxin held` · `qiongxin status --delivery {of.deliveries[0][:8]}`"
    )
    return {"subject": f"{of.code} {item.name_zh} {who}", "body": body}


def decide(home: str, day: str, key: str, does: str, by: str, reason: str, until: str) -> dict[str, Any]:
    """Carry out what a person decided of something held; returns what is to be integrated: {"number", "does", "landed":
    {department: [period]}, "ready": [period]}. What is held no more is left alone (number None)."""
    with open_day(home, day) as night:
        told: dict[str, Any] = {"number": None, "does": does, "landed": {}, "ready": []}
        found = [h for h in decisions.held(night) if h.key == key]
        if not found:
            return told
        last = date.fromisoformat(until) if until else None
        told["number"] = decisions.decide(night, found[0], does, by, reason, last)
        periods = [p.isoformat() for p in found[0].periods]
        if does == "reject":
            return told
        if found[0].is_delivery:
            check_several(night, (key,))
            return {**told, "landed": {found[0].department: periods}}
        return {**told, "ready": periods}


def replay(home: str, day: str, first: str, last: str, is_applied: bool) -> dict[str, Any]:
    """Judge again what came for these periods; returns figures by state, and the release."""
    periods = date.fromisoformat(first), date.fromisoformat(last)
    told = run.replay(home, day, *periods, is_applied=is_applied, tell=print)
    changed = [d for d in told["deliveries"] if not Difference(**d).is_none]
    return {"judged": len(told["deliveries"]), "changed": changed, "gone": told["gone"], "release": told["release"]}


def tidy(home: str, day: str) -> dict[str, Any]:
    with open_day(home, day) as night:
        return housekeeping.tidy(night)


def receipts(home: str, day: str) -> int:
    with open_day(home, day) as night:
        return run.write_receipts(night)


def deliver_all(home: str, day: str, places: Sequence[str] | None = None) -> int:
    """Send all answers, or those of some groups. Raises `StoreError` where an outbox of theirs failed, which is worth
    another try, and `QiongxinError` where an inbox did, which the next look tries."""
    with open_night(home, day) as night:
        of = groups(night.catalog, places)
        sent = deliver(night, of)
        failed = [f for f in night.ledger.unreachable() if any(f["department"] in group for group in of)]
        told = " ".join(f"{f['direction']} of {f['department']}: {f['message']}" for f in failed)
        if any(f["direction"] == "outbox" for f in failed):
            raise StoreError(told)
        if failed:
            raise QiongxinError(told)
        return sent
