"""Figures of a home for those who watch it: for Prometheus to read, or for StatsD to be told.

Gauges of what is so now, from the ledger and the disk, as the alerts are; none tells anything of a person. Formats:
Prometheus text exposition 0.0.4; StatsD gauges, one a datagram line.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from itertools import groupby

from pipelines.alerts import CHINA, KINDS, Figures, find
from pipelines.errors import StoreError
from pipelines.model import ACCOUNT, Home
from pipelines.stores.ledger import Ledger
from schemas.model import Catalog

DATAGRAM = 1400  # bytes that pass any network in one piece
STATES = ("received", "checked", "held", "returned", "released")
HELP = {
    "qiongxin_deliveries": "Deliveries by state",
    "qiongxin_rows": "Rows of the last release by verdict",
    "qiongxin_release_number": "Number of the last release, 0 before the first",
    "qiongxin_release_as_of_seconds": "As-of date of the last release, its midnight in China, seconds since 1970",
    "qiongxin_alerts": "Alerts that hold now, by kind",
    "qiongxin_places_unreachable": "Places of departments that failed when they were last asked",
    "qiongxin_disk_bytes": "Size of the file system of the home",
    "qiongxin_disk_free_bytes": "What is free of it",
}


@dataclass(frozen=True)
class Metric:
    """A gauge; `label` is the name of what tells several of one name apart, and `of` what this one is of."""

    name: str
    value: int
    label: str = ""
    of: str = ""


def metrics(ledger: Ledger, catalog: Catalog, home: Home, figures: Figures, now: datetime) -> list[Metric]:
    """The figures at `now`, those of one name one after the other. What is none is told as 0, so that nothing vanishes
    from a chart."""
    rows, last = ledger.deliveries(), ledger.current_release()
    states = Counter(r["state"] for r in rows)
    alerts = Counter(a.kind for a in find(ledger, catalog, home, figures, now))
    mine = [r for r in rows if last and r["release_id"] == last["release_id"]]
    as_of = datetime.combine(last["as_of"], time.min, CHINA).timestamp() if last else 0
    return [
        *(Metric("qiongxin_deliveries", states[s], "state", s) for s in STATES),
        *(Metric("qiongxin_rows", sum(r[v] for r in mine), "verdict", v) for v in ("read", *ACCOUNT)),
        Metric("qiongxin_release_number", last["number"] if last else 0),
        Metric("qiongxin_release_as_of_seconds", int(as_of)),
        *(Metric("qiongxin_alerts", alerts[kind], "kind", kind) for kind in KINDS),
        Metric("qiongxin_places_unreachable", len(ledger.unreachable())),
        Metric("qiongxin_disk_bytes", figures.total),
        Metric("qiongxin_disk_free_bytes", figures.free),
    ]


def exposition(found: Iterable[Metric]) -> str:
    """As Prometheus reads it."""
    lines = []
    for name, those in groupby(found, lambda m: m.name):
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{{m.label}="{m.of}"}} {m.value}' if m.label else f"{name} {m.value}" for m in those]
    return "\n".join(lines) + "\n"


def send(found: Iterable[Metric], host: str, port: int) -> int:
    """Tell a StatsD server; returns how many datagrams. Nobody answers, so that one is there shows only over there.
    Raises `StoreError` where the host has no address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except OSError as e:
        raise StoreError(f"--statsd {host}: no such host. Correct the name.") from e
    sent = 0
    with socket.socket(family, kind, protocol) as out:
        for datagram in _datagrams(found):
            out.sendto(datagram, address)
            sent += 1
    return sent


def _datagrams(found: Iterable[Metric]) -> Iterator[bytes]:
    lines: list[bytes] = []
    for m in found:
        path = ".".join(p for p in (m.name.replace("_", ".", 1), m.of) if p)
        line = f"{path}:{m.value}|g".encode()
        if lines and sum(len(known) + 1 for known in lines) + len(line) > DATAGRAM:
            yield b"\n".join(lines)
            lines = []
        lines.append(line)
    if lines:
        yield b"\n".join(lines)
