"""The keys of a zone's files, for `cloister zone mount`: decided by the policy, written in the audit log, sealed to the mounting process.

Who mounts is the person of this session; the keys pass through the browser's way (gateway) as ciphertext only.
"""

from __future__ import annotations

import base64
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Action, Facts, Page
from cloister.base.errors import Denied, NotFound
from cloister.files import passing
from cloister.web.account import bytes_of, desk_of, json_of, text_of
from cloister.web.offices.route import OfficeRoute

KIND: Final = "DocumentReference"  # what a file of a zone is to the policy
RIGHT_TO_READ: Final = "read"
NOTE: Final = {"action": "open-files", "kind": "Zone"}


async def pass_keys(request: Request) -> Response:
    """POST /files/keys {zone: id or name, public_key}: the zone's file keys for the holder of that key."""
    desk, body = desk_of(request), await json_of(request)
    wanted, public = text_of(body, "zone", 200), bytes_of(body, "public_key")
    try:
        desk.policy.decide(desk.actor, Action.READ, Facts(kind=KIND))
    except Denied as denied:
        await desk.gate.call("audit_append", entries=[{**NOTE, "outcome": "denied", "reason": denied.reason}])
        raise
    held = [one for one in desk.keyring.zones if wanted in (one.zone, one.name) and RIGHT_TO_READ in one.rights]
    if len(held) != 1:
        await desk.gate.call("audit_append", entries=[{**NOTE, "outcome": "denied", "reason": "zone-not-held"}])
        names = ", ".join(sorted(one.name for one in desk.keyring.zones if RIGHT_TO_READ in one.rights)) or "none"
        raise NotFound("You hold no zone of this name.", hint=f"Your zones: {names}.", reason="zone-not-held")
    zone = held[0]
    keys = desk.keyring.files(zone.zone)
    await desk.gate.call("audit_append", entries=[{**NOTE, "object": zone.zone}])
    sealed = passing.sealed(
        public, keys, name=zone.name, live_until=zone.live_until, writes=_may_write(request), session=desk.actor.session
    )
    return JSONResponse({"zone": zone.zone, "session": desk.actor.session, "sealed": base64.b64encode(sealed).decode("ascii")})


def _may_write(request: Request) -> bool:
    desk = desk_of(request)
    try:
        desk.policy.decide(desk.actor, Action.CREATE, Facts(kind=KIND))
    except Denied:
        return False
    return True


ROUTES: Final = (OfficeRoute("/files/keys", Page.CHART, pass_keys, ("POST",)),)
