"""The trust's rules at the door: who may sign in from where with which factors. Believed for the access root's signature alone.

Also how good a proof is (NIST SP 800-63B-4): a passphrase or a directory's password is one factor; with a code it is two; a passkey
with user verification is two; a card with its PIN is two, in hardware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

from cloister.access import PAGE, Actor, Facts, Page, rules
from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.identity import Person, Role
from cloister.zones import TrustRoots

NEWEST: Final = "select body from trust.rules order by version desc limit 1"
AAL: Final = {"passphrase": 1, "directory": 1, "passkey": 2, "card": 3, "certificate": 3}
SECOND: Final = frozenset({"totp", "paper"})
GUESSABLE: Final = frozenset({"passphrase", "directory"})
PEOPLE: Final = tuple(role for role in Role if role is not Role.PROGRAM)


class Queries(Protocol):
    async def fetchrow(self, query: str, *args: Any) -> Any: ...


def aal_of(factors: Iterable[str], most: int = 0) -> int:
    """`most`: what a provider said of its own proof, as far as it is believed."""
    found = set(factors)
    best = max([most, *(AAL.get(one, 1) for one in found)])
    return max(best, 2) if found & SECOND and len(found) > 1 else best


class HouseRules:
    def __init__(self, queries: Queries, roots: TrustRoots | None) -> None:
        self._queries = queries
        self._roots = roots
        self.bundle = rules.usual()

    async def refresh(self) -> None:
        """Reads the newest version; what nobody signed is said, and the last good one stays. At the start there is none: then it raises."""
        if self._roots is None:
            return
        row = await self._queries.fetchrow(NEWEST)
        if row is None:
            return
        found = rules.opened(bytes(row["body"]), self._roots)
        if found.version > self.bundle.version:
            self.bundle = found
            log("door.rules", version=found.version)

    async def heard(self) -> None:
        """After a notice: tried until it is read."""
        while True:
            try:
                await self.refresh()
                return
            except CloisterError as fault:
                if fault.category in ("corrupt", "invalid"):
                    log("door.rules_refused", level="error", text=fault.text)
                    return
            await asyncio.sleep(0.5)

    def refusal(self, person: Person, standing: rules.Standing) -> rules.Refused | None:
        return self._asked(person.id, person.role, person.hospital, standing)

    def standing(self, address: str, factors: Iterable[str], *, aal: int, account: str) -> rules.Standing:
        place, site = self.bundle.networks.of(address)
        return rules.Standing(place=place, site=site, aal=aal, factors=frozenset(factors), account=account, address=address)

    def _asked(self, person: str, role: str, hospital: str | None, standing: rules.Standing) -> rules.Refused | None:
        actor = Actor(person=person, name="", role=role, hospital=hospital, session="")
        return self.bundle.rules.refusal(actor, rules.Act.SIGN_IN, Facts(kind=PAGE, page=Page.START), standing)

    def code_from(self, address: str) -> str:
        """Whether whoever signs in from this address needs a code beside a passphrase: no, may, must. Says nothing of any one person."""
        standing = self.standing(address, ("passphrase",), aal=1, account="none")
        refused = [self._asked("", role, None, standing) is not None for role in PEOPLE]
        return "must" if all(refused) else "may" if any(refused) else "no"
