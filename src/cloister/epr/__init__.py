"""The electronic patient record: modules, a folder each, on a shared kit. They know the Records door and no server.

What lies under it: cloister.records. What draws around it: cloister.web.
"""

from cloister.epr.catalogue import MODULES
from cloister.epr.kit.access import CLINICAL_ROLES
from cloister.epr.kit.module import Card, Event, Link, Module
from cloister.epr.kit.person import Traits, traits_of
from cloister.epr.kit.visit import KIT_FOLDER, Visit, Ward
from cloister.epr.kit.words import LANGUAGES, Catalogue, Words, read_catalogue

__all__ = [
    "CLINICAL_ROLES",
    "KIT_FOLDER",
    "LANGUAGES",
    "MODULES",
    "Card",
    "Catalogue",
    "Event",
    "Link",
    "Module",
    "Traits",
    "Visit",
    "Ward",
    "Words",
    "read_catalogue",
    "traits_of",
]
