"""`curate`: the candidate of one item: data files and warehouse changes, written but not committed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from pipelines.model import ACCOUNT, Home, publish, publish_json
from pipelines.stages import dedupe
from pipelines.stages.dedupe import Incoming
from pipelines.stores.engine import connect, quoted
from pipelines.stores.lake import Lake
from schemas.model import Item
from schemas.tables import record_schema


@dataclass(frozen=True)
class Candidate:
    """What would be published for one item. Paths are absolute data files of the lake, or relative to the home."""

    candidate: str
    item: str
    base_records: int | None
    base_history: int | None
    records_files: list[str]
    history_files: list[str]
    buckets: list[int]
    upserts: str
    touched: str
    deliveries: list[str]
    accounts: dict[str, dict[str, int]]
    profile: dict[str, Any] = field(default_factory=dict)


def curate(
    home: Home,
    lake: Lake,
    item: Item,
    incoming: list[Incoming],
    base: tuple[int | None, int | None],
    revision: str,
    as_of: date,
    asked: Iterable[str],
) -> Candidate:
    """Fold the deliveries over the published release and write the candidate. Only touched buckets are rewritten.

    `asked` are the SELECTs of the batch profile (schemas/profile.py).
    Reads `accepted/` and the snapshots `base` (records, history); writes data files, `findings/*.verdicts.parquet`
    and the candidate note. Running it again writes new files; the old ones are orphans that nothing points at.
    """
    parts = [item.code, revision, as_of.isoformat(), str(base), *sorted(d.delivery_id for d in incoming)]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    history = lake.files("history", item.code, base[1])
    with connect(home.work) as engine:
        dedupe.statements(engine, item, sorted(incoming, key=lambda d: d.delivery_id), history)
        dedupe.fold(engine, item)
        dedupe.verdicts(engine, lake.files("records", item.code, base[0]))
        columns = ", ".join(record_schema(item).names)
        touched = [r[0] for r in engine.execute("SELECT DISTINCT bucket FROM arrived ORDER BY 1").fetchall()]
        records_files = []
        for bucket in touched:
            old = lake.files("records", item.code, base[0], [bucket])
            kept = (
                f"SELECT {columns} FROM {dedupe.parquet(old)} WHERE bucket = {bucket}"
                " AND record_key NOT IN (SELECT record_key FROM arrived) UNION ALL "
                if old
                else ""
            )
            select = f"{kept}SELECT {columns} FROM current WHERE bucket = {bucket}"
            if engine.execute(f"SELECT 1 FROM ({select}) LIMIT 1").fetchone():
                target = lake.new_file("records", item.code, bucket)
                engine.execute(f"COPY ({select}) TO {quoted(target)} (FORMAT parquet, COMPRESSION zstd)")
                records_files.append(str(target))
        statement_file = lake.new_file("history", item.code)
        engine.execute(
            f"COPY (SELECT {columns}, action FROM arrived WHERE copy_of = 1)"
            f" TO {quoted(statement_file)} (FORMAT parquet, COMPRESSION zstd)"
        )
        upserts = home.work / "candidates" / f"{name}.upserts.parquet"
        keys = home.work / "candidates" / f"{name}.touched.parquet"
        for path, select in (
            (upserts, f"SELECT {columns} FROM current"),
            (keys, "SELECT DISTINCT record_key FROM arrived"),
        ):
            _copy(engine, select, path)
        accounts: dict[str, dict[str, int]] = {d.delivery_id: {} for d in incoming}
        for delivery, verdict, n in engine.execute(
            "SELECT delivery_id, verdict, count(*) FROM judged GROUP BY ALL"
        ).fetchall():
            accounts[delivery][verdict] = n
        for d in incoming:
            select = f"SELECT line, sheet, verdict, code FROM judged WHERE delivery_id = '{d.delivery_id}'"
            _copy(engine, select, home.verdicts(d.delivery_id))
        profile = _profile(engine, lake.files("records", item.code, base[0]), asked)
    candidate = Candidate(
        candidate=name,
        item=item.code,
        base_records=base[0],
        base_history=base[1],
        records_files=records_files,
        history_files=[str(statement_file)],
        buckets=touched,
        upserts=upserts.relative_to(home.root).as_posix(),
        touched=keys.relative_to(home.root).as_posix(),
        deliveries=sorted(accounts),
        accounts={k: {w: v.get(w, 0) for w in ACCOUNT} for k, v in accounts.items()},
        profile=profile,
    )
    publish_json(home.candidate(item.code), asdict(candidate))
    return candidate


def read_candidate(home: Home, item: str) -> Candidate | None:
    path = home.candidate(item)
    return Candidate(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _copy(engine: Any, select: str, target: Any) -> None:
    publish(target, lambda p: engine.execute(f"COPY ({select}) TO {quoted(p)} (FORMAT parquet)"))


def _profile(engine: Any, published: list[str], asked: Iterable[str]) -> dict[str, Any]:
    """The batch profile: figures only, each SELECT of `asked` one row of them."""
    source = dedupe.parquet(published) if published else "current WHERE FALSE"
    engine.execute(f"CREATE VIEW published AS SELECT record_key FROM {source}")
    profile: dict[str, Any] = {}
    for select in asked:
        row = engine.execute(select)
        profile |= zip([c[0] for c in row.description], row.fetchone(), strict=True)
    return profile
