"""`curate`: the candidate of one item: data files and warehouse changes, written but not committed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from pipelines.model import ACCOUNT, Home, publish_json
from pipelines.stages import datafiles, dedupe
from pipelines.stages.candidate import Candidate
from pipelines.stages.canonical import split
from pipelines.stages.cluster_fold import RECORDS, Folding
from pipelines.stages.datafiles import Limits, Local, Making, Planned, linked, rows_of, write
from pipelines.stages.dedupe import Full, Incoming, Reverted
from pipelines.stages.events import open_events
from pipelines.stages.settle import settle
from pipelines.stages.validate import keyed_functions
from pipelines.stores.engine import connect
from pipelines.stores.files import PLACE, Change, Files, live
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake
from pipelines.stores.ledger import Life, Pinned
from pipelines.stores.spark import Cluster
from schemas import fold, life, profile
from schemas.arrow import former_names, statement_schema, stored_schema
from schemas.model import Item
from schemas.sql import literal

EXPIRED = "D007"  # of a row whose record is past its retention as it comes
DELETED = "L010"  # of a row whose record was deleted


RECEIVED = pa.schema([("delivery_id", pa.string()), ("received_on", pa.date32())])


@dataclass(frozen=True)
class Look:
    """What events and time make of the records of an item: `clocks`, what the gathered events say of it (`events`) and
    by which policy (`rules`), each as a fingerprint, for how many `days` after its retention a record is kept, what
    the records have taken in so far (`known`), and SQL of those that are kept by others' account (`kept_otherwise`)."""

    clocks: life.Clocks
    rules: str
    events: str
    days: int
    known: Life | None
    kept_otherwise: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is known of the records, or by another policy."""
        return self.known is None or self.known.rules != self.rules

    def asks(self, as_of: date) -> str:
        """SQL of which stored records may have become something else since; FALSE where nothing has happened."""
        if self.known is None or self.is_whole:
            return "TRUE"
        asked = ["FALSE"]
        if self.known.events != self.events:
            asked += ["subject_id IN (SELECT subject_id FROM events)", "marks IS NOT NULL", "ended_event IS NOT NULL"]
            asked += [self.kept_otherwise] if self.kept_otherwise else []
        if self.known.changes_on is not None and self.known.changes_on <= as_of:
            asked.append(f"changes_on <= DATE '{as_of.isoformat()}'")
        return " OR ".join(asked)

    def is_due(self, as_of: date) -> bool:
        """Whether records need a look although no statement of theirs is new."""
        return self.asks(as_of) != "FALSE" or self.deletes(as_of)

    def deletes(self, as_of: date) -> bool:
        """Whether what is not shared may be so old that it is to be deleted."""
        until = self.known.keeps_until if self.known else None
        return until is not None and until < self.kept_from(as_of)

    def kept_from(self, as_of: date) -> date:
        """What was to be kept until a day before this one is deleted."""
        return as_of - timedelta(self.days)


def curate(
    home: Home,
    lake: Lake,
    item: Item,
    incoming: list[Incoming],
    base: Pinned,
    revision: str,
    as_of: date,
    waiting: pa.Table,
    keys: Keys,
    look: Look,
    limits: Limits,
    fulls: Iterable[Full] = (),
    figures: Iterable[str] = (),
    reverted: Sequence[Reverted] = (),
    tombstones: pa.Table | None = None,
    received: pa.Table | None = None,
    cluster: Cluster | None = None,
) -> Candidate:
    """Fold the deliveries over the published release and write the candidate.

    Reads `accepted/`, the gathered events and the snapshots `base`; writes data files, `findings/*.verdicts.parquet`
    and the candidate note. What was stored of a touched record is struck out, or its data file written anew (`Limits`);
    a record is found by its key wherever it lies, so a changed date leaves no second copy, and whether it is shared or
    has ended. `waiting` are the
    item's rows that wait (stores/waiting.py), `figures` the SELECTs of the batch profile (schemas/profile.py),
    `tombstones` all of the item: nothing of these records is left or taken in; `received` tells the days on which its
    deliveries came (stages/deletion.py). On a `cluster` the records of a large item are folded and their data files
    written there. Running it again first sweeps up what a killed run left.
    """
    said = sorted(d.delivery_id + " again" * d.is_again for d in incoming)
    said += sorted(f"{r.delivery_id} reverted" for r in reverted if r.is_new)
    parts = [item.code, revision, as_of.isoformat(), str(tuple(base)), look.events, look.rules, *said]
    if tombstones is not None and tombstones.num_rows:
        parts.append(hashlib.sha256(str(tombstones.to_pydict()).encode()).hexdigest())
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    incoming = sorted(incoming, key=lambda d: d.delivery_id)
    records = lake.files("records", item.code, base.records)
    ended = lake.files("ended", item.code, base.ended)
    with Planned(home, lake, item) as plan, connect(home.work) as engine, ExitStack() as ending:
        shape, former = statement_schema(item), former_names(item)
        history = lake.files("history", item.code, base.history)
        canonical, past = (
            lake.relation(engine, "history", item.code, shape, former, some) if some else None
            for some in split(engine, home, lake, item, history)
        )
        stored = recorded(engine, lake, item, {"records": records, "ended": ended})
        placed = recorded(engine, lake, item, {"records": records, "ended": ended}, is_placed=True)
        has_events = not item.goes_first and open_events(engine, home, item.code)
        dedupe.open_statements(
            engine, item, incoming, past, placed, fulls, reverted, tombstones, is_placed=True, canonical=canonical
        )
        gone = _gone(engine, home, item, tombstones)
        engine.register("received", RECEIVED.empty_table() if received is None else received)
        there = {"records": records, "ended": ended, "history": history}
        published, arrived = rows_of(engine, records), int(_one(engine, "SELECT count(*) FROM arrived"))
        tables: Making = Local(engine)
        if cluster is not None and cluster.takes(published + arrived):
            folding = ending.enter_context(Folding(cluster, engine, lake, item, there))
            folding.open(reverted, tombstones is not None and tombstones.num_rows > 0, has_events)
            tables, stored = folding, stored and RECORDS
        _due(tables, item, stored, look, as_of, has_events)
        dedupe.run_fold(tables, item)
        columns = shape.names

        def lived(select: exp.Expr) -> str:
            return _sql(life.life(item, look.clocks, f"({_sql(select)})", as_of, has_events))

        shown, shown_rows, over = tables.record_files(plan, lived(fold.shown(columns)))
        # A record that shows a new statement is that statement: one file, under a name in each table.
        stated = [linked(path, plan.file("history")) for path in (*shown, *over)]
        unshown, _ = tables.files(plan, "history", _sql(life.none(f"({_sql(fold.unshown(columns))})")))
        returning, returning_rows, over_again = tables.record_files(plan, lived(fold.returning(columns)))
        upserts = [*shown, *returning]
        touched = home.work / "candidates" / f"{item.code}.touched.parquet"
        told = "record_key, parse_filename(file_path, true) AS file, was_shared AS is_shared"
        touched_rows = write(engine, f"SELECT {told} FROM published ORDER BY file_path, pos", touched)

        def without(space: str, of: str, limits: Limits | None) -> Change:
            return datafiles.without(engine, plan, lake, item, space, there[space], of, limits)

        is_touched = touched_rows or gone
        changes = {s: without(s, "published", limits) if is_touched else Change() for s in ("records", "ended")}
        changes["history"] = Change()
        if gone and history:
            engine.execute(f"""CREATE TABLE gone_places AS SELECT record_key, filename AS file_path,
                file_row_number AS pos FROM {live(history, is_placed=True)} SEMI JOIN doomed USING (record_key)""")
            changes["history"] = without("history", "gone_places", None)
        for space, new in (("records", upserts), ("ended", [*over, *over_again]), ("history", [*stated, *unshown])):
            changes[space].added.extend(new)
        after = {space: files.after(changes[space]) for space, files in there.items()}
        fresh = [*upserts, *over, *over_again]
        changes_on, keeps_until = _next_days(engine, lake, item, after, look, as_of, fresh, unshown, stored is not None)
        accounts = _verdicts(engine, home, incoming, over)
        keyed_functions(engine, keys)
        settle(engine, home, item, incoming, waiting, revision, [r.delivery_id for r in reverted if r.is_new])
        begun, waited = (_noted(engine, home, item, what) for what in ("begun", "ended"))
        current = dedupe.parquet(upserts) if upserts else "arrived WHERE FALSE"
        engine.execute(f"CREATE VIEW current AS SELECT {', '.join(columns)} FROM {current}")
        counted = [*figures, *([profile.ENDED.sql("duckdb")] if look.known is not None and look.is_whole else [])]
        candidate = Candidate(
            candidate=name,
            item=item.code,
            base_records=base.records,
            base_history=base.history,
            base_ended=base.ended,
            changes=changes,
            upserts=upserts,
            upsert_rows=shown_rows + returning_rows,
            touched=touched.relative_to(home.root).as_posix(),
            touched_rows=touched_rows,
            published_rows=published,
            deliveries=[d.delivery_id for d in incoming if not d.is_again],
            accounts=accounts,
            events=look.events,
            rules=look.rules,
            changes_on=changes_on.isoformat() if changes_on else None,
            keeps_until=keeps_until.isoformat() if keeps_until else None,
            stated=[*stated, *unshown],
            gone=gone,
            again=[d.delivery_id for d in incoming if d.is_again],
            reverted=[r.delivery_id for r in reverted if r.is_new],
            begun=begun,
            waited=waited,
            profile={**_profile(engine, counted), "published_rows": published},
        )
        publish_json(home.candidate(item.code), asdict(candidate))
    return candidate


def absent(
    home: Home, lake: Lake, item: Item, records: Files, department: str, order: tuple[date, int], accepted: Path
) -> tuple[int, int]:
    """(shown, absent): the records that `records` show by statements of `department` not later than `order`
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


