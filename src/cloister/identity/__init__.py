"""People and programs: who they are, how they prove it, which public keys are theirs. Knows no patient."""

from cloister.identity.plan import HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan

__all__ = ["HospitalPlan", "PersonPlan", "ProgramPlan", "Role", "TrustPlan", "WardPlan"]
