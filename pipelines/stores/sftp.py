"""A place on an SFTP server. Its host key has to be known; a connection that breaks is made anew, once per step."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_REGULAR

from pipelines.errors import PlaceError
from pipelines.stores.places import BLOCK, TAKEN, Entry, Place, Source, T, credential

asyncssh.set_log_level(logging.WARNING)  # it tells the names of files otherwise
PORT = 22
CONNECT_SECONDS, STEP_SECONDS, ALIVE_SECONDS, CLOSE_SECONDS = 15, 60, 15, 5
AGAIN = "Nothing was lost: the next run tries again."
BROKEN = (
    asyncssh.ConnectionLost, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ChannelOpenError,
    asyncssh.DisconnectError, ConnectionError, TimeoutError,
)  # fmt: skip
# No more than a failure or a code that the other version of the protocol has: what a server says of a name in use.
IN_USE = (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists)


class Broken(Exception):
    """The connection is gone; the same step may go well on a new one."""


class Sftp(Place):
    """`url` is sftp://user@host:port/folder. The environment gives the password or the file of the private key of the
    credentials `name`, and with QIONGXIN_KNOWN_HOSTS the file of host keys, ~/.ssh/known_hosts by default."""

    def __init__(self, url: str, name: str | None) -> None:
        super().__init__(url.rstrip("/"))
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or PORT
        self.user, self.root = unquote(parts.username or ""), unquote(parts.path).rstrip("/")
        self.credentials = name
        self.known_hosts = Path(os.environ.get("QIONGXIN_KNOWN_HOSTS") or "~/.ssh/known_hosts").expanduser()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    def files(self) -> list[Entry]:
        found = []
        for top in self._names(self.root or "/"):
            if not _is_folder(top.attrs):
                found.append(_entry("", top))
                continue
            folder = str(top.filename)
            found += [_entry(folder, n) for n in self._names(self._path(folder))]
        return found

    def _names(self, path: str) -> list[asyncssh.SFTPName]:
        names = self._twice(lambda: self._step(lambda client: client.readdir(path)))
        return sorted((n for n in names if not str(n.filename).startswith(".")), key=lambda n: str(n.filename))

    def find(self, folder: str, name: str) -> Entry | None:
        async def found(client: asyncssh.SFTPClient) -> Entry | None:
            try:
                attributes = await client.lstat(self._path(folder, name))
            except asyncssh.SFTPNoSuchFile:
                return None
            return _entry(folder, asyncssh.SFTPName(name, attrs=attributes))

        return self._twice(lambda: self._step(found))

    def fetch(self, entry: Entry, into: Callable[[Source], T]) -> T | None:
        async def opened(client: asyncssh.SFTPClient) -> asyncssh.SFTPClientFile | None:
            with suppress(asyncssh.SFTPNoSuchFile):
                return await client.open(self._path(entry.folder, entry.name), "rb")
            return None

        def whole() -> T | None:
            if (file := self._step(opened)) is None:
                return None
            made = into(Reading(self, file))
            self._step(lambda client: file.close())
            return made

        return self._twice(whole)

    def take(self, entry: Entry) -> None:
        async def moved(client: asyncssh.SFTPClient) -> None:
            with suppress(*IN_USE):
                await client.mkdir(self._path(entry.folder, TAKEN))
            here, there = (self._path(*at) for at in ((entry.folder, entry.name), (entry.folder, TAKEN, entry.name)))
            await _renamed(client, here, there)

        def still_there() -> None:
            if self.find(entry.folder, entry.name) == entry:
                self._step(moved)

        self._twice(still_there)

    def put(self, source: Path, name: str) -> None:
        part = self._path(f".{name}.part")

        def written() -> None:
            file = self._step(lambda client: client.open(part, "wb"))
            with source.open("rb") as read:
                while block := read.read(BLOCK):
                    self._step(lambda client, block=block: file.write(block))  # type: ignore[misc]
                size = read.tell()
            self._step(lambda client: file.close())
            if self._step(lambda client: client.lstat(part)).size != size:
                raise Broken("what arrived is not as long as what was sent")
            self._step(lambda client: _renamed(client, part, self._path(name)))

        self._twice(written)

    def close(self) -> None:
        self._drop()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _path(self, *parts: str) -> str:
        return "/".join((self.root, *(p for p in parts if p)))

    def _twice(self, step: Callable[[], T]) -> T:
        """Do a step that may be done again, and do it again where the connection was lost."""
        try:
            return step()
        except Broken:
            self._drop()
        try:
            return step()
        except Broken as e:
            self._drop()
            raise PlaceError(f"{self.shown}: {e}. Ask whoever runs the server. {AGAIN}") from e

    def _step(self, action: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """One exchange with the server. Raises `Broken`, `PlaceError`."""

        async def step() -> T:
            if self._client is None:
                self._client = await self._connected()
            return await action(self._client)

        try:
            return self._run(step(), STEP_SECONDS)
        except (Broken, PlaceError):
            raise
        except Exception as e:
            raise self._told(e) from e

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """What the work gives, if it does so in time. One that does not is left alone, since what it would tidy up may
        wait for the same server; it ends when the connection is dropped."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _connected(self) -> asyncssh.SFTPClient:
        secret = credential(self.shown, self.credentials, "PASSWORD", "KEY_FILE")
        self._connection = await asyncssh.connect(
            self.host, self.port, username=self.user, password=secret.get("PASSWORD"), client_keys=self._key(secret),
            known_hosts=self._trusted(), config=None, agent_path=None, connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS, keepalive_interval=ALIVE_SECONDS,
        )  # fmt: skip
        # Names may be of any encoding: what is no UTF-8 is kept as it is, as this machine's own folders keep it.
        return await self._connection.start_sftp_client(path_errors="surrogateescape")

    def _key(self, secret: Mapping[str, str]) -> list[asyncssh.SSHKey] | None:
        if "KEY_FILE" not in secret:
            return None
        try:
            return [asyncssh.read_private_key(secret["KEY_FILE"])]
        except (OSError, ValueError) as e:  # the latter is what asyncssh says of a file that is no key, or a locked one
            what = f"the private key of credentials '{self.credentials}' cannot be read"
            raise PlaceError(f"{self.shown}: {what}. Name the file of a key without passphrase.") from e

    def _trusted(self) -> asyncssh.SSHKnownHosts:
        try:
            return asyncssh.read_known_hosts(str(self.known_hosts))
        except OSError as e:
            what = f"the host keys cannot be read ({e.strerror})"
            cure = f"Put the server's key, as its owner confirms it, into {self.known_hosts} (QIONGXIN_KNOWN_HOSTS)."
            raise PlaceError(f"{self.shown}: {what}. {cure}") from e

    def _is_changed(self) -> bool:
        """Whether another key than the one shown is known of the host."""
        keys = asyncssh.match_known_hosts(str(self.known_hosts), self.host, "", self.port)
        return any(keys[:2])

    def _drop(self) -> None:
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.abort()
            with suppress(Exception):
                self._run(connection.wait_closed(), CLOSE_SECONDS)

    def _told(self, error: Exception) -> Exception:
        """The fault as a sentence, or as a lost connection."""
        file = f"{self.known_hosts} (QIONGXIN_KNOWN_HOSTS)"
        is_exchange = isinstance(error, asyncssh.KeyExchangeFailed)
        if isinstance(error, asyncssh.HostKeyNotVerifiable) or (is_exchange and "host key" in str(error)):
            if self._is_changed():
                what = f"the server shows another key than the one in {file}"
                cure = "Do not go on: ask its owner whether the key was changed, and only then replace the line."
            else:
                what = f"the server's key is not in {file}"
                cure = "Compare its fingerprint with what the owner tells you, then add the key."
        elif is_exchange:
            what, cure = "the server knows no encryption that is still safe", "Ask its owner to update it."
        elif isinstance(error, asyncssh.PermissionDenied):
            what = f"the server refuses the user '{self.user}' with credentials '{self.credentials}'"
            cure = "Correct the password or the key, or ask the owner to let this user in."
        elif isinstance(error, asyncssh.SFTPNoSuchFile):
            what, cure = f"there is no folder {self.root}", "Ask the owner to make it, or correct the url."
        elif isinstance(error, asyncssh.SFTPPermissionDenied):
            what = f"the user '{self.user}' may not do this in {self.root}"
            cure = "Ask the owner for the right to read and move, or say after_archiving = 'leave'."
        elif isinstance(error, BROKEN):
            what = "no answer in time" if isinstance(error, TimeoutError) else "the connection failed"
            return Broken(what)
        elif isinstance(error, OSError):
            return Broken(f"the server cannot be reached ({error.strerror or type(error).__name__})")
        else:
            what, cure = f"the server answers {type(error).__name__}", f"Ask whoever runs it. {AGAIN}"
        return PlaceError(f"{self.shown}: {what}. {cure}")


