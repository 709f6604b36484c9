"""The keys of a zone's files, for `cloister zone mount`: decided by the policy, written in the audit log, sealed to the mounting process.

Who mounts is the person of this session; the keys pass through the browser's way (gateway) as ciphertext only.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Action, Facts, Page, rules
from cloister.base.errors import Denied, NotFound
from cloister.files import passing
from cloister.web.account import bytes_of, desk_of, text_of
from cloister.web.bodies import json_body
from cloister.web.desk import Desk
from cloister.web.offices.route import OfficeRoute

KIND: Final = "DocumentReference"  # what a file of a zone is to the policy
RIGHT_TO_READ: Final = "read"
NOTE: Final = {"action": "open-files", "kind": "Zone"}


async def pass_keys(request: Request) -> Response:
    """POST /files/keys {zone: id or name, public_key}: the zone's file keys for the holder of that key."""
    desk, body = desk_of(request), await json_body(request)
    wanted, public = text_of(body, "zone", 200), bytes_of(body, "public_key")
    try:
        desk.policy.decide(desk.actor, Action.READ, Facts(kind=KIND))
        desk.policy.check(desk.actor, rules.Act.EXPORT, Facts(kind=KIND))  # a mounted zone is at hand wherever the machine is
    except Denied as denied:
        await desk.gate.call("audit_append", entries=[{**NOTE, "outcome": "denied", "reason": denied.reason}])
        raise
    held = [one for one in desk.keyring.zones if wanted in (one.zone, one.name) and RIGHT_TO_READ in one.rights]
    if len(held) != 1:
        await desk.gate.call("audit_append", entries=[{**NOTE, "outcome": "denied", "reason": "zone-not-held"}])
        names = ", ".join(sorted(one.name for one in desk.keyring.zones if RIGHT_TO_READ in one.rights)) or "none"
        raise NotFound("You hold no zone of this name.", hint=f"Your zones: {names}.", reason="zone-not-held")
    zone = held[0]
    await desk.gate.call("audit_append", entries=[{**NOTE, "object": zone.zone}])
    sealed = sealed_keys(desk, zone.zone, zone.name, zone.live_until, public)
    return JSONResponse({"zone": zone.zone, "session": desk.actor.session, "sealed": base64.b64encode(sealed).decode("ascii")})


async def seal_for(desk: Desk, public: bytes, zones: Sequence[str]) -> list[dict[str, Any]]:
    """The file keys of those of these zones that this person holds, each noted before it goes; nothing where the policy refuses."""
    try:
        desk.policy.decide(desk.actor, Action.READ, Facts(kind=KIND))
    except Denied:
        return []
    held = [one for one in desk.keyring.zones if one.zone in zones and RIGHT_TO_READ in one.rights]
    if held:
        await desk.gate.call("audit_append", entries=[{**NOTE, "object": one.zone} for one in held])
    return [{"zone": one.zone, "sealed": sealed_keys(desk, one.zone, one.name, one.live_until, public)} for one in held]


def sealed_keys(desk: Desk, zone: str, name: str, live_until: datetime, public: bytes) -> bytes:
    keys = desk.keyring.files(zone)
    return passing.sealed(public, keys, name=name, live_until=live_until, writes=_may_write(desk), session=desk.actor.session)


def _may_write(desk: Desk) -> bool:
    try:
        desk.policy.decide(desk.actor, Action.CREATE, Facts(kind=KIND))
    except Denied:
        return False
    return True


ROUTES: Final = (OfficeRoute("/files/keys", Page.CHART, pass_keys, ("POST",)),)
