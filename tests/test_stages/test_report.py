"""The night's page: whole, two languages, nothing to fetch, nothing unescaped, nothing of a row."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest

from pipelines.model import ACCOUNT
from pipelines.stages import report

OUTCOME = {
    "name": "removed_rows", "place": "profile", "outcome": "failed", "observed": "201", "limit": "<= 200 (20% / 1,000)",
    "zh": "没有大批消失", "en": "do not disappear", "error": "",
}  # fmt: skip
ROW = {
    "delivery_id": "d1", "department": "haikou", "item": "honour", "file": "王某某名单.csv", "period": date(2098, 6, 1),
    "sequence": 1, "mode": "incremental", "state": "checked", "message_code": "G003",
    "message_zh": "未通过", "message_en": "failed", "read": 1234, "late": 0, **dict.fromkeys(ACCOUNT, 0), "held": 1234,
}  # fmt: skip
EVIDENCE = report.Evidence(
    day="2098-06-01",
    release="r1",
    revision="c1",
    is_sample=True,
    deliveries=[ROW],
    results=[{"item": "honour", "verdict": "failed", "detail": {"outcomes": [OUTCOME], "figures": {"rows": 900}}}],
    items={"honour": ("荣誉表彰信息", "Honour")},
    departments={"haikou": ("海口市人民政府", "Haikou")},
    findings={"F011": ("文件的行数与清单不同", "Row count differs")},
    seconds={"gate": 1.26},
)


class Tags(HTMLParser):
    """Open tags in order, their attributes, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_account_expectation_observed_figure_limit_and_outcome() -> None:
    page = report.page(EVIDENCE)
    text = re.sub(r"<[^>]+>", " ", page)
    for word in ("1,234", "removed_rows", "201", "&lt;= 200 (20% / 1,000)", "未通过 failed", "没有大批消失",
                 "do not disappear", "荣誉表彰信息", "海口市人民政府", "G003", "样例数据", "1.3"):  # fmt: skip
        assert word in text, word
    assert "<details open>" in page  # what failed is seen without a click


def test_the_page_is_well_formed_and_fetches_nothing() -> None:
    tags = Tags(report.page(EVIDENCE))
    assert tags.open == []
    assert not {t for t, _ in tags.seen} & {"script", "link", "img", "iframe", "object"}
    assert not [a for _, a in tags.seen if {"src", "href"} & set(a)]
    assert "url(" not in report.STYLE and "@import" not in report.STYLE


@pytest.mark.parametrize("where", ["message_zh", "department", "item", "state", "delivery_id", "mode"])
def test_everything_of_a_delivery_is_escaped(where: str) -> None:
    page = report.page(replace(EVIDENCE, deliveries=[{**ROW, where: "<script>alert('1')</script>"}]))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("where", sorted(OUTCOME))
def test_everything_of_an_outcome_is_escaped(where: str) -> None:
    detail = {"outcomes": [{**OUTCOME, where: "</td><b onload='1'>"}], "figures": {}}
    page = report.page(replace(EVIDENCE, results=[{"item": "honour", "verdict": "failed", "detail": detail}]))
    assert "<b " not in page
    assert Tags(page).open == []


def test_neither_file_names_nor_messages_that_may_quote_the_file_are_shown() -> None:
    quoting = {**ROW, "state": "returned", "message_code": "F011", "message_zh": "王某某", "message_en": "row 1"}
    page = report.page(replace(EVIDENCE, deliveries=[quoting]))
    assert "王某某" not in page and "row 1" not in page
    assert "文件的行数与清单不同" in page and "Row count differs" in page


def test_a_night_without_anything_still_has_a_page() -> None:
    page = report.page(replace(EVIDENCE, deliveries=[], results=[], release="", seconds={}))
    assert "No item was waiting" in page
    assert Tags(page).open == []
