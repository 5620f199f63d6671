"""What can be downloaded: an item in every export format, templates of counties that ask more, and invented rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from schemas import overlay
from schemas.exports import FORMATS
from schemas.model import Catalog
from schemas.site.items import ItemView
from schemas.site.words import FORMAT_NAMES, Said

TEMPLATE = "xlsx"


class Download(NamedTuple):
    """A file under files/. `saved_as` is the name it gets on the reader's machine."""

    form: str
    name: Said
    path: str
    saved_as: str
    content: bytes
    county: str = ""

    @property
    def size(self) -> str:
        return f"{len(self.content) / 1024:,.0f} KB" if len(self.content) >= 1024 else f"{len(self.content)} B"


def downloads(view: ItemView, catalog: Catalog) -> list[Download]:
    """The template first, then the sample, then what programs read, then the templates of counties."""
    made = []
    for form in sorted(FORMATS, key=lambda f: f != TEMPLATE):
        content = FORMATS[form].make(view.item, catalog)
        name = FORMAT_NAMES.get(form, (form, form))
        made.append(_download(form, name, f"{view.code}{FORMATS[form].ending}", view, content))
    if view.rows and view.is_in_force:
        name = ("样例（虚构数据，CSV）", "Sample (invented rows, CSV)")
        made.insert(1, _download("sample", name, f"{view.code}.sample.csv", view, sample(view)))
    return [*made, *_of_counties(view, catalog)]


def _of_counties(view: ItemView, catalog: Catalog) -> Iterator[Download]:
    for county in view.counties:
        d = county.department
        content = FORMATS[TEMPLATE].make(overlay.effective(catalog, view.code, d.code, view.day), catalog)
        name = (f"{d.name_zh}填报模板（Excel）", f"Template of {d.name_en} (Excel)")
        yield _download(TEMPLATE, name, f"{view.code}.{d.code}.xlsx", view, content)._replace(county=d.code)


def _download(form: str, name: Said, file: str, view: ItemView, content: bytes) -> Download:
    return Download(form, name, f"files/{file}", f"{view.whole.name_zh}{file.removeprefix(view.code)}", content)


def sample(view: ItemView) -> bytes:
    """The invented rows as CSV under the labels of the template, in the form that spreadsheet programs read."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(f.label_zh for f in view.fields_now)
    writer.writerows([row.get(f.name, "") for f in view.fields_now] for row in view.rows)
    return out.getvalue().encode("utf-8-sig")
