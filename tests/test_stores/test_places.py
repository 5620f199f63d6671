"""One behaviour for folders, SFTP and S3, against real servers on loopback; then what each kind has of its own."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from pipelines.errors import PlaceError
from pipelines.stores import sftp
from pipelines.stores.bucket import Bucket
from pipelines.stores.places import Folder, Place, Source
from pipelines.stores.sftp import Sftp
from tests.servers import PASSWORD, S3Server, SftpServer, needs_moto, sftp_server

BIG = bytes(range(256)) * 20_000  # more than a block, a request or a window holds


@dataclass
class Site:
    """A place under test and its owner's own view of it: names with slashes -> contents."""

    place: Place
    write: Callable[[str, bytes], None]
    contents: Callable[[], dict[str, bytes]]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for word, value in (("PASSWORD", PASSWORD), ("ACCESS_KEY", "tax"), ("SECRET_KEY", "tax")):
        monkeypatch.setenv(f"QIONGXIN_PLACE_TAX_{word}", value)


def on_disk(root: Path) -> tuple[Callable[[str, bytes], None], Callable[[], dict[str, bytes]]]:
    def write(name: str, content: bytes) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def contents() -> dict[str, bytes]:
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    return write, contents


@pytest.fixture(params=["folder", "sftp", "sftp without rename over", pytest.param("s3", marks=needs_moto)])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: SftpServer
) -> Iterator[Site]:
    if request.param == "folder":
        yield Site(Folder("folder", tmp_path), *on_disk(tmp_path))
    elif request.param == "s3":
        service: S3Server = request.getfixturevalue("service")
        bucket = f"b{abs(hash(tmp_path))}"
        service.store.create_dir(bucket)
        root = f"{bucket}/exchange/tax"

        def contents() -> dict[str, bytes]:
            return {n: service.store.open_input_file(f"{root}/{n}").read() for n in service.names(root)}

        with Bucket(f"s3://{root}", "tax", service.endpoint) as place:
            yield Site(place, lambda name, content: service.write(f"{root}/{name}", content), contents)
    else:
        user = f"u{abs(hash(tmp_path))}"
        root = server.add(user)
        monkeypatch.setenv("QIONGXIN_KNOWN_HOSTS", str(server.known_hosts(tmp_path / "known_hosts")))
        monkeypatch.setattr(server, "posix_rename", request.param == "sftp")
        with Sftp(server.url(user, ""), "tax") as place:
            yield Site(place, *on_disk(root))


def read(source: Source) -> bytes:
    found, block = bytearray(), memoryview(bytearray(1 << 20))
    while size := source.readinto(block):
        found += block[:size]
    return bytes(found)


def test_files_are_listed_with_their_folders_and_dotfiles_are_not(site: Site) -> None:
    names = ("arrears/b.csv", "arrears/.a.csv", "honour/欠税 1.csv", ".taken/c.csv", "loose.csv", "arrears/deep/d.csv")
    for name in names:
        site.write(name, name.encode())
    found = {(e.folder, e.name): e for e in site.place.files()}
    assert set(found) == {("arrears", "b.csv"), ("arrears", "deep"), ("honour", "欠税 1.csv"), ("", "loose.csv")}
    assert {key for key, e in found.items() if not e.is_file} == {("arrears", "deep")}
    b = found["arrears", "b.csv"]
    assert (b.size, site.place.find("arrears", "b.csv"), site.place.find("arrears", "z.csv")) == (13, b, None)


@pytest.mark.parametrize("content", [b"", b"x", BIG], ids=["empty", "small", "big"])
def test_every_byte_is_fetched(site: Site, content: bytes) -> None:
    site.write("arrears/a.csv", content)
    (entry,) = site.place.files()
    assert site.place.fetch(entry, read) == content


def test_a_file_is_taken_beside_itself_over_one_of_its_name(site: Site) -> None:
    for content in (b"first", b"second time"):
        site.write("arrears/a.csv", content)
        (entry,) = site.place.files()
        site.place.take(entry)
    assert site.contents() == {"arrears/.taken/a.csv": b"second time"}


def test_what_the_sender_has_replaced_is_not_taken(site: Site) -> None:
    site.write("arrears/a.csv", b"first")
    (entry,) = site.place.files()
    site.write("arrears/a.csv", b"another size")
    site.place.take(entry)
    assert site.contents() == {"arrears/a.csv": b"another size"}


def test_a_file_that_is_gone_is_none(site: Site) -> None:
    site.write("arrears/a.csv", b"x")
    (entry,) = site.place.files()
    site.place.take(entry)
    assert site.place.fetch(entry, read) is None
    site.place.take(entry)
    assert site.contents() == {"arrears/.taken/a.csv": b"x"}


