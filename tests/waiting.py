"""What other processes and threads do takes its time: tests wait for it to have come about, and no longer."""

import time
from collections.abc import Callable


def eventually(what: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"still not so after {seconds} s"
        time.sleep(0.02)
