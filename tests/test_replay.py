"""What was not taken is kept and comes back by itself: when the row is corrected, when a rule or a limit changes."""

import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines import again, checks, model, run
from pipelines.model import ACCOUNT
from pipelines.readers import text
from pipelines.stores import waiting
from schemas.load import CATALOG
from tests.conftest import SOAK, soak_only
from tests.dirty_files import csv, honour, number
from tests.mortal_night import Death, Mortals
from tests.nights import DAY, Home, begin
from tests.test_kills import deaths, litter, outcome

ITEM, SENDER = "honour", "civilization_office"
ODD = {"荣誉级别": "开发区级"}  # no level that anybody knows


@pytest.fixture
def home(
    tmp_path: Path, database: Callable[..., str], applied: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Home]:
    def new(word: str, catalog: Path = CATALOG) -> Home:
        url = applied() if catalog == CATALOG else database()
        return begin(tmp_path / word, url, monkeypatch, catalog=catalog)

    return new


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A catalogue in which lines were added to files, or words replaced."""

    def new(**edits: str | tuple[str, str]) -> Path:
        place = tmp_path / f"catalog{len(list(tmp_path.glob('catalog*')))}"
        shutil.copytree(CATALOG, place)
        for file, edit in edits.items():
            (path,) = place.glob(f"*/{file}*.*" if "." not in file else file)
            text = path.read_text(encoding="utf-8")
            if isinstance(edit, tuple):
                assert edit[0] in text
                text = text.replace(*edit)
            else:
                text += edit
            path.write_text(text, encoding="utf-8")
        return place

    return new


@pytest.fixture
def milder(changed: Callable[..., Path]) -> Path:
    """A catalogue that knows what ODD says."""
    return changed(**{"codes/honour_level.variants.csv": "开发区级,4,各开发区认定文件\n"})


SHOWN = f"SELECT * FROM records.{ITEM} ORDER BY ALL"
STATED = f"SELECT * FROM history.{ITEM} ORDER BY ALL"


def test_rows_that_a_milder_rule_takes_come_back_as_if_they_had_been_right_at_first(
    home: Callable[..., Home], milder: Path
) -> None:
    masked = honour(4, 证件号码=number(4)[:-1] + "*")
    sent = csv(honour(1), honour(2, **ODD), honour(3, 荣誉级别="4"), masked, honour(1), honour(3, **ODD))
    late, first = home("late"), home("first", milder)
    before = late.night(0, sent=sent)["sent"]
    assert (before["new"], before["duplicate"], before["rejected"]) == (2, 1, 3)
    late.catalog = milder
    stored = late.everything()
    late.told().close()
    preview = run.replay(late.place, DAY + timedelta(1), DAY, DAY)
    assert late.everything() == stored, "a preview changes nothing"
    ((told,), gone) = preview["deliveries"], preview["gone"]
    assert (told["taken_codes"], told["stopped"], told["changed"], gone) == ({"V004": 2}, 0, 0, [])
    after = late.night(1)["sent"]
    assert (after["new"], after["duplicate"], after["rejected"]) == (3, 2, 1)
    right = first.night(0, sent=sent)["sent"]
    assert {k: after[k] for k in ACCOUNT} == {k: right[k] for k in ACCOUNT}
    assert late.rows(SHOWN) == first.rows(SHOWN) and len(late.rows(SHOWN)) == 3
    assert late.rows(STATED) == first.rows(STATED)
    with late.told() as ledger:
        assert waiting.account_on(ledger, after, DAY) == {k: before[k] for k in ACCOUNT}
        assert waiting.account_on(ledger, after, DAY + timedelta(1)) == {k: after[k] for k in ACCOUNT}
        back = [(r["line"], r["codes"], r["outcome"]) for r in waiting.ended(ledger, after["delivery_id"])]
        assert back == [(3, "V004", "new"), (7, "V004", "duplicate")], "line 7 repeats what line 4 said"
        named = ledger.engine.connect().exec_driver_sql(
            "SELECT count(*), count(DISTINCT record_key) FROM vault.statement_identity").one()
        assert named == (5, 3), "who the rows speak of, those that came before too"
    (back,) = [r for r in late.trace("--delivery", after["delivery_id"])["rows"] if r["line"] == 3]
    assert (back["verdict"], back["codes"], back["waited_since"]) == ("new", "V004", str(DAY))
    (stated,) = late.trace("--record", back["record_key"])
    place = {k: stated[k] for k in ("file", "line", "revision", "release", "shown")}
    assert place == {"file": "sent.csv", "line": 3, "revision": back["judged_under"], "release": 2, "shown": [[2, 2]]}
    (other, *_) = late.trace("--record", late.rows("SELECT hex(record_key) FROM records.honour ORDER BY line")[0][0])
    assert (other["line"], other["release"], other["shown"]) == (2, 1, [[1, 2]])
    told = late.receipt(after)
    assert {f["code"]: f["count"] for f in told["findings"] if f["severity"] == "error"} == {"I006": 1}
    assert "2 行按现行规则已收下" in told["message_zh"]
    stored = late.everything()
    late.night(1)
    assert late.everything() == stored, "and that is all"


def test_a_preview_does_not_promise_rows_of_deleted_records(home: Callable[..., Home], milder: Path) -> None:
    late = home("late")
    late.night(0, sent=csv(honour(1), honour(3), honour(4), honour(1, **ODD), honour(2, **ODD)))
    ((key,), *_) = late.rows(f"SELECT lower(hex(record_key)) FROM records.{ITEM} ORDER BY line")
    asked = ("--by", "office", "--basis", "order 12", "--date", DAY.isoformat())
    assert late.command("delete", "--record", key, *asked)[0] == 0
    late.catalog = milder
    late.told().close()
    (told,) = run.replay(late.place, DAY + timedelta(1), DAY, DAY)["deliveries"]
    assert (told["taken_codes"], told["stopped"], told["changed"]) == ({"V004": 1}, 0, 0)
    after = late.night(1)["sent"]
    assert (after["new"], after["rejected"], after["refused"]) == (4, 0, 1), "the row that was deleted stays new"


def test_a_row_that_waited_and_is_refused_by_a_law_since_ends_what_was_taken_before(
    home: Callable[..., Home], changed: Callable[..., Path]
) -> None:
    place = home("home")
    marked = honour(1, 备注="依甲乙丙办理", **ODD)
    later = {"period": "2026-11-23"}
    place.night(0, first=csv(honour(1), honour(2)), waits=(csv(marked, honour(3)), later))
    place.catalog = changed(**{"law/sealed.csv": "example,*,*,依甲乙丙办理,,2020-01-01,,示例法第一条,\n"})
    rows = place.night(1)
    assert {k: rows["waits"][k] for k in ("read", "new", "rejected", "refused")} == {
        "read": 2, "new": 1, "rejected": 0, "refused": 1,
    }  # fmt: skip
    assert set(place.rows(f"SELECT line, delivery_id FROM records.{ITEM}")) == {
        (3, rows["first"]["delivery_id"]), (3, rows["waits"]["delivery_id"])
    }  # fmt: skip
    calm = place.everything()
    place.night(1)
    assert place.everything() == calm


@soak_only("another kill")
def test_a_night_in_which_rows_come_back_may_be_killed_and_run_again(
    home: Callable[..., Home], milder: Path, database: Callable[..., str], mortals: Mortals, tmp_path: Path
) -> None:
    place = home("home")
    place.send(sent=csv(honour(1), honour(2, **ODD), honour(3), honour(4)))
    assert mortals.night(place.place, place.url, DAY.isoformat()) == 0
    shutil.copytree(place.place, tmp_path / "saved")

    def night(**how: Any) -> tuple[int, str]:
        day, follows = (DAY + timedelta(1)).isoformat(), {"QIONGXIN_CATALOG": str(milder)}
        return mortals.night(place.place, url, day, environment=follows, **how), url

    def restored() -> str:
        shutil.rmtree(place.place)
        shutil.copytree(tmp_path / "saved", place.place)
        return database(place.url)

    url = restored()
    assert night(trace=tmp_path / "trace")[0] == 0
    calm, trace = outcome(place.place, url), (tmp_path / "trace").read_text().splitlines()
    assert [a["new"] for a in calm["accounts"]] == [4] and litter(place.place, url) == []
    # Between the release and the renewal of what is told of its rows.
    for death in deaths(trace, reduced=False) if SOAK else [Death("bulk commit", trace.count("bulk commit"), "after")]:
        url = restored()
        assert night(death=death)[0] == -signal.SIGKILL, death
        assert night()[0] == 0, death
        again = outcome(place.place, url)
        assert {k: again[k] for k in again if again[k] != calm[k] and k != "releases"} == {}, death
        assert litter(place.place, url) == [], death


def test_a_corrected_row_clears_the_one_that_was_sent_back(
    home: Callable[..., Home], changed: Callable[..., Path]
) -> None:
    """Rows by person: 2 and 4 are corrected (4 was known by name alone), 5 never; 6 is wrong once more; of 7 comes
    another person under the same document, of 8 another document. 11 is corrected before it comes. Of 31 two rows
    contradicted each other until a third one settled it."""
    place = home("home")
    masked = {n: number(n)[:-1] + "*" for n in (4, 7)}
    first = place.night(
        0,
        sent=csv(
            *(honour(n) for n in (1, 3, 21, 22, 23, 24)), honour(2, **ODD), honour(4, 证件号码=masked[4]),
            honour(5, **ODD), honour(6, **ODD), honour(7, 证件号码=masked[7]), honour(8, **ODD),
            honour(31, 备注="甲"), honour(31, 备注="乙")),
        early=(csv(honour(11)), {"period": "2026-11-22", "sequence": 3}),
    )["sent"]  # fmt: skip
    assert (first["new"], first["rejected"], first["held"]) == (6, 6, 2)
    another = honour(9, 认定文号=honour(7)["认定文号"])
    rows = place.night(
        1,
        later=csv(honour(2), honour(4), honour(6, 荣誉级别="不知级"), another, honour(31, 备注="丙"),
                  honour(8, 认定文号="琼验字〔2025〕99999999号"), honour(3)),
        late=(csv(honour(11, **ODD), honour(12), honour(13)), {"period": "2026-11-22", "sequence": 2}),
    )  # fmt: skip
    first, later, late = rows["sent"], rows["later"], rows["late"]
    assert (first["new"], first["superseded"], first["rejected"], first["held"]) == (6, 5, 3, 0)
    assert (later["new"], later["unchanged"], later["rejected"]) == (5, 1, 1)
    assert (late["new"], late["superseded"], late["rejected"]) == (2, 1, 0)
    with place.told() as ledger:
        assert waiting.account_on(ledger, first, DAY)["rejected"] == 6
        assert [r["line"] for r in waiting.ended(ledger, first["delivery_id"])] == [8, 9, 11, 14, 15]
    told = place.receipt(first)
    assert f"5 行已由批次 {later['delivery_id']} 改正" in told["message_zh"]
    assert {f["code"]: f["count"] for f in told["findings"]} == {"V004": 2, "I006": 1}, "not asked for the others"
    assert "3 行被退回" in told["next_step_zh"]

    # Rows of it wait still; a catalogue that does not touch its item judges them no other way.
    place.catalog = changed(**{"items/tax_arrears.toml": ("retention_years =", "retention_years = 9 #")})
    place.told().close()
    with run.open_night(place.place, DAY + timedelta(2)) as night:
        assert night.applied and checks.unchecked(night) == []
        assert night.ledger.deliveries(only=first["delivery_id"])[0]["compared"] == night.catalog.revision


def test_what_was_held_or_returned_as_a_whole_comes_back_when_a_limit_or_a_word_changes(
    home: Callable[..., Home], changed: Callable[..., Path]
) -> None:
    place = home("home")
    odd = [honour(n, **ODD) for n in (1, 2, 3)]
    strange = csv(honour(11), honour(12)).replace("荣誉名称", "所获称谓")
    rows = place.night(0, held=csv(*odd, honour(4)), returned=strange, full=(csv(honour(21), honour(22)), FULL))
    assert (rows["held"]["state"], rows["held"]["message_code"]) == ("held", "G002")
    assert (rows["returned"]["state"], rows["returned"]["message_code"]) == ("returned", "F012")
    place.catalog = changed(
        **{"policy/national.toml": ("[[reject_rate_limit]]\nvalue = 0.5", "[[reject_rate_limit]]\nvalue = 0.8"),
           "items/honour.toml": ('aliases = ["称号", "RYMC"]', 'aliases = ["称号", "RYMC", "所获称谓"]')}
    )  # fmt: skip
    place.told().close()
    told = run.replay(place.place, DAY + timedelta(1), DAY, DAY, is_applied=True)
    assert {d["before"]: (d["state"], d["taken"]) for d in told["deliveries"]} == {
        "held": ("checked", 0), "returned": ("checked", 2), "released": ("released", 0)}  # fmt: skip
    rows = place.deliveries()
    assert {w: (rows[w]["state"], rows[w]["new"], rows[w]["rejected"]) for w in rows} == {
        "held": ("released", 1, 3), "returned": ("released", 2, 0), "full": ("released", 2, 0)}  # fmt: skip
    with run.open_night(place.place, DAY) as night:
        back = {"state": "returned", "compared": "", "yardstick": ""}
        night.ledger.update(rows["returned"]["delivery_id"], **back, message_code="F040")
        night.ledger.update(rows["held"]["delivery_id"], **back, message_code="F012")
        assert again.due(night) == [rows["held"]["delivery_id"]], "the other one is void"


OTHER = "publicity_department"
FULL = {"mode": "full", "period": "2026-11-22"}


@soak_only("another way in which rows come back")
def test_a_full_delivery_whose_rows_all_come_back_counts_by_its_absences(
    home: Callable[..., Home], milder: Path
) -> None:
    earlier = {"mode": "full", "period": "2026-11-21"}
    place = home("home")
    sent, many = csv(*(honour(n) for n in (1, 2, 3))), csv(*(honour(n) for n in range(101, 141)))
    place.night(
        0, earlier=(sent, earlier), now=(csv(honour(1), honour(2, **ODD)), FULL),
        many=(many, earlier, OTHER), few=(csv(honour(101), honour(102, **ODD)), FULL, OTHER),
    )  # fmt: skip
    shown = f"SELECT department, count(*) FROM records.{ITEM} GROUP BY ALL ORDER BY ALL"
    assert place.rows(shown) == [(SENDER, 3), (OTHER, 40)], "nobody knows whom the odd rows are about"
    place.catalog = milder
    rows = place.night(1)
    assert [(rows[f]["rejected"], rows[f]["is_complete"]) for f in ("now", "few")] == [(0, True), (0, False)]
    assert place.rows(shown) == [(SENDER, 2), (OTHER, 40)], "38 of 40 do not go unseen"


def place_of_verdicts(home: Home, row: dict[str, Any]) -> Path:
    return model.Home(home.place).verdicts(row["delivery_id"])


def test_files_past_their_dated_limit_go_and_the_account_stays(
    home: Callable[..., Home], milder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "SMALL", 0)  # large texts leave a second file beside the staged one
    place = home("home")
    before = place.night(0, sent=csv(honour(1), honour(2, **ODD), honour(3)), held=csv(honour(4, **ODD)))
    places = ("raw", "staged", "accepted", "rejected", "findings")

    def files() -> dict[str, int]:
        return {p: len([f for f in (place.place / p).rglob("*") if f.is_file()]) for p in places}

    there, place.catalog = files(), milder
    place.told().close()
    with run.open_night(place.place, DAY + timedelta(31), is_preview=True) as night:
        told = {s.place: s.files for s in run.sweep_files(night, is_preview=True)}
    none = dict.fromkeys(("raw", "staged", "rejected", "findings", "taken", "outbox"), 0)
    assert told == none | {"accepted": 1} and files() == there
    with run.open_night(place.place, DAY + timedelta(401)) as night:
        run.sweep_files(night)
        left = files()
        assert left == {"raw": 1, "staged": 2, "accepted": 1, "rejected": 1, "findings": 2}, "who is held waits"
        assert place_of_verdicts(place, before["sent"]).exists(), "the account can be proved from them"
        originals = {p.name for p in (place.place / "inbox").rglob("*") if p.is_file()}
        assert originals == {"held.csv", "held.csv.manifest.json"}
        assert {p.name.split(".")[0] for p in (place.place / "outbox").glob("*/*")} == {before["held"]["delivery_id"]}
        assert checks.unchecked(night) == [before["held"]["delivery_id"]], "what is gone cannot come back"
    after = place.deliveries()
    assert {k: after["sent"][k] for k in ("read", *ACCOUNT)} == {k: before["sent"][k] for k in ("read", *ACCOUNT)}
    assert all((place.place / p).stat().st_mode & 0o777 == 0o700 for p in places)
