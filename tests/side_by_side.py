"""Which tests run beside which, where several processes share them (pytest-xdist)."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/test_spark/",)  # folders whose modules share what takes long to set up


class ByModule(LoadScopeScheduling):
    """A module stays with one process, as its tests share what it set up; so does a folder of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> Any:
        for folder in TOGETHER:
            if nodeid.startswith(folder):
                return folder
        return super()._split_scope(nodeid)
