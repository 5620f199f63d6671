"""The pseudonym key, and what is derived from it. The key never reaches SQL, logs or process arguments."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from pipelines.errors import StoreError


class Keys:
    """Three keys drawn from one secret: pseudonyms, vault look-up, vault encryption. Values are bytes of 16 (ids)."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise StoreError("QIONGXIN_KEY_FILE: the key is shorter than 32 bytes. Restore the right key file.")
        self._subject = hashlib.blake2b(b"subject epoch 1", key=secret[:64], digest_size=32).digest()
        self._content = hashlib.blake2b(b"content", key=secret[:64], digest_size=32).digest()
        self._cipher = AESGCMSIV(hashlib.blake2b(b"vault", key=secret[:64], digest_size=32).digest())

    def __repr__(self) -> str:
        return "Keys(…)"

    def subject_ids(self, numbers: Iterable[str]) -> list[bytes]:
        """128-bit pseudonyms of normalised credit numbers."""
        key, blake = self._subject, hashlib.blake2b
        return [blake(n.encode(), key=key, digest_size=16).digest() for n in numbers]

    def content_hashes(self, values: Iterable[str]) -> list[bytes]:
        """Keyed hashes of identifying values, so that a corrected name is a changed content."""
        key, blake = self._content, hashlib.blake2b
        return [blake(v.encode(), key=key, digest_size=16).digest() for v in values]

    def encrypt(self, numbers: Iterable[str], bindings: Iterable[bytes]) -> list[bytes]:
        """Deterministic authenticated encryption, bound to the subject: the nonce is the subject's own id."""
        return [self._cipher.encrypt(b[:12], n.encode(), b) for n, b in zip(numbers, bindings, strict=True)]

    def decrypt(self, blobs: Iterable[bytes], bindings: Iterable[bytes]) -> list[str]:
        return [self._cipher.decrypt(b[:12], blob, b).decode() for blob, b in zip(blobs, bindings, strict=True)]


def open_keys(home: Path) -> Keys:
    """From `QIONGXIN_KEY_FILE`; for trials a key under the home is made on first use, readable by its owner only."""
    named = os.environ.get("QIONGXIN_KEY_FILE")
    path = Path(named) if named else home / "pseudonym.key"
    if not path.exists():
        if named:
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
