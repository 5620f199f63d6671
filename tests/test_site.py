"""The site of the catalogue: whole, two languages, every link right, nothing from outside, nothing unescaped; and in a
real browser, at the width of a desk and of a phone."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import openpyxl
import pyarrow.parquet as pq
import pytest

from pipelines import judge, sampling
from pipelines.cli import main
from pipelines.commands.folder import publish_folder
from pipelines.errors import UsageFault
from pipelines.model import Home
from pipelines.stages.validate import Fault, Part, Rules, validate
from pipelines.stores.keys import open_keys
from schemas import patterns
from schemas.compiled import compile_item
from schemas.load import load
from schemas.model import Department, Item
from schemas.overlay import effective
from schemas.row_rules import Policy
from schemas.site import MARK, site, words
from schemas.site.items import law_of
from schemas.words import Words
from tests.chromium import DESKTOP, PHONE, PROGRAM, Browser
from tests.conftest import SHAPES, SOAK, soak_only

HERE = load()
DAY = date(2026, 11, 22)
ITEMS = sorted(HERE.items)
SAMPLES = sampling.examples(ITEMS, rows=5, seed=1, as_of=DAY)
# Identifiers of formats, which nothing fetches.
IDENTIFIERS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://datapackage.org/profiles/2.0/datapackage.json",
)


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return site(HERE, DAY, SAMPLES)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command writes."""
    folder = tmp_path_factory.mktemp("made") / "site"
    with pytest.raises(SystemExit) as stopped:
        main(["catalog", "site", "--to", str(folder), "--period", DAY.isoformat()])
    assert stopped.value.code == 0
    return folder


class Page(HTMLParser):
    """The tags of a page closed in order, its ids, its addresses and its text by language."""

    VOID = ("meta", "link", "input", "br", "img", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.language = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[k] for k in ("href", "src", "action") if k in found]
        if tag == "html":
            self.language = found["lang"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def pages(made: dict[str, bytes]) -> dict[str, Page]:
    return {path: Page(content.decode()) for path, content in made.items() if path.endswith(".html")}


def text_of(content: bytes) -> str:
    """What a reader reads; a place where a line may break is nothing to read."""
    return " ".join(re.sub(r"<[^>]+>", " ", content.decode().replace("<wbr>", "")).split())


# -- what is there --


def test_everything_of_the_catalogue_has_a_page_in_both_languages(made: dict[str, bytes]) -> None:
    expected = {"index.html", "findings.html", "withheld.html", "laws.html", "deliver.html"}
    expected |= {f"items/{code}.html" for code in HERE.items}
    expected |= {f"departments/{code}.html" for code in (*HERE.departments, "index")}
    expected |= {f"codes/{name}.html" for name in (*HERE.code_sets, "index")}
    assert {p for p in made if p.endswith(".html")} == expected | {f"en/{p}" for p in expected}
    assert all(page.language == ("en" if path.startswith("en/") else "zh-CN") for path, page in pages(made).items())


@soak_only("the site made twice")
def test_the_same_catalogue_and_day_give_the_same_bytes(made: dict[str, bytes], place: Path) -> None:
    again = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}
    assert sorted(again) == sorted(made)
    assert [path for path, content in made.items() if again[path] != content] == []


def test_every_page_tells_revision_day_and_where_it_stands(made: dict[str, bytes]) -> None:
    for path, page in pages(made).items():
        assert HERE.revision in made[path].decode() and DAY.isoformat() in made[path].decode(), path
        assert ("nav", "crumbs") in [(tag, found.get("class")) for tag, found in page.tags], path
        assert [tag for tag, _ in page.tags].count("h1") == 1, path
        assert len(page.ids) == len(set(page.ids)), path


def test_every_address_leads_to_a_place_of_the_site(made: dict[str, bytes]) -> None:
    found = pages(made)
    for path, page in found.items():
        here = Path("/", path).parent
        for address in page.addresses:
            parts = urlsplit(address)
            if address == "data:,":
                continue
            assert not parts.scheme and not parts.netloc and not parts.path.startswith("/"), f"{path}: {address}"
            target = (here / unquote(parts.path)).as_posix() if parts.path else f"/{path}"
            while re.search(r"/[^/]+/\.\./", target):
                target = re.sub(r"/[^/]+/\.\./", "/", target, count=1)
            assert target[1:] in made, f"{path}: {address}"
            if parts.fragment and "=" not in parts.fragment:
                assert parts.fragment in found[target[1:]].ids, f"{path}: {address}"


