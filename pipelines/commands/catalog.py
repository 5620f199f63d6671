"""`qiongxin catalog`: what the catalogue says, whether it has a fault, and the documents made from it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import screen
from pipelines.commands.manual import manual
from pipelines.commands.options import DEFAULT_HOME, PLAIN, AnyHomeOption, JsonOption, as_day
from pipelines.errors import UsageFault

SITE = Path("site")
catalog_app = typer.Typer(**PLAIN, help="The catalogue: what may be collected, by whom, under which law.")


@catalog_app.command("lint", epilog="Example: qiongxin catalog lint")
def catalog_lint(home: AnyHomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Read the whole catalogue.

    The first fault stops with file, key and cure. Attributes of persons that nothing needs are named.
    """
    from schemas.lint_law import unneeded
    from schemas.load import load

    catalog = load()
    idle = unneeded(catalog)
    counts = {name: len(getattr(catalog, name)) for name in ("items", "departments", "code_sets", "findings")}
    if as_json:
        screen.as_json({**counts, "revision": catalog.revision, "unneeded": idle})
        return
    told = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
    print(f"{told}, revision {catalog.revision}: no fault")
    if idle:
        print(f"collected for no purpose that is told: {', '.join(idle)}. Remove them, or say their purpose.")


@catalog_app.command("list", epilog="Example: qiongxin catalog list")
def catalog_list(home: AnyHomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the items with their providers."""
    from schemas.load import load

    items = load().items.values()
    if as_json:
        screen.as_json_list(i.model_dump(mode="json", exclude={"fields", "rules"}) for i in items)
        return
    screen.table(
        ("item", "名称", "name", "nature", "fields", "providers"),
        ((i.code, i.name_zh, i.name_en, i.nature, len(i.fields), ", ".join(i.providers)) for i in items),
    )


CountyOption = Annotated[str | None, typer.Option("--county", metavar="C", help="As the overlay of a county has it.")]
PeriodOption = Annotated[
    date | None, typer.Option("--period", parser=as_day, metavar="DATE", help="As of a period; today by default.")
]


@catalog_app.command("show", epilog="Example: qiongxin catalog show administrative_penalty --county yangpu")
def catalog_show(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Code of the item.")],
    county: CountyOption = None,
    period: PeriodOption = None,
    home: AnyHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show an item with its fields and rules.

    With a county, every line of it and the line of the catalogue that says so.
    """
    from schemas.dictionary import rules
    from schemas.load import CATALOG, load
    from schemas.origins import origins

    catalog = load()
    found = _item(item, catalog, county, period)
    if county is not None:
        told = origins(CATALOG, catalog, item, county, period or date.today())
        if as_json:
            screen.as_json_list(o._asdict() for o in told)
        else:
            screen.table(("says so", "key", "value"), ((o.where, o.key, o.value) for o in told))
        return
    if as_json:
        screen.as_json(found.model_dump(mode="json"))
        return
    print(f"{found.code} · {found.name_zh} · {found.name_en}\n")
    screen.table(
        ("field", "标签", "type", "unit", "length", "required", "code set", "sensitivity"),
        (
            (f.name, f.label_zh, f.type, f.unit, f.length, "yes" if f.required else "", f.code_set, f.sensitivity)
            for f in found.live_fields
        ),
    )
    for fields, zh, en, code, severity in rules(found, catalog):
        print(f"\n{fields.replace('`', '')} {code} {severity}\n  {zh}\n  {en}")


@catalog_app.command("export", epilog="Example: qiongxin catalog export honour --format xlsx --to honour.xlsx")
def catalog_export(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Code of the item.")],
    form: Annotated[str, typer.Option("--format", metavar="F", help="frictionless, jsonschema, md, odcs, sql, xlsx.")],
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write; else text is printed.")] = None,
    county: CountyOption = None,
    period: PeriodOption = None,
    home: AnyHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write an item for other tools.

    xlsx is the template that departments fill; jsonschema describes a JSON delivery, frictionless (a Data Package) one
    in CSV; sql makes the warehouse tables, odcs (Open Data Contract Standard) is the contract about what they hold; md
    is for reading.
    """
    from schemas.exports import FORMATS
    from schemas.load import load

    if form not in FORMATS:
        raise UsageFault(f"--format {form}: no such format. Known: {', '.join(FORMATS)}.")
    if county is not None and form in ("odcs", "sql"):
        raise UsageFault(f"--county {county}: {form} is about the table, which all departments share. Leave it out.")
    catalog = load()
    made = FORMATS[form].make(_item(item, catalog, county, period), catalog)
    if to is None and FORMATS[form].is_text and not as_json:
        print(made.decode(), end="")
        return
    path = to or Path(f"{item}{FORMATS[form].ending}")
    path.write_bytes(made)
    if as_json:
        screen.as_json({"written": [str(path)]})
    else:
        print(f"wrote {path}")


def _item(code: str, catalog: Any, county: str | None, period: date | None) -> Any:
    """The item as of a period, as a county has it."""
    from schemas.lint_items import near
    from schemas.overlay import effective

    counties = sorted(d.code for d in catalog.departments.values() if d.kind == "county")
    if county is not None and county not in counties:
        raise UsageFault(f"--county {county}: no such county. Known: {', '.join(counties)}.")
    if code not in catalog.items:
        cure = near(code, catalog.items, "See 'qiongxin catalog list'.")
        raise UsageFault(f"{code}: no such item. {cure}")
    on = period or date.today()
    if not catalog.items[code].holds(on):
        raise UsageFault(f"{code}: not in force on {on}. Name another day with --period.")
    return effective(catalog, code, county or "", on)


@catalog_app.command("docs", epilog="Example: qiongxin catalog docs")
def catalog_docs(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder; docs/ beside catalog/ by default.")] = None,
    home: AnyHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make the generated documents.

    The data dictionary, the finding codes, what the law keeps out, and this list of commands.
    """
    from schemas.load import CATALOG

    folder = to or CATALOG.parent / "docs"
    pages = documents(context.find_root().command)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    if as_json:
        screen.as_json({"written": [str(folder / name) for name in pages]})
    else:
        print(f"wrote {', '.join(pages)} under {folder.name}/")


def documents(root: Any) -> dict[str, str]:
    """File name under docs/ -> its whole text. `root` is the command that all others hang from."""
    from schemas.dictionary import dictionary
    from schemas.findings import findings
    from schemas.load import load
    from schemas.withheld import withheld

    catalog = load()
    return {
        "commands.md": manual(root),
        "dictionary.md": dictionary(catalog),
        "findings.md": findings(catalog),
        "withheld.md": withheld(catalog),
    }


@catalog_app.command("site", epilog="Example: qiongxin catalog site --to site")
def catalog_site(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the site; the site there is replaced.")] = SITE,
    period: PeriodOption = None,
    home: AnyHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make the catalogue as pages for departments, in Chinese and English.

    Open index.html of the folder: no server and no network is needed. A folder that holds anything else is refused.
    """
    from pipelines import sampling
    from pipelines.commands.folder import publish_folder
    from schemas.load import load
    from schemas.site import MARK, site

    catalog, on = load(), period or date.today()
    samples = sampling.examples(list(catalog.items), rows=5, seed=1, as_of=on)
    made = site(catalog, on, samples)
    publish_folder(to, made, MARK)
    size = sum(map(len, made.values()))
    if as_json:
        screen.as_json({"folder": str(to), "files": len(made), "bytes": size, "revision": catalog.revision})
    else:
        print(f"wrote {len(made):,} files, {size / 1e6:.1f} MB, revision {catalog.revision}: open {to / 'index.html'}")
