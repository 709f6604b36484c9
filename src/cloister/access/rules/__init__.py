"""A trust's own rules: who may sign in how, and what may be opened, printed, exported and signed from where. docs/policies.md.

Signed Cedar text that can only forbid: what the program's own policy (policies/) does not permit, no trust's rule permits.
"""

from cloister.access.rules.bundle import FILES, LABEL, USUAL, Bundle, opened, read_folder, signed, usual
from cloister.access.rules.checked import Act, Refused, Rules
from cloister.access.rules.examples import ACTIONS, Example, check_examples, facts_of, read_examples
from cloister.access.rules.placed import Forbidden, Placed, hinted, standing_now
from cloister.access.rules.standing import PLACES, Network, Networks, Standing

__all__ = [
    "ACTIONS",
    "FILES",
    "LABEL",
    "PLACES",
    "USUAL",
    "Act",
    "Bundle",
    "Example",
    "Forbidden",
    "Network",
    "Networks",
    "Placed",
    "Refused",
    "Rules",
    "Standing",
    "check_examples",
    "facts_of",
    "hinted",
    "opened",
    "read_examples",
    "read_folder",
    "signed",
    "standing_now",
    "usual",
]
