"""One night with the parts that departments and the platform really have: OpenSSH with a chroot per department, the
client `sftp` on the department's side, and a department whose server is down."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from pipelines import sampling, steps
from pipelines.errors import QiongxinError, StoreError
from pipelines.stores.ledger import Ledger
from schemas import load
from tests.conftest import ROOT

DAY = date(2026, 11, 22)
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Accounts that every Debian has and nobody uses: no test should make accounts of its own.
USERS = {"publicity_department": "games", "civilization_office": "news"}
WHY = next(
    (
        why
        for missing, why in (
            (not SSHD or not shutil.which("sftp"), "no OpenSSH: install openssh-server and openssh-client"),
            (os.geteuid() != 0, "a chroot needs root"),
            (not {u.pw_name for u in pwd.getpwall()} >= set(USERS.values()), "no accounts 'games' and 'news'"),
        )
        if missing
    ),
    "",
)
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {root}/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
AuthorizedKeysFile {root}/keys/%u.pub
ChrootDirectory {root}/departments/%u
ForceCommand internal-sftp
Subsystem sftp internal-sftp
AllowTcpForwarding no
AllowUsers {users}
"""


@dataclass
class Host:
    """The platform's server, with two departments that have keys."""

    root: Path
    port: int

    def sftp(self, user: str, *commands: str) -> tuple[int, str]:
        """What the real client says; the first command that fails ends it."""
        options = [f"-oUserKnownHostsFile={self.root}/known_hosts", "-oStrictHostKeyChecking=yes"]
        done = subprocess.run(
            ["sftp", "-q", "-b", "-", "-i", f"{self.root}/keys/{user}", *options, "-P", str(self.port),
             f"{user}@127.0.0.1"],
            input="\n".join(commands), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    # Every folder above a chroot has to be root's own, which /tmp is not.
    root = Path(tempfile.mkdtemp(prefix="qiongxin_sshd_", dir="/var/lib"))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    root.chmod(0o755)
    (root / "keys").mkdir()
    for name in ("host_key", *(f"keys/{u}" for u in USERS.values())):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", root / name], check=True)
    (root / "known_hosts").write_text(f"[127.0.0.1]:{port} {(root / 'host_key.pub').read_text()}")
    for user in USERS.values():
        own = root / "departments" / user
        for folder in ("inbox/honour", "outbox"):
            (own / folder).mkdir(parents=True)
            for path in (own / folder, (own / folder).parent):
                if path != own:
                    shutil.chown(path, user)
    config = root / "sshd_config"
    config.write_text(CONFIG.format(root=root, port=port, users=" ".join(USERS.values())))
    Path("/run/sshd").mkdir(exist_ok=True)
    assert SSHD is not None
    daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=(root / "log").open("w"))
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield Host(root, port)
    finally:
        daemon.terminate()
        daemon.wait(20)
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Department -> a delivery on its own disk, with its manifest beside it."""
    home = tmp_path_factory.mktemp("departments")
    sampling.generate(home, rows=120, seed=3, as_of=DAY, items=("honour",))
    return {
        d: next(p for p in (home / "inbox" / d / "honour").iterdir() if not p.name.endswith(".manifest.json"))
        for d in USERS
    }


def test_departments_send_and_fetch_with_sftp_and_one_that_is_down_stops_nobody(
    host: Host,
    files: dict[str, Path],
    tmp_path: Path,
    database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, theirs = USERS.values()
    sent = files["publicity_department"]

    # The department's side: under another name first, then the right one, then the manifest.
    code, said = host.sftp(
        mine, "cd inbox/honour", f"put {sent} x.part", f"rename x.part {sent.name}", f"put {sent}.manifest.json"
    )
    assert code == 0, said
    # It sees its own folders and nothing above or beside them.
    code, said = host.sftp(mine, "cd /../..", "ls -a")
    assert (code, set(said.split()) - {"sftp>", "cd", "/../..", "ls", "-a", ".", ".."}) == (0, {"inbox", "outbox"})
    for other in (f"/{theirs}/inbox", f"../{theirs}/inbox", str(host.root), "/etc/passwd"):
        assert host.sftp(mine, f"ls {other}")[0] == 1

    # The platform's side: the second department's server does not run.
    catalog = tmp_path / "catalog"
    shutil.copytree(ROOT / "catalog", catalog)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for department, port in (("publicity_department", host.port), ("civilization_office", nobody.getsockname()[1])):
            user = USERS[department]
            with (catalog / "departments" / f"{department}.toml").open("a") as file:
                for place in ("inbox", "outbox"):
                    file.write(f'[{place}]\nurl = "sftp://{user}@127.0.0.1:{port}/{place}"\ncredentials = "{user}"\n')
            monkeypatch.setenv(f"QIONGXIN_PLACE_{user.upper()}_KEY_FILE", str(host.root / "keys" / user))
        monkeypatch.setattr(load, "CATALOG", catalog)
        monkeypatch.setenv("QIONGXIN_KNOWN_HOSTS", str(host.root / "known_hosts"))
        monkeypatch.setenv("QIONGXIN_DATABASE_URL", url := database())
        monkeypatch.setenv("QIONGXIN_LOOK_SECONDS", "0.1")
        home = tmp_path / "home"
        home.mkdir()
        (home / "sample.json").write_text("{}")
        code, said = command(home, "nightly", "--date", DAY.isoformat(), "--json")
        result = json.loads(said)
        assert code == result["exit_code"] == 4
        assert [(f["direction"], f["department"], f["since"]) for f in result["failed"]] == [
            ("inbox", "civilization_office", DAY.isoformat())
        ]
        assert result["failed"][0]["message"].endswith(
            "the connection failed. Ask whoever runs the server. Nothing was lost: the next run tries again."
        )
        code, said = command(home, "status")
        assert (code, said.count("failed: inbox of civilization_office, since 2026-11-22: sftp://news@")) == (0, 1)
        with Ledger(url) as ledger:
            (row,) = ledger.deliveries()
        assert (row["department"], row["state"]) == ("publicity_department", "released")
        assert row["read"] == row["declared_rows"] > 0
        with pytest.raises(QiongxinError, match="civilization_office") as told:
            steps.deliver_all(str(home), DAY.isoformat())
        assert not isinstance(told.value, StoreError), "Airflow would try again what only a night looks into"

    # The department fetches its answer, and finds its file put away; nobody else has either.
    answer = tmp_path / "answer"
    answer.mkdir()
    code, said = host.sftp(mine, f"get outbox/{row['delivery_id']}.* {answer}", "ls -1 inbox/honour/.taken")
    assert code == 0, said
    assert sent.name in said and "manifest" in said
    for name in ("receipt.json", "findings.xlsx"):
        path = f"{row['delivery_id']}.{name}"
        assert (answer / path).read_bytes() == (home / "outbox" / "publicity_department" / path).read_bytes()
    receipt = json.loads((answer / f"{row['delivery_id']}.receipt.json").read_text())
    assert (receipt["stage"], receipt["state"]) == ("final", "released")
    assert not list((host.root / "departments" / theirs / "outbox").iterdir())


def command(home: Path, *arguments: str) -> tuple[int, str]:
    """The exit code of a command and what it prints, in this process: it is to see another catalogue."""
    from pipelines import cli

    with pytest.MonkeyPatch.context() as told, tempfile.TemporaryFile("w+") as out:
        told.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, "--home", str(home)])
        out.seek(0)
        return int(str(ended.value.code)), out.read()