def test_no_file_names_an_address_outside(made: dict[str, bytes]) -> None:
    for path, content in made.items():
        if path.endswith(".xlsx"):
            with zipfile.ZipFile(io.BytesIO(content)) as book:
                parts = [book.read(name).decode() for name in book.namelist() if name.endswith(".rels")]
            assert not [p for p in parts if "TargetMode" in p], path
            continue
        text = content.decode()
        for known in IDENTIFIERS if path.startswith("files/") else ():
            text = text.replace(known, "")
        assert re.findall(r"\b(?:https?|wss?|ftp):|url\(|@import|(?:src|href)=\"//", text) == [], path


def test_pages_may_fetch_nothing_and_run_no_script_of_their_own(made: dict[str, bytes]) -> None:
    for path, page in pages(made).items():
        policy = [f["content"] for t, f in page.tags if f.get("http-equiv") == "Content-Security-Policy"]
        assert len(policy) == 1 and policy[0].startswith("default-src 'none';"), path
        assert "unsafe" not in policy[0]
        assert all("src" in f for t, f in page.tags if t == "script"), path
        assert not [f for _, f in page.tags if any(k.startswith("on") or k == "style" for k in f)], path


HOSTILE = "<b id=x>\"'{{ 7*7 }}</script>"


def test_everything_of_the_catalogue_and_of_the_samples_is_escaped() -> None:
    item = HERE.items["honour"]
    label = {"label_zh": HOSTILE, "label_en": HOSTILE, "aliases": (HOSTILE,)}
    fields = tuple(f.model_copy(update=label) for f in item.fields)
    update = {"name_zh": HOSTILE, "name_en": HOSTILE, "legal_basis": (HOSTILE,), "fields": fields}
    department = {"name_zh": HOSTILE, "name_en": HOSTILE, "contact": HOSTILE, "aliases": (HOSTILE,)}
    hostile = HERE.model_copy(
        update={
            "items": HERE.items | {"honour": item.model_copy(update=update)},
            "departments": {c: d.model_copy(update=department) for c, d in HERE.departments.items()},
        }
    )
    made = site(hostile, DAY, {"honour": [{f.name: HOSTILE for f in item.fields}]})
    assert b"&lt;b id=x&gt;&#34;&#39;{{ 7*7 }}&lt;/script&gt;" in made["items/honour.html"]
    assert b"</script>" not in made["assets/search.js"]
    for path, content in made.items():
        if path.endswith((".html", ".js")):
            assert b"<b id=x>" not in content, path
        if path.endswith(".html"):
            Page(content.decode())


# -- words --


def test_there_is_a_word_for_every_value_a_declaration_may_take() -> None:
    def values(model: type[Any], name: str) -> set[str]:
        return set(get_args(model.model_fields[name].annotation))

    assert set(words.SHARING) == values(Item, "sharing")
    assert set(words.PUBLICITY) == values(Item, "publicity")
    assert set(words.CYCLES) == set(words.ENGLISH["update_cycle"]) == values(Item, "update_cycle")
    assert set(words.ENGLISH["nature"]) == values(Item, "nature")
    assert set(words.KINDS) == values(Department, "kind")


@pytest.mark.parametrize(
    ("pattern", "zh"),
    [
        ("46[0-9]{13,14}", "“46”，再接 13–14 位数字"),
        ("[1-9][0-9]{3}[0-9A-Z]?", "1 位数字，再接 3 位数字，再接 0–1 位数字或大写字母"),
        ("[0-9]{6}", "6 位数字"),
        ("甲|乙", "甲、乙 之一"),
        ("[A-Z]{2}-[0-9]{4}", "2 位大写字母，再接 “-”，再接 4 位数字"),
        ("(?:罚款|警告)(?:[;；](?:罚款|警告))*", None),
        (".*公司", None),
    ],
)
def test_a_simple_pattern_is_told_in_words(pattern: str, zh: str | None) -> None:
    told = patterns.told(pattern)
    assert (told[0] if told else None) == zh


