"""The catalogue as a site for the clerks of departments: plain files, no server and no network.

Chinese pages lie at the top, the same pages in English under `en/`; both use the same downloads, style and search
index. Everything here is a function of the catalogue, the day and the rows that are handed in.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from schemas.findings import FAMILIES, SEVERITIES, filled
from schemas.load import effective
from schemas.model import Catalog, Department
from schemas.site import words
from schemas.site.items import ItemView, Rows, code_view
from schemas.site.offered import TEMPLATE, Download, downloads
from schemas.site.search import index
from schemas.site.words import Said
from schemas.withheld import CLASSES

MARK = "qiongxin-site.json"  # a folder that has it is a site of ours
LANGUAGES = ("zh", "en")
ENGLISH_PROSE = re.compile(r"^[^\u4e00-\u9fff]*[a-z]{2,} [a-z]{2,}[^\u4e00-\u9fff]*$|^own rule")
ASSETS = ("site.css", "site.js")


@dataclass(frozen=True)
class Facet:
    """A filter of the start page: its key, its name, and its values with the number of items."""

    key: str
    name: Said
    values: tuple[tuple[str, Said, int], ...]


def site(catalog: Catalog, on: date, samples: Mapping[str, Rows]) -> dict[str, bytes]:
    """Path -> content of every file. `samples` are invented rows of items, by field name."""
    views = [ItemView(i, catalog, on, samples.get(i.code, ())) for i in catalog.items.values()]
    views.sort(key=lambda v: ([c.code for c in catalog.code_sets["domain"].codes].index(v.whole.domain), v.code))
    offered = {v.code: downloads(v, catalog) for v in views}
    made = {d.path: d.content for listed in offered.values() for d in listed}
    assets = files(__package__) / "assets"
    made |= {f"assets/{name}": (assets / name).read_bytes() for name in ASSETS}
    made["assets/search.js"] = index(views, catalog)
    made[MARK] = json.dumps({"revision": catalog.revision, "date": on.isoformat()}).encode() + b"\n"
    for language in LANGUAGES:
        write = _Writer(language, catalog, on)
        for template, path, context in _pages(catalog, on, views, offered):
            made[write.place(path)] = write(template, path, context)
    return made


def _pages(
    catalog: Catalog, on: date, views: list[ItemView], offered: Mapping[str, list[Download]]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(template, path, what it shows) of every page."""
    by_code = {v.code: v for v in views}
    templates = {code: next(d for d in listed if d.form == TEMPLATE) for code, listed in offered.items()}
    kinds = list(words.KINDS)
    departments = sorted(
        catalog.departments.values(), key=lambda d: (kinds.index(d.kind), d.valid_to is not None, d.code)
    )
    delivers = {d.code: [by_code[i] for i in by_code if i in catalog.delivers(d.code)] for d in departments}
    yield "index", "index.html", {"items": views, "facets": facets(catalog, views), "templates": templates}
    for view in views:
        yield "item", f"items/{view.code}.html", {"view": view, "downloads": offered[view.code]}
    named = {d.name_zh: d for d in departments}
    members = [(words.KINDS[k], list(g)) for k, g in groupby(departments, key=lambda d: d.kind)]
    yield "departments", "departments/index.html", {"kinds": members, "delivers": delivers}
    for d in departments:
        own = {v.code: _template(offered[v.code], d) for v in delivers[d.code]}
        told = [(p, named.get(p.name)) for p in d.predecessors]
        former = [o for o in departments if o.successor == d.code and o.name_zh not in {p.name for p in d.predecessors}]
        context = {
            "department": d, "items": delivers[d.code], "templates": own, "predecessors": told, "former": former,
        }  # fmt: skip
        yield "department", f"departments/{d.code}.html", context
    ordered = sorted(catalog.findings.values(), key=lambda f: (list(FAMILIES).index(f.code[0]), f.code))
    families = [(k, FAMILIES[k], list(g)) for k, g in groupby(ordered, key=lambda f: f.code[0])]
    yield "findings", "findings.html", {"families": families, "severities": SEVERITIES}
    classes = [(said, [w for w in catalog.withheld if w.kind == k]) for k, said in CLASSES.items()]
    yield "withheld", "withheld.html", {"classes": classes, "allowed": catalog.allowed}
    sets = [code_view(catalog.code_sets[name]) for name in sorted(catalog.code_sets)]
    users = {s.set.name: [v for v in views if any(c.set.name == s.set.name for c in v.codes)] for s in sets}
    yield "codes", "codes/index.html", {"sets": sets, "users": users}
    for s in sets:
        yield "code_set", f"codes/{s.set.name}.html", {"codes": s, "items": users[s.set.name]}
    laws = sorted({law for v in views for law in v.laws})
    yield "laws", "laws.html", {"laws": [(law, [v for v in views if law in v.laws]) for law in laws]}
    actions, prefixes = code_view(catalog.code_sets["row_action"]), effective(catalog, "echo_prefixes", on)
    yield "deliver", "deliver.html", {"actions": actions, "echo_prefixes": prefixes}


