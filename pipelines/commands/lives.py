"""Commands about what events and time make of records."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer

from pipelines.commands import screen
from pipelines.commands.account import open_ledger
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, TodayOption, existing
from pipelines.commands.releases import app

LIFE = ("item", "first", "last", "since", "until", "state", "ended_on", "ended_by", "ended_event", "marks",
        "public_from", "public_until", "kept_until", "department", "delivery_id", "line", "sheet")  # fmt: skip
EVENT = ("event_item", "event", "name", "does", "since", "until", "item", "subject_id", "record_key")


@app.command(epilog="Example: qiongxin life --record 0f3a...")
def life(
    record: Annotated[str, typer.Option("--record", metavar="KEY", help="A record_key, 32 hexadecimal digits.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show how a record stood in every release: shared, marked, public until when, or ended, since when and by what.

    Releases in which nothing of it differs stand in one line. `ended_event` is the key of the event's own record, for
    'qiongxin trace --record'. No value of the record is shown.
    """
    from pipelines.life import record_life
    from pipelines.model import Home

    with open_ledger(home) as ledger:
        spans = record_life(Home(existing(home)), ledger, record)
    if as_json:
        screen.as_json_list(spans)
        return
    # What is empty in every line says nothing, and there are many.
    head = [name for name in LIFE if any(s[name] not in (None, "") for s in spans)]
    screen.table(head, [[s[name] for name in head] for s in spans])


@app.command(epilog="Example: qiongxin events --waiting")
def events(
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that found no record yet.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show the events of the current release and the records they are about, and the listings that keep a record.

    An event that names a record nobody has delivered waits and is tried again every night; a wrong document number or
    item waits for ever, so look at --waiting.
    """
    from pipelines.life import events as told
    from pipelines.model import Home
    from schemas.life import KEEPS

    with open_ledger(home) as ledger:
        found: list[dict[str, Any]] = list(told(Home(existing(home)), ledger, waiting))
    if as_json:
        screen.as_json_list(found)
    else:
        screen.table(EVENT, [[e[name] for name in EVENT] for e in found])
        print(f"{sum(e['record_key'] is None and e['does'] != KEEPS for e in found):,} waiting for a record")


@app.command(epilog="Example: qiongxin deadlines --date 2026-11-22")
def deadlines(
    all_open: Annotated[bool, typer.Option("--all", help="Also what is not due yet.")] = False,
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what is overdue about events: complaints and objections to answer, revoked records to withdraw.

    Limits are policy (catalog/policy/lifecycle.toml), days those of catalog/calendar. A revoked record is shared no
    more from the night that learns of it; its department has to withdraw it as well.
    """
    from pipelines.deadlines import owed
    from pipelines.model import Home

    on = day or date.today()
    with open_ledger(home) as ledger:
        found = [o for o in owed(Home(existing(home)), ledger, on) if all_open or o.due < on]
    if as_json:
        screen.as_json_list(o.as_dict() for o in found)
        return
    head = ("department", "item", "record_key", "what", "since", "due", "working days late")
    screen.table(head, [[o.department, o.item, o.record_key, f"{o.zh} {o.en}", o.since, o.due, o.working_days]
                        for o in found])  # fmt: skip
    print(f"{len(found):,} open" if all_open else f"{len(found):,} overdue on {on}")


__all__ = ["app"]
