"""Keys: whole columns agree with the library's own one-by-one implementations of the standards."""

import hashlib

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import StoreError
from pipelines.stores.keys import Keys

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
