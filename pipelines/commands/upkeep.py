"""Commands about what is here already: judge it again, follow a row, keep it in order."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import screen
from pipelines.commands.account import named_server, numbers_missing, one_delivery, open_ledger, show_account
from pipelines.commands.check import app
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, TodayOption, as_day, existing
from pipelines.errors import UsageFault

CHANGE = ("delivery_id", "department", "item", "period", "before", "state", "read", "taken", "stopped", "changed")


@app.command(epilog="Example: qiongxin replay --from 2026-11-01 --to 2026-11-22")
def replay(
    first: Annotated[date, typer.Option("--from", parser=as_day, metavar="DATE", help="First period.")],
    last: Annotated[
        date | None, typer.Option("--to", parser=as_day, metavar="DATE", help="Last period; the same by default.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Let the rows come back; else nothing is changed.")] = False,
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Judge deliveries again from their archived bytes, under today's catalogue.

    Shows per delivery what would change: rows taken that were rejected or held, rows stopped that were accepted, rows
    whose content would differ. --apply takes the first kind into a release; accepted rows stay as they are.
    """
    from pipelines import run
    from pipelines.again import Difference

    place = existing(home)
    until = last or first
    if until < first:
        raise UsageFault(f"--to {until}: lies before --from {first}. Name the first period, then the last.")
    with named_server(place), screen.progress(as_json) as tell:
        told = run.replay(place, day or date.today(), first, until, apply, tell)
    if as_json:
        screen.as_json(told)
        raise typer.Exit(told["exit_code"])
    changes = [d for d in told["deliveries"] if not Difference(**d).is_none]
    if changes:
        screen.table((*CHANGE, "by code"), [[*(d[n] for n in CHANGE), _codes(d)] for d in changes], thousands=True)
    judged = f"{len(told['deliveries']):,} deliveries judged again, {len(changes):,} would change"
    print(f"{judged.replace('would change', 'changed') if apply else judged}; bytes gone of {len(told['gone']):,}")
    if apply:
        with open_ledger(home) as ledger:
            named = {d["delivery_id"] for d in changes}
            rows = ledger.deliveries()
            show_account([r for r in rows if r["delivery_id"] in named], numbers_missing(rows))
        print(f"release: {told['release'] or 'none'}")
    elif changes:
        print("nothing was changed; add --apply to take the rows")
    raise typer.Exit(told["exit_code"])


