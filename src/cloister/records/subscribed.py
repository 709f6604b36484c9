"""What a Subscription may ask for, and whether something written matches. Pure. http://hl7.org/fhir/R4/subscription.html.

Notifications are empty: the process that carries them out of the house may not read the record, so a payload is refused and
says so. Criteria are of one type's own search parameters, so that the resource alone decides.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from cloister.base.errors import CloisterError, Invalid
from cloister.records.search import IndexEntry, Query, decided, matches, parse_url

TYPE: Final = "Subscription"
OWNER: Final = "urn:cloister:subscription:owner"
REQUESTED, ACTIVE, ERROR, OFF = "requested", "active", "error", "off"
# From what a client writes, or the delivery has met, to what the resource says next; what is not here cannot happen.
NEXT: Final = {
    (REQUESTED, "accepted"): ACTIVE,
    (REQUESTED, "refused"): OFF,
    (ACTIVE, "failed"): ERROR,
    (ACTIVE, "ended"): OFF,
    (ERROR, "delivered"): ACTIVE,
    (ERROR, "ended"): OFF,
}
HEADERS_MAX: Final = 10
HEADER_BYTES_MAX: Final = 2048
ENDPOINT_MAX: Final = 1000
SEALED: Final = "sealed:"
# What frames the message or says where it goes is not the subscriber's to set (RFC 9110 7.2, 7.6.1; RFC 9112).
NOT_FREE: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive", "proxy-authorization",
     "proxy-connection", "via", "idempotency-key"}
)  # fmt: skip
_HEADER: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}): *([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")


class NotSubscribed(Invalid):
    """The subscription asks for what is not offered (HTTP 422)."""

    http_status: ClassVar[int] = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A checked Subscription. `headers`: name and value as they stand in the resource, sealed or not yet."""

    query: Query
    endpoint: str
    host: str
    port: int
    headers: tuple[tuple[str, str], ...]
    end: datetime | None


def wish_of(resource: dict[str, Any], now: datetime) -> Wish:
    """What is asked for; NotSubscribed or the search's own error for what is not offered."""
    channel = resource.get("channel", {})
    if channel.get("type") != "rest-hook":
        raise NotSubscribed(
            "Only the channel 'rest-hook' is offered.", hint="Send channel.type rest-hook.", expression="Subscription.channel.type"
        )
    if channel.get("payload"):
        raise NotSubscribed(
            "Notifications carry no payload: what carries them out of the house may not read the record.",
            hint="Leave out channel.payload; on a notification, search with the criteria and _lastUpdated.",
            reason="payload",
            expression="Subscription.channel.payload",
        )
    endpoint, host, port = _endpoint(channel.get("endpoint", ""))
    end = datetime.fromisoformat(resource["end"].replace("Z", "+00:00")) if "end" in resource else None
    if end is not None and end <= now:
        raise NotSubscribed("This subscription has ended already.", hint="Send a later end, or none.", expression="Subscription.end")
    return Wish(
        query=criterion_of(resource, now), endpoint=endpoint, host=host, port=port, headers=_headers(channel.get("header", [])), end=end
    )


def criterion_of(resource: dict[str, Any], now: datetime) -> Query:
    try:
        query = parse_url(str(resource.get("criteria", "")), strict=True, now=now)
    except CloisterError as wrong:
        wrong.expression = "Subscription.criteria"
        raise
    if query.type == TYPE or query.chains or query.pointed or query.trees or query.includes or any(one.chains for one in query.filters):
        raise NotSubscribed(
            "Criteria are decided on the written resource alone.",
            hint="Use the type's own search parameters: no chains, _has, hierarchies or _include; and not of Subscription.",
            expression="Subscription.criteria",
        )
    return query


def _endpoint(text: Any) -> tuple[str, str, int]:
    try:
        parts = urlsplit(str(text))
        good = parts.scheme == "https" and parts.hostname and not parts.username and not parts.password and not parts.fragment
        port = parts.port or 443
    except ValueError:
        good, port = False, 0
    if not good or len(text) > ENDPOINT_MAX or not str(text).isascii() or not str(text).isprintable() or " " in text:
        raise NotSubscribed(
            "The endpoint is no address that is offered.", hint="Send https://host[:port]/path, without user name or fragment.",
            expression="Subscription.channel.endpoint",
        )  # fmt: skip
    return text, str(parts.hostname).lower(), port


def _headers(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for number, line in enumerate(given):
        read = _HEADER.fullmatch(line)
        sealed = read is not None and read[2].startswith(SEALED)
        too_much = len(given) > HEADERS_MAX or (not sealed and len(line) > HEADER_BYTES_MAX)
        if read is None or read[1].lower() in NOT_FREE or too_much:
            raise NotSubscribed(
                "This header is not offered.", hint=f"Send 'Name: value', at most {HEADERS_MAX}; none that frames a message, such as Host.",
                expression=f"Subscription.channel.header[{number}]",
            )  # fmt: skip
        found.append((read[1], read[2]))
    return tuple(found)


def sealed_value(value: str) -> bytes | None:
    """What stands after 'sealed:', or None for a header that is still in clear."""
    if not value.startswith(SEALED):
        return None
    try:
        return base64.b64decode(value.removeprefix(SEALED), validate=True)
    except binascii.Error:
        raise NotSubscribed(
            "A sealed header was changed.", hint="Send its value again.", expression="Subscription.channel.header"
        ) from None


def may_become(status: str, wanted: str) -> bool:
    return any(before == status and after == wanted for (before, _), after in NEXT.items())


def owner_of(resource: dict[str, Any]) -> str:
    return next((str(one.get("valueString", "")) for one in resource.get("extension", []) if one.get("url") == OWNER), "")


def asking(resource: dict[str, Any], owner: str, headers: Sequence[str]) -> dict[str, Any]:
    """The resource as it is stored when somebody writes it: owned, its status what the server says, its headers sealed."""
    others = [one for one in resource.get("extension", []) if one.get("url") != OWNER]
    made = {name: value for name, value in resource.items() if name != "error"}
    made["extension"] = [*others, {"url": OWNER, "valueString": owner}]
    made["status"] = OFF if resource.get("status") == OFF else REQUESTED
    if headers:
        made["channel"] = {**resource["channel"], "header": list(headers)}
    return made


def saying(resource: dict[str, Any], status: str, error: str = "") -> dict[str, Any]:
    """The same subscription with another status."""
    made = {name: value for name, value in resource.items() if name not in ("error", "meta")}
    return {**made, "status": status, **({"error": error[:500]} if error else {})}


def may_match(query: Query, entry: IndexEntry) -> bool:
    """Whether the index lets it pass; `is_met` is asked then where the entry alone does not decide."""
    return matches(query, entry, undecided=True)


def is_met(query: Query, entry: IndexEntry, resource: dict[str, Any] | None) -> bool:
    """`resource` is needed where the query says that its entry alone does not decide (`undecided`)."""
    if not may_match(query, entry):
        return False
    return not query.undecided or (resource is not None and decided(query, resource))
