"""Every check of every item over committed rows that fail it, and over rows at its edge that pass.

The rows were made once (`python -m tests.rule_fixtures`), so a rule that is taken out or changed shows here.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from pipelines.model import Home
from pipelines.readers.staging import StagedWriter
from pipelines.stages.validate import Part, Rules, validate
from pipelines.stores.keys import open_keys
from schemas.compiled import compile_item
from schemas.kinds import FIELD_KINDS, ITEM_KINDS
from schemas.load import load
from schemas.model import FieldSpec, Item, Rule
from schemas.row_rules import Check
from schemas.words import Words
from tests.conftest import SOAK
from tests.oracle_credit_number import mod_11_2
from tests.rule_fixtures import Fixtures
from tests.rule_samples import (
    AS_OF,
    FOLDER,
    RENEW,
    Cells,
    Judge,
    Judged,
    Sample,
    cases,
    checks,
    condition,
    differences,
    finding,
    path_of,
    policy,
    read,
    verdict,
    write,
)

CATALOG = load()
CASES = cases(CATALOG)
ASKED = sorted(CASES)[:: 1 if SOAK else 2]  # half of the cases are left to a soak
MUTATED, MUTANTS = (len(CASES), 12) if SOAK else (3, 4)
CHOSEN = sorted(random.Random(11).sample(sorted(CASES), MUTATED))


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(CATALOG)


@pytest.fixture(scope="module")
def judged(judge: Judge) -> Callable[[str], list[Judged]]:
    """What the engine says of the rows of a case, which two tests look at."""
    return cache(lambda code: judge.judge_by(CASES[code], [s.cells for s in samples_of(code)], listed_of(code)))


@cache
def listed_of(code: str) -> list[Check]:
    return checks(CASES[code].item, CATALOG)


@cache
def samples_of(item: str) -> list[Sample]:
    path = path_of(item)
    assert path.exists(), f"tests/samples/rules/{item}.csv is missing. Run {RENEW} {item} and review what it made."
    return read(path)


@pytest.mark.parametrize("code", ASKED)
def test_every_row_comes_out_as_its_file_says(code: str, judged: Callable[[str], list[Judged]]) -> None:
    case, samples = CASES[code], samples_of(code)
    fields = [f.name for f in case.item.live_fields]
    assert [*samples[0].cells] == fields, f"other fields than the item's. Run {RENEW} {code}."
    found = differences(samples, judged(code))
    assert not found, (
        f"tests/samples/rules/{code}.csv: {found[0]} ({len(found)} rows differ). Put the rule back; or, if the change"
        f" is meant, run {RENEW} {code} and review the difference."
    )


@pytest.mark.parametrize("code", ASKED)
def test_every_check_has_a_row_that_fails_it(code: str) -> None:
    shown = {(s.expected[0], s.where) for s in samples_of(code) if s.expected}
    compiled = {(finding(c), condition(c)) for c in listed_of(code)}
    what = f"tests/samples/rules/{code}.csv"
    assert not compiled - shown, f"{what}: no row for {sorted(compiled - shown)[0]}. Run {RENEW} {code}."
    lost = sorted(shown - compiled)
    assert not lost, f"{what}: no check says {lost[0]} any more. Put the rule back; if it is meant, run {RENEW} {code}."


@pytest.mark.parametrize("code", ASKED)
def test_every_rule_that_is_declared_is_compiled(code: str) -> None:
    """The credit number, for one, is judged by its role alone: a rule beside it would be read by nobody."""
    item = CASES[code].item
    compiled = {(c.field, c.code, c.severity, condition(c)) for c in listed_of(code)}
    declared = [(f.name, r, FIELD_KINDS[r.kind], (exp.column(f.name),)) for f in item.live_fields for r in f.rules]
    declared += [(r.options["field"], r, ITEM_KINDS[r.kind], ()) for r in item.rules]
    for name, rule, kind, value in declared:
        where = kind.violated(*value, rule.options).sql(dialect="duckdb")
        said = (name, rule.code or kind.CODE, rule.severity, where)
        assert said in compiled, f"catalog/items/{code}.toml [{name}]: no check says {rule}. Remove it or compile it."


@pytest.mark.parametrize("code", CHOSEN)
def test_the_stage_finds_in_a_delivery_what_the_files_say(code: str, tmp_path: Path) -> None:
    item, samples, home = CASES[code].item, samples_of(code), Home(tmp_path)
    home.make_restricted()
    with StagedWriter(home.staged(code), [*samples[0].cells]) as staged:
        for line, sample in enumerate(samples, start=2):
            staged.add(line, None, [*sample.cells.values()])
    keys, period = open_keys(home.root), CASES[code].on
    limits = policy(CATALOG)
    compiled = compile_item(item, CATALOG, limits)
    rules = Rules(item, compiled, limits, Words(CATALOG), AS_OF, keys, period)
    (result,) = validate(home, [Part(code)], rules)
    every = pq.read_table(home.findings(code), filters=[("code", "!=", "L002")]).to_pylist()  # L002: what was redacted
    told = [f for f in every if f["code"] != "D004"]  # the rows of a file are about one number, whatever the name
    said = Counter((f["line"], f"{f['field']}:{f['code']}:{f['severity']}") for f in told)
    assert said == Counter((line, f) for line, s in enumerate(samples, start=2) for f in s.expected)
    became = Counter(verdict(s.expected) for s in samples)
    became.update(accepted=len(told) - len(every), held=len(every) - len(told))
    assert {v: getattr(result, v) for v in became} == became


@pytest.mark.parametrize("code", ASKED)
def test_the_first_row_passes_and_every_file_shows_all_verdicts(code: str) -> None:
    samples = samples_of(code)
    assert samples[0].expected == ()
    assert {verdict(s.expected) for s in samples} == {"accepted", "rejected", "held", "refused"}


def test_there_is_no_file_of_an_item_that_is_gone() -> None:
    assert {p.stem for p in FOLDER.glob("*.csv")} <= set(CASES), f"Run {RENEW}: it removes the file."


@pytest.mark.parametrize("kind", [*FIELD_KINDS, *ITEM_KINDS])
def test_the_generator_knows_how_to_break_a_kind(kind: str) -> None:
    assert hasattr(Fixtures, f"_{kind}"), f"tests/rule_fixtures.py: write Fixtures._{kind}, then run {RENEW}."


def identity_numbers(cell: str) -> Iterator[tuple[str, bool]]:
    """Birth date and region 469099 or not of everything in a cell that would be read as somebody's number."""
    for number in re.findall(r"(?<![0-9])[1-9][0-9]{16}[0-9X](?![0-9])", cell):
        if mod_11_2(number[:17]) == number[17]:
            yield number[6:14], number.startswith("469099")
    for number in re.findall(r"(?<![0-9.])[1-9][0-9]{14}(?![0-9])", cell):
        century = "18" if number[12:] >= "996" else "19"
        yield century + number[6:12], number.startswith("469099")


