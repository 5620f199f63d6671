"""The search index: a script that sets one variable, since a page opened from a folder may not fetch anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.findings import filled
from schemas.model import Catalog
from schemas.site import words
from schemas.site.items import CodeView, ItemView

# Kinds of words, as the script knows them: name, field, header, code, law, department, place in the catalogue.
NAME, FIELD, HEADER, CODE, LAW, SENDER, PLACE = "nfhclsp"


def index(items: Sequence[ItemView], catalog: Catalog) -> bytes:
    """`items` maps a code to [kind, word, label zh, label en] lists; the word of kind c is a code set, whose words
    stand once in `sets`. `others` are the other pages, each with its name in Chinese and English, its address and more
    words."""
    value = {
        "items": {view.code: [list(word) for word in dict.fromkeys(_words(view))] for view in items},
        "sets": {codes.set.name: _of_set(codes) for view in items for codes in view.codes if codes.shown},
        "others": list(_others(catalog)),
    }
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"window.QIONGXIN = {text};\n".encode()


def _words(view: ItemView) -> Iterable[tuple[str, ...]]:
    item = view.whole
    for name in (*view.name, item.code):
        yield NAME, name
    for f in view.fields:
        labels = (f.spec.label_zh, f.spec.label_en)
        for text in (*labels, f.spec.name):
            yield FIELD, text, *labels
        for header in dict.fromkeys([*f.headers, *(h for _, h in f.own)]):
            if header not in (*labels, f.spec.name):
                yield HEADER, header, *labels
    for codes in view.codes:
        if codes.shown:
            yield CODE, codes.set.name, codes.fields[0].label_zh, codes.fields[0].label_en
    for basis in item.legal_basis:
        yield LAW, basis
    for sender in view.senders:
        for text in (sender.name_zh, sender.name_en, *sender.aliases):
            yield SENDER, text
    for pair in (view.domain, view.category, *view.groups, *view.targets, words.word("nature", item.nature)):
        for text in pair:
            yield PLACE, text


def _of_set(codes: CodeView) -> list[str]:
    """The labels of the codes and what is written for them; a digit or a letter alone says nothing."""
    texts = (text for code, written in codes.shown for text in (code.label, *written))
    return [text for text in dict.fromkeys(texts) if len(text) > 1]


def _others(catalog: Catalog) -> Iterable[dict[str, Any]]:
    for d in sorted(catalog.departments.values(), key=lambda d: d.code):
        more = [d.code, *d.aliases, *(p.name for p in d.predecessors)]
        yield _other("d", d.name_zh, d.name_en, f"departments/{d.code}.html", more)
    for f in sorted(catalog.findings.values(), key=lambda f: f.code):
        zh, en = f"{f.code} {filled(f.message_zh, 1)}", f"{f.code} {f.title_en}"
        yield _other("f", zh, en, f"findings.html#{f.code}", [f.fix_zh, f.fix_en])
    for s in sorted(catalog.code_sets.values(), key=lambda s: s.name):
        short = [c.label for c in s.codes] if len(s.codes) <= 200 else []
        yield _other("c", s.name, s.name, f"codes/{s.name}.html", [*short, *(v for v in s.variants if len(v) > 1)])
    for w in catalog.withheld:
        yield _other("w", "、".join(w.zh), ", ".join(w.en), f"withheld.html#{w.code}", [])


def _other(kind: str, zh: str, en: str, address: str, more: Iterable[str]) -> dict[str, Any]:
    return {"k": kind, "z": zh, "e": en, "a": address, "m": " ".join(dict.fromkeys(more))}
