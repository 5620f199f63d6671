"""Credit numbers: the printed vectors, and agreement with an oracle written independently."""

import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from sqlglot import exp

from schemas import spark
from schemas.kinds import credit_number
from tests.oracle_credit_number import judge, mod_11_2, mod_31


def judged(values: list[tuple[str | None, str | None]]) -> list[tuple[Any, ...]]:
    """(cn, error, repair, kind, birth) of each (number, certificate type), in order."""
    last = "given"
    query = exp.select("*")
    for n, layer in enumerate(credit_number.columns(exp.column("raw"), exp.column("kind"))):
        body = exp.select("*", *(exp.alias_(e, name) for name, e in layer)).from_(last)
        last = f"layer_{n}"
        query = query.with_(last, as_=body)
    with duckdb.connect() as engine:
        numbers, kinds = zip(*values, strict=True)
        columns = [pa.array(range(len(values))), pa.array(numbers, pa.string()), pa.array(kinds, pa.string())]
        engine.register("given", pa.table(columns, names=["n", "raw", "kind"]))
        sql = query.from_(last).sql(dialect="duckdb")
        return engine.execute(f"SELECT cn, cn_error, cn_repair, cn_kind, cn_birth FROM ({sql}) ORDER BY n").fetchall()


VECTORS: list[tuple[str | None, str | None, str | None, str | None, str | None]] = [
    ("11010519491231002X", None, "11010519491231002X", None, None),
    ("440524188001010014", None, "440524188001010014", None, None),
    ("460106186003070037", None, "460106186003070037", None, None),
    ("460106186003070029", "111", "460106186003070029", None, None),
    ("46010618600307007X", None, "46010618600307007X", None, None),
    ("46010618600307007x", None, "46010618600307007X", None, "I009"),
    ("４６０１０６１８６００３０７００７Ｘ", None, "46010618600307007X", None, "I009"),
    ("46010618600307007Ｘ", None, "46010618600307007X", None, "I009"),
    ("460106 18600307 007X", None, "46010618600307007X", None, "I009"),
    ("'46010618600307007X", None, "46010618600307007X", None, "I009"),
    ("46010618600307007X\t", None, "46010618600307007X", None, "I009"),
    ('="460106186003070037"', None, "460106186003070037", None, "I009"),
    ("460106\u200b186003070037", None, "460106186003070037", None, "I009"),
    ("46010618600307007\u00d7", None, "46010618600307007X", None, "I013"),
    ("46010618600307007\u0425", None, "46010618600307007X", None, "I013"),
    ("46O106186003070037", None, "460106186003070037", None, "I013"),
    ("46010618600307007*", None, None, "I006", None),
    ("469007186402290036", None, "469007186402290036", None, None),
    ("830000186302290035", "154", None, "I004", None),
    ("460106186003070038", None, None, "I003", None),
    ("460106186003070000", None, None, "I005", None),
    ("460106186003070016", None, None, "I003", None),
    ("4.60106E+17", None, None, "I005", None),
    ("4.60106186003070E+17", None, None, "I005", None),
    ("460106186003070037.0", None, None, "I005", None),
    ("４．６０１０６Ｅ＋１７", None, None, "I005", None),
    ("4,60106E+17", None, None, "I005", None),
    ("460106186003071000", None, None, "I005", None),
    ("460106186003073000", None, "460106186003073000", None, None),
    ("469099650101001.0", None, "469099196501010016", None, "I008"),
    ("12345678.0", "511", "12345678", None, "I009"),
    ("\u202a460106186003070037\u202c", None, "460106186003070037", None, "I009"),
    ("460106\u00ad1860\u20110307\u200e0037", None, "460106186003070037", None, "I009"),
    ("`460106186003070037", None, "460106186003070037", None, "I009"),
    ("46〇106186〇03070037", None, "460106186003070037", None, "I013"),
    ("46\u041e106186003070037", None, "460106186003070037", None, "I013"),
    ("460106XXXXXXXX0037", None, None, "I006", None),
    ("460106########0037", None, None, "I006", None),
    ("460106●●●●●●●●0037", None, None, "I006", None),
    ("N/A", None, None, "I001", None),
    ("#N/A", None, None, "I001", None),
    ("无身份证", None, None, "I002", None),
    ("000", None, None, "I001", None),
    ("示例460106186003070037", "990", None, "I002", None),
    ("13000000001", "990", None, "I002", None),
    ("13000000001", None, None, "I002", None),
    ("南字第0123456号", "114", "南字第0123456号", None, None),
    ("南字第 0123456 号", "118", "南字第0123456号", None, "I009"),
    ("13000000001", "114", None, "I002", None),
    ("460106186003070037", "553", None, "I010", None),
    ("469099650101001", None, "469099196501010016", None, "I008"),
    ("469099010101997", None, "469099180101019971", None, "I008"),
    ("460029186111110031", None, "460029186111110031", None, None),
    ("810000186001010032", "154", "810000186001010032", None, None),
    ("946840186003070038", "553", "946840186003070038", None, None),
    ("91469099MA5T00010A", "uscc", "91469099MA5T00010A", None, None),
    ("92469099MA5T000294", "uscc", "92469099MA5T000294", None, None),
    ("11469099008171007K", "uscc", "11469099008171007K", None, None),
    ("N2469099MF5T00035M", "uscc", "N2469099MF5T00035M", None, None),
    ("N2469099MF5T00035N", "uscc", None, "I014", None),
    ("E12345678", "414", "E12345678", None, None),
    ("E12345678", "111", None, "I010", None),
    ("460106186003070037", "414", None, "I010", None),
    ("H12345678", "516", "H12345678", None, None),
    (None, None, None, "I001", None),
    ("-", None, None, "I001", None),
    ("111111111111111111", None, None, "I001", None),
    ("123456789012345678", None, None, "I001", None),
    ("460106********0037", None, None, "I006", None),
    ("46010618600307003", None, None, "I002", None),
    ("460106186003070037/460106186003070029", None, None, "I002", None),
    ("110101199001011234", None, None, "I003", None),
]


