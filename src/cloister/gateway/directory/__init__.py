"""Directories of the hospital: who has an account there, and whether it is closed. They prove people; they grant and open nothing."""

from cloister.gateway.directory.directories import Directories
from cloister.gateway.directory.ldap import Directory, Ldap
from cloister.gateway.directory.proposals import Proposals
from cloister.gateway.directory.schemas import SCHEMAS, Account, Group
from cloister.gateway.directory.synchronising import Synchronising

__all__ = ["SCHEMAS", "Account", "Directories", "Directory", "Group", "Ldap", "Proposals", "Synchronising"]
