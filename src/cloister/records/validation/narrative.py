"""The narrative's XHTML: an allow-list, because this text is shown in a browser.

Spec: http://hl7.org/fhir/R4/narrative.html (txt-1, txt-2). Refused are: what is not well formed, elements and attributes
outside chapters 7-11 (except section 4 of chapter 9) and 15 of HTML 4.0, scripts, forms, event handlers, external images,
styles that load something, and every document type declaration.
"""

from __future__ import annotations

import html.entities
import re
from typing import Any, Final
from xml.parsers import expat

NARRATIVE_CHARACTERS_MAX: Final = 2_000_000
DEPTH_MAX: Final = 200
ELEMENTS: Final = frozenset(
    """
    a abbr acronym address b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i
    img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var kbd del ins u s strike font
    center
    """.split()  # noqa: SIM905 (a list of 40 quoted words reads worse)
)
ATTRIBUTES: Final = frozenset(
    """
    title style class id lang xml:lang dir xmlns abbr accesskey align alt axis bgcolor border cellhalign cellpadding
    cellspacing cellvalign char charoff charset cite clear color colspan compact coords datetime face frame headers height
    href hreflang hspace longdesc name noshade nowrap rel rev rowspan rules scope shape size span src start summary tabindex
    type valign value vspace width
    """.split()  # noqa: SIM905 (a list of 40 quoted words reads worse)
)
XHTML: Final = "http://www.w3.org/1999/xhtml"
LINK: Final = re.compile(r"\s*(https?:|ftp:|mailto:|tel:|urn:|#|[^:]*$)", re.IGNORECASE)  # no javascript:, data:, vbscript:
IMAGE: Final = re.compile(r"\s*(data:\s*image/(png|jpeg|gif|webp);base64,|#|[^:/]*$)", re.IGNORECASE)  # nothing is fetched from outside
ADDRESS: Final = re.compile(r"url\s*\(\s*['\"]?([^)'\"]*)", re.IGNORECASE)
STYLE: Final = re.compile(r"expression\s*\(|@import|javascript:|behavior\s*:|-moz-binding|\\", re.IGNORECASE)
NAMED: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
OF_XML: Final = frozenset({"lt", "gt", "amp", "quot", "apos"})


class _Refused(Exception):
    pass


def narrative_fault(text: str) -> str:
    """What is wrong with this narrative, or an empty text."""
    if len(text) > NARRATIVE_CHARACTERS_MAX:
        return "The narrative is too long."
    if "<!DOCTYPE" in text or "<!ENTITY" in text or "<?" in text:
        return "The narrative holds a declaration or a processing instruction."
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(numbered(text), True)
    except expat.ExpatError:
        return "The narrative is not well-formed XHTML."
    except _Refused as refused:
        return str(refused)
    return "" if reader.content else "The narrative has no content."


def numbered(text: str) -> str:
    """The same text, of whose entities only those of XML itself are left."""
    return NAMED.sub(_numeric, text)


def _numeric(match: re.Match[str]) -> str:
    """The entities of HTML 4, which XML does not know without a document type, as character references."""
    name = match[1]
    code = html.entities.name2codepoint.get(name)
    return match[0] if name in OF_XML or code is None else f"&#{code};"


class _Reader:
    def __init__(self) -> None:
        self.depth = 0
        self.content = False

    def start(self, name: str, attributes: dict[str, Any]) -> None:
        if self.depth == 0 and (name != "div" or attributes.get("xmlns") != XHTML):
            raise _Refused(f'The narrative must be one <div xmlns="{XHTML}">.')
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise _Refused("The narrative is nested too deeply.")
        if name not in ELEMENTS:
            raise _Refused(f"The narrative holds the element <{name[:32]}>, which is not allowed.")
        if name == "img":
            self.content = True
        for attribute, value in attributes.items():
            if attribute not in ATTRIBUTES:
                raise _Refused(f"The narrative holds the attribute {attribute[:32]}, which is not allowed.")
            if (attribute in ("href", "cite", "longdesc") and not LINK.match(value)) or (attribute == "src" and not IMAGE.match(value)):
                raise _Refused(f"The narrative holds an address in {attribute} that is not allowed.")
            if attribute == "style" and (STYLE.search(value) or not all(IMAGE.match(address) for address in ADDRESS.findall(value))):
                raise _Refused("The narrative holds a style that is not allowed.")

    def end(self, name: str) -> None:
        self.depth -= 1

    def text(self, characters: str) -> None:
        if not self.content and not characters.isspace():
            self.content = True
