"""The picture of a simulated day, as SVG: servers above, people below. Written by hand, because two line charts need no library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from cloister.farm.simulate.figures import Figures

WIDTH: Final = 1080
LEFT: Final = 76
RIGHT: Final = 24
FONT: Final = "font-family='Inter, system-ui, sans-serif'"
INK: Final = "#1f2937"
SOFT: Final = "#6b7280"
GRID: Final = "#e5e7eb"


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; `fill` is the colour below it, if any."""

    name: str
    values: Sequence[float]
    colour: str
    fill: str = "none"
    dash: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    top: int
    height: int
    most: float  # of its axis
    lines: Sequence[Line]

    def y(self, value: float) -> float:
        return self.top + self.height - self.height * min(value, self.most) / self.most

    def svg(self) -> str:
        parts = [f"<text x='{LEFT}' y='{self.top - 14}' font-size='15' font-weight='600' fill='{INK}'>{escape(self.title)}</text>"]
        for share in (0, 0.25, 0.5, 0.75, 1):
            y = self.y(self.most * share)
            parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='{GRID}'/>")
            parts.append(_label(LEFT - 10, y + 4, f"{self.most * share:,.0f}", "end"))
        parts += [_label(_x(hour * 60, 1440), self.top + self.height + 20, f"{hour:02d}:00", "middle") for hour in range(0, 25, 3)]
        parts += [self._curve(line) for line in self.lines]
        x = float(WIDTH - RIGHT)
        for line in reversed(self.lines):
            x -= 7.2 * len(line.name) + 42
            mark = self.top - 19
            parts.append(f"<line x1='{x:.0f}' x2='{x + 20:.0f}' y1='{mark}' y2='{mark}' stroke='{line.colour}' stroke-width='3'/>")
            parts.append(_label(x + 26, self.top - 14, line.name, "start"))
        return "\n".join(parts)

    def _curve(self, line: Line) -> str:
        count = len(line.values)
        points = " ".join(f"{_x(number, count):.1f},{self.y(value):.1f}" for number, value in enumerate(line.values))
        below = f"{_x(0, count):.1f},{self.y(0):.1f} {points} {_x(count - 1, count):.1f},{self.y(0):.1f}"
        area = f"<polygon points='{below}' fill='{line.fill}'/>" if line.fill != "none" else ""
        dash = f" stroke-dasharray='{line.dash}'" if line.dash else ""
        return f"{area}<polyline points='{points}' fill='none' stroke='{line.colour}' stroke-width='1.8'{dash}/>"


def _x(number: float, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / max(1, count - 1)


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' font-size='12' fill='{SOFT}' text-anchor='{anchor}'>{escape(text)}</text>"


def _round(value: float) -> float:
    """The end of an axis: a round number not below this."""
    step: int = 10 ** max(0, len(str(int(value))) - 2)
    return max(4.0, -(-int(value + 1) // (4 * step)) * 4.0 * step)


def picture(figures: Figures, title: str) -> str:
    """The whole picture; legible on its own, on white."""
    f = figures
    servers = f.always / 24
    always = Line("always on", [servers] * len(f.on), "#9ca3af", dash="5 4")
    on, fewest = Line("on", f.on, "#2563eb", "#dbeafe"), Line("fewest that hold the sessions", f.wanted, "#1e3a8a", dash="2 2")
    charts = (
        Chart("Servers", 96, 300, _round(servers), (always, on, fewest)),
        Chart("Sessions", 470, 190, _round(max(f.sessions)), (Line("sessions", f.sessions, "#0f766e", "#ccfbf1"),)),
        Chart("People waiting", 734, 70, _round(max(f.waiting)), (Line("waiting", f.waiting, "#dc2626"),)),
    )  # fmt: skip
    summary = (
        f"{f.spent:,.0f} server-hours, {f.saved:.0%} less than always on; {f.ratio:.3f} of the clairvoyant optimum ({f.least:,.0f}); "
        f"longest wait {f.longest_wait:.1f} s"
    )
    head = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} 846' width='{WIDTH}' height='846' {FONT} role='img'>",
        f"<title>{escape(title)}: {escape(summary)}</title>",
        f"<rect width='{WIDTH}' height='846' fill='white'/>",
        f"<text x='{LEFT}' y='30' font-size='19' font-weight='700' fill='{INK}'>{escape(title)}</text>",
        f"<text x='{LEFT}' y='54' font-size='13' fill='{SOFT}'>{escape(summary)}</text>",
    ]
    return "\n".join([*head, *(chart.svg() for chart in charts), "</svg>", ""])
