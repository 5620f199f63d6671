"""The same trees on Spark: a real cluster of three processes on loopback, held against DuckDB row by row."""

import random
import sys
import threading
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlglot import exp, parse_one

from pipelines.errors import DeliveryError
from pipelines.judge import Asked, Desk, judge, judging
from pipelines.model import Home
from pipelines.readers.staging import open_staged
from pipelines.sampling import CATALOG as DECLARED
from pipelines.sampling.defects import Defects
from pipelines.sampling.persons import Persons
from pipelines.sampling.rows import Rows, read_catalogue
from pipelines.stores.engine import connect
from pipelines.stores.keys import Keys
from schemas import record, row_rules, spark, types
from schemas.kinds import FIELD_KINDS, ITEM_KINDS, credit_number
from schemas.load import load
from schemas.sql import tree
from tests import dirty_data, spark_cluster, writings
from tests.conftest import SOAK, soak_only
from tests.rule_samples import SENT, Case, Cells, cases, checks, path_of, policy, read
from tests.spark_judge import Both, differences
from tests.test_dirty_data import ALONE, declaring, delivery_of
from tests.test_schemas.test_credit_number import generated

CATALOG = load()
CASES = cases(CATALOG)
KINDS = FIELD_KINDS | ITEM_KINDS
CHOSEN = sorted(CASES) if SOAK else ["identity_reference"]
SAMPLED = sorted(CATALOG.items) if SOAK else ["honour"]
WRITINGS, NUMBERS = (60_000, 300_000) if SOAK else (6_000, 10_000)
ROWS = 400


@pytest.fixture(scope="module")
def both(session: Any, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(CATALOG, session, tmp_path_factory.mktemp("shared"))


# what needs no cluster


@pytest.mark.parametrize(
    ("re2", "java"),
    [("^a.b$", "(?d)^a.b\\z"), ("[$[&]", "(?d)[$\\[\\&]"), ("\\s", "(?d)[ \\t\\n\\f\\r]"), ("\\$", "(?d)\\$"),
     ("(?i)<sk>", "(?d)(?i)<[sſ][k\u212a]>"), ("(?i)[sk]", "(?d)(?i)[sſk\u212a]"), ("[\\]$]$", "(?d)[\\]$]\\z")],
)  # fmt: skip
def test_a_pattern_of_one_engine_is_said_in_the_words_of_the_other(re2: str, java: str) -> None:
    assert spark.java(re2) == java


@pytest.mark.parametrize("pattern", ["\\bword", "(?s)a.b", "\\p{Greek}", "\\xff", "(?i)[a-z]"])
def test_a_pattern_that_the_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="DuckDB and Spark differ|a range"):
        spark.java(pattern)


@pytest.mark.parametrize(
    "said",
    ["list_distinct(a)", "lower(a)", "strip_accents(a)", "subject_id_of(a)", "regexp_matches(a, b)",
     "regexp_replace(a, 'x', 'y')"],
)  # fmt: skip
def test_what_nobody_has_said_for_spark_is_refused_and_not_guessed(said: str) -> None:
    with pytest.raises(ValueError, match="Spark|literal|first match"):
        spark.sql(tree(said))


@pytest.mark.parametrize("code", sorted(CASES)[:: 1 if SOAK else 8])
def test_an_item_says_nothing_that_was_never_held_against_spark(code: str) -> None:
    item, listed = CASES[code].item, checks(CASES[code].item, CATALOG)
    for made in (row_rules.texts(item), row_rules.located(item), row_rules.judged(listed), row_rules.accepted(listed)):
        spark.check(made)
    spark.check(spark.answered(record.select(item, "passing", policy(CATALOG).third_persons)))


@pytest.mark.parametrize("code", CHOSEN)
def test_no_key_and_no_function_of_one_is_in_what_spark_is_asked(code: str) -> None:
    select = record.select(CASES[code].item, "passing", policy(CATALOG).third_persons)
    asking, names = spark.asking(select, "place")
    assert set(names) == set(spark.KEYED)
    for said in (spark.sql(asking), spark.sql(spark.answered(select))):
        assert not any(name in said for name in spark.KEYED)


# what the cluster is asked


def test_the_cluster_is_one_of_several_processes(both: Both, begun: spark_cluster.Cluster) -> None:
    both.session.range(10).count()
    assert len(begun.workers) == 2 and len(begun.executors()) == 2


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_rule_says_the_same_of_its_examples(name: str, both: Both) -> None:
    kind = KINDS[name]
    rows = [{"place": n, **row} for n, (_, row, _) in enumerate(kind.EXAMPLES)]
    examples = pa.Table.from_pylist(rows)
    exact = [pa.decimal128(18, 6) if pa.types.is_floating(t) else t for t in examples.schema.types]  # as amounts are
    both.table("examples", examples.cast(pa.schema(list(zip(examples.column_names, exact, strict=True)))))
    asked = exp.select("place").from_("examples")
    for n, (options, _, _) in enumerate(kind.EXAMPLES):
        given: tuple[Any, ...] = (exp.column("value"), options) if name in FIELD_KINDS else (options,)
        asked.select(exp.alias_(kind.violated(*given), f"of_{n}"), copy=False)
    duck, other = both.asked(asked)
    assert differences(duck, other) == []
    assert [bool(row[f"of_{n}"]) for n, row in enumerate(duck)] == [fails for _, _, fails in kind.EXAMPLES]


