"""The words of the site, each in Chinese and in English. Tests hold them to the values that a declaration may take."""

from __future__ import annotations

from schemas.dictionary import WORDS
from schemas.findings import SEVERITIES
from schemas.model import Code

Said = tuple[str, str]  # Chinese, English

ENGLISH = {
    "nature": {"basic": "Basic", "good": "Trustworthy", "adverse": "Untrustworthy", "other": "Other"},
    "subject_types": {
        "natural_person": "natural persons",
        "sole_trader": "sole traders",
        "organisation": "organisations",
    },
    "type": {
        "text": "text",
        "code": "one of a list",
        "date": "date",
        "timestamp": "date and time",
        "integer": "whole number",
        "decimal": "number",
        "boolean": "yes or no",
    },
    "update_cycle": {
        "realtime": "at once",
        "daily": "daily",
        "weekly": "weekly",
        "monthly": "monthly",
        "quarterly": "quarterly",
        "half_yearly": "twice a year",
        "yearly": "yearly",
        "irregular": "when something is new",
    },
}
UNITS: dict[str, Said] = {
    "CNY": ("元", "yuan"),
    "10k CNY": ("万元", "10,000 yuan"),
    "points": ("分", "points"),
    "year": ("年", "year"),
    "years": ("年", "years"),
    "months": ("个月", "months"),
    "days": ("天", "days"),
    "hours": ("小时", "hours"),
}
SHARING: dict[str, Said] = {
    "unconditional": (
        "无条件共享：其他部门可以直接取用。",
        "Shared without conditions: other departments may use it directly.",
    ),
    "conditional": (
        "有条件共享：其他部门说明用途、经同意后取用。",
        "Shared on conditions: other departments state what for, and use it once that is agreed.",
    ),
    "none": ("不予共享：不提供给其他部门。", "Not shared: it is not passed on to other departments."),
}
PUBLICITY: dict[str, Said] = {
    "public": ("依法公开：社会公众可以查看。", "Public by law: anybody may see it."),
    "on_request": (
        "依申请公开：不主动公布，有人依法申请时提供。",
        "On request: not published, given to those who may ask.",
    ),
    "authorised": (
        "授权查询：不公布，经本人授权才能查询。",
        "By authorisation: not published; seen only with the authorisation of the person.",
    ),
    "government": (
        "政务共享：不公布，只在政务部门之间使用。",
        "Government only: not published, used among authorities.",
    ),
    "none": ("不公开：不公布，也不供查询。", "Not disclosed: neither published nor open to queries."),
}
CYCLES: dict[str, Said] = {
    "realtime": ("信息产生后立即报送。", "Send it as soon as it arises."),
    "daily": ("每日报送。", "Send it every day."),
    "weekly": ("每周报送。", "Send it every week."),
    "monthly": ("每月报送。", "Send it every month."),
    "quarterly": ("每季度报送。", "Send it every quarter."),
    "half_yearly": ("每半年报送。", "Send it every half-year."),
    "yearly": ("每年报送。", "Send it every year."),
    "irregular": (
        "有新增或变更时报送，没有固定日期。",
        "Send it when something is new or changed; there is no fixed day.",
    ),
}
KINDS: dict[str, Said] = {
    "province": ("省级单位", "Provincial units"),
    "central": ("中央驻琼单位", "Central units in Hainan"),
    "court": ("法院", "Courts"),
    "procuratorate": ("检察院", "Procuratorates"),
    "county": ("市县和开发区", "Cities, counties and zones"),
    "media": ("新闻单位", "Media"),
    "association": ("协会、商会和服务机构", "Associations and service bodies"),
}
FORMAT_NAMES: dict[str, Said] = {
    "xlsx": ("填报模板（Excel）", "Template to fill (Excel)"),
    "frictionless": ("CSV 报送格式（Frictionless）", "Shape of a CSV delivery (Frictionless)"),
    "odcs": ("数据契约（ODCS）", "Data contract (ODCS)"),
    "jsonschema": ("JSON 报送格式（JSON Schema）", "Shape of a JSON delivery (JSON Schema)"),
    "sql": ("数据库表结构（SQL）", "Tables of the warehouse (SQL)"),
    "md": ("本事项说明（Markdown）", "This item as text (Markdown)"),
}


def word(group: str, value: str) -> Said:
    """The short word for a value that a declaration takes."""
    return WORDS[group][value], ENGLISH[group][value]


def severity(value: str) -> Said:
    return SEVERITIES[value][0], value


def unit(value: str) -> Said:
    return UNITS.get(value, (value, value))


def meaning(code: Code) -> Said:
    return code.label, code.label_en or code.label
