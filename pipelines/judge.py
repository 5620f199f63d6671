"""What becomes of one delivery under its item: read, judged row by row, and weighed as a whole; no database.

`check` asks it for the night, `qiongxin check` for a department's own dry run: the same engine, the same answers.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.errors import DeliveryError
from pipelines.model import Delivery, Home, publish
from pipelines.readers import Column, Decoded, Headers, Layout, decode, empty, normalise_header
from pipelines.stages import gate, manifest, totals, validate
from pipelines.stages.validate import Fault
from pipelines.stores.keys import Keys
from pipelines.stores.spark import Cluster
from schemas import editions, in_force, lint_law, overlay, row_rules
from schemas import load as catalogue
from schemas.calendar import calendar as calendar_of
from schemas.compiled import Compiled, compile_item, from_json, key, sources, to_json
from schemas.limits import policy as limits_of_rows
from schemas.model import Catalog, FieldSpec, Item
from schemas.row_rules import Policy
from schemas.words import Words
from schemas.yardstick import of_rows

Tell = Callable[[int, int], None]  # how many are done, of how many


@dataclass(frozen=True)
class Desk:
    """What judging a delivery takes: the home, the catalogue, the keys, the as-of date, and the cluster on which large
    ones are judged, if there is any."""

    home: Home
    catalog: Catalog
    keys: Keys
    as_of: date
    cluster: Cluster | None = field(default=None, kw_only=True)

    @cached_property
    def policy(self) -> Policy:
        return limits_of_rows(self.catalog, self.as_of, 1850 if self.home.is_sample else None)

    @cached_property
    def words(self) -> Words:
        return Words(self.catalog)

    def compiled(self, item: Item) -> Compiled:
        """What an item compiles to, kept under the home from task to task and night to night."""
        path = self.home.compiled(key(item, self.catalog, self.policy))
        if not path.exists():
            made = to_json(compile_item(item, self.catalog, self.policy))
            publish(path, lambda part: part.write_text(made, encoding="utf-8"))
        return from_json(path.read_text(encoding="utf-8"))

    def limit(self, name: str) -> Any:
        """The value of a dated policy in force on the as-of date."""
        return catalogue.effective(self.catalog, name, self.as_of)


def kept_catalogue(home: Home) -> Catalog:
    """The catalogue of today, read and checked once and then kept under the home, since every task of a night asks for
    it. Raises `CatalogError`."""
    path = kept_path(home, catalogue.revision())
    if not path.exists():
        made = catalogue.to_json(catalogue.load())
        publish(path, lambda part: part.write_text(made, encoding="utf-8"))
    return catalogue.from_json(path.read_text(encoding="utf-8"))


def kept_path(home: Home, revision: str) -> Path:
    return home.compiled(f"catalogue-{revision}-{sources()}")


@dataclass(frozen=True)
class Judged:
    """What became of a delivery: rows by verdict (`account` has rejected, refused, held and accepted; they add up to
    `read`), and `reasons` to hold it as a whole. `file` is its name without the names of people."""

    item: Item
    read: int
    account: dict[str, int]
    reasons: list[gate.Reason]
    file: str
    is_complete: bool


@dataclass(frozen=True)
class Asked:
    """One delivery to judge: its bytes are at `source`; `remarks` are what others say of the file as a whole;
    `received` is the day it came, the as-of date by default."""

    delivery: Delivery
    source: Path
    remarks: tuple[Fault, ...] = ()
    received: date | None = None


@dataclass(frozen=True)
class _Read:
    """A delivery that is decoded, and what was seen of it until then."""

    delivery: Delivery
    item: Item
    decoded: Decoded
    part: validate.Part
    reasons: list[gate.Reason]


def judge(desk: Desk, asked: Asked, tell: Tell | None = None) -> Judged:
    """decode, validate and identify a delivery. Writes `staged/`, `accepted/`, `rejected/` and `findings/` of the home.
    `tell` hears from time to time how many of the rows are judged. Raises `DeliveryError` where the whole file goes
    back."""
    read = _read(desk, asked)
    rows = read.decoded.rows
    heard = (lambda share: tell(int(share * rows), rows)) if tell else None
    (result,) = validate.validate(desk.home, [read.part], _rules(desk, read), heard, desk.cluster)
    return _judged(desk, read, result)


def judge_several(desk: Desk, asked: Iterable[Asked]) -> Iterator[tuple[Asked, Judged | DeliveryError]]:
    """The same of several deliveries, in any order. Small ones that are judged by the same are judged together: what
    the engine has to plan takes as long for a hundred of them as for one."""
    together: dict[tuple[str, str], list[tuple[Asked, _Read]]] = defaultdict(list)
    for one in asked:
        try:
            read = _read(desk, one)
        except DeliveryError as e:
            yield one, e
            continue
        d = one.delivery
        if validate.is_small(desk.home, d.delivery_id):
            rows = of_rows(read.item, desk.words, desk.compiled(read.item), d.period, d.department)
            together[key(read.item, desk.catalog, desk.policy), rows].append((one, read))
        else:
            (result,) = validate.validate(desk.home, [read.part], _rules(desk, read), on=desk.cluster)
            yield one, _judged(desk, read, result)
    for pairs in together.values():
        results = validate.validate(desk.home, [read.part for _, read in pairs], _rules(desk, pairs[0][1]))
        for (one, read), result in zip(pairs, results, strict=True):
            yield one, _judged(desk, read, result)


def _read(desk: Desk, asked: Asked) -> _Read:
    """decode a delivery. Raises `DeliveryError`."""
    delivery = asked.delivery
    if delivery.declared_rows == -1:
        raise DeliveryError(
            "F014",
            "文件内容与清单中的 SHA-256 不一致，可能没有传完。请重新上传文件和清单。",
            "The content differs from the manifest's SHA-256; the upload may be incomplete. Send both again.",
        )
    item = judging(desk.catalog, delivery.item, delivery.department, delivery.period)
    decoded = _decode(desk, delivery, item, asked.source)
    faults = [Fault(f.code, f.line, f.sheet, f.value) for f in decoded.faults]
    faults += [Fault(n.code, None, n.sheet, n.value) for n in decoded.notes]
    faults += _about_the_file(item, decoded, delivery.department, desk.catalog, desk.as_of)
    reasons, told = _about_the_manifest(desk, delivery, item, decoded)
    ahead, back = about_the_period(desk, delivery, item)
    late = None
    if item.reporting_limit is not None:
        days = desk.limit(item.reporting_limit)
        late = calendar_of(desk.catalog.calendar).last_late(days, asked.received or desk.as_of)
    part = validate.Part(
        delivery.delivery_id, (*faults, *told, *back, *asked.remarks), delivery.file, delivery.mode == "full", late
    )
    return _Read(delivery, item, decoded, part, reasons + ahead)


def _rules(desk: Desk, read: _Read) -> validate.Rules:
    return validate.Rules(
        read.item, desk.compiled(read.item), desk.policy, desk.words, desk.as_of, desk.keys, read.delivery.period,
        read.delivery.department, desk.limit("han_variants"),
    )  # fmt: skip


def _judged(desk: Desk, read: _Read, result: validate.Validated) -> Judged:
    rows = read.decoded.read
    account = {name: getattr(result, name) for name in ("rejected", "refused", "held", "accepted")}
    numbers = gate.number_reasons(result.numbers, result.destroyed, result.rounded, limits(desk))
    reasons = [*gate.delivery_reasons(rows, account, limits(desk)), *numbers, *read.reasons]
    # A row that was not taken may be about any record: its delivery says nothing by leaving a record out.
    return Judged(read.item, rows, account, reasons, result.file, rows == result.accepted)


def limits(desk: Desk) -> gate.DeliveryLimits:
    return in_force.read(gate.DeliveryLimits, desk.limit)


def judging(catalog: Catalog, code: str, department: str, period: date) -> Item:
    """The item by which a delivery of a department is judged: the edition of its period, as its county has it; of
    nobody (''), as the catalogue has it. Raises `DeliveryError` where the department or the item was not there in that
    period."""
    sender, item = catalog.departments.get(department), catalog.items[code]
    if sender is not None and not sender.holds(period):
        until = f"，{sender.valid_to} 起撤销" if sender.valid_to and sender.valid_to < period else ""
        heir = catalog.departments.get(sender.successor or "")
        to_zh = f"请由{heir.name_zh}报送" if heir else "请在清单中写明正确的所属期"
        to_en = f"Let {heir.name_en} send it" if heir else "State the right period in the manifest"
        raise DeliveryError(
            "F017",
            f"{sender.name_zh}在所属期 {period} 不存在{until}，整个文件退回。{to_zh}。",
            f"{sender.name_en} did not exist in the period {period}; the whole file is returned. {to_en}.",
        )
    if not item.holds(period):
        raise DeliveryError(
            "F016",
            f"目录中没有适用于所属期 {period} 的“{item.name_zh}”，整个文件退回。请在清单中写明正确的所属期。",
            f"The catalogue has no edition of '{item.name_en}' for the period {period}; the whole file is returned."
            " State the right period in the manifest.",
        )
    return overlay.effective(catalog, code, department, period)


def _about_the_file(
    item: Item, decoded: Decoded, department: str, catalog: Catalog, as_of: date
) -> list[Fault]:
    """What is to be said of the file as a whole. Raises `DeliveryError` F012 where a required column is missing."""
    if decoded.read == 0:
        return [Fault("F003", None)]
    if missing := [f.label_zh for f in _missing(item, decoded.columns)]:
        named = "、".join(missing)
        zh, en = _other_edition(item, decoded, department, catalog)
        raise DeliveryError(
            "F012",
            f"文件缺少必填的列：{named}。请补上后重新报送整个文件。{zh}",
            f"Required columns are missing: {named}. Add them and send the whole file again.{en}",
        )
    if not decoded.unknown_headers:
        return []
    known, whole = editions.headers(catalog, item, department), catalog.items[item.code]
    elsewhere = _fields(catalog, whole, department) if whole.editions else {}
    return [
        Fault("L003", None, value=header)
        if lint_law.is_withheld(catalog, header, as_of)
        else Fault("F005", None, value=_with_edition(header, elsewhere, whole) or _with_nearest(header, known))
        for header in decoded.unknown_headers
    ]


def _missing(item: Item, columns: Collection[str]) -> list[FieldSpec]:
    """Required fields that have no column. A list of withdrawals, which has columns for what tells a record and for
    what is to be done with it and no more, needs no others."""
    required, key = [f for f in item.fields if f.required], row_rules.key_fields(item)
    others = [f for f in required if f.name not in key and f.role != "name"]
    withdraws = any(f.role == "action" and f.name in columns for f in item.live_fields)
    if withdraws and not any(f.name in columns for f in others):
        required = [f for f in required if f.name in key]
    return [f for f in required if f.name not in columns]


def _about_the_manifest(
    desk: Desk, delivery: Delivery, item: Item, decoded: Decoded
) -> tuple[list[gate.Reason], list[Fault]]:
    """Why the manifest holds the delivery, and what else is to be said of it."""
    said = delivery.manifest
    reasons: list[gate.Reason] = []
    faults = [Fault("F041", None, value=name) for name in said.get("ignored", ())]
    known, stated = _fields(desk.catalog, item, delivery.department), {}
    unclear = list(said.get("unclear", ()))
    for column, figures in said.get("totals", {}).items():
        name = known.get(normalise_header(column), column)
        field = next((f for f in item.live_fields if f.name == name), None)
        if totals.fits(field, figures):
            stated[name] = figures
        else:
            unclear.append(f"total:{column}")
    if unclear:
        zh, en = manifest.told(unclear)
        reasons.append(
            (
                "F040",
                f"清单（manifest.json）中有无法采用的内容，整批暂缓：{zh}。请改正清单，与原文件一起重新报送。",
                f"The manifest says what cannot be used, so the delivery is held: {en}. Correct the manifest and send"
                " it again with the same file.",
            )
        )
    if delivery.declared_rows is not None and delivery.declared_rows != decoded.read:
        rows = delivery.declared_rows
        reasons.append(
            (
                "F011",
                f"清单写明 {rows} 行，文件有 {decoded.read} 行，整批暂缓。请核对后重新报送。",
                f"The manifest says {rows} rows, the file has {decoded.read}; held. Check it and send it again.",
            )
        )
    if stated:
        compared = totals.compare(desk.home, delivery.delivery_id, item, stated, len(decoded.faults))
        reasons += [_total_differs(d) for d in compared.differences]
        faults += [Fault("F043", None, value=label) for label in compared.unread]
    return reasons, faults


FIGURES = {"sum": ("合计", "sum"), "min": ("最小值", "least value"), "max": ("最大值", "greatest value")}


def _total_differs(d: totals.Difference) -> gate.Reason:
    zh, en = FIGURES[d.figure]
    return (
        "F042",
        f"“{d.label}”的{zh}：清单写明 {d.stated}，文件为 {d.found or '空'}，整批暂缓。请核对后重新报送。",
        f"The {en} of {d.label} is {d.stated} in the manifest and {d.found or 'nothing'} in the file; held. Check both"
        " and send them again.",
    )


def about_the_period(desk: Desk, delivery: Delivery, item: Item) -> tuple[list[gate.Reason], list[Fault]]:
    """Why its period holds the delivery, and what else is to be said of it. One that lies ahead would go before all
    that comes until then; one that ends with the running period of the item's cycle does not lie ahead."""
    running = calendar_of(desk.catalog.calendar).period(item.update_cycle, desk.as_of)
    latest = max(desk.as_of, running.last) if running else desk.as_of
    if delivery.period > latest:
        zh = f"所属期 {delivery.period} 还没有到（最晚可报 {latest}），整批暂缓。请改正清单中的所属期后重新报送。"
        en = (
            f"The period {delivery.period} lies ahead (the latest is {latest}); the delivery is held. Correct the"
            " period in the manifest and send it again."
        )
        return [("H010", zh, en)], []
    if (desk.as_of - delivery.period).days > desk.limit("old_period_days"):
        return [], [Fault("H011", None, value=delivery.period.isoformat())]
    return [], []


