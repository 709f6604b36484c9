"""What a person has typed and not saved: sealed to that person alone, so that a lock, a crash or another server loses nothing.
Spec: docs/spec/zones.md 30.

The keys come from the person's own bundle, and so are the same in every session of that person, and in nobody else's. A draft that
the database made up, changed, or gave to another form is refused by name; an older one of the same form cannot be told from the
newest, and a page shows from when it is.
"""

from __future__ import annotations

from typing import Final, NoReturn

from cloister.zones import algorithms
from cloister.zones.bundle import Bundle
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal, Refused

NAME_BYTES: Final = 16
BLOCK_BYTES: Final = 1024  # a draft's length tells its text's only in such steps
SEAL_LABEL: Final = "cloister/draft/v1"


class DraftKeys:
    """Seals and names one person's drafts. Prints nothing, pickles not; forgets its keys when its keyring is closed."""

    __slots__ = ("_naming", "_person", "_sealing", "_trust")

    def __init__(self, bundle: Bundle, trust: str) -> None:
        seed = bundle.kem_seed.reveal()
        self._person, self._trust = bundle.person, trust
        self._sealing = algorithms.hkdf(seed, "cloister/draft/v1/seal")
        self._naming = algorithms.hkdf(seed, "cloister/draft/v1/name")

    def name(self, form: str) -> bytes:
        """What the store calls a form's draft: a keyed hash, so that the store learns no page's address."""
        return algorithms.hmac256(self._naming, form.encode())[:NAME_BYTES]

    def seal(self, form: str, plain: bytes) -> bytes:
        """nonce (12) | ciphertext of length (4), text, zeros to the next block | tag (16)."""
        whole = len(plain).to_bytes(4, "big") + plain
        bound = self._bound(self.name(form))
        return algorithms.aead_seal(self._sealing, whole + bytes(-len(whole) % BLOCK_BYTES), bound)

    def open(self, name: bytes, sealed: bytes) -> bytes:
        """Forged for bytes that this person did not seal under this name."""
        bound = self._bound(name)
        whole = algorithms.aead_open(self._sealing, sealed, bound)
        length = int.from_bytes(whole[:4], "big")
        if len(whole) < 4 or length > len(whole) - 4:
            raise Forged(Refusal.MALFORMED)
        return whole[4 : 4 + length]

    def close(self) -> None:
        self._sealing = self._naming = b""

    def _bound(self, name: bytes) -> bytes:
        if not self._sealing:
            raise Refused(Refusal.CLOSED)
        return packed(SEAL_LABEL, self._trust, self._person, name)

    def __repr__(self) -> str:
        return "DraftKeys(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Keys of drafts cannot be pickled.")
