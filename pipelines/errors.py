"""The four ways a run stops. Bad rows are findings, never exceptions.

Every message says *where: what is wrong. What to do.* and carries no personal value.
"""

from __future__ import annotations

DATABASES = ("sqlalchemy", "psycopg", "adbc_driver_manager", "duckdb", "_duckdb")
UNREACHABLE = ("OperationalError", "InterfaceError")
PLACES = ("inbox", "raw", "staged", "accepted", "rejected", "findings", "outbox", "curated", "reports", "work")


class QiongxinError(Exception):
    """Base of the errors that the command line turns into an exit code."""

    exit_code = 4


class DeliveryError(QiongxinError):
    """The file goes back to its department; `code` is a finding code of family F."""

    exit_code = 1

    def __init__(self, code: str, message_zh: str, message_en: str) -> None:
        super().__init__(f"{code}: {message_en}")
        self.code = code
        self.message_zh = message_zh
        self.message_en = message_en


class StoreError(QiongxinError):
    """A place or the database failed; the same step is safe to run again."""

    exit_code = 4


def store_fault(error: BaseException) -> StoreError | None:
    """A fault of a disk or database that no step foresaw, as one that is safe to run again; None for anything else.

    Only the kind of the fault is told: a path may hold a department's file name, a database's text a row.
    """
    if isinstance(error, OSError):
        parts = reversed(str(error.filename or "").split("/"))
        place = next((f"{p}/" for p in parts if p in PLACES), "home")
        what = error.strerror or type(error).__name__
        return StoreError(f"{place}: {what}. Make it writable and give it room, then run the same command again.")
    for kind in type(error).__mro__:
        if kind.__name__ in UNREACHABLE and kind.__module__.split(".")[0] in DATABASES:
            what = type(error).__name__
            return StoreError(f"database: {what}. See that it runs and has room, then run the same command again.")
    return None


class GateHeld(QiongxinError):
    """A delivery or an item is held; the rest is published."""

    exit_code = 3


class QueryFault(QiongxinError):
    """The SQL of `qiongxin query` cannot be answered."""

    exit_code = 2
