"""Servers on loopback that tests talk to: SFTP by asyncssh in this process, S3 by moto in one of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pyarrow import fs

from tests.conftest import ROOT

TOOLS = Path(os.environ.get("QIONGXIN_TOOLS") or ROOT / ".venv-tools")
MOTO = TOOLS / "bin" / "moto_server"
needs_moto = pytest.mark.skipif(
    "QIONGXIN_TOOLS" not in os.environ and not MOTO.exists(), reason="no moto in .venv-tools: run 'make tools'"
)
PASSWORD = "open sesame"


class SftpServer:
    """`root/<user>` is all that a user sees. `opened` lists what was opened; a connection is cut once after `cut` bytes
    were read of a file, and a file ends early `ends_at`; without `posix_rename` the server knows the standard's rename
    alone; `silent` never answers a request for a listing; `read_only` forbids to make and rename;
    `cut_after_rename` cuts the connection once, before the answer."""

    def __init__(self, root: Path) -> None:
        self.root, self.opened, self.logins = root, list[str](), 0
        self.ciphers: tuple[str, ...] = ()
        self.cut: int | None = None
        self.ends_at: int | None = None
        self.posix_rename = True
        self.silent = self.read_only = self.cut_after_rename = False
        self.users: dict[str, asyncssh.SSHKey | str] = {}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = 0
        self.start(asyncssh.generate_private_key("ssh-ed25519"))

    def start(self, host_key: asyncssh.SSHKey) -> None:
        self.host_key = host_key
        self.listening = self._run(self._listen())
        self.port = self.listening.get_port()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", self.port, server_factory=lambda: _Door(self), server_host_keys=[self.host_key],
            sftp_factory=lambda chan: _Sftp(self, chan), process_factory=None, allow_scp=False,
            encryption_algs=self.ciphers,
        )  # fmt: skip

    def stop(self) -> None:
        async def closed() -> None:
            self.listening.close()
            await self.listening.wait_closed()

        self._run(closed())

    def close(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def known_hosts(self, path: Path, key: asyncssh.SSHKey | None = None) -> Path:
        public = (key or self.host_key).export_public_key().decode().strip()
        path.write_text(f"[127.0.0.1]:{self.port} {public}\n")
        return path

    def url(self, user: str, folder: str) -> str:
        return f"sftp://{user}@127.0.0.1:{self.port}/{folder}"

    def add(self, user: str, secret: asyncssh.SSHKey | str = PASSWORD) -> Path:
        """A new user, who logs in by password or key; the folder that is all he sees."""
        self.users[user] = secret
        (self.root / user).mkdir(parents=True)
        return self.root / user

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)


class _Door(asyncssh.SSHServer):
    def __init__(self, server: SftpServer) -> None:
        self.server = server

    def begin_auth(self, username: str) -> bool:
        self.server.logins += 1
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self.server.users.get(username) == password

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        known = self.server.users.get(username)
        return isinstance(known, asyncssh.SSHKey) and known.public_data == key.public_data


class _Sftp(asyncssh.SFTPServer):
    def __init__(self, server: SftpServer, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self.server = server
        root = server.root / str(chan.get_extra_info("username"))
        super().__init__(chan, chroot=os.fsencode(root))

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self.server.opened.append(os.fsdecode(path))
        return super().open(path, pflags, attrs)

    def read(self, file_obj: Any, offset: int, size: int) -> Any:
        if self.server.cut is not None and offset >= self.server.cut:
            self.server.cut = None
            self.connection.abort()
        data = super().read(file_obj, offset, size)
        return data if self.server.ends_at is None else data[: max(self.server.ends_at - offset, 0)]

    async def scandir(self, path: bytes) -> Any:  # type: ignore[override]
        if self.server.silent:
            await asyncio.sleep(3600)
        async for name in super().scandir(path):
            yield name

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        self._may_write()
        return super().mkdir(path, attrs)

    def _may_write(self) -> None:
        if self.server.read_only:
            raise asyncssh.SFTPPermissionDenied("read only")

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._may_write()
        if not self.server.posix_rename:
            raise asyncssh.SFTPOpUnsupported("posix-rename@openssh.com")
        super().posix_rename(oldpath, newpath)
        if self.server.cut_after_rename:
            self.server.cut_after_rename = False
            self.connection.abort()


@contextmanager
def sftp_server(root: Path) -> Iterator[SftpServer]:
    server = SftpServer(root)
    try:
        yield server
    finally:
        server.close()


class S3Server:
    """An empty service; `store` is the owner's own view of it."""

    def __init__(self) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        told: Any = subprocess.DEVNULL
        self.process = subprocess.Popen([MOTO, "-H", "127.0.0.1", "-p", str(self.port)], stdout=told, stderr=told)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            time.sleep(0.05)
        self.store = fs.S3FileSystem(
            access_key="owner", secret_key="owner", endpoint_override=f"127.0.0.1:{self.port}", scheme="http",
            region="us-east-1", allow_bucket_creation=True,
        )  # fmt: skip

    def write(self, name: str, content: bytes) -> None:
        with self.store.open_output_stream(name) as file:
            file.write(content)

    def names(self, root: str) -> list[str]:
        found = self.store.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        return sorted(i.path.removeprefix(root + "/") for i in found if i.type == fs.FileType.File)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
