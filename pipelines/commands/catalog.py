"""`qiongxin catalog`: what the catalogue says, whether it has a fault, and the documents made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import screen
from pipelines.commands.manual import manual
from pipelines.commands.options import DEFAULT_HOME, PLAIN, AnyHomeOption, JsonOption
from pipelines.errors import UsageFault

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


@catalog_app.command("show", epilog="Example: qiongxin catalog show honour")
def catalog_show(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Code of the item.")],
    home: AnyHomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show an item with its fields and rules."""
    from schemas.dictionary import rules
    from schemas.load import load

    catalog = load()
    found = _item(item, catalog)
    if as_json:
        screen.as_json(found.model_dump(mode="json"))
        return
    print(f"{found.code} · {found.name_zh} · {found.name_en}\n")
    screen.table(
        ("field", "标签", "type", "unit", "length", "required", "code set", "sensitivity"),
        (
            (f.name, f.label_zh, f.type, f.unit, f.length, "yes" if f.required else "", f.code_set, f.sensitivity)
            for f in found.fields
        ),
    )
    for fields, zh, en, code, severity in rules(found, catalog):
        print(f"\n{fields.replace('`', '')} {code} {severity}\n  {zh}\n  {en}")


@catalog_app.command("export", epilog="Example: qiongxin catalog export honour --format xlsx --to honour.xlsx")
def catalog_export(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Code of the item.")],
    form: Annotated[str, typer.Option("--format", metavar="F", help="frictionless, jsonschema, md, odcs, sql, xlsx.")],
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write; else text is printed.")] = None,
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
    catalog = load()
    made = FORMATS[form].make(_item(item, catalog), catalog)
    if to is None and FORMATS[form].is_text and not as_json:
        print(made.decode(), end="")
        return
    path = to or Path(f"{item}{FORMATS[form].ending}")
    path.write_bytes(made)
    if as_json:
        screen.as_json({"written": [str(path)]})
    else:
        print(f"wrote {path}")


def _item(code: str, catalog: Any) -> Any:
    import difflib

    if code not in catalog.items:
        close = difflib.get_close_matches(code, list(catalog.items), n=1)
        cure = f"Did you mean '{close[0]}'?" if close else "See 'qiongxin catalog list'."
        raise UsageFault(f"{code}: no such item. {cure}")
    return catalog.items[code]


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
