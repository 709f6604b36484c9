"""A trust with two officers of each office, and sessions that may be refused something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from soft_authenticator import SoftAuthenticator
from store_rig import ARNAUD, LEMOINE, PASSPHRASE, PLAN, Rig, rig

from cloister.base.clock import system_clock
from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.gateway import enrol
from cloister.identity import PersonPlan, Role, challenge, passkey
from cloister.offices import applying
from cloister.server.opening import opened
from cloister.zones import Keyring, unlockers

ROCHE = PersonPlan(id="p-roche", sign_in="e.roche", name="Dr Étienne Roche", role=Role.ACCESS_OFFICER, hospital=None, passphrase=PASSPHRASE)
BESSON = PersonPlan(
    id="p-besson", sign_in="l.besson", name="Laure Besson", role=Role.CERTIFICATE_OFFICER, hospital=None, passphrase=PASSPHRASE
)
TWO_OF_EACH = replace(PLAN, people=(*PLAN.people, ROCHE, BESSON))
PARTY = passkey.RelyingParty(id="localhost", name="Val d'Orme", origins=("https://localhost:8443",))
YEAR = timedelta(days=365)


@dataclass
class Seat:
    """One person's session: the keyring as it was opened, and the way to the gate."""

    keyring: Keyring
    gate: Caller
    trust: str

    @property
    def now(self) -> datetime:
        return system_clock()

    @property
    def until(self) -> datetime:
        return system_clock() + YEAR


@dataclass
class House:
    """The rig, and who sits where."""

    rig: Rig

    async def sit(self, who: PersonPlan, passphrase: str = PASSPHRASE) -> Seat:
        """A new session; what it refuses stands in its keyring."""
        pid, path = self.rig.relay()
        session = new_id()
        await self.rig.admit(pid, who.id, who.role.value, session)
        gate = Caller(path, part="store gate")
        rows = await gate.call("trust_material")
        kek, unlocker = self._kek(rows, passphrase)
        found = opened(rows, person=who.id, session=session, unlocker=unlocker, kek=kek, trust=self.rig.trust, now=system_clock())
        return Seat(found.keyring, gate, self.rig.trust.trust_id)

    @staticmethod
    def _kek(rows: dict[str, Any], passphrase: str) -> tuple[Secret, str]:
        row = next(one for one in rows["unlockers"] if one["kind"] == "passphrase")
        return unlockers.passphrase_secrets(passphrase, row["params"])[0], row["id"]

    async def apply(
        self, applicant: str, passphrase: str, *, key: SoftAuthenticator | None = None, tamper: dict[str, Any] | None = None
    ) -> str:
        """What the enrolment page and the door do together, as the door's own role; the words that the applicant reads."""
        connection = await self.rig.connect()
        try:
            row = await connection.fetchrow("select id, person from trust.applicant where id = $1", applicant)
            assert row is not None
            flow = challenge.Challenges().issue(challenge.Purpose.ENROLMENT, applicant, now=datetime.now(UTC))
            soft = key or SoftAuthenticator()
            someone = enrol.person_of({"person": row["person"], "name": "A", "role": "nurse", "hospital": None, "language": "en"}, "a")
            attestation = soft.create(passkey.registration_options(PARTY, someone, (), flow))
            made = applying.answer(
                trust=self.rig.trust.trust_id, applicant=applicant, person=row["person"], challenge=flow.value, passphrase=passphrase,
                passkeys=[applying.NewPasskey(credential_id=attestation["id"], attestation=attestation, prf=b"\x07" * 32)],
            )  # fmt: skip
            brought = enrol.checked_body(made.body | (tamper or {}), flow, trust=self.rig.trust.trust_id, row=row)
            rows = json.dumps([enrol.stored_row(one, flow, PARTY, now=datetime.now(UTC)) for one in brought.unlockers])
            await connection.execute("set role cloister_estate")
            values = (brought.kem_public, brought.sign_public, brought.sealed_private, rows, flow.value, brought.proof)
            assert await connection.fetchrow(enrol.ANSWER, applicant, *values) is not None
            return made.words
        finally:
            await connection.close()


@contextmanager
def house() -> Iterator[House]:
    with rig(plan=TWO_OF_EACH) as made:
        yield House(made)


__all__ = ["ARNAUD", "BESSON", "LEMOINE", "ROCHE", "House", "Seat", "house"]
