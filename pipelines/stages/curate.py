"""`curate`: the candidate of one item: data files and warehouse changes, written but not committed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from pipelines.model import ACCOUNT, Home, publish, publish_json
from pipelines.stages import dedupe
from pipelines.stages.dedupe import Full, Incoming, Reverted
from pipelines.stages.settle import settle
from pipelines.stages.validate import keyed_functions
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake
from schemas import fold
from schemas.arrow import former_names, statement_schema
from schemas.model import Item
from schemas.sql import literal


@dataclass(frozen=True)
class Candidate:
    """What would be published for one item. Data files are absolute paths of the lake, others relative to the home.

    `upserts` are those of `records_files` that hold the `upsert_rows` records that are new or changed, `touched` the
    keys of published records that they replace or that show no more. `deliveries` are the checked ones, `again` those
    released before of which rows come back, `reverted` those that count for nothing from now on; `begun` and `ended`
    are the rows that begin and end to wait (stages/settle.py), '' for none.
    """

    candidate: str
    item: str
    base_records: int | None
    base_history: int | None
    records_files: list[str]
    records_removed: list[str]
    history_files: list[str]
    upserts: list[str]
    upsert_rows: int
    touched: str
    touched_rows: int
    published_rows: int
    deliveries: list[str]
    accounts: dict[str, dict[str, int]]
    again: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    begun: str = ""
    ended: str = ""
    profile: dict[str, Any] = field(default_factory=dict)


def curate(
    home: Home,
    lake: Lake,
    item: Item,
    incoming: list[Incoming],
    base: tuple[int | None, int | None],
    revision: str,
    as_of: date,
    waiting: pa.Table,
    keys: Keys,
    fulls: Iterable[Full] = (),
    figures: Iterable[str] = (),
    reverted: Sequence[Reverted] = (),
) -> Candidate:
    """Fold the deliveries over the published release and write the candidate.

    Reads `accepted/` and the snapshots `base` (records, history); writes data files, `findings/*.verdicts.parquet`
    and the candidate note. Only data files that hold a touched record are rewritten; a record is found by its key
    wherever it lies, so a changed date leaves no second copy. `waiting` are the item's rows that wait
    (stores/waiting.py), `figures` the SELECTs of the batch profile (schemas/profile.py). Running it again first sweeps
    up what a killed run left.
    """
    said = sorted(d.delivery_id + " again" * d.is_again for d in incoming)
    said += sorted(f"{r.delivery_id} reverted" for r in reverted if r.is_new)
    parts = [item.code, revision, as_of.isoformat(), str(base), *said]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    incoming = sorted(incoming, key=lambda d: d.delivery_id)
    records = lake.files("records", item.code, base[0])
    with _planned(home, lake, item) as plan, connect(home.work) as engine:
        shape, former = statement_schema(item), former_names(item)
        past, shown_now = (
            lake.relation(engine, space, item.code, shape, former, files) if files else None
            for space, files in (("history", lake.files("history", item.code, base[1])), ("records", records))
        )
        dedupe.open_statements(engine, item, incoming, past, shown_now, fulls, reverted)
        dedupe.run_fold(engine, item)
        columns = statement_schema(item).names
        shown, shown_rows = _data_file(engine, plan, "records", _sql(fold.shown(columns)))
        # A record that shows a new statement is that statement: one file, under a name in each table.
        stated = [_linked(path, plan.file("history")) for path in shown]
        unshown, _ = _data_file(engine, plan, "history", _sql(fold.unshown(columns)))
        returning, returning_rows = _data_file(engine, plan, "records", _sql(fold.returning(columns)))
        upserts = [*shown, *returning]
        touched = home.work / "candidates" / f"{item.code}.touched.parquet"
        published = lake_rows(engine, records)
        touched_rows = _write(engine, "SELECT record_key FROM published", touched)
        added, removed = _rewrite(engine, plan, lake, item, records) if touched_rows else ([], [])
        accounts = _verdicts(engine, home, incoming)
        keyed_functions(engine, keys)
        settle(engine, home, item, incoming, waiting, revision, [r.delivery_id for r in reverted if r.is_new])
        begun, ended = (_noted(engine, home, item, what) for what in ("begun", "ended"))
        current = dedupe.parquet(upserts) if upserts else "arrived WHERE FALSE"
        engine.execute(f"CREATE VIEW current AS SELECT {', '.join(columns)} FROM {current}")
        profile = {**_profile(engine, figures), "published_rows": published}
        candidate = Candidate(
            candidate=name,
            item=item.code,
            base_records=base[0],
            base_history=base[1],
            records_files=[*added, *upserts],
            records_removed=removed,
            history_files=[*stated, *unshown],
            upserts=upserts,
            upsert_rows=shown_rows + returning_rows,
            touched=touched.relative_to(home.root).as_posix(),
            touched_rows=touched_rows,
            published_rows=published,
            deliveries=[d.delivery_id for d in incoming if not d.is_again],
            accounts=accounts,
            again=[d.delivery_id for d in incoming if d.is_again],
            reverted=[r.delivery_id for r in reverted if r.is_new],
            begun=begun,
            ended=ended,
            profile=profile,
        )
        publish_json(home.candidate(item.code), asdict(candidate))
    return candidate


def absent(
    home: Home, lake: Lake, item: Item, records: list[str], department: str, order: tuple[date, int], accepted: Path
) -> tuple[int, int]:
    """(shown, absent): the records that data files `records` show by statements of `department` not later than `order`
    (period, sequence) of its full delivery, and those of them that the rows in `accepted` leave out."""
    if not records:
        return 0, 0
    with connect(home.work) as engine:
        published = lake.relation(engine, "records", item.code, statement_schema(item), former_names(item), records)
        sql = f"""WITH said AS (SELECT DISTINCT record_key FROM read_parquet({literal(accepted)})),
            own AS (SELECT record_key FROM {published} WHERE department = ? AND (period < ? OR
                (period = ? AND sequence < ?)))
            SELECT (SELECT count(*) FROM own), (SELECT count(*) FROM own ANTI JOIN said USING (record_key))"""
        ((shown, left_out),) = engine.execute(sql, [department, order[0], *order]).fetchall()
    return int(shown), int(left_out)


def read_candidate(home: Home, item: str) -> Candidate | None:
    path = home.candidate(item)
    return Candidate(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


class _planned:
    """The data files a candidate is going to have, noted before they are written, so that the next run of this item
    can sweep up those that no snapshot ever named. The note goes when the release is made."""

    def __init__(self, home: Home, lake: Lake, item: Item) -> None:
        self.home, self.lake, self.item, self.note = home, lake, item.code, plan_note(home, item.code)
        self.files: list[tuple[str, str]] = []

    def __enter__(self) -> _planned:
        sweep_planned(self.home, self.lake, self.item)
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def file(self, space: str) -> Path:
        path = self.lake.new_file(space, self.item)
        self.files.append((space, str(path)))
        publish_json(self.note, self.files)
        return path


def sweep_planned(home: Home, lake: Lake, item: str) -> None:
    """Delete the planned data files of a candidate that no snapshot names."""
    if (note := plan_note(home, item)).exists():
        for space, path in json.loads(note.read_text(encoding="utf-8")):
            lake.sweep(space, item, [path])


def plan_note(home: Home, item: str) -> Path:
    return home.work / "candidates" / f"{item}.files.json"


def lake_rows(engine: duckdb.DuckDBPyConnection, files: list[str]) -> int:
    """Rows of data files, from their footers."""
    return int(_one(engine, f"SELECT count(*) FROM {dedupe.parquet(files)}")) if files else 0


def _sql(tree: exp.Expr) -> str:
    return tree.sql(dialect="duckdb")


def _one(engine: duckdb.DuckDBPyConnection, sql: str) -> Any:
    ((value,),) = engine.execute(sql).fetchall()
    return value


def _copy(engine: duckdb.DuckDBPyConnection, select: str, target: Path) -> int:
    """A data file of the lake; a kill leaves a file that no snapshot names. Returns its rows."""
    # Level 1 is as small as the default here, at two thirds of its time.
    form = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    rows = int(_one(engine, f"COPY ({select}) TO {literal(target)} ({form})"))
    with target.open("rb") as written:  # the release that names this file will be durable, so the file has to be
        os.fsync(written.fileno())
    return rows


def _data_file(
    engine: duckdb.DuckDBPyConnection, plan: _planned, space: str, select: str
) -> tuple[list[str], int]:
    """Write a planned data file; returns it, or nothing where it would be empty, and its rows."""
    path = plan.file(space)
    if rows := _copy(engine, select, path):
        return [str(path)], rows
    path.unlink()
    return [], 0


def _linked(path: str, name: Path) -> str:
    """The same file under another name, so that each table owns what it names and may drop it; a copy where the
    storage has no hard links."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)
        with name.open("rb") as written:
            os.fsync(written.fileno())
    return str(name)


