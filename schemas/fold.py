"""The fold of statements into current records, as trees: one definition for every engine.

The current record is a pure function of all statements about it (design.md 2), so the order of arrival decides
nothing. Within a department the greatest (source time, period, sequence) wins, where a statement that tells no time of
its own counts as made when its period ended; between departments declared precedence; a withdrawn or absent winner lets
the next department show; different contents that tie hold the record.

Relations (rows of `arrived`, `past` and `dropped` are statements, with the columns of
`schemas.arrow.statement_schema`, `decision_key`, `replaces`, `row_key`, `row_subject` and `row_document`, each NULL
where the item does without):
`arrived` new statements · `past` stored ones that count · `dropped` those that count no more, since their delivery
was reverted after the last release · `fulls` (department, period, sequence, is_new) the greatest complete full-mode
delivery of each department · `lifted` (department, period, sequence) full-mode deliveries among the dropped ·
`precedence` (department, precedence) · `published` (record_key, content_hash, delivery_id, line, sheet) what shows
now of the involved records, of all in `published_all` · `due` (record_key) records of which events or time make
something else (schemas/life.py).

Most nights bring mostly records that nobody has spoken of before, stated once. Only the others, the `involved`
records, need the fold; a record outside `involved` is its one new statement. What is stored of them, `spoken`, is
looked up in `past` once.

**One decision, one subject.** Where an item says so, a department's decision (`decision_key`, the business key without
the subject) stands for one subject. If it speaks of several at a time, the one it has named for longest goes on
showing, which is told (D006), and the others are held (D005): somebody's number is wrong, and nobody innocent may bear
the record. If none came first, none shows.

**Refused by law.** Of a row that the law keeps out nothing is known but its key: a statement whose action is `refuse`.
It ends what its department says of that record as a withdrawal of the same time would, and before anything else that
was said at that time. It is kept where no record of that key is known, too, since an older statement may come yet.

**Another key.** A statement whose `replaces` is the key of another record ends what its department says of that one, as
a withdrawal of the same time would: the number or the document number had been wrong.

**The sender's own row key** (`row_key`, with the department) tells so, too, where it is unique for good: a later
statement under the key of a record, about another person or with another business key (`row_document`), is the same
record corrected and ends the former, which is told (D011). Senders err about their keys, so nobody's record ends where
both differ, person and business key: then the key was given to something else, and that is told alone (D012). Of two
such records that are stated at one time nobody knows which is right, and both are held (D010).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from schemas.sql import tree

NARROW = (
    "record_key, department, delivery_id, line, sheet, period, sequence, source_time, action, content_hash,"
    " decision_key, replaces, row_key, row_subject, row_document"
)
TOLD = "action <> 'refuse'"  # the statements that readers of history are shown
SAME = "w.delivery_id = s.delivery_id AND w.line = s.line AND w.sheet IS NOT DISTINCT FROM s.sheet"
MADE = "COALESCE(s.source_time, CAST(s.period + INTERVAL 1 DAY AS TIMESTAMP))"
ENDS = "('withdraw', 'refuse')"  # the actions of statements that say nothing but that there is no record
SAYS = f"CASE WHEN r.action IN {ENDS} THEN 'withdraw' ELSE HEX(r.content_hash) END"
EARLIER = "({0}.period < {1}.period OR ({0}.period = {1}.period AND {0}.sequence < {1}.sequence))"


def heard() -> exp.Expr:
    """record_key of what arrives."""
    return tree("SELECT DISTINCT record_key FROM arrived")


def spoken(of: str) -> exp.Expr:
    """The stored statements of the records of a relation, narrow."""
    return tree(f"SELECT {NARROW} FROM (SELECT {NARROW} FROM past) p SEMI JOIN {of} USING (record_key)")


def involved() -> exp.Expr:
    """record_key of what more than one statement, or a full delivery, speaks of, of what a reversal or another key
    leaves without a statement, and of what is `due`. Reads `spoken` of what arrives."""
    parts = (
        "SELECT record_key FROM arrived GROUP BY record_key HAVING COUNT(*) > 1",
        "SELECT record_key FROM spoken",
        # An older statement that arrives after a full delivery which does not repeat it.
        f"""SELECT a.record_key FROM arrived a JOIN fulls f ON f.department = a.department
            WHERE {EARLIER.format("a", "f")}""",
        # Absence counts only against statements not later than the full delivery.
        f"""SELECT p.record_key FROM past p JOIN fulls f ON f.department = p.department
            WHERE f.is_new GROUP BY p.record_key, p.department
            HAVING MIN(CASE WHEN {EARLIER.format("p", "f")} THEN 1 ELSE 0 END) = 1""",
        "SELECT record_key FROM dropped",
        # Absent no more, since the full delivery that left them out is reverted.
        f"""SELECT p.record_key FROM past p JOIN lifted f ON f.department = p.department
            WHERE {EARLIER.format("p", "f")}""",
        "SELECT record_key FROM due",
    )
    return tree(" UNION ".join(parts))


def unheard() -> exp.Expr:
    """record_key of involved records of which nothing was looked up yet. Reads `heard`."""
    return tree("SELECT record_key FROM involved ANTI JOIN heard USING (record_key)")


def more_involved(step: Callable[..., exp.Expr], *arguments: str) -> exp.Expr:
    """What `replaced` or `sharing` tells and is not involved yet."""
    told = step(*arguments).sql(dialect="duckdb")
    return tree(f"SELECT record_key FROM ({told}) m ANTI JOIN involved USING (record_key)")


def shown_now() -> exp.Expr:
    """`published`: what shows now of the involved records."""
    return tree("SELECT * FROM published_all SEMI JOIN involved USING (record_key)")


def shown_no_more() -> exp.Expr:
    """What showed of those that change. Reads `published`, `kept`."""
    return tree("SELECT * FROM published ANTI JOIN kept USING (record_key)")


def replaced() -> exp.Expr:
    """record_key of what statements that arrive, or are dropped, replace, and of new ones that stored ones replace."""
    return tree("""SELECT DISTINCT replaces AS record_key FROM arrived WHERE replaces IS NOT NULL
        UNION SELECT DISTINCT replaces FROM dropped WHERE replaces IS NOT NULL
        UNION SELECT DISTINCT p.replaces FROM (SELECT replaces FROM past WHERE replaces IS NOT NULL) p
            SEMI JOIN arrived a ON a.record_key = p.replaces""")


def sharing(key: str) -> exp.Expr:
    """record_key of all whose decision, or row key, the night, or an involved record, speaks of for several records.
    Reads `spoken`."""
    return tree(f"""WITH asked AS (SELECT {key} FROM arrived UNION SELECT {key} FROM dropped
            UNION SELECT {key} FROM spoken),
        told AS (SELECT record_key, {key} FROM (SELECT record_key, {key} FROM arrived
                UNION ALL SELECT record_key, {key} FROM past UNION ALL SELECT record_key, {key} FROM dropped) t
            SEMI JOIN asked USING ({key}))
        SELECT DISTINCT record_key FROM told SEMI JOIN (SELECT {key} FROM told
            GROUP BY {key} HAVING MIN(record_key) <> MAX(record_key)) s USING ({key})""")


def copies() -> exp.Expr:
    """The new statements of involved records, narrow, with copy_of > 1 for exact repeats within their delivery. Of what
    is refused the content says nothing, but what it replaces does."""
    return tree(f"""SELECT {NARROW}, ROW_NUMBER() OVER (
            PARTITION BY delivery_id, record_key, content_hash, action, source_time, replaces
            ORDER BY sheet NULLS FIRST, line) AS copy_of
        FROM (SELECT {NARROW} FROM arrived) a SEMI JOIN involved USING (record_key)""")


def _under_one_key(a: str, b: str) -> str:
    """SQL: two statements of a department about different records under one of its row keys."""
    return f"{a}.department = {b}.department AND {a}.row_key = {b}.row_key AND {a}.record_key <> {b}.record_key"


def _are_alike(a: str, b: str) -> str:
    """SQL: ... of which one may be the other one corrected."""
    return f"({a}.row_subject = {b}.row_subject OR {a}.row_document = {b}.row_document)"


def corrects(a: str, b: str) -> str:
    """SQL: statement `a`, of which `made` tells the time, corrects what `b` said under another key."""
    later = f"""({a}.made > {b}.made OR ({a}.made = {b}.made AND ({a}.period > {b}.period
        OR ({a}.period = {b}.period AND {a}.sequence > {b}.sequence))))"""
    return f"{_under_one_key(a, b)} AND {_are_alike(a, b)} AND {a}.action NOT IN {ENDS} AND {later}"


def named() -> exp.Expr:
    """What a department said last of an involved record, where that stands under a row key; with `made`, its time.
    Reads `spoken`, `copies`."""
    return tree(f"""WITH keyed AS (SELECT record_key FROM spoken WHERE row_key IS NOT NULL
            UNION SELECT record_key FROM copies WHERE row_key IS NOT NULL)
        SELECT * FROM (SELECT s.*, {MADE} AS made, RANK() OVER (PARTITION BY s.record_key, s.department
                ORDER BY {MADE} DESC, s.period DESC, s.sequence DESC) AS place
            FROM (SELECT {NARROW} FROM spoken SEMI JOIN keyed USING (record_key)
                UNION ALL SELECT {NARROW} FROM copies SEMI JOIN keyed USING (record_key) WHERE copy_of = 1) s)
        WHERE place = 1 AND row_key IS NOT NULL AND action NOT IN {ENDS}""")


def corrected() -> exp.Expr:
    """Withdrawals of what `named` tells, each the word of a statement under the same row key, as `stated` has them.
    Reads `named`."""
    columns = ", ".join({"record_key": "n.record_key", "action": "'withdraw' AS action"}.get(c, f"s.{c}")
                        for c in NARROW.split(", "))  # fmt: skip
    made = f"SELECT s.*, {MADE} AS made FROM (SELECT {NARROW}, {{}} AS is_new FROM {{}} WHERE row_key IS NOT NULL) s"
    return tree(f"""SELECT {columns}, s.is_new FROM named n
        JOIN ({made.format("FALSE", "past")} UNION ALL {made.format("TRUE", "arrived")}) s ON {corrects("s", "n")}""")


def stated() -> exp.Expr:
    """All statements of involved records, narrow; is_new tells the new ones, is_other those that go before what was
    said at the same time: refusals, and withdrawals that are the word of a statement about another record, which
    replaces this one. Reads `spoken`, `copies`, `corrected`."""
    said = {"record_key": "replaces AS record_key", "action": "'withdraw' AS action", "replaces": "NULL AS replaces"}
    other = f"SELECT {', '.join(said.get(c, c) for c in NARROW.split(', '))}"
    is_said = "WHERE replaces IS NOT NULL AND action <> 'withdraw'"
    goes_before = "CASE WHEN action = 'refuse' THEN 1 ELSE 0 END AS is_other"
    return tree(f"""SELECT {NARROW}, FALSE AS is_new, {goes_before}
        FROM spoken
        UNION ALL SELECT {NARROW}, TRUE AS is_new, {goes_before} FROM copies WHERE copy_of = 1
        UNION ALL SELECT *, FALSE, 1 FROM ({other} FROM past {is_said}) o SEMI JOIN involved USING (record_key)
        UNION ALL SELECT *, TRUE, 1 FROM ({other} FROM arrived {is_said}) o SEMI JOIN involved USING (record_key)
        UNION ALL SELECT *, 1 FROM corrected""")


def tops() -> exp.Expr:
    """Per record and department its greatest statements; contents > 1 where they differ, is_absent where the
    department's greatest full delivery is later than all it ever said of the record. Reads `stated`."""
    return tree(f"""SELECT r.*, COALESCE(p.precedence, 1000) AS precedence,
            CASE WHEN MIN({SAYS}) OVER (PARTITION BY r.record_key, r.department)
                = MAX({SAYS}) OVER (PARTITION BY r.record_key, r.department) THEN 1 ELSE 2 END AS contents
        FROM (SELECT s.*, RANK() OVER (PARTITION BY s.record_key, s.department
                    ORDER BY {MADE} DESC, s.period DESC, s.sequence DESC, s.is_other DESC) AS place,
                MIN(CASE WHEN f.department IS NULL THEN 0 WHEN {EARLIER.format("s", "f")} THEN 1 ELSE 0 END)
                    OVER (PARTITION BY s.record_key, s.department) AS is_absent
            FROM stated s LEFT JOIN fulls f ON f.department = s.department) r
        LEFT JOIN precedence p ON p.department = r.department WHERE r.place = 1""")


