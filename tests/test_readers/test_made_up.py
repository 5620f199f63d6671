"""Bytes, text structure and workbook structure made up by hypothesis: the readers answer every one of them in a defined
way, and no row is lost, doubled or left without a place.

Every made-up row carries a marker that stands nowhere else, so what became of it is asked of the file itself: it is
staged once, or it lies on a line that a fault names.
"""

import gzip
import io
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import DeliveryError
from pipelines.readers import Decoded
from tests.conftest import SOAK
from tests.test_readers.test_decode import run

MARKER = re.compile(r"M\d{3}")
HEAD = ("姓名", "证件号码", "说明")
made_up = settings(
    max_examples=4000 if SOAK else 120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def answered(folder: Path, content: bytes) -> tuple[Decoded, list[dict[str, object]]] | None:
    """What was read, each row and each fault in a place of its own; None where the file goes back with both languages
    saying why. Anything else that is raised fails the test."""
    try:
        decoded, rows = run(folder, content)
    except DeliveryError as e:
        assert re.fullmatch(r"F\d{3}", e.code) and e.message_zh and e.message_en
        return None
    places = Counter((r["line"], r["sheet"]) for r in rows) + Counter((f.line, f.sheet) for f in decoded.faults)
    assert decoded.rows == len(rows)
    assert set(places.values()) <= {1}, "two records have one place"
    return decoded, rows


# -- bytes --


def workbook() -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target) as book:
        sheet = book.add_worksheet("数据")
        for number, row in enumerate([HEAD, *((f"M{n:03}", str(n), "注") for n in range(8))]):
            sheet.write_row(number, 0, row)
    return target.getvalue()


def archive(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, content)
    return target.getvalue()


TEXT = ",".join(HEAD) + "\n" + "".join(f'M{n:03},{n},"注\n{n}"\n' for n in range(8))
ROW = '{"姓名": "M%03d", "证件号码": 1, "说明": null}'
XML = "<row><姓名>M{0:03}</姓名><证件号码>{0}</证件号码></row>\n"
SEEDS = (
    TEXT.encode(),
    TEXT.replace("\n", "\r\n").encode("gb18030"),
    TEXT.encode("utf-16"),
    ("[" + ",\n".join(ROW % n for n in range(8)) + "]").encode(),
    "\n".join(ROW % n for n in range(8)).encode(),
    ("<rows>" + "".join(XML.format(n) for n in range(8)) + "</rows>").encode(),
    ("<html><table>" + "".join("<tr><td>{}<td>{}".format(*row) for row in (HEAD, ("M000", "1"))) + "</table>").encode(),
    workbook(),
    archive("数据.csv", TEXT.encode()),
    gzip.compress(TEXT.encode(), mtime=0),
)
EDIT = st.tuples(
    st.sampled_from(("cut", "flip", "insert", "drop", "repeat")),
    st.floats(0, 1),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=6)
    | st.sampled_from([b"\0", b'"', b"\r", b"\n", b",", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1a", b"<", b"]]>", b"&x;"]),
)


