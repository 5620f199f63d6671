"""`qiongxin`: the command line. Each command is thin; what it does lies in `run`, `stores` and `schemas`."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from pipelines.errors import QiongxinError, store_fault
from schemas.model import CatalogError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="琼信 Qiongxin: personal public credit records.")
catalog_app = typer.Typer(no_args_is_help=True, help="The catalogue: what may be collected, by whom, under which law.")
db_app = typer.Typer(no_args_is_help=True, help="The embedded PostgreSQL of this home.")
stack_app = typer.Typer(no_args_is_help=True, help="The local Airflow of this home.")
app.add_typer(catalog_app, name="catalog")
app.add_typer(db_app, name="db")
app.add_typer(stack_app, name="stack")
out = Console()
err = Console(stderr=True)

HomeOption = Annotated[Path, typer.Option("--home", envvar="QIONGXIN_HOME", help="Where everything lies.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine output.")]
DEFAULT_HOME = Path("var")
SHOWN = ("read", "new", "changed", "unchanged", "duplicate", "superseded", "withdrawn", "rejected", "refused", "held")


def main() -> None:
    try:
        app()
    except (QiongxinError, CatalogError) as e:
        _stop(e)
    except Exception as e:
        fault = store_fault(e)
        if fault is None:
            raise
        _stop(fault)


def _stop(error: QiongxinError | CatalogError) -> NoReturn:
    err.print(str(error), style="red", markup=False)
    sys.exit(error.exit_code)


@app.command()
def sample(
    rows: Annotated[int, typer.Option(min=1, help="Rows over all items.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same files.")] = 1,
    dirty: Annotated[float, typer.Option(min=0, max=0.5, help="Share of rows with a planted defect.")] = 0.02,
    items: Annotated[str, typer.Option(help="Comma-separated; all by default.")] = "",
    nights: Annotated[int, typer.Option(min=1)] = 1,
    day: Annotated[str, typer.Option("--date", help="As-of date, YYYY-MM-DD.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Write invented departmental deliveries into the inboxes, and truth.json with every planted defect."""
    from pipelines import sampling

    chosen = [i for i in items.split(",") if i] or None
    as_of = date.fromisoformat(day) if day else date.today()
    truth = sampling.generate(home, rows=rows, seed=seed, dirty=dirty, items=chosen, nights=nights, as_of=as_of)
    out.print(f"wrote deliveries under {home}/inbox and {truth}", highlight=False)


