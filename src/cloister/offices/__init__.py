"""The offices: who may decrypt, decided and signed by people. Certificates, grants, teams, revocations, need, recovery.

Works with keys and the trust's own rows only: this room has no path to a record, and none to the estate.
"""

from __future__ import annotations

from cloister.offices import (
    access_report,
    application,
    applying,
    asking,
    ceremony,
    certifying,
    glass,
    glass_letters,
    granting,
    privacy,
    recovery,
    recovery_founding,
    rotation,
    shadowing,
    software_card,
    zone_rules,
)

__all__ = [
    "access_report",
    "application",
    "applying",
    "asking",
    "ceremony",
    "certifying",
    "glass",
    "glass_letters",
    "granting",
    "privacy",
    "recovery",
    "recovery_founding",
    "rotation",
    "shadowing",
    "software_card",
    "zone_rules",
]