def _with_edition(header: str, elsewhere: Mapping[str, str], item: Item) -> str | None:
    """A header that only other editions of the item know, with their names; None where none knows it."""
    if (name := elsewhere.get(normalise_header(header))) is None:
        return None
    field = item.field(name)
    named = [e.code for e in item.editions if field.holds(e.valid_from) and field.holds(e.valid_to or e.valid_from)]
    return f"{header} ({', '.join(named)})"


def _other_edition(item: Item, decoded: Decoded, department: str, catalog: Catalog) -> tuple[str, str]:
    """What to say where the file has the columns that another edition of the item asks for."""
    whole = catalog.items[item.code]
    for other in whole.editions:
        then = editions.as_of(whole, other.valid_from)
        known = _fields(catalog, then, department)
        there = {*decoded.columns} | {known.get(normalise_header(h)) for h in decoded.unknown_headers}
        if other not in item.editions and all(f.name in there for f in then.live_fields if f.required):
            until = other.valid_to or "今 now"
            return (
                f"文件的列符合 {other.code} 版格式（{other.valid_from} 至 {until}）："
                "属该时期的数据，请在清单中写明所属期。",
                f" The columns are those of edition {other.code} ({other.valid_from} to {until}): if the data are of"
                " that time, state their period in the manifest.",
            )
    return "", ""


