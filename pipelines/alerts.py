"""What those who run the platform have to know now, each with department, rule and cure.

All of it is computed from the ledger, the catalogue's calendar and the moment that is handed in, and nothing from the
runs of a scheduler: whatever is cleared, run again or filled in there, a cut-off stays missed until the delivery is in.
A night has no hour of its own in the ledger, so hours count from the midnight that ends its day.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

from pipelines.model import CHINA as CHINA
from pipelines.model import Home
from pipelines.stages import gate, obligations, report
from pipelines.stages.candidate import read_candidate
from pipelines.stages.manifest import MANIFEST
from pipelines.stages.obligations import Obligation
from pipelines.stages.receive import DONE
from pipelines.stores import alerts as store
from pipelines.stores.ledger import Ledger
from schemas import in_force
from schemas.calendar import DAY
from schemas.calendar import calendar as calendar_of
from schemas.findings import filled
from schemas.load import effective
from schemas.model import Catalog

Row = Mapping[str, Any]
FAILED, MISSED = "failed", "cut_off_missed"
# What a scheduler divides a night into, besides `intake_<department>`; the command `nightly` is all of them.
JOURNEY = ("intake", "land", "day_ready", "cut_off", "integrate", "clocks", "nightly")
# The gravest first: kind -> its name, what to do, and what to type next; `{…}` are fields of the alert.
KINDS: dict[str, tuple[str, str, str, str, str]] = {
    FAILED: (
        "任务失败", "failed",
        "按提示处理后重新运行；各步骤均可安全重跑。",
        "Do what it says, then run it again; every step is safe to repeat.",
        "qiongxin status",
    ),
    "disk": (
        "磁盘空间不足", "disk",
        "请扩容，或清理到期文件后再运行夜间批处理。",
        "Make room, or sweep what is past its limit, before the next night.",
        "qiongxin sweep",
    ),
    "unreachable": (
        "部门接口不可达", "unreachable",
        "请与该部门核对服务器、账号和权限；恢复后由下一次夜间批处理补收补发。",
        "Settle server, account and rights with the department; the next night fetches and sends what is left.",
        "qiongxin status",
    ),
    "nothing_arrived": (
        "没有收到任何报送", "nothing arrived",
        "请检查夜间批处理是否运行、收件目录和网络是否可用，再与部门联系。",
        "See whether the nights run and the inboxes can be reached; ask the departments then.",
        "qiongxin nightly --date {today}",
    ),
    "no_release": (
        "发布滞后", "no release",
        "请查看夜间批处理为何没有发布，处理后重新运行。", "See why the nights published nothing, mend it and run one.",
        "qiongxin nightly --date {today}",
    ),
    "stuck": (
        "报送停滞", "stuck",
        "请重新运行夜间批处理；文件仍未写完的，请部门重新上传或补清单（manifest.json）。",
        "Run a night; where the file is not finished, have the department send it again or add its manifest.",
        "qiongxin nightly --date {today}",
    ),
    "held": ("暂缓", "held", "", "", "qiongxin findings --delivery {delivery_id}"),
    MISSED: (
        "逾期未报", "cut-off missed",
        "请催报；当期确无数据的，请部门报送“无数据”（nil）。",
        "Ask the department to deliver, or to state nil if there was nothing to report.",
        "qiongxin obligations --department {department} --date {today}",
    ),
}  # fmt: skip
# The text of an error is ours, and free of personal values, where its class is. Those of a delivery or a query may
# quote what somebody else wrote. The last one is what a scheduler is told for one of the others.
OURS = ("QiongxinError", "StoreError", "PlaceError", "GateHeld", "UsageFault", "CatalogError", "AirflowFailException")
FOREIGN = re.compile(r"[^\x20-\x7e]+|(?<![0-9A-Za-z])\d{11,}[Xx]?(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Alert:
    """Something wrong that holds now. `key` stays the same as long as it does; `department`, `item`, `delivery_id`,
    `code` (of a finding) and `period` (first/last day) are '' where it has none; `command` is what to type next."""

    key: str
    kind: str
    since: datetime
    zh: str
    en: str
    fix_zh: str
    fix_en: str
    command: str
    department: str = ""
    item: str = ""
    delivery_id: str = ""
    code: str = ""
    period: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"since": self.since.isoformat()}

    def as_row(self) -> dict[str, Any]:
        return {"key": self.key, "kind": self.kind, "since": self.since, "told": self.as_dict()}

    @classmethod
    def of(cls, row: Row) -> Alert:
        """What `as_row` gave, as the ledger has it: since it began."""
        return cls(**{**row["told"], "since": row["since"]})


@dataclass(frozen=True)
class Limits:
    """Dated policies in force on the day, catalog/policy/operations.toml."""

    alert_cut_off_hours: float
    alert_silent_working_days: int
    alert_stuck_hours: float
    alert_release_lag_days: int
    alert_disk_free_share: float


@dataclass(frozen=True)
class Figures:
    """What is seen of the home from outside the ledger: bytes of its file system, in all and free, and since when the
    oldest file lies in an inbox of it, by department and item."""

    total: int
    free: int
    files: Mapping[tuple[str, str], datetime]


def look(home: Home, catalog: Catalog) -> Figures:
    """The figures of now."""
    usage = shutil.disk_usage(home.root)
    files: dict[tuple[str, str], datetime] = {}
    for department in catalog.departments:
        for item in catalog.delivers(department):
            with suppress(OSError):  # no such folder, or a night is taking what lies in it
                mine = [p for p in (home.inbox / department / item).iterdir() if not p.name.startswith(".")]
                # Not the time of the content, which an upload may keep: that since which it lies here.
                times = [p.stat().st_ctime for p in mine if p.is_file() and not p.name.endswith((MANIFEST, DONE))]
                if times:
                    files[department, item] = datetime.fromtimestamp(min(times), CHINA)
    return Figures(usage.total, usage.free, files)


def find(ledger: Ledger, catalog: Catalog, home: Home, figures: Figures, now: datetime) -> list[Alert]:
    """What deserves an alert at `now`, which knows its time zone; the gravest kind first, then by department, item and
    key. Raises `CatalogError` where a policy is missing."""
    today = now.astimezone(CHINA).date()
    limit = partial(effective, catalog, on=today)
    within = in_force.read(Limits, limit)
    rows = ledger.deliveries()
    owed = obligations.obligations(catalog, rows, in_force.read(obligations.Limits, limit), today)
    made, first = _Made(catalog, today), store.first_night(ledger)
    found = [
        *(Alert.of(r) for r in store.known(ledger, FAILED) if r["cleared"] is None),
        *_disk(made, figures, within, now),
        *_unreachable(made, ledger.unreachable()),
        *_silent(made, rows, first, within, now),
        *_late(made, ledger, within, now),
        *_stuck(made, rows, home, within, now),
        *_files(made, _lying(catalog, figures, store.files_waiting(ledger)), within, now),
        *_held(made, rows),
        *_items_held(made, home, ledger),
        *_missed(made, (o for o in owed if first is None or o.due >= first), within, now),
    ]
    order = list(KINDS)
    return sorted(found, key=lambda a: (order.index(a.kind), a.department, a.item, a.key))


def of_failure(where: str, error: str, text: str, now: datetime) -> Alert:
    """A task of the orchestrator that failed: `error` is the class of what it raised. Of an error that is not ours the
    text may hold anything, so only the class is told; what ours quote of others is taken out."""
    where, error = FOREIGN.sub("…", where), error.rpartition(".")[2]
    said = f"{error}: {FOREIGN.sub('…', text)}" if error in OURS else error
    _, _, fix_zh, fix_en, command = KINDS[FAILED]
    zh, en = f"任务 {where} 失败：{said}", f"task {where} failed: {said}"
    return Alert(f"{FAILED}/{where}", FAILED, now, zh, en, fix_zh, fix_en, command)


def is_of_journey(key: str, day: date) -> bool:
    """Whether a task failed that belongs to the journey of a day up to one: `where` is a DAG and its day, if it has
    one."""
    dag, _, of = key.removeprefix(f"{FAILED}/").partition(" ")
    return (dag in JOURNEY or dag.startswith("intake_")) and of[:10] <= day.isoformat()


def is_out_of_sight(row: Row, catalog: Catalog, now: datetime) -> bool:
    """Whether an alert is over only because its period is told no more (policy obligations_window_days)."""
    today = now.astimezone(CHINA).date()
    last = row["told"]["period"].rpartition("/")[2]
    days = effective(catalog, "obligations_window_days", today)
    return bool(last) and date.fromisoformat(last) < today - timedelta(days)


@dataclass(frozen=True)
class _Made:
    """Makes alerts in the words of a catalogue."""

    catalog: Catalog
    today: date

    def alert(self, kind: str, key: str, since: datetime, zh: str, en: str, **more: str) -> Alert:
        """`more`: the other fields; without them cure and command are those of the kind."""
        _, _, fix_zh, fix_en, command = KINDS[kind]
        known = {"department": "", "item": "", "delivery_id": "", "today": self.today.isoformat(), **more}
        usual = {"fix_zh": fix_zh, "fix_en": fix_en, "command": command.format_map(known)}
        name = f"{kind}/{key}".removesuffix("/")
        return Alert(key=name, kind=kind, since=since, zh=zh, en=en, **{**usual, **more})

    def who(self, department: str, item: str = "") -> tuple[str, str]:
        """A department and an item in words."""
        d, i = self.catalog.departments.get(department), self.catalog.items.get(item)
        zh, en = (d.name_zh, d.name_en) if d else (department, department)
        if i is not None:
            zh, en = f"{zh}·{i.name_zh}" if zh else i.name_zh, f"{en}, {i.name_en}" if en else i.name_en
        codes = "/".join(code for code in (department, item) if code)
        return f"{zh}（{codes}）", f"{en} ({codes})"


def ends(day: date, hours: float = 0) -> datetime:
    """So many hours after the midnight that ends a day."""
    return datetime.combine(day + DAY, time(), CHINA) + timedelta(hours=hours)


def _disk(made: _Made, figures: Figures, within: Limits, now: datetime) -> Iterator[Alert]:
    share, least = figures.free / figures.total, within.alert_disk_free_share
    if share < least:
        zh = f"数据目录所在磁盘仅剩 {share:.1%}，低于 {least:.0%}。"
        en = f"{share:.1%} of the home's disk is free, below {least:.0%}."
        yield made.alert("disk", "", now, zh, en)


def _unreachable(made: _Made, rows: Iterable[Row]) -> Iterator[Alert]:
    words = {"inbox": ("收件处", "inbox"), "outbox": ("回执接收处", "outbox")}
    for r in rows:
        is_known = r["department"] in made.catalog.departments  # else it is the name of some folder
        department = r["department"] if is_known else ""
        zh, en = made.who(department) if is_known else ("某收件目录", "a folder of no department")
        what = words[r["direction"]]
        place = hashlib.sha256(r["place"].encode("utf-8", "surrogateescape")).hexdigest()[:12]
        said = f" {FOREIGN.sub('…', r['message'])}" if is_known else ""
        since = datetime.combine(r["since"], time(), CHINA)
        yield made.alert("unreachable", f"{r['direction']}/{place}", since, f"{zh}的{what[0]}无法访问。",
                         f"The {what[1]} of {en} failed.{said}", department=department)  # fmt: skip


def _silent(made: _Made, rows: Iterable[Row], first: date | None, within: Limits, now: datetime) -> Iterator[Alert]:
    last = max((r["received_on"] for r in rows), default=first)
    if last is None:
        return
    day = calendar_of(made.catalog.calendar).after(last, within.alert_silent_working_days)
    since = ends(day, within.alert_cut_off_hours)
    if now >= since:
        zh = f"{last} 之后没有收到任何部门的报送。"
        yield made.alert("nothing_arrived", str(last), since, zh, f"No delivery of anybody has come since {last}.")


def _late(made: _Made, ledger: Ledger, within: Limits, now: datetime) -> Iterator[Alert]:
    """Something waits, and for as long as it has waited there was no release."""
    items = made.catalog.items
    waits = [since for item, since in store.waiting_for_release(ledger) if item in items]
    release = ledger.current_release()
    if not waits:
        return
    since = ends(max(min(waits), release["as_of"] if release else date.min), 24 * within.alert_release_lag_days)
    if now >= since:
        last = str(release["as_of"]) if release else "—"
        zh = f"最近一次发布为 {last}，自 {min(waits)} 起有内容等待发布。"
        en = f"The last release is of {last}; something has waited for one since {min(waits)}."
        yield made.alert("no_release", release["release_id"] if release else "none", since, zh, en)


def _stuck(made: _Made, rows: Iterable[Row], home: Home, within: Limits, now: datetime) -> Iterator[Alert]:
    """Deliveries that a night left half done; one that a held item keeps waiting is told as held."""
    for r in rows:
        if r["state"] not in ("received", "checked") or _is_held(r):
            continue
        since = max(ends(r["received_on"]), _archived(home, r)) + timedelta(hours=within.alert_stuck_hours)
        if now < since:
            continue
        zh, en = made.who(r["department"], r["item"])
        told = {"received": ("已接收，尚未检查", "received, not checked"),
                "checked": ("已检查，尚未发布", "checked, not released")}[r["state"]]  # fmt: skip
        yield made.alert(
            "stuck", f"{r['delivery_id']}/{r['state']}", since,
            f"{zh}的报送 {r['delivery_id']} 自 {r['received_on']} 起{told[0]}。",
            f"Delivery {r['delivery_id']} of {en} is {told[1]} since {r['received_on']}.",
            department=r["department"], item=r["item"], delivery_id=r["delivery_id"],
        )  # fmt: skip


def _archived(home: Home, row: Row) -> datetime:
    """Since when a delivery's bytes are here, which is later than its day where the night of a past day runs now."""
    try:
        return datetime.fromtimestamp(home.raw(row["sha256"]).stat().st_mtime, CHINA)
    except OSError:
        return datetime.min.replace(tzinfo=CHINA)


