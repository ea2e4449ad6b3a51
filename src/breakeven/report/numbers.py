"""One formatter for every number a reader sees: digits by the width of the interval, currency signs, units last.

A number that nobody measured, declared or quoted is `n/a`; it is never made up and never zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from breakeven.quantity import Quantity

MISSING = "n/a"
SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥", "JPY": "JP¥", "INR": "₹", "KRW": "₩"}
SUFFIXES = {
    "ms": " ms",
    "Wh/1000 answers": " Wh",
    "g CO2/1000 answers": " g",
    "s": " s",
    "seconds": " s",
    "MB": " MB",
    "GB": " GB",
    "answers/second": "/s",
    "answers/s": "/s",
    "1/s": "/s",
    "per_second": "/s",
}
_MONEY = re.compile(r"^([A-Z]{3})(?=$|[^A-Za-z])\s*(.*)$")
TINY = 1e-300  # below this there is nothing to see and logarithms end
LEAST_MONEY = 1e-5  # less than this is said, not counted
MOST_PLACES = 8  # more decimals than this are written with an exponent
_BARE = ("", "1", "none", "fraction", "share", "ratio", "score", "probability", "rate", "f1", "accuracy")


def currency_of(unit: str) -> tuple[str | None, str]:
    """The currency a unit starts with and what follows it: `USD/1000 answers` -> `("USD", "/1000 answers")`."""
    found = _MONEY.match(unit)
    return (found.group(1), found.group(2)) if found else (None, unit)


def decimals_for(quantity: Quantity) -> int:
    """Decimal places that suit the interval; negative: tens, hundreds ...

    The last digit is at most a tenth of the interval's width, for money above a cent a fifth; below 100 it has cents.
    """
    low, high = quantity.low, quantity.high
    if low is not None and high is not None and math.isfinite(high - low) and high - low > TINY:
        if _exact(quantity.value) and _exact(low) and _exact(high) and high - low < 1000:
            return 0
        money = currency_of(quantity.unit)[0] is not None
        places = math.ceil(-math.log10((high - low) / (5 if money and high - low > 0.01 else 10)) - 1e-9)
        small = max(abs(low), abs(high), abs(quantity.value)) < 100
        return max(places, 2) if money and small else places
    return _significant(quantity.value, 3)


def places(quantity: Quantity) -> int:
    """Decimal places at which the value itself is shown."""
    return _kept(quantity.value, decimals_for(quantity), _skewed(quantity))


def _kept(value: float, decimals: int, skewed: bool) -> int:
    """An interval of several magnitudes must not round its own ends away."""
    return max(decimals, 1 - math.floor(math.log10(abs(value)))) if skewed and abs(value) > TINY else decimals


def plain(value: float | None, decimals: int | None = None) -> str:
    """A number with thousands separators; three significant digits where no places are given."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    places = _significant(value, 3) if decimals is None else decimals
    if places > MOST_PLACES:
        return f"{value:.3g}"
    rounded = round(value, places)
    text = f"{rounded:,.{max(places, 0)}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def count(value: float | None) -> str:
    """A whole number, in full, with thousands separators."""
    return MISSING if value is None else plain(value, 0)


def declared(value: float) -> str:
    """A number as its author wrote it: nothing is rounded away."""
    if not math.isfinite(value):
        return plain(value)
    text = f"{value:,.12f}".rstrip("0").rstrip(".")
    return text if text not in ("0", "-0") or value == 0 else f"{value:g}"


def percent(share: float | None) -> str:
    """A share of one as whole percent; never 0% or 100% unless it is exactly that."""
    if share is None or math.isnan(share):
        return MISSING
    if 0 < share < 0.01:
        return "<1%"
    if 0.99 < share < 1:
        return ">99%"
    return f"{share * 100:.0f}%"


def amount(quantity: Quantity | None) -> str:
    """The point value with its currency sign, digits by the interval's width."""
    if quantity is None:
        return MISSING
    if _negligible(quantity):
        code, _ = currency_of(quantity.unit)
        sign, least = ("<", LEAST_MONEY) if quantity.value > 0 else (">", -LEAST_MONEY)
        return f"{sign} {with_sign(f'{least:.5f}', str(code))}"
    return _writer(quantity)(quantity.value)