@pytest.mark.parametrize(
    ("basis", "law"),
    [
        ("《中华人民共和国行政处罚法》（2021年修订）第九条、第四十八条", "《中华人民共和国行政处罚法》"),
        ("琼府办〔2017〕101号 二（二）、六（一）", "琼府办〔2017〕101号"),
        ("全国公共信用信息基础目录（2024年版）行政管理信息", "全国公共信用信息基础目录（2024年版）"),
        ("某项规定", "某项规定"),
    ],
)
def test_items_are_looked_up_by_law_and_not_by_article(basis: str, law: str) -> None:
    assert law_of(basis) == law


def test_an_item_page_says_what_a_department_asks(made: dict[str, bytes]) -> None:
    zh, en = text_of(made["items/traffic_penalty.html"]), text_of(made["en/items/traffic_penalty.html"])
    for said in (
        "海南省公安厅", "每日报送。", "自然人", "《中华人民共和国道路交通安全法》第一百零八条、第一百一十条",
        "授权查询：不公布，经本人授权才能查询。", "5 年", "inbox/public_security/traffic_penalty/", "必填",
        "小数，最多 2 位小数，单位：元", "写法：“46”，再接 13–14 位数字", "“处罚决定日期”不早于“违法日期”", "JSZH",
    ):  # fmt: skip
        assert said in zh, said
    for said in ("Road traffic penalty", "Send it every day.", "required", "number, up to 2 decimals, in yuan",
                 '&#34;Date of the decision&#34; is not earlier than', "5 years"):  # fmt: skip
        assert said in en, said


def test_a_page_shows_the_edition_in_force_and_headers_of_it_alone(made: dict[str, bytes]) -> None:
    page = made["items/administrative_penalty.html"].decode()
    now = effective(HERE, "administrative_penalty", "", DAY)
    assert re.findall(r'id="field-(\w+)"', page) == [f.name for f in now.live_fields]
    assert "field-case_name" not in page  # of 2016 alone


def test_what_a_county_asks_beyond_the_item_is_told_and_in_its_template(made: dict[str, bytes]) -> None:
    page = text_of(made["items/administrative_penalty.html"])
    for said in ("另有一项“所属片区”（必填，文本，最多 50 字）", "“自然人证件类型”必填", "保存 3 年", "政务共享"):
        assert said in page, said
    book = openpyxl.load_workbook(io.BytesIO(made["files/administrative_penalty.yangpu.xlsx"]))
    assert "所属片区" in [c.value for c in book["填报"][1]]
    assert 'href="../files/administrative_penalty.yangpu.xlsx"' in made["departments/yangpu.html"].decode()
    assert "yangpu.xlsx" not in made["departments/haikou.html"].decode()


def test_a_department_page_names_its_folders_and_its_successor(made: dict[str, bytes]) -> None:
    assert "inbox/haikou/administrative_penalty/" in text_of(made["departments/haikou.html"])
    gone = made["departments/industry_commerce.html"].decode()
    assert "撤销" in gone and 'href="../departments/market_supervision.html"' in gone
    assert 'href="../departments/industry_commerce.html"' in made["departments/market_supervision.html"].decode()


@soak_only("the site made for other days")
def test_an_item_out_of_its_dates_is_shown_and_not_asked_for() -> None:
    early = site(HERE, date(2016, 6, 1), SAMPLES)
    assert "本事项不在有效期内" in text_of(early["items/traffic_penalty.html"])  # in force from 2017
    assert "本事项不在有效期内" not in text_of(early["items/administrative_penalty.html"])
    assert "目前不报送" in text_of(early["departments/public_security.html"])
    assert "files/traffic_penalty.sample.csv" not in early
    assert "field-case_name" in early["items/administrative_penalty.html"].decode()  # the edition of 2016
    pages(early)


def test_a_chinese_page_leaves_out_notes_in_english_alone(made: dict[str, bytes]) -> None:
    assert "own rule" not in text_of(made["findings.html"])
    assert "own rule" in text_of(made["en/findings.html"])


def test_every_finding_code_has_its_cure(made: dict[str, bytes]) -> None:
    page = made["findings.html"].decode()
    for code, finding in HERE.findings.items():
        assert f'id="{code}"' in page
        assert re.split(r"[{\"<&]", finding.fix_zh)[0] in page