def _with_nearest(header: str, known: Iterable[str]) -> str:
    """An unknown header and, where one is near, the known one that may have been meant."""
    close = difflib.get_close_matches(normalise_header(header), [normalise_header(k) for k in known], n=1, cutoff=0.7)
    return f"{header} ≈ {next(k for k in known if normalise_header(k) == close[0])}" if close else header


def _decode(desk: Desk, delivery: Delivery, item: Item, source: Path) -> Decoded:
    target = desk.home.staged(delivery.delivery_id)
    if delivery.is_nil and delivery.size == 0:  # a declared nil return need not even have a header
        return empty(target)
    is_echo = echoes(desk.catalog, desk.as_of)
    return read(source, target, desk.catalog, item, delivery.department, desk.home.work, is_echo)


def read(
    source: Path, target: Path, catalog: Catalog, item: Item, department: str, work: Path,
    is_echo: Callable[[str], bool] = lambda header: False,
) -> Decoded:  # fmt: skip
    """decode a file by its department's own words for headers. Where two of its columns would then stand for one field,
    the file follows the template, and the words are the catalogue's. Raises `DeliveryError`."""
    own, common = (Headers(_fields(catalog, item, whose), is_echo) for whose in (department, None))
    sender = catalog.departments.get(department)
    declared, layout = sender.format_of(item.code) if sender else None, _layout(catalog, item, department)
    try:
        return decode(source, target, own, work, declared, layout)
    except DeliveryError as e:
        if e.code != "F006" or own == common:
            raise
        return decode(source, target, common, work, declared, layout)


def _layout(catalog: Catalog, item: Item, department: str) -> Layout | None:
    rows = editions.layout(catalog, item, department)
    live = {f.name for f in item.live_fields}
    columns = tuple(Column(r.field, r.start - 1, r.length) for r in rows if r.field in live)
    return Layout(columns, rows[0].unit == "bytes", max(r.start - 1 + r.length for r in rows)) if columns else None


def echoes(catalog: Catalog, on: date) -> Callable[[str], bool]:
    """Whether a header that no field has is that of an echo column: it has an agreed prefix, and names nothing that the
    law keeps out."""
    prefixes = tuple(normalise_header(prefix) for prefix in catalogue.effective(catalog, "echo_prefixes", on))

    def is_echo(header: str) -> bool:
        return normalise_header(header).startswith(prefixes) and not lint_law.is_withheld(catalog, header, on)

    return is_echo


def _fields(catalog: Catalog, item: Item, department: str | None) -> dict[str, str]:
    known = editions.headers(catalog, item, department)
    return {normalise_header(header): field for header, field in known.items()}
