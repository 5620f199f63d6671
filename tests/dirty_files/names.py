"""Q60-Q68: names, brackets, texts and places."""

from tests.dirty_files import honour, number, put, table
from tests.dirty_files.penalties import ticket

PASSPORT = {"证件类型": "护照"}


def names(*written: str) -> str:
    return table(*(honour(n, 姓名=text) for n, text in enumerate(written, 1)))


put("Q60", "dots.csv", names(*(f"阿依古丽{dot}吐逊" for dot in "·•・．.‧･∙")))
put(
    "Q61",
    "blanks.csv",
    table(
        honour(1, 姓名="符　喆"),
        honour(2, 姓名="符 喆 之"),
        honour(3, 姓名="符\u200b喆"),
        honour(4, 姓名="JOHN  SAMPLE", 证件号码="E12345678", **PASSPORT),
        honour(5, 姓名="JOHN SAMPLE", 证件号码="E12345679", **PASSPORT),
    ),
)
put(
    "Q62",
    "roles.csv",
    table(
        honour(1, 姓名="符喆之(经营者)"),
        honour(2, 姓名="当事人：符喆之"),
        honour(3, 姓名="符喆之先生"),
        honour(4, 姓名="符喆之等2人"),
        honour(5, 姓名="符喆之、冼文山"),
        honour(6, 姓名="符某某"),
        honour(7, 姓名="符**"),
        honour(8, 姓名="示例餐饮店(符喆之)"),
        honour(9, 姓名=number(9)),
        *(honour(n) for n in range(10, 16)),
    ),
)
put(
    "Q63",
    "latin.csv",
    table(
        *(
            honour(n, 姓名=text, 证件号码=f"E1234567{n}", **PASSPORT)
            for n, text in enumerate(
                ("SAMPLE,JOHN", "John Sample", "José Ejemplo", "Zoë O'Nobody", "ＪＯＨＮ ＳＡＭＰＬＥ"), 1
            )
        )
    ),
)
put("Q64", "round.csv", table(honour(1, 认定文号="琼验字（2025）7号"), honour(2, 认定文号="琼验字[2025]8号")))
put("Q64", "square.csv", table(honour(1, 认定文号="琼验字〔2025〕7号"), honour(2, 认定文号="琼验字【2025】第8号")))
put("Q65", "variants.csv", names("\u2f42喆之", "冼\uf979", "林髙"))
put(
    "Q66",
    "third_persons.csv",
    table(
        honour(1, 备注=f"与冼某(身份证号{number(90)})发生争执，电话13000000001"),
        honour(2, 备注=f"代理人 {number(91)[:6]} {number(91)[6:]}"),
        honour(3, 备注="本人符文之到场", 姓名="符文之"),
        honour(4, 备注="无争执"),
        honour(5, 备注="举报人：冼燊之，证人羊昶夏陈述如下，举报人要求匿名"),
    ),
)
put(
    "Q67",
    "markup.csv",
    table(
        honour(1, 备注="示例&nbsp;一<br>二_x000D_"),
        honour(2, 姓名="符喆之_x000D_"),
        honour(3, 备注="A&amp;B <b>示例</b>"),
        honour(4, 备注="温度<5℃ & 湿度>60%"),
        honour(5, 认定文号="琼验字〔2025〕5号&nbsp;"),
    ),
)
put(
    "Q68",
    "places.csv",
    table(
        ticket(1, 违法地点="海南省海口市"), ticket(2, 违法地点="海口市龙华区滨海大道1号"), ticket(3, 违法地点="本市")
    ),
)
