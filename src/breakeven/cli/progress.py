"""Progress on stderr: a bar a step on a terminal, one line a step in a pipe, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from breakeven.cli.options import console, spoken


class Lines:
    """One line when a step ends, and one a half minute while it works: for logs and pipes."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def update(self, step: str, done: float, total: float, figures: Mapping[str, Any]) -> None:
        """Says that a step is done, or how far it is when half a minute has passed."""
        now = time.monotonic()
        if done >= total and "seconds" in figures:
            self.say(f"{step}: done in {duration(figures['seconds'])}")
        elif done and now - self._last > 30:
            self._last = now
            self.say(f"{step}: {100 * done / max(total, 1e-9):.0f}% {_figures(figures)}".rstrip())

    def say(self, text: str) -> None:
        """A plain line on stderr."""
        sys.stderr.write(f"{spoken(text)}\n")
        sys.stderr.flush()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Bars:
    """A bar a step, with loss, rate and time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}

    def update(self, step: str, done: float, total: float, figures: Mapping[str, Any]) -> None:
        """Moves a step's bar."""
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, figures="")
        shown = "" if "seconds" in figures else _figures(figures)
        self._bars.update(self._tasks[step], completed=done, total=total, figures=shown)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(spoken(text), highlight=False, markup=False)

    def __enter__(self) -> Bars:
        self._bars.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.__exit__(None, None, None)


class Silent:
    """Nothing at all."""

    def update(self, step: str, done: float, total: float, figures: Mapping[str, Any]) -> None:
        """Nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing is said."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def shown(*, quiet: bool) -> Bars | Lines | Silent:
    """Bars for a person, lines for a pipe, nothing for `--quiet`."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


def _figures(figures: Mapping[str, Any]) -> str:
    """Loss, time left and whose turn it is, in the reader's language."""
    said = []
    for name, value in figures.items():
        if name == "seconds_left":
            said.append(f"{duration(value)} left")
        elif isinstance(value, str):
            said.append(value)
        else:
            said.append(f"{name.replace('_', ' ')} {value:.3g}")
    return "  ".join(spoken(part) for part in said)


def duration(seconds: float) -> str:
    """`12.4 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
