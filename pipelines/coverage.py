"""How much of what is said is said of persons the register has verified, and how many of all persons it speaks of.

Source: 琼府办〔2017〕101号 三（一）: the citizen number is the base, and everybody is to have a code. Counts of whole
items and domains alone; nobody is named.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines.errors import StoreError
from pipelines.judge import kept_catalogue
from pipelines.model import Home
from pipelines.night import open_lake
from pipelines.stages.people import open_people
from pipelines.stores import judgements, snapshots
from pipelines.stores.engine import connect
from pipelines.stores.ledger import Ledger, Pinned
from schemas.arrow import former_names, stored_schema
from schemas.load import effective
from schemas.sql import literal


@dataclass(frozen=True)
class Coverage:
    """What an item, a domain or all of them (`scope`; `name` is '' for all) cover in a release. `verified` are records
    about persons whom the register has verified under one of their numbers, `persons` all persons spoken of,
    `verified_persons` those verified, `population` how many there are (policy)."""

    scope: str
    name: str
    records: int
    verified: int
    subjects: int
    persons: int
    verified_persons: int
    population: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verified_share": _share(self.verified, self.records),
                "persons_share": _share(self.persons, self.population)}  # fmt: skip


def _share(part: int, of: int) -> float | None:
    return round(part / of, 6) if of else None


def coverage(home: Home, ledger: Ledger, as_of: str | None = None) -> list[Coverage]:
    """All, then domain by domain, then item by item, of those that have records. Raises `StoreError`."""
    release = ledger.find_release(as_of)
    if release is None:
        raise StoreError("release: none yet. Run 'qiongxin nightly' first.")
    catalog, lake = kept_catalogue(home), open_lake(home, ledger.url)
    if gone := snapshots.gone(ledger, release["release_id"], catalog.items):
        raise StoreError(f"--as-of {as_of}: {gone}. Ask for a later release.")
    pinned = ledger.snapshots(release["release_id"])
    judged = judgements.known(ledger, release["as_of"]) if as_of else judgements.standing(ledger)
    population = int(effective(catalog, "population", release["as_of"]))
    files = {c: lake.files("records", c, pinned.get(c, Pinned()).records) for c in catalog.items}
    with connect(home.work) as engine:
        open_people(engine, lake, catalog, {c: f for c, f in files.items() if catalog.items[c].registers}, judged)
        engine.execute("CREATE TABLE spoken (item VARCHAR, domain VARCHAR, subject_id BLOB, n BIGINT)")
        engine.execute("CREATE TABLE verified (subject_id BLOB)")
        for code, item in catalog.items.items():
            if not files[code]:
                continue
            stored = lake.relation(engine, "records", code, stored_schema(item), former_names(item), files[code])
            engine.execute(f"""INSERT INTO spoken SELECT {literal(code)}, {literal(item.domain)}, subject_id, count(*)
                FROM {stored} GROUP BY subject_id""")
            if item.registers and item.registers.verified:
                engine.execute(f"INSERT INTO verified SELECT subject_id FROM {stored} WHERE {item.registers.verified}")
        person = "coalesce(p.person_id, s.subject_id) AS person"
        engine.execute(f"""CREATE TABLE known AS SELECT DISTINCT {person} FROM verified s LEFT JOIN people p
            ON p.subject_id = s.subject_id""")
        engine.execute(f"""CREATE TABLE counted AS
            SELECT s.*, {person}, person IN (SELECT person FROM known) AS is_known
            FROM spoken s LEFT JOIN people p ON p.subject_id = s.subject_id""")
        rows = engine.execute("""SELECT CASE WHEN grouping(item) = 0 THEN 'item' WHEN grouping(domain) = 0 THEN 'domain'
                ELSE 'all' END AS scope, coalesce(item, domain, '') AS name, coalesce(sum(n), 0)::BIGINT,
                coalesce(sum(n) FILTER (is_known), 0)::BIGINT, count(DISTINCT subject_id), count(DISTINCT person),
                count(DISTINCT person) FILTER (is_known)
            FROM counted GROUP BY GROUPING SETS ((), (domain), (item)) ORDER BY scope <> 'all', scope, name""")
        return [Coverage(*row, *[population]) for row in rows.fetchall()]
