"""The offices' pages: each file has its `ROUTES`, which the application guards by the page kind beside them.

Pages only show and ask; every act is in room `offices`, where the command line finds the same.
"""

from __future__ import annotations

from typing import Final

from cloister.epr import Link
from cloister.web.offices import asking, directory, need, people, privacy, recovery, refusals, teams, zone_rules, zones
from cloister.web.offices.route import OfficeRoute

ROUTES: Final[tuple[OfficeRoute, ...]] = (
    *asking.ROUTES,
    *people.ROUTES,
    *directory.ROUTES,
    *zones.ROUTES,
    *zone_rules.ROUTES,
    *need.ROUTES,
    *privacy.ROUTES,
    *recovery.ROUTES,
    *teams.ROUTES,
    *refusals.ROUTES,
)
# What the shell shows at the top, by role, in this order.
LINKS: Final[tuple[Link, ...]] = (
    *people.LINKS,
    *directory.LINKS,
    *zones.LINKS,
    *teams.LINKS,
    *asking.LINKS,
    *need.LINKS,
    *privacy.LINKS,
    *refusals.LINKS,
    recovery.LINK,
)
# Where a role begins after signing in.
STARTS: Final[dict[str, str]] = {"certificate-officer": people.PEOPLE, "access-officer": zones.ZONES, "privacy-officer": privacy.PRIVACY}

__all__ = ["LINKS", "ROUTES", "STARTS", "OfficeRoute"]