def test_an_answer_is_put_whole_over_the_earlier_one(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    site.write("other.txt", b"of the department")
    answer = tmp_path_factory.mktemp("home") / "d1.receipt.json"
    for content in (BIG, b"{}", b""):
        answer.write_bytes(content)
        site.place.put(answer, answer.name)
        assert site.contents() == {"d1.receipt.json": content, "other.txt": b"of the department"}


# -- a folder of this machine --


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A department's inbox beside the file of another one."""
    (tmp_path / "inbox" / "arrears").mkdir(parents=True)
    (tmp_path / "secret.csv").write_bytes(b"of another department")
    return tmp_path / "inbox"


def test_a_link_is_no_file_of_the_department(inbox: Path) -> None:
    (inbox / "arrears" / "a.csv").symlink_to(inbox.parent / "secret.csv")
    (inbox / "honour").symlink_to(inbox.parent)
    os.mkfifo(inbox / "arrears" / "pipe")
    found = Folder("inbox/tax", inbox).files()
    assert [(e.folder, e.name, e.is_file) for e in found] == [
        ("arrears", "a.csv", False), ("arrears", "pipe", False), ("", "honour", False)
    ]  # fmt: skip


def test_a_link_put_in_place_of_a_file_or_folder_is_not_followed(inbox: Path) -> None:
    place, path = Folder("inbox/tax", inbox), inbox / "arrears" / "secret.csv"
    path.write_bytes(b"mine")
    (entry,) = place.files()
    path.unlink()
    path.symlink_to(inbox.parent / "secret.csv")
    with pytest.raises(PlaceError, match=r"^inbox/tax: Too many levels of symbolic links\. "):
        place.fetch(entry, read)
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(inbox.parent)
    with pytest.raises(PlaceError, match=r"^inbox/tax: Not a directory\. "):
        place.fetch(entry, read)


def test_nothing_is_moved_through_a_link(inbox: Path) -> None:
    place = Folder("inbox/tax", inbox)
    (inbox / "arrears" / "secret.csv").write_bytes(b"mine")
    (inbox / "arrears" / ".taken").symlink_to(inbox.parent)
    (entry,) = place.files()
    with pytest.raises(PlaceError):
        place.take(entry)
    assert (inbox.parent / "secret.csv").read_bytes() == b"of another department"


def test_a_missing_folder_is_told_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"^file:///srv/x: No such file or directory\. Make the folder, "):
        Folder("file:///srv/x", tmp_path / "x").files()


# -- SFTP --


