"""`qiongxin db` and `qiongxin stack`: the embedded PostgreSQL and the local Airflow of a home."""

from __future__ import annotations

import typer

from pipelines.commands import screen
from pipelines.commands.account import (
    as_status,
    numbers_missing,
    open_ledger,
    show_account,
    show_places,
)
from pipelines.commands.options import DEFAULT_HOME, PLAIN, DayOption, HomeOption, JsonOption, existing

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
