"""The journey's commands: invented deliveries, a night, its states, its findings, questions to its release."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands import screen
from pipelines.commands.account import (
    as_status,
    has_ledger,
    named_server,
    numbers_missing,
    one_delivery,
    open_ledger,
    sentence,
    show_account,
    show_failed,
    show_places,
    show_resolved,
)
from pipelines.commands.options import (
    DEFAULT_HOME,
    PLAIN,
    CsvOption,
    DayOption,
    HomeOption,
    JsonOption,
    TodayOption,
    WhyOption,
    existing,
)
from pipelines.errors import UsageFault

if TYPE_CHECKING:
    from pipelines.stores.ledger import Ledger
    from schemas.model import Catalog

FINDING = ("line", "sheet", "field", "code", "severity", "value", "message_zh", "message_en", "fix")

app = typer.Typer(**PLAIN, help="琼信 Qiongxin: personal public credit records, from delivery to release.")


@app.command(epilog="Example: qiongxin sample --rows 5000 --seed 1 --date 2026-11-22")
def sample(
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="Rows over all items.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed and date write the same files.")] = 1,
    dirty: Annotated[float, typer.Option(min=0, max=0.5, metavar="SHARE", help="Share of rows with a defect.")] = 0.02,
    items: Annotated[str, typer.Option(metavar="A,B", help="Only these items; all by default.")] = "",
    nights: Annotated[int, typer.Option(min=1, metavar="N", help="Spread the rows over so many periods.")] = 1,
    day: TodayOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write invented deliveries into the inboxes.

    truth.json in the home lists every planted defect by file and line.
    """
    from pipelines import sampling
    from schemas.load import load

    chosen = [i.strip() for i in items.split(",") if i.strip()]
    known = load().items
    if unknown := [i for i in chosen if i not in known]:
        raise UsageFault(f"--items {unknown[0]}: no such item. Known: {', '.join(known)}.")
    if (home / "raw").is_dir() and not (home / "sample.json").exists():
        raise UsageFault(f"{home}: this home holds real deliveries. Name another with --home for invented ones.")
    as_of, done = day or date.today(), 0
    with screen.progress(as_json) as tell:

        def wrote(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            if before * 10 // rows != done * 10 // rows:
                tell(f"sample {done:,}/{rows:,} rows")

        truth = sampling.generate(
            home, rows=rows, seed=seed, dirty=dirty, items=chosen or None, nights=nights, as_of=as_of, progress=wrote
        )
    if as_json:
        screen.as_json({"inbox": str(home / "inbox"), "truth": str(truth), "rows": rows, "date": as_of})
    else:
        print(f"deliveries: {home}/inbox/<department>/<item>/  planted defects: {truth}")
        print(f"next: qiongxin nightly --date {as_of}")


@app.command(epilog="Example: qiongxin nightly --date 2026-11-22")
def nightly(
    day: DayOption,
    engine: Annotated[
        str | None, typer.Option(metavar="ENGINE", help="What works on what is large: duckdb or spark.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes for small files; by default one a processor.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Run the whole journey without Airflow.

    Takes every finished file now in the inboxes and prints the row account. A date is the as-of date, and the period
    of deliveries that name none. With spark, files of more than 1,000 rows are judged, and items of more than 1,000
    records folded, on the cluster that QIONGXIN_SPARK_MASTER names.
    """
    place = existing(home)
    from pipelines import notify, run

    with named_server(place), screen.progress(as_json) as tell:
        result = run.nightly(place, day.isoformat(), tell, jobs or len(os.sched_getaffinity(0)), engine)
        if result["exit_code"] < 4:
            notify.redone(place, day)
    if as_json:
        screen.as_json(result)
        raise typer.Exit(result["exit_code"])
    with open_ledger(home) as ledger:
        rows = ledger.deliveries()
    show_account(rows, numbers_missing(rows))
    for name in result["waiting"]:
        print(f"waiting: {name} is still being written; the next run takes it")
    for name in result["strangers"]:
        print(f"left alone: {name}: no folder of a department and item of the catalogue, or no plain file")
    show_failed(result["failed"])
    show_places(home, day)
    raise typer.Exit(result["exit_code"])


@app.command(epilog="Example: qiongxin status")
def status(
    delivery: Annotated[str | None, typer.Option(metavar="ID", help="Only this one; its first letters do.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show deliveries with states and row accounts.

    Places of departments that failed in the last night come after them.
    """
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    if has_ledger(home) or delivery:
        from pipelines.stores import waiting

        with open_ledger(home) as ledger:
            rows = ledger.deliveries()
            missing = numbers_missing(rows)
            rows = [one_delivery(ledger, delivery)] if delivery else rows
            failed = [] if delivery else ledger.unreachable()
            found = waiting.resolved(ledger)
    if as_json:
        screen.as_json_list(as_status(row, missing) for row in rows)
    else:
        show_account(rows, missing)
        show_failed(failed)
        show_resolved(rows, found)


@app.command(epilog="Example: qiongxin findings --delivery 3681ad5e")
def findings(
    delivery: Annotated[str, typer.Option(metavar="ID", help="See 'qiongxin status'; its first letters do.")],
    reason: WhyOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Show every finding of a delivery: where, what, what to do.

    What concerns the whole file has no line and comes first, then the rows in the order of the file.
    """
    from pipelines.stores import inquiries
    from schemas.load import load

    with open_ledger(home) as ledger:
        row = one_delivery(ledger, delivery)
        shown = sum(row[name] for name in ("rejected", "refused", "held"))
        inquiries.enter(ledger, "findings", f"{row['item']} {row['delivery_id']}", None, shown, reason)
    told = _findings(home, row, load())
    if as_json:
        screen.as_json_list(told)
    elif as_csv:
        screen.as_csv(FINDING, ([r[name] for name in FINDING] for r in told))
    else:
        shown = 0
        for finding in told:
            print(sentence(finding))
            shown += 1
        if not shown:
            print("no findings")


@app.command(epilog='Example: qiongxin query "SELECT department, count(*) n FROM records.honour GROUP BY ALL"')
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over the tables below.")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="RELEASE|DATE", help="An older release; the last by default.")
    ] = None,
    reason: WhyOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Ask a published release in SQL; read-only, complete.

    records.<item> what is shared; ended.<item> what is shared no more, and why; history.<item> every statement;
    versions.<item> what a record said from valid_from until valid_to; subjects; standing, one row for each subject;
    listings, when each subject was on which list of serious cases.
    """
    with open_ledger(home) as ledger:
        _require_release(ledger, as_of)
    from pipelines.query import query as answer

    names, rows = answer(home, sql, as_of, reason)
    if as_json:
        keys = screen.distinct(names)
        screen.as_json_list(dict(zip(keys, r, strict=True)) for r in rows)
    elif as_csv:
        screen.as_csv(names, rows)
    else:
        screen.table(names, rows)


def _require_release(ledger: Ledger, as_of: str | None) -> None:
    import sqlalchemy as sa

    from pipelines.stores.ledger import release

    if ledger.find_release(as_of) is not None:
        return
    with ledger.engine.connect() as connection:
        known = connection.execute(sa.select(release).order_by(release.c.number.desc()).limit(10)).all()
    if not known:
        raise UsageFault("release: there is none yet. Run 'qiongxin nightly --date DATE' first.")
    listed = ", ".join(f"{r.release_id} ({r.as_of})" for r in known)
    raise UsageFault(f"--as-of {as_of}: no such release. Known, the latest first: {listed}.")


def _findings(home: Path, row: dict[str, Any], catalog: Catalog) -> Iterator[dict[str, Any]]:
    """What was said of the whole file, which has no line, then the findings of its rows."""
    from pipelines.model import Home
    from pipelines.stages.receipt import as_json
    from pipelines.stages.sentences import rendered
    from pipelines.stages.told import told

    codes = catalog.findings
    if row["message_code"]:
        code = codes[row["message_code"]]
        fix = f"{code.fix_zh} / {code.fix_en}"
        said = (None, "", "", code.code, code.severity, None, row["message_zh"], row["message_en"], fix)
        yield dict(zip(FINDING, said, strict=True))
    with told(Home(home.resolve()), row["delivery_id"], catalog.items[row["item"]], codes) as found:
        yield from map(as_json, rendered(found.findings, codes, lambda field, code: ""))