def _lying(
    catalog: Catalog, figures: Figures, elsewhere: Mapping[str, datetime]
) -> Iterator[tuple[str, str, datetime]]:
    """Department, item ('' where nobody can tell) and since when the oldest file lies in an inbox."""
    for (department, item), since in figures.files.items():
        yield department, item, since
    for d in catalog.departments.values():
        if d.inbox is not None and (at := elsewhere.get(d.inbox.url.rstrip("/"))):
            yield d.code, "", at


def _files(
    made: _Made, lying: Iterable[tuple[str, str, datetime]], within: Limits, now: datetime
) -> Iterator[Alert]:
    for department, item, begun in lying:
        since = begun + timedelta(hours=within.alert_stuck_hours)
        if now >= since:
            zh, en = made.who(department, item)
            on = begun.astimezone(CHINA).date()
            yield made.alert(
                "stuck", f"file/{department}/{item}", since, f"{zh}的收件处自 {on} 起有文件未被接收。",
                f"A file in the inbox of {en} has not been taken since {on}.", department=department, item=item,
            )  # fmt: skip


def _is_held(row: Row) -> bool:
    """Whether a delivery waits for a person, by itself or with its item."""
    return row["state"] == "held" or (row["state"] == "checked" and row["message_code"] in gate.FINDING.values())


