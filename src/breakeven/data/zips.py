"""Zip archives read strictly: whatever two readers could take for two different things is refused.

Workbooks and the archives of packages come this way. Nothing is unpacked to disk; what a file says of its sizes is
checked by inflating it, a block at a time.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from breakeven.data.limits import MB
from breakeven.errors import DataError, Place, message

BROKEN = (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError, struct.error, zlib.error)
_HEADER = struct.Struct("<4s22xHH")  # signature, length of the name, length of the extra field
_GAP = 24  # bytes that may follow a member: its sizes, where they were not known when it began
_BLOCK = 1 << 16
_ENCRYPTED = 1


@dataclass(frozen=True)
class Zip:
    """An archive in memory whose structure was checked: members by name."""

    data: bytes
    name: str
    members: dict[str, zipfile.ZipInfo]

    def read(self, member: str, limit: int) -> bytes:
        """The content of a member; DataError `source-too-large` beyond `limit` bytes."""
        parts, size = [], 0
        for block in self._blocks(self.members[member]):
            size += len(block)
            if size > limit:
                raise DataError("source-too-large", at=Place(file=self.name), limit=limit // MB)
            parts.append(block)
        return b"".join(parts)

    def size(self, limit: int) -> int:
        """Bytes of all members, inflated and thrown away; stops as soon as they are more than `limit`."""
        total = 0
        for item in self.members.values():
            for block in self._blocks(item):
                total += len(block)
                if total > limit:
                    return total
        return total

    def _blocks(self, item: zipfile.ZipInfo) -> Iterator[bytes]:
        """A member's content; refused where it is not as long, or not what its checksum says."""
        size = check = 0
        for block in _inflated(memoryview(self.data), item):
            size, check = size + len(block), zlib.crc32(block, check)
            if size > item.file_size:
                break
            yield block
        if size != item.file_size or check != item.CRC:
            raise refused(self.name, "zip-lies", member=item.filename, size=item.file_size)


def opened(data: bytes, name: str) -> Zip:
    """The archive `data`; one of `BROKEN` where it is none, DataError `zip-refused` where it is not taken, and why."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    members: dict[str, zipfile.ZipInfo] = {}
    for item in archive.infolist():
        if (fault := _fault(item)) is not None:
            raise refused(name, fault, member=item.filename)
        if item.filename in members:
            raise refused(name, "zip-twice", member=item.filename)
        members[item.filename] = item
    _check_places(data, name, members, archive.start_dir)
    return Zip(data, name, members)


def refused(name: str, fault: str, **fields: object) -> DataError:
    """The error for an archive that is not taken, with its reason in words."""
    return DataError("zip-refused", at=Place(file=name), why=message(fault, **fields))


def _fault(item: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry of the directory, by itself."""
    parts = item.filename.replace("\\", "/").split("/")
    if item.flag_bits & _ENCRYPTED:
        return "zip-encrypted"
    if item.volume:
        return "zip-split"
    if ".." in parts or not parts[0] or parts[0].endswith(":"):
        return "zip-outside"
    # The system that made it keeps the kind of file in the upper half; archives without one hold plain files.
    kind = stat.S_IFMT(item.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        return "zip-link"
    return "zip-method" if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else None


def _check_places(data: bytes, name: str, members: dict[str, zipfile.ZipInfo], directory: int) -> None:
    """From the first byte to the directory there is member after member, each under the name the directory gives it.

    A second directory, a hidden member and members that share their bytes all break this.
    """
    if data.count(b"PK\x05\x06", directory) != 1:
        raise refused(name, "zip-places")
    items = sorted(members.values(), key=lambda item: item.header_offset)
    begins = [0, *(_end(data, item, name) for item in items)]
    for begin, after in zip(begins, [*(item.header_offset for item in items), directory], strict=True):
        if not 0 <= after - begin <= (_GAP if begin else 0):
            raise refused(name, "zip-places")


def _end(data: bytes, item: zipfile.ZipInfo, name: str) -> int:
    """Where a member ends."""
    signature, length, extra = _HEADER.unpack_from(data, item.header_offset)
    begin = item.header_offset + _HEADER.size
    if signature != b"PK\x03\x04":
        raise refused(name, "zip-places")
    # Names are compared as bytes: which letters they stand for is said by a flag that the two places need not share.
    stated = item.orig_filename.encode("utf-8" if item.flag_bits & 0x800 else "cp437")
    if data[begin : begin + length] != stated or b"\0" in stated:
        raise refused(name, "zip-names", member=item.filename)
    return int(begin + length + extra + item.compress_size)


def _inflated(data: memoryview, item: zipfile.ZipInfo) -> Iterator[bytes]:
    _, length, extra = _HEADER.unpack_from(data, item.header_offset)
    begin = item.header_offset + _HEADER.size + length + extra
    places = [*range(begin, begin + item.compress_size, _BLOCK), begin + item.compress_size]
    if item.compress_type == zipfile.ZIP_STORED:
        yield from (bytes(data[start:end]) for start, end in pairwise(places))
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for start, end in pairwise(places):
        block = bytes(data[start:end])
        while block and not inflater.eof:
            yield inflater.decompress(block, _BLOCK)
            block = inflater.unconsumed_tail
    while not inflater.eof and (rest := inflater.decompress(b"", _BLOCK)):
        yield rest
