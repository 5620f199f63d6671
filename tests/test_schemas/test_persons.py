"""Which pseudonyms are one person's, against a resolution that is written another way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import duckdb
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import load, names, persons
from schemas.load import effective
from schemas.sql import literal
from tests.conftest import SOAK

CATALOG = load.load()
Link = tuple[str, str]
Judged = tuple[str, str, str]
NAMES = "ABCDEF"
node = st.sampled_from(NAMES)
links = st.lists(st.tuples(node, node), max_size=9)
verdicts = st.lists(st.tuples(node, node, st.sampled_from(["same", "different"])), max_size=4)


def one_word(said: list[Judged]) -> list[Judged]:
    """Of two subjects one judgement stands."""
    return list({frozenset(j[:2]): j for j in said}.values())


def resolved(said: list[Link], judged: list[Judged], run: Callable[[str], list[tuple[str, ...]]]) -> tuple[
    dict[str, str], set[tuple[str, ...]]
]:
    """(subject -> person, what is left out) as the SQL has it."""
    def rows(pairs: list[tuple[str, ...]], names: str) -> str:
        listed = [*pairs, tuple("Z" for _ in names.split(","))]  # a relation without rows has no types
        values = ", ".join("(" + ", ".join(f"'{v}'" for v in pair) + ")" for pair in listed)
        return f"(SELECT * FROM (VALUES {values}) v({names}) WHERE subject_id <> 'Z')"

    given = rows(list(said), "subject_id, leads_to"), rows(list(judged), "subject_id, leads_to, verdict")
    return dict(run(persons.persons(*given))), set(run(persons.left_out(*given)))


def naive(said: list[Link], judged: list[Judged]) -> tuple[dict[str, str], set[tuple[str, ...]]]:
    """The same step by step: rings by trying, forks from the end backwards."""
    word = {(a, b) for a, b, v in judged if v == "same" and a != b}
    counts = {(a, b) for a, b in said if a != b and (b, a) not in word} | word
    out = set()

    def ends(at: str, of: set[Link]) -> set[str]:
        """All that one comes to from `at`, itself among it."""
        seen, ahead = set(), [at]
        while ahead:
            here = ahead.pop()
            if here not in seen:
                seen.add(here)
                ahead += [b for a, b in of if a == here]
        return seen

    rings = {(a, b) for a, b in counts if a in ends(b, counts)}
    out |= {(*pair, "ring") for pair in rings}
    counts -= rings
    parted = set()
    for x, y, verdict in judged:
        for one, other in ((x, y), (y, x)) if verdict == "different" and x != y else ():
            if one not in ends(other, counts):
                parted |= {(a, b) for a, b in counts if a == one and ends(b, counts) & ends(other, counts)}
    out |= {(*pair, "judged_different") for pair in parted}
    counts -= parted
    last = {n: {e for e in ends(n, counts) if not any(a == e for a, _ in counts)} for n in NAMES}
    forks = {n for n in NAMES if len(last[n]) > 1 and sum(a == n for a, _ in counts) > 1}
    out |= {(a, b, "several") for a, b in counts if a in forks}
    counts = {(a, b) for a, b in counts if a not in forks}
    # Union-find over what counts: those of one group are one person.
    parent = {n: n for n in NAMES}

    def head(n: str) -> str:
        while parent[n] != n:
            n = parent[n]
        return n

    for a, b in counts:
        parent[head(a)] = head(b)
    leading = {a for a, _ in counts}
    stands = {head(n): n for n in NAMES if n not in leading}
    assert len(stands) == sum(n not in leading for n in NAMES), "of each group one leads nowhere"
    return {n: stands[head(n)] for n in NAMES if n in leading}, out


@settings(max_examples=600 if SOAK else 150, deadline=None)
@given(links, verdicts)
def test_the_resolution_is_that_of_one_written_another_way(said: list[Link], told: list[Judged]) -> None:
    judged = one_word(told)
    found = resolved(said, judged, lambda sql: duckdb.sql(sql).fetchall())
    assert found == naive(said, judged)
    stood = found[0]
    assert all(stood.get(a, a) != stood.get(b, b) for a, b, v in judged if v == "different" and a != b)
    assert all(person not in stood for person in stood.values()), "who stands for others leads nowhere"
    alone = [(a, b) for a, b in said if (a, b, "ring") not in found[1]]
    if not judged and not found[1]:
        assert all(stood.get(a, a) == stood.get(b, b) for a, b in alone), "what is not left out joins"


@settings(max_examples=300 if SOAK else 100, deadline=None)
@given(links, verdicts, st.sets(node))
def test_what_is_near_resolves_some_as_all_does(said: list[Link], told: list[Judged], some: set[str]) -> None:
    judged = one_word(told)
    with duckdb.connect() as engine:
        for name, columns, rows in (
            ("links", "subject_id, leads_to", said), ("judged", "subject_id, leads_to, verdict", judged),
            ("chosen", "subject_id", [(n,) for n in some]),
        ):  # fmt: skip
            engine.execute(f"CREATE TABLE {name} ({columns.replace(',', ' VARCHAR,')} VARCHAR)")
            if rows:
                engine.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        engine.execute(f"CREATE TABLE near AS {persons.near('links', 'judged', 'chosen')}")
        of_all, of_near = (dict(engine.sql(persons.people(n, "judged")).fetchall()) for n in ("links", "near"))

    def beside(who: str, people: dict[str, str]) -> set[str]:
        return {other for other in people if who in people and people[other] == people[who]}

    assert all(beside(n, of_near) == beside(n, of_all) and of_near.get(n) == of_all.get(n) for n in some)


CASES: dict[str, tuple[list[Link], list[Judged], dict[str, str], set[tuple[str, ...]]]] = {
    "nothing": ([], [], {}, set()),
    "a chain and a short cut": ([("A", "B"), ("B", "C"), ("A", "C")], [], {"A": "C", "B": "C"}, set()),
    "passport and permit of one holder": ([("A", "C"), ("B", "C")], [], {"A": "C", "B": "C"}, set()),
    "one number of two persons": (
        [("A", "B"), ("A", "C"), ("D", "A")], [], {"D": "A"}, {("A", "B", "several"), ("A", "C", "several")}),
    "a ring": ([("A", "B"), ("B", "A"), ("B", "C")], [], {"B": "C"}, {("A", "B", "ring"), ("B", "A", "ring")}),
    "a ring that a person resolves": ([("A", "B"), ("B", "A")], [("A", "B", "same")], {"A": "B"}, set()),
    "judged different": ([("A", "B"), ("B", "C")], [("B", "A", "different")], {"B": "C"},
                         {("A", "B", "judged_different")}),
    "judged different further on": (
        [("A", "B"), ("B", "C")], [("A", "C", "different")], {"B": "C"}, {("A", "B", "judged_different")}),
    "two numbers of one holder judged different": (
        [("A", "C"), ("B", "C")], [("A", "B", "different")], {},
        {("A", "C", "judged_different"), ("B", "C", "judged_different")}),
    "a wrong one of two": ([("A", "B"), ("A", "C")], [("A", "C", "different")], {"A": "B"},
                           {("A", "C", "judged_different")}),
    "a person's word alone": ([], [("A", "B", "same")], {"A": "B"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_links_resolve_as_told(case: str) -> None:
    said, judged, stood, out = CASES[case]
    assert resolved(said, judged, lambda sql: duckdb.sql(sql).fetchall()) == (stood, out)


WRITINGS = {
    "阿依古丽·示例": ("阿依古丽•示例", "阿依古丽・示 例", "阿依古丽．示例", "阿依古丽 · 示例"),
    "陈华": ("陳華", "陈　华", "陈华\u200b"),
    "Zoë Nobody": ("NOBODY, ZOE", "Ｚｏë　Ｎｏｂｏｄｙ", "zoë nobody"),
}


def test_writings_of_one_name_compare_alike_and_two_names_do_not() -> None:
    def compared(name: str) -> str:
        sql = names.compared(literal(name), effective(CATALOG, "han_variants", date(2026, 11, 22)))
        ((found,),) = duckdb.sql(f"SELECT {sql}").fetchall()
        return str(found)

    for name, others in WRITINGS.items():
        assert {compared(other) for other in others} == {compared(name)}, name
    assert len({compared(name) for name in (*WRITINGS, "陈花", "阿依古丽·示", "Zoë Nobod")}) == 6


def test_both_engines_resolve_alike(database: Callable[..., str]) -> None:
    with psycopg.connect(database().replace("+psycopg", "")) as connection:
        for said, judged, stood, out in CASES.values():
            assert resolved(said, judged, lambda sql: connection.execute(sql).fetchall()) == (stood, out)
