"""A hospital where zones can be opened in need: the emergency ward by any doctor, cardiology with one colleague, psychiatry with two."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from store_rig import PASSPHRASE, Rig, Session

from cloister.base.clock import system_clock
from cloister.identity import GlassPlan, HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan
from cloister.offices.glass import Glass

EMERGENCY, CARDIOLOGY, TILLEULS = "saint-roch-emergency", "saint-roch-cardiology", "sainte-anne-tilleuls"
REASON = "Unconscious patient, no allergy known here."


def person(name: str, role: Role, *zones: str, hospital: str | None = "saint-roch") -> PersonPlan:
    return PersonPlan(
        id=f"p-{name}", sign_in=f"{name}.test", name=name.title(), role=role, hospital=hospital, zones=zones, passphrase=PASSPHRASE
    )


FONTAINE = person("fontaine", Role.DOCTOR, "saint-roch")
GARNIER = person("garnier", Role.DOCTOR, "saint-roch")
VASSEUR = person("vasseur", Role.DOCTOR, CARDIOLOGY)
LECLERC = person("leclerc", Role.DOCTOR, CARDIOLOGY)
ADELE = person("adele", Role.NURSE, CARDIOLOGY)
KARIM = person("karim", Role.DOCTOR, EMERGENCY)
DELORME = person("delorme", Role.DOCTOR, TILLEULS, hospital="sainte-anne")
GUERIN = person("guerin", Role.DOCTOR, TILLEULS, hospital="sainte-anne")
NOEL = person("noel", Role.DOCTOR, TILLEULS, hospital="sainte-anne")
ARNAUD = person("arnaud", Role.ACCESS_OFFICER, hospital=None)
LEMOINE = person("lemoine", Role.CERTIFICATE_OFFICER, hospital=None)
ASKERS = (FONTAINE.id, GARNIER.id, VASSEUR.id)
ANALYSER = ProgramPlan(client_id="blood-analyser", name="Automate de biologie", hospital="saint-roch", seals_into=(CARDIOLOGY,))
PLAN = TrustPlan(
    name="Groupement du Val d'Orme",
    hospitals=(
        HospitalPlan(
            id="saint-roch",
            name="Hôpital Saint-Roch",
            kind="general",
            wards=(
                WardPlan(id=EMERGENCY, name="Urgences", specialty="emergency", glass=GlassPlan(approvers=0, askers=ASKERS, right="write")),
                WardPlan(
                    id=CARDIOLOGY, name="Cardiologie", specialty="cardiology",
                    glass=GlassPlan(approvers=1, askers=(FONTAINE.id, GARNIER.id), pool=(VASSEUR.id, LECLERC.id), seconds=600),
                ),
            ),
        ),
        HospitalPlan(
            id="sainte-anne",
            name="Hôpital Sainte-Anne",
            kind="psychiatric",
            wards=(
                WardPlan(
                    id=TILLEULS, name="Les Tilleuls", specialty="psychiatry",
                    glass=GlassPlan(approvers=2, askers=ASKERS, pool=(DELORME.id, GUERIN.id, NOEL.id)),
                ),
            ),
        ),
    ),
    people=(FONTAINE, GARNIER, VASSEUR, LECLERC, ADELE, KARIM, DELORME, GUERIN, NOEL, ARNAUD, LEMOINE),
    programs=(ANALYSER,),
)  # fmt: skip


@dataclass
class AtWork:
    """A person's session with its break-glass, as the session's process holds both."""

    session: Session
    glass: Glass

    def close(self) -> None:
        self.glass.close()
        self.session.close()


SignIn = Callable[[PersonPlan], Awaitable[AtWork]]


async def at_work(trust: Rig, who: PersonPlan) -> AtWork:
    session = await trust.session(who)
    glass = Glass(session.keyring, session.gate, session=session.actor.session, clock=system_clock, changed=session.records.forget)
    return AtWork(session, glass)
