"""Which pseudonyms are one person's: the links that count, and the one that stands for all, as SQL of every engine.

A link says that what is known under `subject_id` is known of `leads_to`: a number that was replaced leads to the one
that replaced it, a passport or permit to the number of its holder. It comes from a record of a register of persons
(`Item.registers`, policy registers_of_persons) or from a person's judgement; no name, birth date or likeness ever makes
one. Nothing is rewritten: statements and records keep their subject, and a link that goes leaves no trace.

Of what is said some is left out, and told why (`left_out`), since nobody innocent may bear the records of another:

* `ring`: links that lead back to where they begin. A judgement `same` goes before a record that says the reverse.
* `judged_different`: a person has judged two subjects to be different, so neither may lead to what the other leads to;
  of a subject on the other's way only the other's links go.
* `several`: a subject that leads to more than one person leads to none of them.

So what remains leads every subject to exactly one other that leads nowhere: `person_id`.

Relations handed in, each a table, a view or a SELECT in brackets: `links` (subject_id, leads_to) and `judged`
(subject_id, leads_to, verdict `same` or `different`), the judgements that stand; of `same` the first leads to the
second.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from schemas.model import Catalog, Item
from schemas.sql import literal

WHY = ("ring", "judged_different", "several")
POLICY = "registers_of_persons"


def links(catalog: Catalog, source: Callable[[Item], str | None], judged: str) -> str:
    """SELECT of subject_id, leads_to, since, item, department, record_key of all links that records of registers tell.
    `source` gives SQL of the records of an item, None where there are none."""
    told = [
        f"""SELECT linked_subject_id AS subject_id, subject_id AS leads_to, {item.registers.since} AS since,
        {literal(item.code)} AS item, department, record_key FROM {records}
        WHERE linked_subject_id IS NOT NULL AND ({_lets(catalog, item)})"""
        for item in catalog.items.values()
        if item.registers is not None and (records := source(item)) is not None
    ]
    nothing = f"""SELECT subject_id, leads_to, CURRENT_DATE AS since, verdict AS item, verdict AS department,
        subject_id AS record_key FROM {judged} j WHERE 1 = 0"""
    return " UNION ALL ".join(told) or nothing


def _lets(catalog: Catalog, item: Item) -> str:
    """Whether policy lets the sender of a record link numbers, as of the period of its delivery."""
    entries: list[dict[str, Any]] = [e for table in catalog.policy.values() for e in table.get(POLICY, ())]
    asked = []
    for entry in entries:
        if senders := ", ".join(map(literal, entry["value"].get(item.code, ()))):
            last: date = entry.get("valid_to", date.max)
            days = f"period BETWEEN DATE '{entry['valid_from']}' AND DATE '{last}'"
            asked.append(f"department IN ({senders}) AND {days}")
    return " OR ".join(asked) or "1 = 0"


def people(links: str, judged: str) -> str:
    """SELECT of subject_id, person_id: all subjects of persons that have more than one, each person's own among them.
    """
    return f"""WITH p AS ({persons(links, judged)})
        SELECT subject_id, person_id FROM p UNION SELECT person_id, person_id FROM p"""


def near(links: str, judged: str, subjects: str) -> str:
    """SELECT of those rows of `links` that decide of `subjects` (a relation with subject_id): all that is said of whom
    they can be led to, and who to them, however far. With `judged` they resolve these subjects as all links do."""
    said = f"""SELECT subject_id, leads_to FROM {links} s
        UNION ALL SELECT subject_id, leads_to FROM {judged} j WHERE verdict = 'same'"""
    return f"""WITH RECURSIVE said AS ({said}),
        beside AS (SELECT subject_id AS here, leads_to AS there FROM said
            UNION ALL SELECT leads_to, subject_id FROM said),
        met AS (SELECT subject_id FROM {subjects} o UNION
            SELECT b.there FROM met m JOIN beside b ON b.here = m.subject_id)
        SELECT * FROM {links} l WHERE l.subject_id IN (SELECT subject_id FROM met)"""


def persons(links: str, judged: str) -> str:
    """SELECT of subject_id, person_id: every subject that links lead to another person. All others stand for
    themselves."""
    return f"""{_resolved(links, judged)} SELECT w.subject_id, w.leads_to AS person_id FROM way_4 w
        WHERE NOT EXISTS (SELECT 1 FROM kept_4 k WHERE k.subject_id = w.leads_to)
        UNION ALL SELECT subject_id, leads_to FROM plain"""


def left_out(links: str, judged: str) -> str:
    """SELECT of subject_id, leads_to, why (one of WHY): what is said and does not count."""
    gone = " UNION ALL ".join(
        f"""SELECT a.subject_id, a.leads_to, {literal(why)} AS why FROM kept_{n} a WHERE NOT EXISTS (SELECT 1
        FROM kept_{n + 1} b WHERE b.subject_id = a.subject_id AND b.leads_to = a.leads_to)"""
        for n, why in enumerate(WHY, start=1)
    )
    return f"{_resolved(links, judged)} {gone}"


def _resolved(links: str, judged: str) -> str:
    """WITH plain, the many links that meet no other (one passport of a holder, or several), which count as they are;
    of the rest kept_1, what is said, to kept_4, what counts, each without what the last step leaves out, and way_<n>:
    from where one comes to where by one of them or more."""
    known = "SELECT subject_id, leads_to FROM"
    same = f"{known} {judged} j WHERE verdict = 'same' AND subject_id <> leads_to"
    different = f"SELECT {{}} FROM {judged} j WHERE verdict = 'different' AND subject_id <> leads_to"
    steps = [
        ("said", f"SELECT DISTINCT subject_id, leads_to FROM {links} s WHERE subject_id <> leads_to"),
        ("met", f"""SELECT subject_id FROM {judged} j UNION SELECT leads_to FROM {judged} k
            UNION SELECT subject_id FROM said GROUP BY subject_id HAVING COUNT(*) > 1
            UNION SELECT a.subject_id FROM said a JOIN said b ON b.leads_to = a.subject_id"""),
        ("plain", f"""{known} said s WHERE NOT EXISTS (SELECT 1 FROM met m WHERE m.subject_id = s.subject_id)
            AND NOT EXISTS (SELECT 1 FROM met m WHERE m.subject_id = s.leads_to)"""),
        ("kept_1", f"""{known} said s WHERE (EXISTS (SELECT 1 FROM met m WHERE m.subject_id = s.subject_id)
                OR EXISTS (SELECT 1 FROM met m WHERE m.subject_id = s.leads_to))
            AND NOT EXISTS (SELECT 1 FROM {judged} j
            WHERE j.verdict = 'same' AND j.subject_id = s.leads_to AND j.leads_to = s.subject_id) UNION {same}"""),
        ("way_1", _way(1)),
        ("kept_2", f"""{known} kept_1 k WHERE NOT EXISTS (SELECT 1 FROM way_1 w
            WHERE w.subject_id = k.leads_to AND w.leads_to = k.subject_id)"""),
        ("way_2", _way(2)),
        ("apart", f"""{different.format('subject_id AS one, leads_to AS other')}
            UNION {different.format('leads_to AS one, subject_id AS other')}"""),
        # Where one comes from a subject, itself among it.
        ("near", "SELECT subject_id, leads_to FROM way_2 UNION SELECT leads_to, leads_to FROM kept_2"
            " UNION SELECT one, one FROM apart"),
        ("parted", """SELECT DISTINCT k.subject_id, k.leads_to FROM apart a JOIN kept_2 k ON k.subject_id = a.one
            JOIN near t ON t.subject_id = k.leads_to JOIN near o ON o.subject_id = a.other AND o.leads_to = t.leads_to
            WHERE NOT EXISTS (SELECT 1 FROM way_2 w WHERE w.subject_id = a.other AND w.leads_to = a.one)"""),
        ("kept_3", f"""{known} kept_2 k WHERE NOT EXISTS (SELECT 1 FROM parted p
            WHERE p.subject_id = k.subject_id AND p.leads_to = k.leads_to)"""),
        ("way_3", _way(3)),
        ("forks", """SELECT w.subject_id FROM way_3 w
            WHERE NOT EXISTS (SELECT 1 FROM kept_3 k WHERE k.subject_id = w.leads_to)
                AND w.subject_id IN (SELECT subject_id FROM kept_3 GROUP BY subject_id HAVING COUNT(*) > 1)
            GROUP BY w.subject_id HAVING COUNT(*) > 1"""),
        ("kept_4", f"{known} kept_3 k WHERE NOT EXISTS (SELECT 1 FROM forks f WHERE f.subject_id = k.subject_id)"),
        ("way_4", _way(4)),
    ]  # fmt: skip
    return "WITH RECURSIVE " + ", ".join(f"{name} AS ({sql})" for name, sql in steps)


def _way(n: int) -> str:
    return f"""SELECT subject_id, leads_to FROM kept_{n} UNION SELECT w.subject_id, k.leads_to FROM way_{n} w
        JOIN kept_{n} k ON k.subject_id = w.leads_to"""
