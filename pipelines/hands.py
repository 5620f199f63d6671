"""Small work side by side: one process for each processor, each with the night open as its own.

A small delivery waits mostly for plans, files and the database, so two processes do twice as much; a large one uses
every processor by itself and stays in this one. The processes are started anew (not forked, since the engines keep
threads) when they are first wanted, which takes about two seconds, and end with this one, however that ends.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pipelines.errors import StoreError
from pipelines.garbage import collect_rarely
from pipelines.night import Night, open_night
from pipelines.stores.spark import ENGINES

AHEAD = 2  # pieces in each process's hands, so that none waits for this one

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Hands:
    """This process and `jobs` - 1 others. A step is a function of a module, of the night and a key; it must be safe
    beside itself with another key, as under a scheduler."""

    def __init__(self, night: Night, jobs: int) -> None:
        self.night, self.others = night, jobs - 1
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def each(
        self, step: Callable[[Night, K], R], keys: Sequence[K], is_worth_it: bool = True
    ) -> Iterator[tuple[K, R]]:
        """Key and result of `step`, in the order in which they end. What one raises is raised here, and the rest is
        not begun. Processes are started only for what `is_worth_it`; once they are there they help with all."""
        left = deque(keys)
        if self.others < 1 or len(left) < 2 or not (is_worth_it or self.pool):
            for key in left:
                yield key, step(self.night, key)
            return
        under_way: dict[Future[R], K] = {}
        try:
            while left or under_way:
                while left and len(under_way) < self.others * AHEAD:
                    key = left.popleft()
                    under_way[self._pool().submit(_do, step, key)] = key
                if left:
                    key = left.popleft()
                    yield key, step(self.night, key)
                done, _ = wait(under_way, timeout=0 if left else None, return_when=FIRST_COMPLETED)
                for future in done:
                    yield under_way.pop(future), future.result()
        except BrokenProcessPool as e:
            raise StoreError(
                "nightly: a process that worked beside this one was killed, as the system does when memory is short."
                " Run again, with --jobs 1 if it happens again."
            ) from e

    def _pool(self) -> ProcessPoolExecutor:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.others, multiprocessing.get_context("spawn"), _begin,
                (os.getpid(), self.night.home.root, self.night.as_of),
            )  # fmt: skip
        return self.pool


_night: Night  # of a process beside
_open = ExitStack()  # ... which ends with it


def _begin(parent: int, home: Path, as_of: date) -> None:
    """Open the night in a new process, and end with the process that asked for it, even if that is killed."""
    global _night
    collect_rarely()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of Linux
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all; the first process decides
    _night = _open.enter_context(open_night(home, as_of, engine=ENGINES[0]))  # a cluster would wait for another


def _do(step: Callable[[Night, K], R], key: K) -> R:
    return step(_night, key)
