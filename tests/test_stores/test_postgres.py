"""The embedded server, for real: started, killed, raced, and under a folder only root may enter."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import StoreError
from pipelines.stores import postgres

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "home"
    yield place
    postgres.down(place)


def ask(url: str, sql: str) -> object:
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


def test_up_twice_is_one_server_on_loopback_with_a_password(home: Path) -> None:
    url = postgres.up(home)
    assert postgres.up(home) == url
    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError):
        ask(url.replace(url.split(":")[2].split("@")[0], "wrong"), "SELECT 1")
    assert (home / "postgres.json").stat().st_mode & 0o077 == 0
    assert postgres.down(home)
    assert not postgres.is_running(home)
    assert not postgres.down(home)


def test_survives_a_crash(home: Path) -> None:
    url = postgres.up(home)
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    pid = int((Path(postgres._note(home)["data"]) / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    assert ask(postgres.up(home), "SELECT n FROM kept") == 1


def test_two_racing_starts_have_one_winner(home: Path) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(postgres.up(home))) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(urls)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root meets this")
def test_a_home_that_only_root_may_enter_works_and_keeps_its_permissions(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    modes = {p: p.stat().st_mode for p in (closed, *closed.parents)}
    home = closed / "home"
    try:
        assert ask(postgres.up(home), "SELECT 1") == 1
    finally:
        postgres.down(home)
    assert {p: p.stat().st_mode for p in modes} == modes


def test_a_named_server_wins_and_nothing_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIONGXIN_DATABASE_URL", "postgresql+psycopg://u@db/x")
    assert postgres.ensure(home) == postgres.url(home) == "postgresql+psycopg://u@db/x"
    assert not home.exists()


def test_lost_data_is_said_and_never_replaced_in_silence(home: Path) -> None:
    postgres.up(home)
    postgres.down(home)
    (Path(postgres._note(home)["data"]) / "PG_VERSION").unlink()
    with pytest.raises(StoreError, match="data folder is gone"):
        postgres.up(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_works_for_an_ordinary_user() -> None:
    python = shutil.which("python3.11", path="/usr/bin:/usr/local/bin")
    root, packages = Path(__file__).resolve().parents[2], Path(psycopg.__file__).parents[1]
    place = Path(tempfile.mkdtemp(prefix="qiongxin-user-"))
    os.chown(place, NOBODY, NOBODY)

    def as_user(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), "-c", f"from pathlib import Path\nfrom pipelines.stores import postgres\n{code}"],
            cwd="/", user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False,
            env={"PYTHONPATH": f"{root}:{packages}", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(place)},
        )  # fmt: skip

    try:
        if python is None or as_user("").returncode:
            pytest.skip("no Python 3.11 and no clone that an ordinary user could read")
        done = as_user(f"print(postgres.up(Path('{place}/home')))")
        assert done.returncode == 0, done.stderr
        with psycopg.connect(done.stdout.strip().replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert (place / "home" / "postgres" / "PG_VERSION").stat().st_uid == NOBODY
    finally:
        as_user(f"postgres.down(Path('{place}/home'))")
        shutil.rmtree(place, ignore_errors=True)
