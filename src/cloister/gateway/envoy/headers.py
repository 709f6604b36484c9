"""Headers: what clients may not say to us, and what every answer says to browsers.

Stripped before anything looks at the request: our own, Envoy's, and every header in which a proxy would
name the client (RFC 7239, RFC 9440); Envoy then writes the true address itself.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import Json, Plan, typed

STRIPPED_PREFIXES: Final = ("x-cloister-", "x-envoy-", "x-forwarded-", "client-cert", "x-original-", "x-rewrite-")
STRIPPED: Final = ("forwarded", "x-real-ip", "x-client-ip", "x-http-method-override", "x-http-method", "x-method-override", "x-request-id")

# wasm-unsafe-eval: the browser's Argon2id is WebAssembly, served from our own origin only.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self' http://127.0.0.1:27443",  # the card agent of the person's own workstation
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
FIXED: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), publickey-credentials-get=(self)",
}
# The client's own address: of the connection, or of the PROXY header of a listener that takes one. Not x-forwarded-for, in which Envoy
# writes this machine's address for whoever comes over the loopback.
ADDRESS_HEADER: Final = "x-cloister-address"
GATEWAY_HEADER: Final = "x-cloister-gateway"


# SHA-256 in hexadecimal of the certificate that a connection at the cards' name shows (cards.py); on no other connection.
CARD_HEADER: Final = "x-cloister-card"
CERTIFICATE_HEADER: Final = "x-forwarded-client-cert"


def request_headers(plan: Plan, *, card: bool = False) -> list[Json]:
    said = {ADDRESS_HEADER: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
    if plan.gateway:
        said[GATEWAY_HEADER] = plan.gateway
    if card:
        said[CARD_HEADER] = "%DOWNSTREAM_PEER_FINGERPRINT_256%"
    return _added(said, "OVERWRITE_IF_EXISTS_OR_ADD")


# A page may say something stricter for itself; what says nothing is never kept by a shared computer's browser.
DEFAULTS: Final = {"content-security-policy": CONTENT_SECURITY_POLICY, "cache-control": "no-store"}


def _added(values: dict[str, str], action: str) -> list[Json]:
    return [{"header": {"key": key, "value": value}, "append_action": action} for key, value in values.items()]


# RFC 6797: for a host's every port, so not for localhost, where a developer's other servers would be cut off.
STRICT_TRANSPORT: Final = {"strict-transport-security": "max-age=31536000"}


def response_headers(plan: Plan) -> list[Json]:
    fixed = {**FIXED, **(STRICT_TRANSPORT if plan.strict_transport else {})}
    if plan.http3:
        fixed["alt-svc"] = f'h3=":{plan.port}"; ma=86400'
    return _added(fixed, "OVERWRITE_IF_EXISTS_OR_ADD") + _added(DEFAULTS, "ADD_IF_ABSENT")


def stripping() -> Json:
    removed: list[Json] = [{"remove": name} for name in STRIPPED]
    removed += [{"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}} for prefix in STRIPPED_PREFIXES]
    return typed(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=removed,
    )