# -- files to take away --


@pytest.mark.parametrize("item", ITEMS if SOAK else SHAPES)
def test_the_template_opens_with_the_fields_of_the_page(item: str, made: dict[str, bytes]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(made[f"files/{item}.xlsx"]))
    labels = [f.label_zh for f in effective(HERE, item, "", DAY).live_fields]
    assert [cell.value for cell in book["填报"][1]] == labels
    assert next(csv.reader(io.StringIO(made[f"files/{item}.sample.csv"].decode("utf-8-sig")))) == labels


@pytest.fixture(scope="module")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("samples") / "home")
    home.root.mkdir()
    home.make_restricted()
    home.work.mkdir(exist_ok=True)
    return home


@pytest.mark.parametrize("item", ITEMS if SOAK else SHAPES)
def test_a_sample_is_what_it_teaches(item: str, made: dict[str, bytes], sample_home: Home, tmp_path: Path) -> None:
    """No finding but notes, under the rules of the page; and none but invented persons."""
    content, home = made[f"files/{item}.sample.csv"], sample_home
    (tmp_path / "sample.csv").write_bytes(content)
    declared, department = HERE.items[item], HERE.items[item].providers[0]
    judged = effective(HERE, item, department, DAY)
    decoded = judge.read(tmp_path / "sample.csv", home.staged(item), HERE, judged, department, home.work)
    assert (decoded.read, decoded.unknown_headers, decoded.faults) == (5, (), ())
    faults = [Fault(f.code, f.line, f.sheet) for f in decoded.faults]
    for year, accepted in ((1850, 5), (1900, 0))[: 2 if item == "honour" else 1]:  # a real home returns the sample
        policy = Policy(minimum_birth_year=year, adult_age=18)
        compiled = compile_item(judged, HERE, policy)
        rules = Rules(judged, compiled, policy, Words(HERE), DAY, open_keys(home.root), DAY)
        (result,) = validate(home, [Part(item, tuple(faults), "sample.csv")], rules)
        told = pq.read_table(home.findings(item)).to_pylist()
        stopped = [(f["field"], f["code"], f["value"]) for f in told if f["severity"] in ("error", "hold")]
        assert result.accepted == accepted, stopped
    for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"))):
        number = row[declared.by_role("credit_number").label_zh]
        assert 1850 <= int(number[6:10]) <= 1899
    numbers = re.findall(rb"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]", content)
    assert numbers == []


# -- the folder --


def test_a_folder_that_is_no_site_of_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "letter.txt").write_text("keep me")
    with pytest.raises(UsageFault, match="papers: it holds something else"):
        publish_folder(folder, {MARK: b"{}"}, MARK)
    file = tmp_path / "file"
    file.write_text("keep me")
    with pytest.raises(UsageFault):
        publish_folder(file, {MARK: b"{}"}, MARK)
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == [
        "file", "papers", "papers/letter.txt",
    ]  # fmt: skip


def test_a_site_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()  # an empty folder may become one
    publish_folder(folder, {MARK: b"1", "items/old.html": b"old"}, MARK)
    publish_folder(folder, {MARK: b"2", "items/new.html": b"new"}, MARK)
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["new.html", MARK]
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


def test_what_a_killed_build_left_is_swept_up_and_one_under_way_is_not(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, alive = tmp_path / f".site.{child.pid}.part", tmp_path / f".site.{os.getppid()}.part"
    for part in (dead, alive):
        (part / "items").mkdir(parents=True)
    publish_folder(tmp_path / "site", {MARK: b"1"}, MARK)
    assert (dead.exists(), alive.exists()) == (False, True)


def test_a_build_that_fails_leaves_the_old_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    publish_folder(folder, {MARK: b"1"}, MARK)

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        publish_folder(folder, {MARK: b"2"}, MARK)
    assert (folder / MARK).read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


# -- in a browser --

in_browser = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
# A phone makes its window as wide as a page wants it: the width asked for is what counts.
TOO_WIDE = """[...document.querySelectorAll('main *')].filter(e => !e.closest('thead')
    && e.getBoundingClientRect().right > WIDTH + 1).map(e => e.outerHTML.slice(0, 200))"""
VISIBLE = "[...document.querySelectorAll('#items > li:not([hidden])')].map(e => e.dataset.code)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def shown(browser: Browser, place: Path, path: str, width: int = DESKTOP) -> None:
    browser.size(width)
    browser.complaints.clear()
    browser.fetched.clear()
    browser.go(f"{place.as_uri()}/{path}")


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"(s => {{ s.value = {json.dumps(value)}; s.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
        f"(document.getElementById('by-{name}'))"
    )


