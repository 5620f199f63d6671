"""Makers of the bytes in `tests/samples/Q…`, one module per subject: `python -m tests.dirty_files.<subject>`.

What a maker writes is committed and reviewed by hand; the tests read only that. Persons are invented: see `number`.
"""

from __future__ import annotations

from pathlib import Path

from tests.dirty_data import SAMPLES
from tests.oracle_credit_number import mod_11_2
from tests.test_privacy import name

HEADER = ("姓名", "证件类型", "证件号码", "荣誉类型", "荣誉名称", "荣誉级别", "评价年度", "认定文号", "文件名称",
          "认定日期", "认定部门", "是否同意公示", "备注", "更新时间")  # fmt: skip


def number(n: int) -> str:
    """An invented number of a person born 1861–1898, in a region that exists."""
    body = f"460106{1861 + n % 38}{n % 12 + 1:02d}{n % 28 + 1:02d}{n % 999 + 1:03d}"
    return body + mod_11_2(body)


def honour(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of the item honour about invented person `n`; `cells` replace."""
    row = dict(
        zip(
            HEADER,
            (name(n), "身份证", number(n), "01", "示例荣誉", "2", "2025", f"琼验字〔2025〕{n:08d}号", "示例文件",
             "2025-06-01", "海口市示例局", "是", "", "2025-07-01 08:00:00"),
            strict=True,
        )
    )  # fmt: skip
    assert row.keys() >= cells.keys(), cells.keys() - row.keys()
    return row | cells


def csv(*rows: dict[str, str], end: str = "\n", delimiter: str = ",") -> str:
    """Header and rows; cells are taken as they are, so a cell that needs quotes brings them."""
    lines = [HEADER, *(tuple(row.values()) for row in rows)]
    return "".join(delimiter.join(line) + end for line in lines)


def table(*rows: dict[str, str]) -> str:
    """Header and rows of any item, its header the keys of the first row; cells are quoted where they have to be."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    odd = set(',"\n')
    cells = [['"' + c.replace('"', '""') + '"' if odd & set(c) else c for c in line] for line in lines]
    return "".join(",".join(line) + "\n" for line in cells)


def put(case: str, file: str, content: bytes | str) -> Path:
    path = SAMPLES / case / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
