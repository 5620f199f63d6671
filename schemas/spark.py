"""The trees of this package in Spark's SQL, so that both engines read a row alike.

The trees are written for DuckDB. Wherever Spark means something else by the same words, that is mended here and
nowhere else, and what cannot be mended is refused when it is rendered. tests/test_spark holds the two engines
against each other; the session must be one of `pipelines.stores.spark`.
"""

from __future__ import annotations

import re
from functools import cache

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.generators.spark import SparkGenerator

# What RE2 means by \p{Han} and by \s. Java knows an older Unicode, and counts the vertical tab as a blank.
HAN = (
    "⺀-⺙⺛-⻳⼀-⿕々〇〡-〩〸-〻㐀-䶿一-\u9fff\uf900-\ufa6d\ufa70-\ufad9\U00016fe2\U00016fe3\U00016ff0\U00016ff1"
    "\U00020000-\U0002a6df\U0002a700-\U0002b739\U0002b740-\U0002b81d\U0002b820-\U0002cea1\U0002ceb0-\U0002ebe0"
    "\U0002f800-\U0002fa1d\U00030000-\U0003134a\U00031350-\U000323af"
)
BLANKS = " \\t\\n\\f\\r"
SAME_ESCAPES = "dDwWntr"  # letters that mean the same behind a backslash in both
FOLDED = {"s": "ſ", "k": "\u212a"}  # also match these where case does not count; Java does so only for ASCII
# What DuckDB trims where nothing is named: the blanks of Unicode.
ZS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
# What was held against DuckDB, as it is said by SQLGlot or below; all that rules are made of.
SAME = frozenset({
    exp.Add, exp.Alias, exp.And, exp.Array, exp.ArrayOverlaps, exp.Between, exp.Boolean, exp.Case, exp.Cast, exp.Chr,
    exp.Coalesce, exp.Column, exp.Concat, exp.ConcatWs, exp.Count, exp.CTE, exp.DataType, exp.DataTypeParam,
    exp.Distinct, exp.DPipe, exp.EndsWith, exp.EQ, exp.Extract, exp.From, exp.Greatest, exp.Group, exp.GT, exp.GTE,
    exp.Having, exp.Hex, exp.Identifier, exp.If, exp.In, exp.IntDiv, exp.Interval, exp.Is, exp.Join, exp.Least,
    exp.Length, exp.Literal, exp.LT, exp.LTE, exp.Max, exp.MD5, exp.Min, exp.Mod, exp.Mul, exp.Neg, exp.NEQ, exp.Not,
    exp.Null, exp.Nullif, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Or, exp.Order, exp.Ordered, exp.Paren, exp.PropertyEQ,
    exp.Rank, exp.RegexpExtract, exp.RegexpLike, exp.RegexpReplace, exp.Replace, exp.RowNumber, exp.Select,
    exp.SplitPart, exp.Star, exp.StartsWith, exp.StrPosition, exp.Struct, exp.Sub, exp.Split, exp.Subquery,
    exp.Substring, exp.Sum, exp.Table, exp.TableAlias, exp.Translate, exp.Trim, exp.TryCast, exp.Unhex, exp.Union,
    exp.Upper, exp.Var, exp.Where, exp.Window, exp.With,
})  # fmt: skip
# Functions that need the key, which is the driver's alone: see `asking`.
KEYED = ("subject_id_of", "keyed_hash")
# Functions that SQLGlot does not know, as Spark says them. A hash is each engine's own, compared with its like only.
OWN = {
    "to_json": "TO_JSON({}, MAP('ignoreNullFields', 'false'))",
    "hash": "XXHASH64({})",
    "concat_ws": "CONCAT_WS({})",
}