@app.command()
def nightly(
    day: Annotated[str, typer.Option("--date", help="As-of date and default period, YYYY-MM-DD.")],
    engine: Annotated[str, typer.Option(help="duckdb (spark is not built yet).")] = "duckdb",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """The whole journey without Airflow, over every finished file now in the inboxes; prints the account."""
    from pipelines import run

    if engine != "duckdb":
        err.print(f"--engine {engine}: only duckdb is built. Leave the option out.")
        raise typer.Exit(2)
    try:
        date.fromisoformat(day)
    except ValueError as e:
        err.print(f"--date {day}: not a date. Write it as 2026-11-22.")
        raise typer.Exit(2) from e
    result = run.nightly(home, day, lambda text: None if as_json else out.print(text, highlight=False))
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        _print_account(_status(home, None))
        for name in result["waiting"]:
            out.print(f"waiting: {name} is still being written", highlight=False)
        for name in result["strangers"]:
            out.print(f"left alone: {name}: no such department and item in the catalogue", highlight=False)
    raise typer.Exit(result["exit_code"])


def _status(home: Path, delivery: str | None) -> list[dict[str, Any]]:
    from pipelines.stores import postgres
    from pipelines.stores.ledger import Ledger

    with Ledger(postgres.ensure(home.resolve())) as ledger:
        ledger.prepare()
        keep = ("delivery_id", "department", "item", "file", "state", *SHOWN)
        return [{k: row[k] for k in keep} for row in ledger.deliveries(only=delivery)]


def _print_account(rows: list[dict[str, Any]]) -> None:
    table = Table("delivery", "department", "item", "state", *SHOWN, title="row account")
    for row in rows:
        names = ("delivery_id", "department", "item", "state")
        table.add_row(*(str(row[n]) for n in names), *(f"{row[n]:,}" for n in SHOWN))
    Console(width=max(out.width, 180)).print(table)


@app.command()
def status(
    delivery: Annotated[str | None, typer.Option(help="Only this delivery.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Deliveries with their states and row accounts."""
    rows = _status(home, delivery)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        _print_account(rows)


@app.command()
def findings(
    delivery: Annotated[str, typer.Option(help="Delivery id, see 'qiongxin status'.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """All findings of a delivery."""
    import pyarrow.parquet as pq

    from pipelines.model import Home
    from pipelines.stages.receipt import render_findings
    from schemas.load import load

    path = Home(home.resolve()).findings(delivery)
    if not path.exists():
        err.print(f"{delivery}: no findings are kept for it. See 'qiongxin status'.")
        raise typer.Exit(2)
    rows = list(render_findings(pq.ParquetFile(path).iter_batches(), load().findings))
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        sheet = f"{row['sheet']}!" if row["sheet"] else ""
        text = f"{sheet}{row['line']} {row['field']} {row['code']} {row['severity']}: {row['message_zh']}"
        out.print(text, markup=False, highlight=False)


@app.command()
def query(
    sql: str,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Release id, or a date.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Read-only SQL over the published release: records.<item>, history.<item>."""
    from pipelines import run

    names, rows = run.query(home, sql, as_of)
    if as_json:
        print(json.dumps([dict(zip(names, r, strict=True)) for r in rows], ensure_ascii=False, default=_plain))
        return
    table = Table(*names)
    for r in rows:
        table.add_row(*("" if v is None else str(_plain(v) if isinstance(v, bytes) else v) for v in r))
    out.print(table)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


@catalog_app.command("lint")
def catalog_lint() -> None:
    """Read the whole catalogue; the first fault stops with file, key and cure."""
    from schemas.load import load

    catalog = load()
    out.print(
        f"{len(catalog.items)} items, {len(catalog.departments)} departments, {len(catalog.code_sets)} code sets,"
        f" revision {catalog.revision}: no fault",
        highlight=False,
    )


@catalog_app.command("list")
def catalog_list(as_json: JsonOption = False) -> None:
    """Items with their providers."""
    from schemas.load import load

    items = load().items.values()
    if as_json:
        print(json.dumps([i.model_dump(mode="json", exclude={"fields", "rules"}) for i in items], ensure_ascii=False))
        return
    table = Table("item", "名称", "name", "nature", "providers", "fields")
    for i in items:
        table.add_row(i.code, i.name_zh, i.name_en, i.nature, ", ".join(i.providers), str(len(i.fields)))
    out.print(table)


@catalog_app.command("show")
def catalog_show(item: str, as_json: JsonOption = False) -> None:
    """One item with its fields and rules."""
    from schemas.load import load

    catalog = load()
    if item not in catalog.items:
        raise CatalogError(f"catalog/items/{item}.toml: no such item. See 'qiongxin catalog list'.")
    found = catalog.items[item]
    if as_json:
        print(found.model_dump_json())
        return
    out.print(f"{found.code} · {found.name_zh} · {found.name_en}", highlight=False)
    table = Table("field", "标签", "type", "required", "code set", "unit", "sensitivity", "rules")
    for f in found.fields:
        rules = ", ".join(r.kind for r in f.rules)
        table.add_row(f.name, f.label_zh, f.type, "yes" if f.required else "", f.code_set or "", f.unit or "",
                      f.sensitivity, rules)  # fmt: skip
    out.print(table)


@db_app.command("up")
def db_up(home: HomeOption = DEFAULT_HOME) -> None:
    """Start the embedded PostgreSQL (or find it running)."""
    from pipelines.stores import postgres

    postgres.ensure(home.resolve())
    out.print("database: up")


@db_app.command("down")
def db_down(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop the embedded PostgreSQL."""
    from pipelines.stores import postgres

    out.print("database: stopped" if postgres.down(home.resolve()) else "database: was not running")


@db_app.command("url")
def db_url(home: HomeOption = DEFAULT_HOME) -> None:
    """Print the address (it holds the password)."""
    from pipelines.stores import postgres

    print(postgres.url(home.resolve()))


@stack_app.command("up")
def stack_up(home: HomeOption = DEFAULT_HOME) -> None:
    """Start scheduler, dag-processor, triggerer and api-server on loopback."""
    from pipelines import stack

    state = stack.up(home.resolve(), lambda text: out.print(text, highlight=False))
    out.print(f"airflow: {state['url']}, user admin, password in {home}/airflow/stack.json", highlight=False)


@stack_app.command("run")
def stack_run(
    day: Annotated[str, typer.Option("--date", help="Business date, YYYY-MM-DD.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Run the nightly DAG on the running Airflow, wait, and print the account."""
    from pipelines import stack

    state = stack.run_nightly(home.resolve(), day, lambda text: out.print(text, highlight=False))
    rows = _status(home, None)
    _print_account(rows)
    out.print(f"airflow: nightly {day} {state}", highlight=False)
    if state != "success":
        raise typer.Exit(4)
    if any(r["state"] in ("held", "checked") for r in rows):
        raise typer.Exit(3)


@stack_app.command("down")
def stack_down(home: HomeOption = DEFAULT_HOME) -> None:
    """Stop the local Airflow; nothing of it is left running."""
    from pipelines import stack

    out.print("airflow: stopped" if stack.down(home.resolve()) else "airflow: was not running")


if __name__ == "__main__":
    main()