def test_all_people_are_invented() -> None:
    numbers = 0
    for code in CASES:
        for sample in samples_of(code):
            for cell in sample.cells.values():
                for birth, is_nowhere in identity_numbers(cell or ""):
                    try:
                        date(int(birth[:4]), int(birth[4:6]), int(birth[6:]))
                    except ValueError:
                        continue
                    numbers += 1
                    assert is_nowhere or "1850" <= birth[:4] <= "1899" or "2080" <= birth[:4] <= "2099", (code, cell)
    assert numbers > 100


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    first: Cells = {"a": "甲", "b": "例" * 201, "c": None, "d": "0" * 11}
    rows = [Sample(first), Sample({**first, "a": None, "c": "x"}, ("a:V001:error", "c:V007:hold"), "t_a IS NULL")]
    path = tmp_path / "rows.csv"
    write(path, rows)
    assert read(path) == rows
    assert "例{201}" in path.read_text(encoding="utf-8")


# What the rows are worth: whatever is taken out of an item, or let go a little further, they show it.


def altered(item: Item, field: FieldSpec, **changes: object) -> Item:
    fields = tuple(f.model_copy(update=changes) if f is field else f for f in item.fields)
    return item.model_copy(update={"fields": fields})


def mutants(item: Item) -> list[tuple[str, Item]]:
    """The item with each rule taken out, each requirement lifted, each limit moved by one."""
    found = []
    for f in item.live_fields:
        if f.role == "credit_number":
            continue  # what is asked of it comes with the role
        if f.required:
            found.append((f"{f.name} required", altered(item, f, required=False)))
        if f.length is not None and f.type == "text":
            found.append((f"{f.name} length", altered(item, f, length=None)))
        if f.is_free_text and f.role != "name":
            found.append((f"{f.name} free text", altered(item, f, is_free_text=False)))
        for rule in f.rules:
            others = tuple(r for r in f.rules if r is not rule)
            found.append((f"{f.name} {rule}", altered(item, f, rules=others)))
            for bound, by in (("low", -1), ("high", 1)):
                if rule.kind == "between" and bound in rule.options:
                    wider = Rule(**{**dict(rule), "options": {**rule.options, bound: rule.options[bound] + by}})
                    rules = tuple(wider if r is rule else r for r in f.rules)
                    found.append((f"{f.name} {bound} moved", altered(item, f, rules=rules)))
    for rule in item.rules:
        found.append((f"{rule}", item.model_copy(update={"rules": tuple(r for r in item.rules if r is not rule)})))
    return found


@pytest.mark.parametrize("code", CHOSEN)
def test_a_rule_taken_out_of_an_item_is_missed(code: str, judge: Judge) -> None:
    samples, made = samples_of(code), mutants(CASES[code].item)
    judge.locate(CASES[code], [s.cells for s in samples])
    for what, mutant in random.Random(code).sample(made, min(MUTANTS, len(made))):
        assert differences(samples, judge.ask(checks(mutant, CATALOG))), f"{code}: nothing shows that {what} is gone"


@pytest.mark.parametrize("code", ASKED)
def test_every_check_stops_a_row_of_its_own(code: str, judged: Callable[[str], list[Judged]]) -> None:
    """Also those that no item declares: of types, codes, credit numbers and the law. A check that is not compiled
    takes its findings along and leaves the others (the next test asks a few), so it is missed where it finds any."""
    listed = listed_of(code)
    idle = {c.tag for c in listed} - {tag for row in judged(code) for tag in row.tags}
    assert not idle, f"{code}: nothing shows whether {sorted(finding(c) for c in listed if c.tag in idle)} are there"


@pytest.mark.parametrize("code", CHOSEN)
def test_a_check_that_is_not_compiled_is_missed(code: str, judge: Judge) -> None:
    samples, listed = samples_of(code), listed_of(code)
    judge.locate(CASES[code], [s.cells for s in samples])
    whole = judge.ask(listed)
    assert not differences(samples, whole)
    for gone in random.Random(code).sample(listed, min(4, len(listed))):
        without = judge.ask([c for c in listed if c is not gone])
        assert [row.tags for row in without] == [tuple(t for t in row.tags if t != gone.tag) for row in whole]
        assert differences(samples, without), f"{code}: nothing shows that {finding(gone)} is gone"
