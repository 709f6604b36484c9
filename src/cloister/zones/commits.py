"""A dossier is a signed chain: each write transaction appends one commit. Spec: docs/spec/zones.md 12.

A commit binds the versions it wrote (one digest, however many), the set of current sealed index parts, the
dossier key's commitment and the commit before it. Its author signs it, and proves to hold the dossier's key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from cloister.zones import algorithms, envelope
from cloister.zones.cbor import MILLISECONDS_MAX, Fields, encoded
from cloister.zones.certificates import Certified
from cloister.zones.dossiers import DossierKey, parts_root
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal

COMMIT_LABEL: Final = "cloister/commit/v1"
NO_PREVIOUS: Final = bytes(32)
_ENTRY: Final = packed("cloister/version-entry/v1")
_NUMBERS: Final = struct.Struct(">QQI")  # version, whether it was deleted, the length of what follows


class Authors(Protocol):
    """Whoever knows the authors' certificates: a Keyring, or a verifier that holds no keys."""

    @property
    def trust_id(self) -> str: ...

    def author(self, certificate_hash: bytes) -> Certified: ...

    def author_at(self, certificate_hash: bytes, moment: datetime) -> Certified: ...


class Writer(Authors, Protocol):
    def sign(self, label: str, body: dict[str, Any]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Commit:
    """A verified commit."""

    dossier: str
    seq: int
    previous: bytes
    count: int
    versions: bytes  # digest over the versions written
    parts: bytes  # parts_root of the index after this commit
    key_no: int
    commitment: bytes
    milliseconds: int
    author: Certified
    hash: bytes

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)


def version_entry(rtype: str, id: str, version: int, deleted: bool, sealed: bytes) -> bytes:
    """One written version, packed for the digest. `sealed` is the stored ciphertext (empty for a deletion without a body)."""
    return version_entry_of(rtype, id, version, deleted, algorithms.sha256(sealed))


def version_entry_of(rtype: str, id: str, version: int, deleted: bool, digest: bytes) -> bytes:
    """The same, where the ciphertext's SHA-256 is known already. Written out, because an import makes thousands a second."""
    try:
        kind, name = rtype.encode(), id.encode()
        numbers = _NUMBERS.pack(version, deleted, len(digest))
    except (UnicodeEncodeError, struct.error):
        raise Forged(Refusal.MALFORMED) from None
    return b"%b%b%b%b%b%b%b" % (_ENTRY, len(kind).to_bytes(4, "big"), kind, len(name).to_bytes(4, "big"), name, numbers, digest)


def versions_digest(entries: Iterable[bytes]) -> bytes:
    """One digest over packed version entries, in any order."""
    ordered = sorted(entries)
    return algorithms.sha256(packed("cloister/versions/v1", len(ordered)) + b"".join(ordered))


def sign_commit(
    keyring: Writer, key: DossierKey, *, seq: int, previous: bytes, versions: Sequence[bytes], parts: bytes, milliseconds: int
) -> bytes:
    """One commit over `versions` (packed by `version_entry`); `previous` is the hash of commit seq-1, or NO_PREVIOUS."""
    body: dict[str, Any] = {
        "trust": keyring.trust_id,
        "dossier": key.dossier,
        "seq": seq,
        "previous": previous,
        "count": len(versions),
        "versions": versions_digest(versions),
        "parts": parts,
        "key_no": key.key_no,
        "commitment": key.commitment,
        "time": milliseconds,
    }
    body["proof"] = key.proof(encoded(body))
    return keyring.sign(COMMIT_LABEL, body)


