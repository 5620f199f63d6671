"""What the records of a release say of each subject together, as SQL that can be explained: no score is invented.

Reads `records.<item>` and `ended.<item>`. Sources: 琼府办〔2017〕101号 六（一）; policies clean_years,
clean_years_ignored and clean_years_repaired.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from schemas import life
from schemas.model import Catalog, Item
from schemas.sql import literal

LISTED = "list_state"  # the code set of items that are lists of serious cases


def standing(catalog: Catalog, as_of: date, limit: Callable[[str], Any], missing_feeds: int) -> str:
    """subject_id, adverse and good (records that are shared), objected (of the adverse ones), serious_lists (it is on
    now), last_adverse_on, clean_three_years (yes, no, unknown), because (items), missing_feeds. One row of each subject
    that the release speaks of. `missing_feeds` are deliveries of adverse items that are owed and not in."""
    today, years = f"DATE '{as_of.isoformat()}'", int(limit("clean_years"))
    said = []
    for item in catalog.items.values():
        if item.refers or item.nature not in ("adverse", "good"):
            continue
        day = item.event_date or "CAST(NULL AS DATE)"
        is_adverse = "1" if item.nature == "adverse" else "0"
        listed = _listed(item)
        said.append(f"""SELECT subject_id, {literal(item.code)} AS item, {is_adverse} AS is_adverse, 1 AS is_shared,
            CASE WHEN CONCAT(',', marks, ',') LIKE '%,objected,%' THEN 1 ELSE 0 END AS is_objected,
            {listed} AS is_listed, {day} AS event_on, {is_adverse} AS counts FROM records.{item.code}""")
        if item.nature == "adverse":
            counts = _counts(item, catalog, limit, today)
            said.append(f"""SELECT subject_id, {literal(item.code)}, 1, 0, 0, 0, {day}, {counts}
                FROM ended.{item.code}""")
    spoils = f"counts = 1 AND event_on + INTERVAL {12 * years} MONTH > {today}"
    return f"""SELECT subject_id, CAST(SUM(is_adverse * is_shared) AS BIGINT) AS adverse,
        CAST(SUM((1 - is_adverse) * is_shared) AS BIGINT) AS good,
        CAST(SUM(is_adverse * is_objected) AS BIGINT) AS objected,
        CAST(SUM(is_listed) AS BIGINT) AS serious_lists, MAX(CASE WHEN counts = 1 THEN event_on END) AS last_adverse_on,
        CASE WHEN MAX(CASE WHEN {spoils} THEN 1 END) = 1 THEN 'no'
            {"WHEN TRUE THEN 'unknown'" if missing_feeds else ""} ELSE 'yes' END AS clean_three_years,
        STRING_AGG(DISTINCT CASE WHEN {spoils} THEN item END, ',' ORDER BY CASE WHEN {spoils} THEN item END) AS because,
        {missing_feeds} AS missing_feeds
        FROM ({" UNION ALL ".join(said)}) GROUP BY subject_id"""


def _listed(item: Item) -> str:
    field = next((f for f in item.curated_fields if f.code_set == LISTED), None)
    return f"CASE WHEN {field.name} = 'listed' THEN 1 ELSE 0 END" if field else "0"


def _counts(item: Item, catalog: Catalog, limit: Callable[[str], Any], today: str) -> str:
    """Whether an ended record still counts against its subject."""
    ignored = ", ".join(map(literal, limit("clean_years_ignored")))
    repaired = {"always": "1", "never": "0"}.get(limit("clean_years_repaired"))
    if repaired is None:
        last = life.window(item, life.clocks(item, catalog, limit))
        repaired = f"CASE WHEN {last} >= {today} THEN 1 ELSE 0 END"
    return f"CASE WHEN ended_by IN ({ignored}) THEN 0 WHEN ended_by = 'restored' THEN {repaired} ELSE 1 END"
