"""Whom the records of a release or of a night speak of under more than one number: schemas/persons.py over the lake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from pipelines.stores import judgements
from pipelines.stores.files import Files
from pipelines.stores.lake import Lake
from schemas import persons
from schemas.arrow import former_names, stored_schema
from schemas.model import Catalog, Item

PEOPLE = "CREATE TABLE people (subject_id BLOB, person_id BLOB)"


def open_links(
    engine: duckdb.DuckDBPyConnection,
    lake: Lake,
    catalog: Catalog,
    files: Mapping[str, Files],
    judged: Iterable[dict[str, Any]],
) -> bool:
    """Tables `links` and `judged` of schemas/persons.py; whether anything is said in them. `files` are the data files
    of the records of each register of persons, `judged` the judgements that stand."""

    def source(item: Item) -> str | None:
        listed = files.get(item.code)
        shape = stored_schema(item)
        return lake.relation(engine, "records", item.code, shape, former_names(item), listed) if listed else None

    engine.register("judged_rows", judgements.relation(judged))
    engine.execute("CREATE TABLE judged AS SELECT * FROM judged_rows")
    engine.execute(f"CREATE TABLE links AS {persons.links(catalog, source, 'judged')}")
    asked = "SELECT 1 FROM links UNION ALL SELECT 1 FROM judged WHERE verdict = 'same' LIMIT 1"
    return bool(engine.execute(asked).fetchall())


def open_people(
    engine: duckdb.DuckDBPyConnection,
    lake: Lake,
    catalog: Catalog,
    files: Mapping[str, Files],
    judged: Iterable[dict[str, Any]],
    of: str | None = None,
) -> None:
    """Table `people` (subject_id, person_id): the subjects of persons that have more than one; where `of` names a table
    with subject_id, all those of the persons in it, and of others some or none. Makes those of `open_links` for it.

    To resolve what registers of millions say takes a second a million; who is spoken of in a night are few.
    """
    engine.execute(PEOPLE)
    if not open_links(engine, lake, catalog, files, judged):
        return
    if of is not None:
        engine.execute(f"CREATE TABLE near AS {persons.near('links', 'judged', of)}")
    engine.execute(f"INSERT INTO people {persons.people('links' if of is None else 'near', 'judged')}")


def of_everyone(events: str) -> str:
    """SQL: the rows of `events` (with a column subject_id), each under every number of its person. Reads `people`."""
    return f"""SELECT * FROM {events} UNION ALL SELECT e.* REPLACE (o.subject_id AS subject_id) FROM {events} e
        JOIN people m ON m.subject_id = e.subject_id
        JOIN people o ON o.person_id = m.person_id AND o.subject_id <> e.subject_id"""
