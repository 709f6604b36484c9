"""The browser's way to another provider and back (providers.py): two redirects, and a cookie that ties them together."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.base.errors import CloisterError
from cloister.gateway.certificate import PROVED_LIFE
from cloister.gateway.ports import Door, note
from cloister.gateway.requests import address_of
from cloister.gateway.sign_in import PROVED

COOKIE: Final = "__Host-provider"
# Lax: the provider's redirect back comes from another site, as a navigation.
COOKIE_RULES: Final = "Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax"
FRESH: Final = {"cache-control": "no-store"}


class ComingBack:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def leave(self, request: Request) -> Response:
        """GET /login/provider/{provider}."""
        door, address = self._door, address_of(request)
        try:
            door.limits.begin(address)
            coming = await door.providers.begin(request.path_params["provider"])
        except CloisterError as refused:
            return self._refused(refused)
        headers = {**FRESH, "set-cookie": f"{COOKIE}={coming.cookie}; {COOKIE_RULES}"}
        return RedirectResponse(coming.to, status_code=303, headers=headers)

    async def back(self, request: Request) -> Response:
        """GET /login/back: what the provider's answer proves, as a word that the sign-in page goes on with."""
        door, address = self._door, address_of(request)
        try:
            door.limits.begin(address)
            name, provider = await door.providers.back(dict(request.query_params), request.cookies.get(COOKIE, ""))
        except CloisterError as refused:
            await door.audit([note("sign-in", address, outcome="refused", reason=refused.reason or refused.category)])
            return self._refused(refused)
        word = await door.kept.keep(PROVED, {"sign_in": name, "kind": "provider", "aal": provider.aal}, PROVED_LIFE)
        headers = {**FRESH, "set-cookie": f"{COOKIE}=; {COOKIE_RULES.replace('600', '0')}"}
        return RedirectResponse(f"/login#proved={word}", status_code=303, headers=headers)

    @staticmethod
    def _refused(refused: CloisterError) -> Response:
        """Back to the page of sign-in, which has a sentence for the reason."""
        return RedirectResponse(f"/login#refused={refused.reason or refused.category}", status_code=303, headers=FRESH)
