"""Names of others in free text: what stands behind a word that says who somebody is (举报人, 证人, 监护人, ...).

Nobody can tell names from words for certain, so a name is looked for only behind such a word, and only one that begins
with a surname of the list. Behind a colon, a bracket, 是, 为 or 系 any surname counts; where nothing or a blank stands
between, only surnames that are seldom words (`uncertain` are the others). The lists are dated policy
(catalog/policy/third_persons.toml). It errs towards hiding: a character too many may go, where two characters are the
name and the third one could be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.names import TITLES
from schemas.shapes import DOTS, HAN
from schemas.sql import literal

MASK = "[他人]"
# Between a word and a name that nothing divides, where the two are words together: 证人陈述.
APART = "\u0001"
SURE = "[:：（(\\[【“\"]|姓名[:：为]?|(?:是|为|系|叫|即)[:：“\"]?"
LOOSE = "[ \u3000、，,]?"
FOREIGN = f"[{HAN}]{{1,12}}(?:[·{DOTS}][{HAN}]{{1,12}})+"
LATIN = "[A-Z][A-Za-z'-]+(?:[ ·][A-Z][A-Za-z'-]+)+"
# Documents of others that carry no number of 15 or 18 digits.
PAPERS = "护照|通行证|军官证|士兵证|警官证"
PAPER = f"((?:{PAPERS})(?:号码|证号|号)?[:：]?(?:为|是)?[（( ]?)[A-Z]{{0,3}}[0-9]{{6,12}}"


@dataclass(frozen=True)
class ThirdPersons:
    """`roles`: words that a name follows. `surnames` of one character, `uncertain` those of them that are words as
    well, `compound` those of two. `words` begin like a name and are none; `never` are characters that no given name
    begins with, `seldom` those that it does not end with."""

    roles: tuple[str, ...]
    surnames: str
    uncertain: str
    compound: tuple[str, ...]
    words: tuple[str, ...]
    never: str
    seldom: str

    @property
    def sign(self) -> str:
        """A regular expression that few texts meet."""
        return "|".join((*map(re.escape, self.roles), *PAPERS.split("|")))

    def hidden(self, text: str) -> str:
        """SQL of the text without their names; `text` is SQL that is written once."""
        role = f"(?:{'|'.join(map(re.escape, self.roles))})"
        words = f"{'|'.join(map(re.escape, self.words))}|\\p{{Han}}(?:{TITLES})"
        given = f"[^\\P{{Han}}{self.never}][^\\P{{Han}}{self.never}{self.seldom}]?"
        compound = "|".join(self.compound)
        sure = f"(?:{FOREIGN}|{LATIN}|(?:{compound}|[{self.surnames}]){given})"
        certain = "".join(c for c in self.surnames if c not in self.uncertain)
        likely = f"(?:{FOREIGN}|(?:{compound}|[{certain}]){given})"
        link = f"(?:(?:{SURE})[ \u3000]*|{LOOSE})"
        steps = [
            (f"({role}{link})({words})", f"\\1{APART}\\2"),
            (f"({role}(?:{SURE})[ \u3000]*){sure}", f"\\1{MASK}"),
            (f"({role}{LOOSE}){likely}", f"\\1{MASK}"),
            # 证人甲、乙和丙
            *[(f"(\\[他人\\](?:[、，,;；]|和|与|及)){likely}", f"\\1{MASK}")] * 2,
            (PAPER, "\\1[证件号]"),
        ]
        for pattern, by in steps:
            text = f"regexp_replace({text}, {literal(pattern)}, {literal(by)}, 'g')"
        return f"replace({text}, '{APART}', '')"