def _write(engine: duckdb.DuckDBPyConnection, select: str, target: Path) -> int:
    rows = [0]

    def write(part: Path) -> None:
        rows[0] = _copy(engine, select, part)

    publish(target, write)
    return rows[0]


def _rewrite(
    engine: duckdb.DuckDBPyConnection, plan: _planned, lake: Lake, item: Item, records: list[str]
) -> tuple[list[str], list[str]]:
    """(new files, replaced files): the files that hold a touched record, without it."""
    hit = f"""SELECT DISTINCT filename FROM read_parquet([{", ".join(literal(Path(f)) for f in records)}],
        filename = true, hive_partitioning = false) SEMI JOIN published USING (record_key)"""
    removed = sorted(str(r[0]) for r in engine.execute(hit).fetchall())
    added = []
    columns = ", ".join(statement_schema(item).names)
    for old in removed:
        kept = lake.relation(engine, "records", item.code, statement_schema(item), former_names(item), [old])
        select = f"SELECT {columns} FROM {kept} ANTI JOIN published USING (record_key)"
        added += _data_file(engine, plan, "records", select)[0]
    return added, removed


def _verdicts(engine: duckdb.DuckDBPyConnection, home: Home, incoming: list[Incoming]) -> dict[str, dict[str, int]]:
    """Write every delivery's verdicts; returns its account in the words of the fold."""
    engine.execute(f"CREATE TABLE verdicts AS {_sql(fold.verdicts())}")
    # `verdicts` are those of `arrived`, which the gate counts against each other; rows left out of it have one, too.
    engine.execute("""CREATE VIEW all_verdicts AS SELECT * FROM verdicts UNION ALL
        SELECT delivery_id, line, nullif(place_sheet, ''), 'duplicate', 'D001' FROM repeats""")
    accounts = {d.delivery_id: dict.fromkeys(ACCOUNT, 0) for d in incoming}
    counted = "SELECT delivery_id, verdict, count(*) FROM all_verdicts GROUP BY ALL"
    for delivery, verdict, n in engine.execute(counted).fetchall():
        accounts[delivery][verdict] = n
    for d in incoming:
        select = f"SELECT line, sheet, verdict, code FROM all_verdicts WHERE delivery_id = '{d.delivery_id}'"
        _write(engine, select, home.again(d.delivery_id, "verdicts") if d.is_again else home.verdicts(d.delivery_id))
    return accounts


def _noted(engine: duckdb.DuckDBPyConnection, home: Home, item: Item, table: str) -> str:
    """A table of `settle` beside the candidate's note; '' where it is empty."""
    path = home.work / "candidates" / f"{item.code}.{table}.parquet"
    if _write(engine, f"SELECT * FROM {table}", path):
        return path.relative_to(home.root).as_posix()
    path.unlink()
    return ""


def _profile(engine: duckdb.DuckDBPyConnection, figures: Iterable[str]) -> dict[str, Any]:
    """The batch profile: each SELECT of `figures` gives one row of them."""
    profile: dict[str, Any] = {}
    for select in figures:
        row = engine.execute(select)
        profile |= zip([c[0] for c in row.description], row.fetchone() or (), strict=True)
    return profile
