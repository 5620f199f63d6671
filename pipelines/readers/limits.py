"""What one file may ask of this machine. Technical limits, not rules: a file beyond them goes back with F055.

Each leaves room for the largest honest file seen or thinkable, and stops what would fill memory or disk.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.errors import DeliveryError

# A year of the largest item is about 1 GB of text; a file that unfolds to more is sent in parts.
TOTAL = 4 << 30
# Departmental text folds to a tenth, a sheet of empty formatted rows to a hundredth; deflate ends at a thousandth.
RATIO = 200
# Below this no ratio does harm.
SMALL = 64 << 20
# Members of an archive of deliveries: a table per county and month is 240.
MEMBERS = 500
# Parts of a workbook: sheets, drawings, pictures.
PARTS = 20_000
# An archive in an archive is what a mail program and a careful clerk make together; more is no accident.
NESTED = 1
# Cells of the rectangle around all values of a sheet: the reader of workbooks holds it in memory at 24 bytes each. A
# sheet of all 1,048,576 rows may still have 60 columns.
AREA = 64_000_000
# Shared texts of a workbook, which its reader holds in memory whole; a million rows of five long texts are half of it.
STRINGS = 1 << 30
# What zipfile raises for bytes that are no whole archive, or for one that it cannot unfold.
DAMAGED = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, UnicodeDecodeError, struct.error,
)  # fmt: skip


@contextmanager
def intact(otherwise: DeliveryError) -> Iterator[None]:
    """Raises `otherwise` where the block meets an archive that is damaged; a fault of the disk stays one."""
    try:
        yield
    except (*DAMAGED, OSError) as e:
        # A damaged directory sends zipfile before the first byte.
        if isinstance(e, OSError) and e.errno != errno.EINVAL:
            raise
        raise otherwise from e


@dataclass
class Room:
    """What one delivery may still unfold, archives within archives together, and how deep they lie now."""

    left: int = TOTAL
    depth: int = 0

    def take(self, total: int, packed: int) -> None:
        """Raises `DeliveryError` F055 where `packed` bytes unfold to a harmful `total`."""
        if total > self.left:
            raise beyond(f"解压后超过 {TOTAL >> 30} GB", f"it unfolds to more than {TOTAL >> 30} GB")
        if total > SMALL and total > RATIO * packed:
            raise beyond(f"解压后是原来的 {RATIO} 倍以上", f"it unfolds to more than {RATIO} times its size")
        self.left -= total

    def enter(self) -> None:
        """Raises `DeliveryError` F055 where an archive lies too deep."""
        if self.depth > NESTED:
            raise beyond("压缩包套了两层以上", "archives lie in archives more than once")


def check_archive(archive: zipfile.ZipFile, members: int, room: Room) -> list[zipfile.ZipInfo]:
    """The files of a zip, whose sizes and names are harmless. Raises `DeliveryError` F009 (encrypted), F055."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > members:
        n = len(infos)
        raise beyond(f"其中有 {n} 个文件，最多 {members} 个", f"it holds {n} files, at most {members}")
    room.take(sum(i.file_size for i in infos), sum(i.compress_size for i in infos))
    for number, info in enumerate(infos, start=1):
        if info.flag_bits & 1:
            raise DeliveryError(
                "F009",
                f"压缩包中第 {number} 个文件有密码，无法读取。请去掉密码后重新报送。",
                f"File {number} of the archive is encrypted. Pack it again without a password and send it.",
            )
        name = info.filename.replace("\\", "/")
        # The high half of the attributes is the mode under Unix; 0o12 marks a link.
        if name.startswith("/") or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts or (
            info.external_attr >> 28 == 0o12
        ):
            raise beyond(f"第 {number} 个文件的路径指向包外", f"file {number} points outside of the archive")
    return infos


def beyond(zh: str, en: str) -> DeliveryError:
    return DeliveryError(
        "F055",
        f"文件超出可以安全读取的限度：{zh}。请检查文件，分成几个较小的文件，或直接报送其中的表格。",
        f"The file is beyond what can be read safely: {en}. Send it in smaller parts, or the tables alone.",
    )
