"""A headless Chromium driven over its DevTools protocol: one browser, one page, plain calls."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import connect

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE, DESKTOP = 390, 1280


class Browser:
    """`go` opens a page, `run` evaluates JavaScript in it. `complaints` are what the page wrote to the console or what
    it threw; `fetched` are the addresses it asked for."""

    def __init__(self, profile: Path) -> None:
        # Root has no sandbox, and shared memory may be small where tests run.
        self.process = subprocess.Popen(
            [str(PROGRAM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port = _port(profile / "DevToolsActivePort", self.process)
        with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            (page,) = [t for t in json.load(answer) if t["type"] == "page"]
        self.closing = ExitStack()
        self.socket = self.closing.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None))
        self.numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        self.is_loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=30))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", details).get("description", str(details)))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"{told['type']}: {told['args']}")
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.fetched.append(told["request"]["url"])
        elif method == "Page.loadEventFired":
            self.is_loaded = True

    def size(self, width: int, height: int = 900) -> None:
        phone = width < 500
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )  # fmt: skip

    def go(self, address: str) -> None:
        """Open a page and wait until it is loaded; a change behind # alone opens nothing, so it is left first."""
        is_open = address.partition("#")[0] == self.run("location.href.split('#')[0]")
        for target in ("about:blank", address) if is_open else (address,):
            self.is_loaded = False
            self.call("Page.navigate", url=target)
            until = time.monotonic() + 30
            while not self.is_loaded and time.monotonic() < until:
                self._note(json.loads(self.socket.recv(timeout=30)))

    def run(self, script: str) -> Any:
        """The value of an expression, or of a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def type(self, selector: str, text: str) -> None:
        """As a person does: focus, then the keyboard."""
        self.run(f"(e => {{ e.focus(); e.select() }})(document.querySelector({json.dumps(selector)}))")
        self.call("Input.insertText", text=text)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.closing.close()
        self.process.terminate()
        self.process.wait(timeout=30)


def _port(note: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, f"{PROGRAM} ended with {process.returncode}"
        lines = note.read_text().split() if note.exists() else []
        if len(lines) == 2:
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError(f"{PROGRAM}: no DevTools port after 60 s")
