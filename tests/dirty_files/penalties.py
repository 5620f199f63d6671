"""Rows of items other than honours, for what honours do not have: amounts, several roles, police fields."""

from __future__ import annotations

from tests.dirty_files import name, number

ORGAN, ORGAN_CODE = "海口市示例综合行政执法局", "11469099008171007K"  # region 469099 was never given out
SOLE_TRADER, ENTERPRISE = "92469099MA5T000294", "91469099MA5T00010A"


def _with(row: dict[str, str], cells: dict[str, str]) -> dict[str, str]:
    assert row.keys() >= cells.keys(), cells.keys() - row.keys()
    return row | cells


def penalty(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of administrative_penalty about invented person `n`, fined 500 yuan."""
    row = {
        "行政相对人名称": name(n),
        "行政相对人类别": "自然人",
        "自然人证件类型": "身份证",
        "自然人证件号码": number(n),
        "统一社会信用代码": "",
        "法定代表人": "",
        "法定代表人证件号码": "",
        "行政处罚决定书文号": f"琼验罚决字〔2025〕{n}号",
        "违法行为类型": "示例类型",
        "违法事实": "示例事实",
        "处罚依据": "《示例条例》第一条",
        "处罚类别": "罚款",
        "处罚内容": "罚款500元",
        "罚款金额（万元）": "0.05",
        "处罚决定日期": "2025-06-01",
        "处罚有效期": "",
        "公示截止期": "",
        "处罚机关": ORGAN,
        "处罚机关统一社会信用代码": ORGAN_CODE,
        "数据来源单位": ORGAN,
        "数据来源单位统一社会信用代码": ORGAN_CODE,
        "失信严重程度": "",
        "处罚程序": "普通程序",
        "更新时间": "2025-07-01 08:00:00",
    }
    return _with(row, cells)


def ticket(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of traffic_penalty about invented person `n`."""
    row = {
        "当事人姓名": name(n),
        "证件类型": "身份证",
        "证件号码": number(n),
        "处罚决定书编号": f"460106{n:010d}",
        "违法日期": "2025-05-01",
        "违法地点": "海口市龙华区滨海大道",
        "违法行为代码": "1345",
        "违法事实": "示例违法行为",
        "处罚种类": "罚款",
        "罚款金额（元）": "200",
        "记分值": "3",
        "处罚决定日期": "2025-06-01",
        "处理机关": "海口市示例交警支队",
        "是否缴款": "是",
        "更新时间": "2025-07-01 08:00:00",
    }
    return _with(row, cells)


def reference(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of identity_reference about invented person `n`."""
    said = number(n)
    row = {
        "姓名": name(n),
        "证件类型": "身份证",
        "公民身份号码": said,
        "登记类型": "身份登记",
        "性别": "女男"[int(said[16]) % 2],
        "出生日期": f"{said[6:10]}-{said[10:12]}-{said[12:14]}",
        "死亡日期": "",
        "登记日期": "2025-06-01",
        "签发机关": "海口市示例公安局",
        "是否核验": "是",
        "更新时间": "2025-07-01 08:00:00",
    }
    return _with(row, cells)


def licence(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of administrative_licence about invented person `n`."""
    row = {
        "行政相对人名称": name(n),
        "行政相对人类别": "自然人",
        "自然人证件类型": "身份证",
        "自然人证件号码": number(n),
        "行政许可决定文书名称": "示例许可决定书",
        "行政许可决定文书号": f"琼验许决字〔2025〕{n}号",
        "许可类别": "普通",
        "许可内容": "示例内容",
        "许可决定日期": "2025-06-01",
        "有效期自": "2025-06-01",
        "有效期至": "2030-06-01",
        "许可机关": ORGAN,
        "许可机关统一社会信用代码": ORGAN_CODE,
        "当前状态": "1",
        "数据来源单位": ORGAN,
        "数据来源单位统一社会信用代码": ORGAN_CODE,
        "更新时间": "2025-07-01 08:00:00",
    }
    return _with(row, cells)
