"""Q105-Q109: amounts, their units, and yes or no."""

from tests.dirty_files import honour, put, table
from tests.dirty_files.penalties import penalty, ticket

FINE = "罚款金额（万元）"


def fine(n: int, amount: str, content: str = "予以罚款", **more: str) -> dict[str, str]:
    return penalty(n, 处罚内容=content, **{FINE: amount}, **more)


def fines(*written: str) -> str:
    return table(*(ticket(n, **{"罚款金额（元）": text}) for n, text in enumerate(written, 1)))


put(
    "Q105",
    "units.csv",
    table(
        fine(1, "5000", "罚款5000元"),
        fine(2, "50", "罚款人民币50.00元"),
        fine(3, "0.5", "罚款5000元"),
        fine(4, "150"),
        fine(5, "5000元", "罚款5000元"),
        fine(6, "0.5"),
    ),
)
put(
    "Q106",
    "yuan.csv",
    fines(
        "1,000.00",
        "￥500",
        "27709 .61 元",
        "500元",
        "伍仟元整",
        "5百",
        "0.5万元",
        "５００",
        "5-10万",
        "0,5",
        "五百五",
        "约500元",
        *["200"] * 4,
    ),
)
put(
    "Q106",
    "ten_thousands.csv",
    table(fine(1, "伍仟元整"), fine(2, "0.5万元"), fine(3, "5000元"), fine(4, "5百"), fine(5, "0.5")),
)
put(
    "Q107",
    "noughts.csv",
    table(
        fine(1, "0"), fine(2, "-5"), fine(3, "0.000000", "予以警告", 处罚类别="警告"), fine(4, "0.5"), fine(5, "0.5")
    ),
)
put(
    "Q108",
    "decimals.csv",
    table(fine(1, "0.002"), fine(2, "0.00"), fine(3, "0.000001"), fine(4, "0.0000001"), fine(5, "0.5")),
)
put(
    "Q109",
    "yes_or_no.csv",
    table(
        *(
            honour(n, 是否同意公示=text)
            for n, text in enumerate(("是", "否", "Y", "N", "1", "0", "√", "×", "True", "no", "Ｙ", "1.0", "部分"), 1)
        )
    ),
)
