"""The offices' pages: each file has its `ROUTES`, which the application guards by the page kind beside them.

Pages only show and ask; every act is in room `offices`, where the command line finds the same.
"""

from __future__ import annotations

from typing import Final

from cloister.epr import Link
from cloister.web.offices import need, recovery
from cloister.web.offices.route import OfficeRoute

ROUTES: Final[tuple[OfficeRoute, ...]] = (*need.ROUTES, *recovery.ROUTES)
# What the shell shows at the top, by role, in this order.
LINKS: Final[tuple[Link, ...]] = (*need.LINKS, recovery.LINK)
# Where a role begins after signing in.
STARTS: Final[dict[str, str]] = {}

__all__ = ["LINKS", "ROUTES", "STARTS", "OfficeRoute"]
