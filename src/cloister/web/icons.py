"""The few signs on buttons, drawn here: strokes on a 24-unit grid, in the colour of the text around them."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

PATHS: Final = {
    "plus": "M12 5v14M5 12h14",
    "search": "M11 4a7 7 0 1 0 0 14a7 7 0 1 0 0-14M16.2 16.2L21 21",
    "lock": "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11",
    "leave": "M14 4H5v16h9M10 12h11M17.5 8.5L21 12l-3.5 3.5",
    "person": "M12 4a4 4 0 1 0 0 8a4 4 0 1 0 0-8M4.5 20.5c.6-4 3.4-6 7.5-6s6.9 2 7.5 6",
    "keyboard": "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M7 14h10M18 10h.01",
    "card": "M3 5h18v14H3zM7 9h5v5H7zM15 10h3M15 13h3",
    "screen": "M3 4h18v12H3zM9 20h6M12 16v4",
    "key": "M7.5 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8M11.5 12H21M17 12v3.5M21 12v3",
}


def icon(name: str) -> Markup:
    return Markup(f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="{PATHS[name]}"/></svg>')
