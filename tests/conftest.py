"""Fixtures shared by all rooms. Sizes are reduced unless QIONGXIN_SOAK=1."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from pipelines.garbage import collect_rarely
from tests.remembered import remember

collect_rarely()
remember()

from pipelines.night import open_night  # noqa: E402
from pipelines.stores import postgres  # noqa: E402
from tests.mortal_night import Mortals  # noqa: E402

if TYPE_CHECKING:
    from tests.servers import S3Server, SftpServer

SOAK = os.environ.get("QIONGXIN_SOAK") == "1"
# How long a draw takes says more of the machine, which is shared, than of the test; and what is given a folder for all
# its examples writes into it anew.
LEFT_OUT = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("shared", deadline=None, suppress_health_check=LEFT_OUT)
settings.load_profile("shared")
ROOT = Path(__file__).resolve().parents[1]


def soak_only(what: str) -> pytest.MarkDecorator:
    """For tests that take minutes, of what others hold in part already."""
    return pytest.mark.skipif(not SOAK, reason=f"{what}: soak only")


# What takes minutes begins first, so that no process is left alone with it in the end; longest first.
LONG = (
    "tests/test_dags/test_daily.py", "tests/test_rotation.py", "tests/test_spark/", "tests/test_life.py",
    "tests/test_kills.py", "tests/test_hands.py", "tests/test_strikes.py", "tests/test_apply.py",
    "tests/test_replay.py", "tests/test_warehouse.py", "tests/test_end_to_end.py", "tests/test_bad_input.py",
    "tests/test_site.py", "tests/test_golden.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, long in enumerate(LONG) if item.nodeid.startswith(long)), len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.side_by_side import ByModule

    return ByModule(config, log)


# Items in which every shape occurs: several providers, several vocabularies, organisations, free text, repeated keys.
# Whole nights are held over these; over every other item of the catalogue the rules are.
SHAPES = (
    "identity_reference", "administrative_penalty", "administrative_licence", "traffic_penalty", "judgment_defaulter",
    "major_tax_violation", "tax_arrears", "social_insurance_arrears", "exam_misconduct", "student_loan_default",
    "professional_qualification", "honour", "volunteer_service", "credit_commitment",
)  # fmt: skip


@pytest.fixture(scope="session")
def is_soak() -> bool:
    return SOAK


@pytest.fixture(autouse=True)
def no_outer_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never writes into the database of whoever runs it, nor tells anybody there."""
    for name in ("QIONGXIN_DATABASE_URL", "QIONGXIN_HOME", "QIONGXIN_KEY_FILE", "QIONGXIN_ALERT_SMTP",
                 "QIONGXIN_ALERT_WEBHOOK", "QIONGXIN_ALERT_WEBHOOK_SECRET"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_store_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done for large stores alone is done in the small ones of tests, too."""
    monkeypatch.setattr("pipelines.stages.canonical.MUCH", 0)
    monkeypatch.setattr("pipelines.stages.load.FEW", 0)


def discard(home: Path) -> None:
    """Stop the server of a home and remove its data, which may lie aside of the home."""
    note = home / "postgres.json"
    data = Path(json.loads(note.read_text())["data"]) if note.exists() else None
    postgres.down(home)
    if data is not None:
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Gives the URL of a new database on one real server, so that many homes need not start one each: empty, or a copy
    of the one whose URL is given.

    The server of the session does not wait for its disk: what these tests kill are nights, not the server.
    """
    home = tmp_path_factory.mktemp("server") / "home"
    url = postgres.up(home)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        made = iter(range(10_000))

        def new(like: str | None = None) -> str:
            name = f"home_{next(made)}"
            template = like.rsplit("/", 1)[1] if like else "template1"
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            return url.rsplit("/", 1)[0] + "/" + name

        yield new
    discard(home)


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory, database: Callable[..., str]) -> Callable[[], str]:
    """Gives the URL of a new database to which the catalogue is applied, as it is from the second night of a home on:
    for tests that look at something else than how that comes about."""
    url = database()
    with pytest.MonkeyPatch.context() as named:
        named.setenv("QIONGXIN_DATABASE_URL", url)
        with open_night(tmp_path_factory.mktemp("applied") / "home", "2026-11-01"):
            pass
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DELETE FROM ledger.pseudonym_key")  # each home of a copy has a key of its own
    return lambda: database(url)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SftpServer"]:
    """A real SFTP server on loopback."""
    from tests.servers import sftp_server

    with sftp_server(tmp_path_factory.mktemp("sftp")) as made:
        yield made


@pytest.fixture(scope="module")
def service() -> Iterator["S3Server"]:
    """A server on loopback that speaks S3."""
    from tests.servers import s3_server

    with s3_server() as made:
        yield made


def every_row(url: str, columns: str, order: str) -> dict[str, list[tuple[Any, ...]]]:
    """Table -> all its rows, `t`; `columns` and `order` may name what PostgreSQL knows of a row, too. The log of
    inquiries is left out: tests ask, too, and differently often."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'inquiry' ORDER BY 1"
        ).fetchall()
        sql = f"SELECT {columns} FROM {{}} t ORDER BY {order}"
        return {t: connection.execute(sql.format(t)).fetchall() for (t,) in tables}  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def mortals() -> Iterator[Mortals]:
    """Starts `qiongxin` commands that die when told to."""
    with Mortals() as found:
        yield found
