"""A home and its nights, for tests that look at what comes of one night after the other."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import schemas.load
from pipelines import run
from pipelines.cli import main
from pipelines.judge import Desk
from pipelines.model import ACCOUNT
from pipelines.query import query
from pipelines.stores import reversals, waiting
from pipelines.stores.ledger import Ledger
from schemas.load import CATALOG
from tests.conftest import SOAK, every_row
from tests.dirty_files import number
from tests.test_kills import litter

DAY = date(2026, 11, 22)


def begin(place: Path, url: str, patch: pytest.MonkeyPatch, **more: Any) -> Home:
    """A new sample home at `place`, with a key that tests know; `more` is what else a `Home` takes."""
    place.mkdir()
    (place / "sample.json").write_text("{}")
    (place / "pseudonym.key").write_bytes(bytes(range(64)))
    return Home(place, url, patch, **more)


def limited(patch: pytest.MonkeyPatch, **values: Any) -> None:
    """Let policies have other values."""
    real = Desk.limit
    patch.setattr(Desk, "limit", lambda desk, name: values[name] if name in values else real(desk, name))


Sent = str | tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str]  # content, manifest, sender


@dataclass
class Home:
    """A home and the catalogue that its nights follow; what comes in is of one item, and of one sender by default."""

    place: Path
    url: str
    patch: pytest.MonkeyPatch
    catalog: Path = CATALOG
    item: str = "honour"
    sender: str = "civilization_office"

    def send(self, **files: Sent) -> None:
        for file, sent in files.items():
            content, manifest, sender = (*sent, self.sender)[:3] if isinstance(sent, tuple) else (sent, {}, self.sender)
            inbox = self.place / "inbox" / sender / self.item
            inbox.mkdir(parents=True, exist_ok=True)
            (inbox / f"{file}.csv").write_text(content, encoding="utf-8")
            (inbox / f"{file}.csv.manifest.json").write_text(json.dumps(manifest))

    def night(self, n: int, **files: Sent) -> dict[str, Any]:
        """Night `n` after these files came in; the ledger's rows by file name."""
        self.send(**files)
        with self.told():
            run.nightly(self.place, DAY + timedelta(n), print)
        if SOAK or n % 2:  # to look for it takes an eighth of such a night
            assert (left := litter(self.place, self.url)) == [], left
        return self.deliveries()

    def told(self) -> Any:
        self.patch.setenv("QIONGXIN_DATABASE_URL", self.url)
        self.patch.setenv("QIONGXIN_LOOK_SECONDS", "0")
        self.patch.setattr(schemas.load, "CATALOG", self.catalog)
        return Ledger(self.url)

    def deliveries(self) -> dict[str, Any]:
        """Every account balances, and counts as rejected or held what waits row by row."""
        with self.told() as ledger:
            rows = ledger.deliveries()
            for r in rows:
                assert r["read"] == sum(r[k] for k in ACCOUNT)
                if r["state"] == "released":
                    waits = waiting.open_rows(ledger, delivery_id=r["delivery_id"]).num_rows
                    is_void = reversals.of(ledger, r["delivery_id"]) is not None
                    assert (0 if is_void else r["rejected"] + r["held"]) == waits, r["file"]
            return {r["file"].removesuffix(".csv"): r for r in rows}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        self.told().close()
        return query(self.place, sql, None)[1]

    def receipt(self, row: dict[str, Any]) -> dict[str, Any]:
        path = self.place / "outbox" / row["department"] / f"{row['delivery_id']}.receipt.json"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def command(self, *arguments: str) -> tuple[int, str]:
        """Exit code and standard output of `qiongxin` in this home."""
        self.told().close()
        seen = io.StringIO()
        with redirect_stdout(seen), pytest.raises(SystemExit) as ended:
            main([*arguments, "--home", str(self.place)])
        return int(ended.value.code or 0), seen.getvalue()

    def trace(self, *options: str) -> Any:
        code, seen = self.command("trace", *options, "--json")
        assert code == 0
        assert number(2)[:14] not in seen and "荣誉" not in seen
        return json.loads(seen)

    def everything(self) -> tuple[Any, ...]:
        """Every row of the database with the transaction that wrote it, and every file of the home."""
        rows = every_row(self.url, "xmin::text, t::text", "1, 2")
        kept = [p for p in self.place.rglob("*") if p.is_file() and not {"compiled", "reports"} & {*p.parts}]
        return rows, {p: p.read_bytes() for p in kept}
