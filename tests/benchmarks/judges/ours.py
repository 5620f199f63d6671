"""The file judged by this house, without a database: `judge`, and `dedupe` over the one delivery."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from plain import Found, run

from pipelines.garbage import collect_rarely
from pipelines.judge import Asked, Desk, judge
from pipelines.model import Delivery, Home, delivery_id
from pipelines.night import kept_catalogue
from pipelines.stages.dedupe import Here, Incoming, open_statements, run_fold
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys
from schemas import fold


def judged(rules: dict[str, Any]) -> Found:
    home, source = Home(Path(rules["home"])), Path(rules["path"])
    home.make_restricted()
    day, department, item = date.fromisoformat(rules["day"]), rules["department"], rules["item"]
    desk = Desk(home, kept_catalogue(home), Keys(bytes(32)), day)
    name = delivery_id(department, item, day, 1, "incremental", rules["sha256"])
    size = source.stat().st_size
    delivery = Delivery(
        name, department, item, source.name, day, 1, "incremental", rules["sha256"], size, rules["rows"]
    )
    result = judge(desk, Asked(delivery, source))
    assert result.read == rules["rows"] == sum(result.account.values())
    headers = {c["field"]: c["header"] for c in rules["columns"]}
    with connect(home.work) as engine:
        # What is said of the whole file (here H016, rows reported late) accuses no row.
        asked = f"SELECT line, field FROM read_parquet('{home.findings(name)}') WHERE line IS NOT NULL"
        findings = engine.execute(asked).fetchall()
        incoming = Incoming(name, department, day.isoformat(), 1, str(home.accepted(name)))
        doubles = repeated(engine, desk, item, incoming)
    return sorted({(line, headers.get(field, "")) for line, field in findings} | {(line, "") for line in doubles})


def repeated(engine: duckdb.DuckDBPyConnection, desk: Desk, item: str, incoming: Incoming) -> list[int]:
    open_statements(engine, desk.catalog.items[item], [incoming], None, None)
    run_fold(Here(engine), desk.catalog.items[item])
    verdicts = fold.verdicts().sql(dialect="duckdb")
    return [line for (line,) in engine.execute(f"SELECT line FROM ({verdicts}) WHERE code IS NOT NULL").fetchall()]


if __name__ == "__main__":
    collect_rarely()  # as the command does
    run(judged)
