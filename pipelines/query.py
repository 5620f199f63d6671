"""Questions to a release: read-only SQL over the Iceberg snapshots that it names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from pipelines import versions
from pipelines.errors import QueryFault, StoreError
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.stages import obligations
from pipelines.stores import inquiries, judgements, postgres, snapshots
from pipelines.stores.engine import connect
from pipelines.stores.files import SPACES
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Pinned
from schemas import in_force
from schemas.arrow import ended_schema, former_names, record_schema, statement_schema
from schemas.fold import TOLD
from schemas.load import effective
from schemas.model import Catalog, Item
from schemas.sql import literal
from schemas.standing import is_list, listings, standing
from schemas.tables import subjects

OF_ALL = ("subjects", "standing", "information_schema", "duckdb_", "query")  # SQL with such a word may ask of any table


def query(home: str | Path, sql: str, as_of: str | None, reason: str = "") -> tuple[list[str], list[tuple[Any, ...]]]:
    """(column names, all rows) of one SELECT over `records.<item>`, `ended.<item>` (what is shared no more, and why),
    `history.<item>`, `versions.<item>` (what a record said from when to when: pipelines/versions.py), `subjects`,
    `standing` and `listings` (what the records of each subject say together: schemas/standing.py) of a release: the
    current one, or that of an id or date, with the judgements of then. The SQL reaches no other file. What is asked is
    entered in the log of inquiries, with the `reason` given, before it is answered. Raises `QueryFault`, `StoreError`.
    """
    place = Home(Path(home).resolve())
    url = postgres.ensure(place.root)
    with Ledger(url) as ledger, duckdb.connect() as engine:
        ledger.prepare()
        release = ledger.find_release(as_of)
        if release is None:
            raise StoreError(f"release: none{f' as of {as_of}' if as_of else ''} yet. Run 'qiongxin nightly' first.")
        lake = Lake(url, place.root / "curated")
        for schema in (*SPACES, "versions"):
            engine.execute(f"CREATE SCHEMA {schema}")
        pinned = ledger.snapshots(release["release_id"])
        allowed: list[str] = []
        catalog, asked_for = kept_catalogue(place), sql.lower()
        items = catalog.items
        # To open a table costs some milliseconds, and there are a hundred: those are opened that the text may mean.
        listed = "listings" in asked_for
        limit = partial(effective, catalog, on=release["as_of"])
        lists = {i.code for i in items.values() if listed and is_list(i, limit)}
        named = [i for i in items.values() if i.code in asked_for or i.code in lists or (listed and i.refers)]
        if not named or any(word in asked_for for word in OF_ALL):
            named = list(items.values())
        if gone := snapshots.gone(ledger, release["release_id"], (item.code for item in named)):
            raise QueryFault(f"--as-of {as_of}: {gone}. Ask for a later release.")
        for item in named:
            at = pinned.get(item.code, Pinned())
            shapes = (record_schema(item), statement_schema(item), ended_schema(item))
            for space, snapshot, shape in zip(SPACES, at, shapes, strict=True):
                files = lake.files(space, item.code, snapshot)
                allowed += files.all
                if files:
                    columns = ", ".join(shape.names)
                    told = f" WHERE {TOLD}" if space == "history" else ""
                    stored = lake.relation(engine, space, item.code, shape, former_names(item), files)
                    engine.execute(f"CREATE VIEW {space}.{item.code} AS SELECT {columns} FROM {stored}{told}")
                else:  # nothing released yet, or all of it withdrawn: the table is there, and empty
                    engine.register("nothing", shape.empty_table())
                    engine.execute(f"CREATE TABLE {space}.{item.code} AS SELECT * FROM nothing")
                    engine.unregister("nothing")
            if "versions" in asked_for or item.code in lists:
                _open_versions(engine, place, ledger, lake, item, release["number"], at)
        engine.register("judged_rows", judgements.relation(_judged(ledger, as_of, release["as_of"])))
        engine.execute("CREATE TABLE judged AS SELECT * FROM judged_rows")
        engine.unregister("judged_rows")
        if "standing" in asked_for:
            engine.execute(f"CREATE VIEW standing AS {_standing(catalog, ledger, release['as_of'], limit)}")
        if listed:
            engine.execute(f"CREATE VIEW listings AS {listings(catalog, release['as_of'], limit)}")
        if len(named) == len(items):
            engine.execute(f"CREATE VIEW subjects AS {subjects(catalog, 'judged')}")
        names = ", ".join(literal(Path(f)) for f in allowed)
        engine.execute(f"SET allowed_paths=[{names}]; SET enable_external_access=false; SET lock_configuration=true")
        try:
            asked = engine.extract_statements(sql)
            if len(asked) != 1 or asked[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
                raise QueryFault("query: only one SELECT is answered; releases are read-only.")
            result = engine.execute(sql)
        except duckdb.Error as e:
            raise QueryFault(f"query: {e}") from e
        names_of, rows = [c[0] for c in result.description], result.fetchall()
        inquiries.enter(ledger, "query", sql, release["release_id"], len(rows), reason)
        return names_of, rows


def _standing(catalog: Catalog, ledger: Ledger, as_of: date, limit: Callable[[str], Any]) -> str:
    rows = [r for r in ledger.deliveries() if r["received_on"] <= as_of]
    owed = obligations.obligations(catalog, rows, in_force.read(obligations.Limits, limit), as_of)
    missing = [o for o in owed if o.state in ("overdue", "held") and catalog.items[o.item].nature == "adverse"]
    return standing(catalog, as_of, limit, len(missing), "judged")


def _judged(ledger: Ledger, as_of: str | None, day: date) -> list[dict[str, Any]]:
    """The judgements that stand now or, where an older state is asked for, that stood on that day."""
    if as_of is None:
        return judgements.standing(ledger)
    with suppress(ValueError):
        day = date.fromisoformat(as_of)
    return judgements.known(ledger, day)


def _open_versions(
    engine: duckdb.DuckDBPyConnection, home: Home, ledger: Ledger, lake: Lake, item: Item, number: int, at: Pinned
) -> None:
    """Table `versions.<item>` of the release of that number. It is worked out when somebody asks, in an engine of its
    own, whose tables nobody sees."""
    fulls, reverted = versions.counting(ledger, item.code, number)
    with connect(home.work) as apart:
        if files := lake.files("history", item.code, at.history):
            stored = lake.relation(apart, "history", item.code, statement_schema(item), former_names(item), files)
            sql = versions.versions(apart, item, stored, fulls, [r.delivery_id for r in reverted])
            found = apart.sql(f"SELECT {', '.join(versions.schema(item).names)} FROM ({sql})").to_arrow_table()
        else:
            found = versions.schema(item).empty_table()
    engine.register("found", found)
    engine.execute(f"CREATE TABLE versions.{item.code} AS SELECT * FROM found")
    engine.unregister("found")
