"""`qiongxin` commands that can be made to die at a named boundary, for real: the process sends itself SIGKILL.

Run as a program, this imports everything once and then forks one process per request, which runs the command line as
it is; so a kill costs a second and not the imports of a night. A boundary is an event of the journey told by what
others rely on: a file renamed to its place under the home, a candidate note removed, a call of the ledger or the
lake, a commit in the database. Events are counted from 1 in each process; `trace` lists them in order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTES = "work/candidates"


@dataclass(frozen=True)
class Death:
    """`when`: before or after the `nth` time of `event`."""

    event: str
    nth: int
    when: str

    def __str__(self) -> str:
        return f"{self.when} {self.event} {self.nth}"


@dataclass
class Running:
    """A command under way; `wait` gives its exit code, negative for a signal."""

    pid: int
    answers: Any

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # it was faster than the kill
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        return int(json.loads(self.answers.readline())["code"])


class Mortals:
    """The forking process. One command at a time; what commands print is added to `<home>.said` beside the home."""

    def __enter__(self) -> Mortals:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.mortal_night"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == "ready"
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def start(
        self,
        home: Path,
        url: str,
        *arguments: str,
        death: Death | None = None,
        trace: Path | None = None,
        answer: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Running:
        asked = {
            "arguments": [*arguments, "--home", str(home)],
            "environment": {"QIONGXIN_DATABASE_URL": url, "QIONGXIN_LOOK_SECONDS": "0.1", **(environment or {})},
            "home": str(home.resolve()),
            "death": asdict(death) if death else None,
            "trace": str(trace) if trace else None,
            "said": str(home.parent / f"{home.name}.said"),
            "answer": str(answer) if answer else None,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Running(json.loads(self.process.stdout.readline())["pid"], self.process.stdout)

    def ask(self, home: Path, url: str, *arguments: str) -> Any:
        """The machine output of a command that must end well."""
        answer = home.parent / f"{home.name}.answer"
        answer.unlink(missing_ok=True)
        assert self.start(home, url, *arguments, "--json", answer=answer).wait() == 0
        return json.loads(answer.read_text())

    def night(self, home: Path, url: str, day: str, **how: Any) -> int:
        return self.start(home, url, "nightly", "--date", day, "--json", **how).wait()


class Watch:
    """Counts events, writes them down, and ends the process when its time has come."""

    def __init__(self, home: Path, death: Death | None, trace: Path | None) -> None:
        self.home, self.death, self.seen = home, death, Counter[str]()
        self.trace = trace.open("a", encoding="utf-8") if trace else None

    def call(self, event: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.seen[event] += 1
        due = self.death if self.death and (event, self.seen[event]) == (self.death.event, self.death.nth) else None
        if due and due.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*given, **named)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trace:
            self.trace.write(event + "\n")
            self.trace.flush()
        return answer

    def place(self, path: Any) -> str | None:
        """The place under the home: its first folder, one more below inbox, work and curated."""
        try:
            parts = Path(os.fsdecode(path)).absolute().relative_to(self.home).parts
        except ValueError:
            return None
        if parts[0] == "inbox":
            return "inbox/.taken" if ".taken" in parts else "inbox"
        # A folder of one process has a name of its own every time.
        parts = tuple(re.sub(r"^(\w+)[.].*[.]part$", r"\1", part) for part in parts)
        return "/".join(parts[:2]) if parts[0] in ("work", "curated") and len(parts) > 2 else parts[0]

    def on_files(self) -> None:
        for verb, target in (("replace", 1), ("rename", 1), ("link", 1), ("unlink", 0), ("remove", 0)):
            self._on_file(verb, target)

    def _on_file(self, verb: str, target: int) -> None:
        real = getattr(os, verb)
        word = "remove" if verb in ("unlink", "remove") else "rename"

        def watched(*given: Any, **named: Any) -> Any:
            place = self.place(_inside(named.get("dst_dir_fd", named.get("dir_fd")), given[target]))
            # Scratch files come and go; a removal is a boundary only where others rely on it, and if it happens.
            if place is None or (word == "remove" and (place != NOTES or not os.path.lexists(given[0]))):
                return real(*given, **named)
            return self.call(f"{word} {place}", real, *given, **named)

        setattr(os, verb, watched)

    def on_method(self, owner: Any, name: str, told: Callable[..., str]) -> None:
        real = getattr(owner, name, None)
        if real is None:
            return

        def watched(*given: Any, **named: Any) -> Any:
            return self.call(told(*given[1:], **named), real, *given, **named)

        setattr(owner, name, watched)

    def on_stores(self) -> None:
        import adbc_driver_manager.dbapi as adbc
        import psycopg

        from pipelines.stores.lake import Lake
        from pipelines.stores.ledger import Ledger

        for name in ("register", "update", "gate"):
            self.on_method(Ledger, name, lambda *given, name=name, **named: f"ledger {name}")
        self.on_method(Lake, "commit", lambda *given, **named: f"lake commit {_space(given, named)}")
        self.on_method(adbc.Connection, "commit", lambda *given, **named: "bulk commit")
        self.on_method(psycopg.Connection, "commit", lambda *given, **named: "commit")


def _inside(folder: int | None, path: Any) -> Any:
    """A path that is told relative to an open folder."""
    return path if folder is None else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))


def _space(given: tuple[Any, ...], named: dict[str, Any]) -> str:
    return next((str(v) for v in (*given, *named.values()) if v in ("records", "history", "ended")), "")


def live(asked: dict[str, Any]) -> int:
    """In the forked process: the command, as a shell would run it."""
    with open(asked["said"], "ab", buffering=0) as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if asked["answer"]:
        with open(asked["answer"], "wb", buffering=0) as answer:
            os.dup2(answer.fileno(), 1)
    os.environ.update(asked["environment"])
    if "QIONGXIN_CATALOG" in asked["environment"]:  # the process that forks has read the variable long ago
        import schemas.load

        schemas.load.CATALOG = Path(os.environ["QIONGXIN_CATALOG"])
    death = Death(**asked["death"]) if asked["death"] else None
    watch = Watch(Path(asked["home"]), death, Path(asked["trace"]) if asked["trace"] else None)
    watch.on_files()
    watch.on_stores()
    from pipelines import cli

    sys.argv = ["qiongxin", *asked["arguments"]]
    try:
        cli.main()
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    # Imported before the forks, used only after them: no thread of these libraries runs yet.
    import great_expectations  # noqa: F401

    from tests.remembered import remember

    remember()
    import pipelines.run  # noqa: F401
    from schemas.load import from_json, load, to_json

    from_json(to_json(load()))  # every one of them begins with it

    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = live(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(json.dumps({"pid": pid}), flush=True)
        print(json.dumps({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}), flush=True)


if __name__ == "__main__":
    main()
