"""Tables as people lay them out, whatever file they lie in: title rows, headers on two levels, merged cells, totals.

Every format that has sheets makes `Sheet`s of itself, and this is the one way from there to staged rows. Rows that are
none (blank ones, repeated headers, totals, notes) are counted and told; sheets of another layout are named.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.model import ANSWER_TABS
from pipelines.readers.headers import ECHO, match, says_nothing
from pipelines.readers.staging import Decoded, Fault, Note, StagedWriter
from pipelines.readers.text import HEADER_LINES, check_layout

BATCH = 1024  # rows made into columns at once: what fits the processor's cache
Line = tuple[int, list[object]]
Range = tuple[int, int, int, int]  # first row, first column, last row, last column; rows count from 1, columns from 0

# First words of lines below or between the rows that are no record, blanks taken out.
_TOTAL = re.compile(r"(?:本[页月季年期批]|累计|当[页月季年期])?(?:合计|小计|总计|共计)|以下空白|[(（]以下空白")
_NOTE = re.compile(
    r"(?:填表|制表|填报|审核|复核|报送|打印|导出)(?:说明|人|单位|日期|时间|部门|要求)?(?:签[字章名])?(?:[:：]|$)"
    r"|填表说明|填报说明|填表人|制表人|审核人|填报人|(?:单位)?负责人(?:签[字章名])?[:：]|联系(?:人|电话)[:：]|(?:备注|说明|注)[:：]"
)
LONG = 15  # characters of the shortest identity number: a row that holds one is a record, whatever its first cell says
LISTED = 20  # line numbers a note lists


@dataclass(frozen=True)
class Sheet:
    """One table. `rows` gives, as often as asked, (row number from 1, cells) in order; rows may be left out, and all
    have `width` cells. A cell is text, a number, a date or a truth value; "" is none.

    `merged` is None where the format does not say. `faults` are cells whose value is not in the file: (row, column) ->
    finding code. `name` is None where the file has one nameless table.
    """

    name: str | None
    rows: Callable[[], Iterator[Line]]
    merged: Sequence[Range] | None = ()
    faults: Mapping[tuple[int, int], str] = field(default_factory=dict)
    is_hidden: bool = False
    hidden_rows: int = 0


@dataclass(frozen=True)
class _Header:
    """Where the header of a sheet ends, the label and the field (or None) of each column, and all that stood so far."""

    last: int
    labels: tuple[str, ...]
    names: tuple[str | None, ...]
    above: tuple[tuple[str, ...], ...]

    @property
    def places(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names) if name}

    @property
    def fields(self) -> dict[str, int]:
        """Where the item's fields stand: the places without the echo columns, which make no row and stop none."""
        return {name: column for name, column in self.places.items() if not name.startswith(ECHO)}


@dataclass
class _Seen:
    """What became of the lines of one sheet below its header."""

    blank: int = 0
    others: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_sheets(
    sheets: Sequence[Sheet], target: Path, fields: Mapping[str, str], form: str, encoding: str | None = None
) -> Decoded:
    """Rows of every sheet whose header the item knows. Raises `DeliveryError` F004 where none is, F006."""
    found: list[tuple[Sheet, _Header]] = []
    notes: list[Note] = []
    for sheet in sheets:
        header, is_blank = _header(sheet, fields)
        if header is not None:
            found.append((sheet, header))
        elif not is_blank:
            notes.append(Note("F051", sheet.name, sheet.name))
    if not found:
        check_layout([], fields)
    columns: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for _, header in found:
        check_layout(_matched(header, fields), fields)
        columns.update(dict.fromkeys(n for n in header.names if n))
        pairs = zip(header.labels, header.names, strict=True)
        unknown.update(dict.fromkeys(label for label, name in pairs if name is None and label.strip()))
    faults: list[Fault] = []
    blank = others = 0
    with StagedWriter(target, list(columns)) as writer:
        for sheet, header in found:
            seen = _Seen()
            _stage(sheet, header, columns, writer, seen)
            blank, others = blank + seen.blank, others + len(seen.others)
            faults += seen.faults
            notes += _told(sheet, seen)
    return Decoded(
        rows=writer.rows, read=writer.rows + len(faults), blank=blank, total_lines=others, format=form,
        encoding=encoding, delimiter=None, columns=tuple(columns), unknown_headers=tuple(unknown),
        faults=tuple(faults), notes=tuple(notes),
    )  # fmt: skip