@cache
def capitals() -> dict[str, str]:
    """Characters of which Spark makes several capitals (ß, ﬁ, ᾀ) or one of a newer Unicode -> what DuckDB makes."""
    found = {c: c.title() if len(c.title()) == 1 else c for c in map(chr, range(0x10000)) if len(c.upper()) > 1}
    newer = (
        *"\u019b\u0264\u1c8a\ua7cd\ua7cf\ua7d3\ua7d5\ua7db", *map(chr, range(0x10D70, 0x10D86)),
        *map(chr, range(0x16EBB, 0x16ED4)),
    )  # fmt: skip
    return {**found, "ß": "ẞ", **{c: c for c in newer}}


def sql(tree: exp.Expr) -> str:
    """A tree in Spark's SQL. Raises `ValueError` for what the engines cannot be brought to read alike."""
    check(tree)
    return tree.sql(dialect=Dialect)


def check(tree: exp.Expr) -> None:
    """Raises `ValueError` where a tree says something of which nobody has seen that Spark reads it alike."""
    for node in tree.walk():
        is_function = isinstance(node, exp.Anonymous)
        if (node.name.lower() not in OWN) if is_function else (type(node) not in SAME):
            name = f"{node.name}()" if is_function else type(node).__name__
            raise ValueError(f"{name}: never held against Spark. Say it in schemas/spark.py, with a test.")


def asking(select: exp.Select, kept: str) -> tuple[exp.Select, tuple[str, ...]]:
    """The keyed functions that a select calls, as a select of what each is asked: the column `kept`, which tells rows
    apart, then key_0, key_1 ...; and their names, in that order. No key is needed for it. What is asked must not depend
    on an answer, and must be there at the outermost level."""
    asks = _asks(select)
    asked = _with_answers(select, {call: exp.cast(exp.null(), "BLOB") for call in asks})
    columns = [exp.alias_(call.expressions[0].copy(), f"key_{n}") for n, call in enumerate(asks)]
    asked.set("expressions", [exp.column(kept), *columns])
    return asked, tuple(call.name for call in asks)


def answered(select: exp.Select) -> exp.Select:
    """The select over a source that has the answers to what `asking` asks, as columns of the same names."""
    return _with_answers(select, {call: exp.column(f"key_{n}") for n, call in enumerate(_asks(select))})


def _asks(select: exp.Select) -> list[exp.Anonymous]:
    return list(dict.fromkeys(call for call in select.find_all(exp.Anonymous) if call.name in KEYED))


def _with_answers(select: exp.Select, answers: dict[exp.Anonymous, exp.Expr]) -> exp.Select:
    made = select.copy()
    for call in list(made.find_all(exp.Anonymous)):
        if call in answers:
            call.replace(answers[call].copy())
    return made


def java(pattern: str) -> str:
    """A pattern of RE2 as Java reads the same. Raises `ValueError`."""
    made, in_class, folds = [], False, False
    for token in re.findall(r"\\[pP]\{\w+\}|\\.|\(\?[a-z]+\)|\[\^?|.", pattern, re.DOTALL):
        if token[0] == "\\":
            made.append(_escaped(token))
        elif token.startswith("(?") and token.endswith(")"):
            if token != "(?i)":
                raise ValueError(f"{token} in a pattern: DuckDB and Spark differ. Write it without.")
            folds = True
            made.append(token)
        elif in_class:
            if folds and token == "-":
                raise ValueError(f"{pattern}: a range where case does not count. List its characters.")
            made.append(f"\\{token}" if token[0] in "[&" else token + (FOLDED.get(token, "") if folds else ""))
            in_class = token != "]"
        elif token[0] == "[":
            in_class = True
            made.append(token)
        elif folds and token in FOLDED:
            made.append(f"[{token}{FOLDED[token]}]")
        else:
            made.append("\\z" if token == "$" else token)
    # Of line ends only \n counts, for the dot.
    return f"(?d){''.join(made)}"


def _escaped(token: str) -> str:
    special = {"\\p{Han}": f"[{HAN}]", "\\P{Han}": f"[^{HAN}]", "\\s": f"[{BLANKS}]", "\\S": f"[^{BLANKS}]"}
    if token[1].isalnum() and token not in special and token[1] not in SAME_ESCAPES:
        raise ValueError(f"{token} in a pattern: DuckDB and Spark differ. List the characters that are meant.")
    return special.get(token, token)


