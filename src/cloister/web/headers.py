"""What every page tells the browser. Envoy adds the headers that hold for every answer; a page says only what is its own."""

from __future__ import annotations

from typing import Final

# CSP Level 3. No inline script, no inline style, nothing from elsewhere. wasm-unsafe-eval: Argon2id in the browser is WebAssembly.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self' http://127.0.0.1:27443",  # the card agent of the person's own workstation
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
PAGE_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
