"""Somebody has proven who they are, and everything is taken: what their page shows, and what it asks again with.

The word that they were proven is signed by the doors' common secret, so that any door, also one that was started meanwhile, takes the
next question. It is bound to the browser's key, as the session will be, and is no use for anything but going on waiting.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from cloister.base.errors import Denied
from cloister.base.secret import Secret
from cloister.farm import queue

WAITING_LIFE: Final = timedelta(minutes=10)  # then the proof is too old: sign in again
MAC_BYTES: Final = 32
TOKEN_CHARACTERS_MAX: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """Who was proven, and how; `unlocker` is empty where the proof opens no key. `flow`: what the browser's next
    proof of its key names (RFC 9449 nonce)."""

    sign_in: str
    unlocker: str
    kind: str
    jkt: str
    flow: str
    until: int  # seconds since 1970
    factors: str = ""
    most: int = 0
    x5t: str = ""  # of the certificate that the browser's connection shows


def proven(sign_in: str, unlocker: str, kind: str, jkt: str, *, now: datetime, factors: str = "", most: int = 0, x5t: str = "") -> Proven:
    until = int((now + WAITING_LIFE).timestamp())
    flow = secrets.token_urlsafe(18)
    return Proven(sign_in=sign_in, unlocker=unlocker, kind=kind, jkt=jkt, flow=flow, until=until, factors=factors, most=most, x5t=x5t)


def sealed(who: Proven, secret: Secret) -> str:
    body = json.dumps(asdict(who), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(body, secret) + body).decode("ascii")


def opened(token: str, secret: Secret, *, now: datetime) -> Proven:
    """Raises Denied for what no door of this trust has said, or has said too long ago."""
    over = Denied("This took too long, or was never said here.", hint="Sign in again.", reason="challenge-over")
    try:
        raw = base64.urlsafe_b64decode(token[:TOKEN_CHARACTERS_MAX])
        if not hmac.compare_digest(raw[:MAC_BYTES], _mac(raw[MAC_BYTES:], secret)):
            raise over
        who = Proven(**json.loads(raw[MAC_BYTES:]))
    except (binascii.Error, ValueError, TypeError):
        raise over from None
    if now.timestamp() >= who.until:
        raise over
    return who


def _mac(body: bytes, secret: Secret) -> bytes:
    return hmac.digest(hmac.digest(secret.reveal(), b"cloister/door/waiting/1", "sha256"), body, hashlib.sha256)


def waiting_response(wait: queue.Wait, who: Proven, secret: Secret) -> Response:
    """202 (RFC 9110 15.3.3): the request stands, and is asked after again."""
    body: dict[str, Any] = {
        "waiting": sealed(who, secret),
        "flow": who.flow,
        "place": wait.place.place,
        "of": wait.place.of,
        "reason": wait.reason,
        "text": wait.text,
        "hint": wait.hint,
        "after_seconds": queue.ASK_AGAIN_SECONDS,
    }
    headers = {"cache-control": "no-store", "retry-after": str(queue.ASK_AGAIN_SECONDS)}
    return JSONResponse(body, status_code=202, headers=headers)
