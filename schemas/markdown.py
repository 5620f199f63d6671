"""Tables in Markdown: the only form that the generated documents need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cell(text: object) -> str:
    """One cell: a bar would end it and a line break would end the table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table; no rows give no lines."""
    lines = [f"| {' | '.join(cell(c) for c in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines] if lines else []


def page(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
