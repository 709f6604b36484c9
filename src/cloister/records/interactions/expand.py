"""ValueSet/$expand: the codes of a value set. http://hl7.org/fhir/R4/valueset-operation-expand.html."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode
from cloister.records.interactions.asking import by_id, flag, language, number, of_type, sent_along, versioned
from cloister.records.interactions.parameters import sent, single
from cloister.records.registered import answered
from cloister.records.terminology import shelf
from cloister.records.terminology.expansion import Asked, Expander
from cloister.records.terminology.valuesets import ValueSets

# What these ask for is what the list is anyway: flat, without post-coordinated expressions, never cut short unasked.
NO_MATTER: Final = ("excludeNested", "excludePostCoordinated", "limitedExpansion")
KNOWN: Final = (
    "url", "valueSetVersion", "filter", "offset", "count", "displayLanguage", "activeOnly", "includeDesignations", "includeDefinition",
    "excludeNotForUI", *NO_MATTER,
)  # fmt: skip
_expanders: Final[list[tuple[ValueSets, Expander]]] = []  # the one of what is loaded, kept for its pages


async def expand(exchange: Exchange) -> Response:
    of_type(exchange, "ValueSet")
    asked = await sent(exchange)
    found = asked.of(*KNOWN)
    url, own = single(found, "url"), sent_along(asked, "ValueSet", "valueSet", "resource")
    if "id" in exchange.path:
        known = await by_id(exchange, "ValueSet", exchange.path["id"])
        own, url = (known, None) if isinstance(known, dict) else (None, known)
    if own is None and url is None:
        raise Invalid("There is no value set to expand.", hint="Send its url, or the valueSet itself.", expression="url")
    canonical = versioned(url or "", single(found, "valueSetVersion"))
    wanted = Asked(
        filter=(single(found, "filter") or "")[:200],
        offset=number(found, "offset") or 0,
        count=number(found, "count"),
        language=language(exchange, found),
        active=flag(found, "activeOnly"),
        designations=flag(found, "includeDesignations"),
        composition=flag(found, "includeDefinition"),
        selectable=flag(found, "excludeNotForUI"),
    )
    now = datetime.now(UTC)

    def question(sets: ValueSets) -> dict[str, Any]:
        value_set = sets.read(own) if own is not None else sets.composed(canonical)
        return _expander(sets).expand(value_set, wanted, now=now)

    return json_response(encode(await answered(exchange.records, question)))


def _expander(sets: ValueSets) -> Expander:
    if sets is not shelf.value_sets():
        return Expander(sets)
    if not _expanders or _expanders[0][0] is not sets:
        _expanders[:] = [(sets, Expander(sets))]
    return _expanders[0][1]
