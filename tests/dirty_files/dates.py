"""Q100-Q104 and Q110: dates and moments."""

from tests.dirty_files import honour, put, table
from tests.dirty_files.penalties import penalty


def dates(*written: str) -> str:
    return table(*(honour(n, 认定日期=text) for n, text in enumerate(written, 1)))


put(
    "Q100",
    "usual.csv",
    dates("2025/6/1", "2025-06-01", "20250601", "2025年6月1日", "2025.6.1", "2025-06-01 00:00:00.0", "2025/6/1 0:00"),
)
put(
    "Q100",
    "rare.csv",
    dates(
        "二〇二五年六月一日",
        "２０２５－０６－０１",
        "2025 年 6 月 1 日",
        "25/6/2025",
        "Jun 1 2025",
        "1-JUN-2025",
        "1748736000000",
        "20250601083000",
        "Sun Jun 01 00:00:00 CST 2025",
    ),
)
put("Q100", "uncertain.csv", dates("5/6/2025", "25-6-1", "2025/6", "2025年6月", "01-JUN-25", *["2025-06-01"] * 5))
put("Q101", "serials.csv", dates("45809", "45809.0", "45809.5", "20256", "2025-06-01"))
put(
    "Q102",
    "terms.csv",
    table(
        *(
            honour(n) | {"有效期至": text}
            for n, text in enumerate(("9999-12-31", "9999-9-9", "2099-12-31", "长期", "永久", "至今", ""), 1)
        )
    ),
)
put("Q102", "events.csv", dates("长期", "9999-12-31", "0001-01-01", "2025-06-01", "2025-06-02", "2025-06-03"))
put(
    "Q103",
    "impossible.csv",
    table(
        penalty(1, 处罚决定日期="2025-02-30"),
        penalty(2, 处罚决定日期="2027-01-05"),
        penalty(3, 处罚有效期="2025-05-31"),
        penalty(4),
        penalty(5),
        penalty(6),
    ),
)
put("Q104", "publicity.csv", table(penalty(1, 公示截止期="2026-11-22"), penalty(2, 公示截止期="2025-05-01")))
put(
    "Q110",
    "zones.csv",
    table(
        honour(1, 认定日期="2025-06-01T16:00:00Z"),
        honour(2, 认定日期="2025-06-01T15:59:59.999Z"),
        honour(3, 认定日期="2025-06-01T16:00:00+08:00"),
        honour(4, 更新时间="2025-07-01T00:00:00Z"),
        honour(5, 更新时间="2025-07-01T08:00:00"),
        honour(6, 更新时间="2025-07-01T03:00:00-05:00"),
        honour(7),
    ),
)
