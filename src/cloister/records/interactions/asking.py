"""The parameters that the terminology operations have in common: what is asked about, and in which language.

Spec: http://hl7.org/fhir/R4/terminology-service.html. By type or by id, GET or POST; a code as `code` and `system`, as a `coding`,
or as a `codeableConcept`.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.base.errors import Denied, Invalid, NotFound
from cloister.records.fhir.exchange import Exchange
from cloister.records.fhir.outcomes import not_here
from cloister.records.interactions.parameters import Sent, single
from cloister.records.terminology import shelf
from cloister.records.terminology.catalogue import Published
from cloister.records.terminology.coding import Coded
from cloister.records.validation import check

CODINGS_MAX: Final = 100


def codings(asked: Sent, found: dict[str, list[str]], *, system: str = "", needed: bool = True) -> list[Coded]:
    """The code, the coding or the codings of the concept that are asked about. `system` is that of `code` where none is given."""
    code = single(found, "code")
    if code is not None:
        given = Coded(single(found, "system") or system, code, single(found, "version") or "", single(found, "display") or "")
        return [given]
    for name in ("coding", "codeableConcept"):
        if name in asked.codings:
            body = asked.codings[name]
            several = body.get("coding", []) if name == "codeableConcept" or "coding" in body else [body]
            return [one for part in several[:CODINGS_MAX] if (one := coding(part, name)) is not None]
    for text in found.get("coding", []):  # in an address a coding is system|code, as in a search
        at, _, end = text.rpartition("|")
        return [Coded(at or system, end)]
    if not needed:
        return []
    raise Invalid("There is no code to ask about.", hint="Send code and system, a coding or a codeableConcept.", expression="code")


def sent_along(asked: Sent, kind: str, *names: str) -> dict[str, Any] | None:
    """The definition that was sent along under one of these names, checked like any resource."""
    found = next((asked.resources[name] for name in names if name in asked.resources), None)
    if found is not None:
        if found.get("resourceType") != kind:
            raise Invalid(f"What was sent as '{names[0]}' is no {kind}.", hint=f"Send a {kind}, or its url.", expression=names[0])
        check(found)
    return found


def coding(body: Any, name: str) -> Coded | None:
    if not isinstance(body, dict) or not all(isinstance(body.get(key, ""), str) for key in ("system", "code", "version", "display")):
        raise Invalid(f"'{name}' is no coding.", hint="Send system and code.", expression=name)
    if "code" not in body:
        return None
    return Coded(body.get("system", ""), body["code"], body.get("version", ""), body.get("display", ""))


def flag(found: dict[str, list[str]], name: str, default: bool = False) -> bool:
    text = single(found, name)
    if text not in (None, "true", "false"):
        raise Invalid(f"'{name}' takes true or false.", hint=f"Write {name}=true.", expression=name)
    return default if text is None else text == "true"


def number(found: dict[str, list[str]], name: str) -> int | None:
    text = single(found, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Invalid(f"'{name}' takes a whole number from 0.", hint=f"Write {name}=100.", expression=name)
    return int(text)


def language(exchange: Exchange, found: dict[str, list[str]]) -> str:
    """`displayLanguage`, else what the client says of itself (Accept-Language)."""
    return (single(found, "displayLanguage") or exchange.request.headers.get("accept-language", ""))[:200]


async def by_id(exchange: Exchange, kind: str, id: str) -> str | dict[str, Any]:
    """What an address by id means: the resource in a register of this session, or the canonical address of what is loaded."""
    known: str | dict[str, Any] | None
    try:
        found = await exchange.records.read(kind, id)
    except (NotFound, Denied):
        known = shelf.library().by_id(kind, id)
    else:
        known = found.canonical if isinstance(found, Published) else found.resource
    if known is None:
        raise not_here(kind, id)
    return known


def versioned(url: str, version: str | None) -> str:
    return f"{url}|{version}" if version and "|" not in url else url


def of_type(exchange: Exchange, kind: str) -> None:
    """Raises NotFound for an operation that is none of this type."""
    if exchange.path["type"] != kind:
        operation = exchange.request.url.path.rpartition("/")[2]
        raise NotFound(f"{operation} is an operation of {kind}.", hint=f"Ask {kind}/{operation}.")
