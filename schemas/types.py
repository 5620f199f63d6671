"""What each field type reads: text -> typed value, as SQLGlot trees.

A value is read in two steps. `plain` knows the writings that most files hold and is all that most rows pay for. What it
cannot read is spelt in half-width characters (`spelt`) and read by `rare`; what that reads is a repair and told to the
sender. Both are NULL where the text is no value of the type; the caller tells 'absent' from 'unreadable'.

Dates, plain: 2098-01-05, 2098/1/5, 2098.1.5, 20980105, 2098年1月5日, each also with a time behind it. A date that can
be read in two ways (5/1/2098) or lacks a part (2098/1, 98-1-5) is never guessed (domain Q100).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from schemas.characters import may_be_cut, without_cut
from schemas.model import FieldSpec
from schemas.shapes import ASCII, DASHES, INVISIBLE, PLACEHOLDER, SPACES, translated
from schemas.sql import tree

Layer = list[tuple[str, exp.Expr]]
# Characters that people see as blank at either end of a cell (Q05, Q45, Q61).
BLANKS = " \t\r\n\u00a0\u3000\u200b\ufeff"
TRUE_WORDS = ("是", "Y", "y", "1", "true", "TRUE", "√")
FALSE_WORDS = ("否", "N", "n", "0", "false", "FALSE", "×")
RARE_TRUE = ("YES", "TRUE", "T", "Y", "1", "1.0", "对", "有", "真", "✓", "✔", "☑")
RARE_FALSE = ("NO", "FALSE", "F", "N", "0", "0.0", "错", "没有", "假", "✗", "✘", "✕", "☒")
CODES = {"date": "V002", "decimal": "V003", "integer": "V003", "timestamp": "V009", "boolean": "V010", "code": "V004"}
TWO_STEPS = ("date", "timestamp", "decimal", "integer", "boolean")

# No record lies outside these years; 0001-01-01 and 9999-12-31 are what systems write where they have no date.
YEAR = "(?:18|19|20|21)[0-9]{2}"
DATE = f"{YEAR}[-/.年][0-9]{{1,2}}[-/.月][0-9]{{1,2}}日?"
CLOCK = "[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?"
UTC, BEIJING = "(?:Z|UTC|GMT|[+-]00(?::?00)?)", "[+]08(?::?00)?"
OPEN_END = "2099-12-31"  # what is in force for good is written so: 发改办财金〔2018〕424号
OPEN_WORDS = "长期|长期有效|长久|永久|永久有效|终身|终生|无期限|无限期|无固定期限|至今"
OPEN_WORDS += "|9999[-/.年]?(?:12|0?9)[-/.月]?(?:31|30|0?9)日?"
NO_DAY = "0000-00-00(?:00:00:00[.0]*)?"
DATE_WORDS, DATE_FIGURES = "〇○零一二三四五六七八九号,、\\_", "000123456789日----"
MONTHS = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
MONTH = "(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z]*"
# 5-JAN-2098, Jan 5, 2098, and as Java prints a moment in China.
ENGLISH = f"^(?:[0-9]{{1,2}}[- ]?{MONTH}[-,. ]*|{MONTH}[. ]+[0-9]{{1,2}}[, ]+"
ENGLISH += f"|[A-Z]{{3}} {MONTH} [0-9]{{2}} [0-9:]{{8}} CST ){YEAR}$"
WEEKDAY = "[(]?(?:(?:星期|周)[一二三四五六日天1-6])?[)]?"
# A spreadsheet's count of days, 1990-01-01 to 2099-12-31: five figures that can be no other writing of a date.
SERIAL = "^(?:32(?:87[4-9]|8[89][0-9]|9[0-9]{2})|3[3-9][0-9]{3}|[4-6][0-9]{4}|7[0-2][0-9]{3}|730[0-4][0-9])"
SERIAL += "(?:[.][0-9]+)?$"
DAY_OR_MONTH = "^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}(?:[ T].*)?$"
# ... unless only one of them can be the month, or both are the same.
TWINS = "|".join(f"0?{n}[-/.]0?{n}" for n in range(1, 13))
DAY_FIRST = f"^(?:(?:1[3-9]|2[0-9]|3[01])[-/.][0-9]{{1,2}}|{TWINS})[-/.]{YEAR}$"
MONTH_FIRST = f"^[0-9]{{1,2}}[-/.](?:1[3-9]|2[0-9]|3[01])[-/.]{YEAR}$"
MONEY = ("CNY", "10k CNY")
AMOUNT_WORDS = "〇零壹贰貳弍两叁參肆伍陆陸柒捌玖一二三四五六七八九拾佰仟萬圆圓"
AMOUNT_FIGURES = "0012222334566789123456789十百千万元元"
# Amounts in words, spelt with 0-9 十百千万: below ten thousand, and what may follow 万. 五百五 and 一万五 leave the
# place of their last figure to the listener and are not read.
TENS = "(?:0?[1-9]?十[1-9]?|0[1-9])?"
SECTION = f"(?:[1-9]千(?:0?[1-9]百)?{TENS}|[1-9]百{TENS}|[1-9]?十[1-9]?|[1-9])"
AFTER_10K = f"(?:[1-9]千(?:0?[1-9]百)?{TENS}|0[1-9]百{TENS}|0[1-9]?十[1-9]?|0[1-9])?"
WORDS = f"^(?:人民币)?(?:({SECTION})万({AFTER_10K})|({SECTION}))元?[整正]?$"


def trimmed(column: exp.Expr) -> exp.Expr:
    """Text without blanks at its ends; an all-blank cell is NULL.

    Trimming a set of characters costs four times what looking at the two ends costs, and few cells need it.
    """
    sql = column.sql(dialect="duckdb")
    ends = [f"strpos('{BLANKS}', substr({sql}, {at}, 1)) > 0" for at in (1, -1)]
    return tree(f"CASE WHEN {' OR '.join(ends)} THEN nullif(trim({sql}, '{BLANKS}'), '') ELSE {sql} END")


def plain(field: FieldSpec, text: exp.Expr) -> exp.Expr:
    """The usual writings of a type, trimmed `text` -> value or NULL. Text is taken as it is but for a
    character cut in two at its end, and codes are resolved by
    a join, not here."""
    sql = text.sql(dialect="duckdb")
    if field.type == "date":
        return tree(f"""CASE
            WHEN regexp_matches({sql}, '^{YEAR}(?:-[0-9]{{1,2}}-|/[0-9]{{1,2}}/)[0-9]{{1,2}}$')
                THEN TRY_CAST(replace({sql}, '/', '-') AS DATE)
            WHEN regexp_matches({sql}, '^{YEAR}[0-9]{{4}}$') THEN TRY_CAST({_eight(sql)} AS DATE)
            WHEN regexp_matches({sql}, '^{DATE}([ T][0-9:.]*)?$') THEN TRY_CAST({_day(sql)} AS DATE) END""")
    if field.type == "timestamp":
        # The engine by itself would read a moment with a zone as one of UTC, and 'epoch' as a time.
        return tree(f"""CASE
            WHEN length({sql}) = 19 AND substr({sql}, 17, 1) = ':' AND NOT ends_with({sql}, 'Z')
                AND substr({sql}, 5, 1) = '-' AND {sql} >= '18' AND {sql} < '22' THEN TRY_CAST({sql} AS TIMESTAMP)
            WHEN regexp_matches({sql}, '^{DATE}(?:[ T]{CLOCK})?$') THEN TRY_CAST({_day_and_clock(sql)} AS TIMESTAMP)
            END""")
    if field.type == "decimal":
        tail = f"([.][0-9]{{0,{field.scale}}}0*)?$'"
        kind = f"DECIMAL(18, {field.scale})"
        return tree(f"""CASE
            WHEN regexp_matches({sql}, '^[+-]?[0-9]{{1,14}}{tail}) THEN TRY_CAST({sql} AS {kind})
            WHEN regexp_matches({sql}, '^[￥¥]?[+-]?(?:[0-9]{{1,14}}|[0-9]{{1,3}}(?:[,，][0-9]{{3}}){{1,4}}){tail})
            THEN TRY_CAST(translate({sql}, ',，￥¥', '') AS {kind}) END""")
    if field.type == "integer":
        return tree(f"""CASE
            WHEN regexp_matches({sql}, '^[+-]?[0-9]{{1,18}}$') THEN TRY_CAST({sql} AS BIGINT)
            WHEN regexp_matches({sql}, '^[+-]?[0-9]{{1,18}}[.]0+$')
            THEN TRY_CAST(substr({sql}, 1, strpos({sql}, '.') - 1) AS BIGINT) END""")
    if field.type == "boolean":
        return tree(f"CASE WHEN {sql} IN {TRUE_WORDS} THEN TRUE WHEN {sql} IN {FALSE_WORDS} THEN FALSE END")
    return tree(without_cut(sql)) if may_be_cut(field) else text.copy()


def spelt(text: str) -> str:
    """SQL: a trimmed text in half-width capitals, with plain blanks and dashes and without characters that nobody sees.
    """
    pairs = dict.fromkeys(SPACES, " ") | dict.fromkeys(DASHES, "-")
    half = f"CASE WHEN regexp_matches({text}, '{ASCII}') THEN {text} ELSE {translated(text, pairs, INVISIBLE)} END"
    return f"upper({half})"


def helpers(field: FieldSpec) -> list[Layer]:
    """Layers of columns that `rare` reads besides h_<field>, the `spelt` text; all are NULL where that is.

    n_<field>: whether it stands for no value. g_<field>: with figures for numerals. a_<field>: an amount in the unit of
    the field, of whatever scale.
    """
    name = field.name
    spelling = f"h_{name}"
    layer = {f"n_{name}": f"regexp_matches(replace({spelling}, ' ', ''), '^(?:{PLACEHOLDER}|{NO_DAY})?$')"}
    layers = [layer]
    if field.type == "date":
        layer[f"g_{name}"] = _day_in_figures(f"replace({spelling}, ' ', '')")
    if field.type == "decimal":
        layer[f"g_{name}"] = translated(
            f"replace({spelling}, ' ', '')", dict(zip(AMOUNT_WORDS, AMOUNT_FIGURES, strict=True)), full=False
        )
        layers.append({f"a_{name}": f"CASE {_amount(f'g_{name}', field.unit)} END"})
    odd = f"CASE WHEN {spelling} IS NOT NULL THEN {{}} END"
    return [[(n, tree(odd.format(sql))) for n, sql in layer.items()] for layer in layers]


def rare(field: FieldSpec) -> exp.Expr:
    """What else stands for a value of a type, where `plain` could not read it: from h_<field> and its `helpers`."""
    sql = f"h_{field.name}"
    if field.type == "date":
        open_end = f"WHEN regexp_matches({sql}, '^(?:{OPEN_WORDS})(?: 00:00:00[.0]*)?$') THEN DATE '{OPEN_END}'"
        branches = _dates(sql, f"g_{field.name}")
        return tree(f"CAST(CASE {open_end if field.is_open_ended else ''} {branches} END AS DATE)")
    if field.type == "timestamp":
        return tree(f"CASE {_moments(sql)} {_loose_moment(sql)} END")
    if field.type == "decimal":
        exact = f"TRY_CAST(a_{field.name} AS DECIMAL(18, {field.scale}))"
        return tree(f"CASE WHEN {exact} = a_{field.name} THEN {exact} END")
    narrow = f"replace({sql}, ' ', '')"
    if field.type == "integer":
        grouped = "'^[+-]?(?:[0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})$'"
        return tree(
            f"CASE WHEN regexp_matches({narrow}, {grouped}) THEN TRY_CAST(replace({narrow}, ',', '') AS BIGINT) END"
        )
    yes, no = (tuple(dict.fromkeys(words)) for words in (RARE_TRUE + TRUE_WORDS, RARE_FALSE + FALSE_WORDS))
    return tree(f"CASE WHEN {narrow} IN {yes} THEN TRUE WHEN {narrow} IN {no} THEN FALSE END")


def steps(fields: Iterable[FieldSpec]) -> list[Layer]:
    """Layers of columns that read those `fields` that are not read by `plain` alone: over t_<field> and p_<field>, the
    plain value (of a code, which is looked up, over <field>), the last gives <field>."""
    layers: list[Layer] = [[], [], [], []]
    for field in fields:
        if field.type != "code" and field.type not in TWO_STEPS:
            continue
        name, read = field.name, field.name if field.type == "code" else f"p_{field.name}"
        odd = f"{read} IS NULL AND t_{name} IS NOT NULL"
        layers[0].append((f"h_{name}", tree(f"CASE WHEN {odd} THEN {spelt(f't_{name}')} END")))
        for layer, more in zip(layers[1:], helpers(field), strict=False):
            layer += more
        if field.type in TWO_STEPS:
            value = exp.Case().when(tree(f"h_{name} IS NULL"), exp.column(read), copy=False)
            value = value.else_(rare(field), copy=False)
            layers[3].append((name, value))
    spellings = [name for name, _ in layers[0]]
    layers[1].append(("is_odd", tree(f"coalesce({', '.join(spellings)}) IS NOT NULL")))
    return [layer for layer in layers if layer]


def read(field: FieldSpec, texts: str) -> str:
    """SQL: the rows of `texts`, which has t_<field>, with <field>, h_<field> (its spelling where it was not plain) and
    n_<field> (whether that stands for no value) of a field of a type of two steps."""
    usual = plain(field, exp.column(f"t_{field.name}")).sql(dialect="duckdb")
    below = f"SELECT *, {usual} AS p_{field.name} FROM ({texts})"
    for layer in steps([field]):
        columns = ", ".join(f"{tree.sql(dialect='duckdb')} AS {name}" for name, tree in layer)
        below = f"SELECT *, {columns} FROM ({below})"
    return below


def is_ambiguous(field: str) -> str:
    """SQL: whether what could not be read as a date has a day and a month of which either may be both."""
    return f"regexp_matches(h_{field}, '{DAY_OR_MONTH}')"


def is_serial(field: str) -> str:
    """SQL: whether what was read as a date is a spreadsheet's count of days."""
    return f"regexp_matches(h_{field}, '{SERIAL}')"


def _eight(sql: str) -> str:
    return f"concat(substr({sql}, 1, 4), '-', substr({sql}, 5, 2), '-', substr({sql}, 7, 2))"


def _day(sql: str) -> str:
    """The date at the beginning of a text, as the engine casts it."""
    day = f"regexp_extract({sql}, '^([0-9]{{4}}[-/.年][0-9]{{1,2}}[-/.月][0-9]{{1,2}})', 1)"
    return f"translate({day}, '/.年月', '----')"


def _day_and_clock(sql: str) -> str:
    """The same with the time of day behind it, midnight where there is none."""
    return f"concat({_day(sql)}, ' ', coalesce(nullif(regexp_extract({sql}, '({CLOCK})', 1), ''), '00:00:00'))"


def _moments(sql: str) -> str:
    """Branches for moments with a zone and for milliseconds since 1970, in the time of Beijing, which is eight hours
    ahead of UTC (Q110). A moment of another zone is none."""
    day = f"^{YEAR}[-/][0-9]{{1,2}}[-/][0-9]{{1,2}}[ T]{CLOCK} ?"
    return f"""
        WHEN regexp_matches({sql}, '{day}{UTC}$') THEN TRY_CAST({_day_and_clock(sql)} AS TIMESTAMP) + INTERVAL 8 HOUR
        WHEN regexp_matches({sql}, '{day}{BEIJING}$') THEN TRY_CAST({_day_and_clock(sql)} AS TIMESTAMP)
        WHEN regexp_matches({sql}, '^1[0-9]{{12}}$')
        THEN TIMESTAMP '1970-01-01 08:00:00' + CAST(CAST({sql} AS BIGINT) // 1000 AS INTEGER) * INTERVAL 1 SECOND"""


def _loose_moment(sql: str) -> str:
    """Branches for a moment with blanks inside (2098 年 1 月 5 日 8:30) or without any signs (20980105083000)."""
    narrow = f"replace({sql}, ' ', '')"
    seconds = f"substr(concat({sql}, '00'), 13, 2)"
    compact = f"concat({_eight(sql)}, ' ', substr({sql}, 9, 2), ':', substr({sql}, 11, 2), ':', {seconds})"
    return f"""WHEN regexp_matches({sql}, '^{DATE}(?:[ T]{CLOCK})?$') THEN TRY_CAST({_day_and_clock(sql)} AS TIMESTAMP)
        WHEN regexp_matches({narrow}, '^{YEAR}年[0-9]{{1,2}}月[0-9]{{1,2}}日(?:{CLOCK})?$')
        THEN TRY_CAST({_day_and_clock(narrow)} AS TIMESTAMP)
        WHEN regexp_matches({sql}, '^{YEAR}[0-9]{{4}}$') THEN TRY_CAST({_eight(sql)} AS TIMESTAMP)
        WHEN regexp_matches({sql}, '^{YEAR}[0-9]{{8}}(?:[0-9]{{2}})?$') THEN TRY_CAST({compact} AS TIMESTAMP)"""


def _day_in_figures(sql: str) -> str:
    """二〇九八年十二月三十一日 with figures for numerals; 十 is a place, a one or nothing by what stands around it."""
    sql = f"replace(replace({sql}, '廿', '二十'), '卅', '三十')"
    sql = translated(sql, dict(zip(DATE_WORDS, DATE_FIGURES, strict=True)), full=False)
    for numeral, figure in (("十月", "十0月"), ("十日", "十0日"), ("年十", "年1"), ("月十", "月1"), ("十", "")):
        sql = f"replace({sql}, '{numeral}', '{figure}')"
    return sql


def _dates(sql: str, figures: str) -> str:
    """Branches for all other writings of a date."""
    year = f"regexp_extract({sql}, '({YEAR})$', 1)"
    parts = [f"regexp_extract({sql}, '^([0-9]{{1,2}})[-/.]([0-9]{{1,2}})', {n})" for n in (1, 2)]
    month = f"(strpos('{MONTHS}', regexp_extract({sql}, '{MONTH}', 1)) + 2) // 3"
    day = f"regexp_extract({sql}, '(?:^|[A-Z. ])([0-9]{{1,2}})(?:[^0-9:]|$)', 1)"
    day_first, month_first = (f"concat({year}, '-', {parts[m]}, '-', {parts[d]})" for m, d in ((1, 0), (0, 1)))
    figures_only = f"'^{YEAR}[0-9]{{4}}(?:[0-9]{{4}}(?:[0-9]{{2}})?)?$'"
    tail = f"(?:T?(?:上午|下午)?[0-9]{{1,2}}[:时点][0-9:.时点分秒]*(?:AM|PM)?)?{WEEKDAY}"
    return f"""{_moments(sql)}
        WHEN regexp_matches({sql}, '{SERIAL}') THEN DATE '1899-12-30' + CAST(substr({sql}, 1, 5) AS INTEGER)
        WHEN regexp_matches({sql}, '{DAY_FIRST}') THEN TRY_CAST({day_first} AS DATE)
        WHEN regexp_matches({sql}, '{MONTH_FIRST}') THEN TRY_CAST({month_first} AS DATE)
        WHEN regexp_matches({sql}, {figures_only}) THEN TRY_CAST({_eight(sql)} AS DATE)
        WHEN regexp_matches({figures}, '^{DATE}{tail}$') THEN TRY_CAST({_day(figures)} AS DATE)
        WHEN regexp_matches({sql}, '{ENGLISH}') THEN TRY_CAST(concat({year}, '-', {month}, '-', {day}) AS DATE)"""


def _amount(sql: str, unit: str | None) -> str:
    """Branches for amounts with a unit or in words, in the unit of the field; a range is none. In a column of 10,000
    yuan a number without a unit is one of 10,000 yuan, and 5百 may be 500 yuan or as many times 10,000."""
    # One digit more than DuckDB multiplies in 64 bits: 10亿元 would overflow there, and stop the delivery.
    number = f"TRY_CAST(replace(regexp_extract({sql}, '([0-9][0-9,.]*)', 1), ',', '') AS DECIMAL(19, 6))"
    digits = "[+-]?(?:[0-9]{1,10}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:[.][0-9]{0,6}0*)?"
    signed = f"{number} * CASE WHEN regexp_matches({sql}, '-[0-9]') THEN -1 ELSE 1 END"
    if unit not in MONEY:
        return f"WHEN regexp_matches({sql}, '^{digits}$') THEN {signed}"
    is_10k = unit == "10k CNY"
    factors = {"": "1", "百": "100", "千": "1000", "万": "10000", "亿": "100000000"}
    if is_10k:
        factors = {"": "1", "元": "0.0001", "百元": "0.01", "千元": "0.1", "万": "1", "亿": "10000"}
        factors |= {"万元": "1", "亿元": "10000"}
    else:
        factors |= {f"{word}元": factor for word, factor in factors.items()}
    form = f"^(?:人民币|RMB|CNY)?[￥¥]?{digits}([百千万亿]?元?)[整正]?$"
    factor = " ".join(f"WHEN '{word}' THEN CAST('{of}' AS DECIMAL(13, 4))" for word, of in factors.items())
    before, behind = (_section(f"regexp_extract({sql}, '{form}', 1)") for form in ("^(.*)万", "([^万元]*)元?.?$"))
    total = f"CAST({before} * 10000 + {behind} AS DECIMAL(18, 6))"
    if is_10k:
        total = f"CASE WHEN strpos({sql}, '元') > 0 THEN {total} * CAST('0.0001' AS DECIMAL(13, 4)) END"
    return f"""WHEN regexp_matches({sql}, '{form}')
        THEN {signed} * CASE regexp_extract({sql}, '{form}', 1) {factor} END
        WHEN regexp_matches({sql}, '{WORDS}') THEN nullif({total}, 0)"""


def _section(sql: str) -> str:
    """A number below ten thousand in words (3千0百5十2), as an integer; 0 of an empty text."""
    figures = [
        f"{10**power} * CAST(concat('0', regexp_extract({sql}, '([1-9]){place}', 1)) AS INTEGER)"
        for power, place in ((3, "千"), (2, "百"), (1, "十"), (0, "$"))
    ]
    return f"({' + '.join(figures)} + CASE WHEN regexp_matches({sql}, '(?:^|0|百|千)十') THEN 10 ELSE 0 END)"