def _sql(tree: exp.Expr) -> str:
    return tree.sql(dialect="duckdb")


def _one(engine: duckdb.DuckDBPyConnection, sql: str) -> Any:
    ((value,),) = engine.execute(sql).fetchall()
    return value


def recorded(
    engine: duckdb.DuckDBPyConnection, lake: Lake, item: Item, files: dict[str, Files], is_placed: bool = False
) -> str | None:
    """SQL of the records that are shared and of those that have ended, None where there are none; `files` by space.
    `is_placed`: each with the place where it lies."""
    shape, former = stored_schema(item), former_names(item)
    columns = ", ".join([*shape.names, *(PLACE if is_placed else ())])
    parts = [
        f"SELECT {columns} FROM {lake.relation(engine, space, item.code, shape, former, listed, is_placed)}"
        for space, listed in files.items()
        if listed
    ]
    return f"({' UNION ALL '.join(parts)})" if parts else None


def _due(
    tables: Making, item: Item, stored: str | None, look: Look, as_of: date, has_events: bool
) -> None:
    """Fill `due` with the stored records of which events or time make something else now. Reads `events`."""
    asks = look.asks(as_of)
    if stored is None or asks == "FALSE":
        return
    before = ", ".join(f"{c} AS was_{c}" for c in life.COLUMNS)
    source = f"(SELECT {', '.join(statement_schema(item).names)}, {before} FROM {stored} WHERE {asks})"
    now = _sql(life.life(item, look.clocks, source, as_of, has_events))
    differs = " OR ".join(f"{c} IS DISTINCT FROM was_{c}" for c in life.COLUMNS)
    tables.add("due", f"SELECT record_key FROM ({now}) s WHERE {differs}")


