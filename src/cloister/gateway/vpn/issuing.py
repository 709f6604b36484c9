"""A certificate of hours for one's own VPN: asked by a person's session, which the agent names; signed by the trust's VPN authority.

The private key is made where the tunnel begins and never comes here. What the workstation says of itself decides where the group
asks for it, and is written down with the certificate's number.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.gateway.vpn.profile import FACTS, Group, Profile
from cloister.machines import web_keys

HOURS_MAX: Final = 12
FACT_CHARACTERS_MAX: Final = 100
REQUEST_CHARACTERS_MAX: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    authority_key: Secret
    authority: str  # PEM
    profile: Profile
    server: str  # name and port, as a client is told
    server_authority: str  # PEM, so that the client knows the server
    audit: Callable[[Sequence[dict[str, str]]], Awaitable[None]]
    clock: Clock

    async def answer(self, person: str, role: str, kind: str, session: str, words: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Denied for a program, a role without VPN, or a workstation that is not as its group asks."""
        facts = posture_of(words.get("posture"))
        group = self._group(role, kind)
        missing = sorted(name for name, wanted in group.requires.items() if facts.get(name) != wanted)
        if missing:
            await self._note(person, session, "denied", f"posture: {', '.join(missing)}")
            raise Denied(
                f"This workstation is not as the VPN asks: {', '.join(missing)}.", hint="Ask IT for a managed one.", reason="vpn-posture"
            )
        until = self.clock() + timedelta(hours=HOURS_MAX)
        signs = self.authority_key.reveal(), self.authority
        made = web_keys.person_certificate(*signs, _request(words), person=person, group=role, until=until)
        await self._note(person, session, "success", f"certificate {made.number}, {_said(facts)}")
        return {**self._told(made.pem, until), "routes": list(group.routes)}

    def offered(self, role: str, kind: str) -> dict[str, Any]:
        """What this role's group has; `group` is empty where it has none."""
        group = self.profile.groups.get(role) if kind == "person" else None
        found = group or Group((), {})
        told = {"group": role if group else "", "routes": list(found.routes), "requires": sorted(found.requires)}
        return {**told, "server": self.server, "hours": HOURS_MAX}

    def _group(self, role: str, kind: str) -> Group:
        group = self.profile.groups.get(role)
        if kind != "person" or group is None:
            raise Denied("There is no VPN for your role.", hint="Ask IT: vpn.json names the roles that have one.", reason="vpn-group")
        return group

    def _told(self, certificate: str, until: datetime) -> dict[str, Any]:
        return {"certificate": certificate, "until": until.isoformat(), "server": self.server, "authority": self.server_authority}

    async def _note(self, person: str, session: str, outcome: str, reason: str) -> None:
        note = {"action": "vpn", "kind": "session", "actor": person, "session": session, "object": f"person/{person}"}
        await self.audit([{**note, "outcome": outcome, "reason": reason[:200]}])


def posture_of(said: Any) -> dict[str, Any]:
    """The known facts, each a short text, a yes or no; the rest is dropped."""
    facts = said if isinstance(said, dict) else {}
    return {
        name: value[:FACT_CHARACTERS_MAX] if isinstance(value, str) else value
        for name, value in facts.items()
        if name in FACTS and isinstance(value, str | bool)
    }


def _said(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(facts.items())) or "no posture told"


def _request(words: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(words.get("request", ""))[:REQUEST_CHARACTERS_MAX], validate=True)
    except binascii.Error:
        raise Invalid("'request' is not base64.", hint="Send a request by a P-256 key (PKCS#10, DER).", reason="field") from None
