"""What the parts of the broker say to each other, to agents and to the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cloister.base.errors import Invalid
from cloister.farm.placement import Session


class AgentCalls(Protocol):
    """A connection to a server's agent (base.wire.Caller)."""

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any: ...


Further = Callable[[Session, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A session that answers, new or joined again; its slot is known."""

    session: Session
    public_key: bytes
    reconnected: bool = False
    unlocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What the door hands to a browser; the ticket is a bearer's word, so it never shows in a repr."""

    session: str
    slot: int
    ticket: str
    public_key: bytes
    reconnected: bool
    unlocked: bool = False  # its keys are open already

    def __repr__(self) -> str:
        return f"Started(session={self.session!r}, slot={self.slot}, reconnected={self.reconnected})"


def only(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    """The arguments, if none is unknown; raises Invalid otherwise."""
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise Invalid(f"Unknown argument '{unknown[0][:40]}'.", reason="argument")
    return arguments