def bounds(quantity: Quantity | None) -> str | None:
    """`[low, high]` at the value's digits, without sign; None where no interval is known. An open end is `..`."""
    if quantity is None or (quantity.low is None and quantity.high is None) or _negligible(quantity):
        return None
    write = _writer(quantity, signed=False)
    low, high = (".." if bound is None else write(bound) for bound in (quantity.low, quantity.high))
    return f"[{low}, {high}]"


def _negligible(quantity: Quantity) -> bool:
    """Whether it is computed money per 1,000 that is something, and too little for anybody to count."""
    code, rest = currency_of(quantity.unit)
    if code is None or "1000" not in rest or quantity.value == 0 or quantity.origin in ("declared", "quoted"):
        return False
    return max(abs(bound) for bound in (quantity.value, quantity.low or 0.0, quantity.high or 0.0)) < LEAST_MONEY


def suffix(quantity: Quantity) -> str:
    """The unit where it is short enough to stand behind a number in a table: ` ms`, `/s`; else nothing."""
    return SUFFIXES.get(quantity.unit, "")


def tick(value: float) -> str:
    """A round value on an axis: no more digits than it has."""
    return plain(value, 0) if abs(value) >= 1000 else f"{value:.6g}"


def unit(quantity: Quantity) -> str:
    """The unit as words without its currency: `per 1,000 answers`, `ms`; empty for a bare ratio."""
    _, rest = currency_of(quantity.unit)
    if rest.strip().lower() in _BARE:
        return ""
    words = re.sub(r"\s*/\s*", " per ", rest.strip().replace("_", " ")).strip()
    return re.sub(r"\b1000\b", "1,000", words)


def full(quantity: Quantity | None, words: Callable[[str], str] = str) -> str:
    """Value, interval and unit in one line: `$1.17 [1.16, 1.18] per 1,000 answers`. `words` translates the unit."""
    if quantity is None:
        return MISSING
    return " ".join(part for part in (amount(quantity), bounds(quantity), words(unit(quantity))) if part)


def moment(when: str | None) -> str | None:
    """An ISO 8601 time as people read it: `2026-01-02 03:04:05 UTC`."""
    return re.sub(r"(\d)T(\d)", r"\1 \2", when).replace("+00:00", " UTC") if when else None


def duration(seconds: float | None) -> str:
    """Seconds as a reader would say them: `850 ms`, `12.4 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(octets: float | None) -> str:
    """Bytes in decimal units: `812 B`, `1.2 MB`."""
    if octets is None:
        return MISSING
    for name, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if octets >= factor:
            return f"{octets / factor:.1f} {name}"
    return f"{octets:.0f} B"


def _writer(quantity: Quantity, *, signed: bool = True) -> Callable[[float], str]:
    """How value and bounds of one quantity are written: the same digits; the currency's sign on the value only."""
    if quantity.unit == "probability":
        return percent
    code, _ = currency_of(quantity.unit)
    computed = len(quantity.inputs or ()) > 1
    stated = quantity.origin in ("declared", "quoted") and quantity.low is None and quantity.high is None
    given = stated and not computed
    decimals, skewed = decimals_for(quantity), _skewed(quantity)

    def write(value: float) -> str:
        kept = _kept(value, decimals, skewed)
        if code and kept == 1:
            kept = 2  # money has no single decimal
        text = declared(value) if given else plain(value, kept)
        if code and re.search(r"\.\d$", text):
            text += "0"
        return text if code is None or text == MISSING or not signed else with_sign(text, code)

    return write


def _skewed(quantity: Quantity) -> bool:
    """Whether the interval lies on one side of zero and spans more than one magnitude."""
    low, high = quantity.low, quantity.high
    if low is None or high is None or low <= 0 <= high:
        return False
    small, large = sorted((abs(low), abs(high)))
    return large > 10 * small and not (_exact(quantity.value) and _exact(low) and _exact(high))


def with_sign(text: str, code: str) -> str:
    """A formatted number with its currency: `-$1.20`, `+$1.20`."""
    sign = SIGNS.get(code, f"{code} ")
    return f"{text[0]}{sign}{text[1:]}" if text[:1] in "+-" else f"{sign}{text}"


def _exact(value: float) -> bool:
    return math.isfinite(value) and value == int(value)


def _significant(value: float, digits: int) -> int:
    """Places that show `digits` significant digits; whole numbers keep all of theirs."""
    if abs(value) <= TINY or not math.isfinite(value) or (_exact(value) and abs(value) < 1e15):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))
