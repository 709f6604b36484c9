"""Why something sealed or signed was refused: one closed list, two errors. Spec: docs/spec/zones.md 1.

`Forged` means that stored bytes are not what was written; `Refused` that they are genuine and not
acceptable here. Neither ever carries a key, a passphrase or a part of a record.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cloister.base.errors import Corrupt, Denied


class Refusal(StrEnum):
    """Every reason for which this room refuses something."""

    TAG = "tag"  # an AEAD or HPKE tag does not fit: forged, swapped, cut short, or another key
    SIGNATURE = "signature"
    COMMITMENT = "commitment"  # the key is not the one that was committed to
    WRONG_KEY = "wrong-key"  # an unlock secret that opens nothing: one answer, whatever did not fit
    MALFORMED = "malformed"  # not the deterministic encoding, or a field is missing or of the wrong form
    LABEL = "label"  # a genuine object of another kind
    ALGORITHM = "algorithm"  # not on the built-in list
    WEAK_PARAMETERS = "weak-parameters"  # a passphrase derivation below the floor
    TRUST = "trust"  # another trust's object
    SWAPPED = "swapped"  # genuine, and standing in another's place
    ROLLED_BACK = "rolled-back"  # genuine, and older than what is known to exist
    MISSING_ROW = "missing-row"
    EXTRA_ROW = "extra-row"
    PARTS = "parts"  # the parts of a dossier's index are not those that its head signed
    CHAIN_BROKEN = "chain-broken"
    CERTIFICATE_INVALID = "certificate-invalid"
    CERTIFICATE_MISSING = "certificate-missing"
    CERTIFICATE_NOT_YET = "certificate-not-yet"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_NOT_IN_CHAIN = "certificate-not-in-chain"
    CERTIFICATE_OTHER_KEYS = "certificate-other-keys"  # a certificate of other keys than the bundle's
    MANDATE_MISSING = "mandate-missing"
    MANDATE_EXPIRED = "mandate-expired"
    BOTH_OFFICES = "both-offices"
    GRANT_SELF = "grant-self"
    GRANT_OTHER_PERSON = "grant-other-person"
    GRANT_CERTIFICATE_MISMATCH = "grant-certificate-mismatch"
    GRANT_NOT_YET = "grant-not-yet"
    GRANT_EXPIRED = "grant-expired"
    GRANT_REVOKED = "grant-revoked"
    GRANT_REPLAYED = "grant-replayed"  # an older grant than the newest for the same person and zone
    TEAM_MISSING = "team-missing"
    MEMBERSHIP_MISSING = "membership-missing"
    MEMBERSHIP_NOT_YET = "membership-not-yet"
    MEMBERSHIP_EXPIRED = "membership-expired"
    MEMBERSHIP_REVOKED = "membership-revoked"
    GRANT_ONE_OFFICER = "grant-one-officer"  # the zone asks for two officers, and only one has signed
    ABOVE_CEILING = "above-ceiling"
    EPOCH_FLOOR = "epoch-floor"
    EPOCH_MISSING = "epoch-missing"
    ZONE_MISSING = "zone-missing"
    ZONE_NOT_HELD = "zone-not-held"
    RIGHT_MISSING = "right-missing"
    APPROVALS_MISSING = "approvals-missing"  # fewer colleagues agreed than the zone's policy asks for
    NOT_IN_AUDIT = "not-in-audit"  # signed, and never put on record
    AUDIT_STALE = "audit-stale"  # the audit log's newest checkpoint is too old to believe
    DEVICE_NOT_NAMED = "device-not-named"  # the zone's policy does not name this machine by this certificate
    CLOSED = "closed"  # the keyring was closed


# One sentence for tag, commitment and signature, so that the text tells nobody which it was.
_BROKEN: Final = "Stored data does not verify: it was forged, swapped, cut short or sealed by another key."
_SENTENCES: Final[dict[Refusal, str]] = {
    Refusal.TAG: _BROKEN,
    Refusal.SIGNATURE: _BROKEN,
    Refusal.COMMITMENT: _BROKEN,
    Refusal.WRONG_KEY: "This does not open the private keys.",
    Refusal.MALFORMED: "Stored data is not in the written form.",
    Refusal.LABEL: "A signed object stands where another kind belongs.",
    Refusal.ALGORITHM: "An algorithm is not on the built-in list.",
    Refusal.WEAK_PARAMETERS: "The passphrase parameters are outside the allowed range.",
    Refusal.TRUST: "This object belongs to another trust.",
    Refusal.SWAPPED: "A stored row stands in another's place.",
    Refusal.ROLLED_BACK: "A stored row is older than the one that is known to exist.",
    Refusal.MISSING_ROW: "A stored row is missing.",
    Refusal.EXTRA_ROW: "There is a stored row that nobody signed.",
    Refusal.PARTS: "The index of this record is not the one that was signed last.",
    Refusal.CHAIN_BROKEN: "The chain of signed writes is broken.",
    Refusal.CERTIFICATE_INVALID: "This is not a certificate of this trust's form.",
    Refusal.CERTIFICATE_MISSING: "The signer's certificate is not known.",
    Refusal.CERTIFICATE_NOT_YET: "The certificate is not valid yet.",
    Refusal.CERTIFICATE_EXPIRED: "The certificate has expired.",
    Refusal.CERTIFICATE_REVOKED: "The certificate was revoked.",
    Refusal.CERTIFICATE_NOT_IN_CHAIN: "The certificate does not lead to this trust's root.",
    Refusal.CERTIFICATE_OTHER_KEYS: "The certificate is not for these keys.",
    Refusal.MANDATE_MISSING: "The signer holds no office for this.",
    Refusal.MANDATE_EXPIRED: "The signer's office has ended.",
    Refusal.BOTH_OFFICES: "One key or person may not both certify and grant.",
    Refusal.GRANT_SELF: "An officer may not grant to oneself.",
    Refusal.GRANT_OTHER_PERSON: "The grant names another person.",
    Refusal.GRANT_CERTIFICATE_MISMATCH: "The grant names another certificate.",
    Refusal.GRANT_NOT_YET: "The grant does not hold yet.",
    Refusal.GRANT_EXPIRED: "The grant has ended.",
    Refusal.GRANT_REVOKED: "The grant was revoked.",
    Refusal.GRANT_REPLAYED: "A newer grant has replaced this one.",
    Refusal.TEAM_MISSING: "The team's record is not known.",
    Refusal.MEMBERSHIP_MISSING: "You are not a member of this team now.",
    Refusal.MEMBERSHIP_NOT_YET: "The membership does not hold yet.",
    Refusal.MEMBERSHIP_EXPIRED: "The membership has ended.",
    Refusal.MEMBERSHIP_REVOKED: "The membership was revoked.",
    Refusal.GRANT_ONE_OFFICER: "This zone opens only when a second officer has signed the grant too.",
    Refusal.ABOVE_CEILING: "The grant gives more than its officer may give.",
    Refusal.EPOCH_FLOOR: "This is older than the grant allows to open.",
    Refusal.EPOCH_MISSING: "The zone's key generation is not known.",
    Refusal.ZONE_MISSING: "The zone's record is not known.",
    Refusal.ZONE_NOT_HELD: "This zone is not open to you.",
    Refusal.RIGHT_MISSING: "Your grant for this zone does not allow this.",
    Refusal.APPROVALS_MISSING: "Not enough colleagues have agreed yet.",
    Refusal.NOT_IN_AUDIT: "This was never put on record in the audit log.",
    Refusal.AUDIT_STALE: "The audit log's newest checkpoint is too old.",
    Refusal.DEVICE_NOT_NAMED: "The zone's policy does not name this machine.",
    Refusal.CLOSED: "The keys were put away.",
}


class Forged(Corrupt):
    """Stored bytes are not what was written."""

    def __init__(self, reason: Refusal, *, hint: str = "Tell your access officer: the audit log has the details.") -> None:
        super().__init__(_SENTENCES[reason], hint=hint, reason=reason.value)
        self.refusal: Final = reason

    def __reduce__(self) -> tuple[type[Forged], tuple[Refusal]]:
        return (type(self), (self.refusal,))


class Refused(Denied):
    """Genuine, and not acceptable here and now."""

    def __init__(self, reason: Refusal, *, hint: str = "Ask your access officer.") -> None:
        super().__init__(_SENTENCES[reason], hint=hint, reason=reason.value)
        self.refusal: Final = reason

    def __reduce__(self) -> tuple[type[Refused], tuple[Refusal]]:
        return (type(self), (self.refusal,))
