"""`validate` and `identify`: every rule over every row in one pass, then pseudonyms, keys and redaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.model import Home, publish
from pipelines.stores.engine import connect, quoted
from pipelines.stores.keys import Keys
from schemas import row_rules
from schemas.model import Catalog, FieldSpec, Item

# 18 digits with a date inside: a citizen number wherever it stands. Free text is searched more widely.
STRICT = "[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])[0-9]{3}[0-9Xx]"
LOOSE = "[1-9](?:[ \\t-]?[0-9]){13,16}[ \\t-]?[0-9Xx]"
PHONE = "1[3-9][0-9]{9}"


@dataclass(frozen=True)
class Fault:
    """A structural fault of one record, as the reader saw it."""

    code: str
    line: int
    sheet: str | None


@dataclass(frozen=True)
class Validated:
    """Rows by verdict; `read` = accepted + rejected + refused + held."""

    read: int
    accepted: int
    rejected: int
    refused: int
    held: int


def validate(
    home: Home,
    delivery_id: str,
    item: Item,
    catalog: Catalog,
    policy: row_rules.Policy,
    as_of: date,
    keys: Keys,
    faults: list[Fault],
) -> Validated:
    """Reads `staged/`, writes `accepted/`, `rejected/` and `findings/` of one delivery, each whole or not at all.

    accepted: line, sheet, subject_id, record_key, content_hash (16 bytes each), credit_number, number_kind, identity
    (JSON of the identifying fields), action, source_time, then the curated fields. Order is not promised.
    """
    with connect(home.work) as engine:
        staged = home.staged(delivery_id)
        engine.execute(f"CREATE VIEW staged AS SELECT * FROM read_parquet({quoted(staged)})")
        present = {c[0] for c in engine.execute("DESCRIBE staged").fetchall()} - {"line", "sheet"}
        _code_tables(engine, item, catalog)
        listed = row_rules.checks(item, catalog, policy)
        query = row_rules.select(item, present, listed, as_of).sql(dialect="duckdb")
        engine.execute(f"CREATE TABLE flagged AS {query}")
        _pseudonyms(engine, item, keys)
        _identify(engine, item)
        _findings(engine, home.findings(delivery_id), item, listed, faults)
        counts = dict(engine.execute("SELECT verdict, count(*) FROM flagged GROUP BY verdict").fetchall())
        texts = ", ".join(f"t_{f.name} AS {f.name}" for f in item.fields)
        _copy(engine, f"SELECT line, sheet, verdict, failed, {texts} FROM flagged WHERE verdict <> 'accepted'",
              home.rejected(delivery_id))  # fmt: skip
        _copy(engine, "SELECT * EXCLUDE (redacted) FROM identified", home.accepted(delivery_id))
    rejected = counts.get("rejected", 0) + len({(f.line, f.sheet) for f in faults})
    return Validated(
        read=sum(counts.values()) + rejected - counts.get("rejected", 0),
        accepted=counts.get("accepted", 0),
        rejected=rejected,
        refused=counts.get("refused", 0),
        held=counts.get("held", 0),
    )


def _copy(engine: duckdb.DuckDBPyConnection, select: str, target: Path) -> None:
    publish(target, lambda p: engine.execute(f"COPY ({select}) TO {quoted(p)} (FORMAT parquet, COMPRESSION zstd)")
           )  # fmt: skip


def _code_tables(engine: duckdb.DuckDBPyConnection, item: Item, catalog: Catalog) -> None:
    for name in {f.code_set for f in item.fields if f.code_set} | {"region"}:
        known = row_rules.code_values(catalog.code_sets[name]) if name in catalog.code_sets else {}
        table = pa.table({"value": pa.array(known.keys(), pa.string()), "code": pa.array(known.values(), pa.string())})
        engine.register("arriving", table)
        engine.execute(f"CREATE TABLE codes_{name} AS SELECT * FROM arriving")
        engine.unregister("arriving")


def _identity(item: Item) -> str:
    """The identifying fields of a row but the number itself, as one JSON text."""
    parts = ", ".join(f"'{f.name}', t_{f.name}" for f in item.identifying_fields if f.role != "credit_number")
    return f"CAST(json_object({parts}) AS VARCHAR)"


def _pseudonyms(engine: duckdb.DuckDBPyConnection, item: Item, keys: Keys) -> None:
    """Tables `subjects(cn, subject_id)` and `identities(identity, identity_hash)`: keyed in Python, joined in SQL."""
    for table, source, hashed in (
        ("subjects(cn, subject_id)", "cn", keys.subject_ids),
        ("identities(identity, identity_hash)", _identity(item), keys.content_hashes),
    ):
        columns = table[table.index("(") + 1 : -1].split(", ")
        engine.execute(f"CREATE TABLE {table.split('(')[0]} ({columns[0]} VARCHAR, {columns[1]} BLOB)")
        distinct = f"SELECT DISTINCT {source} AS v FROM flagged WHERE verdict = 'accepted'"
        for batch in engine.cursor().sql(distinct).to_arrow_reader(200_000):
            values = batch.column(0)
            arriving = pa.table([values, pa.array(hashed(values.to_pylist()), pa.binary())], names=columns)
            engine.register("arriving", arriving)
            engine.execute(f"INSERT INTO {table.split('(')[0]} SELECT * FROM arriving")
            engine.unregister("arriving")


def redact(field: FieldSpec, name: str) -> str:
    """SQL: the text without identity numbers and, in free text, without phones and the row's own name."""
    text = field.name
    if not field.is_free_text:
        return f"regexp_replace({text}, '{STRICT}', '[证件号]', 'g')"
    plain = f"translate({text}, '０１２３４５６７８９Ｘｘ', '0123456789Xx')"
    text = f"regexp_replace(regexp_replace({plain}, '{LOOSE}', '[证件号]', 'g'), '{PHONE}', '[电话]', 'g')"
    return f"CASE WHEN length({name}) > 1 THEN replace({text}, {name}, '[当事人]') ELSE {text} END"


