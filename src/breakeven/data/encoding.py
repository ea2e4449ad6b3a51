"""Bytes into text: the encoding is found by strict decoding, stated in the card, and never guessed between equals."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator

from breakeven.errors import DataError, Place

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
TRIED = ("utf-8", "utf-16", "gb18030")
_STEP = 1_000_000  # decoded at a time: a whole text would take up to four times the file
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
# Lead bytes of GB 2312 punctuation and of its 3,755 common characters: in Chinese text nearly every pair has one.
_COMMON = re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]")


def to_utf8(data: bytes, name: str, declared: str | None = None) -> tuple[bytes, str]:
    """(the text as UTF-8 without a mark, the encoding it came in). Latin-1 fits anything, so it must be declared."""
    encoding = declared or detect(data, name)
    try:
        "a".encode(encoding)  # the codec registry also knows what is no text encoding: this refuses it
    except (LookupError, UnicodeError) as error:
        raise DataError("encoding-unknown", at=Place(file=name), encoding=encoding) from error
    if encoding in ("utf-8-sig", "utf-8") and data.startswith(codecs.BOM_UTF8):
        encoding, data = "utf-8-sig", data[3:]
    try:
        if encoding in ("utf-8", "utf-8-sig"):
            if declared is not None:  # else that is how it was found
                _check(data, "utf-8")
            result = data
        else:
            result = _recoded(data, encoding)
    except _Unfit as error:
        raise DataError(
            "encoding-does-not-fit",
            at=_at(data, error.offset, name),
            encoding=encoding,
            offset=error.offset,
            byte=f"0x{data[error.offset]:02x}",
        ) from error
    if b"\x00" in result[:100_000]:
        raise DataError("source-binary", at=Place(file=name), offset=result.index(b"\x00"))
    return result, encoding


def detect(data: bytes, name: str) -> str:
    """The encoding of `data`: by its mark, else UTF-8, UTF-16 or GB18030 if it decodes strictly and reads like one."""
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return encoding
    if wide := _utf16_by_zeros(data):
        return wide
    try:
        _check(data, "utf-8")
    except _Unfit as error:
        if _is_gb18030(data):
            return "gb18030"
        raise DataError(
            "encoding-not-found",
            at=_at(data, error.offset, name),
            offset=error.offset,
            tried=TRIED,
            byte=f"0x{data[error.offset]:02x}",
        ) from error
    return "utf-8"


class _Unfit(Exception):
    """A byte that an encoding does not know, by its offset."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def _texts(data: bytes, encoding: str) -> Iterator[str]:
    """The text block by block."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for start in range(0, len(data), _STEP):
        block = data[start : start + _STEP]
        try:
            yield decoder.decode(block, final=start + _STEP >= len(data))
        except UnicodeDecodeError as error:
            # What the decoder held back from the block before stands in front of this one.
            raise _Unfit(start + len(block) - len(error.object) + error.start) from error


def _recoded(data: bytes, encoding: str) -> bytes:
    """The text as UTF-8."""
    result = io.BytesIO()
    for number, text in enumerate(_texts(data, encoding)):
        try:
            result.write(text.encode())
        except UnicodeEncodeError as error:
            raise _Unfit(number * _STEP) from error
    return result.getvalue()


def _check(data: bytes, encoding: str) -> None:
    """Raises _Unfit where the bytes do not decode."""
    if encoding != "utf-8" or not data.isascii():
        for _ in _texts(data, encoding):
            pass


def _utf16_by_zeros(data: bytes) -> str | None:
    sample = data[:4_000]
    half = max(len(sample) // 2, 1)
    even, odd = sample[::2].count(0) / half, sample[1::2].count(0) / half
    if max(even, odd) < 0.3 or min(even, odd) > 0.05 or len(data) % 2:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _is_gb18030(data: bytes) -> bool:
    try:
        _check(data, "gb18030")
    except _Unfit:
        return False
    pairs = _PAIR.findall(data[:1_000_000])
    common = sum(1 for pair in pairs if _COMMON.fullmatch(pair))
    return bool(pairs) and common / len(pairs) >= 0.8


def _at(data: bytes, offset: int, name: str) -> Place:
    return Place(file=name, line=data.count(b"\n", 0, offset) + 1)
