"""Keys: whole columns agree with the library's own one-by-one implementations of the standards."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import StoreError
from pipelines.stores.keys import Keys, add_key, read_keys

SECRET = bytes(range(64))
KEYS = Keys(SECRET)
TEXT = st.text(max_size=70)


def derived(purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=SECRET, digest_size=32).digest()


def cmac(purpose: bytes, text: str) -> bytes:
    one = CMAC(algorithms.AES(derived(purpose)))
    one.update(text.encode())
    return one.finalize()


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT | st.none(), max_size=30), st.integers(0, 3))
def test_pseudonyms_are_aes_cmac_of_the_number(texts: list[str | None], skipped: int) -> None:
    column = pa.array(texts, pa.string()).slice(skipped)
    expected = [None if t is None else cmac(b"subject epoch 1", t) for t in texts[skipped:]]
    assert KEYS.subject_ids(column).to_pylist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT.filter(bool), max_size=30))
def test_the_vault_holds_what_the_library_calls_aes_siv(texts: list[str]) -> None:
    bindings = [cmac(b"binding", t) for t in texts]
    sealed = KEYS.encrypt(pa.array(texts, pa.string()), pa.array(bindings, pa.binary())).to_pylist()
    library = AESSIV(derived(b"vault mac") + derived(b"vault cipher"))
    assert sealed == [library.encrypt(t.encode(), [b]) for t, b in zip(texts, bindings, strict=True)]
    assert KEYS.decrypt(sealed, bindings) == texts


def test_pseudonyms_and_hashes_of_one_text_differ() -> None:
    column = pa.array(["460106186003070037"])
    assert KEYS.subject_ids(column) != KEYS.content_hashes(column)


def test_a_short_key_is_refused_with_its_cure() -> None:
    with pytest.raises(StoreError, match="Restore the right key file"):
        Keys(b"short")


LATER = (bytes(range(1, 65)), b"a third secret, which has to be long enough")


def turned(values: list[bytes | None], secrets: tuple[bytes, ...], purpose: bytes) -> list[bytes | None]:
    """Each value as the CMACs of the library make another one of it, one secret after the other, in its length."""
    for secret in secrets:
        key = hashlib.blake2b(purpose, key=secret[:64], digest_size=32).digest()

        def one(value: bytes, key: bytes = key) -> bytes:
            mac = CMAC(algorithms.AES(key))
            mac.update(value)
            return mac.finalize()[: len(value)]

        values = [None if v is None else one(v) for v in values]
    return values


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT | st.none(), max_size=20), st.integers(0, 2), st.integers(0, 2))
def test_a_rotated_key_makes_of_every_value_what_its_chain_makes_of_that_of_the_first(
    texts: list[str | None], rotations: int, skipped: int
) -> None:
    chain = Keys(SECRET, *LATER[:rotations])
    column = pa.array(texts, pa.string()).slice(skipped)
    roots, hashes = KEYS.subject_ids(column), KEYS.content_hashes(column)
    assert chain.root_ids(column) == roots
    assert chain.subject_ids(column).to_pylist() == turned(roots.to_pylist(), LATER[:rotations], b"rotation")
    assert chain.content_hashes(column).to_pylist() == turned(hashes.to_pylist(), LATER[:rotations], b"rotation")
    short = [None if h is None else h[:8] for h in hashes.to_pylist()]
    assert KEYS.marks(column).to_pylist() == short
    assert chain.marks(column).to_pylist() == turned(short, LATER[:rotations], b"rotation of marks")
    # What is stored becomes the same by the last rotation alone, and whoever has the chain finds back.
    before = Keys(SECRET, *LATER[: rotations - 1]) if rotations else None
    if before is not None:
        assert chain.renewed(before.subject_ids(column)) == chain.subject_ids(column)
        assert chain.marks_renewed(before.marks(column)) == chain.marks(column)
        assert chain.at(before.fingerprint) is not None and before.at(chain.fingerprint) is None
        assert chain.next(before).fingerprint == chain.fingerprint
    assert chain.roots(chain.subject_ids(column)) == roots


def test_the_vault_is_sealed_under_the_last_secret_alone() -> None:
    numbers, bound = pa.array(["460106186003070037"]), pa.array([bytes(16)], pa.binary())
    assert Keys(SECRET, LATER[0]).encrypt(numbers, bound) == Keys(LATER[0]).encrypt(numbers, bound)


def test_a_value_that_no_key_has_made_is_not_rotated() -> None:
    with pytest.raises(StoreError, match="16 bytes"):
        Keys(SECRET, LATER[0]).renewed(pa.array([bytes(16), b"short"], pa.binary()))


def test_a_key_file_becomes_a_chain_and_tells_one_chain_from_another(tmp_path: Path) -> None:
    home, secrets = tmp_path, tmp_path / "elsewhere" / "secret.key"
    secrets.parent.mkdir()
    secrets.write_bytes(SECRET)
    secrets.chmod(0o640)
    (home / "pseudonym.key").symlink_to(secrets)
    first = read_keys(home / "pseudonym.key")
    assert first.fingerprint == KEYS.fingerprint and not first.is_rotated
    for n in (2, 3):
        add_key(home)
        assert len([*read_keys(home / "pseudonym.key").before()]) == n
    assert (home / "pseudonym.key").is_symlink() and [p.name for p in secrets.parent.iterdir()] == ["secret.key"]
    assert secrets.stat().st_mode & 0o777 == 0o640
    chain, (head, *lines) = read_keys(secrets), secrets.read_bytes().splitlines(keepends=True)
    assert [k.fingerprint for k in chain.before()][-1] == KEYS.fingerprint
    for other in ([lines[0], lines[2]], [lines[1], lines[0]], lines[1:], [*lines[:2], lines[1]]):
        secrets.write_bytes(head + b"".join(other))
        assert read_keys(secrets).at(chain.fingerprint) is None
    for broken in (head, head + b"no hexadecimal\n"):
        secrets.write_bytes(broken)
        with pytest.raises(StoreError, match="Restore the right key file"):
            read_keys(secrets)
