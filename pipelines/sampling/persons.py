"""Invented people: a person is a whole number, and everything about the person is a pure function of it and a seed.

Birth years are 1850-1899 and nothing else, so no number can belong to anybody alive. The check digit is computed
here from the standard's weights and shares no code with the rules that will judge it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
CHECKS = np.frombuffer(b"10X98765432", dtype=np.uint8)
FIRST_BIRTH, LAST_BIRTH = np.datetime64("1850-01-01"), np.datetime64("1899-12-31")
NEVER_REGION = 469099  # was never given out
REGIONS = (
    460105, 460106, 460107, 460108, 460202, 460203, 460204, 460205, 469001, 469002, 469005, 469006, 469007, 469021,
    469022, 469023, 469024, 469025, 469026, 469027, 469028, 469029, 469030, 460003, 460022, 460025, 460028, 460029,
    460033, 460034,
)  # fmt: skip
SERIALS = 990  # sequence codes 001-999 without the hundreds, so that no number ends in 000 like a spreadsheet's ruin

SURNAMES = (
    *"王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭",
    *"曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢符邢云冼",
    *("欧阳", "司徒"),
)
GIVEN_FIRST = ("", "", *"文志建国明海春秋玉桂秀德永家世长云天子正新承学光维振少若雅静思一大小")
GIVEN_LAST = tuple("华英芳强伟军平波兰梅琴珍杰勇刚辉山河林峰宁安康福贵祥瑞琼瑶珠雯婷娟敏丽娜浩宇轩涵")
RARE_NAMES = ("王䶮", "符䶮之", "陈𬱖", "林𬱖华", "李喆", "吴玥䶮", "冼堃", "邢龑", "何𬭚", "云祎䶮")
DOTTED_NAMES = ("阿依古丽·测试", "买买提·艾山", "迪丽·阿不都", "古丽娜尔·吐逊", "扎西·多吉", "娜仁·其其格")
LATIN_NAMES = ("John Sample", "Maria Invented", "Ivan Beispiel", "Anna Muster", "José Ejemplo", "Zoë Nobody")


def salt(*words: object) -> int:
    """64 bits that stand for the words, the same on every machine."""
    text = "\0".join(str(w) for w in words).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def scramble(values: Ints, mark: int) -> Hashes:
    """SplitMix64 over `values` under `mark`; shape unchanged."""
    x: Hashes = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(mark)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def below(values: Ints, mark: int, limit: int) -> Ints:
    """A number in [0, limit) for each value."""
    return (scramble(values, mark) % np.uint64(limit)).astype(np.int64)


def texts(matrix: Bytes) -> pa.Array:
    """Rows of ASCII bytes, all of one length, as an Arrow string array."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix)))


def pick(options: Sequence[str] | pa.Array, index: Ints) -> pa.Array:
    table = options if isinstance(options, pa.Array) else pa.array(list(options), pa.string())
    return table.take(pa.array(index))


def digits(values: Ints, width: int) -> Bytes:
    """ASCII digits with leading zeros, shape (len(values), width)."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + 48).astype(np.uint8)


def with_check(body: Bytes) -> Bytes:
    """Seventeen ASCII digits a row -> eighteen characters with the check digit of ISO 7064 MOD 11-2."""
    rest = ((body.astype(np.int64) - 48) @ WEIGHTS) % 11
    return np.concatenate([body, CHECKS[rest][:, None]], axis=1)


class Persons:
    """People by whole number; different numbers are different people with different identity numbers."""

    def __init__(self, seed: int, regions: Sequence[int] = REGIONS) -> None:
        self.regions = np.array(sorted(set(regions)), dtype=np.int64)
        births = np.arange(FIRST_BIRTH, LAST_BIRTH + np.timedelta64(1, "D"))
        years = births.astype("datetime64[Y]").astype(np.int64) + 1970
        months = births.astype("datetime64[M]").astype(np.int64) % 12 + 1
        days = (births - births.astype("datetime64[M]")).astype(np.int64) + 1
        self.births = cast(Ints, years * 10000 + months * 100 + days)
        self.seed = seed
        self.size = len(self.births) * len(self.regions) * SERIALS
        self.start = salt(seed, "person") % self.size

    def parts(self, people: Ints) -> tuple[Ints, Ints, Ints]:
        """Region, birth date as YYYYMMDD and sequence code of each person."""
        place = (people * 982451653 + self.start) % self.size  # a prime step visits every place once
        region, rest = place % len(self.regions), place // len(self.regions)
        serial, birth = rest % SERIALS, rest // SERIALS
        return self.regions[region], self.births[birth], serial // 99 * 100 + serial % 99 + 1

    def numbers(self, people: Ints) -> Bytes:
        """Identity numbers, shape (n, 18), all with the right check digit."""
        return number(*self.parts(people))

    def names(self, people: Ints) -> pa.Array:
        kind = below(people, salt(self.seed, "kind of name"), 1000)
        mark = salt(self.seed, "name")
        plain = pc.binary_join_element_wise(
            pick(SURNAMES, below(people, mark, len(SURNAMES))),
            pick(GIVEN_FIRST, below(people, mark + 1, len(GIVEN_FIRST))),
            pick(GIVEN_LAST, below(people, mark + 2, len(GIVEN_LAST))),
            "",
        )
        rare = pick(RARE_NAMES, below(people, mark + 3, len(RARE_NAMES)))
        dotted = pick(DOTTED_NAMES, below(people, mark + 4, len(DOTTED_NAMES)))
        named = pc.if_else(pa.array(kind < 15), rare, plain)
        return pc.if_else(pa.array((kind >= 15) & (kind < 30)), dotted, named)

    def is_foreign(self, people: Ints) -> npt.NDArray[np.bool_]:
        """One in a hundred shows a passport."""
        return cast(npt.NDArray[np.bool_], below(people, salt(self.seed, "foreign"), 100) == 0)

    def latin_names(self, people: Ints) -> pa.Array:
        return pick(LATIN_NAMES, below(people, salt(self.seed, "latin"), len(LATIN_NAMES)))

    def passports(self, people: Ints) -> pa.Array:
        """Invented ordinary passport numbers: a letter and eight digits."""
        letter = np.full((len(people), 1), ord("P"), dtype=np.uint8)
        return texts(np.concatenate([letter, digits(people % 10**8, 8)], axis=1))


def number(region: Ints, birth: Ints, serial: Ints) -> Bytes:
    """Identity numbers from their parts, shape (n, 18)."""
    return with_check(np.concatenate([digits(region, 6), digits(birth, 8), digits(serial, 3)], axis=1))


def ending_in_x(region: int, birth: int, serial: int) -> str:
    """The next number of the same place and day whose check character is X."""
    for step in range(1, 1000):
        try_serial = (serial + step) % 1000
        body = np.array([list(f"{region:06d}{birth:08d}{try_serial:03d}".encode())], dtype=np.uint8)
        found: Any = with_check(body)[0].tobytes().decode()
        if found.endswith("X") and try_serial:
            return str(found)
    raise AssertionError("one sequence code in eleven ends in X")
