"""`validate` and `identify`: every rule over every row in one pass, then pseudonyms, keys and redaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import PythonUDFType

from pipelines.model import Home
from pipelines.readers import ECHO
from pipelines.readers.staging import REPAIRS, open_staged, repairs_path
from pipelines.stages.told import IN_FILE_ORDER, echo_of, own_key
from pipelines.stores.engine import connect, pass_on, watched
from pipelines.stores.keys import Keys
from schemas import names, row_rules
from schemas.compiled import Check, Compiled
from schemas.model import Catalog, CodeSet, Item
from schemas.own_key import of_judged
from schemas.sql import literal

SMALL = 1_000  # rows; up to here the engine takes longer to plan what is asked of the rows than to answer


@dataclass(frozen=True)
class Fault:
    """What the reader saw: a record that is no row (rejected), or, without a line, something about the whole file."""

    code: str
    line: int | None
    sheet: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Validated:
    """Rows by verdict. `read` counts what was sent, the others what became of it: the gate compares the two.
    `file` is the file's name without the names of people that its own rows hold. Of the `numbers` of 18 digits those
    end in 000 that are `destroyed`, and those are multiples of 64 that are `rounded`."""

    read: int
    accepted: int
    rejected: int
    refused: int
    held: int
    file: str
    numbers: int
    destroyed: int
    rounded: int


def validate(
    home: Home,
    delivery_id: str,
    item: Item,
    catalog: Catalog,
    compiled: Compiled,
    as_of: date,
    keys: Keys,
    faults: list[Fault],
    file: str = "",
    is_full: bool = False,
    period: date | None = None,
    department: str | None = None,
    late: date | None = None,
    variants: str = "",
    tell: Callable[[float], None] | None = None,
) -> Validated:
    """Reads `staged/`, writes `accepted/`, `rejected/` and `findings/` of one delivery, each whole or not at all; the
    last two as `stages.told` reads them.
    `item` is the item by which the delivery is judged (schemas.overlay), `compiled` what it compiles to; `period`
    (as_of by default) and `department` are the delivery's and decide what its codes mean; events up to `late` came too
    late by the limit of the item; `variants` are pairs of characters that names write for one another. `tell` hears the
    share done.

    accepted: place (in `staged/`), line, sheet, notes, subject_id, record_key, content_hash (16 bytes each),
    credit_number, number_kind, name_hash, identity (JSON of the identifying fields), action, source_time, redacted,
    then the curated fields. Order is not promised. rejected: line, sheet, verdict, failed (tags), record_key and
    name_key (schemas.own_key), then every field as it was sent.

    Rows flow from one file to the next and are never held in memory. The few that are not accepted are judged a second
    time, for their findings, which is cheaper than to keep what all rows said until all are judged. A small delivery is
    read once, kept, and judged as the SQL stands: to plan it well would take longer than to run it.
    """
    accepted, rejected = home.accepted(delivery_id), home.rejected(delivery_id)
    is_incomplete = any(f.line is not None for f in faults)
    is_small = pq.read_metadata(home.staged(delivery_id)).num_rows <= SMALL
    with connect(home.work) as engine:
        if is_small:
            engine.execute("PRAGMA disable_optimizer")
        present = open_staged(engine, home.staged(delivery_id), "sent")
        cells = ", ".join(f.name if f.name in present else f"CAST(NULL AS VARCHAR) AS {f.name}" for f in item.fields)
        whole = f"SELECT place, line, sheet, DATE '{as_of.isoformat()}' AS as_of, {cells} FROM sent"
        engine.execute(f"CREATE VIEW staged AS {whole}")
        _code_tables(engine, item, catalog, period or as_of, department)
        keyed_functions(engine, keys)
        kept = "TABLE" if is_small else "VIEW"
        engine.execute(f"CREATE {kept} texts AS {compiled.texts}")
        engine.execute(f"CREATE {kept} located AS {compiled.located}")
        engine.execute(f"CREATE VIEW passing AS {compiled.passing}")
        curated = ", ".join(f"o_{f.name} AS {f.name}" for f in item.curated_fields)
        with watched(engine, tell):
            pass_on(
                engine,
                f"""SELECT place, line, sheet, notes, subject_id, record_key, content_hash, credit_number, number_kind,
                    name_hash, identity, action, source_time, redacted, {curated}
                    FROM ({compiled.record})""",
                accepted,
            )
        engine.execute(f"CREATE VIEW accepted AS SELECT * FROM read_parquet({literal(accepted)})")
        _take_out_conflicting(engine, item, accepted, variants)
        if is_small:
            engine.execute("DELETE FROM located USING accepted WHERE located.place = accepted.place")
        else:
            engine.execute("CREATE TABLE missing AS SELECT place FROM sent ANTI JOIN accepted USING (place)")
            engine.execute(f"CREATE OR REPLACE VIEW staged AS {whole} SEMI JOIN missing USING (place)")
        echoed = f"(SELECT place AS echoed, {echo_of(present)} AS echo FROM sent) ON echoed = place"
        echoed = f"LEFT JOIN {echoed}" if any(c.startswith(ECHO) for c in present) else ""
        texts = ", ".join(f"t_{f.name} AS {f.name}" for f in item.fields)
        record_key, name_key = of_judged(item, compiled.checks)
        is_conflicting = "verdict = 'accepted' AND place IN (SELECT place FROM conflicting)"
        held = f"CASE WHEN {is_conflicting} THEN 'held' ELSE verdict END"
        person = item.by_role("name").name
        wrong = f"CASE WHEN {is_conflicting} THEN '{person}' ELSE {_stopping(compiled.checks)} END"
        pass_on(
            engine,
            f"""SELECT place, line, sheet, {held} AS verdict, failed, {wrong} AS wrong,
                {"echo" if echoed else "CAST(NULL AS VARCHAR) AS echo"},
                {record_key} AS record_key, {name_key} AS name_key, {texts}
                FROM ({compiled.judged}) {echoed} ORDER BY place""",
            rejected,
        )
        engine.execute(f"CREATE OR REPLACE VIEW staged AS {whole}")
        engine.execute(f"CREATE VIEW rejected AS SELECT * FROM read_parquet({literal(rejected)})")
        if late is not None and (after := _count(engine, f"accepted WHERE {_is_late(item, late)}")):
            faults = [*faults, Fault("H016", None, value=f"{after} / {_count(engine, 'accepted')}")]
        if is_full and (is_incomplete or _count(engine, "rejected")):
            faults = [*faults, Fault("H002", None)]
        _structural(engine, catalog, faults)
        _repairs(engine, catalog, repairs_path(home.staged(delivery_id)))
        _findings(engine, home.findings(delivery_id), item, compiled.checks, echoed)
        counts = dict(engine.execute("SELECT verdict, count(*) FROM rejected GROUP BY verdict").fetchall())
        counts["accepted"] = _count(engine, "accepted")
        rows = _count(engine, "sent")
        file = _without_names(engine, item, file)
        numbers, destroyed, rounded = _numbers(engine, item)
    faulty = len({(f.line, f.sheet) for f in faults if f.line is not None})
    return Validated(
        read=rows + faulty,
        accepted=counts["accepted"],
        rejected=counts.get("rejected", 0) + faulty,
        refused=counts.get("refused", 0),
        held=counts.get("held", 0),
        file=file,
        numbers=numbers,
        destroyed=destroyed,
        rounded=rounded,
    )


def _take_out_conflicting(engine: duckdb.DuckDBPyConnection, item: Item, accepted: Path, variants: str) -> None:
    """Take rows out of `accepted` whose number stands under very different names in this delivery: whose it is, nobody
    here can tell (Q51, Q53). They are in the table `conflicting`.

    Passports of two countries may share a number, and a sole trader is named after the shop or the operator.
    """
    engine.execute("CREATE TABLE conflicting (place BIGINT)")
    kinds = "('citizen', 'resident_permit', 'foreign_card_18')"
    several = "SELECT subject_id FROM accepted GROUP BY subject_id HAVING min(name_hash) <> max(name_hash)"
    name = item.by_role("name").name
    said: dict[bytes, set[str]] = {}
    for subject, found in engine.execute(
        f"SELECT DISTINCT subject_id, json_extract_string(identity, '$.{name}') FROM accepted"
        f" SEMI JOIN ({several}) USING (subject_id) WHERE number_kind IN {kinds}"
    ).fetchall():
        said.setdefault(subject, set()).add(found)
    unlike = [subject for subject, found in said.items() if names.are_unlike(found, variants)]
    if not unlike:
        return
    engine.register("unlike", pa.table({"subject_id": pa.array(unlike, pa.binary())}))
    engine.execute("INSERT INTO conflicting SELECT place FROM accepted SEMI JOIN unlike USING (subject_id)")
    pass_on(engine, "SELECT * FROM accepted ANTI JOIN conflicting USING (place)", accepted)


def _numbers(engine: duckdb.DuckDBPyConnection, item: Item) -> tuple[int, int, int]:
    """How many numbers of 18 digits the delivery holds, ending in 000, and being multiples of 64."""
    sent = item.by_role("credit_number").name
    found = f"""SELECT count(number), count(*) FILTER (number % 1000 = 0), count(*) FILTER (number % 64 = 0) FROM (
        SELECT TRY_CAST(credit_number AS BIGINT) AS number FROM accepted WHERE length(credit_number) = 18
        UNION ALL SELECT TRY_CAST({sent} AS BIGINT) FROM rejected WHERE length({sent}) = 18)"""
    ((numbers, destroyed, rounded),) = engine.execute(found).fetchall()
    return int(numbers), int(destroyed), int(rounded)


def _without_names(engine: duckdb.DuckDBPyConnection, item: Item, file: str) -> str:
    name = f"t_{item.by_role('name').name}"
    sql = f"SELECT DISTINCT {name} FROM texts WHERE length({name}) > 1 AND strpos(?, {name}) > 0"
    for (found,) in engine.execute(sql, [file]).fetchall():
        file = file.replace(found, "[当事人]")
    return file


def _count(engine: duckdb.DuckDBPyConnection, table: str) -> int:
    ((rows,),) = engine.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def late_new(home: Home, delivery_id: str, item: Item, late: date) -> int:
    """Of the rows that a release took as new, those whose event lies on `late` or before. Reads `accepted/` and the
    verdicts in `findings/`."""
    with connect(home.work) as engine:
        for name, path in (("accepted", home.accepted(delivery_id)), ("verdicts", home.verdicts(delivery_id))):
            engine.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({literal(path)})")
        same = "v.line = a.line AND v.sheet IS NOT DISTINCT FROM a.sheet AND v.verdict = 'new'"
        return _count(engine, f"accepted a SEMI JOIN verdicts v ON {same} WHERE {_is_late(item, late)}")


def _is_late(item: Item, late: date) -> str:
    return f"{item.event_date} <= DATE '{late.isoformat()}' AND action <> 'withdraw'"


def _code_tables(
    engine: duckdb.DuckDBPyConnection, item: Item, catalog: Catalog, period: date, department: str | None
) -> None:
    for name in {f.code_set for f in item.fields if f.code_set} | {"region"}:
        code_set = catalog.code_sets.get(name) or CodeSet(name=name, codes=())
        known, ended = row_rules.code_values(code_set, period, department), row_rules.ended(code_set)
        table = pa.table(
            {
                "value": pa.array(known.keys(), pa.string()),
                "code": pa.array(known.values(), pa.string()),
                "valid_to": pa.array([ended.get(code) for code in known.values()], pa.date32()),
            }
        )
        engine.register("arriving", table)
        engine.execute(f"CREATE TABLE codes_{name} AS SELECT * FROM arriving")
        engine.unregister("arriving")


def keyed_functions(engine: duckdb.DuckDBPyConnection, keys: Keys) -> None:
    """The key stays in these closures: it is in no SQL text, plan or log."""
    for name, hashed in (("subject_id_of", keys.subject_ids), ("keyed_hash", keys.content_hashes)):
        engine.create_function(name, hashed, ["VARCHAR"], "BLOB", type=PythonUDFType.ARROW)


def _stopping(checks: tuple[Check, ...]) -> str:
    """SQL of the fields, comma-separated, at which the tags in `failed` stop a row."""
    stops = ", ".join(f"'{c.tag}': '{c.field}'" for c in checks if c.tag[0] in row_rules.STOPPING)
    fields = f"list_transform(string_split(failed, ','), lambda tag: element_at(MAP {{{stops}}}, tag)[1])"
    return f"array_to_string(list_distinct({fields}), ',')"


def _structural(engine: duckdb.DuckDBPyConnection, catalog: Catalog, faults: list[Fault]) -> None:
    table = pa.table(
        {
            "line": pa.array([f.line for f in faults], pa.int64()),
            "sheet": pa.array([f.sheet for f in faults], pa.string()),
            "code": pa.array([f.code for f in faults], pa.string()),
            "severity": pa.array([catalog.findings[f.code].severity for f in faults], pa.string()),
            "value": pa.array([f.value for f in faults], pa.string()),
        }
    )
    engine.register("structural", table)


def _repairs(engine: duckdb.DuckDBPyConnection, catalog: Catalog, repairs: Path) -> None:
    """What the reader mended or was struck by in rows that it read: line, sheet, field, code, value, severity."""
    if repairs.exists():
        engine.execute(f"CREATE VIEW noted_cells AS SELECT * FROM read_parquet({literal(repairs)})")
    else:
        engine.register("noted_cells", REPAIRS.empty_table())
    severity = " ".join(f"WHEN '{code}' THEN '{f.severity}'" for code, f in catalog.findings.items())
    engine.execute(f"CREATE VIEW repairs AS SELECT *, CASE code {severity} END AS severity FROM noted_cells")


def _mended(engine: duckdb.DuckDBPyConnection, item: Item, labels: str) -> str:
    """SQL of the findings that `repairs` are; the rows are looked up only where there are some."""
    told = f"""line, sheet, coalesce(field, ''), coalesce(CASE field {labels} END, ''), code, severity, value"""
    if not _count(engine, "repairs"):
        return f"SELECT NULL, {told}, NULL, 0 FROM repairs"
    rows = f"(SELECT place, line AS row_line, sheet AS row_sheet, {own_key(item, 't_')} AS own_key FROM texts)"
    return f"""SELECT place, {told}, own_key, 0
        FROM repairs LEFT JOIN {rows} ON row_line = line AND row_sheet IS NOT DISTINCT FROM sheet"""


def _findings(
    engine: duckdb.DuckDBPyConnection,
    target: Path,
    item: Item,
    listed: tuple[Check, ...],
    echoed: str,
) -> None:
    """All findings, one row each, with the columns and in the order of `stages.told`."""
    label = {f.name: f.label_zh for f in item.fields}
    checks = pa.table(
        {
            "tag": pa.array([c.tag for c in listed], pa.string()),
            "nth": pa.array(range(1, len(listed) + 1), pa.int32()),
            "field": pa.array([c.field for c in listed], pa.string()),
            "label": pa.array([label[c.field] for c in listed], pa.string()),
            "code": pa.array([c.code for c in listed], pa.string()),
            "severity": pa.array([c.severity for c in listed], pa.string()),
        }
    )
    engine.register("checks", checks)
    person = item.by_role("name").name
    cells = ", ".join(f.name for f in item.fields)
    texts = ", ".join(f"t_{f.name}" for f in item.fields)
    value = " ".join(f"WHEN '{f.name}' THEN {f.name}" for f in item.fields)
    labels = " ".join(f"WHEN '{f.name}' THEN '{f.label_zh}'" for f in item.fields)
    pass_on(
        engine,
        f"""WITH noted AS (SELECT place, line, sheet, notes FROM accepted WHERE notes <> ''),
            said AS (
                SELECT place, line, sheet, failed, {cells} FROM rejected
                UNION ALL SELECT place, noted.line, noted.sheet, notes, {texts} FROM texts JOIN noted USING (place)),
            tagged AS (SELECT *, unnest(string_split(failed, ',')) AS tag FROM said),
            hidden AS (SELECT place, line, sheet, unnest(string_split(redacted, ',')) AS field
                FROM accepted WHERE redacted <> ''),
            found AS (
                SELECT place, line, sheet, field, label, code, severity, CASE field {value} END AS value,
                    {own_key(item)} AS own_key, nth FROM tagged JOIN checks USING (tag)
                UNION ALL SELECT DISTINCT NULL, line, sheet, '', '', code, severity, value, NULL, 0 FROM structural
                UNION ALL SELECT place, line, sheet, '{person}', '{label[person]}', 'D004', 'hold', NULL,
                    {own_key(item)}, 0 FROM rejected SEMI JOIN conflicting USING (place)
                UNION ALL {_mended(engine, item, labels)}
                UNION ALL SELECT place, hidden.line, hidden.sheet, field, CASE field {labels} END, 'L002', 'info', NULL,
                    {own_key(item, "t_")}, 0 FROM hidden JOIN texts USING (place)),
            sheets AS (SELECT sheet, min(place) AS first FROM sent GROUP BY sheet)
        SELECT place, line, sheet, field, label, code, severity, value, own_key,
            {"echo" if echoed else "CAST(NULL AS VARCHAR) AS echo"}
        FROM found {echoed} LEFT JOIN sheets USING (sheet) {IN_FILE_ORDER}
        """,
        target,
    )
