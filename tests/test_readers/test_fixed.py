"""Text of fixed width by a declared layout, and dBase: told by content, exact to the record."""

import struct
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines import judge
from pipelines.errors import DeliveryError
from pipelines.readers import Column, Decoded, Layout, decode
from schemas import lint
from schemas.load import load
from schemas.model import CatalogError, LayoutRow
from tests.test_readers.test_decode import FIELDS, run

LAYOUT = (Column("name", 0, 8), Column("credit_number", 8, 18), Column("note", 30, 6))


def staged(folder: Path, content: bytes, in_bytes: bool) -> tuple[Decoded, list[tuple[object, ...]]]:
    (folder / "a.txt").write_bytes(content)
    decoded = decode(folder / "a.txt", folder / "a.parquet", FIELDS, folder, None, Layout(LAYOUT, in_bytes, 36))
    assert decoded.read == decoded.rows + len(decoded.faults)
    return decoded, [tuple(r.values()) for r in pq.read_table(folder / "a.parquet").to_pylist()]


def line(name: str, number: str, note: str, encoding: str | None) -> bytes:
    if encoding is None:
        return f"{name:<8}{number:<22}{note:<6}".encode()
    return b"".join(t.encode(encoding).ljust(n) for t, n in ((name, 8), (number, 22), (note, 6)))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", None])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_of_the_declared_length_are_cut_where_it_says(tmp_path: Path, encoding: str | None, end: bytes) -> None:
    rows = [line("欧阳", "460106186003070037", "甲", encoding), b"", line("乙", "2", "", encoding)]
    faulty = rows[0] + b" "
    decoded, found = staged(tmp_path, end.join([*rows, faulty, rows[2]]) + end, encoding is not None)
    assert found == [
        (1, None, "欧阳", "460106186003070037", "甲"), (3, None, "乙", "2", None), (5, None, "乙", "2", None),
    ]  # fmt: skip
    assert ([(f.code, f.line, f.value) for f in decoded.faults], decoded.blank) == ([("F057", 4, "37 ≠ 36")], 1)


def test_a_character_cut_in_two_costs_its_line(tmp_path: Path) -> None:
    good, cut = line("甲", "1", "x", "gb18030"), b"\xbc\xd7 \xbc\xd7  \xbc\xd7".ljust(36)
    decoded, found = staged(tmp_path, good + b"\n" + cut + b"\n", True)
    assert (len(found), [f.line for f in decoded.faults]) == (1, [2])


def test_a_table_with_a_header_is_read_as_one_though_a_layout_is_declared(tmp_path: Path) -> None:
    decoded, found = staged(tmp_path, "姓名,证件号码\n甲,1\n".encode(), True)
    assert (decoded.format, found) == ("text", [("甲", "1")])