def key_text(field: FieldSpec) -> str:
    """SQL: a key field in the form that keys compare: brackets 〔〕, no blanks, no 第, upper case (domain 4.6)."""
    if field.type != "text":
        return f"CAST({field.name} AS VARCHAR)"
    brackets = f"translate({field.name}, '()（）[]［］【】{{}}', '〔〕〔〕〔〕〔〕〔〕〔〕')"
    return f"upper(replace(regexp_replace({brackets}, '[\\s\u3000]', '', 'g'), '第', ''))"


def _identify(engine: duckdb.DuckDBPyConnection, item: Item) -> None:
    name = f"t_{item.by_role('name').name}"
    columns, redacted = [], []
    for f in item.curated_fields:
        if f.type == "text":
            columns.append(f"{redact(f, name)} AS {f.name}")
            redacted.append(f"CASE WHEN {redact(f, name)} <> {f.name} THEN '{f.name}' END")
        else:
            columns.append(f.name)
    action = next((f.name for f in item.fields if f.role == "action"), None)
    key = ", ".join(f"coalesce({key_text(item.field(k))}, '')" for k in item.business_key)
    parts = ", ".join(f"coalesce(CAST({f.name} AS VARCHAR), '\\N')" for f in item.curated_fields
                      if f.name != item.source_time)  # fmt: skip
    engine.execute(f"""CREATE TABLE identified AS
        SELECT line, sheet, s.subject_id,
            unhex(md5(concat_ws(chr(31), '{item.code}', hex(s.subject_id), {key}))) AS record_key,
            unhex(md5(concat_ws(chr(31), hex(i.identity_hash), {parts}))) AS content_hash,
            flagged.cn AS credit_number, cn_kind AS number_kind, i.identity,
            coalesce({action or "'new'"}, 'new') AS action,
            CAST({item.source_time or "NULL"} AS TIMESTAMP) AS source_time,
            {", ".join(columns)},
            concat_ws(',', {", ".join(redacted) or "NULL"}) AS redacted
        FROM flagged JOIN subjects s ON s.cn = flagged.cn JOIN identities i ON i.identity = {_identity(item)}
        WHERE verdict = 'accepted'""")


def _findings(
    engine: duckdb.DuckDBPyConnection,
    target: Path,
    item: Item,
    listed: list[row_rules.Check],
    faults: list[Fault],
) -> None:
    """All findings, one row each: line, sheet, field, label, code, severity, value, own_key."""
    label = {f.name: f.label_zh for f in item.fields}
    checks = pa.table(
        {
            "tag": pa.array([c.tag for c in listed], pa.string()),
            "field": pa.array([c.field for c in listed], pa.string()),
            "label": pa.array([label[c.field] for c in listed], pa.string()),
            "code": pa.array([c.code for c in listed], pa.string()),
            "severity": pa.array([c.severity for c in listed], pa.string()),
        }
    )
    engine.register("checks", checks)
    structural = pa.table(
        {
            "line": pa.array([f.line for f in faults], pa.int64()),
            "sheet": pa.array([f.sheet for f in faults], pa.string()),
            "code": pa.array([f.code for f in faults], pa.string()),
        }
    )
    engine.register("structural", structural)
    value = " ".join(f"WHEN '{f.name}' THEN t_{f.name}" for f in item.fields)
    labels = " ".join(f"WHEN '{f.name}' THEN '{f.label_zh}'" for f in item.fields)
    own_key = f"t_{item.business_key[0]}"
    _copy(
        engine,
        f"""SELECT line, sheet, field, label, code, severity, CASE field {value} END AS value, {own_key} AS own_key
            FROM (SELECT *, unnest(string_split(failed, ',')) AS tag FROM flagged WHERE failed <> '') JOIN checks
            USING (tag)
        UNION ALL SELECT DISTINCT line, sheet, '', '', code, 'error', NULL, NULL FROM structural
        UNION ALL SELECT line, sheet, field, CASE field {labels} END, 'L002', 'info', NULL, NULL
            FROM (SELECT line, sheet, unnest(string_split(redacted, ',')) AS field FROM identified
                  WHERE redacted <> '')""",
        target,
    )
