"""`cloister up`: everything on one machine, in the foreground."""

from __future__ import annotations

import sys

from cloister.base.settings import read_settings


def up() -> None:
    """Start the whole trust here, and stay until Ctrl-C. The first start founds a demo trust."""
    from cloister.assemble import up as start

    settings = read_settings()
    sys.exit(start(settings))
