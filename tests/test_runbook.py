"""The runbook is true: each alert has its page, the commands on it are there, and what it says ends the alert."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

from pipelines import alerts, notify, stack, steps
from pipelines.alerts import CHINA, KINDS
from pipelines.cli import app
from pipelines.commands.manual import leaves
from schemas.load import CATALOG
from tests.conftest import ROOT
from tests.dirty_files import honour, table
from tests.nights import DAY, Home, begin

COMMANDS = dict(leaves(get_command(app)))
TAX, PENALTY = "tax_service", ("public_security", "traffic_penalty")
BY = ("--by", "Wang", "--reason", "announced")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_each_alert_has_its_page() -> None:
    heads = {head.partition(":")[0] for head in re.findall(r"^### (.*)$", page("runbook.md"), re.MULTILINE)}
    assert {name for _, name, *_ in KINDS.values()} <= heads, "docs/runbook.md: write a page for the alert"


@pytest.mark.parametrize("name", ["runbook.md", "operations.md"])
def test_the_commands_on_a_page_are_there(name: str) -> None:
    shown = re.findall(r"`(qiongxin [^`]+)`|^(qiongxin [^#\n]+)", page(name), re.MULTILINE)
    for line in (" ".join("".join(s).split()) for s in shown):
        words = line.split()
        found = next((COMMANDS[p] for n in (3, 2) if (p := " ".join(words[:n])) in COMMANDS), None)
        assert found, f"docs/{name}: there is no '{line}'"
        known = {o for p in found.params for o in (*p.opts, *p.secondary_opts)}
        assert {w for w in words if w.startswith("--")} <= known, f"docs/{name}: '{line}' has no such option"


def test_the_journey_is_of_dags_that_are_there() -> None:
    assert set(alerts.JOURNEY) - {"nightly"} <= set(stack.DAILY)


class Desk:
    """Who is called at night: sees alerts and types what they, or their pages, say."""

    def __init__(self, home: Home, patch: pytest.MonkeyPatch) -> None:
        self.home, self.free = home, 50
        patch.setattr(alerts.shutil, "disk_usage", lambda _: SimpleNamespace(total=100, free=self.free))

    def seen(self, days: float | None = None) -> dict[str, list[dict[str, Any]]]:
        """By kind, so many days after the night of DAY was over; else two days from now, when a file that was put there
        just now is an old one."""
        over = datetime.combine(DAY + timedelta(1), time(7), CHINA)
        moment = datetime.now(CHINA) + timedelta(2) if days is None else over + timedelta(days)
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for alert in json.loads(self.type(f"qiongxin alerts --json --now {moment.isoformat()}")):
            found[alert["kind"]].append(alert)
        return found

    def type(self, line: str, *more: str, ends: int = 0) -> str:
        code, said = self.home.command(*line.split()[1:], *more)
        assert code == ends, f"{line} {more}: {code}"
        return said


def test_what_the_pages_say_ends_the_alerts(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nights: what went wrong in the first, and what it left, is over after the second, but what is held."""
    exchange = tmp_path / "exchange"
    catalog = shutil.copytree(CATALOG, tmp_path / "catalog")
    with (catalog / "departments" / f"{TAX}.toml").open("a") as file:
        file.write(f'\n[inbox]\nurl = "file://{exchange}"\n')
    home = begin(tmp_path / "home", applied(), monkeypatch, catalog=catalog)
    desk, day = Desk(home, monkeypatch), ("--date", DAY.isoformat())

    assert len(desk.seen(0)["nothing_arrived"]) == 1
    assert "not running" in desk.type("qiongxin stack status", ends=3)
    desk.type("qiongxin obligations")

    # A night with which something is wrong everywhere
    ahead = (DAY + timedelta(300)).isoformat()
    home.night(
        0, good=table(honour(1)), ahead=(table(honour(2)), {"period": ahead, "sequence": 2}),
        short=(table(honour(3)), {"rows": 7, "sequence": 3}), wrong=(table(honour(9)), {"rows": 7, "sequence": 4}),
    )  # fmt: skip
    home.send(stuck=(table(honour(4)), {"sequence": 5}))
    with home.told():
        steps.receive(str(home.place), DAY.isoformat())
    for path in (p for p in (home.place / "raw").rglob("*") if p.is_file()):
        os.utime(path, (datetime.combine(DAY, time(12), CHINA).timestamp(),) * 2)  # it came on that day
    part = home.place / "inbox" / home.sender / home.item / "late.csv.part"
    part.write_text(table(honour(5)))
    for n in range(2):
        notify.failed(home.place, f"integrate {DAY + timedelta(n)}", "StoreError", "raw/: no room. Make some.")
    desk.free = 1

    # Each of its alerts, what it says to type next, and what its page says
    found, (lies,) = desk.seen(3), [a for a in desk.seen()["stuck"] if not a["delivery_id"]]
    owed = [a for a in found[alerts.MISSED] if (a["department"], a["item"]) == PENALTY]
    for alert in (*(a for kind in found if kind != alerts.MISSED for a in found[kind]), owed[0], lies):
        if "nightly" not in alert["command"]:
            desk.type(alert["command"])
    assert [a["department"] for a in found["unreachable"]] == [TAX] and TAX in desk.type("qiongxin status")
    exchange.mkdir()
    keys = {h["key"]: h["code"] for h in json.loads(desk.type("qiongxin held --json"))}
    assert [*keys.values()].count("F011") == 2 and {a["code"] for a in found["held"]} == {"H010", "F011"}
    of = {name: row["delivery_id"] for name, row in home.deliveries().items()}
    desk.type("qiongxin approve --key", of["ahead"], *BY, *day)
    desk.type("qiongxin reject --key", of["wrong"], *BY, *day)
    home.send(short2=(table(honour(3)), {"rows": 1, "sequence": 6}))
    assert [a["delivery_id"] for a in found["stuck"]] == [of["stuck"]]
    assert "received" in desk.type("qiongxin status --delivery", of["stuck"])
    assert (lies["department"], lies["item"]) == (home.sender, home.item)
    part.rename(part.with_suffix(""))
    part.with_suffix(".done").touch()
    assert (len(found["failed"]), len(found["no_release"]), len(found["disk"])) == (2, 1, 1)
    desk.type("qiongxin sweep --apply")
    desk.free = 50
    assert " … ".join(owed[0]["period"].split("/")) in desk.type(owed[0]["command"], "--all")
    nothing(home.place / "inbox" / "/".join(PENALTY), date.fromisoformat(owed[0]["period"][:10]))

    # The second night
    desk.type("qiongxin nightly --jobs 1", *day, ends=3)
    found = desk.seen(3)
    assert [found[kind] for kind in ("unreachable", "stuck", "no_release", "disk")] == [[]] * 4
    assert [a for a in desk.seen()["stuck"] if not a["delivery_id"]] == []
    assert owed[0] not in found[alerts.MISSED] and owed[1] in found[alerts.MISSED]
    assert [a["key"] for a in found["failed"]] == [f"failed/integrate {DAY + timedelta(1)}"]

    # What a corrected file corrects nobody can tell: the wrong one waits on.
    assert [a["delivery_id"] for a in found["held"]] == [of["short"]]
    states = {name: row["state"] for name, row in home.deliveries().items()}
    assert (states.pop("short"), states.pop("wrong"), *{*states.values()}) == ("held", "returned", "released")
    desk.type("qiongxin reject --key", of["short"], *BY, *day)
    desk.type(f"qiongxin nightly --date {DAY + timedelta(1)}")
    found = desk.seen(0)
    assert found["held"] == found["failed"] == found["nothing_arrived"] == []


def nothing(inbox: Path, period: date) -> None:
    """A department says that it has nothing of a period."""
    inbox.mkdir(parents=True)
    (inbox / "nil.csv").touch()
    (inbox / "nil.csv.manifest.json").write_text(json.dumps({"period": period.isoformat(), "nil": True}))
