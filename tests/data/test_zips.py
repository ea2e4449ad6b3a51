"""Zip archives that two readers could take for two things, and those that lie: refused, the member named."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.data import archives
from breakeven.data.limits import Limits
from breakeven.data.zips import opened
from breakeven.errors import DataError
from tests.data.folder import collected

CSV = b"text,label\nfine,good\npoor,bad\n"


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    item = zipfile.ZipInfo(name)
    item.create_system, item.external_attr = 3, 0o120777 << 16
    return item


def encrypted() -> bytes:
    """The flag of encryption set in both places."""
    data = bytearray(zipped(("t.csv", CSV)))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def split() -> bytes:
    data = bytearray(zipped(("t.csv", CSV)))
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 34, 1)
    return bytes(data)


def renamed() -> bytes:
    """Where it lies the member is called otherwise."""
    return zipped(("t.csv", CSV)).replace(b"t.csv", b"s.csv", 1)


def two_directories() -> bytes:
    """One archive behind another: which directory counts depends on who reads."""
    return zipped(("t.csv", CSV)) + zipped(("t.csv", b"text,label\nother,good\n"))


def lying(size: int, content: bytes) -> bytes:
    """A member whose size is stated as `size` in both places; zip64 where that is needed."""
    data = zipped(("t.csv", content))
    real, small = struct.pack("<I", len(content)), struct.pack("<I", size)
    return data.replace(real, small)


def overlapping() -> bytes:
    """Two names for the same bytes: the second entry points at the first member's place."""
    data = bytearray(zipped(("a.csv", CSV), ("b.csv", CSV)))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", data, second + 42, 0)
    return bytes(data)


ODD: dict[str, tuple[bytes, str]] = {
    "encrypted": (encrypted(), "'t.csv' is encrypted"),
    "split": (split(), "one part of several"),
    "absolute": (zipped(("/etc/passwd", CSV)), "'/etc/passwd' leads out of the archive"),
    "outside": (zipped(("a/../../x", CSV)), "leads out of the archive"),
    "drive": (zipped(("C:/x", CSV)), "leads out of the archive"),
    "link": (zipped((link("t.csv"), b"/etc/passwd")), "neither a file nor a folder"),
    "other method": (zipped(("t.csv", CSV), method=zipfile.ZIP_BZIP2), "another method than deflate"),
    "two names": (renamed(), "one name in the directory and another where it lies"),
    "two directories": (two_directories(), "more in it than its directory lists"),
    "bytes in front": (b"MZ" + zipped(("t.csv", CSV)), "more in it than its directory lists"),
    "overlapping": (overlapping(), "more in it|one name in the directory"),
    "size too small": (lying(10, CSV), "is not the 10 bytes"),
    "size too large": (lying(10_000, CSV), "is not the 10000 bytes"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_archive_is_refused(name: str) -> None:
    data, words = ODD[name]
    with pytest.raises(DataError, match=words):
        opened(data, "x.zip").size(1_000_000)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"two members are called 't.csv'"):
        opened(zipped(("t.csv", CSV), ("t.csv", b"other")), "x.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("content", [b"", CSV, bytes(range(256)) * 3_000], ids=["empty", "small", "large"])
def test_what_is_fine_is_read_whole(content: bytes, method: int) -> None:
    archive = opened(zipped(("folder/", b""), ("folder/t.csv", content), ("größe.csv", CSV), method=method), "x.zip")
    assert archive.read("folder/t.csv", 10_000_000) == content
    assert archive.read("größe.csv", 10_000) == CSV
    assert archive.size(10_000_000) == len(content) + len(CSV)


def test_an_archive_that_was_streamed_is_read() -> None:
    """Its sizes follow each member, for they were not known before."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, block: object) -> int:
            self.data += bytes(block)  # type: ignore[call-overload]
            return len(bytes(block))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    assert opened(pipe.data, "x.zip").read("b.csv", 1_000) == CSV


@pytest.mark.parametrize(("stated", "words"), [(20_000_000, "larger than 1 MB"), (1_000, "is not the 1000 bytes")])
def test_a_bomb_is_stopped_at_the_limit_whatever_it_says_of_its_size(stated: int, words: str) -> None:
    bomb = lying(stated, b"0" * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words):
            archives.member(bomb, "t.csv", "x.zip", Limits(max_mb=1))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000 + len(bomb)
    finally:
        tracemalloc.stop()


Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize("damage", [
    lambda data: data[:-30], lambda data: data[:60], lambda data: data.replace(b"PK\x03\x04", b"PK\x03\x05", 1),
    lambda data: data[:45] + b"\xff" * 8 + data[53:],
], ids=["cut", "cut early", "no header", "content"])  # fmt: skip
def test_a_damaged_archive_ends_in_words(damage: Damage) -> None:
    with pytest.raises(DataError, match=r"cannot be read|is not|more in it"):
        archives.member(damage(zipped(("t.csv", CSV * 50))), "t.csv", "x.zip", Limits())


def test_a_workbook_is_held_to_the_same(tmp_path: Path) -> None:
    for data, words in ODD.values():
        if data[:2] == b"PK":
            with pytest.raises(DataError, match=words):
                collected(tmp_path, data)