class Reading:
    """A file of the server, read from its beginning."""

    def __init__(self, place: Sftp, file: asyncssh.SFTPClientFile) -> None:
        self._place, self._file, self._at = place, file, 0

    def readinto(self, block: memoryview, /) -> int:
        try:
            got = self._place._run(self._file.read(len(block), self._at), STEP_SECONDS)
        except Exception as e:
            raise self._place._told(e) from e
        assert isinstance(got, bytes)
        block[: len(got)] = got
        self._at += len(got)
        return len(got)


async def _renamed(client: asyncssh.SFTPClient, here: str, there: str) -> None:
    """Over what is there; a server without that extension of OpenSSH first has to remove it."""
    try:
        await client.posix_rename(here, there)
    except asyncssh.SFTPOpUnsupported:
        with suppress(asyncssh.SFTPNoSuchFile):
            await client.remove(there)
        await client.rename(here, there)


def _is_folder(attributes: asyncssh.SFTPAttrs) -> bool:
    return attributes.type == FILEXFER_TYPE_DIRECTORY


def _entry(folder: str, name: asyncssh.SFTPName) -> Entry:
    a = name.attrs
    is_file = a.type == FILEXFER_TYPE_REGULAR or (a.permissions is not None and stat.S_ISREG(a.permissions))
    return Entry(folder, str(name.filename), a.size or 0, (a.mtime or 0) * 10**9, is_file)