@pytest.mark.parametrize(("raw", "kind", "cn", "error", "repair"), VECTORS)
def test_printed_vector(
    raw: str | None, kind: str | None, cn: str | None, error: str | None, repair: str | None
) -> None:
    assert judged([(raw, kind)])[0][:3] == (cn, error, repair)
    assert judge(raw, kind) == (cn, error, repair)


def generated(rng: random.Random) -> tuple[str, str | None]:
    """A number of an allowed kind, mostly damaged in one of the ways that exports damage numbers."""
    region = rng.choice(("460106", "469099", "460029", "810000", "946840"))
    year = rng.choice((rng.randrange(1850, 1900), rng.randrange(2080, 2100)))
    day = f"{rng.randrange(0, 14):02}{rng.randrange(0, 33):02}"
    base = f"{region}{year}{day}{rng.randrange(0, 1000):03}"
    number = base + mod_11_2(base)
    kind = rng.choice((None, "111", "154", "553", "414", "uscc", "990", "516", "511", "114"))
    if rng.random() < 0.15:
        body = rng.choice(("91", "92", "N2", "11", "A1")) + "469099" + "".join(rng.choices("0123456789ABCDEFGHJ", k=9))
        number = body + mod_31(body)
    where = rng.randrange(len(number))
    damage = rng.choice(
        (
            lambda t: t,
            lambda t: t.lower(),
            lambda t: t[:where] + rng.choice(" -\u3000\u200b'0123456789OIlX*＊.E\u0425") + t[where + 1 :],
            lambda t: t[:where] + rng.choice(" \u00a0\t-") + t[where:],
            lambda t: t[:-1],
            lambda t: t + "1",
            lambda t: t[:15] + "000",
            lambda t: t + ".0",
            lambda t: t[:6] + t[8:17] + ".0",
            lambda t: t[:6] + "X" * 8 + t[14:],
            lambda t: "".join(chr(ord(c) + 0xFEE0) for c in t),
            lambda t: "469099" + t[8:17],
            lambda t: "E" + t[1:9],
            lambda t: "ABC" + t[:12],
        )
    )
    return damage(number), kind


def test_engine_and_oracle_agree_on_generated_numbers(is_soak: bool) -> None:
    rng = random.Random(46)
    values = [generated(rng) for _ in range(1_000_000 if is_soak else 100_000)]
    for (raw, kind), found in zip(values, judged(values), strict=True):  # type: ignore[arg-type]
        assert found[:3] == judge(raw, kind), (raw, kind)


def test_every_expression_renders_for_spark() -> None:
    for layer in credit_number.columns(exp.column("raw"), exp.column("kind")):
        for _, tree in layer:
            assert spark.sql(tree)
