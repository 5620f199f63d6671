"""The credit number: cleaning, shape, date and check digit of every number a subject may carry, as SQL trees.

Sources: GB 11643-1999 (citizen number, MOD 11-2 of ISO 7064), residence permits 81/82/83 (2018), five-star permanent
resident cards (2023), GB 32100-2015 (unified social credit code, MOD 31); see domain notes 1.1-1.5, Q40-Q50.

`columns` gives layers of helper columns; each layer may use the columns of the layers before. A value that already
has the plain shape skips all cleaning. Where several things are wrong, the first of this order is reported: absent,
destroyed by a spreadsheet, masked, shape, trailing 000, date, check digit, certificate type. A number that ends in 000
and yet has the right check digit is good here; the caller holds it, since one in twelve of the destroyed does.
"""

from __future__ import annotations

import re

from sqlglot import exp

from schemas.shapes import ASCII, DASHES, INVISIBLE, PLACEHOLDER, SPACES, translated
from schemas.sql import tree

PERSON = "^[1-9][0-9]{16}[0-9X]$"
USCC = "^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}$"
# Blanks, invisible characters, dashes and the wrappers that spreadsheets and people put around numbers.
NOISE = SPACES + INVISIBLE + DASHES + "'’‘`\"“”="
LOOK_ALIKES = "ХхΧχ×✕"  # of X: Cyrillic, Greek, signs of multiplication
ROUND = "ОоΟο〇"  # of the letter O, which in turn may stand for a nought: Cyrillic, Greek, the Chinese nought
MASKS = "[*#?某●•○■□◆]|_{2}|[0-9]{3}X{3}"
# Military and police cards: 南字第0123456号.
SERVICE_CARD = "^[一-龥]{0,4}字?第?[0-9A-Z]{4,12}号?$"
TELEPHONE = "^1[3-9][0-9]{9}$"
USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"

Layer = list[tuple[str, exp.Expr]]


