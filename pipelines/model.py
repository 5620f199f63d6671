"""The words of the journey as small frozen records, and where things lie in a home."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, timedelta, timezone
from pathlib import Path
from typing import Any

from pipelines.errors import UsageFault
from schemas.sql import literal as literal  # stores know no schemas

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")  # one hour for all of it, and never summer time
ACCOUNT = ("new", "changed", "unchanged", "duplicate", "superseded", "withdrawn", "rejected", "refused", "held")


# First cells of the tabs that answer a delivery. A workbook that comes back with its corrections holds them still, and
# no reader takes them for data, whatever the values are that they tell of.
SUMMARY_TAB, FINDINGS_TAB = "数据报送回执 Delivery receipt", "业务主键\nown key"
ANSWER_TABS = (SUMMARY_TAB, FINDINGS_TAB)

RESTRICTED = ("raw", "staged", "accepted", "rejected", "findings", "work")


@dataclass(frozen=True)
class Delivery:
    """One file under one department, item, declared period, sequence and mode.

    `manifest` is what its sender states beside that: `stated` keys, `totals`, and what is `unclear` or `ignored` in it
    (stages/manifest.py)."""

    delivery_id: str
    department: str
    item: str
    file: str
    period: date
    sequence: int
    mode: str
    sha256: str
    size: int
    declared_rows: int | None
    is_nil: bool = False
    manifest: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Delivery:
        """What the ledger has entered, as it was registered."""
        return cls(**{f.name: row[f.name] for f in fields(cls)})


def delivery_id(department: str, item: str, period: date, sequence: int, mode: str, sha256: str) -> str:
    """The same tuple is the same delivery, whenever and under whatever file name it arrives."""
    text = "\0".join((department, item, period.isoformat(), str(sequence), mode, sha256))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Home:
    """Places under QIONGXIN_HOME (design.md section 5); paths kept inside are relative to `root`."""

    root: Path

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def is_sample(self) -> bool:
        return (self.root / "sample.json").exists()

    def make_restricted(self) -> None:
        """The places that hold people's values are their owner's alone; departments reach inbox and outbox only."""
        for name in RESTRICTED:
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
            (self.root / name).chmod(0o700)  # whoever unpacked or copied the home may have opened them

    def raw(self, sha256: str) -> Path:
        return self.root / "raw" / sha256[:2] / sha256

    def staged(self, delivery: str) -> Path:
        return self.root / "staged" / f"{delivery}.parquet"

    def accepted(self, delivery: str) -> Path:
        return self.root / "accepted" / f"{delivery}.parquet"

    def rejected(self, delivery: str) -> Path:
        return self.root / "rejected" / f"{delivery}.parquet"

    def findings(self, delivery: str) -> Path:
        return self.root / "findings" / f"{delivery}.parquet"

    def verdicts(self, delivery: str) -> Path:
        return self.root / "findings" / f"{delivery}.verdicts.parquet"

    def no_record(self, delivery: str) -> Path:
        """The rows of a delivery of events that are about no record yet (pipelines/parked.py)."""
        return self.root / "findings" / f"{delivery}.no_record.parquet"

    def strayed(self, delivery: str) -> Path:
        """The rows of a delivery that move a case against its states (pipelines/strays.py)."""
        return self.root / "findings" / f"{delivery}.strayed.parquet"

    def again(self, delivery: str, what: str) -> Path:
        """What judging a released delivery again gave, until it is released: accepted, rejected or findings in their
        places, moves and verdicts beside the findings."""
        folder = what if what in ("accepted", "rejected") else "findings"
        return self.root / folder / f"{delivery}.again{'' if what in RESTRICTED else '.' + what}.parquet"

    def candidate(self, item: str) -> Path:
        return self.root / "work" / "candidates" / f"{item}.json"

    @property
    def events(self) -> Path:
        """What the events of the night say of records (stages/events.py)."""
        return self.root / "work" / "events.parquet"

    def report(self, day: str) -> Path:
        return self.root / "reports" / day / "index.html"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def compiled(self, key: str) -> Path:
        """What was compiled of the catalogue, by what it is made of."""
        return self.root / "compiled" / f"{key}.json"


def memory_limit() -> str:
    """What one engine may take before it spills. With the interpreter and the libraries a night is below two gigabytes
    then. Raises `UsageFault`."""
    said = os.environ.get("QIONGXIN_MEMORY_LIMIT") or "1400MB"
    if not re.fullmatch(r"[0-9]+(?:[.][0-9]+)? ?[KMGT]i?B", said, re.IGNORECASE):
        raise UsageFault(f"QIONGXIN_MEMORY_LIMIT: {said!r} is no amount of memory. Write it like 1500MB or 16GB.")
    return said


def setting(name: str, default: float) -> float:
    """A number, nought or more, that the environment may set. Raises `UsageFault`."""
    said = os.environ.get(name)
    try:
        value = float(said) if said else default
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageFault(f"{name}: {said!r} is no number that it can be. Write it like {default:g}.")
    return value


# Files from one stage to the next. Small row groups stay in the processor's cache while they are written.
PASSING_ON = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 30000"


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: a neighbour first, synced, then renamed over `path`. Several may
    write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{threading.get_native_id()}.{os.getpid()}.part")
    try:
        write(part)
        with part.open("rb") as f:
            os.fsync(f.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sweep_parts(home: Home) -> int:
    """Remove what a killed process was writing, files and folders named `….<process id>.part`; returns how many."""
    gone = 0
    for place in (*RESTRICTED, "outbox", "reports", "compiled"):
        for path in (home.root / place).rglob("*.part"):
            pid = path.name.rsplit(".", 2)[-2]
            if not pid.isdigit() or Path(f"/proc/{pid}").exists():
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            gone += 1
    return gone


def publish_json(path: Path, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str)
    publish(path, lambda part: part.write_text(text, encoding="utf-8"))


def as_dict(delivery: Delivery) -> dict[str, Any]:
    return asdict(delivery)
