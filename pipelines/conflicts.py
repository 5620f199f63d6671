"""What is said of subjects that cannot all be true: for a person to look at, never for a machine to decide.

Worked out on demand from what the current release shows and what the vault knows of it, in an engine whose spill lies
in a restricted place. What comes out tells pseudonyms, items, departments and counts, no name, number or birth date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stages.people import open_people
from pipelines.stores import judgements, vault
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Ledger, Pinned
from schemas import names, persons
from schemas.arrow import former_names, stored_schema
from schemas.load import effective
from schemas.model import Catalog, FieldSpec, Item
from schemas.sql import literal

ABOUT_ONE = ("number_with_names", "sex_against_number", "birth_against_number")  # judged by their own mark
KINDS = (*ABOUT_ONE, "name_and_birth_with_numbers", "link")
WITH_BIRTH = ("citizen", "resident_permit", "foreign_card_18")  # kinds of numbers that carry birth and sex
NUMBERS = pa.schema([("subject_id", pa.binary()), ("number_kind", pa.string()), ("number", pa.string())])


@dataclass(frozen=True)
class Conflict:
    """One of KINDS. `conflict` names it and changes with what is said; `subjects` are pseudonyms, of a link that is
    left out first where it begins, `why` as in schemas/persons.py; `persons` stand for them, one for each. `records`
    are those that say so, `judgements` the numbers of those that settle it."""

    conflict: str
    kind: str
    subjects: tuple[str, ...]
    items: tuple[str, ...]
    departments: tuple[str, ...]
    records: int
    why: str
    persons: tuple[str, ...]
    judgements: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def conflicts(home: Home, ledger: Ledger, keys: Keys) -> Iterator[Conflict]:
    """All conflicts of the current release, the settled ones among them. Raises `StoreError`."""
    catalog, lake, pinned = kept_catalogue(home), open_lake(home, ledger.url), ledger.current_snapshots()
    release = ledger.current_release()
    if release is None:
        return
    judged = judgements.standing(ledger)
    with connect(home.work) as engine:
        _open_marks(engine, keys)
        registers = {c: lake.files("records", c, pinned.get(c, Pinned()).records)
                     for c, i in catalog.items.items() if i.registers}  # fmt: skip
        open_people(engine, lake, catalog, registers, judged)
        _open_shown(engine, lake, catalog, pinned)
        _open_called(engine, ledger, catalog, effective(catalog, "han_variants", release["as_of"]))
        _open_carried(engine, ledger, keys)
        settled = _settled(engine, judged)
        for sql in (*_about_one(), _births(), _links()):
            marked = engine.execute(_marked(sql, keys)).fetchall()
            for mark, kind, subjects, items, departments, records, why in marked:
                stand = tuple(settled.person.get(s, s) for s in subjects)
                found = Conflict(mark, kind, tuple(subjects), tuple(items), tuple(departments), records, why, stand)
                yield replace(found, judgements=_judgements(found, settled))


def _open_shown(engine: duckdb.DuckDBPyConnection, lake: Lake, catalog: Catalog, pinned: Mapping[str, Pinned]) -> None:
    """Table `shown`: the statements that records of the release show, shared or ended, and the sex they tell."""
    engine.execute("""CREATE TABLE shown (item VARCHAR, delivery_id VARCHAR, line BIGINT, sheet VARCHAR,
        subject_id BLOB, department VARCHAR, sex VARCHAR)""")
    for code, item in catalog.items.items():
        at, sex = pinned.get(code, Pinned()), _with_rule(item, "sex_of_number")
        for space, snapshot in (("records", at.records), ("ended", at.ended)):
            if files := lake.files(space, code, snapshot):
                stored = lake.relation(engine, space, code, stored_schema(item), former_names(item), files)
                engine.execute(f"""INSERT INTO shown SELECT {literal(code)}, delivery_id, line, coalesce(sheet, ''),
                    subject_id, department, {sex.name if sex else 'NULL'} FROM {stored}""")


def _with_rule(item: Item, kind: str) -> FieldSpec | None:
    return next((f for f in item.fields if any(r.kind == kind for r in f.rules)), None)


def _open_called(engine: duckdb.DuckDBPyConnection, ledger: Ledger, catalog: Catalog, variants: str) -> None:
    """Table `called`: what the vault knows of the statements of `shown`: person (the subject that stands for it), name
    and former name as they compare, birth date."""
    asked = [
        {
            "item": item.code, "name_at": f"$.{item.by_role('name').name}",
            "former_at": f"$.{item.registers.former_name}" if item.registers and item.registers.former_name else None,
            "birth_at": f"$.{birth.name}" if (birth := _with_rule(item, "birth_of_number")) else None,
        }
        for item in catalog.items.values()
    ]  # fmt: skip
    text = pa.string()
    shape = pa.schema([(name, text) for name in ("item", "name_at", "former_at", "birth_at")])
    engine.register("asked", pa.Table.from_pylist(asked, shape))
    with ledger.bulk.connect() as connection, connection.cursor() as cursor:
        engine.register("identities", vault.identities(cursor))
        engine.execute(f"""CREATE TABLE called AS SELECT c.* REPLACE ({names.compared('c.name', variants)} AS name,
                {names.compared('c.former', variants)} AS former), coalesce(p.person_id, c.subject_id) AS person
            FROM (SELECT s.item, s.department, s.subject_id, s.sex, json_extract_string(identity, name_at) AS name,
                    json_extract_string(identity, former_at) AS former,
                    TRY_CAST(json_extract_string(identity, birth_at) AS DATE) AS birth
                FROM identities JOIN shown s USING (item, delivery_id, line, sheet) JOIN asked USING (item)) c
            LEFT JOIN people p ON p.subject_id = c.subject_id""")
        engine.unregister("identities")


def _open_carried(engine: duckdb.DuckDBPyConnection, ledger: Ledger, keys: Keys) -> None:
    """Table `carried`: birth date and sex that the numbers of subjects carry."""
    with ledger.bulk.connect() as connection, connection.cursor() as cursor:
        batches = (batch.cast(NUMBERS) for batch in vault.numbers(cursor, keys))
        engine.register("numbers", pa.RecordBatchReader.from_batches(NUMBERS, batches))
        carries = f"number_kind IN ({', '.join(map(literal, WITH_BIRTH))})"
        engine.execute(f"""CREATE TABLE carried AS SELECT subject_id, number_kind,
            CASE WHEN {carries} THEN CAST(strptime(substr(number, 7, 8), '%Y%m%d') AS DATE) END AS birth,
            CASE WHEN {carries} THEN CASE WHEN strpos('13579', substr(number, 17, 1)) > 0 THEN '1' ELSE '2' END END
                AS sex FROM numbers""")
        engine.unregister("numbers")


# Each gives kind, subjects, items, departments, records, why, said (what the mark is made of).
TOLD = """list_sort(list(DISTINCT item)) AS items, list_sort(list(DISTINCT department)) AS departments,
    count(*) AS records"""


def _about_one() -> Iterator[str]:
    """One number under several names that the register does not tell of, or with another sex or birth date than its
    own. A sole trader is named after the shop or the operator."""
    former = "SELECT DISTINCT person, former AS name FROM called WHERE former <> ''"
    yield f"""SELECT 'number_with_names' AS kind, [lower(hex(subject_id))] AS subjects, {TOLD}, '' AS why,
            string_agg(DISTINCT name, chr(31) ORDER BY name) AS said
        FROM (SELECT c.* FROM called c ANTI JOIN ({former}) f USING (person, name)) JOIN carried n USING (subject_id)
        WHERE n.number_kind <> 'uscc' AND name <> '' GROUP BY subject_id HAVING count(DISTINCT name) > 1"""
    for what, are_values in (("sex", "c.sex IN ('1', '2')"), ("birth", "TRUE")):
        yield f"""SELECT '{what}_against_number' AS kind, [lower(hex(c.subject_id))] AS subjects, {TOLD}, '' AS why,
                string_agg(DISTINCT CAST(c.{what} AS VARCHAR), chr(31) ORDER BY CAST(c.{what} AS VARCHAR)) AS said
            FROM called c JOIN carried n ON n.subject_id = c.subject_id AND n.{what} <> c.{what}
            WHERE {are_values} GROUP BY c.subject_id"""


def _births() -> str:
    """Persons who share name and birth date, whether that stands in a cell or in the number."""
    born = """SELECT subject_id, birth FROM carried WHERE birth IS NOT NULL
        UNION SELECT subject_id, birth FROM called WHERE birth IS NOT NULL"""
    return f"""SELECT 'name_and_birth_with_numbers' AS kind,
            list_sort(list(DISTINCT lower(hex(c.subject_id)))) AS subjects, {TOLD}, '' AS why,
            name || CAST(b.birth AS VARCHAR) AS said
        FROM called c JOIN ({born}) b ON b.subject_id = c.subject_id
        WHERE name <> '' GROUP BY name, b.birth HAVING count(DISTINCT person) > 1"""


def _links() -> str:
    """Links that are left out."""
    return f"""SELECT 'link' AS kind,
            list_prepend(lower(hex(o.subject_id)), list_sort(list(DISTINCT lower(hex(o.leads_to))))) AS subjects,
            list_sort(list(DISTINCT item) FILTER (item IS NOT NULL)) AS items,
            list_sort(list(DISTINCT department) FILTER (item IS NOT NULL)) AS departments, count(item) AS records,
            why, why AS said
        FROM ({persons.left_out('links', 'judged')}) o LEFT JOIN links l
            ON l.subject_id = o.subject_id AND l.leads_to = o.leads_to GROUP BY o.subject_id, why"""


def _open_marks(engine: duckdb.DuckDBPyConnection, keys: Keys) -> None:
    """The functions of `_marked`: `mark_of` and, where the key was rotated, `roots_of` pseudonyms (hexadecimal, with
    commas between them), so that a conflict has a mark of which a rotation knows what becomes."""

    def roots_of(texts: pa.Array) -> pa.Array:
        rows = [text.split(",") for text in texts.to_pylist()]
        roots = iter(keys.roots(pa.array([bytes.fromhex(s) for row in rows for s in row], pa.binary())).to_pylist())
        return pa.array([",".join(next(roots).hex() for _ in row) for row in rows], pa.string())

    engine.create_function("mark_of", keys.marks, ["VARCHAR"], "BLOB", type=PythonUDFType.ARROW)
    if keys.is_rotated:
        engine.create_function("roots_of", roots_of, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)


def _marked(sql: str, keys: Keys) -> str:
    """The same with the name of each conflict, a keyed hash of what it is made of, in an order of its own."""
    listed = "array_to_string(subjects, ',')"
    mark = f"mark_of(md5(concat_ws(chr(30), kind, {f'roots_of({listed})' if keys.is_rotated else listed}, said)))"
    told = "kind, subjects, coalesce(items, []), coalesce(departments, []), records, why"
    return f"SELECT lower(hex({mark})) AS conflict, {told} FROM ({sql}) ORDER BY subjects, why, conflict"


@dataclass(frozen=True)
class _Settled:
    """Judgements that stand, by number: of conflicts about one subject, and of two persons that are different; `of` are
    these by subject. `person` is the subject that stands for another."""

    person: dict[str, str]
    marks: dict[str, tuple[int, ...]]
    pairs: dict[frozenset[str], tuple[int, ...]]
    of: dict[str, tuple[int, ...]]


def _settled(engine: duckdb.DuckDBPyConnection, judged: list[dict[str, Any]]) -> _Settled:
    sql = "SELECT lower(hex(subject_id)), lower(hex(person_id)) FROM people"
    person = dict(engine.execute(sql).fetchall())
    marks, pairs, of = (defaultdict[Any, tuple[int, ...]](tuple) for _ in range(3))
    for j in judged:
        two = [j["subject_id"].hex(), j["other_id"].hex()]
        if j["conflict"] is not None:
            marks[j["conflict"]] += (j["number"],)
        elif j["verdict"] == "different":
            pairs[frozenset(person.get(s, s) for s in two)] += (j["number"],)
            for subject in two:
                of[subject] += (j["number"],)
    return _Settled(person, dict(marks), dict(pairs), dict(of))


def _judgements(found: Conflict, settled: _Settled) -> tuple[int, ...]:
    """By which judgements a conflict is settled: its own, or that each two of its persons are different. A link that a
    judgement leaves out is settled by it; other links are left out until the register is mended or somebody judges."""
    if found.kind in ABOUT_ONE:
        return settled.marks.get(found.conflict, ())
    if found.kind == "link":
        return settled.of.get(found.subjects[0], ()) if found.why == "judged_different" else ()
    told = [settled.pairs.get(frozenset(two), ()) for two in combinations(sorted({*found.persons}), 2)]
    return tuple(sorted({n for numbers in told for n in numbers})) if all(told) else ()
