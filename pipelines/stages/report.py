"""`report`: the evidence of a night as one page that needs no network, no script and no second file.

Aggregates only: counts, limits and dates of the gate, never a value of a row, a file name or a name of a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from pipelines.model import ACCOUNT, Home, publish
from pipelines.stages import obligations, series
from pipelines.stages.obligations import Limits, Obligation
from pipelines.stores.ledger import Ledger
from schemas.model import Catalog

Row = Mapping[str, Any]

OUTCOMES = {
    "passed": "通过",
    "failed": "未通过",
    "could_not_evaluate": "未能检查",
    "not_applicable": "不适用",
}
STATES = {"received": "已接收", "checked": "已检查", "held": "整批暂缓", "returned": "整批退回", "released": "已发布"}
OWED = {"overdue": "逾期", "held": "暂缓", "due": "待报", "nil": "无数据", "delivered": "已报送"}
COLUMNS = ("行数 read", "新增 new", "变更 changed", "无变化 unchanged", "重复 duplicate", "被取代 superseded",
           "撤回 withdrawn", "退回 rejected", "不予归集 refused", "暂缓 held")  # fmt: skip
CHECK_COLUMNS = ("检查 check", "名称 name", "实际 observed", "允许 allowed", "结果 outcome")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #d5dae1; --soft: #f4f6f8; --good: #17643a; --bad: #a3161f; --odd: #8a5300;
  --dim: #5c6570; }
@media (prefers-color-scheme: dark) { :root { --line: #3a414a; --soft: #20252b; --good: #6fd39b; --bad: #ff8d8d;
  --odd: #f0b95c; --dim: #a3adb8; } }
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", sans-serif; margin: 2rem auto;
  max-width: 92rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p.facts { color: var(--dim); margin: .25rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
summary { cursor: pointer; padding: .5rem .8rem; } details > div { padding: 0 .8rem .8rem; }
.why { display: block; min-width: 20rem; } .one { white-space: nowrap; }
small { color: var(--dim); } code { font-size: .85em; }
.passed, .released { color: var(--good); } .failed, .returned { color: var(--bad); font-weight: 600; }
.could_not_evaluate, .held { color: var(--odd); font-weight: 600; } .not_applicable, .checked { color: var(--dim); }
"""


@dataclass(frozen=True)
class Evidence:
    """What the page shows. `deliveries` are ledger rows; `results` gate results with outcomes (item, verdict, detail);
    `items`, `departments` and `findings` map a code to (zh, en); `seconds` is the time of each step, if measured.
    `owed` are the obligations of the window, `missing` numbers of sequences that have not come (delivery id -> text),
    `unknown_years` those of which the calendar knows the weekends only."""

    day: str
    release: str
    revision: str
    is_sample: bool
    deliveries: Sequence[Row]
    results: Sequence[Row]
    items: Mapping[str, tuple[str, str]]
    departments: Mapping[str, tuple[str, str]]
    findings: Mapping[str, tuple[str, str]]
    seconds: Mapping[str, float]
    owed: Sequence[Obligation] = ()
    missing: Sequence[tuple[Row, str]] = ()
    unknown_years: Sequence[int] = ()


def report(
    home: Home, ledger: Ledger, catalog: Catalog, as_of: date, seconds: Mapping[str, float], within: Limits
) -> Path:
    """Write `reports/<day>/index.html`, whole or not at all. Reads the ledger: every delivery that came in on the day
    or still waits, every candidate that the gate saw on it. The same evidence gives the same bytes."""
    release = ledger.current_release()
    rows = ledger.deliveries()
    owed = obligations.obligations(catalog, rows, within, as_of)
    missing = series.missing(rows)
    waiting = ("received", "checked", "held")
    evidence = Evidence(
        day=as_of.isoformat(),
        release=release["release_id"] if release else "",
        revision=catalog.revision,
        is_sample=home.is_sample,
        deliveries=[r for r in rows if r["received_on"] == as_of or r["state"] in waiting],
        results=ledger.gate_results(as_of),
        items={i.code: (i.name_zh, i.name_en) for i in catalog.items.values()},
        departments={d.code: (d.name_zh, d.name_en) for d in catalog.departments.values()},
        findings={f.code: (f.message_zh, f.title_en) for f in catalog.findings.values()},
        seconds=seconds,
        owed=owed,
        missing=[(r, missing[r["delivery_id"]]) for r in rows if r["delivery_id"] in missing],
        unknown_years=obligations.unknown_years(catalog, owed),
    )
    path = home.report(evidence.day)
    publish(path, lambda part: part.write_text(page(evidence), encoding="utf-8"))
    return path