def rivals() -> exp.Expr:
    """(record_key, department, code) of records that are held since their department's decision stands for another
    subject (D005), or its row key for what may be the same record (D010). Reads `stated`, `tops`."""
    lives = f"is_absent = 0 AND contents = 1 AND action NOT IN {ENDS}"
    return tree(f"""WITH alive AS (SELECT DISTINCT record_key, department FROM tops
                WHERE decision_key IS NOT NULL AND {lives}),
            keyed AS (SELECT s.*, {MADE} AS made FROM tops s WHERE row_key IS NOT NULL AND {lives}),
            counted AS (SELECT s.record_key, s.department, s.decision_key, s.period, s.sequence, {MADE} AS made,
                SUM(CASE WHEN s.action IN {ENDS} THEN 1 ELSE 0 END) OVER (
                    PARTITION BY s.record_key, s.department
                    ORDER BY {MADE} DESC, s.period DESC, s.sequence DESC) AS withdrawn_since
                FROM stated s SEMI JOIN alive a ON a.record_key = s.record_key AND a.department = s.department),
            placed AS (SELECT record_key, department, decision_key, RANK() OVER (
                    PARTITION BY department, decision_key ORDER BY made, period, sequence) AS place
                FROM counted WHERE withdrawn_since = 0),
            firsts AS (SELECT department, decision_key, MIN(record_key) AS first_key, MAX(record_key) AS last_key
                FROM placed WHERE place = 1 GROUP BY department, decision_key)
        SELECT record_key, department, MIN(code) AS code FROM (
            SELECT p.record_key, p.department, 'D005' AS code FROM placed p
                JOIN firsts f ON f.department = p.department AND f.decision_key = p.decision_key
                WHERE p.record_key <> f.first_key OR f.first_key <> f.last_key
            UNION ALL SELECT a.record_key, a.department, 'D010' FROM keyed a
                JOIN keyed b ON {_under_one_key("a", "b")} AND {_are_alike("a", "b")}
                AND a.made = b.made AND a.period = b.period AND a.sequence = b.sequence) r
        GROUP BY record_key, department""")


