"""The name of a person as a register writes it, and what in its cell is no name, as SQL trees.

`columns` gives layers: whether the cell is plain, as most are: a name and nothing else, which is taken as it is; then
the tidy name. The tests say what is wrong with it, and ask next to nothing of plain ones. Sources: domain list Q60-Q65,
Q67.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from sqlglot import exp

from schemas import markup
from schemas.characters import LOST, UNENCODABLE
from schemas.shapes import COMPATIBLE, DASHES, DOTS, HAN, INVISIBLE, PLACEHOLDER, SPACES, UNIFIED, translated
from schemas.sql import tree

Layers = list[list[tuple[str, exp.Expr]]]
LETTER = "A-Za-zÀ-ɏ"
PLAIN = f"^(?:[{HAN}·]+|[{LETTER}]+(?:[.,'' -][{LETTER}]+)*)$"
STANDING_IN = "[⺀-\u2fdf\uf900-\ufaff\U0002f800-\U0002fa1f]"
LATIN = f"[{LETTER}]"
NOBODY = (
    "无", "没有", "暂无", "暂缺", "不详", "未知", "未提供", "未填写", "佚名", "匿名", "无名", "无名氏", "本人",
    "当事人", "姓名", "同上", "待定", "待补", "待核实", "空", "略",
    "NULL", "Null", "null", "None", "none", "NONE", "NaN", "NA", "Name", "name", "Unknown", "unknown",
)  # fmt: skip
TITLES = "先生|女士|小姐|同志"
# What a plain cell may not hold although its characters are those of a name.
ODD = f"某|人$|(?:{TITLES})$|^(?:{'|'.join(NOBODY)})$"
# What forms print before a name, and what clerks write behind it to say who that was.
BEFORE = "^(?:姓名|当事人|当事人姓名|被处罚人|违法行为人|驾驶人|法定代表人|经营者|负责人):(.+)$"
ROLES = "经营者|法定代表人|法人|法人代表|负责人|业主|户主|本人|当事人|驾驶人|被处罚人|男|女"
BEHIND = f"^([{HAN}·]{{2,}})(?:[(](?:{ROLES})[)]|{TITLES})$"
SEVERAL = f"等[0-9一二三四五六七八九十两数几多]*(?:名|个)?人$|[{HAN}]、[{HAN}]"
SEVERAL_PERSONS = f"{SEVERAL}|[{HAN}][;/&,+][{HAN}]"
ORGANISATION = "(?:公司|商行|超市|饭店|餐馆|餐厅|酒店|宾馆|合作社|经营部|服务部|中心|委员会|事务所|[店厂])$"
ILLEGIBLE = f"{LOST}{UNENCODABLE}\ue000-\uf8ff\U000f0000-\U0010ffff"
# Longer than this a name of Han characters is one of several parts, or no person's.
USUAL_LENGTH = 4


def columns(raw: exp.Expr, field: str) -> Layers:
    """Layers ending in the column `field`, the tidy name; `raw` is the trimmed cell."""
    text = raw.sql(dialect="duckdb")
    unified = translated(text, dict(zip(COMPATIBLE, UNIFIED, strict=True)), full=False)
    unified = f"CASE WHEN regexp_matches({text}, '{STANDING_IN}') THEN {unified} ELSE {text} END"
    half = translated(markup.cleaned(f"({unified})"), dict.fromkeys(SPACES, " "), INVISIBLE)
    han = translated("name_half", dict.fromkeys(DOTS + ".", "·") | dict.fromkeys(DASHES, "-"), " ", full=False)
    latin = "trim(regexp_replace(name_half, ' +', ' ', 'g'))"
    sql: list[list[tuple[str, str]]] = [
        [("name_is_plain", f"regexp_matches({text}, '{PLAIN}') AND NOT regexp_matches({text}, '{ODD}')")],
        [("name_half", f"CASE WHEN NOT name_is_plain THEN {half} END")],
        [("name_said", f"CASE WHEN regexp_matches(name_half, '{LATIN}') THEN {latin} ELSE {han} END")],
        [("name_bare", f"coalesce(nullif(regexp_extract(name_said, '{BEFORE}', 1), ''), name_said)")],
        [
            (
                field,
                f"CASE WHEN name_is_plain THEN {text} ELSE"
                f" nullif(coalesce(nullif(regexp_extract(name_bare, '{BEHIND}', 1), ''), name_bare), '') END",
            ),
        ],
    ]
    return [[(name, tree(text)) for name, text in layer] for layer in sql]


def is_several(name: str, takes_organisations: bool) -> str:
    """SQL: the cell names several people: 张三等2人, 张三、李四."""
    form = SEVERAL if takes_organisations else SEVERAL_PERSONS
    return _if_odd(f"regexp_matches({name}, '{form}')")


def is_nobody(name: str, takes_organisations: bool) -> str:
    """SQL: the cell names nobody: a placeholder, a name with characters masked, a number. Names of businesses may hold
    figures."""
    odd = "[*#?？■●]" if takes_organisations else "[*#?？■●0-9]|[Xx]{2}$"
    nobody = f"{PLACEHOLDER}|{'|'.join(NOBODY)}"
    test = f"{name} IS NULL OR regexp_matches({name}, '{odd}|某|^[^{HAN}{LETTER}]+$|^(?:{nobody})$')"
    return _if_odd(f"({test}) AND NOT coalesce({is_several(name, takes_organisations)}, FALSE)")


def is_unlike(name: str) -> str:
    """SQL: the cell does not look like the name of a person: one character, a business, brackets."""
    # What is no name at all, or several, or went wrong on its way here, is told as such.
    odd = f"regexp_matches({name}, '[^{HAN}{LETTER}·.,'' -]')"
    odd = _if_odd(f"{odd} AND NOT regexp_matches({name}, '[0-9*#?？■●、某{ILLEGIBLE}]')")
    return f"""CASE WHEN length({name}) = 1 THEN TRUE WHEN {odd} THEN TRUE
        WHEN length({name}) > {USUAL_LENGTH} THEN regexp_matches({name}, '{ORGANISATION}') ELSE FALSE END"""


def _if_odd(test: str) -> str:
    return f"CASE WHEN name_is_plain THEN FALSE ELSE {test} END"


def compared(name: str, variants: str) -> str:
    """SQL of a name in the form in which two writings of it are one: without blanks, dots and dashes, in half width and
    small letters, without accents, the parts of a Latin name in the order of the alphabet; of the pairs in `variants`
    (張张 陳陈) both are one character (Q51, Q60, Q61, Q63, Q65)."""
    pairs = {pair[0]: pair[1] for pair in variants.split()} | dict(zip(COMPATIBLE, UNIFIED, strict=True))
    plain = translated(name, pairs, INVISIBLE)
    parts = f"string_split_regex(strip_accents(lower({plain})), '[^{LETTER}]+')"
    han = f"lower({translated(plain, dropped=SPACES + DOTS + DASHES + '·.', full=False)})"
    return f"CASE WHEN regexp_matches({name}, '{LATIN}') THEN array_to_string(list_sort({parts}), '') ELSE {han} END"


def are_unlike(said: Iterable[str], variants: str) -> bool:
    """Whether two of the names are very different: they share less than half of the letters of the longer one, and
    none holds the other. Order and case do not count; of the pairs in `variants` (張张 陳陈) both are one character."""
    same = str.maketrans({pair[0]: pair[1] for pair in variants.split()})
    known = {"".join(c for c in name.translate(same).casefold() if c.isalnum()) for name in said}
    return any(_is_unlike(a, b) for a, b in combinations(known, 2))


def _is_unlike(one: str, other: str) -> bool:
    if one in other or other in one:
        return False
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared < max(len(one), len(other))
