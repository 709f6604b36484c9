"""References inside a resource: found for a transaction, and rewritten in place. Spec: http://hl7.org/fhir/R4/http.html#trules.

A transaction's entries point at each other by fullUrl (urn:uuid:...) or by a search (Practitioner?identifier=...);
before they are stored, both become Type/id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cloister.base.errors import Invalid

# Elements of type Reference, uri, url and canonical that may name another entry (http.html#trules).
REWRITTEN: Final = frozenset({"reference", "url", "uri", "valueUri", "valueUrl", "valueCanonical"})
SEARCH: Final = re.compile(r"/?[A-Z][A-Za-z]+\?")
LINK: Final = re.compile(r"""(?<=\s)((?:href|src)=)(["'])([^"'<>]*)\2""")  # of a narrative


def references(resource: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every literal reference: the element that holds it, and its text."""
    stack: list[Any] = [resource]
    while stack:
        node = stack.pop()
        for value in node.values() if node.__class__ is dict else node:
            kind = value.__class__
            if kind is dict or kind is list:
                stack.append(value)
        if node.__class__ is dict:
            text = node.get("reference")
            if text.__class__ is str:
                yield node, text


def without_searches(resource: dict[str, Any]) -> None:
    """Raises Invalid, with the place, for a reference by condition (Patient?identifier=...): outside of a transaction or batch it
    would be stored as it stands and name nobody (http.html#trules). A Bundle that is stored as a resource may hold them."""
    if resource.get("resourceType") != "Bundle":
        _literal(resource, str(resource.get("resourceType")))


def _literal(node: Any, place: str) -> None:
    if node.__class__ is list:
        for number, item in enumerate(node):
            if item.__class__ is dict:
                _literal(item, f"{place}[{number}]")
        return
    text = node.get("reference")
    if text.__class__ is str and "?" in text and SEARCH.match(text):
        hint = "Refer to Type/id, or send it in a transaction or batch."
        told = "A reference by condition stands in a transaction or batch only."
        raise Invalid(told, hint=hint, reason="conditional-reference", expression=f"{place}.reference")
    for name, value in node.items():
        if value.__class__ is dict or value.__class__ is list:
            _literal(value, f"{place}.{name}")


def localise(body: dict[str, Any], base: str) -> None:
    """Make literal references to our own address relative, in place: whose dossier a resource belongs in is read from them."""
    start = f"{base}/"
    for holder, text in references(body):
        if text.startswith(start):
            holder["reference"] = text[len(start) :]


def rewrite(resource: dict[str, Any], places: Mapping[str, str]) -> list[str]:
    """Replace each full URL and each conditional reference found in `places`, in place, in a narrative's links too; returns
    the urn: and conditional references that `places` does not know."""
    unknown: list[str] = []
    try:
        _rewrite(resource, places, unknown)
    except RecursionError:
        raise Invalid("This resource is nested too deeply.", hint="Send something flatter.", reason="depth") from None
    return unknown


def _rewrite(node: dict[str, Any], places: Mapping[str, str], unknown: list[str]) -> None:
    for name, value in node.items():
        kind = value.__class__
        if kind is str:
            if name in REWRITTEN:
                place = places.get(value)
                if place is not None:
                    node[name] = place
                elif name == "reference" and (value[:4] == "urn:" or "?" in value):
                    unknown.append(value)
            elif name == "div":
                node[name] = LINK.sub(lambda link: f"{link[1]}{link[2]}{places.get(link[3], link[3])}{link[2]}", value)
        elif kind is dict:
            _rewrite(value, places, unknown)
        elif kind is list:
            for item in value:
                if item.__class__ is dict:
                    _rewrite(item, places, unknown)