def _gone(engine: duckdb.DuckDBPyConnection, home: Home, item: Item, tombstones: pa.Table | None) -> str:
    """Note the keys of the records that are deleted now, table `doomed`, and of those that are not taken in."""
    engine.execute("CREATE TABLE doomed (record_key BLOB)")
    if tombstones is None or not tombstones.num_rows:
        return ""
    engine.execute("INSERT INTO doomed SELECT record_key FROM tombstones WHERE is_new")
    engine.execute("""CREATE TABLE gone AS SELECT record_key, max(is_new) AS is_new FROM (
        SELECT record_key, TRUE AS is_new FROM doomed UNION ALL SELECT record_key, FALSE FROM barred) GROUP BY ALL""")
    return _noted(engine, home, item, "gone")


def _next_days(
    engine: duckdb.DuckDBPyConnection,
    lake: Lake,
    item: Item,
    files: dict[str, Files],
    look: Look,
    as_of: date,
    new: list[str],
    unshown: list[str],
    is_known: bool,
) -> tuple[date | None, date | None]:
    """The day on which time changes one of the records that are stored then, in `files` by space (those in `new` were
    not there before), and the one until which all that is not shared is kept. Either may be too early, which costs a
    look, and never is too late: what records showed until now counts as kept no longer than it was to be, and as
    changing on the day on which the first of those before was to change, until that day comes."""
    records = {space: files[space] for space in ("records", "ended")}
    stored = recorded(engine, lake, item, records)
    before = look.known.changes_on if look.known is not None and not look.is_whole else as_of
    looked_at = dedupe.parquet(new) if new else None
    if before is not None and before <= as_of:  # by all that is there
        before, looked_at = None, stored
    first: date | None = _one(engine, f"SELECT min(changes_on) FROM {looked_at}") if looked_at else None
    changes_on = min((day for day in (before, first) if day is not None), default=None)
    if not look.clocks.years:
        return changes_on, None
    over = recorded(engine, lake, item, {"ended": records["ended"]})
    days = [f"SELECT min({life.KEPT}) FROM {life.with_receipt(over)}"] if over else []
    kept = life.kept_unshown(item, look.clocks)
    if (is_known and look.is_whole) or look.deletes(as_of):  # by all that is there
        if files["history"]:
            shape, former = statement_schema(item), former_names(item)
            said = lake.relation(engine, "history", item.code, shape, former, files["history"])
            last = f"SELECT record_key, {kept} AS kept FROM {life.with_receipt(said)} GROUP BY record_key"
            shown = f"ANTI JOIN (SELECT record_key FROM {stored}) s USING (record_key)" if stored else ""
            days.append(f"SELECT min(kept) FROM ({last}) t {shown}")
    else:
        if unshown:
            said = life.with_receipt(dedupe.parquet(unshown))
            days.append(f"SELECT min(kept) FROM (SELECT {kept} AS kept FROM {said} GROUP BY record_key)")
        days.append("SELECT min(kept_until) FROM published")
        if look.known is not None and look.known.keeps_until is not None:
            days.append(f"SELECT DATE '{look.known.keeps_until.isoformat()}'")
    keeps_until: date | None = _one(engine, f"SELECT min(day) FROM ({' UNION ALL '.join(days)}) t(day)")
    return changes_on, keeps_until