@app.command(epilog="Example: qiongxin revert --delivery 3681ad5e --by 'Wang, data desk' --reason 'sent by mistake'")
def revert(
    delivery: Annotated[str, typer.Option(metavar="ID", help="A released delivery; its first letters do.")],
    by: Annotated[str, typer.Option(metavar="WHO", help="Who decided it.")],
    reason: Annotated[str, typer.Option(metavar="WHY", help="Why; the department reads it in its receipt.")],
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take a released delivery back, in a release of its own.

    None of its rows counts any more, and what others say of its records shows. History keeps what it said.
    """
    from pipelines import run

    if not by.strip() or not reason.strip():
        raise UsageFault("revert: --by and --reason say who decided it, and why. Give both.")
    place = existing(home)
    with open_ledger(home) as ledger:
        row = one_delivery(ledger, delivery)
    with named_server(place), screen.progress(as_json) as tell:
        told = run.revert(place, day or date.today(), row["delivery_id"], by.strip(), reason.strip(), tell)
    if as_json:
        screen.as_json({"delivery": row["delivery_id"], **told})
        raise typer.Exit(told["exit_code"])
    with open_ledger(home) as ledger:
        show_account([one_delivery(ledger, row["delivery_id"])], {})
    print(f"release: {told['release'] or 'none'}")
    if row["item"] in told["held"]:
        print(f"held: the release waits at the gate of {row['item']}; the reversal is carried out once it passes")
    raise typer.Exit(told["exit_code"])


@app.command(epilog="Example: qiongxin delete --record 0f3a... --by 'Credit office' --basis 'court order 12 of 2026'")
def delete(
    record: Annotated[str, typer.Option(metavar="KEY", help="A record_key, 32 hexadecimal digits.")],
    by: Annotated[str, typer.Option(metavar="WHO", help="Who decided it.")],
    basis: Annotated[str, typer.Option(metavar="WHY", help="On which basis. Write no name and no number.")],
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Delete a record for good, in a release of its own.

    Nothing of it is left in records, history, warehouse and vault, and a delivery that speaks of it is refused (L010).
    Older releases of its item, and the files that brought it, go at their dated limits. It cannot be undone.
    """
    from pipelines import run
    from pipelines.trace import digits

    if not by.strip() or not basis.strip():
        raise UsageFault("delete: --by and --basis say who decided it, and on which basis. Give both.")
    place, key = existing(home), digits(record)
    with named_server(place), screen.progress(as_json) as tell:
        told = run.delete(place, day or date.today(), key, by.strip(), basis.strip(), tell)
    if as_json:
        screen.as_json({"record": key.lower(), **told})
    else:
        print(f"release: {told['release'] or 'none'}")
        if told["held"]:
            print("held: a gate holds something; where that is its item, the record is deleted once it passes")
    raise typer.Exit(told["exit_code"])


DELETION = ("item", "records", "written_on", "written_by", "basis", "release")


@app.command(epilog="Example: qiongxin deletions")
def deletions(
    keys: Annotated[bool, typer.Option("--keys", help="Each by its key; 'restore' reads the JSON.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show how many records of which item were deleted, when, by whom and on which basis.

    A line without a release tells of records that the next night deletes.
    """
    from pipelines.stores import tombstones

    with open_ledger(home) as ledger:
        found = tombstones.all_of(ledger) if keys else tombstones.summary(ledger)
    head = tuple(found[0]) if keys and found else DELETION
    if as_json:
        screen.as_json_list(found)
    else:
        screen.table(head, [[d[n] for n in head] for d in found])


def _codes(change: dict[str, Any]) -> str:
    taken = [f"+{n:,} {code}" for code, n in change["taken_codes"].items()]
    return " ".join([*taken, *(f"-{n:,} {code}" for code, n in change["stopped_codes"].items())])


@app.command(epilog="Example: qiongxin trace --delivery 3681ad5e")
def trace(
    record: Annotated[str, typer.Option("--record", metavar="KEY", help="A record_key, 32 hexadecimal digits.")] = "",
    delivery: Annotated[str, typer.Option("--delivery", metavar="ID", help="A delivery; its first letters do.")] = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Follow a record back to files and lines, or the rows of a delivery to records.

    Tells by which revision each was judged and which releases show it. No value of a row is shown.
    """
    from pipelines.model import Home
    from pipelines.trace import trace_delivery, trace_record

    if bool(record) == bool(delivery):
        raise UsageFault("trace: name one of --record KEY and --delivery ID.")
    place = Home(existing(home))
    with open_ledger(home) as ledger:
        if record:
            statements = trace_record(place, ledger, ledger.url, record)
        else:
            told = trace_delivery(place, ledger, ledger.url, one_delivery(ledger, delivery))
    if record:
        if as_json:
            screen.as_json_list(statements)
        else:
            head = ("item", "department", "delivery_id", "file", "line", "sheet", "period", "sequence", "action",
                    "revision", "release", "reverted", "shown")  # fmt: skip
            screen.table(head, [[*(s[n] for n in head[:-1]), _spans(s["shown"])] for s in statements])
        return
    if as_json:
        screen.as_json(told)
        return
    for name, value in told.items():
        if name not in ("rows", "account") and value not in ("", None, []):
            print(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    print("account: " + ", ".join(f"{name} {n:,}" for name, n in told["account"].items() if n))
    columns = ("line", "sheet", "verdict", "codes", "record_key", "waited_since", "ended", "corrected_by",
               "judged_under")  # fmt: skip
    if told["rows"]:
        screen.table(columns, [[r.get(n) for n in columns] for r in told["rows"]])


def _spans(shown: list[list[int]]) -> str:
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in shown)


@app.command(epilog="Example: qiongxin sweep --date 2026-11-22")
def sweep(
    apply: Annotated[bool, typer.Option("--apply", help="Remove the files; else nothing is changed.")] = False,
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show the files of deliveries that are past their dated limit.

    The limits are policy (catalog/policy/retention.toml). Every nightly removes such files; the ledger keeps the
    account and the verdict of every row.
    """
    from pipelines import run
    from pipelines.night import open_night

    place: Path = existing(home)
    with named_server(place), open_night(place, day or date.today(), is_preview=True) as night:
        swept = run.sweep_files(night, is_preview=not apply)
    if as_json:
        screen.as_json([s.__dict__ for s in swept])
        return
    head = ("place", "limit in days", "files", "bytes")
    screen.table(head, [[s.place, s.days, s.files, s.size] for s in swept], thousands=True)
    print("removed" if apply else "nothing was removed; the next nightly does it, or add --apply")


@app.command(epilog="Example: qiongxin tidy")
def tidy(day: TodayOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Keep the home in order: remove what is past its limit or unused, and merge small data files.

    Where an item has many small files they are merged, in a release of its own that shows the same rows. The limits are
    policy (catalog/policy/operations.toml, retention.toml). The scheduler does it every day.
    """
    from pipelines import steps

    place = existing(home)
    with named_server(place):
        told = steps.tidy(str(place), (day or date.today()).isoformat())
    if as_json:
        screen.as_json(told)
        return
    print(f"removed: {told['files_past_limit']:,} files past their limit, {told['files_unnamed']:,} that nothing names")
    print(f"snapshots past their limit: {', '.join(told['items_expired']) or 'none'}")
    print(f"merged: {told['files_merged']:,} small data files into {told['files_made']:,};"
          f" release: {told['release'] or 'none'}")  # fmt: skip


__all__ = ["app"]
