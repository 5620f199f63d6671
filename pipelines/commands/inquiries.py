"""`qiongxin inquiries`: who was shown values of records."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import open_ledger
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, as_day
from pipelines.errors import StoreError

INQUIRY = ("number", "asked_at", "asked_by", "command", "rows", "release_id", "reason", "said")


def inquiries(
    since: Annotated[
        date | None, typer.Option("--since", parser=as_day, metavar="DATE", help="Only from this day on.")
    ] = None,
    naming: Annotated[
        str | None, typer.Option("--naming", metavar="WORD", help="Only what asked for this item or pseudonym.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show who was shown values of records: when, why, how many rows, and what was asked.

    Entered by 'query', 'findings' and 'disagreements' before they show anything; names, numbers and free words in what
    was asked are left out. Exit code 4 where an entry was changed or is missing.
    """
    from pipelines.stores import inquiries

    with open_ledger(home) as ledger:
        found = [r for r in inquiries.known(ledger, since) if naming is None or naming.lower() in r["said"].lower()]
        broken = inquiries.fault(ledger)
    if as_json:
        screen.as_json_list({n: r[n] for n in INQUIRY} | {"hash": r["hash"].hex()} for r in found)
    else:
        screen.table(INQUIRY, [[r[n] for n in INQUIRY] for r in found])
    if broken is not None:
        raise StoreError(
            f"inquiry {broken}: this entry or the one before was changed or taken out. Compare with a backup of the"
            " database, and find out who can write to it."
        )
