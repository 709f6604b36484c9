"""What a role may do to which kind of thing, and why not: one decision, with a reason. Holds no key.

policy = read_policy()                       # before the session is hardened
policy.decide(actor, Action.READ, Facts(kind="Observation", zones=zones))   # a Permit, or raises Denied
"""

from cloister.access import rules
from cloister.access.actor import ESTATE, PAGE, PROGRAM, Action, Actor, Compartment, Facts, Permit, Purpose
from cloister.access.kinds import Page
from cloister.access.policy import Policy, read_policy
from cloister.access.reason import Reason
from cloister.access.scopes import Narrowed, Scopes, read_scopes

__all__ = [
    "ESTATE",
    "PAGE",
    "PROGRAM",
    "Action",
    "Actor",
    "Compartment",
    "Facts",
    "Narrowed",
    "Page",
    "Permit",
    "Policy",
    "Purpose",
    "Reason",
    "Scopes",
    "read_policy",
    "read_scopes",
    "rules",
]
