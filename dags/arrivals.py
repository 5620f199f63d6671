"""The watcher of the inboxes: it looks every few minutes and tells when there is something finished to take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent


class Arrivals(BaseEventTrigger):
    """An event whenever files that are finished lie in the inboxes of a home and were not told of yet. A look that
    fails is told in the log, and the next one is tried."""

    def __init__(self, home: str, seconds: float) -> None:
        super().__init__()
        self.home, self.seconds = home, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "dags.arrivals.Arrivals", {"home": self.home, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from dags.common import business_date
        from pipelines.errors import QiongxinError
        from pipelines.exchange import arrived

        told = ""
        while True:
            try:
                seen = await asyncio.to_thread(arrived, self.home, business_date(datetime.now(UTC)).isoformat())
            except QiongxinError as e:
                self.log.warning("%s", e)
            except Exception as e:  # a watcher that ends would watch no more, and its text may hold anything
                self.log.warning("arrivals: %s", type(e).__name__)
            else:
                if seen and seen != told:
                    yield TriggerEvent({"seen": seen})
                told = seen
            await asyncio.sleep(self.seconds)
