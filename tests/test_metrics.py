"""Figures for Prometheus and StatsD are those of the ledger, and tell nothing of a person."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.alerts import KINDS
from pipelines.metrics import DATAGRAM, Metric, exposition, send
from tests.dirty_files import honour, table
from tests.nights import Home, begin

LINE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="([a-z_]+)"\})? (\d+)')


@pytest.fixture
def home(tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return begin(tmp_path / "home", applied(), monkeypatch)


def test_the_figures_of_a_night_are_told_to_prometheus_and_to_statsd(home: Home) -> None:
    code, said = home.command("metrics")
    assert code == 0 and "qiongxin_release_number 0\n" in said and 'qiongxin_deliveries{state="held"} 0\n' in said
    home.night(0, a=table(honour(1), honour(2), honour(3, 荣誉级别="没有这一级")), b="什么\n1\n")
    told = {}
    for line in home.command("metrics")[1].splitlines():
        if not line.startswith("#"):
            assert (parts := LINE.fullmatch(line)), line
            name, _, of, value = parts.groups()
            told[name, of] = int(value)
    assert told["qiongxin_deliveries", "released"] == 1 and told["qiongxin_deliveries", "returned"] == 1
    rows = {of: n for (name, of), n in told.items() if name == "qiongxin_rows" and n}
    assert rows == {"read": 3, "new": 2, "rejected": 1}
    assert told["qiongxin_release_number", None] == 1
    assert told["qiongxin_release_as_of_seconds", None] == 1795276800, "22 November 2026 begins in China"
    assert {of for name, of in told if name == "qiongxin_alerts"} == {*KINDS}
    assert told["qiongxin_disk_bytes", None] > told["qiongxin_disk_free_bytes", None] > 0
    as_json = json.loads(home.command("metrics", "--json")[1])
    assert {(m["name"], m["of"] or None) for m in as_json} == told.keys()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        assert home.command("metrics", "--statsd", f"127.0.0.1:{server.getsockname()[1]}") == (0, "")
        heard = server.recv(65_536).decode().splitlines()
    assert {"qiongxin.deliveries.released:1|g", "qiongxin.rows.read:3|g", "qiongxin.release_number:1|g"} <= {*heard}
    assert home.command("metrics", "--statsd", "8125")[0] == 2


def test_many_figures_go_in_datagrams_that_pass_in_one_piece() -> None:
    found = [Metric("qiongxin_deliveries", n, "state", f"s{n}") for n in range(200)]
    heard = b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        for _ in range(send(found, "127.0.0.1", server.getsockname()[1])):
            datagram = server.recv(65_536)
            assert len(datagram) <= DATAGRAM
            heard += datagram + b"\n"
    assert heard.decode().split() == [f"qiongxin.deliveries.s{n}:{n}|g" for n in range(200)]
    assert exposition(found).count("# TYPE") == 1
