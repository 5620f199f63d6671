"""Headers as people write them, made comparable (domain Q25, Q26)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

_NOISE = re.compile(r"[\s\u200b\u200c\u200d\u2060\ufeff*()\[\]【】〔〕{}]+")
_REMARK = re.compile(r"[(（](?:必填|选填|可选|非必填)[)）]")


def normalise_header(text: str) -> str:
    """NFKC, upper case, without blanks, stars and brackets; a remark such as （必填） is dropped."""
    return _NOISE.sub("", unicodedata.normalize("NFKC", _REMARK.sub("", text))).upper()


def match(cells: Sequence[str], fields: Mapping[str, str]) -> list[str | None]:
    """The field of each header cell, or None where the catalogue knows none."""
    return [fields.get(normalise_header(cell)) if cell else None for cell in cells]
