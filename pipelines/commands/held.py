"""Commands about what waits for a person, and what people decide of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import named_server, open_ledger
from pipelines.commands.lives import app as app
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, TodayOption, as_day, existing
from pipelines.errors import UsageFault

HELD = ("key", "item", "department", "periods", "code", "message_en", "figures")
DECISION = ("number", "does", "item", "delivery_id", "department", "codes", "made_on", "made_by", "reason", "until")

KeyOption = Annotated[str, typer.Option("--key", metavar="KEY", help="As 'held' shows it; its first letters do.")]
ByOption = Annotated[str, typer.Option("--by", metavar="WHO", help="Who decides it.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="WHY", help="Why; the department reads it. Write no name and no number.")
]
UntilOption = Annotated[date, typer.Option("--until", parser=as_day, metavar="DATE", help="The last day it holds.")]


@app.command(epilog="Example: qiongxin held")
def held(day: TodayOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show what waits for a person, with the figures that held it."""
    from pipelines import decisions
    from pipelines.night import open_night

    place = existing(home)
    with named_server(place), open_night(place, day or date.today(), is_preview=True) as night:
        found = [h.as_dict() for h in decisions.held(night)]
    if as_json:
        screen.as_json_list(found)
    elif found:
        for h in found:
            h["periods"] = ", ".join(p.isoformat() for p in h["periods"])
            h["figures"] = ", ".join(f"{n} {v}" for n, v in h["figures"].items())
        screen.table(HELD, [[h[n] for n in HELD] for h in found])
        print("decide: qiongxin approve|reject|waive --key KEY --by WHO --reason WHY")
    else:
        print("nothing is held")


@app.command(epilog="Example: qiongxin approve --key 3681ad5e --by 'Wang, data desk' --reason 'the census year'")
def approve(
    key: KeyOption, by: ByOption, reason: ReasonOption, day: TodayOption = None, home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Let what is held pass this once; the next night publishes it."""
    _decide("approve", key, by, reason, None, day, home, as_json)


@app.command(epilog="Example: qiongxin reject --key 3681ad5e --by 'Wang, data desk' --reason 'the wrong export'")
def reject(
    key: KeyOption, by: ByOption, reason: ReasonOption, day: TodayOption = None, home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Send what is held back to its department, with the reason.

    Of a held item all deliveries go back that wait in it.
    """
    _decide("reject", key, by, reason, None, day, home, as_json)


@app.command(epilog="Example: qiongxin waive --key 3681ad5e --until 2026-12-31 --by 'Wang' --reason 'tax campaign'")
def waive(
    key: KeyOption, until: UntilOption, by: ByOption, reason: ReasonOption, day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Let pass what holds it until a day, for this department and item, or for this item.

    What is let pass says so in receipt, status and report.
    """
    _decide("waive", key, by, reason, until, day, home, as_json)


@app.command("decisions", epilog="Example: qiongxin decisions")
def list_decisions(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show what was decided of held deliveries and items, by whom, why and until when."""
    from pipelines.stores import decisions

    with open_ledger(home) as ledger:
        found = decisions.known(ledger)
    if as_json:
        screen.as_json_list(found)
    else:
        screen.table(DECISION, [[", ".join(d[n]) if n == "codes" else d[n] for n in DECISION] for d in found])


def _decide(
    does: str, key: str, by: str, reason: str, until: date | None, day: date | None, home: Path,
    as_json: bool,
) -> None:  # fmt: skip
    from pipelines import decisions
    from pipelines.night import open_night

    if not key.strip():
        raise UsageFault(f"{does}: name what is held with --key. See 'qiongxin held'.")
    place = existing(home)
    with named_server(place), open_night(place, day or date.today()) as night:
        of = decisions.find(night, key.strip())
        number = decisions.decide(night, of, does, by, reason, until)
    if as_json:
        screen.as_json({"number": number, "does": does, **of.as_dict()})
        return
    print(f"decision {number}: {does} {of.key}")
    print("returned, with its receipt" if does == "reject" else "the next night publishes it")
