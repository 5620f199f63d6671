"""`qiongxin check`: a department's own dry run of a file, offline, before it delivers it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands import screen
from pipelines.commands.account import sentence
from pipelines.commands.journey import app
from pipelines.commands.options import DEFAULT_HOME, JsonOption, TodayOption, as_day
from pipelines.errors import UsageFault

__all__ = ["app"]

if TYPE_CHECKING:
    from pipelines.stages.manifest import Manifest
    from schemas.model import Catalog


@app.command(epilog="Example: qiongxin check honours.xlsx --item honour --department civilization_office")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file as it would be delivered.")],
    item: Annotated[str, typer.Option("--item", metavar="I", help="Code of the item; see 'qiongxin catalog list'.")],
    department: Annotated[
        str, typer.Option(metavar="D", help="Whose headers and codes the file speaks; the only provider by default.")
    ] = "",
    period: Annotated[
        date | None, typer.Option(parser=as_day, metavar="DATE", help="Period; the manifest's, else the as-of date.")
    ] = None,
    day: TodayOption = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="M", help="FILE.manifest.json by default, where there is one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write; beside FILE by default.")] = None,
    first: Annotated[int, typer.Option(min=0, metavar="N", help="Findings to show on the screen.")] = 20,
    home: Annotated[
        Path,
        typer.Option("--home", envvar="QIONGXIN_HOME", metavar="DIR", help="Need not exist; samples pass with theirs."),
    ] = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check a file before it is delivered.

    The same checks as on a night, with no database and offline; duplicates, history and volume are looked at in a
    delivery only. Writes FILE.findings.xlsx and FILE.findings.json, and nothing else. Ends with 1 where a row or the
    file would not be taken.
    """
    if not file.is_file():
        raise UsageFault(f"{file}: {'a folder' if file.is_dir() else 'no such file'}. Name the file to check.")
    target = (out or file.parent).resolve()
    from pipelines.model import Home

    if target.is_relative_to(Home(home.resolve()).inbox):
        raise UsageFault(f"{target}: what lies in an inbox is delivered. Name another folder with --out.")
    from pipelines.commands.vanishing import vanishing

    with vanishing(target) as folder:
        from pipelines import dry_run
        from pipelines.judge import kept_catalogue, kept_path
        from pipelines.stages.manifest import MANIFEST

        _remember(folder / "compiled")
        catalog = kept_catalogue(Home(folder))
        _forget(kept_path(Home(folder), catalog.revision))
        whose = _sender(catalog, item, department)
        said = _manifest(manifest, file.with_name(file.name + MANIFEST))
        if period is not None:
            said = replace(said, period=period)
        if Home(home).is_sample:
            (folder / "sample.json").write_text("{}")
        with screen.progress(as_json) as tell:
            tried = dry_run.dry_run(
                file, target, Home(folder), catalog, whose, item, said, day or date.today(), first, tell
            )
    if as_json:
        with tried.listing.open(encoding="utf-8") as listing:
            shutil.copyfileobj(listing, sys.stdout)
    else:
        for finding in tried.first:
            print(sentence(finding))
        if tried.total > len(tried.first):
            print(f"… and {tried.total - len(tried.first):,} more in {tried.workbook.name}")
        for line in dry_run.lines(tried):
            print(line)
        print(f"wrote {tried.workbook} and {tried.listing.name}")
    if not tried.is_clean:
        raise typer.Exit(1)


def _manifest(named: Path | None, beside: Path) -> Manifest:
    """What the manifest says that was named, or that lies beside the file; nothing where there is none."""
    from pipelines.stages.manifest import Manifest, parse

    path = named or beside
    if named is None and not path.exists():
        return Manifest()
    if not path.is_file():
        raise UsageFault(f"--manifest {path}: no such file. Name the manifest, or leave the option out.")
    said = parse(path.read_bytes())
    if not said.is_readable:
        raise UsageFault(f"{path}: not a JSON object, so a night would not read it. Mend it, or take it away.")
    return said


def _remember(compiled: Path) -> None:
    """Let what is compiled of the catalogue, which holds nothing of anybody, outlive the folder: half of the time that
    a small file takes. Where there is no place for it, it is made anew each time."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qiongxin"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        compiled.symlink_to(place)
    except OSError:
        return


def _forget(kept: Path) -> None:
    """Drop what was compiled of other catalogues."""
    if [path for path in kept.parent.glob("catalogue-*.json") if path.name != kept.name]:
        for path in kept.parent.glob("*.json"):
            if path.name != kept.name:
                path.unlink(missing_ok=True)


def _sender(catalog: Catalog, item: str, department: str) -> str:
    """The department whose words count; '' for the catalogue's own, where several provide the item and none is named.
    """
    from schemas.lint_items import near

    if item not in catalog.items:
        raise UsageFault(f"--item {item}: no such item. {near(item, catalog.items, 'See qiongxin catalog list.')}")
    providers = catalog.items[item].providers
    if department:
        if department not in providers:
            cure = near(department, providers, f"Known: {', '.join(providers)}.")
            raise UsageFault(f"--department {department}: does not provide {item}. {cure}")
        return department
    if len(providers) > 1:
        told = f"{item} comes from {', '.join(providers)}: checked by the catalogue's own words."
        screen.remark(f"--department: {told} Name yours for its headers and codes.")
        return ""
    return providers[0]
