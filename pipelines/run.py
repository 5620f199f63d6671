"""The journey in order. Each function takes and returns keys, never rows, so a scheduler or a loop may call it.

`nightly` is the loop; `dags/nightly.py` is the scheduler. Both follow `ORDER`, and a test holds them to it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.errors import DeliveryError, StoreError
from pipelines.model import ACCOUNT, Home
from pipelines.readers import Decoded, decode, empty, normalise_header
from pipelines.stages import curate, gate, load, receive, report, validate
from pipelines.stages.dedupe import Full, Incoming
from pipelines.stages.receipt import Receipt, write_receipt
from pipelines.stages.validate import Fault
from pipelines.stores import postgres
from pipelines.stores.keys import Keys, open_keys
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from schemas import load as catalogue
from schemas import profile, suite
from schemas.model import Catalog, Item
from schemas.row_rules import Policy
from schemas.tables import subjects, warehouse

ORDER = ("receive", "check", "integrate", "gate", "load", "receipts")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Night:
    """Everything a stage is handed: the home, the catalogue, the stores, the as-of date."""

    home: Home
    catalog: Catalog
    ledger: Ledger
    lake: Lake
    keys: Keys
    as_of: date

    @property
    def policy(self) -> Policy:
        year = 1850 if self.home.is_sample else self.limit("minimum_birth_year")
        return Policy(minimum_birth_year=year, adult_age=self.limit("adult_age"))

    def limit(self, name: str) -> Any:
        """The value of a dated policy in force on the as-of date."""
        return catalogue.effective(self.catalog, name, self.as_of)


@contextmanager
def open_night(home: str | Path, day: str | date) -> Iterator[Night]:
    """Load the catalogue, start or find the database, prepare the stores. Raises `StoreError`, `CatalogError`."""
    place = Home(Path(home).resolve())
    as_of = day if isinstance(day, date) else date.fromisoformat(day)
    place.root.mkdir(parents=True, exist_ok=True)
    place.make_restricted()
    catalog = catalogue.load()
    url = postgres.ensure(place.root)
    with Ledger(url) as ledger:
        ledger.prepare([warehouse(catalog.items.values())], subjects(catalog.items.values()))
        try:
            lake = Lake(url, place.root / "curated")
        except OSError as e:
            raise StoreError(f"curated/: {e.strerror}. Make the place writable, then run again.") from e
        yield Night(place, catalog, ledger, lake, open_keys(place.root), as_of)


def take(night: Night) -> receive.Received:
    """Look at the inboxes and take what is finished."""
    known = {d.code: d.items for d in night.catalog.departments.values()}
    pause = float(os.environ.get("QIONGXIN_LOOK_SECONDS", "5"))
    return receive.receive(night.home, night.ledger, known, night.as_of, pause)


def unchecked(night: Night) -> list[str]:
    """Deliveries to check: the new ones, and held ones that a person has decided to let pass (policy let_pass)."""
    let_pass = set(night.limit("let_pass"))
    rows = night.ledger.deliveries("received", "held")
    return [r["delivery_id"] for r in rows if r["state"] == "received" or r["delivery_id"] in let_pass]


def check_delivery(night: Night, delivery_id: str) -> str:
    """decode, validate, identify and the checked receipt of one delivery; returns its state."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    if row["state"] not in ("received", "checked", "held"):
        return str(row["state"])
    item = night.catalog.items[row["item"]]
    zero = dict.fromkeys(ACCOUNT, 0)
    try:
        if row["declared_rows"] == -1:
            raise DeliveryError(
                "F014",
                "文件内容与清单中的 SHA-256 不一致，可能没有传完。请重新上传文件和清单。",
                "The content differs from the manifest's SHA-256; the upload may be incomplete. Send both again.",
            )
        decoded = _decode(night, row)
        faults = [*(Fault(f.code, f.line, f.sheet) for f in decoded.faults), *_about_the_file(item, decoded)]
        result = validate.validate(
            night.home, delivery_id, item, night.catalog, night.policy, night.as_of, night.keys, faults,
            row["file"],
        )  # fmt: skip
    except DeliveryError as e:
        night.ledger.update(
            delivery_id, state="returned", message_code=e.code, message_zh=e.message_zh, message_en=e.message_en,
            revision=night.catalog.revision, read=0, **zero,
        )  # fmt: skip
        _receipt(night, delivery_id, "checked")
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
        revision=night.catalog.revision, read=decoded.read, file=result.file, **account,
        # A row that was not taken may be about any record: its delivery says nothing by leaving a record out.
        is_complete=decoded.read == result.accepted,
    )  # fmt: skip
    _receipt(night, delivery_id, "checked")
    return state


