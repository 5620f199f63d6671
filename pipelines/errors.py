"""The ways a run stops. Bad rows are findings, never exceptions.

Every message says *where: what is wrong. What to do.* and carries no personal value.
"""


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
