"""How long a session lasts and whether its screen may be shown to others: rows by hospital, delivery group and role. Pure.

Every limit comes from the most exact row that names it: a role counts for more than a hospital, a hospital for more than a group.
What no row names is the server's own setting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

LIMITS: Final = ("idle_lock_seconds", "away_seconds", "linger_seconds", "absolute_seconds", "shadow", "prelaunch")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """`hospital`, `grp` and `role` empty: any. A limit that is None is left to less exact rows."""

    hospital: str = ""
    grp: str = ""
    role: str = ""
    idle_lock_seconds: int | None = None
    away_seconds: int | None = None
    linger_seconds: int | None = None
    absolute_seconds: int | None = None
    shadow: str | None = None
    prelaunch: bool | None = None

    @property
    def exactness(self) -> int:
        return 4 * bool(self.role) + 2 * bool(self.hospital) + bool(self.grp)

    def fits(self, *, hospital: str, groups: Iterable[str], role: str) -> bool:
        return self.hospital in ("", hospital) and (not self.grp or self.grp in groups) and self.role in ("", role)


def policy_of(row: Any) -> SessionPolicy:
    known = {one.name for one in fields(SessionPolicy)}
    return SessionPolicy(**{name: value for name, value in dict(row).items() if name in known})


def limits_of(policies: Iterable[SessionPolicy], *, hospital: str, groups: Iterable[str], role: str) -> dict[str, Any]:
    """The limits that a new session is started with; those that no row names are left out."""
    here = tuple(groups)
    found: dict[str, Any] = {}
    for policy in sorted(policies, key=lambda one: one.exactness):
        if policy.fits(hospital=hospital, groups=here, role=role):
            found |= {name: value for name in LIMITS if (value := getattr(policy, name)) is not None}
    return found
