"""CodeSystem/$lookup: what a code means. http://hl7.org/fhir/R4/codesystem-operation-lookup.html."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode
from cloister.records.interactions.asking import codings, language, of_type
from cloister.records.interactions.parameters import sent
from cloister.records.registered import answered
from cloister.records.terminology.coding import Coded
from cloister.records.terminology.coding import lookup as looked_up


async def lookup(exchange: Exchange) -> Response:
    of_type(exchange, "CodeSystem")
    asked = await sent(exchange, codings=True)
    found = asked.of("code", "system", "version", "coding", "displayLanguage", "property")
    coded = next(iter(codings(asked, found)), Coded("", ""))
    if not coded.system:
        raise Invalid("The code has no system.", hint="Add system, the address of its code system.", expression="system")
    wanted, spoken = frozenset(found.get("property", [])), language(exchange, found)
    answer = await answered(exchange.records, lambda sets: looked_up(sets.library, coded, language=spoken, wanted=wanted))
    return json_response(encode(answer))
