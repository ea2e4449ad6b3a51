"""Exact amounts of money: integer minor units with their currency, and the one place where numbers are rounded.

Documents (prices, invoices, cap tables) compute in `int`, `Decimal` and `Fraction` and round once, by a stated rule. A
float never enters: it is refused here. Exchange rates are left out; amounts of two currencies do not mix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator

from breakeven.errors import Place, UsageError, catalogue, fill

Rational: TypeAlias = int | Decimal | Fraction
RoundingMode = Literal["half_up", "half_even", "half_down", "up", "down", "ceiling", "floor"]

_EXACT = Context(prec=2000, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
MAX_DIGITS = 40  # of an amount or quantity; far beyond money, and short enough that no input costs memory
MAX_PLACES = 12  # decimals of a price
_FLOAT_DIGITS = 15  # a float written with more digits than this may not be what was written

_NO_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_TEN_THOUSANDTHS = "CLF UYW"
_HUNDREDTHS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW "
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
EXPONENTS: dict[str, int] = {
    code: places
    for codes, places in ((_NO_MINOR_UNIT, 0), (_HUNDREDTHS, 2), (_THOUSANDTHS, 3), (_TEN_THOUSANDTHS, 4))
    for code in codes.split()
}
"""ISO 4217 alphabetic codes in use, and the decimals of each."""


class InexactNumber(UsageError, TypeError):
    """A float, or a thing that is no number, where a document needs an exact one."""


def exponent(currency: str) -> int:
    """The decimals of a currency; raises UsageError for a code that ISO 4217 does not list."""
    try:
        return EXPONENTS[currency]
    except (KeyError, TypeError):
        raise UsageError("currency-unknown", found=currency, nearest=_nearest(str(currency))) from None


def _nearest(code: str) -> str | None:
    return code.upper() if code.upper() in EXPONENTS else None


def exactly() -> AbstractContextManager[Context]:
    """A block in which Decimal arithmetic is exact or an error: nothing is silently cut to 28 digits."""
    return localcontext(_EXACT)


def exact(value: object, *, field: str | None = None) -> Decimal:
    """An int, Decimal or decimal text as a finite Decimal; raises InexactNumber for a float or what is no number."""
    at = Place(field=field)
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        code = "number-float" if isinstance(value, float) else "number-not-exact"
        raise InexactNumber(code, at=at, found=repr(value), kind=type(value).__name__)
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        raise InexactNumber("number-not-exact", at=at, found=repr(value), kind="text") from None
    if not number.is_finite():
        raise InexactNumber("number-not-finite", at=at, found=str(value))
    if abs(number.adjusted()) >= MAX_DIGITS or len(number.as_tuple().digits) > MAX_DIGITS:
        raise InexactNumber("number-too-long", at=at, limit=MAX_DIGITS)
    return number


def fraction(value: Rational | str, *, field: str | None = None) -> Fraction:
    """The same number as a Fraction; raises InexactNumber where `exact` does."""
    return value if isinstance(value, Fraction) else Fraction(exact(value, field=field))


def decimals(number: Decimal) -> int:
    """How many decimals a number needs, trailing zeros left out."""
    exponent_ = number.normalize().as_tuple().exponent
    return max(0, -int(exponent_))


def declared(value: object) -> object:
    """A number of a settings file as a Decimal: a float counts as the decimal text that it was read from."""
    if isinstance(value, float):
        text = repr(value)
        if sum(character.isdigit() for character in text.split("e")[0].lstrip("0.")) > _FLOAT_DIGITS:
            raise expected("number-declared-long")
        value = Decimal(text)
    try:
        return exact(value)
    except InexactNumber:
        raise expected("number-declared") from None


def expected(code: str, **fields: Any) -> ValueError:
    """What a settings validator raises: the catalogue's words for what would be right."""
    return ValueError(fill(catalogue().get(code, {}).get("expected", code), fields))


def _amount(value: Any) -> Decimal:
    number = declared(value)
    if not isinstance(number, Decimal) or number < 0:
        raise expected("price-negative")
    if decimals(number) > MAX_PLACES:
        raise expected("price-too-precise", limit=MAX_PLACES)
    return number


def _share(value: Any) -> Decimal:
    number = _amount(value)
    if number > 1:
        raise expected("rate-not-share")
    return number


def _currency(value: Any) -> str:
    if value not in EXPONENTS:
        raise expected("currency-unknown")
    return str(value)


