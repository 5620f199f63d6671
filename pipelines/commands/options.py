"""Options that several commands share, and what they accept."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import UsageFault

# Plain help: the same text at every width, and no traceback that shows the values of variables.
PLAIN: dict[str, Any] = {
    "no_args_is_help": True, "add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False,
}  # fmt: skip
DEFAULT_HOME = Path("var")


def as_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter(f"'{text}' is not a date. Write it like 2026-11-22.") from e


HomeOption = Annotated[
    Path, typer.Option("--home", envvar="QIONGXIN_HOME", metavar="DIR", help="The home, where everything lies.")
]
AnyHomeOption = Annotated[
    Path, typer.Option("--home", envvar="QIONGXIN_HOME", metavar="DIR", help="Not needed: all homes share a catalogue.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TodayOption = Annotated[
    date | None, typer.Option("--date", parser=as_day, metavar="DATE", help="As-of date; today by default.")
]
DayOption = Annotated[date, typer.Option("--date", parser=as_day, metavar="DATE", help="Business date, YYYY-MM-DD.")]
WhyOption = Annotated[
    str, typer.Option("--reason", envvar="QIONGXIN_REASON", metavar="WHY", help="Why you ask; for 'inquiries'.")
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def existing(home: Path) -> Path:
    """The home as an absolute path. A mistyped one is refused, not made."""
    if not home.is_dir():
        raise UsageFault(f"{home}: no such home. Name one with --home, or make one with 'qiongxin sample'.")
    return home.resolve()
