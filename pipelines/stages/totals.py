"""Control totals: the sums, first and last values of columns that a manifest states, against those of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlglot import exp

from pipelines.model import Home
from pipelines.readers.staging import open_staged
from pipelines.stores.engine import connect
from schemas import types
from schemas.model import FieldSpec, Item

Stated = Mapping[str, Mapping[str, str]]
NUMBERS, DAYS = ("integer", "decimal"), ("date", "timestamp")


@dataclass(frozen=True)
class Difference:
    """A figure (sum, min, max) of a column that is not what the manifest says, both as text; '' where there is none."""

    label: str
    figure: str
    stated: str
    found: str


@dataclass(frozen=True)
class Compared:
    """What differs, and the columns of which nothing can be said, since a cell or a row of them could not be read."""

    differences: tuple[Difference, ...] = ()
    unread: tuple[str, ...] = ()


def fits(field: FieldSpec | None, figures: Mapping[str, str]) -> bool:
    """Whether these figures can be stated of a field: of numbers all, of dates the first and the last."""
    if field is None or field.sensitivity == "identifying" or field.type not in (*NUMBERS, *DAYS):
        return False
    is_number = field.type in NUMBERS
    return all(_is_number(text) == is_number and (is_number or name != "sum") for name, text in figures.items())


def compare(home: Home, delivery_id: str, item: Item, stated: Stated, lost_rows: int) -> Compared:
    """Reads `staged/`; every row that was sent counts, whatever becomes of it. `stated`: field -> figure -> text, each
    such that it `fits`; `lost_rows` could not even be staged."""
    fields = [item.field(name) for name in stated]
    with connect(home.work) as engine:
        present = set(open_staged(engine, home.staged(delivery_id), "sent"))
        differences: list[Difference] = []
        unread: list[str] = []
        for field in fields:
            found, bad = dict.fromkeys(("sum", "min", "max")), 0
            if field.name in present:
                text = types.trimmed(exp.column(field.name)).sql(dialect="duckdb")
                name = field.name
                read = types.read(field, f"SELECT {text} AS t_{name} FROM sent")
                value = f"CAST({name} AS DATE)" if field.type == "timestamp" else name
                total = f"sum({name})" if field.type in NUMBERS else "NULL"
                unreadable = f"h_{name} IS NOT NULL AND {name} IS NULL AND NOT n_{name}"
                query = f"""SELECT count(*) FILTER (WHERE {unreadable}), {total}, min({value}), max({value})
                    FROM ({read})"""
                ((bad, *figures),) = engine.execute(query).fetchall()
                found = dict(zip(found, figures, strict=True))
            wrong = [
                Difference(field.label_zh, name, text, _text(found[name]))
                for name, text in stated[field.name].items()
                if _value(text) != (Decimal(0) if name == "sum" and found[name] is None else found[name])
            ]
            if wrong and (bad or lost_rows):
                unread.append(field.label_zh)
            else:
                differences += wrong
    return Compared(tuple(differences), tuple(unread))


def _is_number(text: str) -> bool:
    return isinstance(_value(text), Decimal)


def _value(text: str) -> Decimal | date:
    """A figure of a manifest as it is compared; Decimal and int, and Decimals of any scale, compare as numbers."""
    return date.fromisoformat(text) if "-" in text[1:] else Decimal(text)


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    return "" if value is None else str(value)
