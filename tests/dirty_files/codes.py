"""Q120-Q125, Q127-Q129, Q132 and Q133: codes, organs, subjects, minors, layouts of old, consents, rows of tests."""

from tests.dirty_files import honour, number, put, table
from tests.dirty_files.penalties import ENTERPRISE, SOLE_TRADER, licence, penalty
from tests.oracle_credit_number import mod_11_2
from tests.test_privacy import name

CHILD = "46010620850101001"


def certificates(*written: str) -> str:
    return table(*(honour(n, 证件类型=text) for n, text in enumerate(written, 1)))


put(
    "Q120",
    "mixed.csv",
    certificates(
        "01-身份证",
        "111",
        "身份证",
        "居民身份证(111)",
        "01身份证",
        "[111]居民身份证",
        "02-身份证",
        "未知7",
        "身份证",
        "111",
    ),
)
put("Q121", "two_vocabularies.csv", certificates("10", "111", "0", "01"))
put(
    "Q122",
    "organs.csv",
    table(
        honour(1, 认定部门="海南省工商行政管理局"),
        honour(2, 认定部门="省市监局"),
        honour(3, 认定部门="海南省市场监督管理局"),
    ),
)
put(
    "Q123",
    "subjects.csv",
    table(
        penalty(1, 自然人证件类型="统一社会信用代码", 自然人证件号码=SOLE_TRADER),
        penalty(2, 自然人证件类型="统一社会信用代码", 自然人证件号码=ENTERPRISE, 行政相对人类别="个体工商户"),
        penalty(3, 自然人证件类型="统一社会信用代码", 自然人证件号码=SOLE_TRADER, 行政相对人类别="个体工商户"),
        penalty(4),
    ),
)
OLD = (
    "行政相对人名称",
    "自然人证件类型",
    "自然人证件号码",
    "行政处罚决定书文号",
    "违法事实",
    "处罚依据",
    "处罚类别",
    "处罚内容",
    "处罚决定日期",
    "处罚机关",
    "更新时间",
)
DATES = {"处罚决定日期": "2017-06-01", "更新时间": "2017-07-01 08:00:00"}
put(
    "Q124",
    "penalties_2016.csv",
    table(*({k: (penalty(n) | DATES)[k] for k in OLD} | {"当前状态": s} for n, s in ((1, "1"), (2, "0")))),
)
put("Q124", "licences.csv", table(licence(1, 当前状态="1"), licence(2, 当前状态="2")))
put("Q125", "severity.csv", table(penalty(1), penalty(2, 失信严重程度="一般"), penalty(3, 失信严重程度="/")))
put(
    "Q127",
    "minors.csv",
    table(honour(1, 证件号码=CHILD + mod_11_2(CHILD), 认定日期="2098-06-01", 评价年度="2098"), honour(2), honour(3)),
)
put(
    "Q128",
    "procedures.csv",
    table(penalty(1, 处罚程序="简易程序"), penalty(2, 处罚程序="当场处罚"), penalty(3, 处罚程序="")),
)
old = table(*({k: (penalty(n) | DATES)[k] for k in OLD} | {"当前状态": "0"} for n in (1, 2)))
put("Q129", "old_period.csv", old)
put("Q129", "new_period.csv", old)
COURT = ("被执行人姓名", "证件号码", "案号", "失信行为情形", "发布日期")
court = [(name(n), number(n), f"（2025）琼0199执{n}号", "其他", "2025-06-01") for n in (1, 2)]
put("Q129", "court_list.csv", table(*(dict(zip(COURT, cells, strict=True)) for cells in court)))


def offered(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of voluntary_information about invented person `n`; `cells` replace."""
    return {
        "提供人姓名": name(n),
        "证件类型": "身份证",
        "证件号码": number(n),
        "自愿填报编号": f"琼验填{n}",
        "填报日期": "2025-06-02",
        "信息类型": "资质证照",
        "信息内容": "示例资质",
        "是否签署真实性承诺": "是",
        "授权同意书编号": f"琼验同{n}",
        "同意使用范围": "仅可授权查询",
        "同意日期": "2025-06-01",
        "同意期限截止日期": "2098-06-01",
        "核验状态": "未核验",
        "更新时间": "2025-07-01 08:00:00",
    } | cells


put(
    "Q132",
    "consents.csv",
    table(
        offered(1, 同意期限截止日期="2025-12-31"),
        offered(2, 同意期限截止日期="2025-06-01"),
        offered(3, 同意使用范围="全部用途"),
        offered(4, 授权同意书编号=""),
        *(offered(n) for n in range(5, 9)),
    ),
)
put(
    "Q133",
    "tests.csv",
    table(
        honour(1, 姓名="测试甲"),
        honour(2, 姓名="test"),
        honour(3, 证件号码="110101199001011234"),
        honour(4, 证件号码="11010519491231002X"),
        honour(5),
        honour(6),
    ),
)
