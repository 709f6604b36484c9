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
