"""Texts for each type that stand close to what is read: usual and rare writings, and those with a character changed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from schemas.model import FieldSpec

FIELDS = (
    FieldSpec(name="f", label_zh="f", label_en="f", type="date", is_open_ended=True),
    FieldSpec(name="f", label_zh="f", label_en="f", type="timestamp"),
    FieldSpec(name="f", label_zh="f", label_en="f", type="integer"),
    FieldSpec(name="f", label_zh="f", label_en="f", type="boolean"),
    *(
        FieldSpec(name="f", label_zh="f", label_en="f", type="decimal", scale=scale, unit=unit)
        for scale, unit in ((2, "CNY"), (6, "10k CNY"), (2, "km"))
    ),
)
DATES = (
    "2098-01-05", "2098/1/5", "20980105", "2098年1月5日", "2098.1.5", "2098-02-29", "2096-02-29", "1900-02-29",
    "2098-13-01", "２０９８－０１－０５", "2098 年 1 月 5 日", "二〇九八年十二月三十一日", "二○九八年二月廿九日",
    "5-JAN-2098", "Jan 5, 2098", "05 January 2098", "Sun Jan 05 00:00:00 CST 2098", "72325", "72325.5", "32874",
    "73049", "25/1/2098", "1/25/2098", "5/5/2098", "长期", "9999-12-31", "1546646400000", "1999999999999",
    "0000-00-00", "2098-01-05（星期日）", "暂无", "2098,1,5",
)  # fmt: skip
TAILS = (
    "", " 00:00:00", " 8:30", " 08:30:00.250", " 08:30:00.123456789", "T16:00:00Z", "T00:30:00+08:00", " 24:00:00",
    " 23:59:60", " 25:00:00", " 20:00:00+0000", "T16:00:0Z", " 上午 8:30", " 8时30分", "083000", "0830", "T08:30",
    " 8:30 PM", " 08:30:00 BC", "  08:30:00", "\u300008:30:00", " 08:30:00.", " +08:00", " 08:30:00-04", " 0:0",
    "123", "1",
)  # fmt: skip
NUMBERS = (
    "0", "5", "-5", "+5", "1,000.00", "￥500", "¥-500", "0.5", "12.345", "12.3450000", "1,234,567", "1，000",
    "５００", "500元", "人民币500元整", "27709 .61 元", "5万元", "0.5万", "伍仟元整", "5百", "5百元",
    "壹万贰仟叁佰元", "三千零五十元", "十二元", "壹佰零伍圆整", "叁万零伍拾元", "五百五", "一万五", "5-10万",
    "1.5E+3", "0.01元", "0.004元", "0.0000001", "99999999999999", "100000000000000", "999999999999999999",
    "9999999999999999999", "9999999999亿", "1234567890.123456万元", "000005", "1.", ".5", "-0", "1.0", "0x10",
    "1_000", "٣", "NaN", "Infinity", "1e5", "1.5f", "1L", "1d", "3.000",
)  # fmt: skip
WORDS = (
    "是", "否", "Y", "n", "TRUE", "False", "tRuE", "1", "0", "√", "×", "对", "没有", "1.0", "Ｙｅｓ", "ＮＯ", "t",
    "✓", "yeſ", "无", "",
)  # fmt: skip
ODD = " \t\n\v\u0085\u00a0\u3000\u200b\ufeff0159-/.:,年月日元万百+TZſKıİßﬁẞ\u2028\U00020000𝟏\\'\"${}[]$"


def texts(rows: int, seed: int) -> Iterator[str]:
    """`rows` of them. The same, for the same arguments."""
    given = random.Random(seed)
    while True:
        for base in (*NUMBERS, *WORDS, *DATES, *(day + tail for day in DATES for tail in TAILS)):
            if rows == 0:
                return
            rows -= 1
            yield _changed(base, given) if given.random() < 0.7 else base


def _changed(text: str, given: random.Random) -> str:
    for _ in range(given.randint(1, 2)):
        at = given.randint(0, len(text))
        text = text[:at] + given.choice(("", given.choice(ODD), text[:3])) + text[at + given.randint(0, 1) :]
    return text
