"""CodeSystem/$subsumes: how two codes stand to each other. http://hl7.org/fhir/R4/codesystem-operation-subsumes.html."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode
from cloister.records.interactions.asking import by_id, coding, of_type
from cloister.records.interactions.parameters import Sent, sent, single
from cloister.records.registered import answered
from cloister.records.terminology.coding import Coded
from cloister.records.terminology.coding import subsumes as compared


async def subsumes(exchange: Exchange) -> Response:
    of_type(exchange, "CodeSystem")
    asked = await sent(exchange, codings=True)
    found = asked.of("codeA", "codeB", "system", "version")
    system = single(found, "system") or ""
    if "id" in exchange.path:
        known = await by_id(exchange, "CodeSystem", exchange.path["id"])
        system = known.partition("|")[0] if isinstance(known, str) else str(known.get("url", ""))
    one, other = (_side(asked, found, side, system, single(found, "version") or "") for side in ("A", "B"))
    answer = await answered(exchange.records, lambda sets: compared(sets.library, one, other))
    return json_response(encode(answer))


def _side(asked: Sent, found: dict[str, list[str]], side: str, system: str, version: str) -> Coded:
    code = single(found, f"code{side}")
    given = Coded(system, code, version) if code is not None else None
    if given is None and f"coding{side}" in asked.codings:
        given = coding(asked.codings[f"coding{side}"], f"coding{side}")
    if given is None or not given.system:
        hint = "Send codeA, codeB and system, or codingA and codingB."
        raise Invalid(f"There is no code{side} with its system.", hint=hint, expression=f"code{side}")
    return given
