"""An item's warehouse tables as PostgreSQL statements, the same that the pipeline itself executes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from schemas.model import Catalog, Item
from schemas.tables import warehouse

ORDER = ("CREATE SCHEMA", "CREATE TABLE", "CREATE INDEX", "COMMENT ON")


def make(item: Item, catalog: Catalog) -> bytes:
    statements: list[str] = []

    def note(statement: Any, *_: Any, **__: Any) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)).strip() + ";")

    engine = sa.create_mock_engine("postgresql+psycopg://", note)
    tables = warehouse([item])
    schemas = sorted({str(t.schema) for t in tables.sorted_tables})
    statements += [f"CREATE SCHEMA IF NOT EXISTS {s};" for s in schemas]
    tables.create_all(engine, checkfirst=False)
    head = f"-- {item.code} · {item.name_zh} · catalogue revision {catalog.revision}"
    # SQLAlchemy keeps the indexes of a table in a set.
    statements.sort(key=lambda s: (ORDER.index(" ".join(s.split()[:2])), s))
    return ("\n\n".join([head, *statements]) + "\n").encode()
