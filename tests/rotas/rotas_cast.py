"""A hospital with two wards, people who belong to one of them, to none, or to a rota, and two access officers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from store_rig import PASSPHRASE, Session

from cloister.base.clock import system_clock
from cloister.identity import HospitalPlan, PersonPlan, Role, TrustPlan, WardPlan
from cloister.server.opening import trust_material

Enter = Callable[[PersonPlan], Awaitable[Session]]
HOSPITAL, CARDIOLOGY, SURGERY, STAFF = "saint-roch", "saint-roch-cardiology", "saint-roch-surgery", "saint-roch-staff"


def person(name: str, role: Role, *zones: str, hospital: str | None = HOSPITAL) -> PersonPlan:
    return PersonPlan(
        id=f"p-{name}", sign_in=f"{name}.test", name=name.title(), role=role, hospital=hospital, zones=zones, passphrase=PASSPHRASE
    )


VASSEUR = person("vasseur", Role.DOCTOR, CARDIOLOGY)
LECLERC = person("leclerc", Role.DOCTOR, CARDIOLOGY)
KARIM = person("karim", Role.DOCTOR, SURGERY)
ADELE = person("adele", Role.NURSE, SURGERY, STAFF)
BRUNO = person("bruno", Role.NURSE, STAFF)
CELINE = person("celine", Role.NURSE)
ARNAUD = person("arnaud", Role.ACCESS_OFFICER, hospital=None)
ROCHE = person("roche", Role.ACCESS_OFFICER, hospital=None)
LEMOINE = person("lemoine", Role.CERTIFICATE_OFFICER, hospital=None)
PLAN = TrustPlan(
    name="Groupement du Val d'Orme",
    hospitals=(
        HospitalPlan(
            id=HOSPITAL,
            name="Hôpital Saint-Roch",
            kind="general",
            wards=(
                WardPlan(id=CARDIOLOGY, name="Cardiologie", specialty="cardiology"),
                WardPlan(id=SURGERY, name="Chirurgie", specialty="surgery"),
                WardPlan(id=STAFF, name="Santé au travail", specialty="occupational"),
            ),
        ),
    ),
    people=(VASSEUR, LECLERC, KARIM, ADELE, BRUNO, CELINE, ARNAUD, ROCHE, LEMOINE),
    programs=(),
)


async def renewed(session: Session) -> None:
    """What a session does when the agent tells it that its keys have changed."""
    session.keyring.renew(trust_material(await session.gate.call("trust_renewal")), system_clock())


def holds(session: Session, zone: str) -> bool:
    return zone in {held.zone for held in session.keyring.zones if held.rights}
