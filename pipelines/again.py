"""Judging again what is here already: deliveries of which something was not taken, once other rules hold for them.

Nobody is asked to send again what lies in `raw/`. A delivery that was held or returned as a whole goes the way of a new
one. Of a released one only the rows that wait can come back, as statements beside those it made before; what it stated
once stays as it was judged then.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow.compute as pc

from pipelines import passes
from pipelines.check import absence, asked, judged_by, reasons
from pipelines.errors import DeliveryError
from pipelines.judge import Desk, Judged, judge
from pipelines.model import Home
from pipelines.night import Night
from pipelines.stages import curate, settle
from pipelines.stages.told import IN_FILE_ORDER
from pipelines.stores import reversals, tombstones, waiting
from pipelines.stores.engine import connect, pass_on
from schemas.arrow import former_names, statement_schema
from schemas.sql import literal

KEPT = ("rejected", "findings")
MADE = ("accepted", *KEPT, "moves")


@dataclass(frozen=True)
class Aside(Home):
    """The same home, but what judging writes lies in a folder of its own."""

    folder: Path

    def staged(self, delivery: str) -> Path:
        return self.folder / "staged.parquet"

    def accepted(self, delivery: str) -> Path:
        return self.folder / "accepted.parquet"

    def rejected(self, delivery: str) -> Path:
        return self.folder / "rejected.parquet"

    def findings(self, delivery: str) -> Path:
        return self.folder / "findings.parquet"


@dataclass(frozen=True)
class Difference:
    """What judging a delivery again would change: `taken` rows that wait and would be accepted, with the codes they
    wait for; `stopped` rows that were accepted and would not be any more, with the codes; `changed` ones whose content
    would be another. `state` is what would become of the whole."""

    delivery_id: str
    department: str
    item: str
    period: date
    before: str
    state: str
    read: int = 0
    taken: int = 0
    stopped: int = 0
    changed: int = 0
    taken_codes: dict[str, int] = field(default_factory=dict)
    stopped_codes: dict[str, int] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        return self.before == self.state and not (self.taken or self.stopped or self.changed)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def due(night: Night) -> list[str]:
    """Deliveries that another catalogue than the last may judge otherwise: held or returned ones, and released ones of
    which rows wait. Those that it judges the same are noted, so that they are asked once for each revision."""
    finish(night)
    revision, found, same = night.catalog.revision, [], []
    pending = waiting.replays(night.ledger, "pending")
    with_open = waiting.deliveries_with_open(night.ledger)
    void = {r["delivery_id"] for r in reversals.known(night.ledger)}
    known: dict[tuple[str, str, date], str] = {}
    for row in night.ledger.deliveries("held", "returned", "released"):
        key = row["delivery_id"]
        if row["compared"] == revision or (row["state"] == "released" and key not in with_open):
            continue
        if key in void or (row["state"] == "returned" and row["message_code"] in ("F040", passes.REJECTED)):
            continue  # void: a person took or sent it back, or the same file came with another manifest
        if not night.home.raw(row["sha256"]).exists():
            continue  # past its dated limit: only the department can send it again
        of = row["department"], row["item"], row["period"]
        now = known[of] if of in known else known.setdefault(of, judged_by(night, row))
        is_same = now == row["yardstick"]
        if row["state"] == "released":
            is_same = now.partition("/")[0] == row["yardstick"].partition("/")[0]
        if is_same and key not in pending:
            same.append(key)
        else:
            found.append(key)
    waiting.compared(night.ledger, same, revision)
    return found


def judge_again(night: Night, delivery_id: str) -> str:
    """Judge a released delivery again from `raw/`, aside of what it gave before.

    Reads the rows that wait; writes what comes of them (`Home.again`) and, where any of them is taken or seen
    otherwise, a plan in the ledger that the next integration carries out. Safe to kill and to repeat. Returns what to
    tell."""
    row = night.ledger.deliveries(only=delivery_id)[0]
    measure, revision = judged_by(night, row), night.catalog.revision
    with _aside(night) as aside:
        try:
            judged = _judge(night, aside, row)
        except DeliveryError:  # under these rules the whole file would go back: nothing of it comes in
            waiting.forget_replay(night.ledger, delivery_id)
            waiting.compared(night.ledger, [delivery_id], revision)
            _clear(night.home, delivery_id)
            return "as before"
        # Nobody can hold what is released: where it would leave out too much, its absences go on counting for nothing.
        let_pass = delivery_id in night.limit("let_pass")
        counts = judged.is_complete and (let_pass or not absence(night, row, judged, aside.accepted(delivery_id)))
        with connect(night.home.work) as engine:
            _open(engine, night, aside, row)
            moves = _keep_what_moves(engine, night.home, aside, delivery_id)
        # An older plan is withdrawn before its files are replaced: a plan finds either its own or none.
        waiting.forget_replay(night.ledger, delivery_id)
        for what in MADE:
            _move(aside.folder / f"{what}.parquet", night.home.again(delivery_id, what))
    if moves:
        waiting.plan_replay(night.ledger, delivery_id, revision, measure, counts)
        return f"{moves} rows are seen otherwise now"
    _renew(night.home, delivery_id)
    night.ledger.update(delivery_id, yardstick=measure, compared=revision, receipted="")
    return "as before"


def finish(night: Night) -> None:
    """Renew the files of deliveries whose rows came back with a release: what is told of them is told by these."""
    for delivery_id in waiting.replays(night.ledger, "released"):
        verdicts, more = night.home.verdicts(delivery_id), night.home.again(delivery_id, "verdicts")
        if more.exists():
            with connect(night.home.work) as engine:
                engine.execute(f"CREATE VIEW more AS SELECT * FROM read_parquet({literal(more)})")
                both = "SELECT * FROM more"
                if verdicts.exists():
                    same = "n.line = o.line AND n.sheet IS NOT DISTINCT FROM o.sheet"
                    both += f""" UNION ALL SELECT * FROM read_parquet({literal(verdicts)}) o
                        WHERE NOT EXISTS (SELECT 1 FROM more n WHERE {same})"""
                pass_on(engine, both, verdicts)
        _renew(night.home, delivery_id)
        waiting.forget_replay(night.ledger, delivery_id)


def difference(night: Night, row: dict[str, Any]) -> Difference:
    """What judging a delivery again would change; nothing of the home is changed by asking."""
    before = row["state"]
    told = Difference(row["delivery_id"], row["department"], row["item"], row["period"], before, before)
    with _aside(night) as aside:
        try:
            judged = _judge(night, aside, row)
        except DeliveryError as e:
            lost = 0 if before == "returned" else row["read"] - row["rejected"] - row["refused"]
            state = before if before == "released" else "returned"
            return replace(told, state=state, stopped=lost, stopped_codes={e.code: lost} if lost else {})
        if before != "released":
            told = replace(told, state="held" if reasons(night, row, judged, aside.accepted("")) else "checked")
        with connect(night.home.work) as engine:
            _open(engine, night, aside, row)
            _refuse_deleted(engine, night, row["item"])
            _open_before(engine, night, row)
            # Nothing of a returned file was ever judged, so nothing of it waits row by row.
            taken = f"SELECT codes FROM ({MOVES}) WHERE outcome = 'accepted'"
            if before == "returned":
                taken = "SELECT codes FROM judged WHERE outcome = 'accepted'"
            stopped = "SELECT codes FROM judged SEMI JOIN before USING (line, sheet) WHERE outcome <> 'accepted'"
            changed = """SELECT n.line FROM accepted n JOIN before b ON b.line = n.line
                AND b.sheet = coalesce(n.sheet, '') WHERE n.content_hash <> b.content_hash"""
            taken_rows, stopped_rows = (engine.execute(sql).fetchall() for sql in (taken, stopped))
            ((changed_rows,),) = engine.execute(f"SELECT count(*) FROM ({changed})").fetchall()
    return replace(
        told, read=judged.read, taken=len(taken_rows), taken_codes=_per_code(taken_rows), changed=changed_rows,
        stopped=len(stopped_rows), stopped_codes=_per_code(stopped_rows),
    )  # fmt: skip


@contextmanager
def _aside(night: Night) -> Iterator[Aside]:
    """A folder of this process alone; what a killed one leaves is swept up by its name."""
    with TemporaryDirectory(prefix="again.", suffix=f".{os.getpid()}.part", dir=night.home.work) as folder:
        yield Aside(night.home.root, Path(folder))


MOVES = """SELECT w.line, w.sheet, j.outcome, CASE WHEN j.outcome = 'accepted' THEN w.codes ELSE j.codes END AS codes
    FROM waits w JOIN judged j USING (line, sheet) WHERE j.outcome <> w.verdict"""


def _judge(night: Night, aside: Aside, row: dict[str, Any]) -> Judged:
    """Raises `DeliveryError`."""
    desk = Desk(aside, night.catalog, night.keys, night.as_of)
    return judge(desk, asked(night, row))


def _open(engine: duckdb.DuckDBPyConnection, night: Night, aside: Aside, row: dict[str, Any]) -> None:
    """View `accepted` and, by line and sheet ('' for none), tables `waits` (verdict, codes): the rows of a delivery
    that wait, and `judged` (outcome, codes): all its rows as they are judged now."""
    delivery_id = row["delivery_id"]
    rows = waiting.open_rows(night.ledger, delivery_id=delivery_id)
    rows = rows.filter(pc.invert(rows["is_stated"]))
    if row["state"] == "released":
        engine.register("rows", rows)
        engine.execute("CREATE TABLE waits AS SELECT line, sheet, verdict, codes FROM rows")
    elif row["state"] == "returned" or not night.home.rejected(delivery_id).exists():
        engine.execute("CREATE TABLE waits (line BIGINT, sheet VARCHAR, verdict VARCHAR, codes VARCHAR)")
    else:
        stopped = _stopped(night.home.rejected(delivery_id), night.home.findings(delivery_id))
        engine.execute(f"CREATE TABLE waits AS {stopped} WHERE verdict <> 'refused'")
    engine.execute(f"CREATE VIEW accepted AS SELECT * FROM read_parquet({literal(aside.accepted(delivery_id))})")
    stopped = _stopped(aside.rejected(delivery_id), aside.findings(delivery_id))
    engine.execute(f"""CREATE TABLE judged AS {stopped}
        UNION ALL SELECT line, coalesce(sheet, ''), 'accepted', '' FROM accepted""")
    engine.execute("ALTER TABLE judged RENAME verdict TO outcome")


def _refuse_deleted(engine: duckdb.DuckDBPyConnection, night: Night, item: str) -> None:
    """Rows of `accepted` about records that were deleted are refused, as the fold would do."""
    if (dead := tombstones.of_item(night.ledger, item)).num_rows:
        engine.register("dead", dead)
        places = "SELECT line, coalesce(sheet, '') FROM accepted SEMI JOIN dead USING (record_key)"
        engine.execute(f"""UPDATE judged SET outcome = 'refused', codes = '{curate.DELETED}'
            WHERE outcome = 'accepted' AND (line, sheet) IN ({places})""")


def _open_before(engine: duckdb.DuckDBPyConnection, night: Night, row: dict[str, Any]) -> None:
    """Table `before` (line, sheet, content_hash): what the delivery states, or would if it were released as it is."""
    item, delivery_id, source = night.catalog.items.get(row["item"]), row["delivery_id"], ""
    if row["state"] == "released" and item is not None:
        if files := night.lake.files("history", item.code, night.ledger.published(item.code)[1]):
            shape, former = statement_schema(item), former_names(item)
            source = night.lake.relation(engine, "history", item.code, shape, former, files)
            source += f" WHERE delivery_id = '{delivery_id}' AND action <> 'refuse'"
    elif row["state"] != "returned" and (path := night.home.accepted(delivery_id)).exists():
        source = f"read_parquet({literal(path)})"
    columns = "line, coalesce(sheet, '') AS sheet, content_hash"
    engine.execute(
        f"CREATE TABLE before AS SELECT {columns} FROM {source}" if source
        else "CREATE TABLE before (line BIGINT, sheet VARCHAR, content_hash BLOB)"
    )  # fmt: skip


def _stopped(rejected: Path, findings: Path) -> str:
    """SQL of the rows that were not taken: line, sheet, verdict, codes; records that are no rows among them."""
    rows, told = (f"read_parquet({literal(path)})" for path in (rejected, findings))
    said = settle.not_taken(rows, told, "line, sheet")
    return f"SELECT line, sheet, verdict, coalesce(codes, '') AS codes FROM ({said})"


def _keep_what_moves(engine: duckdb.DuckDBPyConnection, home: Home, aside: Aside, delivery_id: str) -> int:
    """Of what judging again gave, keep the rows that come back; what is told of all other rows stays as it was.
    Returns how many rows are seen otherwise."""
    engine.execute(f"CREATE TABLE moves AS {MOVES}")
    ((moves,),) = engine.execute("SELECT count(*) FROM moves").fetchall()
    pass_on(engine, "SELECT * FROM moves", aside.folder / "moves.parquet")
    place = "m.line = a.line AND m.sheet = coalesce(a.sheet, '')"
    back = f"SELECT * FROM accepted a WHERE EXISTS (SELECT 1 FROM moves m WHERE {place} AND m.outcome = 'accepted')"
    pass_on(engine, back, aside.accepted(delivery_id))
    by_place = "SELECT * EXCLUDE (nth) FROM ({both}) ORDER BY place"
    in_file = f"""WITH said AS ({{both}}), sheets AS (SELECT sheet, min(place) AS first FROM said GROUP BY sheet)
        SELECT * EXCLUDE (nth, first) FROM said LEFT JOIN sheets USING (sheet) {IN_FILE_ORDER}"""
    for old, new, whole, in_order in (
        (home.rejected(delivery_id), aside.rejected(delivery_id), "FALSE", by_place),
        (home.findings(delivery_id), aside.findings(delivery_id), "line IS NULL", in_file),
    ):
        waits = "EXISTS (SELECT 1 FROM waits m WHERE m.line = a.line AND m.sheet = coalesce(a.sheet, ''))"
        rows = "SELECT *, file_row_number AS nth FROM read_parquet({}, file_row_number = true)"
        both = f"SELECT * EXCLUDE (file_row_number) FROM ({rows.format(literal(new))}) a WHERE {waits} OR {whole}"
        if old.exists():
            both += f""" UNION ALL BY NAME
                SELECT * EXCLUDE (file_row_number) FROM ({rows.format(literal(old))}) a
                WHERE NOT {waits} AND NOT ({whole})"""
        pass_on(engine, in_order.format(both=both), new)
    return int(moves)


def _renew(home: Home, delivery_id: str) -> None:
    for what in KEPT:
        if (made := home.again(delivery_id, what)).exists():
            _move(made, getattr(home, what)(delivery_id))
    _clear(home, delivery_id)


def _move(made: Path, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    os.replace(made, to)


def _clear(home: Home, delivery_id: str) -> None:
    for what in (*MADE, "verdicts"):
        home.again(delivery_id, what).unlink(missing_ok=True)


def _per_code(rows: list[tuple[str]]) -> dict[str, int]:
    """A row that waits for several codes counts for each."""
    return dict(sorted(Counter(code for (codes,) in rows for code in codes.split(",") if code).items()))