@in_browser
@pytest.mark.parametrize("width", [DESKTOP, PHONE] if SOAK else [PHONE])
def test_every_page_fits_its_screen_and_complains_of_nothing(width: int, browser: Browser, place: Path) -> None:
    """Items of every shape (in a soak every item), since they differ most; every page at the top; some of the others.
    """
    shapes = [place / "items" / f"{item}.html" for item in SHAPES]
    found = [*place.glob("*.html"), *place.glob("en/*.html"), *(place.glob("items/*.html") if SOAK else shapes)]
    for kind in ("departments/*.html", "codes/*.html", "en/items/*.html"):
        found += [*place.glob(kind.replace("*", "index")), *sorted(place.glob(kind))[::7]]
    for path in sorted(found):
        shown(browser, place, path.relative_to(place).as_posix(), width)
        assert browser.run("document.documentElement.scrollWidth") <= width, path
        assert browser.run(TOO_WIDE.replace("WIDTH", str(width))) == [], path
        assert browser.complaints == [], path
        assert all(address.startswith((place.as_uri(), "data:", "about:")) for address in browser.fetched)


@in_browser
@pytest.mark.parametrize(
    ("language", "asked", "first", "told"),
    [
        ("", "驾驶证号", "traffic_penalty", "表头 证件号码: 驾驶证号"),
        ("", "ＪＳＺＨ", "traffic_penalty", "表头 证件号码: JSZH"),
        ("", "honour", "honour", ""),
        ("", "demerit", "traffic_penalty", "信息项 记分值: Demerit points"),
        ("", "traffic_penalty", "traffic_penalty", ""),
        ("", "道路交通安全法", "traffic_penalty", "依据: 《中华人民共和国道路交通安全法》第一百零八条、第一百一十条"),
        ("", "荣誉 称号", "honour", "表头 荣誉名称: 称号"),
        ("en/", "penalty 罚款金额", "traffic_penalty", "header Fine: 罚款金额"),
        ("en/", "tax arrears", "tax_arrears", ""),
    ],
)
def test_search_finds_an_item_and_says_why(
    language: str, asked: str, first: str, told: str, browser: Browser, place: Path
) -> None:
    shown(browser, place, f"{language}index.html")
    browser.type("#q", asked)
    found = browser.run(VISIBLE)
    assert first in found[:3] and len(found) < len(ITEMS)
    assert told in browser.run(f"document.querySelector('[data-code={first}] .found').textContent")
    assert str(len(found)) in browser.run("document.querySelector('#count').textContent")
    assert browser.complaints == []


@in_browser
def test_a_question_that_nothing_answers_gives_the_nearest(browser: Browser, place: Path) -> None:
    shown(browser, place, "index.html")
    browser.type("#q", "交通违法罚款")
    assert browser.run(VISIBLE)[0] == "traffic_penalty"
    assert "最接近" in browser.run("document.querySelector('#count').textContent")
    browser.type("#q", "qqqqqq")
    assert browser.run(VISIBLE) == []
    assert browser.run("document.querySelector('#count').textContent") == "没有相符的事项"


@in_browser
@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ("海口", "departments/haikou.html"),
        ("省工商局", "departments/industry_commerce.html"),
        ("V002", "findings.html#V002"),
        ("指纹", "withheld.html#fingerprint"),
    ],
)
def test_search_finds_departments_finding_codes_and_what_is_kept_out(
    asked: str, address: str, browser: Browser, place: Path
) -> None:
    shown(browser, place, "index.html")
    browser.type("#q", asked)
    assert address in browser.run("[...document.querySelectorAll('#others a')].map(a => a.getAttribute('href'))")


