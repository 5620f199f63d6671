"""Characters that no cell should hold, and what becomes of them: removed, replaced by the right one, or kept and told.

The value as sent is kept beside the repaired one, as a finding of the row (`StagedWriter`). What a person has to look
at, lost characters and text read in a wrong encoding, is no matter of bytes but a rule: see `schemas.characters`.
"""

from __future__ import annotations

import re

REMOVED, REPLACED, KEPT = "F031", "F032", "F033"

# Control characters say nothing; tab and line ends are text, vertical tab and form feed divide it (Oracle, Word).
CONTROLS = frozenset(range(32)) - {9, 10, 13}
_REMOVED = dict.fromkeys(CONTROLS)
_CONTROLS = {n: " " if n in (11, 12) else None for n in CONTROLS}
# In UTF-8, U+E000–U+EFFF begin with the first, planes 15 and 16 with the others, and no other character in use does.
# U+F000–U+F8FF is left out: symbol fonts put their bullets there, and no editor of rare characters does.
PRIVATE = (0xEE, 0xF3, 0xF4)
BLANK = "".join(map(chr, sorted(CONTROLS))) + " \t\r\n"

# GBK and GB 18030-2000 had characters before Unicode had them, and gave each a private place; later editions moved
# them to their own, the last 24 in 2022 (GB 18030-2005 appendix E; GB 18030-2022, which asks for no private place any
# more). The 80 of the codes FE50–FEA0 lie at U+E815–U+E864 in the order of their codes.
_FE50 = (
    "⺁𠂇𠂉𠃌⺄㑳㑇⺈⺋龴㖞㘚㘎⺌⺗㥮㤘龵㧏㧟㩳㧐龶龷㭎㱮㳠⺧𡗗龸⺪䁖䅟⺮䌷⺳⺶⺷𢦏䎱䎬⺻䏝䓖䙡䙌龹"
    "䜣䜩䝼䞍⻊䥇䥺䥽䦂䦃䦅䦆䦟䦛䦷䦶龺𤇾䲣䲟䲠䲡䱷䲢䴓䴔䴕䴖䴗䴘䴙䶮龻"
)
STANDARD = {
    **dict(zip(range(0xE815, 0xE865), _FE50, strict=True)),
    **dict(zip(range(0xE78D, 0xE797), "︐︒︑︓︔︕︖︗︘︙", strict=True)),  # A6D9–A6DF, A6EC, A6ED, A6F3
    **dict(zip(range(0xE7C7, 0xE7C9), "ḿǹ", strict=True)),  # A8BC, A8BF
    **dict(zip(range(0xE7E7, 0xE7F4), "〾⿰⿱⿲⿳⿴⿵⿶⿷⿸⿹⿺⿻", strict=True)),  # A989–A995
}
# Where a GB18030 file holds one of these 24, its bytes are right and the codec is of 2005: nothing to tell the sender.
DECODED = {
    code: STANDARD[code]
    for code in (
        *range(0xE78D, 0xE797), 0xE816, 0xE817, 0xE818, 0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE831, 0xE832, 0xE83B, 0xE843,
        0xE854, 0xE855, 0xE864,
    )
}  # fmt: skip
_PRIVATE = re.compile("[\ue000-\uefff\U000f0000-\U0010fffd]")


def without_controls(text: str, but: str = "") -> str:
    """`text` without control characters other than tab, line ends, and `but`."""
    return text.translate({n: c for n, c in _REMOVED.items() if chr(n) != but} if but else _REMOVED)


def repaired(text: str) -> tuple[str, tuple[str, ...]]:
    """The text as it should have been sent, and the codes of what is to be told about it."""
    told = []
    if (plain := text.translate(_CONTROLS)) != text:
        told.append(REMOVED)
    if (standard := plain.translate(STANDARD)) != plain:
        told.append(REPLACED)
    if _PRIVATE.search(standard):
        told.append(KEPT)
    return standard, tuple(told)
