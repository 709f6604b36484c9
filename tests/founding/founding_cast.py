"""A small trust for the tests of its founding."""

from __future__ import annotations

from datetime import UTC, datetime

from cloister.identity import HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

ADELE = PersonPlan(
    id="p-adele", sign_in="Adele.Morel", name="Adèle Morel", role=Role.NURSE, hospital="saint-roch", zones=("saint-roch-cardiology",)
)
VASSEUR = PersonPlan(
    id="p-vasseur",
    sign_in="claire.vasseur",
    name="Dr Claire Vasseur",
    role=Role.DOCTOR,
    hospital="saint-roch",
    zones=("saint-roch-cardiology", "saint-roch"),
    language="fr",
    passphrase="cerise-moulin-brume-digue",
)
ARNAUD = PersonPlan(id="p-arnaud", sign_in="b.arnaud", name="Dr Bénédicte Arnaud", role=Role.ACCESS_OFFICER, hospital=None)
LEMOINE = PersonPlan(id="p-lemoine", sign_in="s.lemoine", name="Sébastien Lemoine", role=Role.CERTIFICATE_OFFICER, hospital=None)
COLIN = PersonPlan(id="p-colin", sign_in="d.colin", name="Damien Colin", role=Role.IT_OPERATOR, hospital=None)
LABORATORY = ProgramPlan(
    client_id="lab-gateway", name="Passerelle du laboratoire", hospital="saint-roch", zones=("saint-roch", "saint-roch-cardiology")
)
PLAN = TrustPlan(
    name="Groupement du Val d'Orme",
    hospitals=(
        HospitalPlan(
            id="saint-roch",
            name="Hôpital Saint-Roch",
            kind="general",
            wards=(WardPlan(id="saint-roch-cardiology", name="Cardiologie", specialty="cardiology"),),
        ),
        HospitalPlan(
            id="sainte-anne",
            name="Hôpital Sainte-Anne",
            kind="psychiatric",
            wards=(WardPlan(id="sainte-anne-tilleuls", name="Les Tilleuls", specialty="psychiatry"),),
        ),
    ),
    people=(ADELE, VASSEUR, ARNAUD, LEMOINE, COLIN),
    programs=(LABORATORY,),
)