def columns(raw: exp.Expr, cert_type: exp.Expr, prefix: str = "cn") -> list[Layer]:
    """Layers ending in cn (canonical number or NULL), cn_kind, cn_error (one code or NULL), cn_repair (one code or
    NULL), cn_region (first six digits of numbers that carry one), cn_birth (DATE). A second number of a row has a
    `prefix` of its own in place of cn."""
    text, kind = raw.sql(dialect="duckdb"), cert_type.sql(dialect="duckdb")
    tidy = translated(text, dict.fromkeys(LOOK_ALIKES, "X") | dict.fromkeys(ROUND, "O"), NOISE)
    bare = translated(text, dropped="".join(c for c in NOISE if c.isascii()), full=False)
    repeated = "|".join(f"{d}{{5,}}" for d in "123456789") + "|0+|1234567?8?9?0?|123456789012345678"
    sum_uscc = _sum(
        [f"(strpos('{USCC_ALPHABET}', substr(cn_text, {i}, 1)) - 1) * {w}" for i, w in enumerate(USCC_WEIGHTS, 1)]
    )
    layers: list[list[tuple[str, str]]] = [
        [
            ("cn_is_plain", f"{text} IS NOT NULL AND regexp_matches({text}, '{PERSON}')"),
            ("cn_type", f"coalesce({kind}, '111')"),
        ],
        [
            (
                "cn_clean",
                f"CASE WHEN cn_is_plain THEN {text} WHEN regexp_matches({text}, '{ASCII}') THEN upper({bare})"
                f" ELSE upper({tidy}) END",
            ),
            ("cn_is_alike", _if_odd(f"regexp_matches({text}, '[{LOOK_ALIKES}]')")),
        ],
        [
            (
                "cn_is_letters",
                _if_odd(
                    "regexp_matches(cn_clean, '^[0-9OIL]{17}[0-9XOIL]$')"
                    f" AND NOT regexp_matches(cn_clean, '{PERSON}')"
                ),
            ),
        ],
        [
            (
                "cn_text",
                # A spreadsheet keeps 15 digits: up to there a fraction of nought is all that it did to the number.
                f"""CASE WHEN cn_is_letters THEN translate(cn_clean, 'OIL', '011')
                WHEN {_if_odd("regexp_matches(cn_clean, '^[0-9]{8,15}[.]0+$')")}
                THEN substr(cn_clean, 1, strpos(cn_clean, '.') - 1) ELSE cn_clean END""",
            ),
        ],
        [
            (
                "cn_is_uscc",
                "cn_type = 'uscc' OR "
                + _if_odd(f"regexp_matches(cn_text, '{USCC}') AND NOT regexp_matches(cn_text, '{PERSON}')"),
            ),
            ("cn_is_15", "cn_type = '111' AND " + _if_odd("regexp_matches(cn_text, '^[1-9][0-9]{14}$')")),
            (
                "cn_is_18",
                f"cn_type <> 'uscc' AND CASE WHEN cn_is_plain THEN TRUE ELSE regexp_matches(cn_text, '{PERSON}') END",
            ),
        ],
        [
            (
                "cn17",
                "CASE WHEN cn_is_18 THEN substr(cn_text, 1, 17) WHEN cn_is_15 THEN concat(substr(cn_text, 1, 6),"
                " CASE WHEN substr(cn_text, 13, 3) >= '996' THEN '18' ELSE '19' END, substr(cn_text, 7, 9)) END",
            ),
        ],
        [("cn17_value", "TRY_CAST(cn17 AS BIGINT)")],
        [
            ("cn_check", f"substr('10X98765432', {_mod_11_2('cn17_value')} + 1, 1)"),
            (
                "cn_birth_read",
                "TRY_CAST(concat(substr(cn17, 7, 4), '-', substr(cn17, 11, 2), '-', substr(cn17, 13, 2)) AS DATE)",
            ),
            (
                "cn_is_coded",
                f"CASE WHEN cn_is_uscc THEN regexp_matches(cn_text, '{USCC}') AND"
                f" substr('{USCC_ALPHABET}', (31 - ({sum_uscc}) % 31) % 31 + 1, 1) = substr(cn_text, 18, 1)"
                " ELSE FALSE END",
            ),
        ],
        [
            (
                "cn_error",
                f"""CASE
                WHEN cn_is_plain THEN CASE
                    WHEN cn_is_uscc AND NOT cn_is_coded THEN 'I014' WHEN cn_is_uscc THEN NULL
                    WHEN cn_text = '123456789012345678'
                        OR (cn17_value % 11111111111111111 = 0 AND substr(cn_text, 18, 1) = substr(cn_text, 1, 1))
                        THEN 'I001'
                    WHEN cn17_value % 100 = 0 AND ends_with(cn_text, '0')
                        AND (cn17_value % 1000 = 0 OR cn_check <> '0') THEN 'I005'
                    WHEN cn_birth_read IS NULL THEN 'I004'
                    WHEN NOT ends_with(cn_text, cn_check) THEN 'I003'
                    WHEN {_is_other_document("cn_text")} THEN 'I010' END
                WHEN cn_clean IS NULL OR regexp_matches(cn_clean, '^(?:{PLACEHOLDER}|{repeated})?$') THEN 'I001'
                WHEN regexp_matches(cn_clean, '^[0-9](?:[.,][0-9]*)?E[+]?[0-9]{{1,3}}$')
                    OR regexp_matches(cn_clean, '^[0-9]{{16,}}[.]0*$') THEN 'I005'
                WHEN regexp_matches(cn_clean, '{MASKS}') THEN 'I006'
                WHEN cn_is_uscc AND NOT regexp_matches(cn_text, '{USCC}') THEN 'I002'
                WHEN cn_is_uscc AND NOT cn_is_coded THEN 'I014'
                WHEN cn_is_uscc THEN NULL
                WHEN cn_is_18 AND ends_with(cn_text, '000')
                    AND (cn17_value % 1000 = 0 OR cn_check <> '0') THEN 'I005'
                WHEN (cn_is_18 OR cn_is_15) AND cn_birth_read IS NULL THEN 'I004'
                WHEN cn_is_18 AND cn_check <> substr(cn_text, 18, 1) THEN
                    CASE WHEN cn_is_letters THEN 'I002' ELSE 'I003' END
                WHEN cn_is_18 AND {_is_other_document("cn_text")} THEN 'I010'
                WHEN cn_is_18 OR cn_is_15 THEN NULL
                WHEN regexp_matches(cn_text, '^[A-Z]{{3}}[0-9]{{12}}$')
                    THEN CASE WHEN cn_type IN ('553', '990') THEN NULL ELSE 'I010' END
                WHEN cn_type = '414' AND regexp_matches(cn_text, '^[A-Z0-9]{{5,17}}$') THEN NULL
                WHEN cn_type = '516' AND regexp_matches(cn_text, '^[HM][0-9]{{8}}([0-9]{{2}})?$') THEN NULL
                WHEN cn_type = '511' AND regexp_matches(cn_text, '^([0-9]{{8}}|[0-9]{{10}}[A-Z]?)$') THEN NULL
                WHEN cn_type IN ('114', '115', '118', '123') AND regexp_matches(cn_text, '{SERVICE_CARD}')
                    AND NOT regexp_matches(cn_text, '{TELEPHONE}') THEN NULL
                WHEN cn_type = '990' AND length(cn_text) BETWEEN 3 AND 32
                    AND NOT regexp_matches(cn_text, '[0-9]{{16}}|{TELEPHONE}') THEN NULL
                WHEN cn_type = '111' AND regexp_matches(cn_text,
                    '^(E[0-9A-Z][0-9]{{7}}|G[0-9]{{8}}|[PSD]E[0-9]{{7}}|[HM][0-9]{{8}}([0-9]{{2}})?)$') THEN 'I010'
                ELSE 'I002' END""",
            ),
        ],
        [
            (
                "cn",
                "CASE WHEN cn_error IS NULL THEN CASE WHEN cn_is_15 THEN concat(cn17, cn_check) ELSE cn_text END END",
            ),
            (
                "cn_kind",
                """CASE WHEN cn_error IS NOT NULL THEN NULL WHEN cn_is_uscc THEN 'uscc'
                WHEN cn_is_15 THEN 'citizen'
                WHEN cn_is_18 AND substr(cn_text, 1, 6) IN ('810000', '820000', '830000') THEN 'resident_permit'
                WHEN cn_is_18 AND substr(cn_text, 1, 1) = '9' THEN 'foreign_card_18'
                WHEN cn_is_18 THEN 'citizen'
                WHEN regexp_matches(cn_text, '^[A-Z]{3}[0-9]{12}$') THEN 'foreign_card_15'
                WHEN cn_type = '414' THEN 'passport' WHEN cn_type = '516' THEN 'travel_permit_hm'
                WHEN cn_type = '511' THEN 'travel_permit_tw' ELSE 'other' END""",
            ),
            (
                "cn_repair",
                f"""CASE WHEN cn_is_plain OR cn_error IS NOT NULL THEN NULL
                WHEN cn_is_alike OR cn_is_letters THEN 'I013'
                WHEN cn_is_15 THEN 'I008' WHEN cn_text <> {text} THEN 'I009' END""",
            ),
            ("cn_birth", "CASE WHEN cn_error IS NULL AND NOT cn_is_uscc THEN cn_birth_read END"),
            (
                "cn_region",
                "CASE WHEN cn_error IS NULL AND cn17 IS NOT NULL AND NOT cn_is_uscc AND substr(cn17, 1, 1) <> '9'"
                " THEN substr(cn17, 1, 6) END",
            ),
        ],
    ]

    def named(text: str) -> str:
        return text if prefix == "cn" else re.sub(r"\bcn(?=17|_|\b)", prefix, text)

    return [[(named(name), tree(named(sql))) for name, sql in layer] for layer in layers]


def _is_other_document(number: str) -> str:
    """Whether the certificate type is one whose numbers never look like that of a citizen."""
    return f"(cn_type IN ('414', '516', '511') OR (cn_type = '553' AND NOT starts_with({number}, '9')))"


def _if_odd(test: str) -> str:
    """A test that only values without the plain shape pay for: the engine evaluates both sides of an AND."""
    return f"CASE WHEN cn_is_plain THEN FALSE ELSE coalesce({test}, FALSE) END"


def _mod_11_2(value: str) -> str:
    """The remainder that GB 11643 turns into the check digit, from the first 17 digits read as one integer N.

    The weights are the powers 2^17 .. 2^1 mod 11, so the sum is 2 * sum(d_i * 2^i) over the digits d_i of N counted
    from the right. With d_i = N // 10^i - 10 * (N // 10^(i+1)) that telescopes to N - 4 * sum(2^i * (N // 10^i)).
    """
    terms = " + ".join(f"{2**i} * ({value} // {10**i})" for i in range(1, 17))
    return f"((2 * (({value} - 4 * ({terms})) % 11) + 22) % 11)"


def _sum(terms: list[str]) -> str:
    return " + ".join(terms)
