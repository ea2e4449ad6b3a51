"""Bytes into text: the encoding is found by strict decoding, stated in the card, and never guessed between equals."""

from __future__ import annotations

import codecs
import re

from breakeven.errors import DataError, Place

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
TRIED = ("utf-8", "utf-16", "gb18030")
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
# Lead bytes of GB 2312 punctuation and of its 3,755 common characters: in Chinese text nearly every pair has one.
_COMMON = re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]")


def to_utf8(data: bytes, name: str, declared: str | None = None) -> tuple[bytes, str]:
    """(the text as UTF-8 without a mark, the encoding it came in). Latin-1 fits anything, so it must be declared."""
    encoding = declared or detect(data, name)
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError("encoding-unknown", at=Place(file=name), encoding=encoding) from error
    if encoding in ("utf-8-sig", "utf-8") and data.startswith(codecs.BOM_UTF8):
        encoding, data = "utf-8-sig", data[3:]
    try:
        if encoding in ("utf-8", "utf-8-sig"):
            if not data.isascii():
                data.decode("utf-8")
            result = data
        else:
            result = data.decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise DataError(
            "encoding-does-not-fit",
            at=_at(data, error.start, name),
            encoding=encoding,
            offset=error.start,
            byte=f"0x{data[error.start]:02x}",
        ) from error
    if b"\x00" in result[:100_000]:
        raise DataError("source-binary", at=Place(file=name), offset=result.index(b"\x00"))
    return result, encoding


def detect(data: bytes, name: str) -> str:
    """The encoding of `data`: by its mark, else UTF-8, UTF-16 or GB18030 if it decodes strictly and reads like one."""
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return encoding
    try:
        if data.isascii() or data.decode("utf-8") is not None:
            return _utf16_by_zeros(data) or "utf-8"
    except UnicodeDecodeError as error:
        if wide := _utf16_by_zeros(data):
            return wide
        if _is_gb18030(data):
            return "gb18030"
        raise DataError(
            "encoding-not-found",
            at=_at(data, error.start, name),
            offset=error.start,
            tried=TRIED,
            byte=f"0x{data[error.start]:02x}",
        ) from error
    return "utf-8"


def _utf16_by_zeros(data: bytes) -> str | None:
    sample = data[:4_000]
    half = max(len(sample) // 2, 1)
    even, odd = sample[::2].count(0) / half, sample[1::2].count(0) / half
    if max(even, odd) < 0.3 or min(even, odd) > 0.05 or len(data) % 2:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _is_gb18030(data: bytes) -> bool:
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return False
    pairs = _PAIR.findall(data[:1_000_000])
    common = sum(1 for pair in pairs if _COMMON.fullmatch(pair))
    return bool(pairs) and common / len(pairs) >= 0.8


def _at(data: bytes, offset: int, name: str) -> Place:
    return Place(file=name, line=data.count(b"\n", 0, offset) + 1)
