"""A dossier's key at work: sealing and opening versions of resources and parts of the index.
Spec: docs/spec/zones.md 10.

Under one random 32-byte key per dossier and key number stand three derived ones: for versions, for index
parts, for the proof in a commit. Additional data binds trust, dossier, type, id, version and dictionary,
never a zone, because a dossier may be shared by several. Forged and swapped rows fail here; rolled-back
and missing ones against the index entry (`check_row`) and the signed head (commits.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NoReturn

from cloister.base.errors import Invalid
from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal

ROW_DIGEST_BYTES: Final = 32
_TAIL: Final = Struct(">QI")  # version, dictionary number


class DossierKey:
    """The opened key of one dossier. Hand it out per chart; it prints nothing and pickles not."""

    __slots__ = ("_index", "_prefix", "_proof", "_trust", "_versions", "commitment", "dossier", "key_no")

    def __init__(self, dossier: str, key_no: int, key: Secret) -> None:
        raw = key.reveal()
        if len(raw) != algorithms.KEY_BYTES:
            raise Forged(Refusal.MALFORMED)
        self.dossier: Final = dossier
        self.key_no: Final = key_no
        self.commitment: Final = algorithms.hkdf(raw, "cloister/dossier/v1/commitment")
        self._versions = algorithms.Aead(algorithms.hkdf(raw, "cloister/dossier/v1/versions"))
        self._index = algorithms.Aead(algorithms.hkdf(raw, "cloister/dossier/v1/index"))
        self._proof = algorithms.hkdf(raw, "cloister/dossier/v1/proof")
        self._trust = ""
        self._prefix = self._version_prefix("")

    def seal_version(self, trust: str, rtype: str, id: str, version: int, dict_no: int, compressed: bytes) -> bytes:
        """nonce (12) | ciphertext | tag (16)."""
        return self._versions.seal(compressed, self._bound(trust, rtype, id, version, dict_no))

    def open_version(self, trust: str, rtype: str, id: str, version: int, dict_no: int, sealed: bytes) -> bytes:
        """The compressed bytes; Forged(tag) if they were sealed for another place, version or key."""
        return self._versions.open(sealed, self._bound(trust, rtype, id, version, dict_no))

    def seal_index_part(self, part_no: int, plain: bytes) -> bytes:
        return self._index.seal(plain, packed("cloister/index-part/v1", self.dossier, self.key_no, part_no))

    def open_index_part(self, part_no: int, sealed: bytes) -> bytes:
        return self._index.open(sealed, packed("cloister/index-part/v1", self.dossier, self.key_no, part_no))

    def proof(self, body: bytes) -> bytes:
        """Shows that the author of a commit held this dossier's key: a certificate alone cannot move a head."""
        return algorithms.hmac256(self._proof, body)

    def check_commitment(self, expected: bytes) -> None:
        if not algorithms.same(self.commitment, expected):
            raise Forged(Refusal.COMMITMENT)

    def _bound(self, trust: str, rtype: str, id: str, version: int, dict_no: int) -> bytes:
        if trust != self._trust:
            self._trust, self._prefix = trust, self._version_prefix(trust)
        try:
            kind, name = rtype.encode(), id.encode()
        except UnicodeEncodeError:  # a lone surrogate
            raise Forged(Refusal.MALFORMED) from None
        if not 0 <= version < 2**63 or not 0 <= dict_no < 2**31 or len(kind) > 255 or len(name) > 255:
            raise Forged(Refusal.MALFORMED)
        return b"%b%c%b%c%b%b" % (self._prefix, len(kind), kind, len(name), name, _TAIL.pack(version, dict_no))

    def _version_prefix(self, trust: str) -> bytes:
        return packed("cloister/version/v1", trust, self.dossier, self.key_no)

    def __repr__(self) -> str:
        return f"DossierKey({self.dossier!r}, {self.key_no}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


def new_dossier_key() -> Secret:
    return Secret(algorithms.random(algorithms.KEY_BYTES))


def row_digest(sealed: bytes) -> bytes:
    """What the dossier's index keeps of each current row, beside its version."""
    return algorithms.sha256(sealed)


def check_row(sealed: bytes, version: int, *, indexed_version: int, indexed_digest: bytes) -> None:
    """Returns when a fetched row is the one its index entry means; raises Forged by name otherwise.

    `indexed_digest` may be cut to its first 16 bytes or more.
    """
    if len(indexed_digest) < 16:
        raise Forged(Refusal.MALFORMED)
    if version < indexed_version:
        raise Forged(Refusal.ROLLED_BACK)
    if version > indexed_version:
        raise Forged(Refusal.EXTRA_ROW)
    if not algorithms.same(row_digest(sealed)[: len(indexed_digest)], indexed_digest):
        raise Forged(Refusal.SWAPPED)


def parts_root(parts: Mapping[int, bytes]) -> bytes:
    """One hash over the current sealed index parts: {part number: sha256 of the sealed part}."""
    if any(len(hashed) != 32 or part_no < 0 for part_no, hashed in parts.items()):
        raise Invalid("An index part has a number and a SHA-256.")
    ordered = [part_no.to_bytes(8, "big") + hashed for part_no, hashed in sorted(parts.items())]
    return algorithms.sha256(packed("cloister/index-parts/v1", len(parts)) + b"".join(ordered))
