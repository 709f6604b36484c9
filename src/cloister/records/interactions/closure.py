"""$closure: a table of what lies under what, kept for a client. http://hl7.org/fhir/R4/conceptmap-operation-closure.html."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode
from cloister.records.interactions.asking import coding
from cloister.records.registered import answered
from cloister.records.terminology.closure import concept_map
from cloister.records.terminology.closure import since as after
from cloister.records.terminology.coding import Coded

CONCEPTS_MAX: Final = 1000  # in one request
SHOWN: Final = "Send Parameters: name, and concept (several codings) or version."


async def closure(exchange: Exchange) -> Response:
    """The name alone begins a table; with concepts it grows; with a version all that came later is said again."""
    name, given, version = read(await exchange.resource())
    closures = exchange.records.closures
    if version is not None:
        table = closures.table(name)
        return json_response(encode(concept_map(table, after(table, version))))
    if not given:
        return json_response(encode(concept_map(closures.begin(name, datetime.now(UTC)), [])))
    table = closures.table(name)
    made = await answered(exchange.records, lambda sets: table.add(sets.library, given))
    return json_response(encode(concept_map(table, made)))


def read(body: dict[str, Any]) -> tuple[str, list[Coded], str | None]:
    """Name, concepts and version; raises Invalid for anything else."""
    if body.get("resourceType") != "Parameters" or not isinstance(body.get("parameter"), list):
        raise Invalid("$closure takes Parameters.", hint=SHOWN)
    texts: dict[str, str] = {}
    given: list[Coded] = []
    for part in body["parameter"]:
        kind = part.get("name") if isinstance(part, dict) else None
        if kind == "concept":
            found = coding(part.get("valueCoding"), "concept")
            if found is None or not found.system:
                raise Invalid("A concept lacks its code or its system.", hint=SHOWN, expression="concept")
            given.append(found)
        elif kind in ("name", "version") and kind not in texts and isinstance(part.get("valueString"), str):
            texts[kind] = part["valueString"]
        else:
            raise Invalid(f"The parameter '{str(kind)[:64]}' is not read here.", hint=SHOWN, expression=str(kind)[:64])
    if "name" not in texts:
        raise Invalid("The table has no name.", hint=SHOWN, expression="name")
    if given and "version" in texts:
        raise Invalid("Concepts are added, or a version is asked after; not both at once.", hint=SHOWN, expression="version")
    if len(given) > CONCEPTS_MAX:
        raise Invalid(f"At most {CONCEPTS_MAX:,} concepts at once.", hint="Send the rest afterwards.", expression="concept")
    return texts["name"], given, texts.get("version")
