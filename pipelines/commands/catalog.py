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
    import difflib

    from schemas.dictionary import rules
    from schemas.load import load

    catalog = load()
    if item not in catalog.items:
        close = difflib.get_close_matches(item, list(catalog.items), n=1)
        cure = f"Did you mean '{close[0]}'?" if close else "See 'qiongxin catalog list'."
        raise UsageFault(f"{item}: no such item. {cure}")
    found = catalog.items[item]
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
