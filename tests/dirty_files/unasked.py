"""Q126: columns that the catalogue does not have, and those that are sent to be seen again."""

import io

import openpyxl

from tests.dirty_files import HEADER, honour, put

MORE = {"回传_序号": "00017", "ECHO_id": "a-1", "手机型号": "某型", "血型": "A", "回传_健康状况": "良好"}


def with_more(*rows: dict[str, str]) -> list[list[str]]:
    return [[*HEADER, *MORE], *([*row.values(), *MORE.values()] for row in rows)]


rows = with_more(honour(1), honour(2, 认定日期="2025-13-05"), honour(3))
put("Q126", "more.csv", "".join(",".join(cells) + "\n" for cells in rows))
book = openpyxl.Workbook()
for cells in rows:
    book.active.append(cells)
target = io.BytesIO()
book.save(target)
put("Q126", "more.xlsx", target.getvalue())
