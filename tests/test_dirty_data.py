"""The pipeline held to every row of the dirty-data list: see tests/dirty_data.py and docs/dirty-data.md."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import run
from pipelines.errors import DeliveryError
from pipelines.judge import Asked, Desk, judge
from pipelines.model import ACCOUNT, Delivery, Home, delivery_id
from pipelines.query import query
from pipelines.stages import manifest
from pipelines.stores.keys import Keys
from pipelines.stores.ledger import Ledger
from schemas.load import load
from schemas.model import Catalog, Format
from tests import dirty_data
from tests.dirty_data import Case, Row, Sent

CASES = {case.number: case for case in dirty_data.cases()}
ALONE = [(case.number, n) for case in CASES.values() if not case.nights for n in range(len(case.sent))]
HOMES: dict[str, list[Case]] = {}
for _case in CASES.values():
    if _case.nights:
        HOMES.setdefault(_case.home or _case.number, []).append(_case)
CATALOG = load()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("dirty"))
    (home.root / "sample.json").write_text("{}")
    home.make_restricted()
    return home


def delivery_of(sent: Sent, content: bytes, as_of: date) -> Delivery:
    said = manifest.parse(manifest_of(sent))
    sha256 = hashlib.sha256(content).hexdigest()
    period, rows = said.period or as_of, 0 if said.is_nil else said.rows
    return Delivery(
        delivery_id=delivery_id(sent.department, sent.item, period, said.sequence, said.mode, sha256),
        department=sent.department, item=sent.item, file=sent.file, period=period, sequence=said.sequence,
        mode=said.mode, sha256=sha256, size=len(content), declared_rows=rows, is_nil=said.is_nil, manifest=said.kept(),
    )  # fmt: skip


def manifest_of(sent: Sent) -> bytes:
    said = sent.manifest
    return (said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)).encode()


@pytest.mark.parametrize(("number", "which"), ALONE, ids=[f"{q}-{CASES[q].sent[n].file}" for q, n in ALONE])
def test_a_file_comes_out_as_its_case_says(number: str, which: int, home: Home) -> None:
    case = CASES[number]
    sent = case.sent[which]
    path = case.folder / sent.file
    desk = Desk(home, declaring(sent), Keys(bytes(32)), case.as_of)
    delivery = delivery_of(sent, path.read_bytes(), case.as_of)
    try:
        judged = judge(desk, Asked(delivery, path))
    except DeliveryError as e:
        assert ("returned", e.code) == (sent.state, *sent.codes), e.message_en
        assert CATALOG.findings[e.code].severity == "error"
        return
    rows, told = outcome(home, delivery)
    assert judged.read == sum(judged.account.values())
    assert ("held" if judged.reasons else "checked", judged.read) == (sent.state, sent.read), judged.reasons
    assert sorted(told + [r[0] for r in judged.reasons]) == sorted(sent.codes)
    assert rows == expected(sent, rows)


def declaring(sent: Sent) -> Catalog:
    """The catalogue, its department writing texts as the case declares."""
    formats = {"*": Format.model_validate(sent.declared)} if sent.declared else {}
    sender = CATALOG.departments[sent.department].model_copy(update={"formats": formats})
    return CATALOG.model_copy(update={"departments": {**CATALOG.departments, sent.department: sender}})


def expected(sent: Sent, found: dict[tuple[int, str], Row]) -> dict[tuple[int, str], Row]:
    """What the case lists, and every other row that is there accepted without a finding; only values it names count."""
    listed = {(row.line, row.sheet): row for row in sent.rows}
    others = {place: Row(line=place[0], sheet=place[1]) for place in found if place not in listed}
    for place, row in found.items():
        named = listed[place].values if place in listed else {}
        found[place] = row.model_copy(update={"values": {name: row.values.get(name, "") for name in named}})
    return listed | others


def outcome(home: Home, delivery: Delivery) -> tuple[dict[tuple[int, str], Row], list[str]]:
    """Each row's verdict, codes and values, by line and sheet; and the codes of findings that have no line."""
    codes: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    told = []
    for finding in pq.read_table(home.findings(delivery.delivery_id)).to_pylist():
        if finding["line"] is None:
            told.append(finding["code"])
        else:
            codes[finding["line"], finding["sheet"] or ""].add(finding["code"])
    verdicts: dict[tuple[int, str], str] = dict.fromkeys(codes, "rejected")
    values: dict[tuple[int, str], dict[str, str]] = {}
    for row in pq.read_table(home.rejected(delivery.delivery_id)).to_pylist():
        verdicts[row["line"], row["sheet"] or ""] = row["verdict"]
    for row in pq.read_table(home.accepted(delivery.delivery_id)).to_pylist():
        place = row["line"], row["sheet"] or ""
        verdicts[place] = "accepted"
        cells = {**row, **json.loads(row["identity"])}
        values[place] = {name: "" if value is None else str(value) for name, value in cells.items()}
    return {
        place: Row(
            line=place[0], sheet=place[1], verdict=verdict, codes=tuple(sorted(codes[place])),
            values=values.get(place, {}),
        )
        for place, verdict in verdicts.items()
    }, told  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOMES))
def test_nights_come_out_as_their_cases_say(
    name: str, tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, shared = applied(), HOMES[name]
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", url)
    monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0")
    (tmp_path / "sample.json").write_text("{}")
    for day in sorted({sent.on for case in shared for sent in case.sent}):
        for case in shared:
            for sent in case.sent:
                if sent.on == day:
                    put(tmp_path, case, sent)
        run.nightly(tmp_path, day)
    with Ledger(url) as ledger:
        rows = {r["delivery_id"]: r for r in ledger.deliveries()}
    for case in shared:
        for sent in case.sent:
            came_out(Home(tmp_path), case, sent, rows)
        for asked in case.ask:
            _, answer = query(tmp_path, asked.sql, None)
            assert [tuple(map(plain, r)) for r in answer] == [tuple(r) for r in asked.answer], asked.sql


def came_out(home: Home, case: Case, sent: Sent, rows: dict[str, dict[str, Any]]) -> None:
    """One delivery of a night: its state, account, findings of the whole file, and the rows that the case lists."""
    where = f"{case.number} {sent.file}"
    delivery = delivery_of(sent, (case.folder / sent.file).read_bytes(), sent.on)
    row = rows[delivery.delivery_id]
    state = "released" if sent.state == "checked" else sent.state
    assert (row["state"], row["read"]) == (state, sent.read), f"{where}: {row['message_en']}"
    assert {k: row[k] for k in ACCOUNT if row[k]} == sent.account, where
    places, told = outcome(home, delivery) if state != "returned" else ({}, [])
    assert sorted(told + [row["message_code"]] * bool(row["message_code"])) == sorted(sent.codes), where
    listed = {place: found for place, found in places.items() if place in {(r.line, r.sheet) for r in sent.rows}}
    wanted = expected(sent, listed)
    assert listed == wanted, where


def plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def put(home: Path, case: Case, sent: Sent) -> None:
    inbox = home / "inbox" / sent.department / sent.item
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / sent.file).write_bytes((case.folder / sent.file).read_bytes())
    (inbox / f"{sent.file}.manifest.json").write_bytes(manifest_of(sent))


def test_the_page_is_what_the_samples_say() -> None:
    assert dirty_data.PAGE.read_text(encoding="utf-8") == dirty_data.page(), "run python -m tests.dirty_data"
