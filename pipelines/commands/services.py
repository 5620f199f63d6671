"""`qiongxin db` and `qiongxin stack`: the embedded PostgreSQL and the local Airflow of a home."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import (
    as_status,
    numbers_missing,
    open_ledger,
    show_account,
    show_places,
)
from pipelines.commands.options import DEFAULT_HOME, PLAIN, DayOption, HomeOption, JsonOption, as_day, existing
from pipelines.errors import UsageFault

db_app = typer.Typer(**PLAIN, help="The embedded PostgreSQL of this home.")
stack_app = typer.Typer(**PLAIN, help="The local Airflow of this home.")


@db_app.command("up", epilog="Example: qiongxin db up")
def db_up(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Start PostgreSQL, or find it running."""
    from pipelines.stores import postgres

    postgres.ensure(home.resolve())
    _say("database", "up", as_json)


@db_app.command("down", epilog="Example: qiongxin db down")
def db_down(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Stop PostgreSQL."""
    from pipelines.stores import postgres

    _say("database", "stopped" if postgres.down(existing(home)) else "was not running", as_json)


@db_app.command("url", epilog="Example: qiongxin db url")
def db_url(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Print the address (it holds the password)."""
    from pipelines.stores import postgres

    address = postgres.url(existing(home))
    if as_json:
        screen.as_json({"url": address})
    else:
        print(address)


@stack_app.command("up", epilog="Example: qiongxin stack up")
def stack_up(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Start Airflow on loopback.

    Scheduler, dag-processor, triggerer and api-server; the database as well, if it does not run.
    """
    from pipelines import stack

    with screen.progress(as_json) as tell:
        url = stack.up(home.resolve(), tell)["url"]
    if as_json:
        screen.as_json({"url": url, "user": "admin", "password_in": f"{home}/airflow/stack.json"})
    else:
        print(f"airflow: {url}, user admin, password in {home}/airflow/stack.json")


@stack_app.command("run", epilog="Example: qiongxin stack run --date 2026-11-22")
def stack_run(day: DayOption, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Run the DAG `nightly` on the running Airflow.

    Waits for its end and prints the row account.
    """
    from pipelines import stack

    with screen.progress(as_json) as tell:
        state = stack.run_nightly(existing(home), day.isoformat(), tell)
    with open_ledger(home) as ledger:
        rows = ledger.deliveries()
    missing = numbers_missing(rows)
    if as_json:
        screen.as_json({"state": state, "deliveries": [as_status(r, missing) for r in rows]})
    else:
        show_account(rows, missing)
        show_places(home, day)
        print(f"airflow: nightly {day} {state}")
    if state != "success":
        raise typer.Exit(4)
    if any(r["state"] in ("held", "checked") for r in rows):
        raise typer.Exit(3)


@stack_app.command("status", epilog="Example: qiongxin stack status")
def stack_status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show which parts of Airflow run, where they log, and which DAGs run by themselves.

    `left` are processes that outlived their part; 'stack up' and 'stack down' end them. Exit code 3: nothing runs, a
    part is down, or something is left.
    """
    from pipelines import stack

    found = stack.status(existing(home))
    if as_json:
        screen.as_json(found)
    else:
        print(f"airflow: {found['url'] or 'not running'}")
        head = ("name", "state", "pid", "left", "log")
        if found["components"]:
            screen.table(head, [[part[n] for n in head] for part in found["components"]])
        if found["scheduled"]:
            print(f"by themselves: {', '.join(found['scheduled'])}")
        if found["unscheduled"]:
            print(f"not: {', '.join(found['unscheduled'])}; qiongxin stack schedule --on lets them")
    if not found["url"] or any(p["state"] != "healthy" or p["left"] for p in found["components"]):
        raise typer.Exit(3)


@stack_app.command("schedule", epilog="Example: qiongxin stack schedule --on")
def stack_schedule(
    on: Annotated[bool, typer.Option("--on/--off", help="Let them run, or no more.")] = True,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Let the DAGs of the daily night run by themselves.

    Files are taken and answered within minutes of their arrival, days are integrated as they become complete or at
    the cut-off. Other DAGs of this Airflow are left as they are.
    """
    from pipelines import stack

    stack.schedule(existing(home), on)
    _say("daily night", "runs by itself" if on else "is switched off", as_json)


@stack_app.command("backfill", epilog="Example: qiongxin stack backfill --from 2026-11-01 --to 2026-11-10")
def stack_backfill(
    first: Annotated[date, typer.Option("--from", parser=as_day, metavar="DATE", help="First business date.")],
    last: Annotated[date, typer.Option("--to", parser=as_day, metavar="DATE", help="Last business date.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take, check and integrate the files of past days that wait in the inboxes, day by day.

    Only files whose manifest names the day; others, and today's, are left alone. Needs a running Airflow whose daily
    night is switched on. Days may come in any order: the result is the same.
    """
    from pipelines import stack

    if last < first:
        raise UsageFault(f"--to {last}: lies before --from {first}. Name the first day, then the last.")
    place = existing(home)
    with screen.progress(as_json) as tell:
        states = stack.backfill(place, first, last, tell)
    if as_json:
        screen.as_json(states)
    else:
        screen.table(("date", "land", "integrate"), [[day, *s.values()] for day, s in states.items()])
    if any("failed" in s.values() for s in states.values()):
        raise typer.Exit(4)


@stack_app.command("down", epilog="Example: qiongxin stack down")
def stack_down(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Stop Airflow; nothing of it is left running."""
    from pipelines import stack

    _say("airflow", "stopped" if stack.down(existing(home)) else "was not running", as_json)


def _say(part: str, state: str, as_json: bool) -> None:
    if as_json:
        screen.as_json({part: state})
    else:
        print(f"{part}: {state}")