def _told(sheet: Sheet, seen: _Seen) -> Iterator[Note]:
    if sheet.is_hidden:
        yield Note("F052", sheet.name, "工作表 sheet")
    if sheet.hidden_rows:
        yield Note("F052", sheet.name, f"{sheet.hidden_rows} 行 rows")
    if seen.others:
        listed = "、".join(map(str, seen.others[:LISTED])) + ("…" if len(seen.others) > LISTED else "")
        yield Note("F056", sheet.name, f"{len(seen.others)}: {listed}")


def _header(sheet: Sheet, fields: Mapping[str, str]) -> tuple[_Header | None, bool]:
    """The header within the first rows, or None; and whether the sheet holds nothing at all, or only our own answer.

    One row is taken before two, and of rows that know as many fields the first; two where they know more, or where
    cells of the upper one are merged with those below them.
    """
    rows = sheet.rows()
    head = {n: [text(c) for c in cells] for n, cells in takewhile(lambda line: line[0] <= HEADER_LINES, rows)}
    is_blank = not any(c.strip() for cells in head.values() for c in cells) and next(rows, None) is None
    if head.get(1, [""])[:1] in [[tab] for tab in ANSWER_TABS]:
        return None, True
    best: tuple[int, int, int] = (0, 0, 0)
    for number, cells in head.items():
        best = max(best, (_known(match(cells, fields)), 0, -number))
    single = best
    for number, cells in head.items():
        if (below := head.get(number + 1)) is None:
            continue
        labels, lower = _flat(sheet, number, cells, below)
        known = _known(_names(labels, lower, fields))
        is_merged = any(top == number < bottom for top, _, bottom, _ in sheet.merged or ())
        if known > best[0] or (is_merged and known == single[0] and -single[2] in (number, number + 1)):
            best = (known, 1, -number)
    known, levels, at = best
    if known < 2:
        return None, is_blank
    number = -at
    labels, lower = (head[number], [""] * len(head[number])) if not levels else _flat(
        sheet, number, head[number], head[number + 1]
    )
    names = _names(labels, lower, fields)
    last = number + levels
    stripped = [tuple(c.strip() for c in cells) for n, cells in head.items() if n <= last]
    above = tuple(cells for cells in stripped if any(cells))
    return _Header(last, tuple(labels), tuple(names), above), False


def _known(names: Sequence[str | None]) -> int:
    return len({*names} - {None})


def _flat(sheet: Sheet, number: int, upper: list[str], below: list[str]) -> tuple[list[str], list[str]]:
    """Labels `upper/lower` of a header on two levels, and the lower parts alone."""
    spread = list(upper)
    if sheet.merged is None:
        for column, cell in enumerate(below):
            if column and cell.strip() and not spread[column].strip():
                spread[column] = spread[column - 1]
    for top, first, bottom, last in sheet.merged or ():
        if top <= number <= bottom:
            for column in range(first, min(last + 1, len(upper))):
                spread[column] = upper[first]
    both = [bool(u.strip() and b.strip()) for u, b in zip(spread, below, strict=True)]
    labels = [f"{u}/{b}" if two else u + b for u, b, two in zip(spread, below, both, strict=True)]
    return labels, [b if two else "" for b, two in zip(below, both, strict=True)]


def _names(labels: Sequence[str], lower: Sequence[str], fields: Mapping[str, str]) -> list[str | None]:
    """The field of each column: by its whole label, else by the lower part of it where no whole label means that."""
    whole, part = match(labels, fields), match(lower, fields)
    return [w or (p if p not in whole else None) for w, p in zip(whole, part, strict=True)]


def _matched(header: _Header, fields: Mapping[str, str]) -> list[str]:
    """The part of each label that named its field, as `check_layout` knows it."""
    pairs = zip(header.labels, header.names, match(header.labels, fields), strict=True)
    return [label if whole else label.rpartition("/")[2] if name else "" for label, name, whole in pairs]


def _stage(
    sheet: Sheet, header: _Header, columns: Collection[str], writer: StagedWriter, seen: _Seen
) -> None:
    places = header.places
    kept = [places.get(name) for name in columns]
    batch: list[list[object]] = []
    lines: list[int] = []

    def flush() -> None:
        cells = list(zip(*batch, strict=True))
        arrays = [
            pa.nulls(len(batch), pa.string()) if at is None else _column(cells[at], name)
            for name, at in zip(columns, kept, strict=True)
        ]
        writer.add_columns(lines, sheet.name, arrays)
        batch.clear()
        lines.clear()

    for line, row in _data(sheet, header, writer, seen):
        lines.append(line)
        batch.append(row)
        if len(batch) >= BATCH:
            flush()
    if batch:
        flush()


