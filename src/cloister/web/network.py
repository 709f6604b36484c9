"""Network access: a certificate of hours for one's own VPN, made where the page is open, and one's own tunnels. docs/vpn.md.

The key is made by the browser and never comes here; what comes is a request that this key signed (PKCS#10, RFC 2986). Who may have
one, from where and how well proved, is the trust's rule `connect`; which networks a role has is IT's (vpn.json).
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloister.access import PAGE, Facts, Page, rules
from cloister.base.errors import Denied, Invalid
from cloister.epr import Visit
from cloister.web.account import desk_of, text_of
from cloister.web.bodies import json_body
from cloister.web.offices.route import OfficeRoute

HOME: Final = "/network"
REQUEST_CHARACTERS_MAX: Final = 4000


async def show(request: Request) -> Response:
    return await _page(request, "network.html", done=request.query_params.get("done", ""))


async def show_tunnels(request: Request) -> Response:
    """GET /network/tunnels: the part of the page that is looked at again while it is open."""
    return await _page(request, "network-tunnels.html")


async def _page(request: Request, template: str, **more: Any) -> Response:
    found = await desk_of(request).door("vpn_shown")
    return Visit.of(request).page(template, nav="/account", vpn=found, **more)


async def make_certificate(request: Request) -> Response:
    """POST /network/certificate {request, posture?}: {certificate, until, server, authority, routes}."""
    desk = desk_of(request)
    body = await json_body(request)
    try:
        desk.policy.check(desk.actor, rules.Act.CONNECT, Facts(kind=PAGE, page=Page.NETWORK))
    except Denied as refused:
        note = {"action": "vpn", "kind": "page", "object": Page.NETWORK, "outcome": "denied", "reason": refused.reason}
        await desk.gate.call("audit_append", entries=[note])
        raise
    posture = body.get("posture")
    if posture is not None and not isinstance(posture, dict):
        raise Invalid("'posture' is no set of facts.", reason="field", expression="posture")
    made = await desk.door("vpn_certificate", request=text_of(body, "request", REQUEST_CHARACTERS_MAX), posture=posture)
    return JSONResponse(made, status_code=201)


async def end_tunnel(request: Request) -> Response:
    """POST /network/{server}/{tunnel}/end: one of one's own."""
    place = request.path_params
    await desk_of(request).door("vpn_end", server=str(place["server"])[:100], id=str(place["tunnel"])[:20])
    return RedirectResponse(f"{HOME}?done=ending", status_code=303)


ROUTES: Final = (
    OfficeRoute(HOME, Page.NETWORK, show),
    OfficeRoute(f"{HOME}/tunnels", Page.NETWORK, show_tunnels),
    OfficeRoute(f"{HOME}/certificate", Page.NETWORK, make_certificate, ("POST",)),
    OfficeRoute(f"{HOME}/{{server}}/{{tunnel}}/end", Page.NETWORK, end_tunnel, ("POST",)),
)
