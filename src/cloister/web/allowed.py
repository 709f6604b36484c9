"""What a person allowed apps, kept in their session and nowhere else. docs/smart.md.

An app acts with this session's keys, within what is written here, and no longer than the session lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cloister.access import Scopes
from cloister.base.errors import Denied, Invalid

ALLOWED_MAX: Final = 20
Ask = Callable[..., Awaitable[dict[str, Any]]]  # a question to the controller: ask("app_asked", request=...)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the person allowed one app. With a patient's scope it is confined to that patient's record, whatever else it may."""

    grant: str
    client: str
    name: str
    scopes: Scopes
    patient: str
    who: str  # the patient's name, for the person's own list
    origins: frozenset[str]
    since: datetime

    @property
    def confined(self) -> str:
        """The one patient, where any scope speaks of a patient."""
        return self.patient if self.scopes.of_level("patient").resources else ""


@dataclass(slots=True)
class AppsAllowed:
    """The apps of one session, as long as it lives. `changed` is told the grant that ended."""

    ask: Ask
    changed: Callable[[str], None]
    kept: dict[str, Allowed] = field(default_factory=dict)

    def allow(self, allowed: Allowed) -> None:
        if len(self.kept) >= ALLOWED_MAX:
            raise Invalid("Too many apps are open in this session.", hint="End one of them.", reason="apps-max")
        self.kept[allowed.grant] = allowed

    def end(self, grant: str) -> None:
        if self.kept.pop(grant, None) is not None:
            self.changed(grant)

    def of(self, grant: str) -> Allowed:
        found = self.kept.get(grant)
        if found is None:
            raise Denied("This app's access has ended.", hint="Start the app again.", reason="locked")
        return found
