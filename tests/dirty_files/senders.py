"""Q81 to Q90, Q130 and Q131: what senders do over nights. Each case has persons of its own, ten numbers apart."""

from tests.dirty_files import csv, honour, number, put
from tests.test_privacy import name

PENALTY = ("行政相对人名称", "行政相对人类别", "自然人证件类型", "自然人证件号码", "行政处罚决定书文号", "违法行为类型",
           "违法事实", "处罚依据", "处罚类别", "处罚内容", "罚款金额（万元）", "处罚决定日期", "处罚机关",
           "处罚机关统一社会信用代码", "数据来源单位", "数据来源单位统一社会信用代码", "备注", "操作类型",
           "更新时间")  # fmt: skip
ORGAN = "海口市综合行政执法局"


def penalty(n: int, **cells: str) -> dict[str, str]:
    """A faultless row of the item administrative_penalty of 2025 about invented person `n`; `cells` replace."""
    code = "11469099MB00000001"
    cells_of = (name(n % 240), "自然人", "身份证", number(n), f"琼综执罚决字〔2026〕{n}号", "占道经营", "占道摆卖",
                "条例第一条", "罚款", "罚款五百元", "0.05", "2026-11-16", ORGAN, code, ORGAN, code, "", "",
                "2026-11-17 08:00:00")  # fmt: skip
    row = dict(zip(PENALTY, cells_of, strict=True))
    assert row.keys() >= cells.keys(), cells.keys() - row.keys()
    return row | cells


def table(*rows: dict[str, str]) -> str:
    return "\n".join(",".join(line) for line in (rows[0].keys(), *(r.values() for r in rows))) + "\n"


FINE, NO, TIME, ACTION = "罚款金额（万元）", "行政处罚决定书文号", "更新时间", "操作类型"

put("Q81", "city.csv", table(penalty(310, 处罚机关="海口市龙华区综合行政执法局")))
put("Q81", "province.csv", table(penalty(310)))

put("Q82", "decisions.csv", table(
    *(penalty(n, **{NO: "琼综执罚决字〔2026〕320号"}) for n in (320, 321, 322)),
    penalty(320, **{NO: "琼综执罚决字〔2026〕323号"}),
))  # fmt: skip

put("Q83", "numbers.csv", table(
    penalty(330, **{NO: "无"}),
    penalty(331, **{NO: "—"}),
    penalty(332, **{NO: "1号"}),
    penalty(333, **{NO: "12号"}),
    penalty(334, **{NO: "12号"}),
    penalty(335, **{NO: "13号"}),
    penalty(335, **{NO: "13号", FINE: "0.5"}),
))  # fmt: skip

put("Q84", "first.csv", table(penalty(340)))
put("Q84", "corrected.csv", table(penalty(340, **{FINE: "0.5", TIME: "2026-11-19 08:00:00"})))
put("Q84", "in_between.csv", table(penalty(340, **{FINE: "0.07", TIME: "2026-11-18 08:00:00"})))

put("Q85", "penalties.csv", table(penalty(350), penalty(351)))
put("Q85", "withdrawn.csv", table(penalty(350, **{ACTION: "撤销", TIME: "2026-11-19 08:00:00"})))
put("Q85", "by_key.csv", table({"自然人证件号码": number(351), NO: "琼综执罚决字〔2026〕351号", ACTION: "撤回"}))
put("Q85", "remark.csv", table(penalty(350, 备注="该处罚已撤销，请删除"), penalty(352, 备注="已缴款")))
members = [honour(n) for n in range(110, 135)]
put("Q85", "list.csv", csv(*members))
put("Q85", "one_less.csv", csv(*members[1:]))
put("Q85", "hardly_any.csv", csv(*members[-3:]))

put("Q86", "penalty.csv", table(penalty(380)))
put("Q86", "reconsideration.csv", table({
    "复议申请人姓名": name(140), "证件类型": "身份证", "证件号码": number(380), "所指行政行为提供部门代码": "wuzhishan",
    "所指行政行为事项代码": "administrative_penalty", "所指行政行为文书号": "琼综执罚决字〔2026〕380号",
    "被申请人": ORGAN, "行政复议决定书文号": "琼府复决字〔2026〕380号", "复议决定日期": "2026-11-19",
    "行政复议机关": "海口市人民政府", "复议结果": "撤销", "是否生效": "是", "更新时间": "2026-11-20 08:00:00",
}))  # fmt: skip
put("Q86", "withdrawn.csv", table(penalty(380, **{ACTION: "撤销", TIME: "2026-11-21 08:00:00"})))

put("Q87", "withdrawn_first.csv", table(penalty(390, **{ACTION: "撤销", TIME: "2026-11-19 08:00:00"})))
put("Q87", "record_after.csv", table(penalty(390), penalty(391)))

put("Q88", "november.csv", table(penalty(400, **{FINE: "0.5", TIME: "2026-11-19 08:00:00"})))
old = {"处罚决定日期": "2025-06-02", TIME: "2025-06-03 08:00:00"}
put("Q88", "last_year.csv", table(penalty(400), penalty(401, **old)))
put("Q88", "next_year.csv", table(penalty(402)))

put("Q89", "seven.csv", table(penalty(410)))
put("Q89", "nine.csv", table(penalty(411)))
put("Q89", "nine_again.csv", table(penalty(412)))

put("Q90", "import.csv", table(penalty(420), penalty(421)))
put("Q90", "import_again.csv", table(penalty(420), penalty(421)))
put("Q90", "import_as_number_2.csv", table(penalty(420), penalty(421)))

put("Q130", "late.csv", table(
    penalty(430, 处罚决定日期="2026-11-12"),  # the seventh working day after it is 23 November
    penalty(431, 处罚决定日期="2026-11-11"),  # 20 November
    penalty(432, 处罚决定日期="2026-09-30"),
    penalty(433, 处罚决定日期="2026-09-30", **{ACTION: "撤销"}),
))  # fmt: skip

put("Q131", "red.csv", csv(honour(140), honour(141)))
put("Q131", "black.csv", table({
    "被执行人姓名": name(140), "主体类型": "自然人", "证件类型": "身份证", "身份证号码": number(140),
    "执行法院": "示例法院",
    "执行依据文号": "（2026）琼0199民初440号", "作出执行依据单位": "示例法院", "执行案号": "（2026）琼0199执440号",
    "立案时间": "2026-10-09", "生效法律文书确定的义务": "给付", "被执行人的履行情况": "全部未履行",
    "失信被执行人行为具体情形": "有履行能力而拒不履行", "发布时间": "2026-11-16", "序号": "440",
    "更新时间": "2026-11-17 08:00:00",
}))  # fmt: skip