def ranked() -> exp.Expr:
    """The statements that could show, best first (place_overall = 1). Reads `tops`, `rivals`."""
    return tree(f"""SELECT t.*, ROW_NUMBER() OVER (PARTITION BY t.record_key ORDER BY t.precedence, t.period DESC,
            t.sequence DESC, t.delivery_id, t.sheet NULLS FIRST, t.line) AS place_overall
        FROM tops t ANTI JOIN rivals r ON r.record_key = t.record_key AND r.department = t.department
        WHERE t.is_absent = 0 AND (t.action NOT IN {ENDS} OR t.contents > 1)""")


def winners() -> exp.Expr:
    """The one statement that each shown, involved record shows. Reads `ranked`."""
    return tree(f"SELECT {NARROW}, is_new FROM ranked WHERE place_overall = 1 AND contents = 1")


def conflicts() -> exp.Expr:
    """(record_key, department) of held records: the best department contradicts itself. Reads `ranked`."""
    return tree("SELECT record_key, department FROM ranked WHERE place_overall = 1 AND contents > 1")


def judged() -> exp.Expr:
    """delivery_id, line, sheet, verdict (a word of the row account), code (D001, D002, D003, D005, D006, D010 to
    D012) of the new statements of involved records. Reads `copies`, `named`, `corrected`, `winners`, `conflicts`,
    `rivals`, `stated`, `tops`, `published`."""
    return tree(f"""SELECT a.delivery_id, a.line, a.sheet,
            CASE WHEN a.action = 'refuse' THEN 'refused' WHEN a.copy_of > 1 THEN 'duplicate'
                WHEN c.record_key IS NOT NULL AND t.line IS NOT NULL THEN 'held'
                WHEN r.record_key IS NOT NULL AND t.line IS NOT NULL THEN 'held'
                WHEN a.action = 'withdraw' AND x.record_key IS NULL THEN 'held'
                WHEN a.action = 'withdraw' AND t.line IS NOT NULL THEN 'withdrawn'
                WHEN a.action = 'withdraw' THEN 'superseded'
                WHEN w.content_hash IS DISTINCT FROM a.content_hash THEN 'superseded'
                WHEN b.content_hash = a.content_hash THEN 'unchanged'
                WHEN w.delivery_id <> a.delivery_id OR w.line <> a.line
                    OR w.sheet IS DISTINCT FROM a.sheet THEN 'duplicate'
                WHEN b.record_key IS NOT NULL THEN 'changed' ELSE 'new' END AS verdict,
            CASE WHEN a.action = 'refuse' THEN NULL WHEN a.copy_of > 1 THEN 'D001'
                WHEN c.record_key IS NOT NULL AND t.line IS NOT NULL THEN 'D002'
                WHEN r.record_key IS NOT NULL AND t.line IS NOT NULL THEN r.code
                WHEN a.action = 'withdraw' AND x.record_key IS NULL THEN 'D003'
                WHEN o.decision_key IS NOT NULL AND w.content_hash = a.content_hash THEN 'D006'
                WHEN k.line IS NOT NULL THEN 'D011' WHEN u.line IS NOT NULL THEN 'D012' END AS code
        FROM copies a
        LEFT JOIN winners w ON w.record_key = a.record_key
        LEFT JOIN published b ON b.record_key = a.record_key
        LEFT JOIN conflicts c ON c.record_key = a.record_key AND c.department = a.department
        LEFT JOIN rivals r ON r.record_key = a.record_key AND r.department = a.department
        LEFT JOIN (SELECT DISTINCT t.department, t.decision_key FROM tops t SEMI JOIN rivals v
                ON v.record_key = t.record_key AND v.department = t.department AND v.code = 'D005') o
            ON o.department = a.department AND o.decision_key = a.decision_key
        LEFT JOIN (SELECT DISTINCT delivery_id, line, sheet FROM corrected WHERE is_new) k
            ON k.delivery_id = a.delivery_id AND k.line = a.line AND k.sheet IS NOT DISTINCT FROM a.sheet
        LEFT JOIN (SELECT DISTINCT c.delivery_id, c.line, c.sheet FROM copies c
                JOIN named n ON {_under_one_key("c", "n")} AND NOT {_are_alike("c", "n")}
                WHERE c.action NOT IN {ENDS}) u
            ON u.delivery_id = a.delivery_id AND u.line = a.line AND u.sheet IS NOT DISTINCT FROM a.sheet
        LEFT JOIN (SELECT DISTINCT record_key, department FROM stated WHERE action NOT IN {ENDS}) x
            ON x.record_key = a.record_key AND x.department = a.department
        LEFT JOIN (SELECT record_key, delivery_id, line, sheet FROM tops) t
            ON t.record_key = a.record_key AND t.delivery_id = a.delivery_id AND t.line = a.line
            AND t.sheet IS NOT DISTINCT FROM a.sheet""")


