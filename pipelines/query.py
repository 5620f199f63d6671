"""Questions to a release: read-only SQL over the Iceberg snapshots that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from pipelines.errors import QueryFault, StoreError
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.stores import postgres
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger
from schemas.arrow import former_names, record_schema, statement_schema
from schemas.sql import literal
from schemas.tables import subjects

OF_ALL = ("subjects", "information_schema", "duckdb_", "query")  # SQL with such a word may ask of any table


def query(home: str | Path, sql: str, as_of: str | None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """(column names, all rows) of one SELECT over `records.<item>`, `history.<item>` and `subjects` of a release: the
    current one, or that of an id or date. The SQL reaches no other file. Raises `QueryFault`, `StoreError`.
    """
    place = Home(Path(home).resolve())
    url = postgres.ensure(place.root)
    with Ledger(url) as ledger, duckdb.connect() as engine:
        ledger.prepare()
        release = ledger.find_release(as_of)
        if release is None:
            raise StoreError(f"release: none{f' as of {as_of}' if as_of else ''} yet. Run 'qiongxin nightly' first.")
        lake = Lake(url, place.root / "curated")
        engine.execute("CREATE SCHEMA records; CREATE SCHEMA history")
        snapshots = ledger.snapshots(release["release_id"])
        allowed: list[str] = []
        items, asked_for = kept_catalogue(place).items, sql.lower()
        # To open a table costs some milliseconds, and there are a hundred: those are opened that the text may mean.
        named = [item for item in items.values() if item.code in asked_for]
        if not named or any(word in asked_for for word in OF_ALL):
            named = list(items.values())
        for item in named:
            pair = snapshots.get(item.code, (None, None))
            shapes = (record_schema(item), statement_schema(item))
            for space, snapshot, shape in zip(("records", "history"), pair, shapes, strict=True):
                files = lake.files(space, item.code, snapshot)
                allowed += files
                if files:
                    columns = ", ".join(shape.names)  # a records file also tells the action: it is a statement
                    stored = lake.relation(engine, space, item.code, shape, former_names(item), files)
                    engine.execute(f"CREATE VIEW {space}.{item.code} AS SELECT {columns} FROM {stored}")
                else:  # nothing released yet, or all of it withdrawn: the table is there, and empty
                    engine.register("nothing", shape.empty_table())
                    engine.execute(f"CREATE TABLE {space}.{item.code} AS SELECT * FROM nothing")
                    engine.unregister("nothing")
        if len(named) == len(items):
            engine.execute(f"CREATE VIEW subjects AS {subjects(items.values())}")
        names = ", ".join(literal(Path(f)) for f in allowed)
        engine.execute(f"SET allowed_paths=[{names}]; SET enable_external_access=false; SET lock_configuration=true")
        try:
            asked = engine.extract_statements(sql)
            if len(asked) != 1 or asked[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
                raise QueryFault("query: only one SELECT is answered; releases are read-only.")
            result = engine.execute(sql)
        except duckdb.Error as e:
            raise QueryFault(f"query: {e}") from e
        return [c[0] for c in result.description], result.fetchall()
