"""A witness of a trust's audit log: a small program that somebody else runs. It imports no more of the house than it needs.

It is shown each checkpoint with a proof that the log only grew since the last one, signs that it saw it, and never signs two
that contradict each other. C2SP tlog-witness and tlog-cosignature. Spec: docs/spec/zones.md 14.4.
"""

from cloister.witness import folder, judge, keeping, service
from cloister.witness.folder import Folder
from cloister.witness.judge import Refusal, Refused, Submission, Witness
from cloister.witness.keeping import FolderWitness
from cloister.witness.service import serve

__all__ = ["Folder", "FolderWitness", "Refusal", "Refused", "Submission", "Witness", "folder", "judge", "keeping", "serve", "service"]