def _verdicts(
    engine: duckdb.DuckDBPyConnection, home: Home, incoming: list[Incoming], over: list[str]
) -> dict[str, dict[str, int]]:
    """Write every delivery's verdicts; returns its account in the words of the fold. `over` are the files of new
    statements whose records have ended as they come: of those past their retention that is told."""
    engine.execute(f"CREATE TABLE verdicts AS {_sql(fold.verdicts())}")
    if over:
        engine.execute(f"""UPDATE verdicts v SET code = {literal(EXPIRED)} FROM {dedupe.parquet(over)} e
            WHERE e.ended_by = {literal(life.EXPIRED)} AND v.code IS NULL AND e.delivery_id = v.delivery_id
            AND e.line = v.line AND e.sheet IS NOT DISTINCT FROM v.sheet""")
    # `verdicts` are those of `arrived`, which the gate counts against each other; rows left out of it have one, too.
    # Rows that were refused before they came here are counted already.
    engine.execute(f"""CREATE VIEW all_verdicts AS SELECT * FROM verdicts UNION ALL
        SELECT delivery_id, line, nullif(place_sheet, ''), 'duplicate', 'D001' FROM repeats
        UNION ALL SELECT delivery_id, line, sheet, 'refused', {literal(DELETED)} FROM barred""")
    accounts = {d.delivery_id: dict.fromkeys(ACCOUNT, 0) for d in incoming}
    counted = """SELECT delivery_id, verdict, count(*) FROM all_verdicts
        WHERE verdict <> 'refused' OR code IS NOT NULL GROUP BY ALL"""
    for delivery, verdict, n in engine.execute(counted).fetchall():
        accounts[delivery][verdict] = n
    for d in incoming:
        select = f"SELECT line, sheet, verdict, code FROM all_verdicts WHERE delivery_id = '{d.delivery_id}'"
        write(engine, select, home.again(d.delivery_id, "verdicts") if d.is_again else home.verdicts(d.delivery_id))
    return accounts


def _noted(engine: duckdb.DuckDBPyConnection, home: Home, item: Item, table: str) -> str:
    """A table of `settle` beside the candidate's note; '' where it is empty."""
    path = home.work / "candidates" / f"{item.code}.{table}.parquet"
    if write(engine, f"SELECT * FROM {table}", path):
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
