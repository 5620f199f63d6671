"""Headers as people write them, made comparable (domain Q25, Q26), and rows that say there is nothing to report.

An echo column holds what a department wants to see again beside the findings about a row: the row's number in its own
system. It is staged as it is, under a name of its own, and is no field of anything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

_NOISE = re.compile(r"[\s\x00-\x1f\u200b\u200c\u200d\u2060\ufeff*()\[\]【】〔〕{}\"“”]+")
_REMARK = re.compile(r"[(（](?:必填|选填|可选|非必填)[)）]")
# The staged column of an echo column: this, then its header, which no field's name can be.
ECHO = "echo "
_UNNAMEABLE = re.compile(r'[\s\x00-\x1f"]+')


class Headers(dict[str, str]):
    """Normalised header -> field. `is_echo` tells of a header that is no field's, as written, whether its column is an
    echo column."""

    def __init__(self, fields: Mapping[str, str], is_echo: Callable[[str], bool]) -> None:
        super().__init__(fields)
        self.is_echo = is_echo


def normalise_header(text: str) -> str:
    """NFKC, upper case, without blanks, stars, brackets and quotes; a remark such as （必填） is dropped."""
    return _NOISE.sub("", unicodedata.normalize("NFKC", _REMARK.sub("", text))).upper()


def match(cells: Sequence[str], fields: Mapping[str, str]) -> list[str | None]:
    """The staged column of each header cell: a field, an echo column, or None where it is neither."""
    names = [fields.get(normalise_header(cell)) if cell else None for cell in cells]
    if isinstance(fields, Headers):
        taken: set[str] = set()
        for n, cell in enumerate(cells):
            if cell and names[n] is None and fields.is_echo(cell):
                names[n] = _echo(cell, taken)
    return names


def _echo(header: str, taken: set[str]) -> str:
    """A column for an echo header. Engines do not tell names apart by case alone, so a second one gets a number."""
    name = free = ECHO + _UNNAMEABLE.sub(" ", header).strip()
    count = 1
    while free.casefold() in taken:
        count += 1
        free = f"{name} {count}"
    taken.add(free.casefold())
    return free


_NOTHING = re.compile(
    r"(?:[0-9]{4}年度?)?(?:[0-9]{1,2}月份?)?(?:本|当|该|上|这)?(?:期|日|周|旬|月|月份|季|季度|半年|年|年度|次|批|批次|单位|部门)*"
    r"(?:暂|均|尚|确)?(?:无|没有|未发生|未产生|不涉及)(?:任何|新增|相关|有关|应|可|需|的)*"
    r"(?:报送|上报|归集|填报|发生|产生)?的?(?:数据|信息|记录|内容|事项|情况|业务|行政处罚|行政许可|处罚|许可|名单)+"
    r"(?:报送|上报|填报|产生|发生)?|(?:本|当)(?:期|日|周|月|季度|年|年度|批次)无|零报告|零报送|无新增|NO ?DATA|NIL"
)
_DASHES = frozenset({"无", "零", "/", "-", "—", "——", "0", "NULL", "N/A", "没有", "暂无"})


def says_nothing(cells: Sequence[str], is_only_row: bool = True) -> bool:
    """Whether a row says that there is nothing to report (domain Q13): 本期无数据 in some cell and no other word. Where
    it is the only row under the header, 无 will do."""
    words = {unicodedata.normalize("NFKC", c).strip(" \t\r\n。.!()[]\"“”").upper() for c in cells} - {""}
    told = {w for w in words if _NOTHING.fullmatch(w)}
    rest = words - told
    return bool(words) and (rest <= _DASHES if is_only_row else bool(told) and not rest)