def test_a_department_sends_by_its_layout_in_the_catalogue(tmp_path: Path) -> None:
    known = load()
    rows = [
        LayoutRow(department="haikou", unit="characters", start=n + 1, length=size, field=name, source="own sample")
        for name, n, size in (("subject_name", 0, 4), ("credit_number", 4, 18), ("determination_no", 22, 8))
    ]
    catalog = known.model_copy(update={"layouts": {"honour": tuple(rows)}})
    lint.check(catalog)
    (tmp_path / "a.txt").write_text("甲   460106186003070037琼〔2025〕1\n", encoding="gb18030")
    item = judge.judging(catalog, "honour", "haikou", date(2026, 1, 1))
    args = tmp_path / "a.txt", tmp_path / "a.parquet", catalog, item
    decoded = judge.read(*args, "haikou", tmp_path)
    assert (decoded.format, decoded.columns) == ("fixed width", ("subject_name", "credit_number", "determination_no"))
    with pytest.raises(DeliveryError, match="F004"):
        judge.read(*args, "sanya", tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"department": "haiko"}, "no department 'haiko'. Did you mean 'haikou'"),
        ({"field": "subject_nam"}, "no field 'subject_nam' in the item. Did you mean 'subject_name'"),
        ({"edition": "2099"}, "no edition '2099'"),
        ({"start": 3, "field": "remarks"}, "it lies over 'subject_name'"),
        ({"start": 9}, "the field 'subject_name' stands twice"),
        ({"start": 9, "field": "remarks", "unit": "characters"}, "Use one unit"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_with_its_line(change: dict[str, object], told: str) -> None:
    row = LayoutRow(department="haikou", unit="bytes", start=1, length=4, field="subject_name", source="own sample")
    other = row.model_copy(update={"start": 5, **change})
    catalog = load().model_copy(update={"layouts": {"honour": (row, other)}})
    with pytest.raises(CatalogError, match=r"layouts/honour.csv \[line 3\]") as caught:
        lint.check(catalog)
    assert told in str(caught.value)


# --- dBase

HEAD = (("姓名", "C", 10), ("证件号码", "C", 20), ("说明", "C", 8), ("RQ", "D", 8), ("JE", "N", 8))


def dbase(
    rows: list[tuple[str, ...]], encoding: str = "gb18030", head: tuple[tuple[str, str, int], ...] = HEAD,
    version: int = 3, deleted: tuple[int, ...] = (), more: int = 0,
) -> bytes:  # fmt: skip
    fields = b"".join(
        name.encode("gb18030")[:10].ljust(11, b"\0") + kind.encode() + bytes(4) + bytes([size]) + bytes(15)
        for name, kind, size in head
    )
    size = 1 + sum(s for _, _, s in head)
    start = struct.pack("<B3BIHH20x", version, 98, 1, 5, len(rows) + more, 33 + len(fields), size)
    body = b"".join(
        (b"*" if n in deleted else b" ")
        + b"".join(
            (cell.encode(encoding) if isinstance(cell, str) else cell)[:s].ljust(s)
            for cell, (_, _, s) in zip(row, head, strict=True)
        )
        for n, row in enumerate(rows, start=1)
    )
    return start + fields + b"\r" + body + b"\x1a"


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
@pytest.mark.parametrize("version", [0x03, 0x30, 0x8B, 0xF5])
def test_dbase_records_are_read_and_the_deleted_ones_told(tmp_path: Path, encoding: str, version: int) -> None:
    first, rest = ("甲", "007", "x", "20980105", "1.50"), [("乙", "2", "删"), ("", "", ""), ("丙", "3", "")]
    rows = [first, *((*row, "", "") for row in rest)]
    decoded, found = run(tmp_path, dbase(rows, encoding, version=version, deleted=(2,)), "a.csv")
    assert [tuple(r.values()) for r in found] == [(1, None, "甲", "007", "x"), (4, None, "丙", "3", None)]
    assert (decoded.format, decoded.encoding, decoded.blank) == ("dbase", encoding, 1)
    assert (decoded.unknown_headers, [(n.code, n.value) for n in decoded.notes]) == (("RQ", "JE"), [("F056", "1: 2")])


def test_dbase_types_are_text_as_a_person_writes_it(tmp_path: Path) -> None:
    kinds = (("D", b"20980105"), ("N", b"    1.50"), ("L", b"T"), ("I", struct.pack("<i", -7)),
             ("T", struct.pack("<II", date(2098, 1, 5).toordinal() + 1_721_425, 28_800_000)),
             ("Y", struct.pack("<q", 15_000)), ("B", struct.pack("<d", 2.5)), ("D", b"        "))  # fmt: skip
    shown = []
    for kind, cell in kinds:
        head = (("姓名", "C", 4), ("证件号码", "C", 4), ("说明", kind, len(cell)))
        content = dbase([("甲", "1", cell)], head=head, version=0x30)  # type: ignore[list-item]
        shown.append(run(tmp_path, content)[1][0]["note"])
    assert shown == ["2098-01-05", "1.50", "是", "-7", "2098-01-05 08:00:00", "1.5000", "2.5", None]


def test_dbase_text_cut_in_the_middle_of_a_character_shows_it_as_lost(tmp_path: Path) -> None:
    head = (("姓名", "C", 3), ("证件号码", "C", 4))
    _, found = run(tmp_path, dbase([("甲乙", "1")], head=head))
    assert found[0]["name"] == "甲�"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (dbase([("甲", "1", "", "", "")], more=1), "F014"),
        (dbase([("甲", "1", "", "", "")])[:-30], "F014"),
        (dbase([("1", "1")], head=(("姓名", "M", 10), ("证件号码", "C", 4))), "F010"),
        (dbase([("1", "1")], head=(("XX", "C", 10), ("YY", "C", 4))), "F004"),
        (dbase([("1", "1", "2")], head=(("姓名", "C", 10), ("证件号码", "C", 4), ("姓名", "C", 4))), "F006"),
    ],
)
def test_dbase_that_cannot_be_read_goes_back(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        run(tmp_path, content)
    assert caught.value.code == code
