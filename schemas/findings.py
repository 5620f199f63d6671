"""The list of finding codes as a page: what each says, what to do about it, an example, where it comes from."""

from __future__ import annotations

from itertools import groupby

from schemas.markdown import cell, page
from schemas.model import Catalog, FindingCode

FAMILIES = {
    "F": ("文件与格式", "file and shape"),
    "V": ("取值", "value"),
    "I": ("身份标识", "identity"),
    "X": ("信息项之间", "across fields"),
    "D": ("重复与同一记录", "duplicate and record"),
    "H": ("与历史比较", "against history"),
    "L": ("法律限制", "law"),
    "G": ("发布关口", "gate"),
}
SEVERITIES = {
    "error": ("错误", "the row, or the whole file, is not taken"),
    "hold": ("暂缓", "waits for a person or for what is missing"),
    "warning": ("警告", "taken; please correct the cause"),
    "info": ("提示", "taken; nothing to do"),
}
SLOTS = (("{label}", "〈信息项〉", "‹field›"), ("{value}", "〈值〉", "‹value›"), ("{line}", "〈行号〉", "‹line›"))


def findings(catalog: Catalog) -> str:
    """Markdown: one section per family in the order of the code, one block per code."""
    lines = [
        "# 问题代码 · Finding codes",
        "",
        "Made by `qiongxin catalog docs` from `catalog/findings.csv`; do not edit it here.",
        "",
        *(f"- {zh} `{word}`: {meaning}" for word, (zh, meaning) in SEVERITIES.items()),
        "",
        "A rule of an item may carry another severity than its code; `docs/dictionary.md` says so beside the rule.",
    ]
    ordered = sorted(catalog.findings.values(), key=lambda f: (list(FAMILIES).index(f.code[0]), f.code))
    for family, codes in groupby(ordered, key=lambda f: f.code[0]):
        zh, en = FAMILIES[family]
        lines += ["", f"## {family} · {zh} · {en}"]
        for code in codes:
            lines += block(code)
    return page(lines)


def block(code: FindingCode) -> list[str]:
    return [
        "",
        f"### {code.code} {code.title_en} ({SEVERITIES[code.severity][0]} `{code.severity}`)",
        "",
        f"- 问题：{filled(code.message_zh, 1)}",
        f"- Problem: {filled(code.message_en, 2)}",
        f"- 改正：{filled(code.fix_zh, 1)}",
        f"- Cure: {filled(code.fix_en, 2)}",
        f"- 例 Example: {cell(code.example)}",
        f"- 依据 Source: {cell(code.source)}",
    ]


def filled(text: str, language: int) -> str:
    for slot in SLOTS:
        text = text.replace(slot[0], slot[language])
    return text