def test_every_character_is_the_same_to_both(both: Both) -> None:
    """Whole planes of Unicode, each character by itself: case, blanks, ends of lines, what a class holds."""
    last = sys.maxunicode if SOAK else 0xFFFF
    known = [chr(code) for code in range(1, last + 1) if unicodedata.category(chr(code)) != "Cs"]
    known += [] if SOAK else [c for c in spark.capitals() if ord(c) > last]
    both.table("characters", pa.table({"place": pa.array(map(ord, known), pa.int64()), "c": known}))
    asked = {
        "capital": "upper(c)", "within": "upper('a' || c || 'ß')", "cut": "trim('a' || c)", "size": "length(c)",
        "han": "regexp_matches(c, '\\p{Han}')", "no_han": "regexp_matches(c, '[^\\P{Han}一]')",
        "blank": "regexp_matches(c, '[\\s\u3000]')", "dot": "regexp_matches(c, '.')",
        "end": "regexp_matches('a' || c, 'a$')", "figure": "regexp_matches(c, '\\d|\\w')",
        "folded": "regexp_matches(c, '(?i)[isk]')", "s": "regexp_matches(c, '(?i)s|k')",
        "half": f"translate(c, '{''.join(spark.capitals())}', 'x')", "at": "strpos('a' || c, c)",
        "back": "substr('ab' || c, -1, 1)",
    }  # fmt: skip
    said = ", ".join(f"{sql} AS {name}" for name, sql in asked.items())
    duck, other = both.asked(parse_one(f"SELECT place, {said} FROM characters", dialect="duckdb"))
    found = differences(duck, other)
    assert not found, f"{len(found)} differ: {found[:5]}"


@pytest.mark.parametrize("field", writings.FIELDS, ids=lambda f: f"{f.type}-{f.unit}" if f.unit else f.type)
def test_every_writing_of_a_type_is_read_alike(field: Any, both: Both) -> None:
    """Usual and rare ones, and thousands that are nearly one."""
    texts = list(dict.fromkeys(writings.texts(WRITINGS, seed=5)))
    both.table("given", pa.table({"place": pa.array(range(len(texts)), pa.int64()), "f": texts}))
    trimmed = types.trimmed(exp.column("f")).sql(dialect="duckdb")
    duck, other = both.asked(
        parse_one(types.read(field, f"SELECT place, {trimmed} AS t_f FROM given"), dialect="duckdb")
    )
    found = [f"{texts[row['place']]!r}: {row['f']!r}" for row, same in zip(duck, other, strict=True) if row != same]
    assert not found, f"{len(found)} differ: {found[:5]}"
    assert sum(row["f"] is not None for row in duck) > 5


def test_every_number_is_read_alike(both: Both) -> None:
    """Numbers of all kinds, whole and damaged, through all that is asked of them."""
    given = random.Random(46)
    said = [generated(given) for _ in range(NUMBERS)]
    raw, kinds = (pa.array(column, pa.string()) for column in zip(*said, strict=True))
    both.table("numbers", pa.table({"place": pa.array(range(NUMBERS), pa.int64()), "raw": raw, "kind": kinds}))
    last = exp.select("place", exp.alias_(types.trimmed(exp.column("raw")), "raw"), "kind").from_("numbers")
    for layer in credit_number.columns(exp.column("raw"), exp.column("kind")):
        last = exp.select("*", *(exp.alias_(value, name) for name, value in layer)).from_(last.subquery("below"))
    duck, other = both.asked(last)
    found = [f"{said[one['place']]}: {one}, {two}" for one, two in zip(duck, other, strict=True) if one != two]
    assert not found, f"{len(found)} differ: {found[:2]}"
    assert len({row["cn_kind"] for row in duck}) > 5 and len({row["cn_error"] for row in duck}) > 5


def held(both: Both, case: Case, rows: list[Cells]) -> None:
    """Rows come out alike: what was read, what failed, verdicts, and what the accepted become."""
    listed = checks(case.item, CATALOG)
    found = differences(*both.judge(case, rows, listed))
    assert not found, f"{case.name}: {len(found)} differ: {found[:5]}"
    found = differences(*both.record(case))
    assert not found, f"{case.name}: {len(found)} differ in what the accepted become: {found[:5]}"
    found = differences(*both.own_keys(case, listed))
    assert not found, f"{case.name}: {len(found)} differ in what the others are known by: {found[:5]}"


