"""People and programs: who they are, how they prove it, which public keys are theirs. Knows no patient.

known = await store.known(pool, sign_in)                     # also for a name that nobody has
sign_in.passphrase_parameters(known, door_secret)            # the browser derives; the same shape for everybody
sign_in.prove(known, Kind.PASSPHRASE, verifier, door_secret)   # an Authenticator, or raises Denied
"""

from cloister.identity import challenge, codes, enrolment, programs, sign_in, store, words
from cloister.identity.person import Authenticator, Kind, Known, Person
from cloister.identity.plan import GlassPlan, HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan
from cloister.identity.signers import learn_signers

__all__ = [
    "Authenticator",
    "GlassPlan",
    "HospitalPlan",
    "Kind",
    "Known",
    "Person",
    "PersonPlan",
    "ProgramPlan",
    "Role",
    "TrustPlan",
    "WardPlan",
    "cards",
    "challenge",
    "codes",
    "enrolment",
    "learn_signers",
    "passkey",
    "programs",
    "sign_in",
    "store",
    "words",
]
