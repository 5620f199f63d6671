"""Pictures of the tables in docs/benchmarks.md, drawn from those tables and nothing else, into docs/plots/*.svg.

    .venv/bin/python -m tests.benchmarks.plots

A plot is a bar for each row of a table. A test holds that the pictures are those of the page as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "benchmarks.md", DOCS / "plots"
WIDTH, LEFT, RIGHT, BAR, GAP = 720, 260, 90, 18, 8  # pixels


@dataclass(frozen=True)
class Plot:
    """`column` of the first table below `heading` that has it, a bar for each row, named by its column `by` (several:
    joined); `target` draws a line at what was asked."""

    file: str
    heading: str
    title: str
    column: str
    by: tuple[str, ...]
    target: float | None = None


PLOTS = (
    Plot("findings", "Findings: one dirty file", "Rows judged in a processor second", "rows/s of it", ("tool",)),
    Plot("formats", "Formats: rows and megabytes", "Megabytes read in a second", "MB/s", ("form",)),
    Plot("floors", "From receipt to curated", "Processor time as a multiple of the floor's", "processor",
         ("store", "step")),
    Plot("worst", "A night at its worst", "Processor time as a multiple of a clean file's", "against clean",
         ("the file",)),
    Plot("growth", "How a night grows", "Seconds of a night with 100,000 changed records", "wall s", ("stored",)),
    Plot("memory", "What memory", "Megabytes of memory of a night, by rows delivered", "night MB", ("rows",), 2000),
)  # fmt: skip


def tables(section: str) -> list[list[dict[str, str]]]:
    """The tables of a section, each row by the names of its columns."""
    found, rows = [], []
    for line in [*section.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            head, _, *body = rows
            found.append([dict(zip(head, row, strict=True)) for row in body])
            rows = []
    return found


def number(cell: str) -> float | None:
    """What a cell says: the ratio behind an equals sign, else its first number; None where it says none."""
    told = re.findall(r"[0-9][0-9,]*(?:[.][0-9]+)?", cell.rsplit("=", 1)[-1])
    return float(told[0].replace(",", "")) if told else None


def bars(plot: Plot, page: str) -> list[tuple[str, float]]:
    """Raises LookupError where the page has no such table."""
    sections = [part for part in page.split("\n## ") if part.startswith(plot.heading)]
    for table in tables(sections[0]) if sections else []:
        if plot.column in table[0]:
            told = [(" ".join(row[name] for name in plot.by), number(row[plot.column])) for row in table]
            return [(name, value) for name, value in told if value is not None]
    raise LookupError(f"docs/benchmarks.md has no table with {plot.column!r} below {plot.heading!r}")


def drawn(plot: Plot, page: str) -> str:
    told = bars(plot, page)
    most = max([value for _, value in told] + ([plot.target] if plot.target else []))
    scale = (WIDTH - LEFT - RIGHT) / most
    height = 44 + len(told) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="13" role="img" aria-label="{escape(plot.title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="22" font-size="15" font-weight="bold" fill="#222">{escape(plot.title)}</text>',
    ]
    for n, (name, value) in enumerate(told):
        y = 36 + n * (BAR + GAP)
        text = f"{value:,.2f}".rstrip("0").rstrip(".")
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end" fill="#222">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{max(value * scale, 1):.1f}" height="{BAR}" fill="#2b6cb0"/>',
            f'<text x="{LEFT + value * scale + 6:.1f}" y="{y + 14}" fill="#222">{text}</text>',
        ]
    if plot.target:
        x = LEFT + plot.target * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="30" y2="{height - 4}" stroke="#c53030" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    FOLDER.mkdir(exist_ok=True)
    for plot in PLOTS:
        (FOLDER / f"{plot.file}.svg").write_text(drawn(plot, page), encoding="utf-8")
        print(f"docs/plots/{plot.file}.svg")


if __name__ == "__main__":
    main()