def kept() -> exp.Expr:
    """record_key of involved records that go on as they are: they show the statement that they showed, and are not
    `due`. Reads `winners`, `published`, `due`."""
    return tree(f"""SELECT s.record_key FROM (SELECT * FROM published ANTI JOIN due USING (record_key)) s
        SEMI JOIN (SELECT * FROM winners WHERE NOT is_new) w ON w.record_key = s.record_key AND {SAME}""")


def shown(columns: list[str]) -> exp.Expr:
    """The new statements that records show from now on, `columns` of them: what both records and history gain."""
    listed = ", ".join(columns)
    return tree(f"""SELECT {listed} FROM arrived ANTI JOIN involved USING (record_key) WHERE action NOT IN {ENDS}
        UNION ALL SELECT {listed} FROM arrived s SEMI JOIN (SELECT * FROM winners WHERE is_new) w
            ON w.record_key = s.record_key AND {SAME}""")


def unshown(columns: list[str]) -> exp.Expr:
    """The other new statements but exact repeats within one delivery: what history alone gains."""
    listed = ", ".join(columns)
    return tree(f"""SELECT {listed} FROM arrived ANTI JOIN involved USING (record_key) WHERE action IN {ENDS}
        UNION ALL SELECT {listed} FROM arrived s
            SEMI JOIN (SELECT * FROM copies c ANTI JOIN (SELECT * FROM winners WHERE is_new) w
                ON w.delivery_id = c.delivery_id AND w.line = c.line AND w.sheet IS NOT DISTINCT FROM c.sheet
                WHERE c.copy_of = 1) c
            ON c.record_key = s.record_key AND c.delivery_id = s.delivery_id AND c.line = s.line
                AND c.sheet IS NOT DISTINCT FROM s.sheet""")


