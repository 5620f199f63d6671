"""What the law keeps out at run time: minors, sealed records, columns that nobody may collect, third persons in texts.

A row that is refused is counted and told, and what it says lies in `raw/` and in what is read from there alone.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from pipelines import model, run
from pipelines.judge import Asked, Desk, Judged, judge
from pipelines.stages.manifest import Manifest, described
from pipelines.stores.keys import Keys
from pipelines.stores.lake import Lake
from schemas.load import load
from schemas.model import Catalog
from tests import leaks
from tests.dirty_files import honour, number, table
from tests.dirty_files.penalties import penalty
from tests.nights import DAY, begin
from tests.rule_fixtures import born
from tests.test_privacy import name
from tests.test_wrong_person import account, no, ticket

CATALOG = load()
LATE = date(2099, 6, 30)  # whoever was born in 2080 may be of age
NOW = date(2026, 11, 22)
PASSPORT = {"证件类型": "护照", "证件号码": "E12345678"}


@dataclass(frozen=True)
class Seen:
    """One delivery as it was judged; `verdicts` by line, with the codes of what stopped the row."""

    home: model.Home
    delivery_id: str
    result: Judged

    @property
    def verdicts(self) -> list[str]:
        stopped = {r["line"]: r["verdict"] for r in pq.read_table(self.home.rejected(self.delivery_id)).to_pylist()}
        codes: dict[int, list[str]] = {}
        for f in pq.read_table(self.home.findings(self.delivery_id)).to_pylist():
            if f["severity"] in ("error", "hold") and f["line"]:
                codes.setdefault(f["line"], []).append(f["code"])
        lines = range(2, self.result.read + 2)
        return [" ".join([stopped.get(n, "accepted"), *sorted(codes.get(n, []))]) for n in lines]

    def column(self, field: str) -> list[Any]:
        rows = pq.read_table(self.home.accepted(self.delivery_id), columns=["line", field]).to_pylist()
        return [r[field] for r in sorted(rows, key=lambda r: r["line"])]


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Seen]:
    def of(item: str, sender: str, *rows: dict[str, str], as_of: date = LATE, catalog: Catalog = CATALOG) -> Seen:
        home = model.Home(tmp_path / f"home{len(list(tmp_path.iterdir()))}")
        home.root.mkdir()
        (home.root / "sample.json").write_text("{}")
        home.make_restricted()
        file = home.root / "a.csv"
        file.write_text(table(*rows), encoding="utf-8")
        delivery = described(sender, item, file.name, file.stat().st_size, "0" * 64, Manifest(), as_of)
        desk = Desk(home, catalog, Keys(bytes(64)), as_of)
        return Seen(home, delivery.delivery_id, judge(desk, Asked(delivery, file)))

    return of


def days(n: int) -> dict[str, str]:
    return {"period": str(DAY + timedelta(n))}


def test_a_refused_row_ends_what_was_taken_in_before_and_keeps_but_its_key(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Person 1 turns out to have been a minor, the ticket of 2 is sealed, that of 3 stays; of 4, who was never taken
    in, nobody is to learn anything, and what was said of that ticket before comes late."""
    home = begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")
    penalties = replace(home, item="administrative_penalty", sender="haikou")
    sealed = {"违法事实": "犯罪记录已封存"}
    when = ("2026-11-10", "2026-11-16")
    taken = [fined(1, *when, **PASSPORT, 出生日期="1880-01-02"), *(fined(n, *when) for n in (2, 3))]
    penalties.send(p=table(penalty(1), penalty(2)))
    assert account(home.night(0, a=table(*taken))["a"]) == {"new": 3}
    minor = fined(1, *when, **PASSPORT, 出生日期="2010-01-02")
    kept = home.rows("SELECT * FROM history.traffic_penalty ORDER BY ALL")
    penalties.send(q=(table(penalty(1, **sealed)), days(1)))
    refused = [minor, *(fined(n, *when, **sealed) for n in (2, 4, 4))]
    row = home.night(1, b=(table(*refused), days(1)))["b"]
    assert account(row) == {"refused": 4}
    assert home.rows("SELECT decision_no FROM records.traffic_penalty") == [(no(3),)]
    assert home.rows("SELECT * FROM history.traffic_penalty ORDER BY ALL") == kept, "what was said before stays"
    assert home.rows("SELECT count(*) FROM records.administrative_penalty") == [(1,)]
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        told = connection.execute("SELECT action FROM history.administrative_penalty").fetchall()
        assert told == [("new",), ("new",)], "the warehouse tells no refusals"
    code, seen = home.command("changes", str(DAY), str(DAY + timedelta(1)), "--item", "traffic_penalty", "--json")
    assert code == 0 and [c["kind"] for c in json.loads(seen)] == ["DEL", "DEL"]
    ((key,),) = home.rows(f"SELECT hex(record_key) FROM history.traffic_penalty WHERE decision_no = '{no(2)}'")
    assert [(s["action"], s["shown"]) for s in home.trace("--record", key)] == [("refuse", []), ("new", [[1, 1]])]
    code, seen = home.command("life", "--record", key, "--json")
    assert code == 0 and [s["state"] for s in json.loads(seen)] == ["shared", "none"]
    told = home.trace("--delivery", row["delivery_id"])["rows"]
    assert [(r["line"], r["verdict"]) for r in told] == [(n, "refused") for n in (2, 3, 4, 5)]
    with psycopg.connect(home.url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM vault.subject").fetchall() == [(4,)], "nobody learns of 4"
    calm = home.everything()
    home.night(1)
    assert home.everything() == calm
    late = home.night(2, c=(table(ticket(4, 4), ticket(5, 5)), days(0)))["c"]
    assert account(late) == {"new": 1, "superseded": 1}
    assert home.rows("SELECT decision_no FROM records.traffic_penalty ORDER BY 1") == [(no(3),), (no(5),)]
    # Taken back, the refusals count no more.
    with home.told():
        back = run.revert(home.place, DAY + timedelta(3), row["delivery_id"], "desk", "the wrong file")
    assert back["exit_code"] == 0
    shown = home.rows("SELECT decision_no FROM records.traffic_penalty ORDER BY 1")
    assert shown == [(no(n),) for n in (1, 2, 3, 4, 5)]
    assert account(home.deliveries()["b"]) == {"refused": 4}


def test_a_refused_row_sent_twice_goes_on_ending_what_only_one_of_them_names(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of refused rows only their keys are known: two of one record are no repeats where one names a wrong number."""
    home = begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")
    sealed = fined(2, "2026-11-10", "2026-11-16", 违法事实="犯罪记录已封存")
    twice = table(sealed, sealed | {"更正前证件号码": number(5)})
    assert account(home.night(1, b=(twice, days(1)))["b"]) == {"refused": 2}
    late = home.night(2, c=(table(ticket(5, 2)), days(0)))["c"]
    assert account(late) == {"superseded": 1}
    assert home.rows("SELECT decision_no FROM records.traffic_penalty") == []


def test_the_key_of_a_refused_row_goes_when_its_time_is_over(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begin(tmp_path / "home", applied(), monkeypatch, item="traffic_penalty", sender="public_security")
    sealed = ticket(2, 2, 违法事实="犯罪记录已封存")
    home.night(0, a=table(ticket(1, 1)), b=(table(sealed), {"period": "2021-11-23"}))
    lake = Lake(home.url, home.place / "curated")

    def keys() -> int:
        with home.told() as ledger:
            files = lake.files("history", "traffic_penalty", ledger.published("traffic_penalty").history)
        return sum(pq.read_metadata(f).num_rows for f in files.data)

    assert keys() == 2
    home.night(32)
    assert keys() == 1 and len(home.rows("FROM records.traffic_penalty")) == 1


def fined(n: int, act: str, decided: str, **cells: str) -> dict[str, str]:
    """A row of the item traffic_penalty with the day of birth, which a passport does not tell."""
    row = ticket(n, n, 违法日期=act, 处罚决定日期=decided, 证件号码=cells.pop("证件号码", number(n)))
    return row | {"出生日期": ""} | cells


def with_policy(**values: Any) -> Catalog:
    """The catalogue with other values of dated policies."""
    policy = deepcopy(CATALOG.policy)
    for entries in policy.values():
        for name_of, value in values.items():
            for entry in entries.get(name_of, ()):
                entry["value"] = value
    return CATALOG.model_copy(update={"policy": policy})


OF_AGE = [
    (date(2080, 5, 1), "2098-05-01", "2098-05-01", "accepted", "refused"),  # on the birthday
    (date(2080, 5, 1), "2098-05-02", "2098-05-02", "accepted", "accepted"),
    (date(2080, 5, 2), "2098-05-01", "2098-05-01", "refused", "refused"),  # a day before
    (date(2080, 5, 1), "2098-04-30", "2098-06-01", "refused", "refused"),  # of age when it was decided, not at the act
    (date(2080, 2, 29), "2098-02-27", "2098-03-09", "refused", "refused"),  # in a year without the day
    (date(2080, 2, 29), "2098-02-28", "2098-03-09", "accepted", "refused"),
    (date(2080, 2, 29), "2098-03-01", "2098-03-09", "accepted", "accepted"),
    (date(2080, 3, 1), "2098-02-28", "2098-02-28", "refused", "refused"),
]


def test_an_age_is_reached_on_the_birthday_or_by_policy_on_the_day_after(judged: Callable[..., Seen]) -> None:
    rows = [fined(n, act, decided, 证件号码=born(day)) for n, (day, act, decided, _, _) in enumerate(OF_AGE, 1)]
    for catalog, column in ((CATALOG, 3), (with_policy(adult_after_days=1), 4)):
        seen = judged("traffic_penalty", "public_security", *rows, catalog=catalog)
        wanted = [row[column] for row in OF_AGE]
        assert seen.verdicts == [f"{w} L001" if w == "refused" else w for w in wanted]


def test_where_no_day_can_be_read_a_minor_of_today_is_refused_and_a_withdrawal_passes(
    judged: Callable[..., Seen],
) -> None:
    minor, adult = born(date(2081, 7, 1)), born(date(2081, 6, 30))
    rows = [
        fined(1, "", "", 证件号码=minor),
        fined(2, "2098-13-01", "2098-13-01", 证件号码=minor),
        fined(3, "", "", 证件号码=adult),
        fined(4, "", "", 证件号码=minor, 操作类型="撤销"),
    ]
    assert judged("traffic_penalty", "public_security", *rows).verdicts == [
        "refused L001 V001 V001", "refused L001 V002 V002", "rejected V001 V001", "accepted",
    ]  # fmt: skip


def test_nothing_adverse_is_taken_of_somebody_whose_age_nobody_knows(judged: Callable[..., Seen]) -> None:
    day = {"act": "2098-05-01", "decided": "2098-05-01"}
    soldier = {"证件类型": "军官证", "证件号码": "南字第0123456号"}
    rows = [
        fined(1, **day, **PASSPORT),
        fined(2, **day, **soldier),
        fined(3, **day, **PASSPORT, 出生日期="1880-01-02"),
        fined(4, **day, **PASSPORT, 出生日期="2080-05-02"),
        fined(5, **day, **PASSPORT, 操作类型="撤销"),
        fined(6, **day),
    ]
    seen = judged("traffic_penalty", "public_security", *rows)
    wanted = ["held L005", "held L005", "accepted", "refused L001", "accepted", "accepted"]
    assert seen.verdicts == wanted
    (told, _) = [f for f in pq.read_table(seen.home.findings(seen.delivery_id)).to_pylist() if f["code"] == "L005"]
    assert (told["field"], told["severity"]) == ("birth_date", "hold")
    lenient = with_policy(birth_unknown={"adverse": "warning"})
    assert judged("traffic_penalty", "public_security", rows[0], catalog=lenient).verdicts == ["accepted"]
    # An honour does a minor no harm, and passports are taken as ever.
    assert judged("honour", "civilization_office", honour(1, **PASSPORT), as_of=NOW).verdicts == ["accepted"]


SEALED = {
    "依据《中华人民共和国治安管理处罚法》第四十三条": "refused",
    "该人犯罪记录已封存": "refused",
    "附条件不起诉": "refused",
    "机密★三年": "refused",
    "该案依法不予公开": "refused",
    "案卷封存，请勿外传": "refused",
    "对涉案产品予以封存": "accepted",  # goods, not records
    "向未成年人出售烟草": "accepted",  # by an adult
    "教唆未成年人犯罪": "accepted",
    "经查不构成违反治安管理": "accepted",
    "泄露国家秘密": "accepted",  # what somebody did, not a mark on the record
}


def test_a_row_that_says_it_is_sealed_is_refused_from_the_day_of_the_law(judged: Callable[..., Seen]) -> None:
    rows = [penalty(n, 违法事实=text) for n, text in enumerate(SEALED, 1)]
    seen = judged("administrative_penalty", "haikou", *rows, as_of=NOW)
    assert seen.verdicts == [f"{v} L004" if v == "refused" else v for v in SEALED.values()]
    before = judged("administrative_penalty", "haikou", rows[0], rows[1], as_of=date(2025, 12, 31))
    assert before.verdicts == ["accepted", "refused L004"]


TEXTS = {
    # whoever tells, and whoever saw it
    "举报人张三反映该店": "举报人[他人]反映该店",
    "举报人：于海洋": "举报人：[他人]",
    "检举人为欧阳震华的同事": "检举人为[他人]的同事",
    "投诉人（冼小妹）到场": "投诉人（[他人]）到场",
    "举报人姓名：古丽娜尔·买买提": "举报人姓名：[他人]",
    "证人陈小明陈述如下": "证人[他人]陈述如下",
    "被害人符大妹、李四和王五": "被害人[他人]、[他人]和[他人]",
    "法定代理人 司马光　到场": "法定代理人 [他人]　到场",
    "监护人John Smith，监护人：John Smith": "监护人John Smith，监护人：[他人]",  # a role alone may belong to a title
    # words that are no names
    "举报人的要求，举报人要求匿名": "举报人的要求，举报人要求匿名",
    "证人陈述如下，证人和当事人到场": "证人陈述如下，证人和当事人到场",
    "举报人于六月向本局举报": "举报人于六月向本局举报",
    "投诉人系单位职工，投诉人周围有群众": "投诉人系单位职工，投诉人周围有群众",
    "被害人李某，被害人王女士": "被害人李某，被害人王女士",
    # numbers of any kind and in any writing
    "证件469099650202002": "证件[证件号]",
    "证件４６９０９９－１９６５０２０２－００２Ｘ": "证件[证件号]",
    "证件469099　19650202　0020": "证件[证件号]",
    "卡号6200 0000 0000 0000，6200000000000000000": "卡号[证件号]，[证件号]",
    "电话１３０００００００１１、130—0000—0012": "电话[电话]、[电话]",
    "座机0898-65000000。": "座机[电话]。",
    "护照E12345678": "护照[证件号]",
    "文号琼示罚〔2026〕00000012号，罚款5000.00元": "文号琼示罚〔2026〕00000012号，罚款5000.00元",
}


def test_numbers_and_names_of_others_go_out_of_texts(judged: Callable[..., Seen]) -> None:
    rows = [honour(n, 备注=f'"{text}"' if "," in text else text) for n, text in enumerate(TEXTS, 1)]
    seen = judged("honour", "civilization_office", *rows, as_of=NOW)
    assert seen.column("remarks") == list(TEXTS.values())
    told = pq.read_table(seen.home.findings(seen.delivery_id), filters=[("code", "==", "L002")]).to_pylist()
    assert [f["line"] for f in told] == [n for n, (a, b) in enumerate(TEXTS.items(), 2) if a != b]


def test_no_column_of_what_the_law_withholds_is_read(judged: Callable[..., Seen]) -> None:
    """Consent-only attributes among them: no delivery carries the person's consent to them. A list of who told is kept
    from everybody as well."""
    headers = [kind.zh[0] for kind in CATALOG.withheld if kind.valid_from <= NOW] + ["投诉人姓名", "回传_月收入"]
    assert {kind.kind for kind in CATALOG.withheld} == {"never", "consent", "sealed", "score"}
    seen = judged("honour", "civilization_office", honour(1) | dict.fromkeys(headers, "密语七八九"), as_of=NOW)
    told = pq.read_table(seen.home.findings(seen.delivery_id)).to_pylist()
    assert {f["value"] for f in told if f["code"] == "L003"} == set(headers)
    read = seen.home.staged(seen.delivery_id)
    assert "密语" not in str(pq.read_table(read).to_pydict()) and seen.verdicts == ["accepted"]


def unpacked(path: Path) -> bytes:
    if path.suffix == ".parquet":
        return leaks.parquet_bytes(path)
    data = path.read_bytes()
    if path.suffix != ".xlsx":
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        return b"\x1f".join(book.read(part) for part in book.namelist())


def test_a_refused_row_is_counted_and_told_and_lies_in_raw_alone(
    tmp_path: Path, applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = applied()
    home = begin(tmp_path / "home", url, monkeypatch, item="traffic_penalty", sender="public_security")
    minor = ticket(1, 1, 证件号码=born(date(2010, 6, 1), "469099"), 违法事实="密语甲乙丙")
    sealed = ticket(2, 2, 违法事实="犯罪记录已封存，密语甲乙丙", 处理机关="密语丁戊己")
    broken = ticket(3, 3, 证件号码=born(date(2010, 6, 2), "469099"), 处罚决定日期="2026-13-05")
    taken = ticket(4, 4, 违法事实="举报人：符䶮之在场，电话13000000021")
    stopped = ticket(5, 5, 处罚决定日期="2026-13-05")
    sent = enumerate((minor, sealed, broken, taken, stopped))
    rows = [row | {"回传_序号": f"echo{n}" + row["当事人姓名"]} for n, row in sent]
    night = home.night(0, a=table(*rows))["a"]
    assert {k: night[k] for k in ("read", "new", "rejected", "refused", "held")} == {
        "read": 5, "new": 1, "rejected": 1, "refused": 3, "held": 0,
    }  # fmt: skip
    assert home.receipt(night)["account"]["refused"] == 3
    secrets = leaks.Secrets()
    for n, row in enumerate((minor, sealed, broken), 1):
        secrets.add(name(n), "name", "refused")
        secrets.add(row["证件号码"], "credit_number", "refused")
        secrets.add(row["处罚决定书编号"], "text", "refused")
    for text in ("密语甲乙丙", "密语丁戊己", "echo0", "echo1", "echo2"):
        secrets.add(text, "text", "refused")
    secrets.add("符䶮之", "name", "told")
    found = {}
    for path in (p for p in home.place.rglob("*") if p.is_file()):
        if (where := path.relative_to(home.place).parts[0]) not in ("inbox", "compiled"):
            found.setdefault(where, set()).update(origin for origin, _ in secrets.leaks(unpacked(path)))
    kept = {"raw", "staged"}
    assert {place for place, origins in found.items() if "refused" in origins} == kept
    assert {place for place, origins in found.items() if "told" in origins} == kept
    assert {"accepted", "rejected", "findings", "outbox", "curated"} <= found.keys()
    for what, data in leaks.database_bytes(url):
        assert not secrets.leaks(data), what
    code, said = home.command("findings", "--delivery", night["delivery_id"])
    assert code == 0 and not secrets.leaks(said.encode())
    assert all(f"line {n} " in said for n in (2, 3, 4)) and said.count("L001") == 2 and said.count("L004") == 1