def _template(listed: list[Download], department: Department) -> Download:
    """The template that a department fills: that of its county, else everybody's."""
    found = [d for d in listed if d.form == TEMPLATE and d.county in ("", department.code)]
    return next((d for d in found if d.county), found[0])


def facets(catalog: Catalog, views: list[ItemView]) -> list[Facet]:
    """The filters, each with the values that some item has."""

    def coded(code_set: str) -> dict[str, Said]:
        return {c.code: words.meaning(c) for c in catalog.code_sets[code_set].codes}

    departments = {d.code: (d.name_zh, d.name_en) for d in catalog.departments.values()}
    natures = {k: words.word("nature", k) for k in words.ENGLISH["nature"]}
    cited = Counter(law for v in views for law in v.laws)
    laws = {law: (law, law) for law in sorted(cited, key=lambda law: (-cited[law], law))}  # the usual ones first
    groups, categories = coded("professional_group"), coded("catalogue_category")
    return [
        _facet("department", ("报送单位", "Department"), departments, [v.whole.providers for v in views]),
        _facet("domain", ("领域", "Domain"), coded("domain"), [(v.whole.domain,) for v in views]),
        _facet("group", ("职业群体", "Professional group"), groups, [v.whole.groups for v in views]),
        _facet("category", ("国家目录类别", "National category"), categories, [(v.whole.category,) for v in views]),
        _facet("nature", ("信息性质", "Nature"), natures, [(v.whole.nature,) for v in views]),
        _facet("law", ("依据", "Legal basis"), laws, [tuple(v.laws) for v in views]),
    ]


def _facet(key: str, name: Said, known: Mapping[str, Said], held: list[tuple[str, ...]]) -> Facet:
    counts = [(value, said, sum(value in values for values in held)) for value, said in known.items()]
    return Facet(key, name, tuple(c for c in counts if c[2]))


class _Writer:
    """Makes the pages of one language."""

    def __init__(self, language: str, catalog: Catalog, on: date) -> None:
        self.language = language
        turn = LANGUAGES.index(language)
        self.environment = Environment(
            loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True,
            undefined=StrictUndefined,
        )  # fmt: skip
        self.environment.globals |= {
            "language": language,
            "t": lambda zh, en: (zh, en)[turn],
            "catalog": catalog,
            "on": on,
            "words": words,
        }
        # Notes of the catalogue are partly in English alone; those are left out where a Chinese reader would meet them.
        self.environment.tests["foreign"] = lambda text: not turn and bool(ENGLISH_PROSE.search(text))
        self.environment.filters |= {"said": lambda pair: pair[turn], "filled": lambda text: filled(text, turn + 1)}

    def place(self, path: str) -> str:
        return path if self.language == LANGUAGES[0] else f"{self.language}/{path}"

    def __call__(self, template: str, path: str, context: dict[str, Any]) -> bytes:
        root = "../" * self.place(path).count("/")
        here = root if self.language == LANGUAGES[0] else f"{root}{self.language}/"
        other = f"{root}{path}" if self.language != LANGUAGES[0] else f"{root}{LANGUAGES[1]}/{path}"
        page = self.environment.get_template(f"{template}.html")
        return page.render(**context, root=root, here=here, other=other, path=path).encode()