def _data(sheet: Sheet, header: _Header, writer: StagedWriter, seen: _Seen) -> Iterator[Line]:
    """The rows that are records. What else there is goes into `seen`."""
    places = header.fields
    known = sorted(places.values())
    key = places.get("credit_number", known[0])
    marks = {_solid(next(c for c in cells if c)) for cells in header.above}
    fill = _Fill(sheet, header) if any(r[0] > header.last and r[2] > r[0] for r in sheet.merged or ()) else None
    faulty = {row for row, column in sheet.faults if column in known}
    before, in_notes = header.last, False
    for line, row in sheet.rows():
        if line <= header.last:
            continue
        seen.blank += line - before - 1
        before = line
        number = row[key]
        if fill is not None:
            fill.meet(line, row)
        if not (type(number) is str and len(number) >= LONG):
            if row.count("") == len(row) and line not in faulty:  # to the last of a million formatted rows
                seen.blank += 1
                continue
            cells = [text(c).strip() for c in row]
            first = _solid(next((c for c in cells if c), ""))
            if not first:
                # A value that is not in the file makes a row as well.
                if line not in faulty:
                    seen.blank += 1
                    continue
            elif line not in faulty and not (type(number) is float and number >= 1e14):
                is_note = _NOTE.match(first) is not None
                alone = sum(map(bool, cells)) == 1
                if (
                    is_note
                    or _TOTAL.match(first)
                    or (in_notes and alone)
                    or not any(cells[c] for c in known)
                    or says_nothing(cells, is_only_row=False)
                    or (first in marks and tuple(cells) in header.above)
                ):
                    in_notes = in_notes or is_note
                    seen.others.append(line)
                    continue
        in_notes = False
        filled, bad = fill.down(line, row) if fill is not None else ([], {})
        if line in faulty:
            bad |= {c: sheet.faults[line, c] for c in known if (line, c) in sheet.faults}
        if bad:
            code = next(iter(bad.values()))
            listed = "、".join(f"{header.labels[c].strip()} {cell_name(line, c)}" for c in bad)
            seen.faults.append(Fault(code, line, sheet.name, "a value is not in the file", listed))
            continue
        if filled:
            labels = "、".join(header.labels[c].strip() for c in sorted(filled))
            writer.note(line, sheet.name, "", "F050", labels)
        yield line, row


class _Fill:
    """Merged cells below the header: the value stands in the first row, and means the rows under it as well, in the
    column where it stands; to the right it would be another field."""

    def __init__(self, sheet: Sheet, header: _Header) -> None:
        self._faults = sheet.faults
        self._starts: dict[int, list[tuple[int, int]]] = {}
        known = {*header.fields.values()}
        for top, first, bottom, _ in sheet.merged or ():
            if header.last < top < bottom and first in known:
                self._starts.setdefault(top, []).append((first, bottom))
        self._open: dict[int, tuple[int, int, object]] = {}

    def meet(self, line: int, row: list[object]) -> None:
        for column, bottom in self._starts.get(line, ()):
            self._open[column] = (line, bottom, row[column])

    def down(self, line: int, row: list[object]) -> tuple[list[int], dict[int, str]]:
        """Fills `row`; returns the columns filled, and those whose value is not in the file."""
        filled, bad = [], {}
        for column, (top, bottom, value) in list(self._open.items()):
            if line > bottom:
                del self._open[column]
            elif line > top and not text(row[column]).strip():
                if (top, column) in self._faults:
                    bad[column] = self._faults[top, column]
                elif text(value).strip():
                    row[column] = value
                    filled.append(column)
        return filled, bad


def _solid(cell: str) -> str:
    return re.sub(r"\s+", "", cell)


def _column(values: Sequence[object], name: str) -> pa.Array:
    try:
        column = pa.array(values, pa.string())
    except pa.ArrowTypeError:  # not all of it is text
        return pa.array([text(v, name) or None for v in values], pa.string())
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def text(value: object, name: str | None = None) -> str:
    """A cell as text. `name` is the field's: a number in place of a credit number stays in scientific notation, as the
    file has lost its last digits already and plausible wrong ones would be worse than none."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, float):
        if name == "credit_number":
            return f"{value:.14E}"
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


def cell_name(row: int, column: int) -> str:
    """`D7` of row 7 and column 3."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{row}"


