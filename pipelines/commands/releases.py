"""Commands about releases: which there are, what differs between two, and what departments say differently in one."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import open_ledger
from pipelines.commands.options import DEFAULT_HOME, CsvOption, HomeOption, JsonOption, WhyOption
from pipelines.commands.upkeep import app

RELEASE = ("number", "release_id", "as_of", "revision", "deliveries")
CHANGE = ("item", "kind", "record_key", "subject_id", "fields", "before", "after")
KINDS = ("ADD", "MOD", "DEL")
DISAGREEMENT = ("item", "record_key", "state", "first", "other", "fields", "identifying")


@app.command(epilog="Example: qiongxin releases")
def releases(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show the releases, the latest first."""
    with open_ledger(home) as ledger:
        count = Counter(r["release_id"] for r in ledger.deliveries("released"))
        found = [{**r, "deliveries": count[r["release_id"]]} for r in reversed(ledger.releases())]
    if as_json:
        screen.as_json_list({n: r[n] for n in (*RELEASE, "previous")} for r in found)
    else:
        screen.table(RELEASE, [[r[n] for n in RELEASE] for r in found])


@app.command(epilog="Example: qiongxin changes 2026-11-22 2026-11-23 --item honour")
def changes(
    first: Annotated[str, typer.Argument(metavar="RELEASE|DATE", help="The older one.")],
    last: Annotated[str, typer.Argument(metavar="RELEASE|DATE", help="The newer one.")],
    item: Annotated[str | None, typer.Option(metavar="CODE", help="Only this item, record by record.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Show what differs between two releases: records added (ADD), modified (MOD) and deleted (DEL).

    By item how many; with --item, --json or --csv each by its key, with the fields that differ and the statement by
    which it showed. No value of a record is shown.
    """
    from pipelines.changes import changes as differing
    from pipelines.model import Home

    with open_ledger(home) as ledger:
        found = (c.as_dict() for c in differing(Home(home.resolve()), ledger, first, last, item))
        if as_json:
            screen.as_json_list(found)
        elif as_csv:
            screen.as_csv(CHANGE, ([c[n] for n in CHANGE[:4]] + [",".join(c["fields"]), *_places(c)] for c in found))
        elif item:
            screen.table(CHANGE, [[*(c[n] for n in CHANGE[:4]), ", ".join(c["fields"]), *_places(c)] for c in found])
        else:
            count = Counter((c["item"], c["kind"]) for c in found)
            rows = [[code, *(count[code, kind] for kind in KINDS)] for code in sorted({code for code, _ in count})]
            screen.table(("item", *KINDS), rows, thousands=True)
            if not rows:
                print("no record differs")


@app.command(epilog="Example: qiongxin disagreements --item administrative_penalty")
def disagreements(
    item: Annotated[str | None, typer.Option(metavar="CODE", help="Only this item.")] = None,
    reason: WhyOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Show what several departments say differently of one record: who shows, who says otherwise, and what.

    `first` is the statement that comes first by the declared precedence: it shows where the record is shared. Of fields
    that identify a person it is told only that they differ.
    """
    from pipelines.disagreements import disagreements as differing
    from pipelines.model import Home
    from pipelines.stores import inquiries

    with open_ledger(home) as ledger:
        found = [d.as_dict() for d in differing(Home(home.resolve()), ledger, item)]
        release = ledger.current_release()
        shown = release["release_id"] if release else None
        inquiries.enter(ledger, "disagreements", item or "", shown, len(found), reason)
    if as_json:
        screen.as_json_list(found)
        return
    rows = [[d["item"], d["record_key"], d["state"], _place(d["first"]), _place(d["other"]),
             "; ".join(f"{name}: {_said(pair)}" for name, pair in d["fields"].items()), ", ".join(d["identifying"])]
            for d in found]  # fmt: skip
    if as_csv:
        screen.as_csv(DISAGREEMENT, rows)
        return
    screen.table(DISAGREEMENT, rows)
    pairs = Counter((d["item"], d["first"]["department"], d["other"]["department"]) for d in found)
    for (code, first, other), count in sorted(pairs.items()):
        print(f"{count:,} {code}: {first} before {other}")
    if not found:
        print("no department says otherwise than the one that shows")


def _said(pair: list[str | None]) -> str:
    return " / ".join("—" if value is None else value for value in pair)


def _places(change: dict[str, object]) -> list[str]:
    return [_place(change[side]) for side in ("before", "after")]


def _place(told: object) -> str:
    """department delivery:line of a statement."""
    if not isinstance(told, dict):
        return ""
    sheet = f"{told['sheet']}!" if told["sheet"] else ""
    return f"{told['department']} {told['delivery_id']}:{sheet}{told['line']}"


__all__ = ["app"]
