"""Files copied with their SHA-256, and the list of these sums, which `sha256sum --check` reads as well."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK = 1 << 20


def regular(folder: Path) -> Iterator[Path]:
    """The regular files under a folder, in order, but those that somebody is still writing (`….part`)."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.endswith(".part"))
        for name in sorted(names):
            path = Path(place) / name
            if not name.endswith(".part") and path.is_file() and not path.is_symlink():
                yield path


def copy(source: Path, target: Path, names: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Copy files, by their paths under `source`, to the same paths under `target`: (name, SHA-256, bytes) of each.

    Files with several names stay one file with several names. Times and permissions are kept. A file that has gone
    meanwhile is left out.
    """
    known: dict[tuple[int, int], tuple[str, str, int]] = {}
    for name in names:
        try:
            status = (source / name).stat()
            there = known.get((status.st_dev, status.st_ino))
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if there is not None:
                os.link(target / there[0], target / name)
                yield name, *there[1:]
                continue
            copied = name, _copied(source / name, target / name), (target / name).stat().st_size
        except FileNotFoundError:
            continue
        if status.st_nlink > 1:
            known[(status.st_dev, status.st_ino)] = copied
        yield copied


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_sums(path: Path, sums: dict[str, str]) -> None:
    """One line for each file; as sha256sum does, a line begins with a backslash where a name had to be escaped."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as f:
        for name, digest in sums.items():
            escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            f.write(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")


def read_sums(path: Path) -> dict[str, str]:
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
        digest, _, name = line.partition("  ")
        if digest.startswith("\\"):
            parts = (p.replace("\\n", "\n").replace("\\r", "\r") for p in name.split("\\\\"))
            digest, name = digest[1:], "\\".join(parts)
        if name:
            sums[name] = digest
    return sums


def _copied(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as f, target.open("xb") as g:
        while chunk := f.read(CHUNK):
            digest.update(chunk)
            g.write(chunk)
    shutil.copystat(source, target)
    return digest.hexdigest()
