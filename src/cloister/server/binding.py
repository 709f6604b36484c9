"""To whose key this session's requests are bound: the last check of a ticket, where the keys of the record are. RFC 9449.

A ticket names a key (`cnf.jkt`), and at the cards' name a certificate that the connection shows (RFC 8705 3.1). Each request with it must
be proven by that key, for this address, with a nonce of this process, once. So neither a stolen cookie nor a recorded request opens
anything, from its first second on.
"""

from __future__ import annotations

import time
from typing import Final

from cloister.base.errors import Denied
from cloister.farm import proofs

UNPROVEN: Final = frozenset({"proof", "proof-elsewhere", "proof-nonce", "proof-again", "proof-key", "proof-old", "proof-token"})


class Binding:
    """Of one epoch of one session. The first proven request fixes the key; a ticket of the same epoch for another key is refused."""

    def __init__(self) -> None:
        self._nonces = proofs.Nonces()
        self.jkt = ""  # of the person's browser; goes into the renewed ticket
        self.x5t = ""  # of the card's certificate; goes there too

    def check(
        self, text: str, *, method: str, address: str, jkt: str, x5t: str = "", pinned: bool, now: float, token: str | None = None
    ) -> str:
        """The nonce for the next proof. Raises Denied with a reason of UNPROVEN, and the nonce to use as `expression`.

        `token`: a program's access token as it came with the scheme DPoP, and nothing when it came in another way; None for a browser's
        cookie, which no proof names."""
        try:
            proof = proofs.proven(text, method=method, address=address)
            if proof.jkt != jkt or (pinned and self.jkt not in ("", jkt)):
                raise Denied("Another key proves this request.", hint="Sign in again.", reason="proof-key")
            if token is not None:
                if not token:
                    raise Denied(
                        "This token is bound to a key.", hint="Send it as 'Authorization: DPoP' (RFC 9449 7.1).", reason="proof-token"
                    )
                proofs.of_token(proof, token, clock=time.time())
            self._nonces.take(proof, now=now)
        except Denied as refused:
            refused.expression = self._nonces.current(now=now)
            raise
        if pinned:
            self.jkt, self.x5t = jkt, x5t
        return self._nonces.current(now=now)
