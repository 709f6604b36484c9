"""A controller's answers to machines: who is there, joining by a one-time token, and new certificates before the old ones end.

Holds the estate's authority for machines. Gives a server nothing that it does not need (docs/servers.md lists what it keeps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock, iso
from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.farm import machines as rules
from cloister.farm.machine_store import MachineStore
from cloister.farm.machines import CERTIFICATE_LIFE, Kind, Shown
from cloister.machines import certificates

TEXT_MAX: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The estate's own: key and certificate, PEM."""

    key: Secret = field(repr=False)
    certificate: bytes


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise Invalid(f"'{name}' is missing.", reason="argument")
    return value


class Enrolment:
    def __init__(
        self,
        store: MachineStore,
        authority: Authority,
        *,
        clock: Clock,
        told: Callable[[Kind], dict[str, Any]],
        life: timedelta = CERTIFICATE_LIFE,
    ) -> None:
        """`told`: what a machine of this kind is given besides its certificate."""
        self._store = store
        self._authority = authority
        self._clock = clock
        self._told = told
        self._life = life

    def authority(self) -> dict[str, Any]:
        """To anybody: whose estate this is; believed only as far as a token's fingerprint agrees."""
        return {"authority": self._authority.certificate, "now": iso(self._clock())}

    async def join(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{token, hash (hex), name, address, port, request (PEM), now} -> {chain, kind, ...}. The secret itself is never sent."""
        now, name = self._clock(), rules.checked_name(_text(arguments, "name"))
        rules.check_clock(datetime.fromisoformat(_text(arguments, "now")), now=now)
        asked, token = _text(arguments, "request").encode(), _text(arguments, "token")
        hashed, key = bytes.fromhex(_text(arguments, "hash")), certificates.requested_key(asked)
        kept = rules.judged(await self._store.token(token), hashed, key, now=now)
        rules.check_free(name, await self._store.machine(name), key)
        await self._store.use_token(token, hashed, key, name, now=now)
        await self._store.put_machine(name, kept.kind, key, token, _text(arguments, "address"), int(arguments["port"]))
        chain = await self._certified(name, kept.kind, asked)
        log("estate.joined", machine=name, kind=str(kept.kind))
        return {"chain": chain, "kind": str(kept.kind), "controllers": await self.controllers(), **self._told(kept.kind)}

    async def stands(self, seen: Shown) -> None:
        """Denied for a machine that was removed, or a certificate that was replaced."""
        rules.known_machine(await self._store.standing(seen), seen)

    async def renew(self, seen: Shown, arguments: dict[str, Any]) -> dict[str, Any]:
        """A new certificate for the same key; the one it asked with stands until its end, all earlier ones end now."""
        asked, row = _text(arguments, "request").encode(), await self._store.machine(seen.machine)
        if row is None or certificates.requested_key(asked) != row["key"]:
            raise Denied("This is not the key with which the machine joined.", hint="Join it with a new token.", reason="machine-key")
        chain = await self._certified(seen.machine, seen.kind, asked, beside=seen.serial)
        log("estate.renewed", machine=seen.machine)
        return {"chain": chain, "controllers": await self.controllers()}

    async def controllers(self) -> list[dict[str, Any]]:
        found = await self._store.controllers()
        return [{"id": row["id"], "address": row["address"], "port": row["port"], "keeper": row["keeper"]} for row in found]

    async def revocations(self) -> bytes:
        """The list for Envoys; good for a day, written anew each few seconds."""
        serials, authority = await self._store.revoked(), self._authority
        now, life = self._clock(), timedelta(days=1)
        return certificates.revocation_list(authority.key.reveal(), authority.certificate, serials, now=now, life=life)

    async def _certified(self, name: str, kind: Kind, asked: bytes, *, beside: str = "") -> bytes:
        names, authority = rules.names_of(name, kind), self._authority
        key = authority.key.reveal()
        chain = certificates.signed(key, authority.certificate, asked, names, now=self._clock(), life=self._life)
        made = certificates.facts(chain)
        await self._store.add_certificate(made.serial, name, made.ends, beside=[beside] if beside else [])
        return chain
