"""The pseudonym key, and what is derived from it. The key never reaches SQL, logs or process arguments.

Pseudonyms and keyed hashes are AES-256-CMAC (RFC 4493), the vault's numbers AES-SIV (RFC 5297): standard forms, so
that the cryptography library can check and read them one by one. Here they are computed for whole columns, because a
call per value costs a hundred times what the cipher costs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from pipelines.errors import StoreError

BLOCK = 16
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Groups = Iterator[tuple[np.ndarray[Any, np.dtype[np.int64]], Bytes]]


class Keys:
    """Keys drawn from one secret: pseudonyms, content hashes, vault encryption. Columns in, columns out.

    `fingerprint` tells one secret from another, and nothing of it: a keyed hash of a constant, 32 hexadecimal digits.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise StoreError("QIONGXIN_KEY_FILE: the key is shorter than 32 bytes. Restore the right key file.")

        def derived(purpose: bytes) -> bytes:
            return hashlib.blake2b(purpose, key=secret[:64], digest_size=32).digest()

        self.fingerprint = derived(b"fingerprint").hex()[:32]
        self._subject = Cmac(derived(b"subject epoch 1"))
        self._content = Cmac(derived(b"content"))
        vault = derived(b"vault mac"), derived(b"vault cipher")
        self._vault_mac, self._vault_cipher = Cmac(vault[0]), Ecb(vault[1])
        self._siv = AESSIV(vault[0] + vault[1])

    def __repr__(self) -> str:
        return "Keys(…)"

    def subject_ids(self, numbers: pa.Array) -> pa.Array:
        """128-bit pseudonyms of normalised credit numbers; null stays null."""
        return _column(self._subject.of(numbers), numbers)

    def content_hashes(self, values: pa.Array) -> pa.Array:
        """128-bit keyed hashes of identifying values, so that a corrected name is a changed content."""
        return _column(self._content.of(values), values)

    def encrypt(self, numbers: pa.Array, bindings: pa.Array) -> pa.Array:
        """Deterministic authenticated encryption of each number, bound to its subject id: tag of 16 bytes, then text.

        AES-SIV with the binding as the one associated value (RFC 5297, 2.4 and 2.6).
        """
        bound = _doubled(self._vault_mac.of(pa.array([b"\0" * BLOCK], pa.binary()))) ^ self._vault_mac.of(bindings)
        out: list[bytes | None] = [None] * len(numbers)
        for rows, text in _by_length(numbers):
            size = text.shape[1]
            mixed = text.copy()
            if size >= BLOCK:
                mixed[:, -BLOCK:] ^= bound[rows]
            else:
                mixed = _padded(text) ^ _doubled(bound[rows])
            tags = self._vault_mac.rows(mixed)
            start = tags.copy()
            start[:, 8] &= 0x7F
            start[:, 12] &= 0x7F
            blocks = -(-size // BLOCK)
            counters = np.repeat(start[:, None, :], blocks, axis=1)
            low = start[:, 8:].copy().view(">u8").astype(np.uint64)
            counters[:, :, 8:] = (low + np.arange(blocks, dtype=np.uint64)).astype(">u8").view(np.uint8).reshape(
                len(rows), blocks, 8
            )  # fmt: skip
            stream = self._vault_cipher(counters.reshape(-1, BLOCK)).reshape(len(rows), -1)[:, :size]
            sealed = np.concatenate([tags, text ^ stream], axis=1)
            for row, blob in zip(rows.tolist(), _split(sealed), strict=True):
                out[row] = blob
        return pa.array(out, pa.binary())

    def decrypt(self, blobs: list[bytes], bindings: list[bytes]) -> list[str]:
        return [self._siv.decrypt(blob, [b]).decode() for blob, b in zip(blobs, bindings, strict=True)]


class Ecb:
    """AES over independent blocks of shape (n, 16); the building block of the modes here, never a mode of its own."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305

    def __call__(self, blocks: Bytes) -> Bytes:
        sealed = self._cipher.encryptor().update(np.ascontiguousarray(blocks).tobytes())
        return np.frombuffer(sealed, np.uint8).reshape(-1, BLOCK)


class Cmac:
    """AES-CMAC of every value of a column, values of one length at a time."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Ecb(key)
        self._whole = _doubled(self._cipher(np.zeros((1, BLOCK), np.uint8)))
        self._short = _doubled(self._whole)

    def of(self, values: pa.Array) -> Bytes:
        """Shape (n, 16); rows of null values are zero."""
        out = np.zeros((len(values), BLOCK), np.uint8)
        for rows, text in _by_length(values):
            out[rows] = self.rows(text)
        return out

    def rows(self, text: Bytes) -> Bytes:
        """Tags of shape (n, 16) of n texts of one length."""
        is_whole = text.shape[1] > 0 and text.shape[1] % BLOCK == 0
        state: Bytes = np.zeros((len(text), BLOCK), np.uint8)
        message = text if is_whole else _padded(text)
        for at in range(0, message.shape[1], BLOCK):
            state = state ^ message[:, at : at + BLOCK]
            if at + BLOCK == message.shape[1]:
                state = state ^ (self._whole if is_whole else self._short)
            state = self._cipher(state)
        return state


def _padded(text: Bytes) -> Bytes:
    """A one bit, then zeros up to the next whole block."""
    size = (text.shape[1] // BLOCK + 1) * BLOCK
    out = np.zeros((len(text), size), np.uint8)
    out[:, : text.shape[1]] = text
    out[:, text.shape[1]] = 0x80
    return out


def _doubled(blocks: Bytes) -> Bytes:
    """Multiplication by x in GF(2^128), each row one element, most significant byte first."""
    carried = np.roll(blocks, -1, axis=1) >> 7
    carried[:, -1] = 0
    out: Bytes = (blocks << 1).astype(np.uint8) | carried.astype(np.uint8)
    out[:, -1] ^= (blocks[:, 0] >> 7) * np.uint8(0x87)
    return out


def _by_length(values: pa.Array) -> Groups:
    """(row numbers, bytes of shape (rows, length)) for each length that occurs among the values that are not null."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    values = values.cast(pa.large_binary())
    _, offsets_buffer, data_buffer = values.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    lengths = np.diff(offsets)
    if values.null_count:
        lengths = np.where(values.is_valid().to_numpy(zero_copy_only=False), lengths, -1)
    for length in np.unique(lengths).tolist():
        if length < 0:
            continue
        rows = np.flatnonzero(lengths == length)
        if length == 0:
            yield rows, np.zeros((len(rows), 0), np.uint8)
        else:
            yield rows, np.lib.stride_tricks.sliding_window_view(data, length)[offsets[:-1][rows]]


def _split(table: Bytes) -> list[bytes]:
    whole, size = table.tobytes(), table.shape[1]
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def _column(tags: Bytes, like: pa.Array) -> pa.Array:
    """Tags as a binary column, null where `like` is null."""
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(BLOCK), len(tags), [None, pa.py_buffer(tags.tobytes())])
    column = fixed.cast(pa.binary())
    return pa.compute.if_else(like.is_valid(), column, None) if like.null_count else column


def key_file(home: Path) -> Path:
    """Where the key of a home lies, or will."""
    return Path(os.environ.get("QIONGXIN_KEY_FILE") or home / "pseudonym.key")


def open_keys(home: Path) -> Keys:
    """From `QIONGXIN_KEY_FILE`; for trials a key under the home is made on first use, readable by its owner only."""
    path = key_file(home)
    if not path.exists():
        if os.environ.get("QIONGXIN_KEY_FILE"):
            raise StoreError(f"{path.name}: QIONGXIN_KEY_FILE names no file. Put the key there; a new one orphans all.")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as f:
            f.write(os.urandom(64))
            f.flush()
            os.fsync(f.fileno())
        try:
            os.link(part, path)  # the first of two racing runs wins; the other reads the winner's key
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return Keys(path.read_bytes())