Amount = Annotated[Decimal, BeforeValidator(_amount)]
"""A setting: a price or quantity, >= 0, at most 12 decimals."""
Share = Annotated[Decimal, BeforeValidator(_share)]
"""A setting: a rate between 0 and 1."""
Currency = Annotated[str, BeforeValidator(_currency)]
"""A setting: an ISO 4217 code."""


def whole(value: Rational, mode: RoundingMode = "half_up") -> int:
    """The integer a number is rounded to; half up takes ties away from zero, so that a credit mirrors its charge."""
    if isinstance(value, Decimal):
        return int(value.to_integral_value(_DECIMAL_ROUND[mode]))
    return value if isinstance(value, int) else _ROUND[mode](value)


def to_places(value: Rational, places: int | None, mode: RoundingMode = "half_up") -> Fraction:
    """`value` rounded to decimal places; None leaves it exact."""
    number = Fraction(value)
    return number if places is None else whole(number * Fraction(10) ** places, mode) / Fraction(10) ** places


def _half_away(number: Fraction) -> int:
    size = (2 * abs(number.numerator) + number.denominator) // (2 * number.denominator)
    return size if number >= 0 else -size


def _half_toward(number: Fraction) -> int:
    size = -((number.denominator - 2 * abs(number.numerator)) // (2 * number.denominator))
    return size if number >= 0 else -size


_DECIMAL_ROUND = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "half_down": ROUND_HALF_DOWN,
    "up": ROUND_UP,
    "down": ROUND_DOWN,
    "ceiling": ROUND_CEILING,
    "floor": ROUND_FLOOR,
}
_ROUND: dict[str, Callable[[Fraction], int]] = {
    "half_up": _half_away,
    "half_down": _half_toward,
    "half_even": round,
    "up": lambda number: number.__ceil__() if number >= 0 else number.__floor__(),
    "down": int,
    "ceiling": lambda number: number.__ceil__(),
    "floor": lambda number: number.__floor__(),
}


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount in whole minor units (cents) of one currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise InexactNumber("money-minor", found=repr(self.minor), kind=type(self.minor).__name__)
        exponent(self.currency)

    @classmethod
    def of(cls, amount: Rational | str, currency: str, mode: RoundingMode = "half_up") -> Money:
        """An amount in major units, rounded to the currency's decimals."""
        scale = 10 ** exponent(currency)
        return cls(whole(fraction(amount) * scale, mode), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, with the currency's decimals."""
        return Decimal(self.minor).scaleb(-exponent(self.currency), Context(prec=MAX_DIGITS * 2))

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def _other(self, other: Money) -> int:
        if not isinstance(other, Money):
            raise InexactNumber("money-not-money", found=repr(other), kind=type(other).__name__)
        if other.currency != self.currency:
            raise UsageError("currency-mix", first=self.currency, second=other.currency)
        return other.minor

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._other(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._other(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._other(other)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __bool__(self) -> bool:
        return self.minor != 0

    def times(self, factor: Rational | str, mode: RoundingMode = "half_up") -> Money:
        """The amount times an exact factor, rounded to a minor unit."""
        return Money(whole(self.minor * fraction(factor), mode), self.currency)

    def split(self, weights: Sequence[Rational]) -> list[Money]:
        """Parts in proportion to `weights` that add up to the whole: each is a step of the rounded running sum."""
        shares = [fraction(weight) for weight in weights]
        total = sum(shares, Fraction(0))
        if total <= 0 or min(shares) < 0:
            raise UsageError("split-weights", found=[str(weight) for weight in weights])
        parts, done, seen = [], 0, Fraction(0)
        for share in shares:
            seen += share
            mark = whole(self.minor * seen / total)
            parts.append(Money(mark - done, self.currency))
            done = mark
        return parts

    def as_json(self) -> dict[str, Any]:
        """`{amount, minor, currency}`; the amount is decimal text."""
        return {"amount": f"{self.amount:f}", "minor": self.minor, "currency": self.currency}


def total_of(amounts: Sequence[Money], currency: str) -> Money:
    """The sum of amounts, zero for none; raises UsageError where currencies mix."""
    return functools.reduce(Money.__add__, amounts, Money(0, currency))


def plain(number: Rational) -> str:
    """A number as text without an exponent: decimal where it ends, else a fraction such as 1/3."""
    if isinstance(number, Fraction):
        return str(number) if not _ends(number) else plain(_as_decimal(number))
    text = f"{Decimal(number).normalize(Context(prec=2000)):f}"
    return "0" if text in ("-0", "0") else text


def _ends(number: Fraction) -> bool:
    rest = number.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def _as_decimal(number: Fraction) -> Decimal:
    with exactly():
        return Decimal(number.numerator) / Decimal(number.denominator)
