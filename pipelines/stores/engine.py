"""DuckDB connections: bounded memory, spill under the home, no extension ever fetched."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb


def connect(work: Path) -> duckdb.DuckDBPyConnection:
    """A private in-memory engine whose spill lies under `work` (a restricted place)."""
    spill = work / f"spill.{os.getpid()}.part"
    spill.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(
        config={
            "memory_limit": os.environ.get("QIONGXIN_MEMORY_LIMIT", "2GB"),
            "temp_directory": str(spill),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        }
    )


def quoted(path: Path) -> str:
    """A path as an SQL string literal."""
    return "'" + str(path).replace("'", "''") + "'"
