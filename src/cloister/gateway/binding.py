"""The key of a browser or program, proven when a session is joined or a token fetched. RFC 9449 5 and 10.

The proof's nonce is the flow that it ends, so a proof made for another sign-in, or an old one, is of no use.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from cloister.base.errors import Denied, Invalid
from cloister.farm import proofs

HEADER: Final = "dpop"


def key_of(request: Request, *, nonce: str) -> str:
    """The thumbprint of the key that proves this request; raises Invalid(key-missing) or Denied(proof)."""
    given = request.headers.getlist(HEADER)
    if len(given) != 1:
        raise Invalid("This sign-in names no key of the browser.", hint="Send one DPoP header (RFC 9449).", reason="key-missing")
    proof = proofs.proven(given[0], method=request.method, address=address_for(request))
    if proof.nonce != nonce:
        raise Denied("This proof is for another sign-in.", hint="Sign in again.", reason="proof-nonce")
    return proof.jkt


def address_for(request: Request) -> str:
    """What the client asked for, as a proof names it: without query (RFC 9449 4.2)."""
    return f"https://{request.headers.get('host', '')}{request.url.path}"