def because(row: Row, findings: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Why a delivery is held or returned, (zh, en). Messages of the gate are made of figures; others may quote the
    file, so only the kind of finding is told. `findings` as in `Evidence`."""
    code = row["message_code"]
    return (row["message_zh"], row["message_en"]) if code[:1] in ("G", "H") else findings.get(code, ("", ""))


def page(e: Evidence) -> str:
    """The whole page as HTML; everything that is not ours is escaped."""
    told = (
        f"发布 release <code>{escape(e.release or '—')}</code> · 目录版本 revision <code>{escape(e.revision)}</code>"
        f" · {len(e.deliveries)} 批报送 deliveries · {sum(r['read'] for r in e.deliveries):,} 行 rows"
    )
    sample = "<p class='held'>样例数据，不是真实的人 · Invented sample data, no real person</p>" if e.is_sample else ""
    title = f"琼信 Qiongxin · {escape(e.day)}"
    parts = [
        f"<h1>{title}</h1><p class='facts'>{told}</p>{sample}",
        "<h2>事项检查 Gate of the items</h2>",
        *(_result(e, r) for r in e.results),
        "" if e.results else "<p>本夜没有需要检查的事项。No item was waiting for the gate.</p>",
        "<h2>报送与行数账 Deliveries and their row accounts</h2>",
        _deliveries(e),
        *_late(e),
        "<h2>报送义务 Obligations</h2>",
        *_obligations(e),
        *_missing(e),
        _seconds(e.seconds),
    ]
    return (
        f"<!DOCTYPE html>\n<html lang='zh-CN'><head><meta charset='utf-8'><title>{title}</title>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(p for p in parts if p) + "\n</body></html>\n"
    )


def _result(e: Evidence, result: Row) -> str:
    outcomes: list[Row] = list(result["detail"]["outcomes"])
    counts = [
        f"{OUTCOMES[kind]} {kind.replace('_', ' ')} {n}"
        for kind in OUTCOMES
        if (n := sum(o["outcome"] == kind for o in outcomes))
    ]
    opened = "" if result["verdict"] == "passed" else " open"
    figures = result["detail"].get("figures", {})
    span = f" · {figures['event_min']} … {figures['event_max']}" if figures.get("event_max") else ""
    rows = (
        (
            f"{escape(o['zh'])}<br><small>{escape(o['en'])}</small>",
            f"<code>{escape(o['name'])}</code><br><small>{_place(o['place'])}</small>",
            escape(_short(o["observed"])),
            escape(o["limit"]),
            f"<span class='{escape(o['outcome'])}'>{_both(OUTCOMES, o['outcome'])}</span>"
            + (f"<br><small>{escape(o['error'])}</small>" if o["error"] else ""),
        )
        for o in sorted(outcomes, key=_gravity)
    )
    return (
        f"<details{opened}><summary>{_name(e.items, result['item'])}"
        f" — <span class='{escape(result['verdict'])}'>{_both(OUTCOMES, result['verdict'])}</span>"
        f" <small>{figures.get('rows', 0):,} 条记录 records{escape(span)} · {escape(' · '.join(counts))}</small>"
        f"</summary><div class='wide'>{_table(CHECK_COLUMNS, rows)}</div></details>"
    )


def _deliveries(e: Evidence) -> str:
    rows = []
    for r in e.deliveries:
        code, told = r["message_code"], because(r, e.findings)
        why = f"<small class='why'>{escape(code)} {escape(told[0])}<br>{escape(told[1])}</small>" if code else ""
        rows.append(
            (
                f"{_name(e.departments, r['department'])}<br><small>{escape(r['delivery_id'])}</small>",
                _name(e.items, r["item"]),
                f"<span class='one'>{r['period']} · {r['sequence']}</span><br><small>{escape(r['mode'])}</small>",
                f"<span class='{escape(r['state'])}'>{_both(STATES, r['state'])}</span>{why}",
                *(f"{r[k]:,}" for k in ("read", *ACCOUNT)),
            )
        )
    head = ("部门 department", "事项 item", "数据期 period", "状态 state", *COLUMNS)
    return f"<div class='wide'>{_table(head, rows, len(COLUMNS))}</div>"


def _late(e: Evidence) -> list[str]:
    """New rows that came later after their event than the item allows, of the deliveries that hold any."""
    rows = [
        (_name(e.departments, r["department"]), _name(e.items, r["item"]), f"{r['new']:,}", f"{r['late']:,}",
         f"{r['late'] / r['new']:.1%}")
        for r in e.deliveries if r["late"]
    ]  # fmt: skip
    head = ("部门 department", "事项 item", "新增 new", "迟报 late", "迟报率 share")
    return ["<h2>迟报 Rows reported late</h2>", f"<div class='wide'>{_table(head, rows, 3)}</div>"] if rows else []


def _obligations(e: Evidence) -> list[str]:
    """What is overdue or held, then the counts of all periods in the window."""
    counts = [f"{zh} {kind} {sum(o.state == kind for o in e.owed):,}" for kind, zh in OWED.items()]
    parts = [f"<p class='facts'>{' · '.join(counts)}</p>"]
    if e.unknown_years:
        years = ", ".join(map(str, e.unknown_years))
        parts.append(
            f"<p class='held'>{years} 年没有节假日数据，只扣除周末 · no holidays known, weekends only: {years}</p>"
        )
    periods = Counter((o.department, o.item, o.state) for o in e.owed)
    unmet = [o for o in obligations.next_owed(e.owed) if o.state in ("overdue", "held")]
    rows = (
        (_name(e.departments, o.department), _name(e.items, o.item), f"{o.period_from} … {o.period_to}", str(o.due),
         f"<span class='{o.state}'>{_both(OWED, o.state)}</span>", f"{o.working_days:,}", f"{n:,}")
        for o in sorted(unmet, key=lambda o: -o.working_days)
        for n in [periods[o.department, o.item, o.state]]
    )  # fmt: skip
    head = ("部门 department", "事项 item", "最早未报 oldest period", "期限 due", "状态 state",
            "逾期工作日 working days", "未报期数 periods")  # fmt: skip
    if unmet:
        told = f"{len(unmet)} 项未按期 owed and not in"
        table = _table(head, rows, 2)
        parts.append(f"<details><summary>{told}</summary><div class='wide'>{table}</div></details>")
    return parts


def _missing(e: Evidence) -> list[str]:
    rows = [
        (_name(e.departments, r["department"]), _name(e.items, r["item"]), str(r["period"]), str(r["sequence"]), text)
        for r, text in e.missing
    ]
    head = ("部门 department", "事项 item", "数据期 period", "批次 number", "此前缺少 missing before it")
    if not rows:
        return []
    return ["<h2>缺少的批次 Numbers missing</h2>", f"<div class='wide'>{_table(head, rows)}</div>"]


def _seconds(seconds: Mapping[str, float]) -> str:
    if not seconds:
        return ""
    rows = [(escape(step), f"{value:,.1f}") for step, value in seconds.items()]
    return f"<h2>用时 Time of the steps</h2>{_table(('步骤 step', '秒 seconds'), rows, 1)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """`rows` are cells of HTML, escaped where they were made; the last `numbers` columns are set to the right."""
    kinds = ["" if n < len(head) - numbers else " class='n'" for n in range(len(head))]
    top = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, head, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _name(names: Mapping[str, tuple[str, str]], code: str) -> str:
    return f"{escape(names.get(code, (code, ''))[0])} <small>{escape(code)}</small>"


def _both(words: Mapping[str, str], key: str) -> str:
    return f"{escape(words.get(key, ''))} {escape(key.replace('_', ' '))}"


def _place(place: str) -> str:
    return {"profile": "批次数字 batch profile", "staged": "暂存表 staged table"}.get(place, escape(place))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _gravity(outcome: Row) -> int:
    return {"failed": 0, "passed": 2, "not_applicable": 3}.get(outcome["outcome"], 1)
