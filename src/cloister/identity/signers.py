"""Who signed: the certificates of people whom a session meets for the first time, as far as they are on record.
Spec: docs/spec/zones.md 14.5. Verifies no signature: whether a certificate holds is found out by whoever verifies with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Protocol

from cloister.zones import Keyring, envelope

ASKED_MAX: Final = 500  # certificates in one call


class Gate(Protocol):
    async def call(self, method: str, /, **arguments: Any) -> Any: ...


async def learn_signers(gate: Gate, keyring: Keyring, blobs: Iterable[bytes], now: datetime, *, colleagues: bool = False) -> None:
    """Fetch what the keyring does not know yet; `colleagues`: with all others who write in this session's zones.

    What the gate does not have, or cannot prove to be on record, is refused by name when it is asked for.
    """
    signers = {signer for signer in map(envelope.peek_signer, blobs) if not signer.startswith("root/")}
    unknown = sorted(hashed for hashed in map(envelope.certificate_hash, signers) if not keyring.knows(hashed))
    for start in range(0, len(unknown), ASKED_MAX):
        keyring.learn(await gate.call("certificates", hashes=unknown[start : start + ASKED_MAX], colleagues=colleagues), now)
