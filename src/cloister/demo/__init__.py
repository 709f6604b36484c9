"""The demo trust: two hospitals, their people, and a seeded generator of patients. Facts are synthetic; nobody here exists.

Knows no key and no database: it makes a `TrustPlan` for the founding ceremony, and FHIR R4 transaction bundles that enter
the trust the way every other import does, over HTTPS as a program.
"""

from cloister.demo.cast import BEDS_PER_WARD, demo_plan, first_program_of, new_passphrase
from cloister.demo.generator import Portion, generate, portions
from cloister.demo.terminology import code_systems

__all__ = ["BEDS_PER_WARD", "Portion", "code_systems", "demo_plan", "first_program_of", "generate", "new_passphrase", "portions"]