def returning(columns: list[str]) -> exp.Expr:
    """The stored statements that records show once more: what records alone gain."""
    return tree(f"""SELECT {", ".join(columns)} FROM past s
        SEMI JOIN (SELECT * FROM winners ANTI JOIN kept USING (record_key) WHERE NOT is_new) w
        ON w.record_key = s.record_key AND {SAME}""")


def verdicts() -> exp.Expr:
    """delivery_id, line, sheet, verdict, code of every new statement. Reads `arrived`, `judged`."""
    return tree("""SELECT s.delivery_id, s.line, s.sheet,
            COALESCE(j.verdict, CASE s.action WHEN 'refuse' THEN 'refused' WHEN 'withdraw' THEN 'held' ELSE 'new' END)
                AS verdict,
            CASE WHEN j.verdict IS NULL AND s.action = 'withdraw' THEN 'D003' ELSE j.code END AS code
        FROM (SELECT delivery_id, line, sheet, action FROM arrived) s LEFT JOIN judged j
            ON j.delivery_id = s.delivery_id AND j.line = s.line AND j.sheet IS NOT DISTINCT FROM s.sheet""")


STEPS = (("copies", copies), ("named", named), ("corrected", corrected), ("stated", stated),
         ("tops", tops), ("rivals", rivals), ("ranked", ranked),
         ("winners", winners), ("conflicts", conflicts), ("judged", judged), ("kept", kept))  # fmt: skip
