"""Personal data in text: found by pattern and checksum, counted by kind, masked.

Rules rather than guesses: a card must pass Luhn, a Chinese identity number its checksum and birth date, so that order
numbers are left alone. What has no checksum (phones, US social security numbers) is found by its written form.
Persons and places have no form: `named` asks a model about them.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

KINDS = ("mail", "national_id", "card", "ip", "phone")  # the order in which they claim characters

_MAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9_.+%-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}(?![\w-])", re.ASCII
)
_CHINESE_ID = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{5}(?:18|19|20)\d{2}[01]\d[0-3]\d{4}[0-9Xx](?![0-9A-Za-z])")
_SOCIAL_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]\d|\d)")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])", re.ASCII)
_CHINESE_MOBILE = r"(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}"
_INTERNATIONAL = r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
_AMERICAN = r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}"
_CHINESE_FIXED = r"0\d{2,3}-\d{7,8}"
_PHONE = re.compile(
    rf"(?<![\w.+-])(?:{_CHINESE_MOBILE}|{_INTERNATIONAL}|{_AMERICAN}|{_CHINESE_FIXED})(?![\d-]*\d)", re.ASCII
)
_WORTH_A_LOOK = re.compile(r"@|\d.*?\d.*?\d.*?\d|::", re.DOTALL)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"


@dataclass(frozen=True)
class Find:
    """One piece of personal data: its kind and where it stands in the text."""

    kind: str
    start: int
    end: int


def find(text: str, kinds: Sequence[str] = KINDS) -> list[Find]:
    """Everything found, in the order of the text, nothing overlapping."""
    if not _WORTH_A_LOOK.search(text):
        return []
    taken: list[Find] = []
    for kind in KINDS:
        if kind in kinds:
            taken += [found for found in _of_kind(kind, text) if not _overlaps(found, taken)]
    return sorted(taken, key=lambda found: found.start)


def mask(text: str, kinds: Sequence[str] = KINDS) -> str:
    """The text with every find replaced by its kind in brackets."""
    parts, last = [], 0
    for found in find(text, kinds):
        parts += [text[last : found.start], f"[{found.kind}]"]
        last = found.end
    return "".join([*parts, text[last:]]) if parts else text


def count(texts: Iterable[str | None], kinds: Sequence[str] = KINDS) -> tuple[dict[str, int], list[bool]]:
    """Finds by kind over all texts, and for every text whether it holds any."""
    counted: Counter[str] = Counter()
    holds: list[bool] = []
    for text in texts:
        found = find(text, kinds) if text else []
        counted.update(item.kind for item in found)
        holds.append(bool(found))
    return {kind: counted[kind] for kind in KINDS if counted[kind]}, holds


def luhn(digits: str) -> bool:
    """The check of payment card numbers; a row of one digit is no card."""
    numbers = [int(digit) for digit in digits][::-1]
    doubled = [number * 2 - 9 * (number > 4) for number in numbers[1::2]]
    return len(set(numbers)) > 1 and (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def chinese_id(text: str) -> bool:
    """The check of an 18-digit Chinese identity number (GB 11643): weighted sum modulo 11, and a real birth date."""
    try:
        datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return _CHECK[sum(int(d) * w for d, w in zip(text, _WEIGHTS, strict=False)) % 11] == text[17].upper()


def _of_kind(kind: str, text: str) -> Iterator[Find]:
    for pattern, valid in _RULES[kind]:
        for match in pattern.finditer(text):
            if valid(match.group()):
                yield Find(kind, match.start(), match.end())


def _overlaps(found: Find, taken: list[Find]) -> bool:
    return any(found.start < other.end and other.start < found.end for other in taken)


def _card(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return digits[0] in "23456" and luhn(digits)


def _address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _colons(text: str) -> bool:
    # '::' and times such as 12:30:45 are addresses only by accident.
    return len(text) > 6 and text.count(":") >= 3 and _address(text)


def _phone(text: str) -> bool:
    return 7 <= sum(character.isdigit() for character in text) <= 15


_RULES: dict[str, list[tuple[re.Pattern[str], Callable[[str], bool]]]] = {
    "mail": [(_MAIL, lambda text: True)],
    "national_id": [(_CHINESE_ID, chinese_id), (_SOCIAL_SECURITY, lambda text: True)],
    "card": [(_CARD, _card)],
    "ip": [(_IPV4, _address), (_IPV6, _colons)],
    "phone": [(_PHONE, _phone)],
}
