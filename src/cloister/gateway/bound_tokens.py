"""Access tokens that are bound to a client's key: the proof that comes with a token request, and with an opaque token. RFC 9449 5 and 7.

Of programs and of people's apps alike. The session checks the proofs of a ticket's use itself (server/binding.py).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request

from cloister.base.errors import Denied
from cloister.farm import proofs
from cloister.gateway import binding, clients
from cloister.gateway.ports import Door
from cloister.gateway.proving import TokenError

PROOF_LIFE: Final = timedelta(seconds=60)
WRONG_PROOF: Final = {
    "proof": "Send one DPoP proof: a JWT of type dpop+jwt, ES256, signed by the key in its header (RFC 9449 4.2).",
    "proof-elsewhere": "'htm' and 'htu' must be the method and the address of this endpoint.",
    "proof-old": "'iat' must be now. Make a new proof for each request, and set the clock.",
    "proof-token": "'ath' must be the SHA-256 of the token that comes along (RFC 9449 4.2).",
}


def proof_of(request: Request, *, now: datetime, token: str = "") -> proofs.Proof | None:
    """The DPoP proof of a request, made now and for this endpoint; None without one. Raises TokenError(invalid_dpop_proof).

    `token`: what it must also name, once there is one."""
    given = request.headers.getlist(binding.HEADER)
    if not given:
        return None
    try:
        if len(given) > 1:
            raise proofs.refused("proof")
        proof = proofs.proven(given[0], method=request.method, address=binding.address_for(request))
        proofs.of_token(proof, token, clock=now.timestamp(), seconds=PROOF_LIFE.total_seconds())
    except Denied as wrong:
        raise TokenError("invalid_dpop_proof", WRONG_PROOF.get(wrong.reason, WRONG_PROOF["proof"])) from None
    return proof


async def bound_by(door: Door, proof: proofs.Proof | None, *, must: bool, jkt: str = "") -> str:
    """The thumbprint of the key that the token will be bound to, or nothing; a proof is taken once, by whichever door.

    `must`: no token without one. `jkt`: whose proof it must be, where that is settled already. Raises TokenError(invalid_dpop_proof)."""
    if proof is None:
        if must or jkt:
            raise TokenError("invalid_dpop_proof", "This client's tokens are bound to a key: send a DPoP proof (RFC 9449).")
        return ""
    if jkt and proof.jkt != jkt:
        raise TokenError("invalid_dpop_proof", "This was given to another key.")
    now = door.clock()
    digest = hashlib.sha256(f"dpop|{proof.jkt}|{proof.jti}".encode()).digest()
    if not await clients.take_assertion(door.people, digest, now + 2 * PROOF_LIFE, now=now):
        raise TokenError("invalid_dpop_proof", "This proof was used before. Make a new one, with another 'jti'.")
    return proof.jkt
