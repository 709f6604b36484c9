"""Trend pictures, drawn by the session as SVG 1.1: no script, no style attribute, readable without colour.

A picture says in words what it shows (its title), because it is also read aloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 220
HEIGHT: Final = 56
EDGE: Final = 6
POINTS_MAX: Final = 60
# A trend shows the shortest of these periods, back from the newest value, that holds enough values to be one; else all.
PERIODS: Final = tuple(timedelta(days=days) for days in (1, 3, 7, 30, 365))
POINTS_ENOUGH: Final = 4


@dataclass(frozen=True, slots=True)
class Point:
    at: datetime
    value: float
    abnormal: bool = False


def recent(points: Sequence[Point]) -> list[Point]:
    """The newest part of a series that is worth one picture: hours are not squeezed beside years."""
    ordered = sorted(points, key=lambda point: point.at)
    for period in PERIODS:
        since = ordered[-1].at - period if ordered else None
        part = [point for point in ordered if since is not None and point.at >= since]
        if len(part) >= POINTS_ENOUGH:
            return part
    return ordered


def days_of(points: Sequence[Point]) -> int:
    """How many days the points span, at least one."""
    if not points:
        return 0
    return max(1, round((max(point.at for point in points) - min(point.at for point in points)) / timedelta(days=1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    points: Sequence[Point]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One or two lines on a common scale, with the usual range as a band behind them."""

    lines: Sequence[Line]
    title: str
    low: float | None = None
    high: float | None = None
    height: int = field(default=HEIGHT)
    width: int = field(default=WIDTH)

    def svg(self) -> Markup:
        """Empty when there are fewer than two points: one value is no trend."""
        lines = [sorted(line.points, key=lambda point: point.at)[-POINTS_MAX:] for line in self.lines]
        points = [point for line in lines for point in line]
        if len(points) < 2 or max(len(line) for line in lines) < 2:
            return Markup("")
        scale = _Scale.around(points, self)
        parts = [self._band(scale)]
        for order, line in enumerate(lines):
            if len(line) < 2:
                continue
            path = " ".join(f"{scale.x(point.at):.1f},{scale.y(point.value):.1f}" for point in line)
            parts.append(f'<polyline class="trend-line trend-line-{order}" points="{path}"/>')
            parts += [_dot(scale, point) for point in line if point.abnormal]
            last = line[-1]
            kind = "trend-last trend-abnormal" if last.abnormal else "trend-last"
            parts.append(f'<circle class="{kind}" cx="{scale.x(last.at):.1f}" cy="{scale.y(last.value):.1f}" r="3.2"/>')
        body = "".join(parts)
        head = f'<svg class="trend" viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}" role="img">'
        return Markup(f"{head}<title>{escape(self.title)}</title>{body}</svg>")

    def _band(self, scale: _Scale) -> str:
        if self.low is None and self.high is None:
            return ""
        top = scale.y(self.high) if self.high is not None else 0.0
        bottom = scale.y(self.low) if self.low is not None else float(self.height)
        top, bottom = max(0.0, top), min(float(self.height), bottom)
        if bottom <= top:
            return ""
        return f'<rect class="trend-band" x="0" y="{top:.1f}" width="{self.width}" height="{bottom - top:.1f}"/>'


def _dot(scale: _Scale, point: Point) -> str:
    return f'<circle class="trend-abnormal" cx="{scale.x(point.at):.1f}" cy="{scale.y(point.value):.1f}" r="2"/>'


@dataclass(frozen=True, slots=True)
class _Scale:
    first: datetime
    seconds: float
    low: float
    high: float
    width: int
    height: int

    @classmethod
    def around(cls, points: Sequence[Point], trend: Trend) -> _Scale:
        """From the smallest to the largest value, and to the nearer edge of the band, so that one sees how far away it is."""
        values = [point.value for point in points]
        low, high = min(values), max(values)
        spread = high - low or abs(high) or 1.0
        for edge in (trend.low, trend.high):
            if edge is not None and low - spread <= edge <= high + spread:
                low, high = min(low, edge), max(high, edge)
        room = (high - low or abs(high) or 1.0) * 0.08
        first = min(point.at for point in points)
        seconds = (max(point.at for point in points) - first).total_seconds() or 1.0
        return cls(first, seconds, low - room, high + room, trend.width, trend.height)

    def x(self, at: datetime) -> float:
        return EDGE + (self.width - 2 * EDGE) * (at - self.first).total_seconds() / self.seconds

    def y(self, value: float) -> float:
        return EDGE + (self.height - 2 * EDGE) * (1 - (value - self.low) / (self.high - self.low))
