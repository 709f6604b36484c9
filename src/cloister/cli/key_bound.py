"""An httpx client whose every request is proven by a key of its own, as a browser's are. RFC 9449.

The key lives as long as this object; what a session answers with its next nonce is used by itself.
"""

from __future__ import annotations

from collections.abc import Generator

import httpx

from cloister.farm import proofs

HEADER = "dpop"
OWN_PROOFS = "/oauth2/"  # where a proof would bind a program's token to this key


class KeyBound(httpx.Auth):
    """`nonce` is the sign-in's flow while a session is joined, and afterwards what the session offers."""

    def __init__(self, key: proofs.ProofKey | None = None) -> None:
        self.key = key or proofs.ProofKey()
        self.nonce = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if HEADER in request.headers or request.url.path.startswith(OWN_PROOFS):
            yield request
            return
        self._prove(request)
        answer = yield request
        offered = answer.headers.get("dpop-nonce", "")
        if offered:
            self.nonce = offered
        if answer.status_code == 401 and offered:
            self._prove(request)
            yield request

    def _prove(self, request: httpx.Request) -> None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        token = credentials if scheme.lower() == "dpop" else ""
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        address = f"https://{request.headers['host']}{path}"  # as it is outside, behind Envoy too
        request.headers[HEADER] = self.key.proof(request.method, address, nonce=self.nonce, token=token)
