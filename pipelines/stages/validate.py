"""`validate` and `identify`: every rule over every row in one pass, then pseudonyms, keys and redaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import PythonUDFType

from pipelines.model import Home
from pipelines.readers import ECHO
from pipelines.readers.staging import REPAIRS, open_staged, repairs_path
from pipelines.stages import cluster
from pipelines.stages.told import FINDINGS, IN_FILE_ORDER, echo_of, own_key
from pipelines.stores.engine import connect, pass_on, watched
from pipelines.stores.keys import Keys
from pipelines.stores.spark import Cluster
from schemas import names, row_rules
from schemas.compiled import Check, Compiled, trees
from schemas.model import Catalog, Item
from schemas.own_key import of_judged, of_refused
from schemas.record import linked
from schemas.row_rules import Policy
from schemas.sql import literal
from schemas.words import Words

SMALL = 1_000  # rows; up to here the engine takes longer to plan what is asked of the rows than to answer
FEW = 50_000  # rows; of so many that are stopped, what they said is held until it is told what stopped them
STEP = 1 << 40  # between the places of one delivery and of the next, where several are judged together
PART = f"place // {STEP}"
UNLESS_REFUSED = "CASE WHEN verdict <> 'refused' THEN"
IF_REFUSED = "CASE WHEN verdict = 'refused' THEN"


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


@dataclass(frozen=True)
class Rules:
    """By what rows are judged. `item` is the item as the delivery's period and county have it (schemas.overlay),
    `compiled` what it compiles to under the `policy`; `period` and `department` decide what its codes (`words`) mean;
    `variants` are pairs of characters that names write for one another."""

    item: Item
    compiled: Compiled
    policy: Policy
    words: Words
    as_of: date
    keys: Keys
    period: date
    department: str | None = None
    variants: str = ""


@dataclass(frozen=True)
class Part:
    """One delivery to judge. `faults` is what was seen of it before; `file` its name; a row is late whose event lies on
    `late` or before."""

    delivery_id: str
    faults: tuple[Fault, ...] = ()
    file: str = ""
    is_full: bool = False
    late: date | None = None


def is_small(home: Home, delivery_id: str) -> bool:
    """Whether a delivery that is staged may be judged together with others."""
    return _rows(home, delivery_id) <= SMALL


def _rows(home: Home, delivery_id: str) -> int:
    return int(pq.read_metadata(home.staged(delivery_id)).num_rows)


def validate(
    home: Home,
    parts: Sequence[Part],
    rules: Rules,
    tell: Callable[[float], None] | None = None,
    on: Cluster | None = None,
) -> list[Validated]:
    """Reads `staged/`, writes `accepted/`, `rejected/` and `findings/` of each delivery, each whole or not at all; the
    last two as `stages.told` reads them. Several are judged together where all are small. `tell` hears the share done.

    accepted: place (in `staged/`), line, sheet, notes, subject_id, record_key, content_hash (16 bytes each),
    credit_number, number_kind, name_hash, identity (JSON of the identifying fields), action, source_time, redacted,
    replaces (16 bytes; where the item's rows may name a wrong key), linked_number, linked_kind and linked_subject_id
    (where they may tell another number of their subject), then the curated fields. Order is not promised.
    rejected: line, sheet, verdict, failed (tags), record_key and name_key (schemas.own_key), then every field as it was
    sent. Of a row that the law refuses there is its place and why, its record_key, `replaces` and source_time, which
    end what was taken in before, and no more: what it says stays in `raw/` and in `staged/`, which is read from there.

    Rows flow from one file to the next and are never held in memory. The few that are not accepted are judged a second
    time, for their findings, which is cheaper than to keep what all rows said until all are judged. Small deliveries
    are read once, kept, and judged as the SQL stands: to plan it well would take longer than to run it.

    Rows of a large one are judged `on` a cluster where there is one. What is made of its findings is made here.
    """
    rows = [_rows(home, part.delivery_id) for part in parts]
    small = max(rows) <= SMALL
    if len(parts) > 1 and not small:
        raise ValueError("only small deliveries are judged together")
    catalog, item = rules.words.catalog, rules.item
    with connect(home.work) as engine, ExitStack() as ending:
        if sum(rows) <= SMALL:
            engine.execute("PRAGMA disable_optimizer")
        made, codes = _Made(engine, small), _code_tables(rules)
        echo = "LEFT JOIN (SELECT place AS echoed, echo FROM sent) ON echoed = place"
        echo = echo if _open_sent(engine, home, parts, item, made) else ""
        _open_rules(made, rules, codes)
        there = None
        if on is not None and not small and on.takes(rows[0]):
            of, staged = trees(item, catalog, rules.policy), home.staged(parts[0].delivery_id)
            there = ending.enter_context(cluster.Judging(on, of, item, staged, codes, rules.as_of))
        accepted = [home.accepted(part.delivery_id) for part in parts]
        _accept(made, rules, accepted, tell, there)
        if conflicting := _conflicting(engine, item, rules.variants):
            made.left_out("accepted", conflicting, accepted)
        _reject(made, rules, [home.rejected(part.delivery_id) for part in parts], echo, there)
        accounts = _accounts(engine, len(parts))
        faults = [
            (n, fault)
            for n, part in enumerate(parts)
            for fault in (*part.faults, *_after_the_rows(engine, item, part, n, accounts[n]))
        ]
        _structural(engine, catalog, faults)
        _repairs(engine, catalog, [repairs_path(home.staged(part.delivery_id)) for part in parts])
        made.passed_on(
            "findings",
            _findings(engine, item, rules.compiled.checks, echo),
            [home.findings(part.delivery_id) for part in parts],
            IN_FILE_ORDER,
            FINDINGS.names,
        )
        made.written()
        files, numbers = _without_names(engine, item, [part.file for part in parts]), _numbers(engine, item)
    return [
        _validated(part, accounts[n], files[n], numbers.get(n, (0, 0, 0))) for n, part in enumerate(parts)
    ]


def _open_rules(made: _Made, rules: Rules, codes: dict[str, pa.Table]) -> None:
    """What the layers of `Compiled` ask for, and they themselves: `staged`, `texts`, `located` and `passing`."""
    _stage(made.engine, rules.as_of)
    for name, table in codes.items():
        made.engine.register("arriving", table)
        made.engine.execute(f"CREATE TABLE {name} AS SELECT * FROM arriving")
        made.engine.unregister("arriving")
    keyed_functions(made.engine, rules.keys)
    made.kept("texts", rules.compiled.texts)
    made.kept("located", rules.compiled.located)
    made.engine.execute(f"CREATE VIEW passing AS {rules.compiled.passing}")


def _stage(engine: duckdb.DuckDBPyConnection, as_of: date, rows: str = "sent") -> None:
    """`staged`, which all layers lie over: the rows that were sent, or some of them."""
    engine.execute(f"CREATE OR REPLACE VIEW staged AS SELECT *, DATE '{as_of.isoformat()}' AS as_of FROM {rows}")


def _accept(
    made: _Made,
    rules: Rules,
    files: list[Path],
    tell: Callable[[float], None] | None,
    there: cluster.Judging | None,
) -> None:
    """`accepted`: the rows that pass, as what they become; `there` is the cluster that judges them."""
    item, record = rules.item, rules.compiled.record
    curated = ", ".join(f"o_{f.name} AS {f.name}" for f in item.curated_fields)
    subject, key, replaces, other = (
        of_today(rules.keys, n) for n in ("subject_id", "record_key", "replaces", "linked_subject_id")
    )
    told = [other if name == "linked_subject_id" else name for name in linked(item)]
    more = "".join(f"{column}, " for column in (*([replaces] if item.replacing_fields else []), *told))
    if there is not None:
        record, tell = there.record(made.engine, rules.keys, record, tell), None
    with watched(made.engine, tell):
        made.passed_on(
            "accepted",
            f"""SELECT place, line, sheet, notes, {subject}, {key}, content_hash, credit_number, number_kind,
                name_hash, identity, action, source_time, redacted, {more}{curated}
                FROM ({record})""",
            files,
        )


def _reject(made: _Made, rules: Rules, files: list[Path], echo: str, there: cluster.Judging | None) -> None:
    """`rejected`: the rows that are not accepted, judged again, for what stopped them."""
    engine, item, compiled = made.engine, rules.item, rules.compiled
    judged = compiled.judged
    if made.is_small:
        engine.execute("DELETE FROM located USING accepted WHERE located.place = accepted.place")
    else:
        engine.execute("CREATE TABLE missing AS SELECT place FROM sent ANTI JOIN accepted USING (place)")
        stopped = _count(engine, "missing")
        if there is not None and there.cluster.takes(stopped):
            judged = there.judged(engine, "missing", judged)
        elif stopped <= FEW:
            engine.execute("CREATE TABLE stopped AS SELECT * FROM sent SEMI JOIN missing USING (place)")
            _stage(engine, rules.as_of, "stopped")
            engine.execute("PRAGMA disable_optimizer")
        else:
            _stage(engine, rules.as_of, "sent SEMI JOIN missing USING (place)")
    texts = ", ".join(f"{UNLESS_REFUSED} t_{f.name} END AS {f.name}" for f in item.fields)
    record_key, name_key = of_judged(item, compiled.checks)
    refused_key, refused_replaces = of_refused(item, compiled.checks)
    is_conflicting = "verdict = 'accepted' AND place IN (SELECT place FROM conflicting)"
    person = item.by_role("name").name
    made.passed_on(
        "rejected",
        f"""SELECT place, line, sheet, CASE WHEN {is_conflicting} THEN 'held' ELSE verdict END AS verdict, failed,
            CASE WHEN {is_conflicting} THEN '{person}' ELSE {_stopping(compiled.checks)} END AS wrong,
            {f"{UNLESS_REFUSED} echo END AS echo" if echo else "CAST(NULL AS VARCHAR) AS echo"},
            {of_today(rules.keys, "record_key", f"{UNLESS_REFUSED} {record_key} ELSE {refused_key} END")},
            {UNLESS_REFUSED} {name_key} END AS name_key,
            {of_today(rules.keys, "replaces", f"{IF_REFUSED} {refused_replaces} END")},
            {IF_REFUSED} CAST({item.source_time or 'NULL'} AS TIMESTAMP) END AS source_time, {texts}
            FROM ({judged}) {echo}""",
        files,
        "ORDER BY place",
    )
    if not made.is_small:
        engine.execute("PRAGMA enable_optimizer")
    _stage(engine, rules.as_of)


@dataclass(frozen=True)
class _Made:
    """What a judging makes of its rows: of a large delivery views and files, row for row; of small ones tables, which
    are written into the files of each when all is known."""

    engine: duckdb.DuckDBPyConnection
    is_small: bool
    files: dict[str, tuple[list[Path], str, Sequence[str]]] = field(default_factory=dict)

    def kept(self, name: str, select: str) -> None:
        self.engine.execute(f"CREATE {'TABLE' if self.is_small else 'VIEW'} {name} AS {select}")

    def passed_on(
        self, name: str, select: str, files: list[Path], order: str = "", columns: Sequence[str] = ()
    ) -> None:
        """`select` as `name` and, `columns` of it (all by default) in `order`, as a file of each part."""
        if self.is_small:
            self.engine.execute(f"CREATE TABLE {name} AS {select}")
            self.files[name] = files, order, columns
        else:
            pass_on(self.engine, f"SELECT {', '.join(columns) or '*'} FROM ({select}) {order}", files[0])
            self.engine.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({literal(files[0])})")

    def left_out(self, name: str, places: list[int], files: list[Path]) -> None:
        """Take rows at `places` out of what was passed on."""
        self.engine.execute("INSERT INTO conflicting SELECT unnest(?)", [places])
        if self.is_small:
            self.engine.execute(f"DELETE FROM {name} USING conflicting WHERE {name}.place = conflicting.place")
        else:
            pass_on(self.engine, f"SELECT * FROM {name} ANTI JOIN conflicting USING (place)", files[0])

    def written(self) -> None:
        for name, (files, order, columns) in self.files.items():
            of = "part" if columns else PART  # a place of the whole delivery is none
            for n, file in enumerate(files):
                place = f"place - {n * STEP} AS place"
                listed = ", ".join(place if c == "place" else c for c in columns) or f"* REPLACE ({place})"
                pass_on(self.engine, f"SELECT {listed} FROM {name} WHERE {of} = {n} {order}", file)


def _open_sent(
    engine: duckdb.DuckDBPyConnection, home: Home, parts: Sequence[Part], item: Item, made: _Made
) -> bool:
    """`sent`: place, line, sheet, echo (JSON of the echo columns) and every field of the item; returns whether anything
    is to be echoed."""
    selects, echoed = [], False
    for n, part in enumerate(parts):
        present = open_staged(engine, home.staged(part.delivery_id), f"sent_{n}")
        echoed = echoed or any(c.startswith(ECHO) for c in present)
        cells = ", ".join(f.name if f.name in present else f"CAST(NULL AS VARCHAR) AS {f.name}" for f in item.fields)
        place = f"place + {n * STEP} AS place" if n else "place"
        selects.append(f"SELECT {place}, line, sheet, {echo_of(present)} AS echo, {cells} FROM sent_{n}")
    made.kept("sent", " UNION ALL ".join(selects))
    return echoed


def _after_the_rows(
    engine: duckdb.DuckDBPyConnection, item: Item, part: Part, n: int, account: Counter[str]
) -> Iterator[Fault]:
    """What is to be said of a delivery as a whole once its rows are judged."""
    own = f"accepted WHERE {PART} = {n}"
    if part.late is not None and (after := _count(engine, f"{own} AND {_is_late(item, part.late)}")):
        yield Fault("H016", None, value=f"{after} / {account['accepted']}")
    is_incomplete = any(f.line is not None for f in part.faults)
    if part.is_full and (is_incomplete or account["sent"] > account["accepted"]):
        yield Fault("H002", None)


def _accounts(engine: duckdb.DuckDBPyConnection, parts: int) -> list[Counter[str]]:
    """Of each part its rows by verdict, and as `sent` all of them."""
    accounts = [Counter[str]() for _ in range(parts)]
    for part, verdict, rows in engine.execute(
        f"""SELECT {PART}, verdict, count(*) FROM rejected GROUP BY ALL
        UNION ALL SELECT {PART}, 'accepted', count(*) FROM accepted GROUP BY ALL
        UNION ALL SELECT {PART}, 'sent', count(*) FROM sent GROUP BY ALL"""
    ).fetchall():
        accounts[part][verdict] = rows
    return accounts


def _validated(part: Part, account: Counter[str], file: str, numbers: tuple[int, int, int]) -> Validated:
    faulty = len({(f.line, f.sheet) for f in part.faults if f.line is not None})
    return Validated(
        account["sent"] + faulty, account["accepted"], account["rejected"] + faulty, account["refused"],
        account["held"], file, *numbers,
    )  # fmt: skip


def _conflicting(engine: duckdb.DuckDBPyConnection, item: Item, variants: str) -> list[int]:
    """Places of accepted rows whose number stands under very different names in one delivery: whose it is, nobody here
    can tell (Q51, Q53). Makes the table `conflicting` for them.

    Passports of two countries may share a number, and a sole trader is named after the shop or the operator.
    """
    engine.execute("CREATE TABLE conflicting (place BIGINT)")
    kinds = "('citizen', 'resident_permit', 'foreign_card_18')"
    several = f"""SELECT {PART} AS part, subject_id FROM accepted WHERE number_kind IN {kinds}
        GROUP BY ALL HAVING min(name_hash) <> max(name_hash)"""
    name = f"json_extract_string(identity, '$.{item.by_role('name').name}')"
    said: dict[tuple[int, bytes], dict[str, list[int]]] = {}
    for part, subject, found, place in engine.execute(
        f"""SELECT part, several.subject_id, {name}, place FROM accepted JOIN ({several}) several
            ON several.subject_id = accepted.subject_id AND part = {PART}"""
    ).fetchall():
        said.setdefault((part, subject), {}).setdefault(found, []).append(place)
    unlike = [by_name for by_name in said.values() if names.are_unlike(by_name, variants)]
    return [place for by_name in unlike for places in by_name.values() for place in places]


def _numbers(engine: duckdb.DuckDBPyConnection, item: Item) -> dict[int, tuple[int, int, int]]:
    """Of each part how many numbers of 18 digits it holds, ending in 000, and being multiples of 64."""
    sent = item.by_role("credit_number").name
    found = f"""SELECT part, count(number), count(*) FILTER (number % 1000 = 0), count(*) FILTER (number % 64 = 0)
        FROM (SELECT {PART} AS part, TRY_CAST(credit_number AS BIGINT) AS number FROM accepted
                WHERE length(credit_number) = 18
            UNION ALL SELECT {PART}, TRY_CAST({sent} AS BIGINT) FROM rejected WHERE length({sent}) = 18)
        GROUP BY part"""
    return {part: (count, destroyed, rounded) for part, count, destroyed, rounded in engine.execute(found).fetchall()}


def _without_names(engine: duckdb.DuckDBPyConnection, item: Item, files: list[str]) -> list[str]:
    """The names of the files without the names of people that the rows of each hold."""
    name = f"t_{item.by_role('name').name}"
    engine.register("named", pa.table({"part": range(len(files)), "file": files}))
    sql = f"""SELECT DISTINCT part, {name} FROM texts JOIN named ON part = {PART}
        WHERE length({name}) > 1 AND strpos(file, {name}) > 0"""
    told = list(files)
    for part, found in sorted(engine.execute(sql).fetchall(), key=lambda pair: (-len(pair[1]), pair)):
        told[part] = told[part].replace(found, "[当事人]")
    return told


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


def _code_tables(rules: Rules) -> dict[str, pa.Table]:
    """What cells may say, its code, and until when that was in force, by name of the table."""
    tables = {}
    for name in sorted({f.code_set for f in rules.item.fields if f.code_set} | {"region"}):
        known = rules.words.of(name, rules.period, rules.department)
        tables[f"codes_{name}"] = pa.table(
            {
                "value": pa.array(known.values.keys(), pa.string()),
                "code": pa.array(known.values.values(), pa.string()),
                "valid_to": pa.array([known.until.get(code) for code in known.values.values()], pa.date32()),
            }
        )
    return tables


def keyed_functions(engine: duckdb.DuckDBPyConnection, keys: Keys) -> None:
    """The key stays in these closures: it is in no SQL text, plan or log."""
    for name, hashed in (("subject_id_of", keys.root_ids), ("keyed_hash", keys.content_hashes)):
        engine.create_function(name, hashed, ["VARCHAR"], "BLOB", type=PythonUDFType.ARROW)
    if keys.is_rotated:
        engine.create_function("of_today", keys.of_today, ["BLOB"], "BLOB", type=PythonUDFType.ARROW)


def of_today(keys: Keys, name: str, sql: str | None = None) -> str:
    """A column of pseudonyms, or of keys made of them, as rotations have left it; what is made of one comes before."""
    value = f"of_today({sql or name})" if keys.is_rotated else sql or name
    return name if value == name else f"{value} AS {name}"


def _stopping(checks: tuple[Check, ...]) -> str:
    """SQL of the fields, comma-separated, at which the tags in `failed` stop a row."""
    stops = ", ".join(f"'{c.tag}': '{c.field}'" for c in checks if c.tag[0] in row_rules.STOPPING)
    fields = f"list_transform(string_split(failed, ','), lambda tag: element_at(MAP {{{stops}}}, tag)[1])"
    return f"array_to_string(list_distinct({fields}), ',')"


def _structural(engine: duckdb.DuckDBPyConnection, catalog: Catalog, faults: list[tuple[int, Fault]]) -> None:
    table = pa.table(
        {
            "part": pa.array([n for n, _ in faults], pa.int64()),
            "line": pa.array([f.line for _, f in faults], pa.int64()),
            "sheet": pa.array([f.sheet for _, f in faults], pa.string()),
            "code": pa.array([f.code for _, f in faults], pa.string()),
            "severity": pa.array([catalog.findings[f.code].severity for _, f in faults], pa.string()),
            "value": pa.array([f.value for _, f in faults], pa.string()),
        }
    )
    engine.register("structural", table)


def _repairs(engine: duckdb.DuckDBPyConnection, catalog: Catalog, files: list[Path]) -> None:
    """What the reader mended or was struck by in rows that it read: part, line, sheet, field, code, value, severity."""
    tables = [pq.read_table(file) if file.exists() else REPAIRS.empty_table() for file in files]
    parts = [pa.array([n] * len(table), pa.int64()) for n, table in enumerate(tables)]
    noted = pa.concat_tables(
        table.select(REPAIRS.names).append_column("part", part) for table, part in zip(tables, parts, strict=True)
    )
    engine.register("noted_cells", noted)
    severity = " ".join(f"WHEN '{code}' THEN '{f.severity}'" for code, f in catalog.findings.items())
    engine.execute(f"CREATE VIEW repairs AS SELECT *, CASE code {severity} END AS severity FROM noted_cells")


def _mended(engine: duckdb.DuckDBPyConnection, item: Item, labels: str) -> str:
    """SQL of the findings that `repairs` are; the rows are looked up only where there are some."""
    told = f"""line, sheet, coalesce(field, ''), coalesce(CASE field {labels} END, ''), code, severity, value"""
    if not _count(engine, "repairs"):
        return f"SELECT part, NULL, {told}, NULL, 0 FROM repairs"
    rows = f"""(SELECT place, {PART} AS row_part, line AS row_line, sheet AS row_sheet,
        {own_key(item, "t_")} AS own_key, place IN (SELECT place FROM refused) AS is_refused FROM texts)"""
    return f"""SELECT part, place, {told}, own_key, 0 FROM repairs
        LEFT JOIN {rows} ON row_part = part AND row_line = line AND row_sheet IS NOT DISTINCT FROM sheet
        WHERE is_refused IS DISTINCT FROM TRUE"""


def _findings(
    engine: duckdb.DuckDBPyConnection, item: Item, listed: tuple[Check, ...], echo: str
) -> str:
    """SQL of all findings, one row each, with the columns of `stages.told`, its part and what its order asks for."""
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
    return f"""WITH refused AS (SELECT place FROM rejected WHERE verdict = 'refused'),
            noted AS (SELECT place, line, sheet, notes FROM accepted WHERE notes <> ''),
            said AS (
                SELECT place, line, sheet, failed, {cells} FROM rejected
                UNION ALL SELECT place, noted.line, noted.sheet, notes, {texts} FROM texts JOIN noted USING (place)),
            tagged AS (SELECT *, unnest(string_split(failed, ',')) AS tag FROM said),
            hidden AS (SELECT place, line, sheet, unnest(string_split(redacted, ',')) AS field
                FROM accepted WHERE redacted <> ''),
            found AS (
                SELECT {PART} AS part, place, line, sheet, field, label, code, severity,
                    CASE field {value} END AS value, {own_key(item)} AS own_key, nth FROM tagged JOIN checks USING (tag)
                UNION ALL SELECT DISTINCT part, CAST(NULL AS BIGINT), line, sheet, '', '', code, severity, value,
                    NULL, 0 FROM structural
                UNION ALL SELECT {PART}, place, line, sheet, '{person}', '{label[person]}', 'D004', 'hold', NULL,
                    {own_key(item)}, 0 FROM rejected SEMI JOIN conflicting USING (place)
                UNION ALL {_mended(engine, item, labels)}
                UNION ALL SELECT {PART}, place, hidden.line, hidden.sheet, field, CASE field {labels} END, 'L002',
                    'info', NULL, {own_key(item, "t_")}, 0 FROM hidden JOIN texts USING (place)),
            sheets AS (SELECT {PART} AS part, sheet, min(place) AS first FROM sent GROUP BY ALL)
        SELECT part, place, line, sheet, field, label, code, severity, value, own_key,
            {"CASE WHEN place NOT IN (FROM refused) THEN echo END" if echo else "CAST(NULL AS VARCHAR)"} AS echo,
            nth, first
        FROM found {echo} LEFT JOIN sheets USING (part, sheet)"""
