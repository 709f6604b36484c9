"""Which image this server runs, for delivery groups that ask for one and for power, which renews what is out of date: os-release(5)."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from cloister import __version__

OS_RELEASE: Final = (Path("/etc/os-release"), Path("/usr/lib/os-release"))  # the first that is there counts
IMAGE_CHARACTERS_MAX: Final = 100


def image(places: tuple[Path, ...] = OS_RELEASE) -> str:
    """IMAGE_VERSION as whoever made the image wrote it; where nobody did, the version of Cloister, as `cloister-0.1.0`. Raises nothing."""
    for path in places:
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        return next((text for line in lines if (text := _version(line))), OWN)
    return OWN


OWN: Final = f"cloister-{__version__}"


def _version(line: str) -> str:
    name, equals, value = line.strip().partition("=")
    if name != "IMAGE_VERSION" or not equals:
        return ""
    try:
        text = "".join(shlex.split(value))
    except ValueError:  # a quote that is not closed
        text = value
    return "".join(one for one in text if one.isprintable()).strip()[:IMAGE_CHARACTERS_MAX]
