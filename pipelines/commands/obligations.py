"""`qiongxin obligations`: who owes what by when, from the catalogue and what the ledger says has come."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import OBLIGATION, has_ledger, open_ledger
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, TodayOption
from pipelines.errors import UsageFault
from schemas import in_force


def obligations(
    day: TodayOption = None,
    department: Annotated[str | None, typer.Option(metavar="D", help="Only those of this department.")] = None,
    all_periods: Annotated[bool, typer.Option("--all", help="Every period of the window, delivered ones too.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show which department owes which item by when.

    Of each department and item the oldest period that is overdue, else the one that is due; delayed days are working
    days of the catalogue's calendar.
    """
    from pipelines.stages import obligations as stage
    from schemas.load import effective, load

    catalog, as_of = load(), day or date.today()
    if department is not None and department not in catalog.departments:
        raise UsageFault(f"--department {department}: no such department. See 'qiongxin catalog list'.")
    rows = []
    if has_ledger(home):
        with open_ledger(home) as ledger:
            rows = ledger.deliveries()
    within = in_force.read(stage.Limits, lambda name: effective(catalog, name, as_of))
    found = stage.obligations(catalog, rows, within, as_of)
    unknown = stage.unknown_years(catalog, found)
    chosen = [o for o in (found if all_periods else stage.next_owed(found)) if department in (None, o.department)]
    if unknown:
        screen.remark(f"calendar: no holidays are known of {', '.join(map(str, unknown))}; only weekends are left out")
    if as_json:
        screen.as_json_list({name: getattr(o, name) for name in OBLIGATION} for o in chosen)
        return
    head = ("department", "item", "period", "due", "state", "working days")
    screen.table(
        head,
        [
            (o.department, o.item, f"{o.period_from} … {o.period_to}", str(o.due), o.state, o.working_days or None)
            for o in sorted(chosen, key=lambda o: (stage.STATES.index(o.state), o.due))
        ],
    )