@pytest.fixture
def user(server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user with one file in his inbox; the host is known."""
    name = f"u{abs(hash(tmp_path))}"
    (server.add(name) / "in" / "arrears").mkdir(parents=True)
    (server.root / name / "in" / "arrears" / "a.csv").write_bytes(BIG)
    monkeypatch.setenv("QIONGXIN_KNOWN_HOSTS", str(server.known_hosts(tmp_path / "known_hosts")))
    return name


def told(place: Place) -> str:
    """What stops a look at the place, without its name."""
    with place, pytest.raises(PlaceError) as stopped:
        place.files()
    where, _, rest = str(stopped.value).partition(": ")
    assert where == place.shown
    return rest


def test_an_unknown_host_is_refused(server: SftpServer, user: str, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    file = f"{tmp_path}/known_hosts (QIONGXIN_KNOWN_HOSTS)"
    assert told(Sftp(server.url(user, "in"), "tax")) == (
        f"the server's key is not in {file}. Compare its fingerprint with what the owner tells you, then add the key."
    )


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_host_with_another_key_is_refused(server: SftpServer, user: str, tmp_path: Path, algorithm: str) -> None:
    server.known_hosts(tmp_path / "known_hosts", asyncssh.generate_private_key(algorithm))
    logins = server.logins
    assert told(Sftp(server.url(user, "in"), "tax")).startswith("the server shows another key than the one in ")
    assert server.logins == logins, "the password was offered to a host that nobody knows"


def test_a_server_with_old_ciphers_alone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sftp_server(tmp_path / "old") as old:
        old.stop()
        old.ciphers = ("aes128-cbc",)
        old.start(old.host_key)
        monkeypatch.setenv("QIONGXIN_KNOWN_HOSTS", str(old.known_hosts(tmp_path / "known_hosts")))
        said = told(Sftp(old.url("tax", "in"), "tax"))
    assert said == "the server knows no encryption that is still safe. Ask its owner to update it."


def test_a_missing_file_of_host_keys_is_told(server: SftpServer, user: str, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").unlink()
    said = told(Sftp(server.url(user, "in"), "tax"))
    assert said.startswith("the host keys cannot be read (No such file or directory). Put the server's key")


def test_a_wrong_password_is_told_and_not_shown(
    server: SftpServer, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QIONGXIN_PLACE_TAX_PASSWORD", "open barley")
    assert told(Sftp(server.url(user, "in"), "tax")) == (
        f"the server refuses the user '{user}' with credentials 'tax'. "
        "Correct the password or the key, or ask the owner to let this user in."
    )


def test_missing_credentials_name_their_variables(server: SftpServer, user: str) -> None:
    variables = ", ".join(f"QIONGXIN_PLACE_OTHER_{word}" for word in ("PASSWORD", "KEY_FILE"))
    assert told(Sftp(server.url(user, "in"), "other")) == (
        f"credentials 'other' are not in the environment. Set {variables}."
    )


def test_a_key_opens_the_door_and_a_locked_one_is_told(
    server: SftpServer, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    server.users[user] = key.convert_to_public()
    monkeypatch.setenv("QIONGXIN_PLACE_CLERK_KEY_FILE", str(tmp_path / "key"))
    key.write_private_key(tmp_path / "key", "pkcs8-pem", passphrase="rosebud")
    assert told(Sftp(server.url(user, "in"), "clerk")) == (
        "the private key of credentials 'clerk' cannot be read. Name the file of a key without passphrase."
    )
    key.write_private_key(tmp_path / "key")
    with Sftp(server.url(user, "in"), "clerk") as place:
        assert [e.name for e in place.files()] == ["a.csv"]


def test_a_missing_folder_of_the_server_is_told(server: SftpServer, user: str) -> None:
    said = told(Sftp(server.url(user, "in/none"), "tax"))
    assert said == "there is no folder /in/none. Ask the owner to make it, or correct the url."


def test_a_server_that_is_down_is_told() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"sftp://tax@127.0.0.1:{s.getsockname()[1]}/in"
        Path(os.environ.setdefault("QIONGXIN_KNOWN_HOSTS", os.devnull))
        assert told(Sftp(url, "tax")).startswith("the connection failed. Ask whoever runs the server. Nothing was lost")


def test_a_server_that_does_not_answer_is_given_up(
    server: SftpServer, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "silent", True)
    monkeypatch.setattr(sftp, "STEP_SECONDS", 0.2)
    assert told(Sftp(server.url(user, "in"), "tax")).startswith("no answer in time. Ask whoever runs the server.")


def test_a_connection_lost_within_a_file_is_made_anew(server: SftpServer, user: str) -> None:
    with Sftp(server.url(user, "in"), "tax") as place:
        (entry,) = place.files()
        logins, server.cut = server.logins, 3 << 20
        assert place.fetch(entry, read) == BIG
        assert (server.cut, server.logins) == (None, logins + 1)


def test_a_connection_lost_after_a_move_moves_nothing_again(
    server: SftpServer, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "cut_after_rename", True)
    with Sftp(server.url(user, "in"), "tax") as place:
        (entry,) = place.files()
        place.take(entry)
    assert not server.cut_after_rename
    assert (server.root / user / "in" / "arrears" / ".taken" / "a.csv").exists()


def test_a_connection_lost_between_two_steps_is_made_anew(server: SftpServer, user: str) -> None:
    with Sftp(server.url(user, "in"), "tax") as place:
        (entry,) = place.files()
        server.stop()
        server.start(server.host_key)
        place.take(entry)
    assert (server.root / user / "in" / "arrears" / ".taken" / "a.csv").exists()


def test_a_name_in_another_encoding_spoils_no_listing(server: SftpServer, user: str) -> None:
    folder = os.fsencode(server.root / user / "in" / "arrears")
    with open(folder + b"/" + "欠税.csv".encode("gb18030"), "wb") as file:
        file.write(b"x")
    with Sftp(server.url(user, "in"), "tax") as place:
        assert place.files()[0].name == "a.csv"
        entry = place.files()[1]
        assert place.fetch(entry, read) == b"x"
        place.take(entry)
    assert os.listdir(folder + b"/.taken") == ["欠税.csv".encode("gb18030")]


def test_no_name_of_a_file_reaches_the_log(server: SftpServer, user: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Sftp(server.url(user, "in"), "tax") as place:
        (entry,) = place.files()
        place.fetch(entry, read)
        place.take(entry)
    assert "a.csv" not in caplog.text


# -- S3 --


@needs_moto
def test_a_missing_bucket_is_told_and_an_empty_folder_is_none(service: S3Server) -> None:
    assert told(Bucket("s3://nothing/in", "tax", service.endpoint)) == (
        "no such bucket. Ask the owner to make the bucket, or correct the url."
    )
    service.store.create_dir("exchange")
    assert Bucket("s3://exchange/in", "tax", service.endpoint).files() == []


def test_a_service_that_is_down_is_told_without_names_of_files() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        place = Bucket("s3://exchange/in", "tax", f"http://127.0.0.1:{s.getsockname()[1]}")
        assert told(place).startswith("network connection. Ask whoever runs the service. Nothing was lost")
