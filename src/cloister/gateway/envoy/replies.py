"""What Envoy says itself: to a browser a way back to the sign-in, to a FHIR client an OperationOutcome.

A session that has ended leaves a ticket that is still valid; its empty slot must read as "sign in again",
and only then: `x-cloister-sid`, which no client can send, is present exactly when a ticket was verified.
Envoy: envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig.
FHIR: http://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.paths import REFUSED, UNSOUND
from cloister.gateway.envoy.plan import FHIR_PREFIX, Json

SIGN_IN: Final = "/login"
TOO_FAST: Final = "Too many requests at once. Try again in a moment."
_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
    "<title>Cloister</title></head><body><main><h1>One moment</h1><p>A part of Cloister does not answer yet. "
    'This page tries again by itself. <a href="/login">Sign in</a></p></main></body></html>'
)


def _status(code: int, operator: str = "EQ") -> Json:
    return {"status_code_filter": {"comparison": {"op": operator, "value": {"default_value": code, "runtime_key": f"reply_{code}"}}}}


def _header(name: str, match: Json) -> Json:
    return {"header_filter": {"header": {"name": name, **match}}}


_FHIR: Final = _header(":path", {"string_match": {"prefix": FHIR_PREFIX}})
_HTMX: Final = _header("hx-request", {"present_match": True})
_BROWSER: Final = _header("accept", {"string_match": {"contains": "text/html"}})
_UNSOUND: Final = _header(":path", {"string_match": {"safe_regex": {"regex": UNSOUND}}})
_READING: Final = _header(":method", {"string_match": {"exact": "GET"}})
_VERIFIED: Final = _header("x-cloister-sid", {"present_match": True})
_ORIGIN: Final = _header("origin", {"present_match": True})
# The Fetch standard hides an answer without this from an app's page, which then cannot know why; it holds no data, and admits no cookie.
_READABLE: Final = {"access-control-allow-origin": "*", "access-control-expose-headers": "www-authenticate, retry-after"}
_UNREACHED: Final = {"response_flag_filter": {"flags": ["UF", "UH", "UC"]}}


def _all(*filters: Json) -> Json:
    return {"and_filter": {"filters": list(filters)}} if len(filters) > 1 else filters[0]


def _outcome(code: str, text: str) -> Json:
    return {
        "content_type": "application/fhir+json; charset=utf-8",
        "json_format": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code, "diagnostics": text}]},
    }


def _reply(when: Json, *, status: int | None = None, body_format: Json | None = None, headers: dict[str, str] | None = None) -> Json:
    mapper: Json = {"filter": when}
    if status is not None:
        mapper["status_code"] = status
    if body_format is not None:
        mapper["body_format_override"] = body_format
    if headers:
        mapper["headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in headers.items()
        ]
    return mapper


def _sign_in_again(*why: Json, text: str) -> list[Json]:
    challenge = {"www-authenticate": 'Bearer realm="cloister"'}
    readable = {**challenge, **_READABLE}
    plain: Json = {"content_type": "application/json", "json_format": {"error": "unauthenticated", "text": text, "next": SIGN_IN}}
    return [
        _reply(_all(*why, _FHIR, _ORIGIN), status=401, body_format=_outcome("login", text), headers=readable),
        _reply(_all(*why, _FHIR), status=401, body_format=_outcome("login", text), headers=challenge),
        _reply(_all(*why, _HTMX), status=401, body_format=plain, headers={"hx-redirect": SIGN_IN}),
        _reply(_all(*why, _BROWSER, _READING), status=303, body_format=plain, headers={"location": f"{SIGN_IN}?next=%REQ(:PATH)%"}),
        _reply(_all(*why), status=401, body_format=plain, headers=challenge),
    ]


def _said(error: str, category: str, text: str) -> Json:
    """As the door says it (gateway/requests.py)."""
    return {"content_type": "application/json", "json_format": {"error": error, "category": category, "text": text}}


def local_replies() -> Json:
    busy = _status(503, "GE")
    return {
        "mappers": [
            _reply(_all(_status(403), _UNSOUND), status=400, body_format=_said("path", "invalid", REFUSED)),
            _reply(_all(_status(429), _ORIGIN), body_format=_outcome("throttled", TOO_FAST), headers=_READABLE),
            _reply(_status(429), body_format=_said("sign-in-limit", "busy", TOO_FAST)),
            *_sign_in_again(_status(401), text="Sign in first: there is no valid ticket."),
            *_sign_in_again(_status(503), _VERIFIED, _UNREACHED, text="This session has ended. Sign in again."),
            _reply(_all(busy, _FHIR), body_format=_outcome("transient", "A part of Cloister does not answer. Try again in a moment.")),
            _reply(
                _all(busy, _BROWSER),
                body_format={"content_type": "text/html; charset=utf-8", "text_format_source": {"inline_string": _PAGE}},
            ),
            _reply(
                _all(_status(400, "GE"), _FHIR), body_format=_outcome("invalid", "The gateway refused this request: %LOCAL_REPLY_BODY%")
            ),
        ],
        "body_format": {"content_type": "text/plain; charset=utf-8", "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%\n"}},
    }
