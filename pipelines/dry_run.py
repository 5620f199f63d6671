"""A department's own dry run of one file: judged as a night would judge it, with no database, no key and no trace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from secrets import token_bytes
from typing import Any

from pipelines.answer import answering
from pipelines.errors import DeliveryError
from pipelines.judge import Asked, Desk, judge
from pipelines.model import Home, publish
from pipelines.stages.manifest import Manifest, described
from pipelines.stages.receipt import Answer, Receipt, as_json, document, write_findings
from pipelines.stages.sentences import Rendered, rendered, tally
from pipelines.stores.keys import Keys
from schemas.model import Catalog

BLOCK = 1 << 22
STEPS = 20
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Tried:
    """What came of it. `first` are as many findings as were asked for, without the values of identifying fields."""

    document: dict[str, Any]
    first: list[dict[str, Any]]
    total: int
    is_clean: bool
    workbook: Path
    listing: Path


def dry_run(
    file: Path, out: Path, home: Home, catalog: Catalog, department: str, item: str, manifest: Manifest,
    as_of: date, most: int, tell: Tell,
) -> Tried:  # fmt: skip
    """Judge `file` in the new, empty home `home`, which the caller throws away; write `<file>.findings.xlsx` and, for
    machines, `<file>.findings.json` into `out`. `department` is '' where the words of the catalogue alone count.

    What a night compares with other deliveries (duplicates, history, volume) is not looked at.
    """
    home.make_restricted()
    desk = Desk(home, catalog, Keys(token_bytes(64)), as_of)
    size = file.stat().st_size
    sha256 = _hashed(file, size, tell)
    delivery = described(department, item, file.name, size, sha256, manifest, as_of)
    tell("decode: reading rows")
    state, messages = "checked", ("", "")
    account = dict.fromkeys(("read", "accepted", "rejected", "refused", "held"), 0)
    try:
        judged = judge(desk, Asked(delivery, file), _counted(tell, "judge", "rows"))
    except DeliveryError as e:
        state, messages = "returned", (e.message_zh, e.message_en)
    else:
        account |= {"read": judged.read, **judged.account}
        if judged.reasons:
            state = "held"
            messages = "".join(r[1] for r in judged.reasons), " ".join(r[2] for r in judged.reasons)
    known = catalog.departments.get(department)
    receipt = Receipt(
        delivery_id=delivery.delivery_id, department=department, department_zh=known.name_zh if known else "",
        item=item, item_zh=catalog.items[item].name_zh, file=file.name, period=delivery.period.isoformat(),
        sequence=delivery.sequence, mode=delivery.mode, state=state, stage="trial", as_of=as_of.isoformat(),
        revision=catalog.revision, account=account, message_zh=messages[0], message_en=messages[1],
    )  # fmt: skip
    row = {"delivery_id": delivery.delivery_id, "state": state, "department": department, "item": item}
    with answering(desk, {**row, "period": delivery.period}) as answer:
        counted = tally(answer.told.findings, catalog.findings)
        told = document(receipt, counted)
        tell(f"write: {counted.total:,} findings")
        out.mkdir(parents=True, exist_ok=True)
        workbook, listing = (out / f"{file.name}.findings.{ending}" for ending in ("xlsx", "json"))
        parking = home.work
        publish(workbook, partial(write_findings, parking=parking, receipt=receipt, counted=counted, answer=answer))
        publish(listing, partial(_list, told=told, answer=answer))
        hidden = {f.name for f in catalog.items[item].identifying_fields}
        shown = rendered(answer.told.findings, catalog.findings, answer.expected, hidden)
        first = [as_json(r) for r in islice(shown, most)]
    is_clean = state == "checked" and counted.severities.isdisjoint(("error", "hold"))
    return Tried(told, first, counted.total, is_clean, workbook, listing)


def _counted(tell: Tell, verb: str, unit: str) -> Callable[[int, int], None]:
    """Tells how many are done of how many, not more often than a bar shows it."""
    last = -1

    def told(done: int, total: int) -> None:
        nonlocal last
        if (step := done * STEPS // max(total, 1)) != last:
            last = step
            tell(f"{verb} {done:,}/{total:,} {unit}")

    return told


def _hashed(file: Path, size: int, tell: Tell) -> str:
    digest, done, counted = hashlib.sha256(), 0, _counted(tell, "read", "bytes")
    with file.open("rb") as f:
        while block := f.read(BLOCK):
            digest.update(block)
            done += len(block)
            if size > BLOCK:
                counted(done, size)
    return digest.hexdigest()


def _list(target: Path, told: dict[str, Any], answer: Answer) -> None:
    """The receipt with every finding in `all_findings`, written as they come."""
    with target.open("w", encoding="utf-8") as f:
        f.write(json.dumps(told, ensure_ascii=False, indent=1, default=str).removesuffix("\n}"))
        f.write(',\n "all_findings": [')
        lead = "\n  "
        for r in answer.sentences():
            f.write(lead + json.dumps(_each(r), ensure_ascii=False))
            lead = ",\n  "
        f.write("\n ]\n}\n")


def _each(r: Rendered) -> dict[str, Any]:
    return {**as_json(r), "label": r.label, "own_key": r.own_key, "expected": r.expected, "echo": r.echo}


def lines(tried: Tried) -> Iterator[str]:
    """What the screen says of the file as a whole."""
    account = tried.document["account"]
    yield f"{tried.document['state']}: " + ", ".join(f"{name} {count:,}" for name, count in account.items())
    for language in ("zh", "en"):
        if tried.document[f"message_{language}"]:
            yield tried.document[f"message_{language}"]
    yield tried.document["next_step_zh"]
    yield tried.document["next_step_en"]