def _held(made: _Made, rows: Iterable[Row]) -> Iterator[Alert]:
    """Deliveries that wait for a person."""
    findings = {f.code: (f.message_zh, f.message_en) for f in made.catalog.findings.values()}
    for r in rows:
        code = r["message_code"]
        if not _is_held(r):
            continue
        zh, en = made.who(r["department"], r["item"])
        why = [filled(text, n) for n, text in enumerate(report.because(r, findings), start=1)]
        known = made.catalog.findings.get(code)
        yield made.alert(
            "held", f"{r['delivery_id']}/{code}", datetime.combine(r["received_on"], time(), CHINA),
            f"{zh}的报送 {r['delivery_id']} 暂缓，{code}：{why[0]}",
            f"Delivery {r['delivery_id']} of {en}, {code}: {why[1]}",
            department=r["department"], item=r["item"], delivery_id=r["delivery_id"], code=code,
            fix_zh=filled(known.fix_zh, 1) if known else "", fix_en=filled(known.fix_en, 2) if known else "",
        )  # fmt: skip


def _items_held(made: _Made, home: Home, ledger: Ledger) -> Iterator[Alert]:
    """Items whose candidate did not pass though no delivery is in it: what events and time make of their records."""
    for code in made.catalog.items:
        candidate = read_candidate(home, code)
        if candidate is None or candidate.deliveries:
            continue
        found = gate.FINDING.get(ledger.gate_verdict(candidate.candidate) or "")
        if found:
            zh, en = made.who("", code)
            told = made.catalog.findings[found]
            yield made.alert(
                "held", f"{code}/{found}", datetime.combine(made.today, time(), CHINA),
                f"{zh}，{found}：{filled(told.message_zh, 1)}",
                f"{en}, {found}: {filled(told.message_en, 2)}", item=code, code=found, fix_zh=filled(told.fix_zh, 1),
                fix_en=filled(told.fix_en, 2), command="qiongxin status",
            )  # fmt: skip


def _missed(made: _Made, owed: Iterable[Obligation], within: Limits, now: datetime) -> Iterator[Alert]:
    """Of `owed`, what was due since the first night: of what was due before, nobody waits here."""
    for o in owed:
        since = ends(o.due, within.alert_cut_off_hours)
        if o.state == "overdue" and now >= since:
            zh, en = made.who(o.department, o.item)
            period = f"{o.period_from}/{o.period_to}"
            yield made.alert(
                MISSED, f"{o.department}/{o.item}/{o.period_from}", since,
                f"{zh}最迟应于 {o.due} 报送 {period} 的数据，尚未收到。",
                f"{en} owed the period {period} by {o.due}; nothing has come.",
                department=o.department, item=o.item, period=period,
            )  # fmt: skip
