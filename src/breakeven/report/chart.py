"""A small drawing surface: scales, axes and marks as inline SVG, styled by the page through classes.

Colours, dark mode and print are the stylesheet's business; here stand geometry and escaped text only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

SERIES = 8  # colours the stylesheet knows (.s0 ... .s7)
FONT = 12.5  # pixels in drawing units
MARKS: tuple[tuple[tuple[float, float], ...], ...] = (  # a circle, then polygons by their corners
    (),
    ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    ((0, -1.25), (1.2, 0.95), (-1.2, 0.95)),
    ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
)
Label = Callable[[float], str]


@dataclass(frozen=True)
class Scale:
    """Maps values of [low, high] to [start, end] in drawing units, linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies; values outside are clamped to the frame's edge."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(at, self.low))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the range, about so many."""
        return _log_ticks(self.low, self.high, about) if self.log else _linear_ticks(self.low, self.high, about)


def spanning(values: Iterable[float], start: float, end: float, *, zero: bool = False, log: bool = False) -> Scale:
    """A scale over the finite values with a little air around them; `zero` keeps 0 in view."""
    found = [value for value in values if math.isfinite(value) and (not log or value > 0)] or [1.0]
    low, high = min(found), max(found)
    if log:
        return Scale(low / 1.35, high * 1.35, start, end, log=True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    air = (high - low) * 0.08 or abs(high) * 0.5 or 1.0
    return Scale(0.0 if zero and low == 0 else low - air, 0.0 if zero and high == 0 else high + air, start, end)


def _linear_ticks(low: float, high: float, about: int) -> list[float]:
    if not high - low > 1e-300:
        return [low]
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(found) >= min(about, 3):
            break
    return found[:: max(1, math.ceil(len(found) / (about + 2)))]


def width_of(text: str, font: float = FONT) -> float:
    """About how wide a text is drawn; East Asian characters are full width."""
    return sum(font if unicodedata.east_asian_width(letter) in "WF" else font * 0.56 for letter in text)


def shortened(text: str, width: float, font: float = FONT) -> str:
    """The text, cut with an ellipsis where it would be wider than `width`."""
    if width_of(text, font) <= width:
        return text
    while text and width_of(text + "…", font) > width:
        text = text[:-1]
    return text + "…"


@dataclass
class Canvas:
    """Collects marks; `svg()` closes the drawing. `title` and `description` speak to those who do not see it."""

    key: str
    title: str
    description: str
    width: float = 480
    height: float = 320
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """A straight line."""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>')

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        style: str,
        *,
        tip: str = "",
        opacity: float | None = None,
    ) -> None:
        """A filled rectangle; `opacity` shades it."""
        shade = "" if opacity is None else f' fill-opacity="{opacity:.3f}"'
        box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        self.parts.append(f'<rect {box} class="{style}"{shade}>{_tip(tip)}</rect>')

    def path(self, points: Sequence[tuple[float, float]], style: str, *, closed: bool = False) -> None:
        """A line through points, closed to an area on demand."""
        if points:
            steps = " ".join(f"{'M' if index == 0 else 'L'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(points))
            self.parts.append(f'<path d="{steps}{" Z" if closed else ""}" class="{style}"/>')

    def text(self, x: float, y: float, words: str, style: str = "", *, turn: bool = False) -> None:
        """Words; the style says where they are anchored (`mid`, `end`). `turn` writes upwards."""
        turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{style}"{turned}>{escape(words)}</text>')

    def mark(self, x: float, y: float, index: int, *, tip: str = "") -> None:
        """A series' own mark: its shape differs as well as its colour."""
        style, corners = f"mark s{index % SERIES}", MARKS[index % len(MARKS)]
        if not corners:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="{style}">{_tip(tip)}</circle>')
            return
        at = " ".join(f"{x + dx * 4.5:.1f},{y + dy * 4.5:.1f}" for dx, dy in corners)
        self.parts.append(f'<polygon points="{at}" class="{style}">{_tip(tip)}</polygon>')

    def svg(self) -> str:
        """The finished drawing."""
        key = re.sub(r"[^A-Za-z0-9-]", "-", self.key)
        head = (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-labelledby="{key}-t {key}-d" xmlns="http://www.w3.org/2000/svg">'
        )
        words = f'<title id="{key}-t">{escape(self.title)}</title><desc id="{key}-d">{escape(self.description)}</desc>'
        return head + words + "".join(self.parts) + "</svg>"


@dataclass(frozen=True)
class Frame:
    """A plot area with its two scales."""

    canvas: Canvas
    x: Scale
    y: Scale

    def axes(
        self, x_title: str, y_title: str, *, x_label: Label, y_label: Label, x_ticks: Sequence[float] | None = None
    ) -> None:
        """Grid, tick labels and axis titles; the vertical title stands above its axis, upright."""
        draw, left, right, bottom, top = self.canvas, self.x.start, self.x.end, self.y.start, self.y.end
        for value in self.y.ticks():
            at = self.y(value)
            draw.line(left, at, right, at, "grid")
            draw.text(left - 7, at + 4, y_label(value), "tick end")
        for value in x_ticks if x_ticks is not None else self.x.ticks():
            at = self.x(value)
            draw.line(at, bottom, at, bottom + 4, "axis")
            draw.text(at, bottom + 18, x_label(value), "tick mid")
        draw.line(left, bottom, right, bottom, "axis")
        draw.text(right, bottom + 36, x_title, "name end")
        draw.text(4, top - 12, y_title, "name")

    def bars(
        self,
        x: float,
        y: float,
        index: int,
        *,
        across: tuple[float | None, float | None] = (None, None),
        along: tuple[float | None, float | None] = (None, None),
    ) -> None:
        """Error bars of a point, `across` on the x scale and `along` on the y scale, with small caps."""
        style = f"bar s{index % SERIES}"
        if across[0] is not None and across[1] is not None:
            low, high = self.x(across[0]), self.x(across[1])
            self.canvas.line(low, self.y(y), high, self.y(y), style)
            for end in (low, high):
                self.canvas.line(end, self.y(y) - 4, end, self.y(y) + 4, style)
        if along[0] is not None and along[1] is not None:
            low, high = self.y(along[0]), self.y(along[1])
            self.canvas.line(self.x(x), low, self.x(x), high, style)
            for end in (low, high):
                self.canvas.line(self.x(x) - 4, end, self.x(x) + 4, end, style)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places, moved as little downwards as keeps them `gap` apart."""
    held: list[float] = []
    for place in places:
        held.append(max(place, held[-1] + gap) if held else place)
    return held


class Placer:
    """Puts labels beside points so that they do not lie over each other or over a mark."""

    def __init__(self, left: float, right: float) -> None:
        self._taken: list[tuple[float, float, float, float]] = []
        self._left, self._right = left, right

    def block(self, x: float, y: float, reach: float = 6) -> None:
        """Keeps a mark free."""
        self._taken.append((x - reach, y - reach, x + reach, y + reach))

    def keep(self, left: float, top: float, right: float, bottom: float) -> None:
        """Keeps a rectangle free."""
        self._taken.append((left, top, right, bottom))

    def place(self, x: float, y: float, words: str) -> tuple[float, float, str]:
        """(x, baseline, style) of the first free place around a point, else the place to its right."""
        width = width_of(words)
        spots = [(x + 10 + dx, y + 4 + dy, "") for dy in (-12, 14, -26, 28, 0, 42, -40) for dx in (0,)]
        spots += [(x - 10 - width, dy + y + 4, "") for dy in (-12, 14, -26, 28, 0)]
        for left, base, style in spots:
            box = (left, base - FONT, left + width, base + 3)
            inside = self._left <= left and box[2] <= self._right
            if inside and not any(_overlap(box, other) for other in self._taken):
                self._taken.append(box)
                return left, base, style
        return x + 10, y - 8, ""


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
