"""The watcher of the inboxes: it looks every few minutes and tells when there is something finished to take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent


class Arrivals(BaseEventTrigger):
    """An event whenever files that are finished lie in the inboxes of a group (exchange.groups) and were not told of
    yet. A look that fails is told in the log, and the next one is tried; one that hangs, hangs in a thread of its own.
    """

    def __init__(self, home: str, seconds: float, place: str) -> None:
        super().__init__()
        self.home, self.seconds, self.place = home, seconds, place

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "dags.arrivals.Arrivals", {"home": self.home, "seconds": self.seconds, "place": self.place}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from dags.common import business_date
        from pipelines.errors import QiongxinError
        from pipelines.exchange import arrived

        told, eye = "", ThreadPoolExecutor(1)
        while True:
            try:
                day, loop = business_date(datetime.now(UTC)).isoformat(), asyncio.get_running_loop()
                seen = await loop.run_in_executor(eye, arrived, self.home, day, self.place)
            except QiongxinError as e:
                self.log.warning("%s", e)
            except Exception as e:  # a watcher that ends would watch no more, and its text may hold anything
                self.log.warning("arrivals: %s", type(e).__name__)
            else:
                if seen and seen != told:
                    yield TriggerEvent({"seen": seen})
                told = seen
            await asyncio.sleep(self.seconds)
