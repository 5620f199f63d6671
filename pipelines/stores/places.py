"""Where deliveries are fetched and answers are put: folders, SFTP servers and buckets, asked in the same few words.

Whatever fails there is a `PlaceError`: *place: what is wrong. What to do.*, without the names of files, as people put
numbers and names into them.
"""

from __future__ import annotations

import os
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pipelines.errors import PlaceError

T = TypeVar("T")
TAKEN = ".taken"
BLOCK = 1 << 20
CREDENTIALS = "QIONGXIN_PLACE_{name}_{word}"


@dataclass(frozen=True)
class Entry:
    """What a place says of one thing in it. `folder` is '' for what lies beside the folders; `time` is of the last
    change, in nanoseconds as far as the place knows them; `is_file` is no for links, devices and folders."""

    folder: str
    name: str
    size: int
    time: int
    is_file: bool = True


class Source(Protocol):
    """Bytes of a file in their order, as many as are there at a time; none at the end."""

    def readinto(self, block: memoryview, /) -> int | None: ...


class Guarded:
    """A source whose faults are told as those of its place, and not as those of whatever is made of its bytes."""

    def __init__(self, source: Source, told: Callable[[Exception], PlaceError]) -> None:
        self._source, self._told = source, told

    def readinto(self, block: memoryview, /) -> int | None:
        try:
            return self._source.readinto(block)
        except Exception as e:
            raise self._told(e) from e


class Place(ABC):
    """A folder of folders, wherever it is. `shown` is its name for people and for the ledger. Every method raises
    `PlaceError`."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    @abstractmethod
    def files(self) -> list[Entry]:
        """Everything in the place and in its folders, dotfiles and what lies deeper left out, in the order of names."""

    @abstractmethod
    def find(self, folder: str, name: str) -> Entry | None:
        """A file as it is now."""

    @abstractmethod
    def fetch(self, entry: Entry, into: Callable[[Source], T]) -> T | None:
        """What `into` makes of the bytes of a file, None where the file is gone; it may be asked once more if the
        connection breaks meanwhile."""

    @abstractmethod
    def take(self, entry: Entry) -> None:
        """Move a file to `.taken/` beside it, unless the sender has put something else in its place."""

    @abstractmethod
    def put(self, source: Path, name: str) -> None:
        """Write a file of this machine into the place, whole or not at all, over what had the name."""

    @abstractmethod
    def _told(self, error: Exception) -> Exception:
        """A fault of the place as what to raise for it."""

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise self._told(e) from e

    def close(self) -> None:  # noqa: B027
        """Let go of the connection, if there is one."""

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Folder(Place):
    """A folder of this machine. Links in it are not followed: whoever may write there could name any file by one."""

    def __init__(self, shown: str, root: Path) -> None:
        super().__init__(shown)
        self.root = root

    def files(self) -> list[Entry]:
        with self._telling():
            found = []
            for name in sorted(n for n in os.listdir(self.root) if not n.startswith(".")):
                status = self._status("", name)
                if status is None:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    found.append(_entry("", name, status))
                    continue
                for inner in sorted(n for n in os.listdir(self.root / name) if not n.startswith(".")):
                    if status := self._status(name, inner):
                        found.append(_entry(name, inner, status))
            return found

    def find(self, folder: str, name: str) -> Entry | None:
        with self._telling():
            status = self._status(folder, name)
            return _entry(folder, name, status) if status else None

    def fetch(self, entry: Entry, into: Callable[[Source], T]) -> T | None:
        with self._telling():
            try:
                with self._inside(entry.folder) as at:
                    file = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
            except FileNotFoundError:
                return None
            source = open(file, "rb", buffering=0)  # noqa: SIM115
        with source:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise self._told(IsADirectoryError(0, "a file became something else"))
            return into(Guarded(source, self._told))

    def take(self, entry: Entry) -> None:
        with self._telling(), self._inside(entry.folder) as at:
            if self.find(entry.folder, entry.name) != entry:
                return
            with suppress(FileExistsError):
                os.mkdir(TAKEN, dir_fd=at)
            taken = os.open(TAKEN, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            try:
                os.replace(entry.name, entry.name, src_dir_fd=at, dst_dir_fd=taken)
            finally:
                os.close(taken)

    def put(self, source: Path, name: str) -> None:
        part = self.root / f".{name}.part"
        with self._telling():
            with source.open("rb") as read, part.open("wb") as written:
                shutil.copyfileobj(read, written, BLOCK)
                written.flush()
                os.fsync(written.fileno())
            os.replace(part, self.root / name)

    def _status(self, folder: str, name: str) -> os.stat_result | None:
        """What lies there, not what a link there points to; None if nothing does."""
        try:
            return os.lstat(self.root / folder / name)
        except FileNotFoundError:
            return None

    @contextmanager
    def _inside(self, folder: str) -> Iterator[int]:
        at = os.open(self.root / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            yield at
        finally:
            os.close(at)

    def _told(self, error: Exception) -> PlaceError:
        what = getattr(error, "strerror", None) or type(error).__name__
        cure = "Make the folder, or let this program read and write it; then run again."
        return PlaceError(f"{self.shown}: {what}. {cure}")


def _entry(folder: str, name: str, status: os.stat_result) -> Entry:
    return Entry(folder, name, status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))


def credential(place: str, name: str | None, *words: str) -> dict[str, str]:
    """What the environment says under the name of credentials: word -> value, of those that are set; one of them has to
    be. Raises `PlaceError`."""
    if name is None:
        return {}
    known = {word: CREDENTIALS.format(name=name.upper(), word=word) for word in words}
    found = {word: value for word, variable in known.items() if (value := os.environ.get(variable))}
    if not found:
        raise PlaceError(f"{place}: credentials '{name}' are not in the environment. Set {', '.join(known.values())}.")
    return found
