"""CodeSystem/$validate-code and ValueSet/$validate-code: whether a code exists there, and is called so.

http://hl7.org/fhir/R4/codesystem-operation-validate-code.html, valueset-operation-validate-code.html. A code that is wrong is an
answer (result false); a code system that is not loaded is an error, because nothing can be told then.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from cloister.base.errors import Invalid, Unsupported
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode
from cloister.records.interactions.asking import by_id, codings, flag, language, sent_along, versioned
from cloister.records.interactions.parameters import Sent, sent, single
from cloister.records.registered import answered
from cloister.records.terminology.coding import Coded, Parameters, valid_in_set, valid_in_system
from cloister.records.terminology.library import Library
from cloister.records.terminology.pack import pack_of
from cloister.records.terminology.valuesets import ValueSets

CODE: Final = ("code", "display", "coding", "codeableConcept", "displayLanguage", "abstract")


async def validate_code(exchange: Exchange) -> Response:
    kind = exchange.path["type"]
    asked = await sent(exchange, codings=True)
    if kind == "CodeSystem":
        answer = await _in_system(exchange, asked)
    elif kind == "ValueSet":
        answer = await _in_set(exchange, asked)
    else:
        raise Unsupported("$validate-code is offered of code systems and value sets.", hint="Ask CodeSystem/$validate-code.")
    return json_response(encode(answer))


async def _in_system(exchange: Exchange, asked: Sent) -> Parameters:
    found = asked.of("url", "version", *CODE)
    system, own = single(found, "url") or "", sent_along(asked, "CodeSystem", "codeSystem")
    if "id" in exchange.path:
        known = await by_id(exchange, "CodeSystem", exchange.path["id"])
        own, system = (known, system) if isinstance(known, dict) else (own, known.partition("|")[0])
    if own is not None:
        system = own["url"] = str(own.get("url") or "urn:sent")
    (coded,) = codings(asked, found, system=system)[:1] or [Coded(system, "")]
    if not coded.system:
        raise Invalid("The code has no system.", hint="Add url, the address of its code system.", expression="url")
    if system and coded.system != system:
        raise Invalid("The coding is of another system than 'url' names.", hint="Send the same, or one of them.", expression="url")
    spoken = language(exchange, found)
    return await answered(exchange.records, lambda sets: valid_in_system(_with(sets, own).library, coded, language=spoken))


def _with(sets: ValueSets, own: dict[str, Any] | None) -> ValueSets:
    """A code system that was sent along is asked alone, so that it cannot be taken for a loaded one of the same address."""
    return sets if own is None else ValueSets(Library([pack_of([own], "sent")]))


async def _in_set(exchange: Exchange, asked: Sent) -> Parameters:
    found = asked.of("url", "valueSetVersion", "system", "systemVersion", "inferSystem", *CODE)
    url, own = single(found, "url"), sent_along(asked, "ValueSet", "valueSet")
    if "id" in exchange.path:
        known = await by_id(exchange, "ValueSet", exchange.path["id"])
        own, url = (known, None) if isinstance(known, dict) else (None, known)
    if own is None and url is None:
        raise Invalid("There is no value set to look in.", hint="Send its url, or the valueSet itself.", expression="url")
    canonical = versioned(url or "", single(found, "valueSetVersion"))
    given = codings(asked, found)
    infer = flag(found, "inferSystem") or not any(one.system for one in given)
    abstract, spoken = flag(found, "abstract", True), language(exchange, found)

    def question(sets: ValueSets) -> Parameters:
        value_set = sets.read(own) if own is not None else sets.composed(canonical)
        return valid_in_set(sets, value_set, given, language=spoken, infer=infer, abstract=abstract)

    return await answered(exchange.records, question)
