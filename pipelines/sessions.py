"""Programs that were started as leaders of a session of their own, and whatever they forked (Linux: /proc).

Forks stay in the session whatever groups they make and whoever dies, and while one of them lives, its number is given
to nobody else. Later on it may be: what the number alone cannot tell, the start of its leader does, or the folder in
which all of a session work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

GRACE = 5.0  # seconds between SIGTERM and SIGKILL for what outlives its leader


class Process(NamedTuple):
    pid: int
    parent: int
    session: int
    started: int  # ticks since the start of the machine


@dataclass(frozen=True)
class Session:
    """Of the leader with this number that was started then, in a folder."""

    pid: int
    started: int
    folder: Path

    def leader(self) -> Process | None:
        found = process(self.pid)
        return found if found and found.started == self.started else None

    def members(self) -> list[Process]:
        """All that run; without a leader as well, if some of them work here, or hide that from us all of them: what has
        been at a task keeps its folder from everybody but root."""
        found = process(self.pid)
        if found and found.started != self.started:
            return []
        inside = [p for p in _all() if p.session == self.pid]
        here = set() if found else {self._works_here(p) for p in inside}
        return inside if found or True in here or here == {None} else []

    def left(self) -> list[Process]:
        """Those that no longer hang on the leader: an ancestor died before them."""
        found = self.members()
        held = {self.pid}
        while more := {p.pid for p in found if p.parent in held} - held:
            held |= more
        return [p for p in found if p.pid not in held]

    def end(self) -> bool:
        """End them all; False when nothing ran. The leader is asked first, and alone, as it ends the others in order.
        Raises `TimeoutError` for one that cannot be ended."""
        if not self.members():
            return False
        # One SIGTERM may be swallowed while the interpreter collects garbage; the second is not.
        for _ in range(2):
            if leader := self.leader():
                send([leader], signal.SIGTERM)
                deadline = time.monotonic() + 10
                while self.leader() and time.monotonic() < deadline:
                    time.sleep(0.1)
        send(self.members(), signal.SIGTERM)
        asked = time.monotonic()
        while found := self.members():
            if time.monotonic() > asked + GRACE + 10:
                raise TimeoutError(f"process {found[0].pid} does not end")
            if time.monotonic() > asked + GRACE:
                send(found, signal.SIGKILL)
            time.sleep(0.1)
        return True

    def _works_here(self, p: Process) -> bool | None:
        try:
            return os.path.samefile(f"/proc/{p.pid}/cwd", self.folder)
        except PermissionError:
            return None if _user(p.pid) == os.geteuid() else False
        except OSError:
            return False


# It waits for a word before it becomes the program; where none can come any more, it ends.
WAITS = 'read -r _ && exec "$@" < /dev/null'


@contextmanager
def begin(command: list[str], folder: Path, environment: dict[str, str], log: IO[bytes]) -> Iterator[Session]:
    """Start a program in a session of its own once the block is through, which notes that it is there: killed before,
    nothing runs that nobody knows of."""
    waiting = ["sh", "-c", WAITS, "sh", *command]
    program = subprocess.Popen(
        waiting, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
    )
    assert program.stdin is not None
    with suppress(BrokenPipeError), program.stdin:
        # It is there to be read even if it died at once, as nobody has waited for it yet.
        yield Session(program.pid, _read(program.pid)[1].started, folder)
        program.stdin.write(b"\n")


def process(pid: int) -> Process | None:
    """None where it is gone, or dead and not waited for yet."""
    with suppress(OSError):
        state, found = _read(pid)
        return None if state in "ZX" else found
    return None


def send(found: list[Process], word: signal.Signals) -> None:
    for p in found:
        with suppress(ProcessLookupError):
            os.kill(p.pid, word)


def _read(pid: int) -> tuple[str, Process]:
    """Its state and what else is of use here. Raises `OSError`."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # its name may hold blanks and brackets
    return told[0], Process(pid, int(told[1]), int(told[3]), int(told[19]))


def _user(pid: int) -> int | None:
    """Whose it is: what hides itself from others belongs to root by the looks of its files."""
    with suppress(OSError):
        told = Path(f"/proc/{pid}/status").read_text()
        return int(told.partition("\nUid:")[2].split()[1])
    return None


def _all() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdecimal() and (found := process(int(name))):
            yield found