@in_browser
def test_filters_narrow_the_list_and_stay_in_the_address(browser: Browser, place: Path) -> None:
    shown(browser, place, "index.html")
    expected = {
        "department": lambda i: "haikou" in i.providers,
        "domain": lambda i: i.domain == "tax",
        "group": lambda i: "04" in i.groups,
        "category": lambda i: i.category == "03",
        "nature": lambda i: i.nature == "good",
        "law": lambda i: any(b.startswith("琼府办〔2017〕101号") for b in i.legal_basis),
    }
    values = {
        "department": "haikou", "domain": "tax", "group": "04", "category": "03", "nature": "good",
        "law": "琼府办〔2017〕101号",
    }  # fmt: skip
    for name, fits in expected.items():
        choose(browser, name, values[name])
        assert sorted(browser.run(VISIBLE)) == [c for c in ITEMS if fits(HERE.items[c])] != [], name
        choose(browser, name, "")
    assert len(browser.run(VISIBLE)) == len(ITEMS)
    choose(browser, "department", "haikou")
    choose(browser, "nature", "adverse")
    kept, found = browser.run("location.hash"), browser.run(VISIBLE)
    shown(browser, place, f"index.html{kept}")
    assert browser.run(VISIBLE) == found
    adverse = [i for i in HERE.items.values() if "haikou" in i.providers and i.nature == "adverse"]
    assert sorted(found) == sorted(i.code for i in adverse)
    browser.run("document.querySelector('#reset').click()")
    assert browser.run("new Promise(r => setTimeout(() => r(" + VISIBLE + ".length), 50))") == len(ITEMS)


@in_browser
def test_the_search_box_of_any_page_leads_to_the_start_page(browser: Browser, place: Path) -> None:
    shown(browser, place, "index.html?q=%E8%8D%A3%E8%AA%89")
    assert browser.run("document.querySelector('#q').value") == "荣誉"
    assert browser.run(VISIBLE)[0] == "honour"


@in_browser
def test_the_other_language_shows_the_same_page_and_the_same_search(browser: Browser, place: Path) -> None:
    shown(browser, place, "items/honour.html")
    address = browser.run("document.querySelector('#language').href")
    assert address == f"{place.as_uri()}/en/items/honour.html"
    browser.go(address)
    assert browser.run("document.querySelector('h1').textContent") == "Honour"
    assert browser.run("document.querySelector('#language').href") == f"{place.as_uri()}/items/honour.html"
    shown(browser, place, "index.html")
    browser.type("#q", "荣誉")
    browser.go(browser.run("document.querySelector('#language').href"))
    assert browser.run("document.querySelector('#q').value") == "荣誉"
    assert browser.run(VISIBLE)[0] == "honour"


@in_browser
def test_a_keyboard_and_a_screen_reader_get_everywhere(browser: Browser, place: Path) -> None:
    shown(browser, place, "index.html")
    browser.run("document.body.focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.run("document.activeElement.className") == "skip"
    for path in ("index.html", "items/honour.html", "departments/haikou.html", "en/items/honour.html"):
        shown(browser, place, path)
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if not n["ignored"]]
        roles = [role for role, _ in named]
        assert {"main", "banner", "navigation", "contentinfo"} <= set(roles), path
        for role, name in named:
            if role in ("link", "button", "combobox", "searchbox", "textbox"):
                assert name, (path, role)


@in_browser
def test_without_scripts_every_item_is_there(browser: Browser, place: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        shown(browser, place, "index.html")
        document = browser.call("DOM.getDocument")["root"]["nodeId"]
        found = browser.call("DOM.querySelectorAll", nodeId=document, selector="#items > li:not([hidden]) h2 a")
        assert len(found["nodeIds"]) == len(ITEMS)
        form = browser.call("DOM.querySelector", nodeId=document, selector="#search[hidden]")
        assert form["nodeId"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@in_browser
def test_paper_shows_what_is_folded_and_nothing_to_click(browser: Browser, place: Path) -> None:
    shown(browser, place, "items/honour.html")
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        browser.run("dispatchEvent(new Event('beforeprint'))")
        assert browser.run("[...document.querySelectorAll('details')].every(d => d.open)")
        style = "getComputedStyle(document.querySelector('{}')).display"
        assert browser.run(style.format(".quick")) == "none"
        browser.size(PHONE)  # paper is narrow, and rows stay rows
        assert browser.run(style.format(".fields td")) == "table-cell"
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