@pytest.mark.parametrize("code", CHOSEN)
def test_every_check_of_an_item_stops_the_same_rows(code: str, both: Both) -> None:
    held(both, CASES[code], [sample.cells for sample in read(path_of(code))])


@pytest.mark.parametrize("code", SAMPLED)
def test_dirty_rows_of_an_item_come_out_alike(code: str, both: Both) -> None:
    """As the generator of sample deliveries makes them, every other row with a planted fault or a random character."""
    held(both, CASES[code], dirty_rows(code))


def dirty_rows(code: str) -> list[Cells]:
    known = read_catalogue(DECLARED)
    rows = Rows(known.items[code], known, Persons(3), 3, SENT)
    defects, serials = Defects(rows, delimited=False), np.arange(ROWS, dtype=np.int64)
    hits = serials[::3]
    plan = defects.plan(hits, 0, 7)
    columns = rows.columns(serials, np.zeros_like(serials), ROWS, "%Y-%m-%d", serials)
    defects.spoil(plan, columns, serials, "%Y-%m-%d", 7)
    given, made = random.Random(code), pa.table(columns).to_pylist()
    for row in made[1::3]:
        name = given.choice([n for n, cell in row.items() if cell])
        at = given.randint(0, len(row[name]))
        row[name] = row[name][:at] + given.choice(writings.ODD) + row[name][at:]
    return made


@soak_only("reading all files of the dirty-data list")
def test_the_dirty_corpus_comes_out_alike(both: Both, tmp_path: Path) -> None:
    """Every file of tests/samples/Q… that can be read, item by item, as its readers stage it."""
    by_item = corpus(tmp_path)
    for code, rows in sorted(by_item.items()):
        held(both, CASES[code], rows)
    assert sum(map(len, by_item.values())) > 300


def corpus(folder: Path) -> dict[str, list[Cells]]:
    home = Home(folder)
    (home.root / "sample.json").write_text("{}")
    home.make_restricted()
    by_item: dict[str, list[Cells]] = {}
    known = {case.number: case for case in dirty_data.cases()}
    for number, which in ALONE:
        case = known[number]
        sent = case.sent[which]
        path = case.folder / sent.file
        desk, delivery = Desk(home, declaring(sent), Keys(bytes(32)), case.as_of), None
        delivery = delivery_of(sent, path.read_bytes(), case.as_of)
        try:
            judge(desk, Asked(delivery, path))
        except DeliveryError:
            continue
        with connect(home.work) as engine:
            present = open_staged(engine, home.staged(delivery.delivery_id), "sent")
            fields = [f.name for f in judging(CATALOG, sent.item, sent.department, delivery.period).fields]
            if cells := ", ".join(name for name in fields if name in present):
                rows = engine.sql(f"SELECT {cells} FROM sent").to_arrow_table().to_pylist()
                by_item.setdefault(sent.item, []).extend(rows)
    return by_item


def test_an_executor_that_dies_changes_nothing(both: Both, begun: spark_cluster.Cluster) -> None:
    """Killed for real while it works: its tasks run again elsewhere, and the rows are the same."""
    texts = list(dict.fromkeys(writings.texts(WRITINGS, seed=6)))
    both.table("given", pa.table({"place": pa.array(range(len(texts)), pa.int64()), "f": texts}))
    field = writings.FIELDS[0]
    once = parse_one(types.read(field, "SELECT place, f AS t_f FROM given"), dialect="duckdb")
    duck, _ = both.asked(once)
    both.session.table("given").repartition(40).createOrReplaceTempView("given")
    for _ in range(5):  # the work may be done before anybody is seen at it
        before = {p.pid for p in begun.executors()}
        done = threading.Event()
        killing = threading.Thread(target=kill_when_at_work, args=[both, begun, done])
        killing.start()
        try:
            _, other = both.asked(once)
        finally:
            done.set()
            killing.join()
        assert differences(duck, other) == []
        if before - {p.pid for p in begun.executors()}:
            return
    pytest.fail("nobody was killed")


def kill_when_at_work(both: Both, cluster: spark_cluster.Cluster, done: threading.Event) -> None:
    tracker = both.session.sparkContext.statusTracker()
    while not done.is_set():
        stages = [tracker.getStageInfo(n) for n in tracker.getActiveStageIds()]
        if any(s and s.numCompletedTasks > 0 and s.numTasks >= 40 for s in stages):
            cluster.kill_executor()
            return
        time.sleep(0.01)


@soak_only("compiling whole stages")
def test_stages_that_are_compiled_as_a_whole_say_the_same(both: Both) -> None:
    both.session.conf.set("spark.sql.codegen.wholeStage", "true")
    try:
        held(both, CASES["honour"], dirty_rows("honour"))
    finally:
        both.session.conf.set("spark.sql.codegen.wholeStage", "false")
