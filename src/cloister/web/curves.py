"""Curves of the estate as SVG 1.1, drawn by the session: no script, no style attribute, told apart by dash and not by colour alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

WIDTH: Final = 720
HEIGHT: Final = 200
LEFT: Final = 48
BOTTOM: Final = 22
POINTS_MAX: Final = 600


def curve(picture: Mapping[str, Any], word: Callable[..., str]) -> Mapping[str, Any]:
    """{name, svg, lines: [(class number, label, newest value)]} of {name, lines: {label: [(ISO 8601, value)]}}."""
    lines: dict[str, list[tuple[datetime, float]]] = {
        label: _thinned([(datetime.fromisoformat(at), value) for at, value in points]) for label, points in picture["lines"].items()
    }
    every = [point for points in lines.values() for point in points]
    if not every:
        return {"name": picture["name"], "svg": "", "lines": []}
    first, last = min(at for at, _ in every), max(at for at, _ in every)
    top = max(1.0, *(value for _, value in every))
    paths = [_path(number, points, first, last, top) for number, points in enumerate(lines.values())]
    shown = [(number, label, points[-1][1]) for number, (label, points) in enumerate(lines.items())]
    title = f"{picture['name']}: " + ", ".join(f"{word('web.operating.line.' + label)} {value:g}" for _, label, value in shown)
    return {"name": picture["name"], "svg": _svg(title, paths, first, last, top), "lines": shown}


def _thinned(points: list[tuple[datetime, float]]) -> list[tuple[datetime, float]]:
    step = max(1, len(points) // POINTS_MAX)
    return points[::step] + (points[-1:] if step > 1 else [])


def _path(number: int, points: list[tuple[datetime, float]], first: datetime, last: datetime, top: float) -> str:
    span = max(1.0, (last - first).total_seconds())
    places = [
        f"{LEFT + (at - first).total_seconds() / span * (WIDTH - LEFT):.1f},{(HEIGHT - BOTTOM) * (1 - value / top) + 4:.1f}"
        for at, value in points
    ]
    return f'<polyline class="curve-line curve-{number}" points="{" ".join(places)}"/>'


def _svg(title: str, paths: list[str], first: datetime, last: datetime, top: float) -> Markup:
    levels = [(share * top, round((HEIGHT - BOTTOM) * (1 - share) + 4)) for share in (0, 0.5, 1)]
    marks = [
        f'<line class="curve-grid" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/>{_mark(LEFT - 6, y + 4, f"{value:g}")}'
        for value, y in levels
    ]
    ends = [_mark(LEFT, HEIGHT, f"{first.astimezone():%d/%m %H:%M}", "start"), _mark(WIDTH, HEIGHT, f"{last.astimezone():%d/%m %H:%M}")]
    inside = "".join([f"<title>{escape(title)}</title>", *marks, *paths, *ends])
    return Markup(f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT + 4}" role="img">{inside}</svg>')


def _mark(x: int, y: int, text: str, anchor: str = "end") -> str:
    return f'<text class="curve-mark" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
