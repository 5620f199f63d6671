"""An item as a page: what it is, its fields, rules and codes."""

from __future__ import annotations

from schemas.dictionary import describe
from schemas.markdown import page, table
from schemas.model import Catalog, Item


def make(item: Item, catalog: Catalog) -> bytes:
    lines = [f"# {item.name_zh} · {item.name_en}", "", *describe(item, catalog)]
    for name in sorted({f.code_set for f in item.fields if f.code_set}):
        written: dict[str, list[str]] = {}
        for variant, code in catalog.code_sets[name].variants.items():
            written.setdefault(code, []).append(variant)
        lines += ["", f"## {name}", ""]
        lines += table(
            ("code", "名称 label", "in force", "also read as"),
            (
                (c.code, c.label, f"{c.valid_from or ''} – {c.valid_to or ''}", "、".join(written.get(c.code, ())))
                for c in catalog.code_sets[name].codes
            ),
        )
    return page(lines).encode()
