"""What the door is given: people, broker, limits, an audit that answers, pages and files. It holds no key of a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.requests import Request

from cloister.base.clock import Clock
from cloister.base.secret import Secret
from cloister.farm import Broker, Tickets
from cloister.gateway.directory import Directories
from cloister.gateway.envoy import TICKET_COOKIE
from cloister.gateway.factors import Factors
from cloister.gateway.files import StaticFile
from cloister.gateway.house_rules import HouseRules
from cloister.gateway.identity_tokens import IdentityKey
from cloister.gateway.kept import Challenges, Kept
from cloister.gateway.limits import Limits
from cloister.gateway.providers import Providers
from cloister.gateway.refusals import Refusals
from cloister.identity import passkey

TICKET_SECONDS: Final = 600

Audit = Callable[[Sequence[dict[str, str]]], Awaitable[None]]


Published = Callable[[Request], StaticFile]  # chosen by language, format and mode


class Queries(Protocol):
    """A pool of connections under the controller's role."""

    async def fetch(self, query: str, *args: Any) -> Any: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Everything that the door's answers depend on."""

    base_url: str
    card_url: str  # where a card's certificate is asked for; empty: nowhere
    people: Queries
    broker: Broker
    tickets: Tickets
    limits: Limits
    party: passkey.RelyingParty
    secret: Secret  # for imitations: what unknown people are shown
    audit: Audit
    render: Callable[..., str]  # render(name, language=..., **context) of room web
    files: Mapping[str, StaticFile]
    published: Mapping[str, Published]  # what of other rooms anybody may see, by path
    clock: Clock
    kept: Kept
    rules: HouseRules
    refusals: Refusals
    factors: Factors
    directories: Directories
    providers: Providers
    identity_key: IdentityKey

    @property
    def challenges(self) -> Challenges:
        return Challenges(self.kept, self.clock)


def note(action: str, address: str, *, actor: str = "", session: str = "", outcome: str = "success", reason: str = "") -> dict[str, str]:
    """One audit note. A sign-in name that nobody has is never written down: it may be a passphrase in the wrong field."""
    return {
        "action": action,
        "kind": "session",
        "actor": actor,
        "session": session,
        "object": f"address/{address}",
        "outcome": outcome,
        "reason": reason,
    }


def ticket_cookie(ticket: str) -> str:
    """RFC 6265bis: the __Host- prefix binds it to this host, Path=/ and Secure."""
    return f"{TICKET_COOKIE}={ticket}; Path=/; Max-Age={TICKET_SECONDS}; Secure; HttpOnly; SameSite=Strict"
