"""What the records of a release say of each subject together, as SQL that can be explained: no score is invented.

`standing` reads `records.<item>` and `ended.<item>`, `listings` `versions.<item>` and the records of events. Sources:
琼府办〔2017〕101号 四（二） for who leaves a list, 六（一） for the clean years; policies clean_years,
clean_years_ignored and clean_years_repaired.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from schemas import life
from schemas.model import Catalog, Item
from schemas.sql import literal
from schemas.tables import released_persons

LISTED = "list_state"  # the code set by which an entry in a list says whether it is still there
WITHDRAWN = "withdrawn"  # why a listing is over of which nobody says anything any more
LISTING = ("subject_id", "item", "record_key", "department", "listed_from", "listed_until", "left_by", "event")


def standing(catalog: Catalog, as_of: date, limit: Callable[[str], Any], missing_feeds: int, judged: str) -> str:
    """person_id, adverse and good (records that are shared), objected (of the adverse ones), serious_lists (it is on
    now), last_adverse_on, clean_three_years (yes, no, unknown), because (items), missing_feeds. One row of each person
    that the release speaks of, under whichever numbers (schemas/persons.py, also for `judged`). `missing_feeds` are
    deliveries of adverse items that are owed and not in."""
    today, years = f"DATE '{as_of.isoformat()}'", int(limit("clean_years"))
    said = []
    for item in catalog.items.values():
        if item.refers or item.nature not in ("adverse", "good"):
            continue
        day = item.event_date or "CAST(NULL AS DATE)"
        is_adverse = "1" if item.nature == "adverse" else "0"
        listed = _listed(item) if is_list(item, limit) else "0"
        said.append(f"""SELECT subject_id, {literal(item.code)} AS item, {is_adverse} AS is_adverse, 1 AS is_shared,
            CASE WHEN CONCAT(',', marks, ',') LIKE '%,objected,%' THEN 1 ELSE 0 END AS is_objected,
            {listed} AS is_listed, {day} AS event_on, {is_adverse} AS counts FROM records.{item.code}""")
        if item.nature == "adverse":
            counts = _counts(item, catalog, limit, as_of)
            said.append(f"""SELECT subject_id, {literal(item.code)}, 1, 0, 0, 0, {day}, {counts}
                FROM ended.{item.code}""")
    spoils = f"counts = 1 AND event_on + INTERVAL {12 * years} MONTH > {today}"
    person = "COALESCE(p.person_id, s.subject_id)"
    return f"""SELECT {person} AS person_id, CAST(SUM(is_adverse * is_shared) AS BIGINT) AS adverse,
        CAST(SUM((1 - is_adverse) * is_shared) AS BIGINT) AS good,
        CAST(SUM(is_adverse * is_objected) AS BIGINT) AS objected,
        CAST(SUM(is_listed) AS BIGINT) AS serious_lists, MAX(CASE WHEN counts = 1 THEN event_on END) AS last_adverse_on,
        CASE WHEN MAX(CASE WHEN {spoils} THEN 1 END) = 1 THEN 'no'
            {"WHEN TRUE THEN 'unknown'" if missing_feeds else ""} ELSE 'yes' END AS clean_three_years,
        STRING_AGG(DISTINCT CASE WHEN {spoils} THEN item END, ',' ORDER BY CASE WHEN {spoils} THEN item END) AS because,
        {missing_feeds} AS missing_feeds
        FROM ({" UNION ALL ".join(said)}) s LEFT JOIN ({released_persons(catalog, judged)}) p
            ON p.subject_id = s.subject_id GROUP BY {person}"""


def is_list(item: Item, limit: Callable[[str], Any]) -> bool:
    """Whether an item is a list of serious cases: a record of it says that its subject is on it, as long as it is
    shared and does not say itself that this is over (policy serious_lists)."""
    of = limit("serious_lists")
    is_one = item.category in of["category"] or item.code in of["item"]
    return is_one and item.nature == "adverse" and item.event_date is not None


def listings(catalog: Catalog, as_of: date, limit: Callable[[str], Any]) -> str:
    """subject_id, item, record_key, department, listed_from, listed_until, left_by, event: when each subject was on
    which list of serious cases, as far as the departments tell it now.

    `listed_from` is the day of the item's event; `listed_until` the first day off the list (NULL: on it still), the
    earliest that the record, an event about it (then `event` is its key) or a withdrawal tells; `left_by` says which, a
    word of codes/record_effect.csv, or `withdrawn` where no department says anything of the record any more. A planned
    end decides nothing. A record that is removed and listed again from that day on, or a later one, gives two rows; one
    that was removed by mistake goes on.
    """
    events = " UNION ALL ".join(
        life.events(i, f"records.{i.code}").sql("duckdb") for i in catalog.items.values() if i.refers
    )
    lists = [i for i in catalog.items.values() if is_list(i, limit)]
    parts = [_listings(i, life.clocks(i, catalog, limit, as_of), as_of, events) for i in lists]
    return " UNION ALL ".join(parts) or f"SELECT {', '.join(f'NULL AS {c}' for c in LISTING)} WHERE FALSE"


def _listings(item: Item, of: life.Clocks, as_of: date, events: str) -> str:
    """Version by version: those until a removal and a new listing are one spell, of which the last one counts."""
    order = "OVER (PARTITION BY record_key ORDER BY valid_from)"
    before, _, _ = life.end_parts("before")
    is_told = events and item.document_field is not None
    told = life.told_end(item, of, "latest", as_of) if is_told else "SELECT NULL AS told_key, NULL AS told_end"
    gone = life.end("valid_to", WITHDRAWN)
    on, by, event = life.end_parts("over")
    return f"""SELECT * FROM (
        WITH events AS (SELECT * FROM ({events or 'SELECT NULL AS item'}) WHERE item = {literal(item.code)}),
        stated AS (SELECT *, {life.own_end(item)} AS own_end FROM versions.{item.code}),
        placed AS (SELECT *, lag(own_end) {order} AS before, lead(valid_from) {order} AS following FROM stated),
        spelled AS (SELECT *, SUM(CASE WHEN own_end IS NULL AND {item.event_date} >= {before} THEN 1 ELSE 0 END) {order}
            AS spell FROM placed),
        lasts AS (SELECT *, max(spell) OVER (PARTITION BY record_key) AS spells FROM spelled
            QUALIFY row_number() OVER (PARTITION BY record_key, spell ORDER BY valid_from DESC) = 1),
        latest AS (SELECT * FROM lasts WHERE spell = spells),
        closed AS (SELECT l.*, CASE WHEN spell < spells THEN own_end
                ELSE LEAST(own_end, t.told_end, CASE WHEN following IS NULL THEN {gone} END) END AS over
            FROM lasts l LEFT JOIN ({told}) t ON t.told_key = l.record_key)
        SELECT subject_id, {literal(item.code)} AS item, record_key, department, {item.event_date} AS listed_from,
            {on} AS listed_until, {by} AS left_by, {event} AS event
        FROM closed WHERE spell = 0 OR over IS NULL OR {on} >= {item.event_date})"""


def _listed(item: Item) -> str:
    field = next((f.name for f in item.curated_fields if f.code_set == LISTED), None)
    return f"CASE WHEN {field} = 'listed' THEN 1 ELSE 0 END" if field else "1"


def _counts(item: Item, catalog: Catalog, limit: Callable[[str], Any], as_of: date) -> str:
    """Whether an ended record still counts against its subject."""
    ignored = ", ".join(map(literal, limit("clean_years_ignored")))
    repaired = {"always": "1", "never": "0"}.get(limit("clean_years_repaired"))
    if repaired is None:
        last = life.window(item, life.clocks(item, catalog, limit, as_of))
        repaired = f"CASE WHEN {last} >= DATE '{as_of.isoformat()}' THEN 1 ELSE 0 END"
    return f"CASE WHEN ended_by IN ({ignored}) THEN 0 WHEN ended_by = 'restored' THEN {repaired} ELSE 1 END"
