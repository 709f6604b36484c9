"""Part of a resource, where a search asks for no more. Spec: http://hl7.org/fhir/R4/search.html#summary, #elements."""

from __future__ import annotations

from typing import Any, Final

from cloister.records.definitions import load
from cloister.records.fhir.sending import as_sent, outgoing
from cloister.records.fhir.text import decode, encode
from cloister.records.search.query import Query
from cloister.records.stored import Stored

SUBSETTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
ALWAYS: Final = frozenset({"resourceType", "id", "meta"})


class Subset:
    """Cuts resources as a query asks; passes their bytes on when it asks for the whole."""

    def __init__(self, query: Query) -> None:
        self._type = query.type
        self._elements = frozenset(query.elements)
        self._summary = query.summary if query.summary in ("true", "text", "data") else ""

    def of(self, stored: Stored) -> bytes:
        if not self._summary and not self._elements:
            return outgoing(stored)
        resource = decode(stored.raw)
        kept = self._kept(stored.type)
        if kept is None:
            cut = {name: value for name, value in resource.items() if name not in ("text", "_text")}
        else:
            cut = {name: value for name, value in resource.items() if name.lstrip("_") in kept}
        meta: dict[str, Any] = dict(cut.get("meta", {}))
        meta["tag"] = [*meta.get("tag", []), SUBSETTED]
        return encode(as_sent({"resourceType": stored.type, "id": stored.id} | cut | {"meta": meta}))

    def _kept(self, type: str) -> frozenset[str] | None:
        """The elements to keep; None for all but the narrative."""
        shape = load().elements[type]
        mandatory = ALWAYS | set(shape["required"]) | {prop for stem in shape["required_choices"] for prop in shape["choices"][stem]}
        if self._summary == "true":
            return mandatory | frozenset(shape["summary"])
        if self._summary == "text":
            return mandatory | {"text"}
        if self._summary == "data":
            return None
        if self._type and type != self._type:  # _elements is about the type that was searched
            return frozenset(shape["fields"]) | ALWAYS
        chosen = {prop for name in self._elements for prop in (name, *shape["choices"].get(name.removesuffix("[x]"), ()))}
        return mandatory | chosen
