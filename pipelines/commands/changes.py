"""`qiongxin catalog diff|apply`: what changed in the catalogue, and what that means for a home."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import screen
from pipelines.commands.catalog import catalog_app
from pipelines.commands.options import DEFAULT_HOME, HomeOption, JsonOption, existing
from pipelines.errors import UsageFault


@catalog_app.command("diff", epilog="Example: qiongxin catalog diff applied")
def catalog_diff(
    old: Annotated[str, typer.Argument(metavar="A", help="The older one: a folder, a revision, or 'applied'.")],
    new: Annotated[str | None, typer.Argument(metavar="B", help="The newer one; today's catalogue by default.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a changelog in Markdown.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Tell what changed between two catalogues, by item and field.

    A change is breaking, tightening, widening or editorial. 'applied' is the catalogue that the home's stores follow; a
    revision is one that they followed once.
    """
    from schemas.diff import changelog, diff

    changes = diff(_catalogue(old, home), _catalogue(new, home))
    if as_json:
        screen.as_json_list(c._asdict() for c in changes)
    elif markdown:
        print(changelog(changes), end="")
    else:
        _print(changes)


@catalog_app.command("apply", epilog="Example: qiongxin catalog apply --preview")
def catalog_apply(
    preview: Annotated[bool, typer.Option("--preview", help="Tell what would be done, and do nothing.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Bring the stores of a home to today's catalogue.

    New and renamed fields change Iceberg and PostgreSQL in place; old releases stay readable. A breaking change stops
    with its cure. The nightly does this by itself where nothing breaks.
    """
    from pipelines.apply import apply, plan, summary, told
    from pipelines.model import Home
    from pipelines.night import open_lake
    from pipelines.stores import postgres
    from pipelines.stores.ledger import Ledger
    from schemas.load import load
    from schemas.model import CatalogError

    place, catalog = Home(existing(home)), load()
    url = postgres.ensure(place.root)
    with Ledger(url) as ledger:
        ledger.prepare()
        planned, done = plan(ledger, catalog), list[str]()
        if not preview:
            planned, done = apply(place, ledger, open_lake(place, url), catalog, date.today())
    if as_json:
        changes = [c._asdict() for c in planned.changes]
        screen.as_json({"before": planned.before, "after": planned.after, "changes": changes, "done": done})
    else:
        print(summary(planned))
        _print(planned.changes)
        for line in done:
            print(line)
    if preview and planned.stopping:
        raise CatalogError(told(planned.stopping))


def _print(changes: Iterable[Any]) -> None:
    if listed := list(changes):
        screen.table(("change", "where", "key", "what", "instead"), listed)
    else:
        print("no change")


def _catalogue(named: str | None, home: Path) -> Any:
    """A catalogue by its folder, or from the ledger of a home by its revision."""
    from pipelines.apply import followed
    from pipelines.stores import postgres
    from pipelines.stores.ledger import Ledger
    from schemas.load import load

    if named is None:
        return load()
    if Path(named).is_dir():
        return load(Path(named).resolve())
    with Ledger(postgres.ensure(existing(home))) as ledger:
        ledger.prepare()
        revision = ledger.applied() if named == "applied" else named
        found = followed(ledger, revision) if revision else None
    if found is None:
        raise UsageFault(f"{named}: neither a folder nor a revision that this home followed.")
    return found


__all__ = ["catalog_app"]