def edited(content: bytes, edits: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, at, length, piece in edits:
        a = int(at * len(content))
        b = min(len(content), a + 1 + int(length * 40))
        if kind == "cut":
            content = content[:a]
        elif kind == "flip":
            content = content[:a] + bytes(x ^ piece[0] for x in content[a:b]) + content[b:]
        elif kind == "insert":
            content = content[:a] + piece + content[a:]
        elif kind == "drop":
            content = content[:a] + content[b:]
        else:
            content = content[:b] + content[a:b] * 3 + content[b:]
    return content


@pytest.mark.timeout(1800 if SOAK else 120)
@made_up
@given(st.sampled_from(SEEDS), st.lists(EDIT, min_size=1, max_size=4))
def test_whatever_the_bytes_are_the_answer_is_a_defined_one(
    tmp_path: Path, seed: bytes, edits: list[tuple[str, float, float, bytes]]
) -> None:
    answered(tmp_path, edited(seed, edits))


@pytest.mark.timeout(1800 if SOAK else 120)
@made_up
@given(st.binary(max_size=300))
def test_bytes_of_no_kind_are_answered_too(tmp_path: Path, content: bytes) -> None:
    answered(tmp_path, content)


# -- text --

QUIRKS = ("plain", "quoted", "long", "short", "stray quote", "open quote", "line feed", "blank", "spaces", "control")


def text_row(marker: str, quirk: str, delimiter: str) -> str:
    cells = {
        "plain": (marker, "1", "注"),
        "quoted": (f'"{marker}"', '"1"', f'"注{delimiter}""x"""'),
        "long": (marker, "1", "注", "多"),
        "short": (marker, "1"),
        "stray quote": (marker, '5"', "注"),
        "open quote": (marker, '"1', "注"),
        "line feed": (marker, "1", '"第一\n第二"'),
        "control": (marker, "1", "注\x0b\x1f"),
    }
    return delimiter.join(cells[quirk])


@pytest.mark.timeout(1800 if SOAK else 120)
@made_up
@given(
    st.lists(st.sampled_from(QUIRKS), max_size=12),
    st.sampled_from((",", "\t", ";", "|")),
    st.sampled_from(("utf-8", "utf-8-sig", "gb18030", "utf-16")),
    st.sampled_from(("\n", "\r\n", "\r")),
    st.sampled_from(("", "某局公示表\n", "\n\n")),
    st.booleans(),
)
def test_every_row_of_a_text_is_staged_once_or_lies_on_a_line_that_a_fault_names(
    tmp_path: Path, quirks: list[str], delimiter: str, encoding: str, end: str, title: str, is_ended: bool
) -> None:
    lines = [title + delimiter.join(HEAD)]
    markers = []
    for n, quirk in enumerate(quirks):
        if quirk in ("blank", "spaces"):
            lines.append("" if quirk == "blank" else "  ")
            continue
        markers.append(f"M{n:03}")
        lines.append(text_row(markers[-1], quirk, delimiter))
    text = "\n".join(lines) + ("\n" if is_ended else "")
    answer = answered(tmp_path, text.replace("\n", end).encode(encoding))
    assert answer is not None
    decoded, rows = answer
    staged = Counter(m for r in rows for cell in r.values() for m in MARKER.findall(str(cell)))
    physical = text.split("\n")
    told = {m for f in decoded.faults for m in MARKER.findall(physical[f.line - 1])}
    assert set(staged) | told == set(markers)
    # A quote that nobody closes may swallow the cells of its own record, and another row never.
    assert all(count == 1 for count in staged.values())
    assert not set(staged) & told


# -- workbooks --

SHEET_ROWS = ("plain", "blank", "total", "header", "number", "date", "hidden", "formatted")
SHEETS = st.lists(
    st.fixed_dictionaries(
        {
            "titles": st.integers(0, 3),
            "rows": st.lists(st.sampled_from(SHEET_ROWS), max_size=8),
            "right": st.integers(0, 3),
            "hidden": st.booleans(),
            "stranger": st.booleans(),
        }
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip


@pytest.mark.timeout(1800 if SOAK else 120)
@made_up
@given(SHEETS)
def test_every_row_of_a_workbook_is_staged_once_under_its_sheet_and_line(
    tmp_path: Path, sheets: list[dict[str, object]]
) -> None:
    expected: dict[str, tuple[str, int]] = {}
    target = io.BytesIO()
    with xlsxwriter.Workbook(target) as book:
        bold = book.add_format({"bold": True})
        for number, spec in enumerate(sheets):
            name = f"第{number + 1}页"
            tab = book.add_worksheet(name)
            if spec["hidden"] and number:
                tab.hide()
            right, line = int(str(spec["right"])), int(str(spec["titles"]))
            for title in range(line):
                tab.write(title, 0, ("海口市公示表", "填报单位：某局", "2098年1月")[title])
            head = ("甲列", "乙列", "丙列") if spec["stranger"] else HEAD
            tab.write_row(line, right, head)
            quirks = spec["rows"]
            assert isinstance(quirks, list)
            for n, quirk in enumerate(quirks):
                line += 1
                marker = f"M{number * 100 + n:03}"
                if quirk == "blank":
                    continue
                if quirk == "formatted":
                    tab.write_blank(line, right, None, bold)
                elif quirk == "total":
                    tab.write_row(line, right, ("合计", "", "8"))
                elif quirk == "header":
                    tab.write_row(line, right, head)
                else:
                    tab.write_string(line, right, marker)
                    if quirk == "number":
                        tab.write_number(line, right + 1, 3.5)
                    elif quirk == "date":
                        tab.write_number(line, right + 1, 40000, book.add_format({"num_format": "yyyy-mm-dd"}))
                    else:
                        tab.write_string(line, right + 1, "1")
                    if quirk == "hidden":
                        tab.set_row(line, None, None, {"hidden": True})
                    if not spec["stranger"]:
                        expected[marker] = (name, line + 1)
    answer = answered(tmp_path, target.getvalue())
    if answer is None:
        assert all(spec["stranger"] for spec in sheets)
        return
    decoded, rows = answer
    found = [(m, (r["sheet"], r["line"])) for r in rows for c in r.values() for m in MARKER.findall(str(c))]
    assert dict(found) == expected
    assert len(found) == len(expected) == decoded.read
