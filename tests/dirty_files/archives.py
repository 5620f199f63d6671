"""Q11: archives, packed where file names are in GBK."""

from __future__ import annotations

import gzip
import subprocess
import tempfile
from pathlib import Path

from tests.dirty_files import csv, honour, put
from tests.dirty_files.workbooks import book, grid, zipped


def named(content: bytes, names: dict[str, bytes]) -> bytes:
    """Other names of the same length, as bytes that nothing says the encoding of."""
    for placeholder, name in names.items():
        assert len(placeholder) == len(name)
        content = content.replace(placeholder.encode(), name)
    return content


def locked(name: str, content: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(content, encoding="utf-8")
        subprocess.run(["zip", "-q", "-X", "-P", "secret", "a.zip", name], cwd=folder, check=True)
        return (Path(folder) / "a.zip").read_bytes()


workbook = book(("荣誉", grid(honour(1), honour(2))))
march, april = ("荣誉3月.xlsx".encode("gbk"), "荣誉4月.csv".encode("gbk"))
put("Q11", "gbk_names.zip", named(
    zipped(("~" * len(march), workbook), ("^" * len(april), csv(honour(3)))),
    {"~" * len(march): march, "^" * len(april): april},
))  # fmt: skip
put("Q11", "one_table.zip", zipped(
    ("荣誉/", b""), ("荣誉/荣誉.csv", csv(honour(1))), ("__MACOSX/荣誉/._荣誉.csv", b"\0\5\26\7"),
    ("荣誉/.DS_Store", b"\0\0\0\1Bud1"), ("荣誉/盖章扫描件.pdf", b"%PDF-1.7\n"),
))  # fmt: skip
put("Q11", "one_table.csv.gz", gzip.compress(csv(honour(1), honour(2)).encode("gb18030"), mtime=0))
put("Q11", "another_item.zip", zipped(("荣誉.csv", csv(honour(1))), ("车辆.csv", "车牌,车型\n甲,乙\n")))
put("Q11", "outside.zip", zipped(("../../荣誉.csv", csv(honour(1)))))
put("Q11", "bomb.zip", zipped(("荣誉.csv", bytes(1 << 27))))
put("Q11", "locked.zip", locked("a.csv", csv(honour(1))))
