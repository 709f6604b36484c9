"""Encryption zones: who may decrypt what, proved by keys. Pure and synchronous; no file, no network.

Keys leave this room only as `Secret` or inside an opaque object. Spec: docs/spec/zones.md.
"""

from cloister.zones import (
    algorithms,
    audit_keys,
    bundle,
    cards,
    certificates,
    channels,
    commits,
    compression,
    dossiers,
    drafts,
    envelope,
    epochs,
    files,
    glass,
    grants,
    inclusion,
    recovery,
    restores,
    revocations,
    shamir,
    teams,
    unlockers,
)
from cloister.zones.certificates import TrustRoots
from cloister.zones.dossiers import DossierKey
from cloister.zones.keyring import Keyring
from cloister.zones.material import TrustMaterial
from cloister.zones.refusals import Forged, Refusal

__all__ = [
    "DossierKey",
    "Forged",
    "Keyring",
    "Refusal",
    "TrustMaterial",
    "TrustRoots",
    "algorithms",
    "audit_keys",
    "bundle",
    "cards",
    "certificates",
    "channels",
    "commits",
    "compression",
    "dossiers",
    "drafts",
    "envelope",
    "epochs",
    "files",
    "glass",
    "grants",
    "inclusion",
    "shamir",
    "recovery",
    "restores",
    "revocations",
    "teams",
    "unlockers",
]
