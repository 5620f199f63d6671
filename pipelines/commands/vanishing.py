"""A folder for people's values that does not outlive the command, however the command ends."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
NAME = "qiongxin-check"
SHOW_CURSOR = b"\x1b[?25h\n"  # a progress bar hides it


@contextmanager
def vanishing(beside: Path) -> Iterator[Path]:
    """A new folder, its owner's alone, that is gone when the block ends and when the process is told to stop; so are
    the unfinished files of this process in `beside`. What a killed process left is swept up by the next one.

    An engine may be at work for minutes without looking at signals, so a thread of its own waits for them.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}.", suffix=f".{os.getpid()}.part"))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # threads started from here on inherit it
    over = threading.Event()

    def wait() -> None:
        while not over.is_set():
            told = signal.sigtimedwait(STOPS, 0.1)
            if told is not None and not over.is_set():
                _remove(folder, beside)
                for terminal in filter(os.isatty, (1, 2)):
                    os.write(terminal, SHOW_CURSOR)
                os._exit(128 + told.si_signo)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield folder
    finally:
        over.set()
        waiting.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _remove(folder, beside)


def _remove(folder: Path, beside: Path) -> None:
    # Somebody else in this process may be writing into it still.
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    for part in beside.glob(f".*.{os.getpid()}.part"):
        part.unlink(missing_ok=True)


def _sweep() -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{NAME}.*.part"):
        if not Path(f"/proc/{left.name.rsplit('.', 2)[-2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
