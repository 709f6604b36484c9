"""A browser's side of the cards' own name: connections that show a certificate, to a trust on this machine."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx
from running_trust import RunningTrust

from cloister.cli.key_bound import KeyBound

NAME: Final = "card.localhost"


class _Here(httpx.HTTPTransport):
    """Asks one machine for that name, which no resolver need know."""

    def __init__(self, verify: ssl.SSLContext, address: str) -> None:
        super().__init__(verify=verify)
        self._address = address

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # From Host, which stays what it was when a request is sent again on a new connection.
        request.extensions = {**request.extensions, "sni_hostname": request.headers["host"].partition(":")[0]}
        request.url = request.url.copy_with(host=self._address)
        return super().handle_request(request)


def at_the_cards(
    trust: RunningTrust, card: tuple[Path, Path] | None, *, key: KeyBound | None = None, address: str = "127.0.0.1", port: int = 0
) -> httpx.Client:
    """`card`: its certificate and key in files; None for a browser that shows none. `key`: of this browser. `address`: of the gateway."""
    tls = ssl.create_default_context(cafile=str(trust.ca))
    if card is not None:
        tls.load_cert_chain(*card)
    base = f"https://{NAME}:{port or trust.environment['CLOISTER_PORT']}"
    return httpx.Client(base_url=base, transport=_Here(tls, address), timeout=60, auth=key or KeyBound(), headers={"accept": "text/html"})
