"""Q40-Q55: numbers of people as spreadsheets, forms and people leave them."""

from tests.dirty_files import honour, number, put, table
from tests.dirty_files.penalties import ENTERPRISE, SOLE_TRADER, penalty, reference

TWO = f"{number(2)}/{number(3)}"


def numbers(*written: str, **cells: str) -> str:
    """A row for each number that was written, and as many good ones, so that the file is not held for its rejects."""
    wrong = [honour(n, 证件号码=text, **cells) for n, text in enumerate(written, 1)]
    return table(*wrong, *(honour(100 + n) for n in range(len(wrong))))


def ending_in_x(n: int) -> int:
    return next(m for m in range(n, 200) if number(m).endswith("X"))


def doubled(n: int) -> str:
    """What is left of a number that a program held as a double: the nearest multiple of 64."""
    return str(int(float(number(n)[:17] + "0")) if number(n).endswith("X") else int(float(number(n))))


X = number(ending_in_x(20))
put("Q40", "scientific.csv", numbers("4.60106E+17", "4.60106186003070E+17", "４．６０１０６Ｅ＋１７", "4,60106e17"))
put("Q41", "rows.csv", numbers("460106186003070000", "460106186003073000"))
put(
    "Q41",
    "column.csv",
    table(*(honour(n, 证件号码=f"{number(n)[:15]}000") for n in range(1, 5)), *(honour(n) for n in range(5, 60))),
)
put("Q42", "tail.csv", numbers("460106186003070016", "460106186003070037.0", "469099650101001.0"))
put(
    "Q42",
    "column.csv",
    table(*(honour(n, 证件号码=doubled(n)) for n in range(1, 13)), *(honour(n) for n in range(13, 45))),
)
put("Q43", "wrapped.csv", numbers(f"'{number(1)}", f'="{number(2)}"', f"`{number(3)}", f"“{number(4)}”"))
put("Q43", "noughts.csv", table(honour(1, 荣誉类型="1"), honour(2, 荣誉类型="1.0"), honour(3, 荣誉类型="01")))
put(
    "Q44",
    "look_alikes.csv",
    numbers(
        number(1).translate(str.maketrans("0123456789", "０１２３４５６７８９")),
        X.lower(),
        X[:17] + "Ｘ",
        X[:17] + "х",
        X[:17] + "×",
        X[:17] + "Χ",
        number(7).replace("0", "O"),
        number(8).replace("1", "l"),
        number(9).replace("0", "〇"),
        "46O106186003070038",
    ),
)
N = number(1)
put(
    "Q45",
    "blanks.csv",
    numbers(
        f"{N[:6]} {N[6:10]} {N[10:14]} {N[14:]}",
        f"{N[:6]}-{N[6:14]}-{N[14:]}",
        f"{N[:6]}\t{N[6:]}",
        f"{N[:6]}\u200b{N[6:]}",
        f"\ufeff{N}",
        f"\u202a{N}\u202c",
        f"{N[:6]}\u00a0{N[6:]}",
        f"{N[:6]}\u00ad{N[6:]}",
    ),
)
put("Q46", "fifteen.csv", numbers("469099650101001", "469099651301001"))
put("Q47", "lengths.csv", numbers(number(1)[:17], number(2) + "7", TWO, f"符喆 {number(4)}"))
put("Q47", "other_documents.csv", numbers(TWO, f"符喆{number(2)}", 证件类型="其他证件"))
put(
    "Q48",
    "masked.csv",
    numbers(
        "460106********0037", "4601**********0037", "460106****0307****", "460106XXXXXXXX0037", "460106●●●●●●●●0037"
    ),
)
put(
    "Q49",
    "numbers.csv",
    numbers(
        "无",
        "/",
        "-",
        "——",
        "暂无",
        "null",
        "NULL",
        "\\N",
        "0",
        "111111111111111111",
        "000000000000000000",
        "123456789012345678",
        "不详",
        "未提供",
        "#N/A",
        "",
    ),
)
put(
    "Q49",
    "other_fields.csv",
    table(
        honour(1) | {"有效期至": "无"},
        honour(2, 更新时间="NULL") | {"有效期至": ""},
        honour(3, 更新时间="0000-00-00 00:00:00") | {"有效期至": "——"},
        honour(4, 认定日期="暂无") | {"有效期至": ""},
        honour(5, 荣誉级别="/") | {"有效期至": ""},
        honour(6) | {"有效期至": ""},
    ),
)
put(
    "Q50",
    "types.csv",
    table(
        honour(1, 证件号码="E12345678"),
        honour(2, 证件号码=ENTERPRISE),
        honour(3, 证件号码="13000000001"),
        honour(4, 证件类型="护照"),
        honour(5, 证件类型="军官证", 证件号码="南字第0123456号"),
        honour(6, 证件类型="护照", 证件号码="E12345678"),
        honour(7),
        honour(8),
    ),
)
put(
    "Q51",
    "names.csv",
    table(
        honour(1, 姓名="符喆之"),
        honour(1, 姓名="冼文山", 认定文号="琼验字〔2025〕00000901号"),
        honour(2, 姓名="測試甲".replace("測試", "陳誌")),
        honour(2, 姓名="陈志甲", 认定文号="琼验字〔2025〕00000902号"),
        honour(3, 姓名="冼小琼"),
        honour(3, 姓名="冼晓琼", 认定文号="琼验字〔2025〕00000903号"),
        honour(4),
    ),
)
W, M = reference(1), reference(2)
put(
    "Q52",
    "reference.csv",
    table(reference(1, 性别="男" if W["性别"] == "女" else "女"), reference(2, 出生日期="1875-01-01"), reference(3)),
)
put(
    "Q53",
    "one_number.csv",
    table(honour(1, 姓名="符喆之"), honour(1, 姓名="冼文山", 认定文号="琼验字〔2025〕00000901号"), honour(2)),
)
put("Q54", "cancelled.csv", table(reference(1, 登记类型="注销", 死亡日期="2025-05-30"), reference(2)))
put(
    "Q55",
    "roles.csv",
    table(
        penalty(1, 行政相对人类别="法人及非法人组织"),
        penalty(
            2,
            行政相对人类别="个体工商户",
            统一社会信用代码=SOLE_TRADER,
            法定代表人="符喆之",
            法定代表人证件号码=number(2),
        ),
        penalty(3),
    ),
)
