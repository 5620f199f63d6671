"""What there is to tell a department about one delivery: `findings/` and the rows to correct, as its own file has them.

`validate` writes both in this order and shape; what is said later of an accepted row, by the fold and by the age of its
record (D001 to D007, D010 to D012, L010, in `findings/*.verdicts.parquet`), of an event without a record (D008) and of
a case that goes the wrong way (D009), is set between them here. Both hold people's values and stay in restricted
places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.model import Home
from pipelines.readers import ECHO
from pipelines.readers.staging import open_staged
from pipelines.stores.engine import connect
from schemas.model import FindingCode, Item
from schemas.sql import literal

TEXTS = ("sheet", "field", "label", "code", "severity", "value", "own_key", "echo")
# `place` is that of the row in `staged/`; a record that could not be read as a row has a line and no place.
FINDINGS = pa.schema([("place", pa.int64()), ("line", pa.int64()), *((name, pa.string()) for name in TEXTS)])
ROWS = ("place", "line", "sheet", "verdict", "wrong", "echo")  # then the fields of the item
SEVERITIES = ("error", "hold", "warning", "info")
BATCH_ROWS = 65_536
NO_RECORD, STRAYED = "D008", "D009"  # of a row of an event
PLACES = pa.schema([("line", pa.int64()), ("sheet", pa.string())])  # of files that name such rows

Batches = Callable[[], Iterable[pa.RecordBatch]]
# What concerns the whole file, then sheet by sheet and line by line. `#17` in place of a sheet counts the records of a
# file whose records share lines. Within a row what stops it comes first. Everything else only breaks ties.
IN_FILE_ORDER = f"""ORDER BY line IS NOT NULL, CASE WHEN starts_with(sheet, '#') THEN 0 ELSE first END NULLS LAST,
    coalesce(TRY_CAST(CASE WHEN starts_with(sheet, '#') THEN substr(sheet, 2) END AS BIGINT), line), line,
    list_position({list(SEVERITIES)!r}, severity), nth, code, field, value NULLS FIRST, sheet NULLS FIRST"""


@dataclass(frozen=True)
class Told:
    """Each may be read more than once. `findings` has the columns of FINDINGS, `rows` those of ROWS and then the item's
    fields as they were sent: the rows that were rejected or held, `wrong` naming their fields that stop them."""

    findings: Batches
    rows: Batches


def nothing() -> Iterable[pa.RecordBatch]:
    return ()


@contextmanager
def told(home: Home, delivery_id: str, item: Item, codes: Mapping[str, FindingCode]) -> Iterator[Told]:
    """What is told of a delivery that was judged by `item`; nothing where it was never judged."""
    findings, rejected, verdicts = (at(delivery_id) for at in (home.findings, home.rejected, home.verdicts))
    later = {NO_RECORD: home.no_record(delivery_id), STRAYED: home.strayed(delivery_id)}
    later = {code: places for code, places in later.items() if _is_any(places)}
    fields = [f.name for f in item.live_fields]
    if not findings.exists():
        yield Told(nothing, nothing)
    elif not (_says_more(verdicts) or later) or not home.staged(delivery_id).exists():
        # Nothing more is said, or the rows as they were sent are past their dated limit.
        yield Told(lambda: _shaped(findings, FINDINGS), lambda: _stopped(rejected, fields))
    else:
        with connect(home.work) as engine:
            open_staged(engine, home.staged(delivery_id), "sent")
            _open(engine, item, findings, rejected, _said_later(verdicts, later), codes)
            yield Told(lambda: _read(engine, "findings"), lambda: _read(engine, "stopped"))


def without(found: Told, places: AbstractSet[tuple[int, str]]) -> Told:
    """The same without the rows at these places (line, and sheet or '')."""

    def of(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in batches():
            there = zip(batch["line"].to_pylist(), batch["sheet"].to_pylist(), strict=True)
            yield batch.filter(pa.array([(line, sheet or "") not in places for line, sheet in there], pa.bool_()))

    return Told(lambda: of(found.findings), lambda: of(found.rows))


def echo_of(columns: Iterable[str]) -> str:
    """SQL of the echo columns among those of staged rows: one JSON text, header -> value; NULL where there is none."""
    pairs = ", ".join(f"""'{c.removeprefix(ECHO).replace("'", "''")}': "{c}\"""" for c in columns if c.startswith(ECHO))
    return f"CAST(to_json({{{pairs}}}) AS VARCHAR)" if pairs else "CAST(NULL AS VARCHAR)"


def own_key(item: Item, prefix: str = "") -> str:
    """SQL of what a clerk knows a row by, the business key and the name as they were sent, over columns of fields."""
    names = [*item.business_key, item.by_role("name").name]
    return f"concat_ws(' · ', {', '.join(prefix + name for name in names)})"


def _says_more(verdicts: Path) -> bool:
    """Whether the fold said anything of the accepted rows."""
    if not verdicts.exists():
        return False
    codes = pq.read_table(verdicts, columns=["code"])["code"]
    return bool(codes.null_count < len(codes))


def _is_any(places: Path) -> bool:
    return places.exists() and pq.read_metadata(places).num_rows > 0


def _said_later(verdicts: Path, later: Mapping[str, Path]) -> str:
    """SQL of line, sheet, verdict, code of accepted rows of which something was said later."""
    said = [f"SELECT line, sheet, verdict, code FROM read_parquet({literal(verdicts)}) WHERE code IS NOT NULL"]
    for code, places in later.items():
        said.append(f"SELECT line, sheet, NULL, {literal(code)} FROM read_parquet({literal(places)})")
    return " UNION ALL ".join(said)


def _shaped(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The file in the shape of today, whichever night wrote it."""
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        there = set(batch.schema.names)
        columns = [
            batch[f.name].cast(f.type) if f.name in there else pa.nulls(len(batch), f.type) for f in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _stopped(path: Path, fields: list[str]) -> Iterator[pa.RecordBatch]:
    """The rejected and held rows of `rejected/`; those that the law refuses are not to be sent again."""
    texts = [(name, pa.string()) for name in (*ROWS[2:], *fields)]
    schema = pa.schema([("place", pa.int64()), ("line", pa.int64()), *texts])
    for batch in _shaped(path, schema):
        yield batch.filter(pc.is_in(batch["verdict"], pa.array(["rejected", "held"])))


def _open(
    engine: duckdb.DuckDBPyConnection,
    item: Item,
    findings: Path,
    rejected: Path,
    later: str,
    codes: Mapping[str, FindingCode],
) -> None:
    """Views `findings` and `stopped`: what validate wrote, and what the fold says of rows that validate let pass."""
    sent = [c for (c,) in engine.execute("SELECT column_name FROM (DESCRIBE sent)").fetchall()]
    lacking = ", ".join(f"CAST(NULL AS VARCHAR) AS {f.name}" for f in item.fields if f.name not in sent)
    severity = " ".join(f"WHEN '{c.code}' THEN '{c.severity}'" for c in codes.values() if c.code[0] in "DL")
    engine.execute(f"""CREATE TABLE folded AS SELECT s.*, v.verdict, v.code FROM
        (SELECT *, {echo_of(sent)} AS echo {", " + lacking if lacking else ""} FROM sent) s
        JOIN ({later}) v ON v.line = s.line AND v.sheet IS NOT DISTINCT FROM s.sheet""")
    engine.execute("CREATE TABLE sheets AS SELECT sheet, min(place) AS first FROM sent GROUP BY sheet")
    names = ", ".join(FINDINGS.names)
    engine.execute(f"""CREATE VIEW findings AS SELECT {names} FROM (
        SELECT *, 0 AS nth FROM read_parquet({literal(findings)}) UNION ALL BY NAME
        SELECT place, line, sheet, '' AS field, '' AS label, code, CASE code {severity} ELSE 'info' END AS severity,
            CAST(NULL AS VARCHAR) AS value, {own_key(item)} AS own_key, echo, 1 AS nth FROM folded)
        LEFT JOIN sheets USING (sheet) {IN_FILE_ORDER}""")
    texts = ", ".join(f.name for f in item.live_fields)
    engine.execute(f"""CREATE VIEW stopped AS SELECT {", ".join(ROWS)}, {texts} FROM (
        SELECT * FROM read_parquet({literal(rejected)}) WHERE verdict <> 'refused' UNION ALL BY NAME
        SELECT *, CAST(NULL AS VARCHAR) AS wrong FROM folded WHERE verdict = 'held') ORDER BY place""")


def _read(engine: duckdb.DuckDBPyConnection, view: str) -> Iterator[pa.RecordBatch]:
    batches: Iterable[pa.RecordBatch] = engine.cursor().sql(f"SELECT * FROM {view}").to_arrow_reader(BATCH_ROWS)
    yield from batches
