"""A folder of generated files that changes at once: readers see the old one whole or the new one whole."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import UsageFault

HERE, EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


def publish_folder(folder: Path, files: Mapping[str, bytes], mark: str) -> None:
    """Write `files` (path -> content) as the whole of `folder`. Only a new or empty folder is taken, or one that has
    the file `mark`, which is among `files`; raises `UsageFault` for any other."""
    folder = folder.resolve()
    if folder.exists() and not (folder.is_dir() and ((folder / mark).is_file() or not any(folder.iterdir()))):
        what = f"it holds something else and is no site of ours ({mark} is missing)"
        raise UsageFault(f"{folder.name}: {what}. Name another folder, or empty it.")
    _sweep(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for path, content in files.items():
            place = part / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        _take_place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # after the exchange, what was there before


def _sweep(folder: Path) -> None:
    """Remove what a killed run left beside the folder; what a run still going writes stays."""
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        if not Path(f"/proc/{left.suffixes[-2].strip('.')}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _take_place(part: Path, folder: Path) -> None:
    """Linux exchanges two folders in one step; elsewhere the old one goes a moment before the new one comes."""
    if not folder.exists():
        os.rename(part, folder)
        return
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None or exchange(HERE, os.fsencode(part), HERE, os.fsencode(folder), EXCHANGE) != 0:
        aside = part.with_suffix(".old")
        os.rename(folder, aside)
        os.rename(part, folder)
        shutil.rmtree(aside)
