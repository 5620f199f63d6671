"""What the catalogue may not ask for as a page: each kind, the words that give it away, its law, and the exceptions."""

from __future__ import annotations

from schemas.markdown import page, table
from schemas.model import Catalog

CLASSES = {
    "never": ("不得采集", "may never be collected"),
    "consent": ("须本人书面同意", "only with the person's written consent; no delivery carries one yet"),
    "sealed": ("封存", "sealed: nobody but the organs that the law names may see it"),
    "score": ("评分", "grades a person, which no department's fact does"),
}


def withheld(catalog: Catalog) -> str:
    """Markdown: one table per class, then the exceptions."""
    lines = [
        "# 不得归集的信息 · What is kept out",
        "",
        "Made by `qiongxin catalog docs` from `catalog/law/`; do not edit it here.",
        "",
        "`qiongxin catalog lint` reads the name, labels, aliases, code set and department headers of every field, and",
        "the names of every item. One of these words refuses the catalogue, with the law that it would break. A column",
        "of a delivery that is called so is not read, and its department is told (L003).",
    ]
    for name, (zh, en) in CLASSES.items():
        kinds = [k for k in catalog.withheld if k.kind == name]
        lines += ["", f"## {zh} · {en}", ""]
        lines += table(
            ("kind", "词", "words", "not meant", "from", "依据 basis"),
            (
                (k.code, "、".join(k.zh), ", ".join(k.en), "、".join(k.unless), k.valid_from, k.basis)
                for k in kinds
            ),
        )  # fmt: skip
    lines += ["", "## 封存的记录 · Sealed records", ""]
    lines += ["A row whose texts say one of these words is refused (L004); what it says stays in the archive.", ""]
    lines += table(
        ("kind", "事项 item", "信息项 field", "词 words", "not meant", "from", "依据 basis"),
        (
            (s.code, s.item, s.field, "、".join(s.words), "、".join(s.unless), s.valid_from, s.basis)
            for s in catalog.sealed
        ),
    )
    lines += ["", "## 例外 · Exceptions", "", "A law of its own lets this department deliver this field.", ""]
    lines += table(
        ("department", "item", "field", "kind", "依据 basis"),
        ((a.department, a.item, a.field, a.code, a.basis) for a in catalog.allowed),
    )
    return page(lines)
