"""Where random numbers come from: one seed tree, a Gaussian copula, and scrambled Sobol points on request.

A stream is named, never numbered: adding a driver leaves the draws of all others as they were. Nothing here reads a
clock or the system's entropy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from breakeven.economics import normal
from breakeven.economics.drivers import Driver
from breakeven.economics.normal import Floats
from breakeven.quantity import Origin, Quantity, weakest

SCRAMBLINGS = 16


def stream(seed: int, *name: object) -> np.random.Generator:
    """The generator at a place in the seed tree; equal names give equal numbers on every machine."""
    digest = hashlib.sha256("/".join(str(part) for part in name).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([seed, *words])))


def draw(driver: Driver, seed: int, name: str, count: int) -> Floats:
    """`count` draws of one driver, at its own place in the seed tree."""
    if driver.certain:
        return np.full(count, driver.mean)
    return driver.from_normal(stream(seed, name).standard_normal(count))


@dataclass(frozen=True)
class Estimate:
    """A computed number with its paired draws: `draws[i]` of all estimates belong to the same resampled world."""

    point: float
    draws: Floats
    origin: Origin = "measured"
    inputs: Mapping[str, Origin] | None = None

    @classmethod
    def of(cls, source: Driver | Quantity | float, seed: int, name: str, count: int) -> Estimate:
        """An estimate from a declared or measured number, drawn from its interval."""
        driver = Driver.parse(source)
        return cls(driver.mean, draw(driver, seed, name, count), driver.origin, {name: driver.origin})

    def quantity(self, unit: str, *, factor: float = 1.0, interval: float = 0.95) -> Quantity:
        """Point and percentile interval in `unit`, `factor` being units per own unit."""
        low = high = None
        if np.ptp(self.draws) > 0.0:
            tail = (1.0 - interval) / 2.0
            low, high = sorted(float(q) * factor for q in np.quantile(self.draws, [tail, 1.0 - tail]))
        return Quantity(self.point * factor, unit, self.origin, low, high, interval, inputs=self.inputs)


def combine(parts: Mapping[str, Estimate], point: float, draws: Floats) -> Estimate:
    """The estimate of a formula over `parts`: the weakest origin shows, the origins of all inputs are listed."""
    inputs: dict[str, Origin] = {}
    for name, part in parts.items():
        inputs.update(part.inputs or {name: part.origin})
    return Estimate(point, draws, weakest(inputs.values()), inputs)


def copula_factor(names: Sequence[str], correlations: Mapping[tuple[str, str], float]) -> Floats:
    """The lower Cholesky factor of the correlation matrix of `names`; ValueError if it is not one."""
    place = {name: i for i, name in enumerate(names)}
    matrix = np.eye(len(names))
    for (one, other), value in correlations.items():
        for name in (one, other):
            if name not in place:
                known = ", ".join(sorted(names)) or "none"
                raise ValueError(f"correlations of uncertain drivers ({known}), not of '{name}'")
        if one == other or not -1.0 < value < 1.0:
            raise ValueError(
                f"a correlation between -1 and 1 of two different drivers, not {value:g} of {one}, {other}"
            )
        matrix[place[one], place[other]] = matrix[place[other], place[one]] = value
    try:
        return normal.floats(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        raise ValueError("correlations that can hold together; these contradict each other: lower some") from None


def normals(names: Sequence[str], seed: int, count: int, *, block: int = 0, factor: Floats | None = None) -> Floats:
    """Standard normals [drivers, count] of one block of scenarios, each driver from its own named stream."""
    z = np.empty((len(names), count))
    for row, name in enumerate(names):
        stream(seed, "driver", name, block).standard_normal(count, out=z[row])
    return z if factor is None else factor @ z


def quasi_count(scenarios: int) -> int:
    """Scenarios rounded up to 16 times a power of two."""
    return SCRAMBLINGS << max(0, math.ceil(math.log2(max(1, scenarios) / SCRAMBLINGS)))


def quasi_normals(dimensions: int, seed: int, scenarios: int, *, factor: Floats | None = None) -> Floats:
    """[dimensions, 16 * m] normals from 16 independent scramblings of a Sobol sequence, m a power of two."""
    each = quasi_count(scenarios) // SCRAMBLINGS
    parts = [sobol(dimensions, each, stream(seed, "quasi", number)) for number in range(SCRAMBLINGS)]
    z = normal.ppf(np.concatenate(parts, axis=1))
    return z if factor is None else factor @ z


_BITS = 30


def sobol(dimensions: int, count: int, generator: np.random.Generator) -> Floats:
    """[dimensions, count] Sobol points under a random linear matrix scrambling and a random shift, inside (0, 1).

    The t-value of the sequence depends on its primitive polynomials only, so the free first direction numbers are
    drawn too; `count` should be a power of two.
    """
    points = np.empty((dimensions, count))
    index = np.arange(count, dtype=np.uint64)
    for row, polynomial in enumerate(primitive_polynomials(dimensions)):
        directions = _scrambled(_directions(polynomial, generator), generator)
        bits = np.full(count, generator.integers(1 << _BITS, dtype=np.uint64))
        for place in range(max(1, (count - 1).bit_length())):
            bits ^= np.where((index >> np.uint64(place)) & np.uint64(1), np.uint64(directions[place]), np.uint64(0))
        points[row] = (bits + 0.5) / (1 << _BITS)
    return points


def _directions(polynomial: int, generator: np.random.Generator) -> list[int]:
    """Direction numbers as integers of 30 bits, first bit highest; polynomial 1 is the van der Corput sequence."""
    degree = polynomial.bit_length() - 1
    if degree == 0:
        return [1 << (_BITS - 1 - i) for i in range(_BITS)]
    odd = [2 * int(generator.integers(1 << i)) + 1 for i in range(degree)]
    numbers = [odd[i] << (_BITS - 1 - i) for i in range(degree)]
    for i in range(degree, _BITS):
        number = numbers[i - degree] ^ (numbers[i - degree] >> degree)
        for k in range(1, degree):
            if polynomial >> (degree - k) & 1:
                number ^= numbers[i - k]
        numbers.append(number)
    return numbers


def _scrambled(directions: Sequence[int], generator: np.random.Generator) -> list[int]:
    """The directions times a random lower-triangular bit matrix with ones on its diagonal."""
    rows = [(int(generator.integers(1 << i)) << (_BITS - i) if i else 0) | 1 << (_BITS - 1 - i) for i in range(_BITS)]
    return [
        sum(((row & number).bit_count() & 1) << (_BITS - 1 - i) for i, row in enumerate(rows)) for number in directions
    ]


def primitive_polynomials(count: int) -> list[int]:
    """1, then the first primitive polynomials over GF(2) by degree, as bit masks."""
    found, candidate = [1], 3
    while len(found) < count:
        if _primitive(candidate):
            found.append(candidate)
        candidate += 2
    return found[:count]


def _primitive(polynomial: int) -> bool:
    """Whether x has the full period 2^d - 1 modulo the polynomial."""
    degree = polynomial.bit_length() - 1
    state, steps = 2, 1
    if state >> degree:
        state ^= polynomial
    # The constant term is 1, so that x has an inverse and its powers come back to 1.
    while state != 1:
        state <<= 1
        steps += 1
        if state >> degree:
            state ^= polynomial
    return steps == (1 << degree) - 1


def certain(driver: Driver) -> Driver:
    """The driver fixed at its mean: the base case."""
    return driver if driver.certain else replace(driver, family="point", parameters=(driver.mean,))