def _about_the_file(item: Item, decoded: Decoded) -> list[Fault]:
    """What is to be said of the file as a whole. Raises `DeliveryError` F012 where a required column is missing."""
    if decoded.read == 0:
        return [Fault("F003", None)]
    missing = [f.label_zh for f in item.fields if f.required and f.name not in decoded.columns]
    if missing:
        named = "、".join(missing)
        raise DeliveryError(
            "F012",
            f"文件缺少必填的列：{named}。请补上后重新报送整个文件。",
            f"Required columns are missing: {named}. Add them and send the whole file again.",
        )
    return [Fault("F005", None, value=header) for header in decoded.unknown_headers]


def _decode(night: Night, row: dict[str, Any]) -> Decoded:
    if row["is_nil"] and row["size"] == 0:  # a declared nil return need not even have a header
        return empty(night.home.staged(row["delivery_id"]))
    item = night.catalog.items[row["item"]]
    known = catalogue.headers(catalogue.CATALOG, item, row["department"])
    fields = {normalise_header(header): field for header, field in known.items()}
    return decode(night.home.raw(row["sha256"]), night.home.staged(row["delivery_id"]), fields, night.home.work)


def pending_items(night: Night) -> list[str]:
    """Items with checked deliveries that no release holds yet."""
    return sorted({str(r["item"]) for r in night.ledger.deliveries("checked")})


def integrate_item(night: Night, code: str) -> str:
    """dedupe and curate one item, and stage its records for the gate; returns candidate, or none."""
    rows = night.ledger.deliveries("checked", item=code)
    incoming = [
        Incoming(
            delivery_id=r["delivery_id"],
            department=r["department"],
            period=r["period"].isoformat(),
            sequence=r["sequence"],
            accepted=str(night.home.accepted(r["delivery_id"])),
            is_full=r["mode"] == "full" and r["is_complete"],
        )
        for r in rows
    ]
    if not incoming:
        return "none"
    item = night.catalog.items[code]
    release = night.ledger.current_release()
    base = night.ledger.snapshots(release["release_id"] if release else None).get(code, (None, None))
    fulls = [
        Full(r["department"], r["period"].isoformat(), r["sequence"])
        for r in night.ledger.deliveries("released", item=code)
        if r["mode"] == "full" and r["is_complete"]
    ]
    earliest = night.limit("earliest_event_date")
    figures = [s.sql("duckdb") for s in profile.selects(item, night.catalog.code_sets, earliest, night.as_of)]
    candidate = curate.curate(
        night.home, night.lake, item, incoming, base, night.catalog.revision, night.as_of, fulls, figures
    )
    load.stage(night.home, night.ledger, item, candidate, night.keys)
    return "candidate"


def gate_items(night: Night, tell: Progress = lambda text: None) -> dict[str, str]:
    """gate: every waiting candidate; returns item -> passed, failed or could_not_evaluate."""
    candidates = [c for code in pending_items(night) if (c := curate.read_candidate(night.home, code)) is not None]
    limits = suite.limits(night.limit)
    return gate.gate_items(night.ledger, night.catalog, candidates, limits, night.as_of, tell)


