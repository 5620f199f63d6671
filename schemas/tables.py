"""What an item's warehouse tables look like, as SQLAlchemy metadata, and the view over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from schemas import persons
from schemas.model import Catalog, FieldSpec, Item


def warehouse(items: Iterable[Item]) -> sa.MetaData:
    """Per item one table in the schema `records`, keyed by the 16-byte record key, and, where the item asks for it,
    one of its statements in `history`."""
    metadata = sa.MetaData()
    for item in items:
        sa.Table(
            item.code,
            metadata,
            sa.Column("record_key", sa.LargeBinary, primary_key=True),
            *_columns(item),
            *_seen(),
            schema="records",
            comment=item.name_zh,
        )
        if item.history_in_warehouse:
            sa.Table(
                item.code,
                metadata,
                sa.Column("record_key", sa.LargeBinary, nullable=False, index=True),
                *_columns(item),
                sa.Column("action", sa.Text, nullable=False),
                *([sa.Column("replaces", sa.LargeBinary)] if item.replacing_fields else []),
                schema="history",
                comment=item.name_zh,
            )
    return metadata


def subjects(catalog: Catalog, judged: str) -> str:
    """SQL of the view `subjects` (subject_id, items, records, person_id): whom the release speaks of, how often, and
    the subject that stands for the person; a number that is only told to be somebody's has no records. `judged`: see
    schemas/persons.py."""
    each = [f"SELECT subject_id, COUNT(*) AS n FROM records.{c} GROUP BY subject_id" for c in catalog.items]
    return f"""WITH p AS ({released_persons(catalog, judged)})
        SELECT s.subject_id, COUNT(NULLIF(s.n, 0)) AS items, CAST(SUM(s.n) AS BIGINT) AS records,
            COALESCE(p.person_id, s.subject_id) AS person_id
        FROM ({' UNION ALL '.join(each)} UNION ALL SELECT subject_id, 0 FROM p) s
        LEFT JOIN p ON p.subject_id = s.subject_id GROUP BY s.subject_id, COALESCE(p.person_id, s.subject_id)"""


def released_persons(catalog: Catalog, judged: str) -> str:
    """SELECT of subject_id, person_id (schemas/persons.py) over `records.<item>`."""
    return persons.persons(f"({persons.links(catalog, lambda i: f'records.{i.code}', judged)})", judged)


def _columns(item: Item) -> list[sa.Column[Any]]:
    return [
        sa.Column("subject_id", sa.LargeBinary, nullable=False, index=True),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("department", sa.Text, nullable=False),
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("line", sa.BigInteger, nullable=False),
        sa.Column("sheet", sa.Text),
        sa.Column("period", sa.Date, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("source_time", sa.DateTime),
        *(sa.Column(f.name, _warehouse_type(f), comment=f.label_zh) for f in item.curated_fields),
        *([sa.Column("linked_subject_id", sa.LargeBinary, comment="关联主体化名")] if item.registers else []),
    ]


def _seen() -> list[sa.Column[Any]]:
    """What time and events make of a record: `schemas.life`."""
    return [
        sa.Column("marks", sa.Text, comment="标注"),
        sa.Column("public_from", sa.Date, comment="公示起始日期"),
        sa.Column("public_until", sa.Date, comment="公示截止日期"),
        sa.Column("kept_until", sa.Date, comment="保存截止日期"),
    ]


def _warehouse_type(field: FieldSpec) -> sa.types.TypeEngine[Any]:
    types: dict[str, sa.types.TypeEngine[Any]] = {
        "date": sa.Date(),
        "timestamp": sa.DateTime(),
        "integer": sa.BigInteger(),
        "boolean": sa.Boolean(),
        "decimal": sa.Numeric(18, field.scale),
    }
    return types.get(field.type, sa.Text())
