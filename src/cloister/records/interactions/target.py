"""What a write is aimed at: checks that the address and the body speak of the same thing. http://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from cloister.base.errors import Conflict, Invalid
from cloister.records.fhir.exchange import FORMAT, Exchange
from cloister.records.search import Query, parse
from cloister.records.terminology.catalogue import PUBLISHED


class Stale(Conflict):
    """If-Match names another version than the current one (HTTP 412, http.html#concurrency)."""

    http_status: ClassVar[int] = 412

    @classmethod
    def of(cls, conflict: Conflict) -> Conflict:
        """What a published definition refuses is no matter of versions."""
        if conflict.reason == PUBLISHED:
            return conflict
        return cls(conflict.text, hint=conflict.hint, reason=conflict.reason, expression=conflict.expression)


def check_type(resource: dict[str, Any], type: str) -> None:
    """Raises Invalid unless the resource is of the type in the address."""
    found = resource.get("resourceType")
    if found is None:
        raise Invalid("The body has no resourceType.", hint=f'Send "resourceType": "{type}".', expression="resourceType")
    if found != type:
        raise Invalid(f"The body is no {type}.", hint="Send it to the address of its own type.", expression="resourceType")


def condition_of(exchange: Exchange, type: str) -> Query:
    """The search in the address that a conditional write is about; what is not understood in it is always refused."""
    pairs = [pair for pair in exchange.pairs() if pair[0] not in FORMAT]
    if not pairs:
        hint = f"Name the id ({type}/id), or a condition ({type}?identifier=system|value)."
        raise Invalid("This address names no resource.", hint=hint, reason="empty-condition")
    return parse(type, pairs, strict=True, base=exchange.base, now=datetime.now(UTC))
