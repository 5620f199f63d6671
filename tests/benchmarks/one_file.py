"""Decode one file in this process and say how long it took and what memory it needed: `one_file.py FILE FIELDS`, where
FIELDS is JSON, normalised header -> field. Nothing else is imported, so that what is measured is the reader's own."""

import json
import sys
import tempfile
import time
from pathlib import Path

from pipelines.readers import decode


def peak_mb() -> float:
    """Of this program; getrusage would also count what the process was before it became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def main() -> None:
    source, fields = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(dir=source.parent) as work:
        idle = peak_mb()
        started, used = time.perf_counter(), time.process_time()
        decoded = decode(source, Path(work) / "staged.parquet", fields, Path(work))
        wall, cpu = time.perf_counter() - started, time.process_time() - used
    print(json.dumps({"wall": wall, "cpu": cpu, "read": decoded.read, "peak_mb": peak_mb(), "idle_mb": idle}))


if __name__ == "__main__":
    main()