def _pattern(e: exp.Expr) -> exp.Expr:
    if not isinstance(e, exp.Literal) or not e.is_string:
        raise ValueError(f"{e.sql()}: a pattern must be a literal, as it is translated.")
    return exp.Literal.string(java(e.name))


def _replacement(e: exp.Expr) -> exp.Expr:
    text = re.sub(r"[$]", r"\\$", e.name)
    return exp.Literal.string(re.sub(r"\\([0-9])", r"$\1", text))


def _replaced(self: SparkGenerator, e: exp.RegexpReplace) -> str:
    """Spark exchanges all that match: where DuckDB is to exchange one, there must be one at most."""
    if e.args.get("modifiers") is None and not e.expression.name.endswith("$"):
        raise ValueError(f"{e.expression.name}: replaces the first match only. Anchor it at the end, or replace all.")
    return self.func("REGEXP_REPLACE", e.this, _pattern(e.expression), _replacement(e.args["replacement"]))


def _extracted(self: SparkGenerator, e: exp.RegexpExtract) -> str:
    group = e.args.get("group") or exp.Literal.number(0)
    return self.func("REGEXP_EXTRACT", e.this, _pattern(e.expression), group)


def _try_cast(self: SparkGenerator, e: exp.TryCast) -> str:
    """DuckDB takes any blanks before the clock, and hour 24 for midnight after the day."""
    if not e.to.is_type("timestampntz"):
        return self.trycast_sql(e)
    text = f"REGEXP_REPLACE({self.sql(e, 'this')}, '[ \\\\t\\\\n\\\\x0B\\\\f\\\\r]+', ' ')"
    read = f"TRY_CAST({{}} AS {self.sql(e.to)})"
    day = f"REGEXP_REPLACE({text}, '[ T]24:.*', '')"
    is_24 = f"{text} RLIKE '[ T]24:00?(:00?([.]0*)?)?\\\\z'"
    return f"CASE WHEN {is_24} THEN {read.format(day)} + INTERVAL '1' DAY ELSE {read.format(text)} END"


def _trimmed(self: SparkGenerator, e: exp.Trim) -> str:
    return f"TRIM(BOTH {self.sql(e.expression or exp.Literal.string(ZS))} FROM {self.sql(e, 'this')})"


def _upper(self: SparkGenerator, e: exp.Upper) -> str:
    """Texts with one of `capitals` go character by character."""
    odd, made = (self.sql(exp.Literal.string("".join(c))) for c in (capitals(), capitals().values()))
    text, several = self.sql(e, "this"), self.sql(exp.Literal.string(f"[{''.join(capitals())}]"))
    each = f"CASE WHEN LOCATE(c, {odd}) > 0 THEN TRANSLATE(c, {odd}, {made}) ELSE UPPER(c) END"
    by_one = f"ARRAY_JOIN(TRANSFORM(SPLIT({text}, ''), c -> {each}), '')"
    return f"CASE WHEN {text} RLIKE {several} THEN {by_one} ELSE UPPER({text}) END"


class Dialect(Spark):
    class Generator(SparkGenerator):
        TRANSFORMS = {
            **SparkGenerator.TRANSFORMS,
            exp.ArrayOverlaps: lambda self, e: self.func("ARRAYS_OVERLAP", e.this, e.expression),
            exp.RegexpLike: lambda self, e: f"{self.sql(e, 'this')} RLIKE {self.sql(_pattern(e.expression))}",
            exp.RegexpReplace: _replaced,
            exp.RegexpExtract: _extracted,
            exp.Trim: _trimmed,
            exp.TryCast: _try_cast,
            exp.Upper: _upper,
        }

        def anonymous_sql(self, expression: exp.Anonymous) -> str:
            known = OWN.get(expression.name.lower())
            if known is None:
                return super().anonymous_sql(expression)
            return known.format(", ".join(self.sql(e) for e in expression.expressions))
