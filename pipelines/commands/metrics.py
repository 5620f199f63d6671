"""`qiongxin metrics`: figures for whatever watches the platform."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import open_ledger
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, existing
from pipelines.errors import UsageFault


def metrics(
    statsd: Annotated[
        str | None, typer.Option("--statsd", metavar="HOST:PORT", help="Tell a StatsD server, and print nothing.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Print figures of the home for Prometheus: deliveries, rows, release, alerts, places, disk.

    Write it where the textfile collector of a node_exporter looks, every minute; or tell StatsD. Figures only, none of
    a person.
    """
    from pipelines import metrics
    from pipelines.alerts import CHINA, look
    from pipelines.judge import kept_catalogue
    from pipelines.model import Home

    kept = Home(existing(home))
    server, _, port = (statsd or "").rpartition(":")
    if statsd is not None and not (server and port.isdigit()):
        raise UsageFault(f"--statsd {statsd}: no host and port. Write it like localhost:8125.")
    with open_ledger(home) as ledger:
        catalog = kept_catalogue(kept)
        found = metrics.metrics(ledger, catalog, kept, look(kept, catalog), datetime.now(CHINA))
    if statsd is not None:
        metrics.send(found, server, int(port))
    elif as_json:
        screen.as_json_list(asdict(m) for m in found)
    else:
        print(metrics.exposition(found), end="")
