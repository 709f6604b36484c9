"""A session believes only what is on record: signed objects whose entries are in the audit tree. Spec: docs/spec/zones.md 14.5.

The checkpoint is signed by the key that this server's files pin, and is not stale. So whoever slips an object into the
database, with whatever signature, must also put it into a log that witnesses watch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloister.audit import Checkpoint, entry, tree, verified_checkpoint
from cloister.base.errors import Corrupt
from cloister.zones import algorithms
from cloister.zones.audit_keys import AuditPin, log_key
from cloister.zones.certificates import TrustRoots
from cloister.zones.material import TrustMaterial
from cloister.zones.refusals import Forged, Refusal, Refused

CATEGORY: Final = "trust"
ON_RECORD: Final = ("certificates", "mandates", "grants", "zones", "epochs", "teams", "memberships", "countersignatures")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def included(proofs: Mapping[str, Any], trust: str, pin: AuditPin, now: datetime) -> frozenset[bytes]:
    """The hashes of the objects that are proved to be in the log; Forged or Refused by name when the checkpoint does not hold."""
    try:
        head = verified_checkpoint(str(proofs["note"]), log_key(trust, pin.public))
        if now - head.at > pin.stale_after:
            raise Refused(Refusal.AUDIT_STALE, hint="Ask IT whether the store gate writes the audit log, and whether the clocks agree.")
        return frozenset(_proved(head, proofs))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):  # not the form in which a gate answers
        raise Forged(Refusal.MALFORMED) from None


def _proved(head: Checkpoint, proofs: Mapping[str, Any]) -> Iterator[bytes]:
    nodes = proofs["nodes"]
    for (hashed, seq, moment, source, number, category, private), path in zip(proofs["entries"], proofs["paths"], strict=True):
        if category != CATEGORY:
            raise Forged(Refusal.NOT_IN_AUDIT)
        clear = entry.clear_bytes(_EPOCH + timedelta(microseconds=moment), source, number, category, hashed)
        try:
            tree.verify_inclusion(tree.leaf_hash(clear + private), seq, head.size, [nodes[place] for place in path], head.root)
        except (Corrupt, IndexError):
            raise Forged(Refusal.NOT_IN_AUDIT) from None
        yield hashed


def on_record(material: TrustMaterial, trust: TrustRoots, now: datetime) -> tuple[TrustMaterial, list[tuple[str, Refusal]]]:
    """The material without what is not in the log, and what that was. Everything stays where no log is pinned.

    What ends something (revocations) counts in any case: refusing is safe.
    """
    if trust.audit is None:
        return material, []
    if material.proofs is None:
        raise Refused(Refusal.NOT_IN_AUDIT)
    proved = included(material.proofs, trust.trust_id, trust.audit, now)
    refused: list[tuple[str, Refusal]] = []
    kept: dict[str, Any] = {name: _kept(getattr(material, name), proved, refused) for name in ON_RECORD}
    if material.certificates and not kept["certificates"]:
        raise Refused(Refusal.NOT_IN_AUDIT, hint="Ask your certificate officer.")
    return replace(material, **kept), refused


def recorded(
    blobs: Iterable[bytes], proofs: Mapping[str, Any], trust: TrustRoots, now: datetime
) -> tuple[list[bytes], list[tuple[str, Refusal]]]:
    """Those of further objects that are in the log, and what was not. All of them where no log is pinned."""
    blobs = [bytes(blob) for blob in blobs]
    if trust.audit is None or not blobs:
        return blobs, []
    refused: list[tuple[str, Refusal]] = []
    return _kept(blobs, included(proofs, trust.trust_id, trust.audit, now), refused), refused


def _kept(blobs: Iterable[bytes], proved: frozenset[bytes], refused: list[tuple[str, Refusal]]) -> list[bytes]:
    kept = []
    for blob in blobs:
        hashed = algorithms.sha256(blob)
        if hashed in proved:
            kept.append(blob)
        else:
            refused.append((hashed.hex(), Refusal.NOT_IN_AUDIT))
    return kept
