"""`gate`: published, held, or could not be evaluated. First each delivery alone, then each item on what is left.

Nothing here stops the others: a held delivery is left out, a held item keeps its last release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, Any

from pipelines.stages.evaluate import FAILED, PASSED, UNEVALUATED, Evaluator, Outcome
from schemas import suite
from schemas.model import Catalog, Item

if TYPE_CHECKING:  # a department's dry run asks for the first part alone, and has no stores
    from pipelines.stages.candidate import Candidate
    from pipelines.stores.ledger import Ledger

Reason = tuple[str, str, str]  # finding code, message zh, message en
SCHEMA = "staging"
# A person may decide that these are right after all; a broken account never is.
WAIVABLE = ("F011", "F042", "G002", "G005", "H001", "H010", "H017")
LET_PASS = "G007"
FINDING = {FAILED: "G003", UNEVALUATED: "G004"}


@dataclass(frozen=True)
class DeliveryLimits:
    """Dated limits of the delivery gate in force on the as-of date; see catalog/policy."""

    reject_rate_limit: float
    volume_low_factor: float
    volume_high_factor: float
    volume_history_count: int
    volume_minimum_history: int
    volume_minimum_rows: int
    absent_share_limit: float
    absent_minimum_rows: int
    destroyed_share_limit: float
    destroyed_minimum_count: int
    rounded_share_limit: float
    rounded_minimum_count: int


def delivery_reasons(read: int, account: dict[str, int], limits: DeliveryLimits) -> list[Reason]:
    """Why a checked delivery is held by its own account; empty means it passes."""
    reasons = []
    if read != sum(account.values()):
        reasons.append(("G001", "行数账不平，整批暂缓。", "The row account does not balance; the delivery is held."))
    if read and account.get("rejected", 0) > limits.reject_rate_limit * read:
        share, most = account["rejected"] / read, limits.reject_rate_limit
        reasons.append(
            (
                "G002",
                f"{share:.0%} 的行被退回，超过限额 {most:.0%}，整批暂缓。",
                f"{share:.0%} of the rows were rejected, above the limit of {most:.0%}; delivery held.",
            )
        )
    return reasons


def number_reasons(numbers: int, destroyed: int, rounded: int, limits: DeliveryLimits) -> list[Reason]:
    """Why a delivery went through a program that took identity numbers for quantities: of `numbers` of 18 digits, those
    that end in 000 (a spreadsheet keeps 15 digits) and those that are multiples of 64 (a double near 4.6e17 is one).

    One in twelve of such numbers has the right check digit by chance and is somebody else's, so no row is safe.
    """
    if destroyed >= limits.destroyed_minimum_count and destroyed > limits.destroyed_share_limit * numbers:
        zh, en = "末三位为 000", "end in 000"
        found = destroyed
    elif rounded >= limits.rounded_minimum_count and rounded > limits.rounded_share_limit * numbers:
        zh, en = "带有浮点数舍入的痕迹", "bear the mark of floating point"
        found = rounded
    else:
        return []
    return [
        (
            "G005",
            f"{numbers:,} 个 18 位号码中有 {found:,} 个{zh}：该列曾被当作数值处理，校验码相符的也不可信，整批暂缓。",
            f"{found:,} of {numbers:,} numbers of 18 digits {en}: the column was taken for quantities, and even numbers"
            " whose check digit fits are not to be trusted; the delivery is held.",
        )
    ]


def volume_reasons(
    read: int, history: Sequence[int], limits: DeliveryLimits, *, is_nil: bool = False, is_supplement: bool = False
) -> list[Reason]:
    """Why the number of rows is far from the usual one: the median of `history`, rows of released periods.

    Not applicable, hence empty: a declared nil return, too little history, numbers too small to tell. An empty file
    that nobody declared is judged: a failed export looks like that. A supplement (incremental, another delivery of
    the same period was there before it) is small by nature, so it is only asked whether it is too large.
    """
    if is_nil or len(history) < limits.volume_minimum_history:
        return []
    usual = median(history)
    if max(read, usual) < limits.volume_minimum_rows:
        return []
    low, high = limits.volume_low_factor * usual, limits.volume_high_factor * usual
    if read <= high and (is_supplement or read >= low):
        return []
    zh = (
        f"本次 {read:,} 行，以往 {len(history)} 期通常为 {usual:,.0f} 行，"
        f"不在 {low:,.0f} 至 {high:,.0f} 行之间，整批暂缓。"
    )
    en = (
        f"{read:,} rows; usually {usual:,.0f} over {len(history)} periods, so {low:,.0f} to {high:,.0f} are expected;"
        " the delivery is held."
    )
    return [("H001", zh, en)]


def absence_reasons(
    shown: int, absent: int, read: int, limits: DeliveryLimits, *, is_nil: bool = False
) -> list[Reason]:
    """Why a complete full delivery is held for what it leaves out: `absent` of the `shown` records that the release
    shows of its department would be withdrawn. A file without rows that does not say nil is a failed export."""
    if not read and not is_nil and absent:
        return [
            (
                "H017",
                f"全量报送没有数据行，清单也未声明无数据：已发布的 {absent:,} 条记录将全部撤回，整批暂缓。",
                f"This full delivery has no rows and its manifest does not say nil: all {absent:,} published records"
                " would be withdrawn; the delivery is held.",
            )
        ]
    if absent < limits.absent_minimum_rows or absent <= limits.absent_share_limit * shown:
        return []
    share, most = absent / shown, limits.absent_share_limit
    return [
        (
            "H017",
            f"全量报送未包含已发布 {shown:,} 条记录中的 {absent:,} 条（{share:.0%}），超过限额 {most:.0%}，整批暂缓。",
            f"This full delivery leaves out {absent:,} of {shown:,} published records ({share:.0%}), above the limit of"
            f" {most:.0%}; the delivery is held.",
        )
    ]


def gate_items(
    ledger: Ledger,
    catalog: Catalog,
    candidates: Sequence[Candidate],
    limits: suite.Limits,
    as_of: date,
    excuse: Callable[[Candidate, str], Mapping[str, Any] | None],
    told_excuse: Callable[[Mapping[str, Any]], tuple[str, str]],
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, str]:
    """Judge every candidate, in one process that pays the import of Great Expectations once.

    Reads candidates, `staging` and the ledger; writes ledger.gate_result and, on the deliveries of an item that is
    held, what holds it (they stay checked). Returns item -> passed, failed or could_not_evaluate. A candidate that
    does not start from the current release is left out: it can never be published and is made anew. `excuse` tells the
    decision by which a candidate passes although an expectation of that name failed, `told_excuse` what is told of it.
    """
    bases = ledger.current_snapshots()
    current = [c for c in candidates if tuple(bases.get(c.item, (None,) * 3)) == c.base]
    verdicts: dict[str, str] = {}
    if not current:
        return verdicts
    with Evaluator() as evaluator:
        tell(f"gate: Great Expectations imported in {evaluator.import_seconds:.1f} s")
        for c in current:
            previous = ledger.last_figures(c.item, c.candidate)
            _, outcomes = gate_item(evaluator, ledger.url, catalog.items[c.item], c, previous, limits, as_of)
            by = {o.name: excuse(c, o.name) for o in outcomes if o.outcome == FAILED}
            outcomes = [replace(o, decision=d["number"]) if (d := by.get(o.name)) else o for o in outcomes]
            found = verdict(outcomes)
            detail = {"as_of": as_of.isoformat(), "figures": c.profile, "outcomes": [asdict(o) for o in outcomes]}
            ledger.gate(c.candidate, c.item, found, detail)
            zh, en = because(outcomes)
            code = FINDING.get(found, "")
            if code:
                told = catalog.findings[code]
                zh, en = f"{told.message_zh}{zh}", f"{told.message_en} {en}"
            excused = next((d for d in by.values() if d), None) if found == PASSED else None
            if excused:
                code, (zh, en) = LET_PASS, told_excuse(excused)
            for delivery_id in c.deliveries:  # after a pass too: an earlier night may have left a message
                if code or ledger.deliveries(only=delivery_id)[0]["message_code"] != LET_PASS:
                    ledger.update(delivery_id, message_code=code, message_zh=zh, message_en=en)
            verdicts[c.item] = found
            tell(f"gate: {c.item} {found}{': ' if code else ''}{en}")
    return verdicts


def gate_item(
    evaluator: Evaluator,
    url: str,
    item: Item,
    candidate: Candidate,
    previous: suite.Figures | None,
    limits: suite.Limits,
    as_of: date,
) -> tuple[str, list[Outcome]]:
    """Both suites of one item. Reads the candidate's profile and `staging."<item>"`; writes nothing.

    The verdict is `passed`, `failed` or `could_not_evaluate`; a failure that was seen outweighs what was not.
    """
    asked = suite.profile(item, candidate.profile, previous, limits, as_of)
    outcomes = evaluator.figures(candidate.profile, asked)
    outcomes += gate_staged(evaluator, url, SCHEMA, item.code, item, candidate.upsert_rows)
    return verdict(outcomes), outcomes


def gate_staged(evaluator: Evaluator, url: str, schema: str, table: str, item: Item, rows: int) -> list[Outcome]:
    """The suite over the staged warehouse table, which should hold `rows` records under a valid primary key."""
    return evaluator.table(url, schema, table, suite.staged(item, rows, schema, table))


def verdict(outcomes: Sequence[Outcome]) -> str:
    """No outcome at all proves nothing, so it is not a pass."""
    found = {PASSED if o.decision else o.outcome for o in outcomes}
    if FAILED in found:
        return FAILED
    return UNEVALUATED if UNEVALUATED in found or not outcomes else PASSED


def because(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Which expectations held the item, with observed figure and limit, in Chinese and English; '' if none did."""
    zh, en = [], []
    for o in outcomes:
        if o.outcome == FAILED and not o.decision:
            zh.append(f"{o.zh}：实际 {o.observed or '不符'}，允许 {o.limit}")
            en.append(f"{o.name}: {o.observed or 'not so'}, allowed {o.limit}")
        elif o.outcome == UNEVALUATED:
            zh.append(f"{o.zh}：未能检查（{o.error}）")
            en.append(f"{o.name}: could not be evaluated ({o.error})")
    return "；".join(zh), "; ".join(en)
