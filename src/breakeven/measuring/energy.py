"""Energy where a counter exists (RAPL), nothing where none does: then it is assumed from CPU seconds elsewhere."""

from __future__ import annotations

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def joules(root: Path = POWERCAP) -> dict[str, tuple[float, float]] | None:
    """`{package: (joules so far, joules at which the counter starts again)}`, None where nothing can be read."""
    found = {}
    for zone in sorted(root.glob("intel-rapl:[0-9]*")) if root.is_dir() else []:
        if zone.name.count(":") == 1:  # whole packages; their parts are counted in them
            try:
                energy, limit = (
                    float((zone / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj")
                )
            except (OSError, ValueError):
                return None
            found[zone.name] = (energy, limit)
    return found or None


def between(
    before: dict[str, tuple[float, float]] | None, after: dict[str, tuple[float, float]] | None
) -> float | None:
    """Joules spent between two readings of `joules`; a counter that started again is unwrapped once."""
    if before is None or after is None or before.keys() != after.keys():
        return None
    spent = 0.0
    for zone, (end, limit) in after.items():
        gone = end - before[zone][0]
        spent += gone if gone >= 0 else gone + limit
    return spent
