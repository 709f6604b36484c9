"""Sign-in with a card's certificate at the card's own server name: the TLS handshake proved the key, this looks at the certificate again.

Envoy says which certificate it saw (envoy/cards.py: x-forwarded-client-cert, SANITIZE_SET, at that name alone; everywhere else the header
is removed) and verifies nothing of it but that the client has its key. Chain, end and revocation are verified here, where a page can say
what is wrong; the person is found by the SHA-256 of the whole certificate. What was proved counts on connections of this certificate only.
Certificates prove; what opens the keys is typed or touched in the same page (docs/sign-in.md).
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloister.base.errors import HTTP_STATUS, CloisterError, Denied
from cloister.gateway.ports import Door, note
from cloister.gateway.requests import address_of, card_of, language_of, refusal_response
from cloister.gateway.sign_in import CERTIFICATE, PROVED
from cloister.identity import sign_in
from cloister.zones import certificates

HEADER: Final = "x-forwarded-client-cert"
HEADER_CHARACTERS_MAX: Final = 48_000
PROVED_LIFE: Final = timedelta(seconds=120)
AUTHORITIES: Final = "select chain, crls from estate.card_authority order by id limit 100"
PERSON: Final = """
    select p.sign_in, p.id from estate.certificate c join trust.person p on p.id = c.person
     where c.fingerprint = $1 and p.kind = 'person' and not p.disabled"""
SHOWN: Final = "update estate.certificate set shown = $2 where fingerprint = $1 and shown <> $2"
_PART: Final = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^;,]*)')


class CardSignIn:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def proved(self, request: Request) -> Response:
        """GET /login/certificate: goes on at the portal with a word that is good once, for two minutes."""
        door, address = self._door, address_of(request)
        try:
            door.limits.begin(address)
            try:
                row = await self._person(request)
            except CloisterError as refused:
                await door.audit([note("sign-in", address, outcome="refused", reason=refused.reason or "certificate")])
                raise
            proved = {"sign_in": row["sign_in"], "kind": CERTIFICATE, "aal": 3, "card": card_of(request)}
            name = await door.kept.keep(PROVED, proved, PROVED_LIFE)
        except CloisterError as refused:
            return self._refused(request, refused)
        # In the fragment, which no log and no referrer carries.
        return RedirectResponse(f"/login#proved={name}", status_code=303, headers={"cache-control": "no-store"})

    def _refused(self, request: Request, refused: CloisterError) -> Response:
        """To a person a page that says what is wrong with the card, and where else to go; to a program the words."""
        if "text/html" not in request.headers.get("accept", ""):
            return refusal_response(refused)
        door = self._door
        page = door.render(
            "card.html", language=language_of(request), reason=refused.reason or refused.category, error=refused, other=door.base_url
        )
        return HTMLResponse(page, status_code=HTTP_STATUS[refused.category], headers={"cache-control": "no-store"})

    async def _person(self, request: Request) -> Any:
        given = request.headers.getlist(HEADER)
        leaf, chain = seen_certificate(given[0] if len(given) == 1 else "")
        rows = await self._door.people.fetch(AUTHORITIES)
        verified = certificates.verified_client(
            leaf, chain, [row["chain"] for row in rows], [row["crls"] for row in rows if row["crls"]], now=self._door.clock()
        )
        if base64.urlsafe_b64encode(verified).rstrip(b"=").decode() != card_of(request):  # one connection shows one certificate
            raise _none()
        row = await self._door.people.fetchrow(PERSON, verified)
        if row is None:
            raise Denied("This card belongs to nobody here.", hint="Ask the certificate officer to register it.", reason=sign_in.REFUSED)
        await self._door.people.fetch(SHOWN, verified, f"{leaf.strip()}\n{chain.strip()}")  # judged again while its session runs
        return row


def seen_certificate(header: str) -> tuple[str, str]:
    """(certificate, chain) in PEM of the one element of the header; raises Denied for none, several, or another form."""
    if not header or len(header) > HEADER_CHARACTERS_MAX:
        raise _none()
    parts = _PART.findall(header)
    names = [name.lower() for name, _ in parts]
    # One element only: with `Hash` twice a proxy before us would have appended to what a client sent.
    if names.count("hash") != 1 or names.count("cert") != 1 or re.sub(_PART, "", header).strip(";") != "":
        raise _none()
    values = {name.lower(): unquote(value.strip('"')) for name, value in parts}
    return values["cert"], values.get("chain", "")


def _none() -> Denied:
    return Denied("No card was shown.", hint="Insert your card, and choose its certificate.", reason="certificate-missing")
