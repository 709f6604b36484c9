"""ConceptMap/$translate: a code of one system in another. http://hl7.org/fhir/R4/conceptmap-operation-translate.html."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode
from cloister.records.interactions.asking import by_id, codings, flag, of_type, sent_along, versioned
from cloister.records.interactions.parameters import sent, single
from cloister.records.registered import answered
from cloister.records.terminology.coding import Parameters
from cloister.records.terminology.translation import Wanted, maps_for
from cloister.records.terminology.translation import translate as translated
from cloister.records.terminology.valuesets import ValueSets

KNOWN = ("url", "conceptMapVersion", "code", "system", "version", "source", "target", "targetsystem", "reverse", "coding")


async def translate(exchange: Exchange) -> Response:
    of_type(exchange, "ConceptMap")
    asked = await sent(exchange, codings=True)
    found = asked.of(*KNOWN)
    url, own = single(found, "url"), sent_along(asked, "ConceptMap", "conceptMap")
    if "id" in exchange.path:
        known = await by_id(exchange, "ConceptMap", exchange.path["id"])
        own, url = (known, None) if isinstance(known, dict) else (None, known)
    given = codings(asked, found)
    wanted = Wanted(
        given,
        source=single(found, "source") or "",
        target=single(found, "target") or "",
        target_system=single(found, "targetsystem") or "",
        reverse=flag(found, "reverse"),
    )
    if own is None and url is None and not all(one.system for one in given):
        raise Invalid("The code has no system, and no map is named.", hint="Add system, or url of the map.", expression="system")
    canonical = versioned(url, single(found, "conceptMapVersion")) if url is not None else None

    def question(sets: ValueSets) -> Parameters:
        maps: list[dict[str, Any]]
        if own is not None:
            maps = [own]
        elif canonical is not None:
            maps = [sets.library.resource("ConceptMap", canonical)]
        else:
            maps = maps_for(sets.library, wanted)
        return translated(sets.library, maps, wanted)

    return json_response(encode(await answered(exchange.records, question)))
