"""`qiongxin`: the command line, put together from `commands`, and what it answers when a command is stopped.

The commands import what is heavy inside themselves, so that help and the catalogue answer at once. Results go to
standard output; whatever stops a command is one sentence on standard error and an exit code (`commands.manual`).
"""

from __future__ import annotations

import sys

import typer

from pipelines.commands import screen
from pipelines.commands.alerts import alerts
from pipelines.commands.backups import backup, restore
from pipelines.commands.changes import catalog_app
from pipelines.commands.held import app
from pipelines.commands.inquiries import inquiries
from pipelines.commands.keys import keys_app
from pipelines.commands.metrics import metrics
from pipelines.commands.obligations import obligations
from pipelines.commands.services import db_app, stack_app
from pipelines.commands.subjects import subjects_app
from pipelines.errors import of_storage
from pipelines.garbage import collect_rarely

app.command(epilog="Example: qiongxin obligations --date 2026-11-22")(obligations)
app.command(epilog="Example: qiongxin alerts --send")(alerts)
app.command(epilog="Example: qiongxin metrics --statsd localhost:8125")(metrics)
app.command(epilog="Example: qiongxin inquiries --since 2026-11-01")(inquiries)
app.command(epilog="Example: qiongxin backup --to /backups")(backup)
app.command(epilog="Example: qiongxin restore --from /backups/2026-11-22-04f6b0ff9eef11b0 --home new --key-file key")(
    restore
)
app.add_typer(catalog_app, name="catalog")
app.add_typer(db_app, name="db")
app.add_typer(stack_app, name="stack")
app.add_typer(subjects_app, name="subjects")
app.add_typer(keys_app, name="keys")


def answer(error: Exception) -> tuple[int, str]:
    """Exit code and one sentence for what may stop a command; anything else is a bug and is raised again."""
    if isinstance(error, typer.TyperException):
        path = getattr(getattr(error, "ctx", None), "command_path", "qiongxin")
        told = error.format_message().strip()
        return 2, told if told.startswith("Usage:") else f"{path}: {told.rstrip('.')}. See '{path} --help'."
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return code, str(error)
    if isinstance(error, OSError):
        return 4, f"{error.filename or 'storage'}: {error.strerror or error}. Mend the place, then run it again."
    if fault := of_storage(error):
        return fault.exit_code, str(fault)
    is_database = type(error).__module__.partition(".")[0] in ("sqlalchemy", "psycopg")
    if is_database and type(error).__name__ in ("OperationalError", "InterfaceError"):
        return 4, f"database: {type(error).__name__}. Start it ('qiongxin db up'), then run the same command again."
    raise error


def main(arguments: list[str] | None = None) -> None:
    collect_rarely()
    try:
        code = app(arguments, prog_name="qiongxin", standalone_mode=False)
    except Exception as e:
        code, told = answer(e)
        screen.remark(told)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
