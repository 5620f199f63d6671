"""The count of physical lines, against a walk over the characters, whatever the size of the blocks it reads."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.readers import encoding

TEXT = st.lists(st.sampled_from(['"', ",", "\n", "\n", "\r\n", " ", "\t", "a", "姓", "𠮷", "\u3000"]), max_size=60)


def walked(text: str) -> tuple[int, list[int], list[int]]:
    """(physical lines, blank ones, those that begin inside quotes) of a text, one character after the other."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    is_open, blank, inside = False, [], []
    for number, line in enumerate(lines, start=1):
        if is_open:
            inside.append(number)
        elif not line.strip(" \t\r"):
            blank.append(number)
        is_open ^= bool(line.count('"') % 2)
    return len(lines), blank, inside


def scanned(content: bytes, chunk: int) -> encoding.Text | None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK", chunk)
        patch.setattr(encoding, "AHEAD", 1)
        path = Path(folder) / "text"
        path.write_bytes(content)
        return encoding._scan(path)


@given(TEXT, st.booleans(), st.integers(1, 40))
def test_lines_are_counted_alike_whatever_the_blocks(parts: list[str], bom: bool, chunk: int) -> None:
    text = "".join(parts)
    found = scanned((b"\xef\xbb\xbf" if bom else b"") + text.encode(), chunk)
    assert found is not None
    lines, blank, inside = walked(text)
    assert (found.lines, found.blanks.tolist(), found.continued.tolist()) == (lines, blank, inside)
    assert found.encoding == ("utf-8-sig" if bom else "utf-8")
    assert (0 in found.before_quotes) == bool(text.count('"') % 2)
    opening = {
        text[at - 1] if at else "\n" for n, at in enumerate(at for at, c in enumerate(text) if c == '"') if n % 2 == 0
    }
    assert found.before_quotes - {0} == {c.encode()[-1] for c in opening}


@pytest.mark.parametrize("chunk", [1, 3, 8, 1000])
@pytest.mark.parametrize(
    "content", ["姓名,号\n张,1\n".encode("gb18030"), b"a\n\xff\n", b"a\rb\rc", b"a\nb\rc\n", "吉\n".encode()[:2]]
)
def test_what_is_not_utf8_or_ends_lines_with_returns_alone_is_left_to_others(content: bytes, chunk: int) -> None:
    assert scanned(content, chunk) is None


ODD = st.lists(
    st.sampled_from([*map(chr, range(32)), "\r\n", "\n", "a", "姓", "，", "\ue863", "\U000f0000"]), max_size=40
)  # fmt: skip


@given(ODD, st.integers(1, 40))
def test_what_may_have_to_be_mended_is_seen_whatever_the_blocks(parts: list[str], chunk: int) -> None:
    text = "".join(parts)
    found = scanned(text.encode(), chunk)
    if "\r" in text.replace("\r\n", ""):
        assert found is None
    else:
        assert found is not None
        assert found.controls == {ord(c) for c in text if c < " "} - {9, 10, 13}
        assert found.has_private == ("\ue863" in text or "\U000f0000" in text)
