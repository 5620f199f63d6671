"""The pseudonym key, and what is derived from it. The key never reaches SQL, logs or process arguments.

Pseudonyms and keyed hashes are AES-256-CMAC (RFC 4493), the vault's numbers AES-SIV (RFC 5297): standard forms, so
that the cryptography library can check and read them one by one. Here they are computed for whole columns, because a
call per value costs a hundred times what the cipher costs.

**Rotation.** A key that was rotated is a chain of secrets. A keyed value is made under the first one; each later one
makes another value of it, of its 16 bytes alone. So all that is stored can be taken over without a number being read,
tombstones too, and nobody who lacks the last secret can make, or undo, any of it. CMAC of one whole block is a
permutation: two values never become one, and whoever has the chain can go back. The vault is sealed under the last
secret alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from pipelines.errors import StoreError

BLOCK = 16
MARK = 8  # bytes of a keyed hash that name something to people
CHAIN = b"qiongxin pseudonym keys\n"  # the first line of a key file of several secrets: one a line, in hexadecimal
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Groups = Iterator[tuple[np.ndarray[Any, np.dtype[np.int64]], Bytes]]


class Keys:
    """Keys drawn from a chain of secrets, mostly of one: pseudonyms, content hashes, vault encryption. Columns in,
    columns out.

    `fingerprint` tells one chain from another, and nothing of it: a keyed hash of a constant, 32 hexadecimal digits.
    """

    def __init__(self, secret: bytes, *later: bytes) -> None:
        self._secrets = (secret, *later)
        if any(len(s) < 32 for s in self._secrets):
            raise StoreError("QIONGXIN_KEY_FILE: the key is shorter than 32 bytes. Restore the right key file.")

        def derived(secret: bytes, purpose: bytes) -> bytes:
            return hashlib.blake2b(purpose, key=secret[:64], digest_size=32).digest()

        self.fingerprint = ""
        for s in self._secrets:
            self.fingerprint = derived(s, b"fingerprint" + self.fingerprint.encode()).hex()[:32]
        self._subject = Cmac(derived(secret, b"subject epoch 1"))
        self._content = Cmac(derived(secret, b"content"))
        self._turns = [(Cmac(derived(s, b"rotation")), Cmac(derived(s, b"rotation of marks"))) for s in later]
        vault = derived(self._secrets[-1], b"vault mac"), derived(self._secrets[-1], b"vault cipher")
        self._vault_mac, self._vault_cipher = Cmac(vault[0]), Ecb(vault[1])
        self._siv = AESSIV(vault[0] + vault[1])

    def __repr__(self) -> str:
        return "Keys(…)"

    @property
    def is_rotated(self) -> bool:
        return bool(self._turns)

    def before(self) -> Iterator[Keys]:
        """The keys of this chain as they were after each rotation, these first, those of the first secret last."""
        for n in range(len(self._secrets), 0, -1):
            yield self if n == len(self._secrets) else Keys(*self._secrets[:n])

    def at(self, fingerprint: str) -> Keys | None:
        """The keys of this chain as they were, or are, by their fingerprint."""
        return next((k for k in self.before() if k.fingerprint == fingerprint), None)

    def next(self, of: Keys) -> Keys:
        """`of`, which are these as they were, rotated once more along this chain, which is longer."""
        return Keys(*self._secrets[: len(of._secrets) + 1])

    def subject_ids(self, numbers: pa.Array) -> pa.Array:
        """128-bit pseudonyms of normalised credit numbers; null stays null."""
        return self.of_today(self.root_ids(numbers))

    def root_ids(self, numbers: pa.Array) -> pa.Array:
        """The same under the first secret. What is derived from a pseudonym is derived from this one."""
        return _column(self._subject.of(numbers), numbers)

    def content_hashes(self, values: pa.Array) -> pa.Array:
        """128-bit keyed hashes of identifying values, so that a corrected name is a changed content."""
        return self.of_today(_column(self._content.of(values), values))

    def of_today(self, values: pa.Array) -> pa.Array:
        """What rotations have made of values of 16 bytes that are made under the first secret."""
        for turn, _ in self._turns:
            values = _column(turn.of(_whole(values)), values)
        return values

    def renewed(self, values: pa.Array) -> pa.Array:
        """What the last rotation makes of values that were stored before it."""
        turn, _ = self._turns[-1]
        return _column(turn.of(_whole(values)), values)

    def roots(self, values: pa.Array) -> pa.Array:
        """The values under the first secret of which rotations have made these."""
        for turn, _ in reversed(self._turns):
            values = _column(turn.undone(_whole(values)), values)
        return values

    def marks(self, values: pa.Array) -> pa.Array:
        """Keyed hashes of MARK bytes, that name something to people; rotations know these by themselves."""
        marks = _column(self._content.of(values)[:, :MARK], values)
        for _, turn in self._turns:
            marks = _column(turn.of(marks)[:, :MARK], marks)
        return marks

    def marks_renewed(self, marks: pa.Array) -> pa.Array:
        """What the last rotation makes of marks that were stored before it."""
        _, turn = self._turns[-1]
        return _column(turn.of(marks)[:, :MARK], marks)

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

    def undone(self, blocks: Bytes) -> Bytes:
        opened = self._cipher.decryptor().update(np.ascontiguousarray(blocks).tobytes())
        return np.frombuffer(opened, np.uint8).reshape(-1, BLOCK)


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

    def undone(self, tags: pa.Array) -> Bytes:
        """The values of one whole block each of which these are the tags; rows of null values are zero."""
        out = np.zeros((len(tags), BLOCK), np.uint8)
        for rows, blocks in _by_length(tags):
            out[rows] = self._cipher.undone(blocks) ^ self._whole
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


def _whole(values: pa.Array) -> pa.Array:
    """The same, where each is of one whole block: of others a rotation could make the same value twice."""
    lengths = pyarrow.compute.unique(pyarrow.compute.binary_length(values)).drop_null()
    if lengths.to_pylist() not in ([], [BLOCK]):
        raise StoreError("pseudonyms: a value has not 16 bytes, so no key has made it. Nothing was rotated.")
    return values


def _column(tags: Bytes, like: pa.Array) -> pa.Array:
    """Tags as a binary column, null where `like` is null."""
    kind = pa.binary(tags.shape[1])
    fixed = pa.FixedSizeBinaryArray.from_buffers(kind, len(tags), [None, pa.py_buffer(tags.tobytes())])
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
        part = _part(path, os.urandom(64))
        try:
            os.link(part, path)  # the first of two racing runs wins; the other reads the winner's key
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return read_keys(path)


def read_keys(path: Path) -> Keys:
    """All keys of a file: the secret that it is, or the chain that it lists. Raises `StoreError`."""
    return Keys(*_secrets(path))


def add_key(home: Path) -> None:
    """Add a secret to the key file of a home, which becomes a chain. It is in use only once the ledger knows it. Raises
    `OSError`."""
    path = key_file(home).resolve()  # a link stays one
    lines = [secret.hex().encode() + b"\n" for secret in (*_secrets(path), os.urandom(64))]
    was = path.stat()
    part = _part(path, CHAIN + b"".join(lines))
    try:
        os.chown(part, was.st_uid, was.st_gid)
        part.chmod(was.st_mode & 0o777)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # what is made under the secret may be durable at once, so the secret has to be
        os.fsync(folder)
    finally:
        os.close(folder)


def _secrets(path: Path) -> Sequence[bytes]:
    content = path.read_bytes()
    if not content.startswith(CHAIN):
        return [content]
    try:
        found = [bytes.fromhex(line.decode()) for line in content[len(CHAIN) :].splitlines() if line.strip()]
    except ValueError:
        found = []
    if not found:
        raise StoreError(f"{path.name}: a line is no secret in hexadecimal. Restore the right key file.")
    return found


def _part(path: Path, content: bytes) -> Path:
    """The content of a key file beside it, durable and readable by its owner alone."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    return part
