"""What a page's calls send: a JSON object of bounded size."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.requests import Request

from cloister.base.errors import Invalid

BODY_BYTES_MAX: Final = 64 * 1024


async def json_body(request: Request, longest: int = BODY_BYTES_MAX) -> dict[str, Any]:
    """At most `longest` bytes; only with its media type, which no other site can send unasked. Raises Invalid."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Invalid("Send JSON.", reason="media-type")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > longest:
            raise Invalid("This is too much at once.", hint=f"Send at most {longest // 1024} KB.", reason="too-large")
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Invalid("Send a JSON object.", reason="json")
    return parsed
