"""The workstation's side of smartcards: `cloister-card`, an agent that lends the reader to the pages of the trust.

Imports nothing of the rest of the house and nothing but Python's own library, so that scripts/build-card-deb can make one
file of it. Spec: docs/spec/zones.md 5.1; how to use it: docs/cards.md.
"""

from cloister.workstation import lattice, pkcs11, profiles
from cloister.workstation.agent import Agent
from cloister.workstation.command import VERSION, main
from cloister.workstation.faults import CardFault
from cloister.workstation.pkcs11 import Module

__all__ = ["VERSION", "Agent", "CardFault", "Module", "main", "lattice", "pkcs11", "profiles"]
