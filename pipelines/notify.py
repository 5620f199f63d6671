"""Tell alerts to people: by mail, by a webhook. Each is told once, again while it holds (policy alert_repeat_hours),
and when it is over; to each notifier by itself, so that one that fails is tried again and nobody else hears twice.

`QIONGXIN_ALERT_SMTP` is smtp[s]://user:password@host:port/?from=…&to=…,… (smtp speaks STARTTLS where the server offers
it, and a password is sent in no other way; `tls=none` never does). `QIONGXIN_ALERT_WEBHOOK` is an https URL, http on
loopback; with `QIONGXIN_ALERT_WEBHOOK_SECRET` the header X-Qiongxin-Signature is `sha256=` and the HMAC of the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy.exc import DBAPIError

from pipelines import alerts
from pipelines.alerts import CHINA, FAILED, KINDS, Alert
from pipelines.errors import StoreError, UsageFault
from pipelines.judge import kept_catalogue
from pipelines.model import Home, publish_json
from pipelines.stores import alerts as store
from pipelines.stores import postgres
from pipelines.stores.ledger import Ledger
from pipelines.stores.still import turn
from schemas.load import effective
from schemas.model import Catalog, CatalogError

SMTP, WEBHOOK, SECRET = "QIONGXIN_ALERT_SMTP", "QIONGXIN_ALERT_WEBHOOK", "QIONGXIN_ALERT_WEBHOOK_SECRET"
SECONDS = 20
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST = 100  # entries of one mail; the command shows all
REPEAT = timedelta(hours=24)  # where no policy can be read
DATABASE, CATALOGUE = "database", "catalogue"  # where failures are of which no ledger can tell
SIGNATURE = "X-Qiongxin-Signature"


@dataclass(frozen=True)
class Digest:
    """What one round tells: what holds, what is over, and how many deliveries of a day went back (their departments
    have the receipt)."""

    at: datetime
    holding: tuple[Alert, ...]
    over: tuple[Alert, ...]
    returned: tuple[date, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        back = {"day": str(self.returned[0]), "deliveries": self.returned[1]} if self.returned else None
        return {"platform": "qiongxin", "at": self.at.isoformat(), "alerts": _told(self.holding),
                "over": _told(self.over), "returned": back}  # fmt: skip


class Notifier(Protocol):
    """`name` is what the ledger remembers it by. `send` raises `StoreError`, without address, password or content."""

    name: str

    def send(self, digest: Digest) -> None: ...


@dataclass(frozen=True)
class Sent:
    """What a round told: alerts that hold, those that are over, and the notifiers that failed, each with its cure."""

    holding: int
    over: int
    failed: tuple[str, ...]


class SmtpNotifier:
    """One mail to each round, plain text, Chinese first."""

    name = "smtp"

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            asked = parse_qs(parts.query)
            self.host, self.port = parts.hostname or "", parts.port or (465 if parts.scheme == "smtps" else 25)
        except ValueError as e:
            raise _miswritten(SMTP) from e
        self.is_tls, self.is_plain = parts.scheme == "smtps", asked.get("tls") == ["none"]
        self.user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self.sender = asked.get("from", [""])[0]
        self.to = [a.strip() for given in asked.get("to", ()) for a in given.split(",") if a.strip()]
        if parts.scheme not in ("smtp", "smtps") or not self.host or "@" not in self.sender or not self.to:
            raise _miswritten(SMTP)

    def send(self, digest: Digest) -> None:
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = subject(digest), self.sender, ", ".join(self.to)
        mail["Date"], mail["Message-ID"] = digest.at, make_msgid(domain=self.sender.rpartition("@")[2].rstrip(">"))
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text(digest))
        try:
            with self._server() as server:
                if self.user:
                    server.login(self.user, self._password)
                server.send_message(mail)
        except (smtplib.SMTPException, OSError) as e:
            # What a server says may quote addresses and credentials.
            code = getattr(e, "smtp_code", None)
            what = f"{type(e).__name__}{f' {code}' if code else ''}"
            raise StoreError(f"{SMTP}: {what}. Correct host, credentials or recipients; the next round tries again.")\
                from None

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        trusted = ssl.create_default_context()
        if self.is_tls:
            with smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=trusted) as server:
                yield server
            return
        with smtplib.SMTP(self.host, self.port, timeout=SECONDS) as server:
            server.ehlo_or_helo_if_needed()
            if not self.is_plain and server.has_extn("starttls"):
                server.starttls(context=trusted)
            elif self.user and not self.is_plain:
                raise StoreError(f"{SMTP}: the server offers no STARTTLS, so it gets no password. Use smtps, or say"
                                 " tls=none in the URL.")  # fmt: skip
            yield server


class WebhookNotifier:
    """One POST to each round; the body is `Digest.as_dict` as JSON. `more` counts what its entry stands for as well."""

    name = "webhook"

    def __init__(self, url: str, secret: str = "") -> None:
        try:
            parts = urlsplit(url)
            is_private = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        except ValueError as e:
            raise _miswritten(WEBHOOK) from e
        if not is_private or not parts.hostname:
            raise _miswritten(WEBHOOK)
        self._url, self._secret = url, secret

    def send(self, digest: Digest) -> None:
        body = json.dumps(digest.as_dict(), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "qiongxin"}
        if self._secret:
            headers[SIGNATURE] = "sha256=" + hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=SECONDS):
                pass
        except urllib.error.HTTPError as e:
            raise StoreError(f"{WEBHOOK}: it answered {e.code}. Ask whoever runs it; the next round tries again.")\
                from None
        except OSError as e:
            what = type(getattr(e, "reason", e)).__name__
            raise StoreError(f"{WEBHOOK}: {what}. Correct the URL or the network; the next round tries again.")\
                from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Alerts go where they were meant to go, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _miswritten(name: str) -> UsageFault:
    forms = {SMTP: "smtp[s]://user:password@host:port/?from=a@b&to=c@d", WEBHOOK: "https://host/path"}
    return UsageFault(f"{name}: not an address to send alerts to. Write it as {forms[name]}.")


def configured() -> list[Notifier]:
    """The notifiers that the environment names. Raises `UsageFault`."""
    found: list[Notifier] = []
    if url := os.environ.get(SMTP):
        found.append(SmtpNotifier(url))
    if url := os.environ.get(WEBHOOK):
        found.append(WebhookNotifier(url, os.environ.get(SECRET, "")))
    return found


# What a mail says


def subject(digest: Digest) -> str:
    holding, over = len(digest.holding), len(digest.over)
    return f"琼信告警 {holding:,} 条，解除 {over:,} 条 · Qiongxin alerts: {holding:,}, over: {over:,}"


def text(digest: Digest) -> str:
    """The whole mail: Chinese, then English."""
    return "\n".join([*_section(digest, 0), "", "—" * 20, "", *_section(digest, 1)]) + "\n"


def _section(digest: Digest, language: int) -> list[str]:
    """`language`: 0 Chinese, 1 English."""
    heads = (("告警", "解除", "处理", "下一步"), ("Alerts", "Over", "Cure", "Next"))[language]
    lines = [f"{heads[0]} ({len(digest.holding):,})"]
    groups = grouped(digest.holding)
    for n, (first, *others) in enumerate(groups[:MOST], start=1):
        more = (f"（另有 {len(others):,} 条同类）", f" ({len(others):,} more of this kind)")[language] if others else ""
        since = first.since.astimezone(CHINA)
        lines += [
            "", f"{n}. [{KINDS[first.kind][language]}] {(first.zh, first.en)[language]}{more}",
            f"   {('自', 'since')[language]} {since:%Y-%m-%d %H:%M}",
            f"   {heads[2]}: {(first.fix_zh, first.fix_en)[language]}", f"   {heads[3]}: {first.command}",
        ]  # fmt: skip
    if left := len(groups) - MOST if len(groups) > MOST else 0:
        lines += ["", (f"另有 {left:,} 项：qiongxin alerts", f"{left:,} more: qiongxin alerts")[language]]
    if digest.over:
        lines += ["", f"{heads[1]} ({len(digest.over):,})"]
        ended = grouped(digest.over)
        lines += [f"- [{KINDS[first.kind][language]}] {(first.zh, first.en)[language]}"
                  + (f" (+{len(others):,})" if others else "") for first, *others in ended[:MOST]]  # fmt: skip
        if len(ended) > MOST:
            lines += [f"- (+{len(ended) - MOST:,})"]
    if digest.returned and digest.returned[1]:
        day, count = digest.returned
        said = (f"{day} 退回 {count:,} 批报送，原因见部门回执。",
                f"{count:,} deliveries of {day} went back; their receipts say why.")  # fmt: skip
        lines += ["", said[language]]
    return lines


def grouped(found: Iterable[Alert]) -> list[list[Alert]]:
    """Alerts that one sentence tells together: the periods that a department owes of an item, its deliveries that are
    stuck; the longest first."""
    groups: dict[tuple[str, ...], list[Alert]] = {}
    for a in found:
        is_one_of_many = a.kind in (alerts.MISSED, "stuck")
        groups.setdefault((a.kind, a.department, a.item) if is_one_of_many else (a.key,), []).append(a)
    return [sorted(group, key=lambda a: a.since) for group in groups.values()]


def _told(found: Iterable[Alert]) -> list[dict[str, Any]]:
    return [{**first.as_dict(), "more": len(others)} for first, *others in grouped(found)]


# Rounds


def due(rows: Iterable[Mapping[str, Any]], name: str, now: datetime, repeat: timedelta) -> tuple[list[Any], list[Any]]:
    """Of what the ledger knows, the rows to tell one notifier: those that hold, those that are over."""
    holding, over = [], []
    for row in rows:
        last = row["last_sent"].get(name)
        if row["cleared"] is None:
            if last is None or datetime.fromisoformat(last) + repeat <= now:
                holding.append(row)
        elif last is not None:
            over.append(row)
    return holding, over


def send(home: str | Path, now: datetime, notifiers: list[Notifier] | None = None) -> Sent:
    """Tell what is due to every notifier, those of the environment by default, and remember it. Safe to kill: what was
    sent and not remembered is sent once more. Where database or catalogue cannot be asked, that is told, and what
    failed since. Raises `UsageFault`."""
    place = Home(Path(home).resolve())
    to = configured() if notifiers is None else notifiers
    where, repeat = CATALOGUE, REPEAT
    try:
        catalog = kept_catalogue(place)
        repeat = timedelta(hours=effective(catalog, "alert_repeat_hours", now.astimezone(CHINA).date()))
        where = DATABASE
        with _opened(place) as ledger, turn(ledger, "alerts"):
            _take_notes(place, ledger, now)
            found = alerts.find(ledger, catalog, place, alerts.look(place, catalog), now)
            _renew(ledger, catalog, found, now)
            known, returned = store.known(ledger), store.returned(ledger)
            return _tell(to, known, repeat, now, returned, lambda sent: store.mark(ledger, sent))
    except (StoreError, CatalogError, DBAPIError) as e:
        _note(place, alerts.of_failure(where, type(e).__name__, str(e), now))
        return _tell(to, [*_notes(place).values()], repeat, now, None, lambda sent: _mark_notes(place, sent))


def failed(home: str | Path, where: str, error_class: str, text: str, now: datetime | None = None) -> None:
    """A task of the orchestrator failed for good: an alert holds until `succeeded` says that it is mended. Nothing is
    sent here. Kept in the home where the database cannot be asked."""
    place, moment = Home(Path(home).resolve()), now or datetime.now(UTC)
    found = alerts.of_failure(where, error_class, text, moment)
    try:
        with _opened(place) as ledger:
            store.enter(ledger, [found.as_row()])
    except (StoreError, DBAPIError):
        _note(place, found)


def succeeded(home: str | Path, where: str, now: datetime | None = None) -> None:
    """The same task was done after all. Raises `StoreError`."""
    place, moment = Home(Path(home).resolve()), now or datetime.now(UTC)
    with _opened(place) as ledger:
        _take_notes(place, ledger, moment)
        store.clear(ledger, [alerts.of_failure(where, "", "", moment).key], moment)


def redone(home: str | Path, day: date, now: datetime | None = None) -> None:
    """A whole night was run by hand for a day: it took up what the tasks of the journey had left until then. Raises
    `StoreError`."""
    place, moment = Home(Path(home).resolve()), now or datetime.now(UTC)
    with _opened(place) as ledger:
        _take_notes(place, ledger, moment)
        over = [r["key"] for r in store.known(ledger, alerts.FAILED) if alerts.is_of_journey(r["key"], day)]
        store.clear(ledger, over, moment)


@contextmanager
def _opened(place: Home) -> Iterator[Ledger]:
    with Ledger(postgres.ensure(place.root)) as ledger:
        ledger.prepare()
        yield ledger


def _renew(ledger: Ledger, catalog: Catalog, found: list[Alert], now: datetime) -> None:
    """Enter what holds and what is over. A failed task is entered when it fails and over when it succeeds, maybe just
    now; what is out of sight is forgotten."""
    store.enter(ledger, [a.as_row() for a in found if a.kind != FAILED])
    keys = {a.key for a in found}
    gone = [r for r in store.known(ledger) if r["cleared"] is None and r["key"] not in keys and r["kind"] != FAILED]
    old = {r["key"] for r in gone if alerts.is_out_of_sight(r, catalog, now)}
    store.clear(ledger, old, now, is_silent=True)
    store.clear(ledger, [r["key"] for r in gone if r["key"] not in old], now)


def _tell(
    notifiers: list[Notifier], rows: list[dict[str, Any]], repeat: timedelta, now: datetime,
    returned: tuple[date, int] | None, mark: Callable[[dict[str, dict[str, str]]], None],
) -> Sent:  # fmt: skip
    """Each notifier by itself; what it was told is remembered before the next one is asked."""
    order = list(KINDS)
    told: dict[str, set[str]] = {"holding": set(), "over": set()}
    faults = []
    for notifier in notifiers:
        holding, over = due(rows, notifier.name, now, repeat)
        if not holding and not over:
            continue
        parts = [sorted(map(Alert.of, part), key=lambda a: (order.index(a.kind), a.department, a.item, a.key))
                 for part in (holding, over)]  # fmt: skip
        try:
            notifier.send(Digest(now, tuple(parts[0]), tuple(parts[1]), returned))
        except StoreError as e:
            faults.append(str(e))
            continue
        for row in holding:
            row["last_sent"] = {**row["last_sent"], notifier.name: now.isoformat()}
        for row in over:
            row["last_sent"] = {k: v for k, v in row["last_sent"].items() if k != notifier.name}
        mark({row["key"]: row["last_sent"] for row in (*holding, *over)})
        told["holding"] |= {r["key"] for r in holding}
        told["over"] |= {r["key"] for r in over}
    return Sent(len(told["holding"]), len(told["over"]), tuple(faults))


# What no ledger could take, one file to a key, until it can


def _path(place: Home, key: str) -> Path:
    return place.work / "alerts" / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"


def _note(place: Home, found: Alert) -> None:
    path = _path(place, found.key)
    before = _notes(place).get(path)
    row = {**found.as_row(), "last_sent": {}, "cleared": None}
    if before is not None:
        row |= {name: before[name] for name in ("since", "last_sent")}
    place.make_restricted()
    publish_json(path, {**row, "since": row["since"].isoformat()})


def _notes(place: Home) -> dict[Path, dict[str, Any]]:
    found = {path: json.loads(path.read_text(encoding="utf-8")) for path in (place.work / "alerts").glob("[!.]*.json")}
    return {path: {**row, "since": datetime.fromisoformat(row["since"])} for path, row in found.items()}


def _mark_notes(place: Home, sent: Mapping[str, Mapping[str, str]]) -> None:
    for path, row in _notes(place).items():
        if row["key"] in sent:
            publish_json(path, {**row, "since": row["since"].isoformat(), "last_sent": sent[row["key"]]})


def _take_notes(place: Home, ledger: Ledger, now: datetime) -> None:
    """Enter what was noted while neither database nor catalogue could be asked; with this, that is over."""
    notes = _notes(place)
    columns = ("key", "kind", "since", "told", "last_sent")
    store.enter(ledger, [{name: row[name] for name in columns} for row in notes.values()])
    for path in notes:
        path.unlink(missing_ok=True)
    store.clear(ledger, [alerts.of_failure(where, "", "", now).key for where in (DATABASE, CATALOGUE)], now)
