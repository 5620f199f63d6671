"""DuckDB connections: bounded memory, spill under the home, no extension ever fetched."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipelines.model import PASSING_ON, literal, memory_limit, publish


def connect(work: Path) -> duckdb.DuckDBPyConnection:
    """A private in-memory engine whose spill lies under `work` (a restricted place)."""
    spill = work / f"spill.{os.getpid()}.part"
    spill.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(
        config={
            "memory_limit": memory_limit(),
            "temp_directory": str(spill),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        }
    )


@contextmanager
def watched(engine: duckdb.DuckDBPyConnection, tell: Callable[[float], None] | None) -> Iterator[None]:
    """While the block runs a query, `tell` hears now and then the share of it that is done, from another thread."""
    if tell is None:
        yield
        return
    engine.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")

    def watch(done: threading.Event) -> None:
        while not done.wait(0.2):
            tell(max(0.0, min(engine.query_progress() / 100, 1.0)))

    with beside(watch):
        yield


@contextmanager
def beside(watch: Callable[[threading.Event], None]) -> Iterator[None]:
    """`watch` runs in a thread of its own until the block ends, which it is told by the event."""
    done = threading.Event()
    watching = threading.Thread(target=watch, args=[done], daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def pass_on(engine: duckdb.DuckDBPyConnection, select: str, target: Path, note: str = "") -> None:
    """Write what a query gives into a file for the next stage, whole or not at all, with a note in its footer."""
    form = f"{PASSING_ON}, KV_METADATA {{note: {literal(note)}}}" if note else PASSING_ON
    publish(target, lambda part: engine.execute(f"COPY ({select}) TO {literal(part)} ({form})"))


def note_of(file: Path) -> str:
    """The note in the footer of a file that was passed on, '' for none."""
    return bytes((pq.read_metadata(file).metadata or {}).get(b"note", b"")).decode()
