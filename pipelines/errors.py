"""The ways a run stops. Bad rows are findings, never exceptions.

Every message says *where: what is wrong. What to do.* and carries no personal value.
"""

from __future__ import annotations

import errno

OF_THE_DATA = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)  # what a name in a delivery may bring about


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


def of_storage(error: Exception) -> StoreError | None:
    """What an error of disk or network means to a run: the same step is safe to run again. None where it may be the
    data's fault. Its own text may name a file as somebody called it, and is left out."""
    if isinstance(error, OSError) and error.errno not in OF_THE_DATA:
        return StoreError(f"storage: {type(error).__name__}: {error.strerror}. Mend the place, then run it again.")
    # The engine has errors of its own for a full or a broken disk, and is not loaded by every command.
    if type(error).__name__ == "IOException" and type(error).__module__.strip("_").startswith("duckdb"):
        return StoreError("storage: the engine could not read or write a file. Make room, then run it again.")
    return None


class PlaceError(StoreError):
    """A department's own inbox or outbox failed; everybody else's delivery goes on."""


class GateHeld(QiongxinError):
    """A delivery or an item is held; the rest is published."""

    exit_code = 3


class UsageFault(QiongxinError):
    """A command cannot be carried out as it was written."""

    exit_code = 2


class QueryFault(QiongxinError):
    """The SQL of `qiongxin query` cannot be answered."""

    exit_code = 2
