"""The system accounts that parts run as, where the trust is started as root. They are made when first asked for."""

from __future__ import annotations

from typing import Final

from cloister.base.process import Account, system_account
from cloister.base.settings import Settings

CONTROLLER: Final = "cloister-ctl"
DATABASE: Final = "cloister-db"
EDGE: Final = "cloister-edge"
GATE: Final = "cloister-gate"
INGRESS: Final = "cloister-link"
OUTBOUND: Final = "cloister-out"
WITNESS: Final = "cloister-wit"


def sessions_account(settings: Settings) -> Account:
    """Who alone may connect to sessions: the edge on one machine, the ingress where there are several."""
    return system_account(INGRESS if settings.farm_address else EDGE)