def publish_release(night: Night) -> str | None:
    """load: every candidate that passed, as one release."""
    passed = []
    waiting = {r["delivery_id"] for r in night.ledger.deliveries("checked")}
    for code in night.catalog.items:
        candidate = curate.read_candidate(night.home, code)
        if candidate is None:
            continue
        if not waiting.intersection(candidate.deliveries):
            load.forget(night.home, candidate)  # released by a run that was killed before it could put this away
        elif night.ledger.gate_verdict(candidate.candidate) == "passed":
            passed.append(candidate)
    return load.load(
        night.home, night.ledger, night.lake, night.catalog.items, passed, night.catalog.revision, night.as_of,
    )  # fmt: skip


def write_receipts(night: Night, seconds: Mapping[str, float] | None = None) -> int:
    """Final receipts of everything released or returned, and what a held item has to say; returns how many.

    The last step: it also writes the night's report, `reports/<day>/index.html`.
    """
    done = 0
    for row in night.ledger.deliveries("released", "returned", "held", "checked"):
        stage = "checked" if row["state"] == "checked" else "final"
        if row["receipted"] != _told(row, stage) and (stage == "final" or row["message_code"]):
            _receipt(night, row["delivery_id"], stage)
            done += 1
    report.report(night.home, night.ledger, night.catalog, night.as_of, seconds or {})
    return done


def _receipt(night: Night, delivery_id: str, stage: str) -> None:
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
    night.ledger.update(delivery_id, receipted=_told(row, stage))


def _told(row: dict[str, Any], stage: str) -> str:
    """What a receipt says; one that says it already need not be written again, however long the ledger grows."""
    return "/".join([stage, row["state"], row["message_code"], row["release_id"] or ""])


def nightly(home: str | Path, day: str | date, tell: Progress = lambda text: None) -> dict[str, Any]:
    """The whole journey over every finished file now in the inboxes; returns the release and the exit code."""
    seconds: dict[str, float] = {}
    with open_night(home, day) as night:
        with _timed(seconds, "receive"):
            taken = take(night)
        tell(f"receive: {len(taken.deliveries)} new, {len(taken.again)} known already, {len(taken.waiting)} waiting")
        unfinished = unchecked(night)
        for n, delivery_id in enumerate(unfinished, start=1):
            with _timed(seconds, "check"):
                state = check_delivery(night, delivery_id)
            tell(f"check {n}/{len(unfinished)}: {delivery_id} {state}")
        held = [r["delivery_id"] for r in night.ledger.deliveries("held")]
        for code in pending_items(night):
            with _timed(seconds, "integrate"):
                made = integrate_item(night, code)
            tell(f"integrate: {code} {made}")
        with _timed(seconds, "gate"):
            verdicts = gate_items(night, tell)
        held += [code for code, verdict in verdicts.items() if verdict != "passed"]
        with _timed(seconds, "load"):
            release = publish_release(night)
        tell(f"load: release {release or 'none'}")
        tell(f"receipts: {write_receipts(night, seconds)}")
        return {
            "release": release,
            "exit_code": 3 if held else 0,
            "held": held,
            "waiting": list(taken.waiting),
            "strangers": list(taken.strangers),
            "report": str(night.home.report(night.as_of.isoformat())),
        }


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - started


# The same steps by keys alone, for a scheduler that hands on strings.


def receive_all(home: str, day: str) -> list[str]:
    with open_night(home, day) as night:
        take(night)
        return unchecked(night)


def check(home: str, day: str, delivery_id: str) -> str:
    with open_night(home, day) as night:
        return check_delivery(night, delivery_id)


def items(home: str, day: str) -> list[str]:
    with open_night(home, day) as night:
        return pending_items(night)


def integrate(home: str, day: str, item: str) -> str:
    with open_night(home, day) as night:
        return integrate_item(night, item)


def gate_all(home: str, day: str) -> dict[str, str]:
    with open_night(home, day) as night:
        return gate_items(night, print)


def load_release(home: str, day: str) -> str | None:
    with open_night(home, day) as night:
        return publish_release(night)


def receipts(home: str, day: str) -> int:
    with open_night(home, day) as night:
        return write_receipts(night)
