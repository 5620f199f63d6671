"""Servers on loopback that tests talk to: SFTP by asyncssh, SMTP and HTTP in this process, S3 by moto in its own."""

from __future__ import annotations

import asyncio
import base64
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
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
    `cut_after_rename` cuts the connection once, before the answer; `slow` are the seconds that a user waits for
    a part of a file, at most, but of a manifest."""

    def __init__(self, root: Path) -> None:
        self.root, self.opened, self.logins = root, list[str](), 0
        self.ciphers: tuple[str, ...] = ()
        self.cut: int | None = None
        self.ends_at: int | None = None
        self.posix_rename = True
        self.silent = self.read_only = self.cut_after_rename = False
        self.users: dict[str, asyncssh.SSHKey | str] = {}
        self.slow: dict[str, float] = {}
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
        self.user = str(chan.get_extra_info("username"))
        root = server.root / self.user
        super().__init__(chan, chroot=os.fsencode(root))

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self.server.opened.append(os.fsdecode(path))
        return super().open(path, pflags, attrs)

    async def read(self, file_obj: Any, offset: int, size: int) -> Any:  # type: ignore[override]
        began, is_data = time.monotonic(), not os.fsdecode(file_obj.name).endswith(".json")
        while is_data and time.monotonic() - began < self.server.slow.get(self.user, 0):
            await asyncio.sleep(0.02)
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


class SmtpServer:
    """Takes mail: `mails` are the messages as they came. With a `context` it offers STARTTLS, or speaks TLS from the
    first byte if `is_tls`; with `users` it asks for user and password, of which `logins` tells the accepted ones;
    `answer` is what it says to a message."""

    def __init__(
        self, context: ssl.SSLContext | None = None, users: dict[str, str] | None = None, is_tls: bool = False
    ) -> None:
        self.context, self.users, self.is_tls, self.answer = context, users or {}, is_tls, "250 taken"
        self.mails, self.logins = list[bytes](), list[str]()
        outer = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    outer.talk(self.request)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def talk(self, sock: socket.socket) -> None:
        is_private, is_known = self.is_tls, False
        if self.context is not None and self.is_tls:
            sock = self.context.wrap_socket(sock, server_side=True)
        file = sock.makefile("rb")

        def say(*lines: str) -> None:
            sock.sendall("".join(line + "\r\n" for line in lines).encode())

        say("220 here")
        while line := file.readline().decode().strip():
            word, _, rest = line.partition(" ")
            if word.upper() == "EHLO":
                more = ["250-STARTTLS"] if self.context is not None and not is_private else []
                say("250-here", *more, *(["250-AUTH PLAIN"] if self.users else []), "250 8BITMIME")
            elif word.upper() == "STARTTLS" and self.context is not None:
                say("220 go on")
                sock, is_private = self.context.wrap_socket(sock, server_side=True), True
                file = sock.makefile("rb")
            elif word.upper() == "AUTH":
                _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
                is_known = self.users.get(user) == password
                self.logins += [user] if is_known else []
                say("235 welcome" if is_known else f"535 not {user} with {password}")
            elif word.upper() == "MAIL" and self.users and not is_known:
                say("530 who are you")
            elif word.upper() == "DATA":
                say("354 go on")
                mail = b"".join(iter(file.readline, b".\r\n"))
                if self.answer.startswith("2"):
                    self.mails.append(mail)
                say(self.answer)
            elif word.upper() == "QUIT":
                say("221 bye")
                return
            else:
                say("250 well")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class HookServer:
    """Takes POSTs: `bodies` with their `headers`; `status` is its answer."""

    def __init__(self) -> None:
        self.bodies, self.headers, self.status = list[bytes](), list[dict[str, str]](), 204
        outer = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status < 300:
                    outer.bodies.append(body)
                    outer.headers.append(dict(self.headers))
                self.send_response(outer.status)
                if 300 <= outer.status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?token=hidden-token"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that nobody trusts by itself, and what a server needs to show it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path, both = folder / "trusted.pem", folder / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(secret + path.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return path, context
