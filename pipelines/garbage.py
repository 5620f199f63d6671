"""When a process of ours looks for garbage that refers to itself."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """By default the interpreter goes through all that is alive each time a quarter more has come to it. A night
    imports and compiles a million objects that stay, so that took an eighth of the time of a small one (0.8 s of 7);
    what it makes and lets go is freed without that, and its large memory is not the interpreter's."""
    gc.set_threshold(100_000, 50, 100)