def verified_commit(blob: bytes, keyring: Authors, *, dossier: str, key: DossierKey | None = None) -> Commit:
    """The commit, if its author's certificate held at its time and the signature is the author's.

    With the dossier's key also the commitment and the proof: then the author held this very key.
    """
    hashed = envelope.certificate_hash(envelope.peek_signer(blob))
    body = envelope.opened(COMMIT_LABEL, blob, keyring.author(hashed).sign_public)
    commit, proof, proved = _commit(body, blob, keyring, hashed)
    if commit.dossier != dossier:
        raise Forged(Refusal.SWAPPED)
    if (commit.seq == 1) != (commit.previous == NO_PREVIOUS):
        raise Forged(Refusal.CHAIN_BROKEN)
    if key is not None:
        if key.dossier != dossier or key.key_no != commit.key_no:
            raise Forged(Refusal.SWAPPED)
        key.check_commitment(commit.commitment)
        if not algorithms.same(key.proof(proved), proof):
            raise Forged(Refusal.COMMITMENT)
    return commit


def check_parts(commit: Commit, parts: Mapping[int, bytes]) -> None:
    """Returns when these sealed index parts (number -> sealed bytes) are exactly those the commit signed."""
    if not algorithms.same(commit.parts, parts_root({no: algorithms.sha256(sealed) for no, sealed in parts.items()})):
        raise Forged(Refusal.PARTS)


def check_versions(commit: Commit, entries: Sequence[bytes]) -> None:
    """Returns when these are exactly the versions that the commit wrote."""
    if len(entries) < commit.count:
        raise Forged(Refusal.MISSING_ROW)
    if len(entries) > commit.count:
        raise Forged(Refusal.EXTRA_ROW)
    if not algorithms.same(commit.versions, versions_digest(entries)):
        raise Forged(Refusal.SWAPPED)


def verify_chain(
    blobs: Sequence[bytes], keyring: Authors, *, dossier: str, key: DossierKey | None = None, known: tuple[int, bytes] | None = None
) -> list[Commit]:
    """All commits of a dossier from the first to the head. `known` is a (seq, hash) seen before, anywhere."""
    commits: list[Commit] = []
    before = NO_PREVIOUS
    for place, blob in enumerate(blobs, start=1):
        # Older commits may stand under an older key number; the proof needs that key, so it is checked where it fits.
        commit = verified_commit(blob, keyring, dossier=dossier)
        if key is not None and commit.key_no == key.key_no:
            verified_commit(blob, keyring, dossier=dossier, key=key)
        if commit.seq != place or commit.previous != before:
            raise Forged(Refusal.CHAIN_BROKEN)
        # New keys come one at a time, in a commit of their own: what else changes the number has lost or hidden one.
        if commits and commit.key_no != commits[-1].key_no and not renewed(commits[-1], commit):
            raise Forged(Refusal.CHAIN_BROKEN)
        commits.append(commit)
        before = commit.hash
    if known is not None:
        seq, hashed = known
        if len(commits) < seq:
            raise Forged(Refusal.ROLLED_BACK)
        if seq and commits[seq - 1].hash != hashed:
            raise Forged(Refusal.CHAIN_BROKEN)
    return commits


def renewed(before: Commit, commit: Commit) -> bool:
    """Whether this commit gave the dossier its next key (docs/spec/zones.md 12.1)."""
    return commit.key_no == before.key_no + 1 and commit.count == 0


def _commit(raw: dict[str, Any], blob: bytes, keyring: Authors, hashed: bytes) -> tuple[Commit, bytes, bytes]:
    proved = encoded({name: value for name, value in raw.items() if name != "proof"})
    body = Fields(raw)
    if body.text("trust") != keyring.trust_id:
        raise Forged(Refusal.TRUST)
    milliseconds = body.number("time", high=MILLISECONDS_MAX)
    commit = Commit(
        dossier=body.text("dossier"),
        seq=body.number("seq", low=1),
        previous=body.octets("previous", 32),
        count=body.number("count"),
        versions=body.octets("versions", 32),
        parts=body.octets("parts", 32),
        key_no=body.number("key_no", low=0, high=2**31 - 1),
        commitment=body.octets("commitment", 32),
        milliseconds=milliseconds,
        author=keyring.author_at(hashed, datetime.fromtimestamp(milliseconds / 1000, UTC)),
        hash=envelope.digest(blob),
    )
    proof = body.octets("proof", 32)
    body.done()
    return commit, proof, proved
