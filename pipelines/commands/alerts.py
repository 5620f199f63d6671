"""`qiongxin alerts`: what those who run the platform have to know now, and telling them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import has_ledger, named_server, open_ledger
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, existing
from pipelines.errors import UsageFault


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter(f"'{text}' is not a time. Write it like 2026-11-22T07:00.") from e


def alerts(
    is_sent: Annotated[bool, typer.Option("--send", help="Send what is due, by mail and webhook.")] = False,
    now: Annotated[
        datetime | None,
        typer.Option("--now", parser=_moment, metavar="TIME", help="A time of China, or with a zone; now by default."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what deserves an alert: failed tasks, missed cut-offs, silence, what is held or stuck, disk and lag.

    --send tells it to QIONGXIN_ALERT_SMTP and QIONGXIN_ALERT_WEBHOOK: once, again while it holds, and when it is over.
    Run it every hour and after each night.
    """
    from pipelines import notify
    from pipelines.alerts import CHINA, KINDS, find, look
    from pipelines.judge import kept_catalogue
    from pipelines.model import Home

    place = existing(home)
    at = now or datetime.now(CHINA)
    moment = at if at.tzinfo else at.replace(tzinfo=CHINA)
    if is_sent:
        if not notify.configured():
            raise UsageFault(f"--send: nobody to send to. Name them by {notify.SMTP} or {notify.WEBHOOK}.")
        if not has_ledger(home):
            raise UsageFault(f"{home}: no night has run here yet. Run 'qiongxin nightly --date DATE' first.")
        with named_server(place):
            told = notify.send(place, moment)
        for fault in told.failed:
            screen.remark(fault)
        if as_json:
            screen.as_json({"sent": told.holding, "over": told.over, "failed": told.failed})
        else:
            print(f"sent: {told.holding:,} that hold, {told.over:,} that are over")
        raise typer.Exit(4 if told.failed else 0)
    with open_ledger(home) as ledger:
        kept, catalog = Home(place), kept_catalogue(Home(place))
        found = find(ledger, catalog, kept, look(kept, catalog), moment)
    if as_json:
        screen.as_json_list(a.as_dict() for a in found)
        return
    for first, *others in notify.grouped(found):
        more = f" (+{len(others):,})" if others else ""
        print(f"{KINDS[first.kind][1]}: {first.en}{more}\n  {first.zh}\n  {first.fix_zh} {first.fix_en}\n"
              f"  next: {first.command}")  # fmt: skip
    print(f"{len(found):,} alerts at {moment.astimezone(CHINA):%Y-%m-%d %H:%M}")
