"""`qiongxin subjects`: who a record is about: conflicts, judgements, coverage. No name or number is ever shown."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import open_ledger
from pipelines.commands.options import DEFAULT_HOME, PLAIN, HomeOption, JsonOption, TodayOption, existing
from pipelines.errors import UsageFault

CONFLICT = ("conflict", "kind", "why", "subjects", "items", "departments", "records", "judgements")
JUDGEMENT = ("number", "verdict", "subject_id", "other_id", "conflict", "made_on", "made_by", "reason", "undone_on",
             "undone_by", "undone_reason")  # fmt: skip
COVERAGE = ("scope", "name", "records", "verified", "verified_share", "subjects", "persons", "verified_persons",
            "persons_share")  # fmt: skip

subjects_app = typer.Typer(**PLAIN, help="Who a record is about: conflicts, people's judgements, coverage.")
ByOption = Annotated[str, typer.Option("--by", metavar="WHO", help="Who decides it.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="WHY", help="Why, without names and numbers.")]


@subjects_app.command("conflicts", epilog="Example: qiongxin subjects conflicts --kind link")
def list_conflicts(
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only this kind.")] = None,
    settled: Annotated[bool, typer.Option("--all", help="Also those that a judgement has settled.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what is said of subjects that cannot all be true, for somebody to look at.

    number_with_names: one number, several names that the register does not tell of. sex_against_number,
    birth_against_number: a cell and the number differ. name_and_birth_with_numbers: several persons share both. link:
    a link that is left out, since it leads back, to several persons, or against a judgement.
    """
    from pipelines.conflicts import KINDS, conflicts
    from pipelines.model import Home
    from pipelines.stores.own_keys import own_keys

    if kind is not None and kind not in KINDS:
        raise UsageFault(f"--kind {kind}: no such kind. There are: {', '.join(KINDS)}.")
    place = existing(home)
    with open_ledger(home) as ledger:
        found = (
            c.as_dict() for c in conflicts(Home(place), ledger, own_keys(place, ledger))
            if kind in (None, c.kind) and (settled or not c.judgements)
        )  # fmt: skip
        if as_json:
            screen.as_json_list(found)
            return
        rows = [[", ".join(map(str, v)) if isinstance(v := c[n], tuple) else v for n in CONFLICT] for c in found]
    screen.table(CONFLICT, rows, thousands=True)
    print(f"{len(rows):,} conflicts")


@subjects_app.command("judge", epilog="Example: qiongxin subjects judge --conflict 3f5c... --verdict different ...")
def judge(
    verdict: Annotated[str, typer.Option(metavar="VERDICT", help="same or different.")],
    by: ByOption,
    reason: ReasonOption,
    subject: Annotated[str, typer.Option("--subject", metavar="ID", help="A subject_id.")] = "",
    other: Annotated[
        str, typer.Option("--other", metavar="ID", help="Another; of one person, the one that stands for both.")
    ] = "",
    conflict: Annotated[str, typer.Option("--conflict", metavar="ID", help="A conflict of the list.")] = "",
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Enter what somebody has decided of two subjects, or of a conflict.

    It counts at once in `subjects` and `standing` of the current release, and from the next night on for events.
    Nothing is rewritten, and 'qiongxin subjects undo' takes it back.
    """
    from pipelines import subjects
    from pipelines.model import Home
    from pipelines.stores.still import at_work

    if bool(conflict) == bool(subject and other) or bool(subject) != bool(other):
        raise UsageFault("subjects judge: name --subject and --other, or --conflict alone.")
    on = day or date.today()
    with open_ledger(home) as ledger, at_work(ledger):
        if conflict:
            made = subjects.settle(Home(existing(home)), ledger, conflict, verdict, on, by, reason)
        else:
            made = subjects.judge(ledger, (subject, other), verdict, on, by, reason)
    if as_json:
        screen.as_json({"judgements": made})
    else:
        print(f"judgement {', '.join(map(str, made))} entered")


@subjects_app.command("undo", epilog="Example: qiongxin subjects undo 3 --by 'data desk' --reason 'wrong file'")
def undo(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="A judgement.")],
    by: ByOption,
    reason: ReasonOption,
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Enter that a judgement counts no more, as soon as it would have counted."""
    from pipelines import subjects
    from pipelines.stores.still import at_work

    with open_ledger(home) as ledger, at_work(ledger):
        subjects.undo(ledger, number, day or date.today(), by, reason)
    if as_json:
        screen.as_json({"undone": number})
    else:
        print(f"judgement {number} undone")


@subjects_app.command("judgements", epilog="Example: qiongxin subjects judgements --all")
def list_judgements(
    undone: Annotated[bool, typer.Option("--all", help="Also those that were undone.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what people have judged of subjects: who, when, why."""
    from pipelines.stores import judgements

    with open_ledger(home) as ledger:
        found = judgements.known(ledger) if undone else judgements.standing(ledger)
    if as_json:
        screen.as_json_list(found)
    else:
        screen.table(JUDGEMENT, [[j[n] for n in JUDGEMENT] for j in found])


@subjects_app.command("coverage", epilog="Example: qiongxin subjects coverage")
def show_coverage(
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="RELEASE|DATE", help="An older release.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show how many records are about persons whom the register has verified, and how many of all persons are known.

    By item and domain and in all. The population is policy (catalog/policy/subjects.toml).
    """
    from pipelines.coverage import coverage
    from pipelines.model import Home

    with open_ledger(home) as ledger:
        found = [c.as_dict() for c in coverage(Home(existing(home)), ledger, as_of)]
    if as_json:
        screen.as_json_list(found)
    else:
        screen.table(COVERAGE, [[c[n] for n in COVERAGE] for c in found], thousands=True)


__all__ = ["subjects_app"]
